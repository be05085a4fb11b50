// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// The order of those who wait for an app on the platform.
extension Checker {
    /// How far apart two runs must have begun to wait for the order between them to be promised: an update of the
    /// machine that has the tickets may take one away before another has seen it.
    static let promisedDistance = Duration.seconds(8)

    /// A run has the app for which it waited.
    mutating func tookApp(_ who: Who) {
        guard facts[who.ordinal]?.queuedAt != nil, facts[who.ordinal]?.tookAt == nil else { return }
        facts[who.ordinal]?.tookAt = now
    }

    /// Whether nothing happens under which tickets may be lost or their owners be taken for dead: order is promised to
    /// those who live and whose calls arrive.
    static func promisesOrder(under disturbances: [Disturbance]) -> Bool {
        disturbances.allSatisfy {
            switch $0 {
            case .kill, .signal, .registryAway, .badProbes, .slowBoots, .machineExit, .machineStop: true
            case .call, .sleep, .tokenRevoked, .hostAway, .outage: false
            }
        }
    }

    mutating func checkLine(_ engine: Engine) {
        guard Checker.promisesOrder(under: engine.scenario.disturbances + engine.plan.disturbances) else { return }
        let waiting = facts.compactMap(\.self).filter { $0.queuedAt != nil }
        for late in waiting {
            // Whoever goes on with a run of the line has the run's place in it.
            let places = waiting.filter { $0.who.run == late.who.run }.compactMap(\.queuedAt)
            guard let joined = places.min(), let took = late.tookAt else { continue }
            for early in waiting {
                guard let began = early.queuedAt, began + Checker.promisedDistance <= joined,
                    early.tookAt.map({ $0 > took }) ?? true,
                    // Whoever was gone by then waited no more.
                    engine.processes[early.who.ordinal].endedAt.map({ $0 > took }) ?? true
                else { continue }
                complain(
                    .lineOrder,
                    "\(late.who.name) has the app before \(early.who.name), which waits \(joined - began) longer"
                )
            }
        }
    }
}
