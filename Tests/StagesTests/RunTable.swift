// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// What follows from each end of each stage.
enum RunTable {
    /// `good` and `bad` are the events by which the stage that works comes to that end; `late` is the answer to
    /// something nobody waits for any more, `unasked` an answer to what was never asked.
    static let table = TransitionTable(
        "RunMachine",
        states: [
            "waiting", "preValidation", "window", "build", "deploy", "verify", "rollback", "settling", "notify",
            "finished",
        ],
        events: ["started", "interrupted", "good", "bad", "late", "unasked"],
        """
        waiting | started | preValidation
        waiting | interrupted | notify
        waiting | good, bad, late, unasked | !
        preValidation | good | window
        preValidation+rollback | good | rollback
        preValidation | bad | notify
        preValidation | interrupted | notify
        window | good | build
        window | bad | notify
        window | interrupted | notify
        build | good | deploy
        build | bad | notify
        build | interrupted | notify
        deploy | good | verify
        deploy | bad | rollback
        deploy+manual | bad | settling
        deploy+untouched | bad | settling
        deploy | interrupted | notify
        deploy+rolling | interrupted | settling
        verify | good | settling
        verify | bad | rollback
        verify+manual | bad | settling
        verify | interrupted | settling
        rollback | good, bad | settling
        rollback | interrupted | settling
        settling | good, bad | notify
        settling | interrupted | notify
        notify | good, bad, interrupted | finished
        finished | good, bad, interrupted, late | =
        preValidation | started, unasked | !
        window | started, unasked | !
        build | started, unasked | !
        deploy | started, unasked | !
        verify | started, unasked | !
        rollback | started, unasked | !
        settling | started, unasked | !
        notify | started, unasked | !
        finished | started, unasked | !
        preValidation | late | =
        window | late | =
        build | late | =
        deploy | late | =
        verify | late | =
        rollback | late | =
        settling | late | =
        notify | late | =
        """)

    /// A run in the state, on a world in which the stage will come to a good or to a bad end.
    static func simulation(_ state: String, isBad: Bool) throws -> Simulation {
        let base = TransitionTable.base(state)
        let isManual = state.hasSuffix("+manual")
        let kind: RunKind = state.hasSuffix("+rollback") ? .rollback : .deploy
        let request = Sample.request(kind) { settings in
            settings.hasWindow = true
            settings.requiresCleanWorktree = true
            settings.channels = [.email]
            settings.rollsBackAutomatically = !isManual
            settings.verify.interval = .milliseconds(100)
        }
        var behaviour = SimulatedFly.Behaviour()
        if base == "deploy", isBad, state != "deploy+untouched" { behaviour.health = .exits(after: .milliseconds(10)) }
        if base == "verify" && isBad || base == "rollback" { behaviour.health = .failsProbes }
        var old = SimulatedFly.Behaviour()
        if base == "rollback", isBad { old.health = .failsProbes }
        let fleet = kind == .rollback ? (1...3).map { Sample.machine($0, digest: Sample.newDigest) } : Sample.fleet(3)
        var simulation = Simulation(
            request, on: SimulatedFly(fleet, behaviours: [Sample.newDigest: behaviour, Sample.oldDigest: old]))
        if kind == .rollback { simulation.world.records.append(Sample.release(72, digest: Sample.newDigest)) }
        let closed = WindowAnswer(isOpen: false, rule: "never", nextOpen: nil, closes: nil)
        if base == "window", isBad { simulation.world.windows = [closed] }
        if base == "preValidation", isBad { simulation.world.dirtyPaths = ["a.txt"] }
        let refusal = Answer.failed(failure: Failure(.forbidden, "no"))
        if base == "build", isBad { simulation.world.scripted["resolve"] = [refusal] }
        if state == "deploy+untouched" { simulation.world.scripted["acquireLease"] = [refusal] }
        if base == "settling", isBad { simulation.world.scripted["mark-verified"] = [refusal] }
        if base == "notify", isBad { simulation.world.noticeFailure = Failure(.unavailable, "down") }
        if state == "deploy+rolling" {
            try simulation.go { $0.calls.contains("update m1") }
        } else if base != "waiting" {
            try simulation.go { "\($0.run.state)" == base }
        }
        return simulation
    }
}

@Suite struct RunTableTests {
    @Test(arguments: RunTable.table.rows)
    func `what follows from what`(_ row: Transition) throws {
        var simulation = try RunTable.simulation(row.from, isBad: row.event == "bad")
        let base = TransitionTable.base(row.from)
        try #require("\(simulation.run.state)" == base)
        func give(_ kind: RunEvent.Kind, _ simulation: inout Simulation) throws {
            if row.to == nil {
                let before = simulation.run
                #expect(throws: IllegalEvent.self) { try simulation.give(kind) }
                #expect(simulation.run.state == before.state)
            } else {
                try simulation.give(kind)
            }
        }
        switch row.event {
        case "started": try give(.started, &simulation)
        case "late": try give(.answered(action: ActionID(1), answer: Answer.sample("app")), &simulation)
        case "unasked": try give(.answered(action: StageTable.stranger, answer: .done), &simulation)
        case "interrupted":
            try give(.interrupted(signal: 15), &simulation)
            if row.to != "=", base != "waiting" { try simulation.go { "\($0.run.state)" != base } }
        default:
            if base == "waiting" {
                try give(.answered(action: ActionID(1), answer: .done), &simulation)
            } else {
                try simulation.go { "\($0.run.state)" != base }
            }
        }
        guard let next = row.to else { return }
        if row.event == "late", base == "preValidation" { return }  // its first question may still be open
        #expect("\(simulation.run.state)" == (next == "=" ? base : next))
    }
}
