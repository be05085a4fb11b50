// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts
import Stages
import Testing

/// Whole deploys on the simulated platform, told call by call.
@Suite struct DeployStories {
    private func simulation(
        _ fleet: [FleetMachine] = Sample.fleet(3), new: SimulatedFly.Behaviour = .init(), seed: UInt64 = 0,
        _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> Simulation {
        Simulation(
            Sample.request(.deploy, change), on: SimulatedFly(fleet, behaviours: [Sample.newDigest: new]), seed: seed)
    }

    private func calls(_ simulation: Simulation, about machine: String) -> [String] {
        simulation.calls.filter { $0.hasSuffix(" \(machine)") }.map { String($0.prefix { $0 != " " }) }
    }

    @Test func `three machines, one after the other, and not a call too many`() throws {
        var simulation = simulation()
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(simulation.fly.fleet.allSatisfy { $0.imageDigest == Sample.newDigest })
        let changes = simulation.calls.filter { !["observe", "app", "machines", "releases"].contains($0) }
        // The first machine's lease is the run's own, from before the release to the very end. The lease of the next
        // one
        // is taken while the one before it comes up.
        #expect(
            changes == [
                "acquireLease m1", "createRelease", "acquireLease m2", "update m1", "wait m1", "machine m1",
                "update m2", "acquireLease m3", "wait m2", "machine m2", "releaseLease m2", "update m3", "wait m3",
                "machine m3", "releaseLease m3", "finishRelease-complete", "releaseLease m1",
            ])
        for machine in ["m1", "m2", "m3"] {
            #expect(calls(simulation, about: machine).count <= 6, "\(calls(simulation, about: machine))")
        }
        #expect(simulation.fly.heldLeases.isEmpty)
        #expect(simulation.fly.openReleases.isEmpty)
        #expect(simulation.fly.finishedReleases == ["rel_72": "complete"])
        #expect(simulation.world.history.current?.number == ReleaseNumber(72))
        #expect(
            simulation.world.history.current?.machines.map(\.config.image)
                == Array(repeating: Sample.reference(Sample.newDigest), count: 3))
    }

    @Test func `one shared poll a second, however many machines`() throws {
        var simulation = simulation(Sample.fleet(10)) { $0.maxUnavailable = .count(machines: 3) }
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        let polls = simulation.history.flatMap { entry in
            entry.actions.filter { $0.effect.name == "observe" }.map { _ in entry.event.at }
        }
        for (one, next) in zip(polls, polls.dropFirst()) {
            #expect(next - one >= .seconds(1), "polled at \(one) and at \(next)")
        }
        #expect(polls.count > 3)
    }

    @Test func `no more are away than max_unavailable allows`() throws {
        for width in [1, 2, 4] {
            var simulation = simulation(Sample.fleet(6)) { $0.maxUnavailable = .count(machines: width) }
            simulation.fly.floor = 6 - width
            var fewest = 6
            while !simulation.run.isFinished {
                try simulation.step()
                fewest = min(fewest, simulation.fly.available)
            }
            #expect(simulation.run.report?.outcome == .verified)
            #expect(fewest == 6 - width)
            #expect(simulation.fly.violations.isEmpty)
        }
    }

    @Test func `a lost answer to an update that happened: looked at, not repeated`() throws {
        var simulation = simulation(Sample.fleet(1)) { $0.servingFloor = 0 }
        try simulation.go { $0.calls.contains("update m1") }
        // The update arrives; its answer does not.
        let id = try #require(simulation.history.flatMap(\.actions).last { $0.effect.name == "update" }?.id)
        try simulation.go { $0.fly.fleet[0].imageDigest == Sample.newDigest }
        try simulation.give(
            .answered(action: id, answer: .failed(failure: Failure(.timedOut, "no answer", isAmbiguous: true))))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(calls(simulation, about: "m1").filter { $0 == "update" }.count == 1)
        let order = calls(simulation, about: "m1")
        #expect(order.prefix(3) == ["acquireLease", "update", "machine"])
    }

    @Test func `a lost update that never happened: looked at, then repeated`() throws {
        var simulation = simulation(Sample.fleet(1)) { $0.servingFloor = 0 }
        let lost = Answer.failed(failure: Failure(.timedOut, "no answer", isAmbiguous: true))
        simulation.world.scripted["update"] = [lost]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(calls(simulation, about: "m1").prefix(4) == ["acquireLease", "update", "machine", "update"])
    }

    @Test func `a busy machine is given time before its update is sent again`() throws {
        var simulation = simulation(Sample.fleet(1)) { $0.servingFloor = 0 }
        let busy = Answer.failed(failure: Failure(.conflict, "the machine is being replaced"))
        simulation.world.scripted["update"] = [busy, busy, busy, busy]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        let updates = simulation.history.flatMap { entry in
            entry.actions.filter { $0.effect.name == "update" }.map { _ in entry.event.at }
        }
        let pauses = zip(updates, updates.dropFirst()).map { $1 - $0 }
        #expect(pauses.count == 4)
        for (pause, seconds) in zip(pauses, [1, 2, 4, 8]) { #expect(pause >= .seconds(seconds)) }
        #expect(simulation.fly.violations.isEmpty)
        #expect(simulation.fly.heldLeases.isEmpty)
    }

    @Test func `interrupted while it gives a machine time, it leaves the machine as it is`() throws {
        var simulation = simulation(Sample.fleet(1)) { $0.servingFloor = 0 }
        let busy = Answer.failed(failure: Failure(.conflict, "the machine is being replaced"))
        simulation.world.scripted["update"] = Array(repeating: busy, count: 10)
        try simulation.go { $0.calls.filter { $0 == "update m1" }.count == 3 }
        simulation.interrupt(at: simulation.now + .seconds(2))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .interrupted)
        #expect(simulation.calls.filter { $0 == "update m1" }.count == 3)
        #expect(simulation.fly.fleet == Sample.fleet(1))
        #expect(simulation.fly.heldLeases.isEmpty)
    }

    @Test func `an update that never takes is not sent for ever`() throws {
        var simulation = simulation(Sample.fleet(1)) { $0.servingFloor = 0 }
        let lost = Answer.failed(failure: Failure(.timedOut, "no answer", isAmbiguous: true))
        simulation.world.scripted["update"] = Array(repeating: lost, count: 10)
        try simulation.go()
        #expect(calls(simulation, about: "m1").filter { $0 == "update" }.count == MachineChange.maxChangeAttempts)
        // None of them was seen to happen, and none is sure not to happen yet: with a new lease they can't.
        #expect(simulation.run.report?.outcome == .rolledBack)
        #expect(calls(simulation, about: "m1").filter { $0 == "acquireLease" }.count == 2)
        #expect(simulation.fly.fleet[0].imageDigest == Sample.oldDigest)
    }

    @Test func `a lost create: the name is looked for, and taken once`() throws {
        for happened in [true, false] {
            var simulation = simulation([]) { $0.machineCounts = ["app": 2] }
            simulation.world.records = []
            let failure =
                happened ? Failure(.conflict, "the name is taken") : Failure(.timedOut, "no answer", isAmbiguous: true)
            try simulation.go { $0.calls.contains { $0.hasPrefix("create ") } }
            let id = try #require(simulation.history.flatMap(\.actions).first { $0.effect.name == "create" }?.id)
            if happened { try simulation.go { $0.fly.fleet.count == 2 } }
            try simulation.give(.answered(action: id, answer: .failed(failure: failure)))
            try simulation.go()
            #expect(simulation.run.report?.outcome == .verified)
            #expect(simulation.fly.fleet.count == 2)
            #expect(Set(simulation.fly.fleet.map(\.name)).count == 2)
            let creates = simulation.calls.filter { $0.hasPrefix("create ") }
            #expect(Set(creates).count == 2)
            #expect(creates.count <= 3)
        }
    }

    @Test func `a lease that another holds is waited for`() throws {
        var simulation = simulation()
        simulation.fly.leaseForAnother("m2", until: Sample.start + .seconds(10))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(calls(simulation, about: "m2").filter { $0 == "acquireLease" }.count > 3)
    }

    @Test func `a lease that another keeps ends the deploy with nothing changed`() throws {
        var simulation = simulation(Sample.fleet(2)) { $0.servingFloor = 0 }
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(3600))
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .refused)
        #expect(report.exitCode == 13)
        #expect(report.headline.hasPrefix("another run works on demo: someone holds its lease"))
        #expect(simulation.fly.fleet == Sample.fleet(2))
        #expect(simulation.fly.openReleases.isEmpty)
    }

    @Test func `leases are refreshed while a machine takes its time`() throws {
        var simulation = simulation(new: .init(boot: .seconds(100))) { $0.waitTimeout = .seconds(200) }
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(simulation.fly.violations.isEmpty)
        // Every 20 s, as the app's own lease, while it is held ahead and while the machine boots.
        #expect(calls(simulation, about: "m2").filter { $0 == "refreshLease" }.count <= 10)
        #expect(calls(simulation, about: "m3").filter { $0 == "refreshLease" }.count <= 10)
        #expect(simulation.fly.heldLeases.isEmpty)
    }

    @Test func `a machine that exits early is seen at once`() throws {
        var simulation = simulation(new: .init(boot: .seconds(1), health: .exits(after: .milliseconds(100))))
        try simulation.go { $0.run.state == .rollback }
        #expect(simulation.now - Sample.start < .seconds(10))
        let deploy = simulation.run.reports.first { $0.stage == .deploy }
        #expect(deploy?.state == .failed)
        #expect(deploy?.detail == "m1: the process exited with code 1 soon after its start")
        try simulation.go()
        #expect(simulation.run.report?.outcome == .rolledBack)
        #expect(!simulation.calls.contains("update m2"))
    }

    @Test func `lists that are older than the last answer mislead nobody`() throws {
        for seed in 0..<20 {
            var simulation = simulation(seed: UInt64(seed))
            simulation.faults.hasStaleLists = true
            simulation.faults.latency = 20...400
            simulation.fly.floor = 2
            try simulation.go()
            #expect(simulation.run.report?.outcome == .verified)
            #expect(simulation.fly.violations.isEmpty)
        }
    }

    @Test func `what the answers showed is recorded, without another list`() throws {
        var simulation = simulation([
            Sample.machine(4, isManaged: false), Sample.machine(3), Sample.machine(2),
            Sample.machine(1, digest: Sample.newDigest),
        ])
        try simulation.go { $0.run.state == .verify }
        // One list for the gates, one right before the first change.
        #expect(simulation.calls.filter { $0 == "machines" }.count == 2)
        let record = try #require(simulation.world.records.first { $0.number == ReleaseNumber(72) })
        #expect(record.machines == simulation.fly.fleet.filter(\.isManaged).map(RecordedMachine.init))
        #expect(record.machines.map(\.id) == ["m1", "m2", "m3"])
        #expect(record.machines[0].config == Sample.machine(1, digest: Sample.newDigest).config)
    }

    @Test func `machines that were created are recorded`() throws {
        var simulation = simulation([]) { $0.machineCounts = ["app": 2] }
        simulation.world.records = []
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(simulation.fly.fleet.count == 2)
        #expect(simulation.world.history.current?.machines == simulation.fly.fleet.map(RecordedMachine.init))
    }

    @Test func `a fleet that can't be recorded is not called unchanged`() throws {
        var simulation = simulation()
        let full = Answer.failed(failure: Failure(.unavailable, "the disk is full"))
        try simulation.go { $0.calls.contains("releaseLease m3") }
        simulation.world.scripted["record"] = [full]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .rolledBack)
        let deploy = simulation.run.reports.first { $0.stage == .deploy }
        #expect(deploy?.detail == "what was deployed could not be recorded: the disk is full")
        #expect(simulation.fly.fleet.allSatisfy { $0.imageDigest == Sample.oldDigest })
    }

    @Test(arguments: ["stopped", "suspended"]) func `machines at rest are updated and left at rest`(_ state: String)
        throws
    {
        var simulation = simulation([
            Sample.machine(1), Sample.machine(2), Sample.machine(3), Sample.machine(4, state: state),
        ])
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        let resting = try #require(simulation.fly.fleet.first { $0.id == "m4" })
        #expect(resting.state == state)
        #expect(resting.imageDigest == Sample.newDigest)
        #expect(calls(simulation, about: "m4") == ["acquireLease", "update", "releaseLease"])
    }

    @Test func `what is not managed is left alone`() throws {
        let theirs = Sample.machine(9, isManaged: false)
        var simulation = simulation(Sample.fleet(3) + [theirs])
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(simulation.fly.fleet.first { $0.id == "m9" } == theirs)
        #expect(calls(simulation, about: "m9").isEmpty)
    }

    @Test func `a machine that is as it shall be is skipped`() throws {
        var simulation = simulation([Sample.machine(1, digest: Sample.newDigest), Sample.machine(2), Sample.machine(3)])
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(calls(simulation, about: "m1") == ["acquireLease", "releaseLease"])
        #expect(simulation.world.history.current?.machines.count == 3)
    }

    @Test func `broken machines go first, for they have nothing to lose`() throws {
        var simulation = simulation([Sample.machine(1), Sample.machine(2), Sample.machine(3, isHealthy: false)])
        simulation.fly.floor = 1
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        let updates = simulation.calls.filter { $0.hasPrefix("update") }
        #expect(updates.firstIndex(of: "update m3").map { $0 < 2 } == true, "\(updates)")
        #expect(updates.last == "update m2")
        #expect(simulation.fly.violations.isEmpty)
    }

    private func fallIll(_ id: MachineID, _ simulation: inout Simulation) {
        simulation.fly.change(id) { $0.checks = [.init(name: "c", status: "critical", output: "", updatedAt: nil)] }
    }

    @Test func `the floor blocks, and then allows`() throws {
        var simulation = simulation { $0.servingFloor = 2 }
        simulation.fly.floor = 2
        // After the gates and before the first change one machine falls ill: it goes first, and the others wait for it.
        try simulation.go { $0.run.state == .build }
        fallIll("m3", &simulation)
        try simulation.go { $0.calls.contains("update m3") }
        #expect(!simulation.calls.contains("update m1"))
        #expect(simulation.run.waitingFor.isEmpty == false)
        try simulation.go { $0.calls.contains("update m1") }
        #expect(simulation.fly.available == 3)
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(simulation.fly.violations.isEmpty)
    }

    @Test func `a floor that never allows the next step ends the rollout`() throws {
        // m3 is as it shall be, so that nothing will be done about it when it falls ill.
        var simulation = simulation([Sample.machine(1), Sample.machine(2), Sample.machine(3, digest: Sample.newDigest)])
        {
            $0.servingFloor = 2
            $0.waitTimeout = .seconds(30)
        }
        simulation.fly.floor = 2
        try simulation.go { $0.fly.fleet[0].instance == "m1-2" }
        fallIll("m3", &simulation)
        try simulation.go { $0.run.state == .rollback }
        let deploy = simulation.run.reports.first { $0.stage == .deploy }
        #expect(deploy?.state == .failed)
        #expect(deploy?.detail == "the serving floor of 2 left no machine that could be taken away within 30 s (m3: c)")
        #expect(!simulation.calls.contains("update m2"))
        #expect(simulation.fly.violations.isEmpty)
        #expect(simulation.fly.heldLeases == ["m1"])
    }

    @Test func `late answers of cancelled waits change nothing`() throws {
        var outcomes: Set<RunOutcome?> = []
        for seed in 0..<10 {
            var simulation = simulation(seed: UInt64(seed))
            simulation.faults.latency = 10...900
            try simulation.go()
            outcomes.insert(simulation.run.report?.outcome)
        }
        #expect(outcomes == [.verified])
    }

    @Test func `an answer that came twice counts once`() throws {
        var simulation = simulation()
        try simulation.go { $0.run.state == .deploy }
        for entry in simulation.history {
            guard case .answered = entry.event.kind else { continue }
            try simulation.give(entry.event.kind)
        }
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
    }

    @Test func `a release record that nobody can look for is told of`() throws {
        var deploy = Deploy(
            Sample.request(), commit: Sample.commit("c"), image: Sample.image(Sample.newDigest),
            hasNoMachinesYet: false,
            leases: ["m1": "nonce-1"])
        var next = 1
        func step(_ body: (inout Deploy, inout Agenda) throws -> Void) throws -> Action? {
            var agenda = Agenda(now: Sample.start, nextAction: next)
            try body(&deploy, &agenda)
            next = agenda.nextAction
            return agenda.actions.last
        }
        let look = try #require(try step { $0.begin(&$1) })
        let number = try #require(
            try step { try $0.handle(look.id, .machines(list: Sample.fleet(3)), &$1) })
        #expect(number.effect.name == "createRelease")
        // Its process dies, and the platform does not answer whoever goes on.
        var sought = try #require(try step { $0.withdraw(&$1) })
        let down = Answer.failed(failure: Failure(.unavailable, "down"))
        for count in 1...Deploy.maxLooks {
            #expect(sought.effect.name == "releases")
            guard let pause = try step({ try $0.handle(sought.id, down, &$1) }) else {
                #expect(count == Deploy.maxLooks)
                break
            }
            sought = try #require(try step { try $0.handle(pause.id, .woke, &$1) })
        }
        #expect(deploy.state == .stopped(changed: []))
        #expect(deploy.hasLostRelease)
    }
}
