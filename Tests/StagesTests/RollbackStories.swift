// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts
import Stages
import Testing

/// What follows a release that turns out bad, and rollbacks that people ask for.
@Suite struct RollbackStories {
    private func deploy(
        _ health: SimulatedFly.Behaviour.Health, old: SimulatedFly.Behaviour.Health = .good,
        _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> Simulation {
        let behaviours = [
            Sample.newDigest: SimulatedFly.Behaviour(health: health), Sample.oldDigest: .init(health: old),
        ]
        return Simulation(Sample.request(.deploy, change), on: SimulatedFly(Sample.fleet(3), behaviours: behaviours))
    }

    private func stage(_ name: StageName, _ simulation: Simulation) -> StageReport? {
        simulation.run.reports.first { $0.stage == name }
    }

    @Test func `a release that fails verify is taken back, and what is back is verified`() throws {
        var simulation = deploy(.failsProbes)
        simulation.fly.floor = 1
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .rolledBack)
        #expect(report.exitCode == 10)
        #expect(report.headline.hasSuffix("rolled back to v71, verified"))
        #expect(report.release == ReleaseNumber(71))
        #expect(report.previousRelease == ReleaseNumber(72))
        #expect(report.timeToRestore != nil)
        #expect(stage(.verify, simulation)?.state == .failed)
        #expect(stage(.rollback, simulation)?.state == .passed)
        // Each machine has the config it had, but for the marks of who wrote it.
        for machine in simulation.fly.fleet {
            let before = Sample.fleet(3).first { $0.id == machine.id }
            #expect(machine.config.substance == before?.config.substance)
            #expect(machine.config.metadata[Bookkeeping.run] == Sample.run.rawValue)
        }
        #expect(simulation.world.history.current?.number == ReleaseNumber(71))
        #expect(simulation.world.records.first { $0.number == ReleaseNumber(72) }?.state == .failed)
        #expect(simulation.fly.finishedReleases == ["rel_72": "failed"])
        #expect(simulation.fly.violations.isEmpty)
    }

