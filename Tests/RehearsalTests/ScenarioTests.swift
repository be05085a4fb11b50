// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Rehearsal
import Testing

/// Scenarios without any trouble but their own.
@Suite struct ScenarioTests {
    @Test(arguments: Scenario.all.map(\.name))
    func `a scenario ends as it should, and breaks nothing`(name: String) throws {
        let scenario = try #require(Scenario.named(name))
        let run = PreparedScenario(scenario).rehearse(RehearsalPlan()).run
        #expect(run.violations.isEmpty, "\(run.violations.map(\.message))")
        if scenario.rival == nil, scenario.followUps.isEmpty {
            #expect(scenario.expected.contains(run.outcome), "\(run.outcome): \(run.headline)")
        }
    }

    @Test func `there are enough scenarios, each with its own name`() {
        #expect(Scenario.all.count >= 8)
        #expect(Set(Scenario.all.map(\.name)).count == Scenario.all.count)
    }

    @Test func `the same plan gives the same story`() {
        let rehearsal = Rehearsal()
        for seed in UInt64(1)...20 {
            let first = rehearsal.replay(seed)
            #expect(first == rehearsal.replay(seed), "seed \(seed)")
            #expect(first.run.violations == rehearsal.run(seed).violations, "seed \(seed)")
        }
    }

    @Test func `a story tells who did what and when`() {
        let story = PreparedScenario(.failingVerify).rehearse(RehearsalPlan(), isTold: true)
        #expect(story.trace.contains { $0.actor == "run" && $0.text.hasPrefix("-> update app-") })
        #expect(story.trace.contains { $0.kind == .world && $0.text.hasSuffix(": started") })
        #expect(story.trace.last?.text.contains("rolled back to v1") == true)
        #expect(story.run.timeToRestore != nil)
        #expect(story.trace.map(\.at) == story.trace.map(\.at).sorted())
    }
}
