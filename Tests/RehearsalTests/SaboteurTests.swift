// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Rehearsal
import Testing

/// The checker is checked: bugs put into runs on purpose must be caught, each by the check that is meant for it.
@Suite struct SaboteurTests {
    @Test(arguments: Saboteur.allCases)
    func `a bug is caught, by name`(saboteur: Saboteur) {
        let (scenario, plan) = saboteur.stage
        let prepared = PreparedScenario(scenario)
        let clean = prepared.rehearse(plan).run
        #expect(clean.violations.isEmpty, "without the bug: \(clean.violations.map(\.message))")
        let caught = prepared.rehearse(plan, saboteur: saboteur).run.violations.map(\.name)
        #expect(caught.contains(saboteur.caughtBy.rawValue), "caught by \(Set(caught).sorted())")
    }

    @Test func `there are at least fifteen bugs, and most checks catch one`() {
        #expect(Saboteur.allCases.count >= 15)
        #expect(Set(Saboteur.allCases.map(\.caughtBy)).count >= 15)
    }

    @Test func `what has no part in a violation is taken away`() throws {
        let prepared = PreparedScenario(.rolling)
        let noise = (0..<30).map { Disturbance.call(process: 0, call: $0, fault: .slow(milliseconds: 900)) }
        let plan = RehearsalPlan(slowestCall: 400, disturbances: noise)
        let shrunk = try #require(prepared.shrink(plan, saboteur: .waitsForOldVersion))
        #expect(shrunk.plan.disturbances.isEmpty)
        #expect(shrunk.plan.slowestCall == 15)
        #expect(shrunk.story.trace.contains { $0.kind == .violation })
        #expect(prepared.shrink(plan) == nil)
    }
}
