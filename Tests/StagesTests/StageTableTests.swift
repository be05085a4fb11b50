// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// Every stage's machine against its state × event table.
@Suite struct StageTableTests {
    private static let tables = [
        PreValidation.table, WindowGate.table, Build.table, Deploy.table, HealthVerify.table, Rollback.table,
        Notify.table, RunTable.table, ChecksGate.table, ApprovalSearch.table,
    ]

    @Test func `there is a sample of every kind of answer`() {
        // The names come from a switch that the compiler keeps complete.
        #expect(Set(Answer.samples.map(\.kind)).count == Answer.samples.count)
        #expect(Answer.samples.count == 32)
    }

    @Test(arguments: tables.indices) func `every event has its line in every state`(_ index: Int) {
        let table = Self.tables[index]
        #expect(table.mistakes.isEmpty, "\(table.mistakes)")
        #expect(table.missing.isEmpty, "\(table.name) has no line for \(table.missing)")
    }

    @Test(arguments: PreValidation.table.rows) func preValidation(_ row: Transition) throws {
        try check(row, PreValidation.self)
    }
    @Test(arguments: ChecksGate.table.rows) func checks(_ row: Transition) throws { try check(row, ChecksGate.self) }
    @Test(arguments: ApprovalSearch.table.rows) func approvals(_ row: Transition) throws {
        try check(row, ApprovalSearch.self)
    }
    @Test(arguments: WindowGate.table.rows) func window(_ row: Transition) throws { try check(row, WindowGate.self) }
    @Test(arguments: Build.table.rows) func build(_ row: Transition) throws { try check(row, Build.self) }
    @Test(arguments: Deploy.table.rows) func deploy(_ row: Transition) throws { try check(row, Deploy.self) }
    @Test(arguments: HealthVerify.table.rows) func verify(_ row: Transition) throws {
        try check(row, HealthVerify.self)
    }
    @Test(arguments: Rollback.table.rows) func rollback(_ row: Transition) throws { try check(row, Rollback.self) }
    @Test(arguments: Notify.table.rows) func notify(_ row: Transition) throws { try check(row, Notify.self) }

    private func check<Stage: TabledStage>(_ row: Transition, _: Stage.Type) throws {
        var (stage, awaited) = try Stage.setUp(row.from)
        let before = stage
        try #require(before.stateName == TransitionTable.base(row.from), "the table's setup is wrong")
        guard let next = row.to else {
            #expect(throws: IllegalEvent.self) { try StageTable.step(&stage, row, awaited) }
            #expect(stage.stateName == before.stateName)
            return
        }
        let actions = try StageTable.step(&stage, row, awaited)
        #expect(stage.stateName == (next == "=" ? before.stateName : next))
        #expect(actions == row.actions)
    }

    @Test func `StateDiagram: the page shows what the code does`() throws {
        let purposes = [
            "Asks every gate at once and answers with all refusals together.", "May a deploy begin now?",
            "An image in the registry, named by its digest.",
            "A last look at the window and the fleet, the records, the rollout, and what then stands on the machines.",
            "Consecutive good answers, machines and checks, the smoke list, the soak.",
            "Brings a verified release back and verifies it in its turn.",
            "Tells people; what fails here never changes how the run ended.",
            "One run from its first question to its last notice. `good` and `bad` are the ends a stage can come to.",
            "What CI says of the commit, waited for while it is under way; part of pre-validation.",
            "Who has approved the commit, by signature or on GitHub, waited for where asked; part of pre-validation.",
        ]
        let order = [7, 0, 8, 9, 1, 2, 3, 4, 5, 6]
        let complaint = try StateDiagramPage().check(part: "Stages", order.map { (Self.tables[$0], purposes[$0]) })
        #expect(complaint == nil, "\(complaint ?? "")")
    }
}
