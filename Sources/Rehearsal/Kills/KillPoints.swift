// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// One death of a process, and how somebody goes on after it.
package struct KillCase: Hashable, Codable, Sendable {
    /// The n-th effect of the process, from 0.
    package var effect: Int
    /// What the effect was, for people.
    package var name: String
    package var point: KillPoint

    package init(effect: Int, name: String, point: KillPoint) {
        self.effect = effect
        self.name = name
        self.point = point
    }
}

/// What came of a number of deaths.
package struct KillTally: Hashable, Codable, Sendable {
    /// Violations kept with their stories' plans.
    package static let maxKept = 200

    package struct Finding: Hashable, Codable, Sendable {
        package var scenario: String
        package var plan: RehearsalPlan
        package var violations: [Violation]
    }

    /// Deaths, or pairs of them, that were tried.
    package private(set) var tried = 0
    /// Of those, the ones in which an invariant did not hold.
    package private(set) var violated = 0
    package private(set) var outcomes: [RunOutcome: Int] = [:]
    package private(set) var findings: [Finding] = []
    /// How often each check was violated.
    package private(set) var byCheck: [String: Int] = [:]

    package init() {}

    mutating func add(_ run: RehearsedRun, _ plan: RehearsalPlan) {
        tried += 1
        outcomes[run.outcome, default: 0] += 1
        guard !run.violations.isEmpty else { return }
        violated += 1
        for name in Set(run.violations.map(\.name)) { byCheck[name, default: 0] += 1 }
        if findings.count < KillTally.maxKept {
            findings.append(Finding(scenario: run.scenario, plan: plan, violations: run.violations))
        }
    }

    package mutating func merge(_ other: KillTally) {
        tried += other.tried
        violated += other.violated
        outcomes.merge(other.outcomes, uniquingKeysWith: +)
        byCheck.merge(other.byCheck, uniquingKeysWith: +)
        findings = Array((findings + other.findings).prefix(KillTally.maxKept))
    }
}

/// A scenario killed at every point, with warm or with cold recovery; and at every ordered pair of points, the second
/// one during the recovery from the first.
///
/// Everything is in one order that hangs on nothing but the scenario and the kind of recovery, so that several threads
/// can take a share each.
package struct KillPoints: Sendable {
    package let scenario: PreparedScenario
    package let kind: Recovery.Kind
    /// All deaths of the first process.
    package let singles: [KillCase]

    package init(_ scenario: PreparedScenario, _ kind: Recovery.Kind) {
        self.scenario = scenario
        self.kind = kind
        singles = KillPoints.points(scenario, RehearsalPlan(), process: 0)
    }

    /// From a death to its recovery: short against the life of a lease.
    private static let pauseMilliseconds = 2_000

    private func kill(_ process: Int, _ death: KillCase) -> Disturbance {
        .kill(
            process: process, effect: death.effect, point: death.point,
            recovery: Recovery(kind, pauseMilliseconds: KillPoints.pauseMilliseconds))
    }

    /// The plan that kills the first process, and perhaps the one that recovers it.
    package func plan(_ first: KillCase, then second: KillCase? = nil) -> RehearsalPlan {
        var plan = RehearsalPlan(disturbances: [kill(0, first)])
        if let second { plan.disturbances.append(kill(recoverer, second)) }
        return plan
    }

    /// The number of the process that recovers: after the run and those beside it.
    private var recoverer: Int { (scenario.scenario.rival == nil ? 1 : 2) + scenario.scenario.others.count }

    /// Every death of a process under a plan.
    private static func points(_ scenario: PreparedScenario, _ plan: RehearsalPlan, process: Int) -> [KillCase] {
        var engine = Engine(scenario, plan, keepsMarks: true)
        engine.run()
        guard engine.processes.indices.contains(process) else { return [] }
        return engine.processes[process].marks.enumerated().flatMap { index, mark in
            mark.points.map { KillCase(effect: index, name: mark.name, point: $0) }
        }
    }

    /// Tries the single deaths with these places in ``singles``; all where none are named.
    package func trySingles(_ range: Range<Int>? = nil) -> KillTally {
        var tally = KillTally()
        for death in singles[range ?? singles.indices] {
            let plan = plan(death)
            tally.add(scenario.rehearse(plan).run, plan)
        }
        return tally
    }

    /// Tries every second death after each of the first ones with these places in ``singles``; after all of them where
    /// none are named.
    ///
    /// - Parameter stride: only every so many-th pair is tried, beginning with a different one for each first death.
    package func tryPairs(_ range: Range<Int>? = nil, stride step: Int = 1) -> KillTally {
        var tally = KillTally()
        for index in range ?? singles.indices {
            let first = singles[index]
            let seconds = KillPoints.points(scenario, plan(first), process: recoverer)
            for place in Swift.stride(from: index % step, to: seconds.count, by: step) {
                let plan = plan(first, then: seconds[place])
                tally.add(scenario.rehearse(plan).run, plan)
            }
        }
        return tally
    }
}