    @Test func `machines that differ get back their own configs`() throws {
        var fleet = Sample.fleet(3)
        fleet[1].config.json["guest"] = ["cpu_kind": "performance", "cpus": 4, "memory_mb": 8192]
        fleet[2].config.json["made_up_by_the_platform"] = ["deep": [1, nil, 2.5]]
        var simulation = Simulation(
            Sample.request(), on: SimulatedFly(fleet, behaviours: [Sample.newDigest: .init(health: .failsProbes)]))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .rolledBack)
        for (now, before) in zip(simulation.fly.fleet, fleet) {
            #expect(now.config.substance == before.config.substance)
        }
    }

    @Test func `a deploy that fails at its first machine changes only that one back`() throws {
        var simulation = deploy(.neverPasses) { $0.waitTimeout = .seconds(20) }
        try simulation.go()
        #expect(simulation.run.report?.outcome == .rolledBack)
        #expect(simulation.calls.filter { $0.hasPrefix("update") } == ["update m1", "update m1"])
        #expect(stage(.verify, simulation)?.state == .skipped)
    }

    @Test func `from v73 it goes to v71: neither 72 nor 73 was ever good`() throws {
        let fleet = (1...3).map { Sample.machine($0, digest: Sample.newDigest) }
        var simulation = Simulation(Sample.request(.rollback), on: SimulatedFly(fleet))
        let older = ImageDigest("sha256:" + String(repeating: "0", count: 64))
        simulation.world.records = [
            Sample.release(70, digest: older), Sample.release(71),
            Sample.release(72, digest: Sample.newDigest, state: .failed),
            Sample.release(73, digest: Sample.newDigest, state: .failed),
        ]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified)
        #expect(report.exitCode == 0)
        #expect(report.headline == "rolled back to v71, verified")
        #expect(report.stages.map(\.stage) == [.preValidation, .rollback, .notify])
        #expect(simulation.fly.fleet.allSatisfy { $0.imageDigest == Sample.oldDigest })
    }

    @Test func `from a good release it goes to the good one before, and names one when asked`() throws {
        let older = ImageDigest("sha256:" + String(repeating: "0", count: 64))
        for (target, wanted) in [(nil, older), (ReleaseNumber(71), Sample.oldDigest), (ReleaseNumber(70), older)] {
            var simulation = Simulation(Sample.request(.rollback, target: target), on: SimulatedFly(Sample.fleet(3)))
            simulation.world.records = [Sample.release(70, digest: older), Sample.release(71)]
            try simulation.go()
            #expect(simulation.run.report?.outcome == .verified)
            #expect(simulation.fly.fleet.allSatisfy { $0.imageDigest == wanted })
            let withdrawn = simulation.world.records.first { $0.number == ReleaseNumber(71) }?.state
            #expect(withdrawn == (wanted == older ? .withdrawn : .verified))
        }
    }

    @Test(arguments: [(72, "v72 is failed, not verified"), (99, "there is no verified v99")])
    func `a rollback goes to nothing that was not verified`(_ number: Int, _ wanted: String) throws {
        var simulation = Simulation(
            Sample.request(.rollback, target: ReleaseNumber(number)), on: SimulatedFly(Sample.fleet(3)))
        simulation.world.records.append(Sample.release(72, state: .failed))
        try simulation.go()
        #expect(simulation.run.report?.exitCode == 12)
        #expect(simulation.run.report?.headline == "way-back: \(wanted)")
        #expect(simulation.fly.fleet == Sample.fleet(3))
    }

    @Test func `a rollback over a fleet that nobody could see never becomes a deploy`() throws {
        var simulation = Simulation(
            Sample.request(.rollback, overrides: .init(approvedBy: "Grace", skippedGates: ["fleet"])),
            on: SimulatedFly(Sample.fleet(3)))
        simulation.world.scripted["machines"] = [.failed(failure: Failure(.unavailable, "no answer"))]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        #expect(simulation.fly.fleet == Sample.fleet(3))
    }

    @Test func `from a fleet that is mixed it goes to what the ledger says serves`() throws {
        let fleet = [Sample.machine(1, digest: Sample.newDigest), Sample.machine(2), Sample.machine(3)]
        var simulation = Simulation(Sample.request(.rollback), on: SimulatedFly(fleet))
        let older = ImageDigest("sha256:" + String(repeating: "0", count: 64))
        simulation.world.records = [Sample.release(70, digest: older), Sample.release(71)]
        try simulation.go()
        #expect(simulation.run.report?.headline == "rolled back to v71, verified")
        #expect(simulation.calls.filter { $0.hasPrefix("update") } == ["update m1"])
    }

    @Test func `a rollback asks neither the window nor the gates`() throws {
        var simulation = Simulation(
            Sample.request(.rollback) {
                $0.hasWindow = true
                $0.requiresCleanWorktree = true
                $0.branch = "main"
            }, on: SimulatedFly((1...3).map { Sample.machine($0, digest: Sample.newDigest) }))
        simulation.world.records.append(Sample.release(72, digest: Sample.newDigest, state: .failed))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        let asked = Set(simulation.effects.map(\.name))
        #expect(asked.isDisjoint(with: ["window", "clean", "branch", "commit"]))
    }

    @Test func `a rollback that is not healthy either needs a person, and says what differs`() throws {
        var simulation = deploy(.failsProbes, old: .failsProbes)
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .needsHuman)
        #expect(report.exitCode == 11)
        #expect(report.headline.contains("v71 is back and not healthy"))
        #expect(report.nextSteps.contains("try again: airboss rollback production --to v71 --reason TEXT"))
    }

    @Test func `a rollback whose machines do not start needs a person, and names the machines`() throws {
        var simulation = deploy(.failsProbes, old: .exits(after: .milliseconds(100)))
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .needsHuman)
        #expect(report.divergence.contains { $0.hasPrefix("m2: runs bbbbbbbbbbbb, wanted aaaaaaaaaaaa (v71)") })
        #expect(report.divergence.allSatisfy { $0.hasPrefix("m") })
        #expect(report.nextSteps.contains { $0.hasPrefix("see what runs: airboss status production") })
        #expect(simulation.fly.heldLeases.isEmpty)
    }

    @Test func `a platform that does not answer during a rollback is asked again, and then a person`() throws {
        var simulation = deploy(.failsProbes)
        try simulation.go { $0.run.state == .rollback && $0.calls.last == "machines" }
        let down = Answer.failed(failure: Failure(.unavailable, "down"))
        simulation.world.scripted["machines"] = [down, down]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .rolledBack)
    }

    @Test func `without a way back a person is needed`() throws {
        // What runs is adopted as the way back where it is healthy; here one machine is not.
        var simulation = Simulation(
            Sample.request(.deploy, overrides: .init(approvedBy: "Grace", skippedGates: ["way-back"])),
            on: SimulatedFly(
                Sample.fleet(3).map { machine in
                    var copy = machine
                    copy.checks[0].status = copy.id == "m2" ? "critical" : "passing"
                    return copy
                }, behaviours: [Sample.newDigest: .init(health: .failsProbes)]))
        simulation.world.records = []
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .needsHuman)
        #expect(report.headline.hasSuffix("there is no verified release to go back to"))
        #expect(report.divergence.count == 3)
        #expect(report.overrides.map(\.gate) == ["way-back"])
    }

    @Test func `a healthy fleet that was never deployed by airboss is a way back`() throws {
        var simulation = deploy(.exits(after: .milliseconds(10)))
        simulation.world.records = []
        try simulation.go()
        #expect(simulation.run.report?.outcome == .rolledBack)
        #expect(simulation.fly.fleet.allSatisfy { $0.imageDigest == Sample.oldDigest })
        #expect(simulation.world.records.contains { $0.reason == "adopted" && $0.machines.count == 3 })
        #expect(simulation.world.records.first { $0.reason == "adopted" }?.run == Sample.run)
        #expect(simulation.effects.count { $0.name == "mark-verified" } == 1)
    }

    /// A ledger takes a record only from the run that made it, and keeps its state.
    @Test func `a fleet that a failed first deploy left behind, healthy since, is its run's to complete`() throws {
        let fleet = Sample.fleet(3).map { machine in
            var copy = machine
            copy.config.metadata["fly_release_version"] = "71"
            copy.config.metadata[Bookkeeping.run] = "01FIRSTRUN"
            return copy
        }
        var simulation = Simulation(Sample.request(.deploy), on: SimulatedFly(fleet))
        var failed = Sample.release(71, state: .failed)
        failed.run = "01FIRSTRUN"
        failed.machines = []
        simulation.world.records = [failed]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        let wayBack = simulation.world.records.first { $0.number == ReleaseNumber(71) }
        #expect(wayBack?.run == "01FIRSTRUN")
        #expect(wayBack?.machines.count == 3)
        #expect(simulation.effects.contains(.ledger(entry: .mark(number: ReleaseNumber(71), state: .verified))))
        #expect(simulation.world.history.verified.map(\.number) == [ReleaseNumber(71)])
    }

    @Test func `automatic rollback that is off leaves it to a person`() throws {
        var simulation = deploy(.failsProbes) { $0.rollsBackAutomatically = false }
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .needsHuman)
        #expect(report.nextSteps == ["go back to v71: airboss rollback production --to v71 --reason TEXT"])
        #expect(simulation.fly.fleet.allSatisfy { $0.imageDigest == Sample.newDigest })
    }

    @Test func `a rollback is only begun once in a run`() throws {
        var simulation = deploy(.failsProbes, old: .failsProbes)
        try simulation.go()
        let begun = simulation.notes.count { note in
            if case .message(let text) = note { text.hasPrefix("rolling back to") } else { false }
        }
        #expect(begun == 1)
    }
}

