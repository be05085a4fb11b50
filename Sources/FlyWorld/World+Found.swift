// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension World {
    /// A platform that holds one app with its fleet as somebody found it: nothing is under way, and nobody holds a
    /// lease. A machine on its way from one state to another counts as having arrived.
    package init(
        seed: UInt64, app: String, organization: String, found machines: [FleetMachine],
        releases: [PlatformReleaseEntry], at now: Timestamp
    ) {
        self.init(seed: seed)
        var known = WorldApp(id: "found", name: app, organization: organization, createdAt: now)
        // Oldest first.
        known.releases = releases.sorted { $0.number < $1.number }.map {
            WorldRelease(
                id: $0.id, version: $0.number.value, status: $0.status, strategy: "rolling", image: $0.image, user: "",
                createdAt: now)
        }
        for found in machines {
            guard let state = MachineState(settledFrom: found.state) else { continue }
            var machine = WorldMachine(
                id: found.id.rawValue, app: app, name: found.name, region: found.region,
                createdAt: found.createdAt ?? now, updatedAt: now, state: state, instance: found.instance.rawValue,
                config: found.config, imageDigest: found.imageDigest?.rawValue, secretsVersion: 0,
                versions: [MachineVersion(instance: found.instance.rawValue, config: found.config)],
                isCordoned: found.isCordoned, privateAddress: found.privateAddress)
            machine.hostStatus = found.hostStatus
            machine.boot = 1
            if state == .started {
                machine.guest = .running
                machine.guestStartedAt = now
                machine.checks = found.checks.compactMap { check in
                    CheckResult.Standing(rawValue: check.status).map {
                        CheckResult(name: check.name, standing: $0, output: check.output, updatedAt: now)
                    }
                }
            }
            self.machines[machine.id] = machine
            known.machines.append(machine.id)
        }
        apps[app] = known
    }
}

extension MachineState {
    /// The state in which a machine that is found in `word` comes to rest; nil for one that is on its way out.
    fileprivate init?(settledFrom word: String) {
        switch word {
        case "creating", "starting", "restarting", "updating", "replacing": self = .started
        case "stopping": self = .stopped
        case "suspending": self = .suspended
        case "destroying", "destroyed", "replaced", "migrated": return nil
        default: self = MachineState(rawValue: word) ?? .failed
        }
    }
}
