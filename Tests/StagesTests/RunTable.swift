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
            "waiting", "preValidation", "diagnosing", "window", "build", "claiming", "confirming", "deploy", "verify",
            "rollback",
            "settling", "reaping", "leaving", "notify", "finished",
        ], events: ["started", "interrupted", "resumed", "fenced", "good", "bad", "late", "unasked"],
        """
        waiting | started | preValidation
        waiting+recover | started | diagnosing
        waiting | interrupted, resumed | notify
        waiting | fenced | finished
        waiting | good, bad, late, unasked | !
        preValidation | good | window
        preValidation+rollback | good | claiming
        preValidation | bad, interrupted, resumed | notify
        preValidation+rollback | resumed | =
        preValidation | fenced | finished
        diagnosing | good | claiming
        diagnosing+whole | good | claiming
        diagnosing | bad, interrupted | notify
        diagnosing | resumed | =
        diagnosing | fenced | finished
        window | good | build
        window | bad, interrupted, resumed | notify
        window | fenced | finished
        build | good | claiming
        build | bad, interrupted, resumed | notify
        build | fenced | finished
        claiming | good | deploy
        claiming+rollback | good | rollback
        claiming+recover | good | diagnosing
        claiming | bad | notify
        claiming | interrupted, resumed, fenced | leaving
        claiming+rollback | resumed | =
        confirming | good | rollback
        confirming | bad, interrupted | settling
        confirming | resumed | claiming
        confirming | fenced | leaving
        confirming | started, unasked | !
        confirming | late | =
        deploy | good | verify
        deploy | bad | rollback
        deploy+manual | bad | settling
        deploy+untouched | bad | settling
        deploy | interrupted, resumed, fenced | leaving
        deploy+rolling | interrupted | settling
        deploy+rolling | resumed | claiming
        deploy+rolling | fenced | leaving
        verify | good | settling
        verify | bad | rollback
        verify+manual | bad | settling
        verify | interrupted | settling
        verify | resumed | claiming
        verify | fenced | leaving
        rollback | good, bad | settling
        rollback | interrupted | settling
        rollback | resumed | claiming
        rollback | fenced | leaving
        settling | good, bad | leaving
        settling+gone | good | reaping
        settling | interrupted | leaving
        settling | resumed | =
        settling | fenced | leaving
        reaping | good, bad, interrupted, fenced | leaving
        reaping | resumed | claiming
        leaving | good, bad, interrupted | notify
        leaving | resumed, fenced | =
        notify | good, bad, interrupted | finished
        notify | resumed | =
        notify | fenced | finished
        finished | good, bad, interrupted, resumed, fenced, late | =
        preValidation | started, unasked | !
        diagnosing | started, unasked | !
        window | started, unasked | !
        build | started, unasked | !
        claiming | started, unasked | !
        deploy | started, unasked | !
        verify | started, unasked | !
        rollback | started, unasked | !
        settling | started, unasked | !
        reaping | started, unasked | !
        leaving | started, unasked | !
        notify | started, unasked | !
        finished | started, unasked | !
        preValidation | late | =
        diagnosing | late | =
        window | late | =
        build | late | =
        claiming | late | =
        deploy | late | =
        verify | late | =
        rollback | late | =
        settling | late | =
        reaping | late | =
        leaving | late | =
        notify | late | =
        """)

    /// A run in the state, on a world in which the stage will come to a good or to a bad end.
    static func simulation(_ state: String, isBad: Bool) throws -> Simulation {
        let base = TransitionTable.base(state)
        let isManual = state.hasSuffix("+manual")
        let isRecovery = base == "diagnosing" || state.hasSuffix("+recover")
        let kind: RunKind = state.hasSuffix("+rollback") ? .rollback : isRecovery ? .recover : .deploy
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
        var fleet = kind == .rollback ? (1...3).map { Sample.machine($0, digest: Sample.newDigest) } : Sample.fleet(3)
        if state == "settling+gone" || base == "reaping" {
            var gone = Sample.machine(4, toml: Sample.workerToml)
            gone.config.metadata["fly_process_group"] = "gone"
            gone.config.metadata[Bookkeeping.created] = "01EARLIERRUN"
            fleet.append(gone)
        }
        // Half of the fleet was changed by a run of which nothing else is known.
        if isRecovery, state != "diagnosing+whole" {
            fleet[0] = Sample.machine(1, digest: Sample.newDigest)
            fleet[0].config.metadata["fly_release_version"] = "72"
            fleet[0].config.metadata[Bookkeeping.run] = "01DEADRUN"
        }
        var simulation = Simulation(
            request, on: SimulatedFly(fleet, behaviours: [Sample.newDigest: behaviour, Sample.oldDigest: old]))
        if kind == .rollback { simulation.world.records.append(Sample.release(72, digest: Sample.newDigest)) }
        let closed = WindowAnswer(isOpen: false, rule: "never", nextOpen: nil, closes: nil)
        if base == "window", isBad { simulation.world.windows = [closed] }
        if base == "preValidation", isBad { simulation.world.dirtyPaths = ["a.txt"] }
        let refusal = Answer.failed(failure: Failure(.forbidden, "no"))
        if base == "build", isBad { simulation.world.scripted["resolve"] = [refusal] }
        if state == "deploy+untouched" { simulation.world.scripted["update"] = [refusal] }
        if isRecovery {
            simulation.world.scripted["releases"] = Array(
                repeating: .platformReleases(
                    list: [
                        .init(id: "rel_72", number: ReleaseNumber(72), status: "running", image: ""),
                        .init(id: "rel_71", number: ReleaseNumber(71), status: "complete", image: ""),
                    ].suffix(state == "diagnosing+whole" ? 1 : 2)), count: 3)
            if isBad { simulation.world.scripted["app"] = [refusal] }
        }
        if base == "claiming", isBad { simulation.world.scripted["acquireLease"] = [refusal] }
        if base == "reaping", isBad { simulation.world.scripted["destroy"] = Array(repeating: refusal, count: 9) }
        if base == "leaving", isBad { simulation.world.scripted["releaseLease"] = Array(repeating: refusal, count: 9) }
        if base == "settling", isBad { simulation.world.scripted["mark-verified"] = [refusal] }
        if base == "notify", isBad { simulation.world.noticeFailure = Failure(.unavailable, "down") }
        if base == "confirming" {
            try simulation.go { $0.calls.contains("update m1") }
            try simulation.give(.resumed)
            try simulation.go { $0.run.state == .confirming }
            if isBad {
                simulation.fly.change("m2") { $0.config.metadata[Bookkeeping.run] = "99LATERRUN" }
            }
            return simulation
        }
        if state == "deploy+rolling" {
            try simulation.go { $0.calls.contains("update m1") }
        } else if base != "waiting" {
            try simulation.go { "\($0.run.state)" == base }
        }
        return simulation
    }
}

@Suite struct RunTableTests {
    @Test(arguments: RunTable.table.rows) func `what follows from what`(_ row: Transition) throws {
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
        case "resumed": try give(.resumed, &simulation)
        case "fenced": try give(.fenced(by: "run X"), &simulation)
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