/// A signal at any moment: what is held is let go, and nothing is begun any more.
@Suite struct InterruptionStories {
    @Test(arguments: [RunKind.deploy, .rollback]) func `interrupted after any event`(_ kind: RunKind) throws {
        for health in [SimulatedFly.Behaviour.Health.good, .failsProbes] {
            let fleet =
                kind == .rollback ? (1...3).map { Sample.machine($0, digest: Sample.newDigest) } : Sample.fleet(3)
            var whole = Simulation(
                Sample.request(kind) { $0.channels = [.summary, .email] },
                on: SimulatedFly(fleet, behaviours: [Sample.newDigest: .init(health: health)]))
            if kind == .rollback { whole.world.records.append(Sample.release(72, state: .failed)) }
            while !whole.run.isFinished {
                try whole.step()
                if whole.run.isFinished { break }
                try interrupted(whole, before: fleet)
            }
            #expect(whole.run.report != nil)
        }
    }

    private func interrupted(_ whole: Simulation, before: [FleetMachine]) throws {
        var simulation = whole
        let asked = simulation.history.count
        let stateBefore = simulation.run.state
        try simulation.give(.interrupted(signal: 15))
        try simulation.go()
        let report = try #require(simulation.run.report)
        let place = "interrupted in \(stateBefore)"
        #expect(simulation.fly.heldLeases.isEmpty, "\(place)")
        #expect(simulation.fly.violations.isEmpty, "\(place)")
        let after = simulation.history.dropFirst(asked).flatMap(\.actions).map(\.effect.name)
        let allowed = ["releaseLease", "cancel", "machine", "machines", "wake"]
        let begun = after.filter { name in
            !allowed.contains(name) && !name.hasPrefix("mark-") && !name.hasPrefix("finishRelease")
                && !name.hasPrefix("notify-summary") && name != "keep-email"
        }
        #expect(begun.isEmpty, "\(place): \(begun)")
        #expect(report.stages.filter { $0.state == .running && $0.stage != .notify }.isEmpty, "\(place)")
        guard report.outcome == .interrupted else {
            #expect([.settling, .leaving, .notify].contains(stateBefore), "\(place): \(report.outcome)")
            return
        }
        #expect(report.exitCode == 143)
        // Nothing is said to be unchanged that is not.
        if report.headline.contains("nothing changed") {
            #expect(simulation.fly.fleet.map(\.config) == before.map(\.config), "\(place)")
        } else {
            #expect(!report.nextSteps.isEmpty, "\(place)")
        }
        #expect(simulation.fly.openReleases.isEmpty, "\(place)")
    }

    @Test func `a second signal changes nothing`() throws {
        var simulation = Simulation(Sample.request(), on: SimulatedFly(Sample.fleet(3)))
        try simulation.go { $0.calls.contains("update m1") }
        try simulation.give(.interrupted(signal: 2))
        let run = simulation.run
        try simulation.give(.interrupted(signal: 15))
        #expect(simulation.run == run)
        try simulation.go()
        #expect(simulation.run.report?.exitCode == 130)
        #expect(simulation.run.report?.headline == "interrupted; the fleet is mixed: m1 may have changed")
    }
}
