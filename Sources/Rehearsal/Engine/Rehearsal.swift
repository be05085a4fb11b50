// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Stages

/// Rehearsals by seed: the seed chooses the scenario, the latencies, and what goes wrong.
package struct Rehearsal: Sendable {
    /// Rehearsals that shrinking one seed may take.
    package static let maxShrinkingRuns = 2_000

    package let scenarios: [PreparedScenario]
    package let faults: Set<FaultKind>

    package init(_ scenarios: [Scenario] = Scenario.all, faults: Set<FaultKind> = Set(FaultKind.allCases)) {
        self.scenarios = scenarios.map(PreparedScenario.init)
        self.faults = faults
    }

    /// The user's own pipeline on a fleet like their own.
    package init(_ subject: RehearsalSubject) {
        self.init([subject.scenario], faults: subject.faults)
    }

    /// The plan of a seed, and the scenario that it is for.
    package func plan(_ seed: UInt64) -> (scenario: PreparedScenario, plan: RehearsalPlan) {
        var draws = SeededDraws(seed: seed)
        let scenario = draws.pick(scenarios)
        return (scenario, RehearsalPlan.drawn(seed, for: scenario.scenario, faults: faults))
    }

    /// What comes of a seed.
    package func run(_ seed: UInt64) -> RehearsedRun {
        let (scenario, plan) = plan(seed)
        return scenario.rehearse(plan).run
    }

    /// A seed once more, with all that happened in it.
    package func replay(_ seed: UInt64) -> RehearsedStory {
        let (scenario, plan) = plan(seed)
        return scenario.rehearse(plan, isTold: true)
    }

    /// The smallest part of a seed's disturbances with which the same invariant is violated, and its story; nil where
    /// the seed violates none.
    package func shrink(_ seed: UInt64) -> (plan: RehearsalPlan, story: RehearsedStory)? {
        let (scenario, plan) = plan(seed)
        return scenario.shrink(plan)
    }
}

extension PreparedScenario {
    /// Plays the scenario once.
    ///
    /// - Parameter isTold: whether the story is written down, which takes about ten times as long.
    package func rehearse(
        _ plan: RehearsalPlan, saboteur: Saboteur? = nil, isTold: Bool = false
    ) -> RehearsedStory {
        var engine = Engine(self, plan, saboteur: saboteur, isTold: isTold)
        engine.run()
        return RehearsedStory(run: engine.outcome, trace: engine.story.lines)
    }

    /// Delta debugging over the plan's disturbances. Source: A. Zeller, R. Hildebrandt, "Simplifying and isolating
    /// failure-inducing input", IEEE Transactions on Software Engineering 28(2), 2002.
    package func shrink(
        _ plan: RehearsalPlan, saboteur: Saboteur? = nil
    ) -> (plan: RehearsalPlan, story: RehearsedStory)? {
        guard let name = rehearse(plan, saboteur: saboteur).run.violations.first?.name else { return nil }
        var runs = 0
        func fails(_ candidate: RehearsalPlan) -> Bool {
            runs += 1
            return rehearse(candidate, saboteur: saboteur).run.violations.contains { $0.name == name }
        }
        var best = plan
        // What is no list goes first: each is tried once.
        for change: (inout RehearsalPlan) -> Void in [
            { $0.newImage = nil }, { $0.rival = nil },
            { ($0.fastestCall, $0.slowestCall) = (15, 15) },
        ] {
            var candidate = best
            change(&candidate)
            if candidate != best, fails(candidate) { best = candidate }
        }
        var parts = 2
        while !best.disturbances.isEmpty, runs < Rehearsal.maxShrinkingRuns {
            let count = best.disturbances.count
            let size = max(1, (count + parts - 1) / parts)
            var isSmaller = false
            for start in stride(from: 0, to: count, by: size) {
                var candidate = best
                candidate.disturbances.removeSubrange(start..<min(start + size, count))
                if fails(candidate) {
                    best = candidate
                    isSmaller = true
                    break
                }
            }
            if isSmaller {
                parts = max(2, parts - 1)
            } else if size == 1 {
                break
            } else {
                parts = min(count, parts * 2)
            }
        }
        return (best, rehearse(best, saboteur: saboteur, isTold: true))
    }
}

extension Engine {
    /// What the rehearsal came to.
    var outcome: RehearsedRun {
        // Processes are large: none is copied.
        let lastEnd = processes.indices.compactMap { processes[$0].endedAt }.max()
        let reports = processes.indices.compactMap { index -> (RunReport, Timestamp)? in
            guard !processes[index].isFenced, let end = processes[index].endedAt,
                let report = processes[index].machine.report
            else { return nil }
            return (report, end)
        }
        // The end that says how things stand: a later run that was refused says nothing of them.
        let last = reports.filter { $0.0.outcome != .refused && $0.0.outcome != .unavailable }.max { $0.1 < $1.1 }
        let report = (last ?? reports.max { $0.1 < $1.1 })?.0
        let isGood = report?.outcome == .verified || report?.outcome == .rolledBack
        let trouble = [checker.serving.firstLossAt, troubleAt].compactMap(\.self).min()
        let end = lastEnd ?? now
        let restore = trouble.map { end - $0 }
        return RehearsedRun(
            seed: plan.seed, scenario: scenario.name, outcome: report?.outcome ?? .interrupted,
            exitCode: report?.exitCode ?? ExitCode.busy.rawValue,
            headline: report?.headline ?? "nobody lived to say how it ended",
            duration: end - Scenario.start, minServing: checker.serving.fewest == .max ? 0 : checker.serving.fewest,
            floor: checker.serving.floor, timeBelowFloor: checker.serving.timeBelowFloor,
            downtime: checker.serving.downtime, timeToRestore: isGood ? restore : nil,
            isUnrestored: trouble != nil && !isGood, faults: faults, recoveries: recoveries,
            violations: checker.violations, apiCalls: apiCalls, steps: events)
    }
}
