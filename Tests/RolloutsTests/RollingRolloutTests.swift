// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts
import Testing

/// A rollout by itself, on the simulated platform.
struct RolloutDrive {
    var rollout: RollingRollout
    var fly: SimulatedFly
    var now = Sample.start
    var next = 1
    /// What was asked and not answered yet, with the time its answer comes.
    var open: [(at: Timestamp, action: Action)] = []
    var asked: [String] = []
    /// What becomes of a machine on its way back from a call.
    var onAnswer: (PlatformCall, inout FleetMachine) -> Void = { _, _ in }
    /// What becomes of what a poll shows.
    var onPoll: (inout [Observation]) -> Void = { _ in }

    init(_ fleet: [FleetMachine], additions: [FleetPlan.Addition] = [], boot: Duration = .seconds(2), floor: Int? = 0)
        throws
    {
        fly = SimulatedFly(fleet, behaviours: [Sample.newDigest: .init(boot: boot)])
        let plan = FleetPlan.make(
            fleet: fleet, waitTimeout: .seconds(300), additions: additions, operation: { OperationID("run/\($0)") },
            wanted: { _ in Sample.config(Sample.newDigest) })
        rollout = RollingRollout(
            plan, view: fleet.map(Observation.init(of:)),
            limits: .init(maxUnavailable: .count(machines: 1), servingFloor: floor, patience: .seconds(60)))
        try agenda { try $0.start(&$1) }
    }

    mutating func agenda(_ body: (inout RollingRollout, inout Agenda) throws -> Void) throws {
        var agenda = Agenda(now: now, nextAction: next)
        try body(&rollout, &agenda)
        next = agenda.nextAction
        for action in agenda.actions {
            asked.append(action.effect.name)
            switch action.effect {
            case .wake(let at): open.append((max(at, now), action))
            case .cancel(let id): open.removeAll { $0.action.id == id }
            default: open.append((now + .milliseconds(50), action))
            }
        }
    }

    /// Answers what is due next; false where nothing is open any more.
    mutating func step() throws -> Bool {
        guard
            let index = open.indices.min(by: { (open[$0].at, open[$0].action.id) < (open[$1].at, open[$1].action.id) })
        else { return false }
        let (at, action) = open.remove(at: index)
        now = max(now, at)
        fly.advance(to: now)
        var answer = Answer.woke
        if case .platform(let call) = action.effect {
            guard let given = fly.answer(call) else {
                open.append((now + .milliseconds(100), action))
                return true
            }
            answer = given
            switch given {
            case .machine(var machine):
                onAnswer(call, &machine)
                answer = .machine(machine: machine)
            case .observations(var list):
                onPoll(&list)
                answer = .observations(list: list)
            default: break
            }
        }
        guard rollout.awaits(action.id) else { return true }
        try agenda { try $0.handle(action.id, answer, &$1) }
        return true
    }

    mutating func go(until name: String) throws -> ActionID {
        while !open.contains(where: { $0.action.effect.name == name }) {
            guard try step() else { throw MachineChangeTable.UnknownName(name: name) }
        }
        guard let action = open.first(where: { $0.action.effect.name == name })?.action else {
            throw MachineChangeTable.UnknownName(name: name)
        }
        return action.id
    }
}

@Suite struct RollingRolloutTests {
    /// Which answers can follow which question; everything else is a damaged journal or a defect.
    private static let table = TransitionTable(
        "RollingRollout",
        states: [
            "acquireLease", "refreshLease", "update", "machine", "wait", "releaseLease", "create", "machines",
            "observe", "wake",
        ], events: Answer.samples.map(\.kind) + ["stranger"],
        """
        acquireLease | lease, failed | =
        acquireLease | others | !
        refreshLease | lease, failed | =
        refreshLease | others | !
        update | machine, failed | =
        update | others | !
        machine | machine, failed | =
        machine | others | !
        wait | done, waitTimedOut, failed | =
        wait | others | !
        releaseLease | done, failed | =
        releaseLease | others | !
        create | created, failed | =
        create | others | !
        machines | machines, failed | =
        machines | others | !
        observe | observations, failed | =
        observe | others | !
        wake | stranger | !
        wake | others | =
        """)

    @Test func `every answer has its line for every question`() {
        #expect(Self.table.mistakes.isEmpty, "\(Self.table.mistakes)")
        #expect(Self.table.missing.isEmpty, "no line for \(Self.table.missing)")
    }

    @Test(arguments: table.rows) func `which answers can follow`(_ row: Transition) throws {
        let creates = row.from == "create" || row.from == "machines"
        var drive =
            creates
            ? try RolloutDrive(
                [], additions: [.init(name: "new-1", region: "ord", config: Sample.config(Sample.newDigest))])
            : try RolloutDrive(Sample.fleet(2), boot: row.from == "refreshLease" ? .seconds(100) : .seconds(2))
        if row.from == "machines" {
            let create = try drive.go(until: "create")
            let lost = Failure(.timedOut, "no answer", isAmbiguous: true)
            drive.open.removeAll { $0.action.id == create }
            try drive.agenda { try $0.handle(create, .failed(failure: lost), &$1) }
        }
        let id = try drive.go(until: row.from)
        let asked = row.event == "stranger" ? ActionID(9_999) : id
        let answer = row.event == "stranger" ? Answer.done : Answer.sample(row.event)
        #expect(drive.rollout.awaits(id))
        #expect(!drive.rollout.awaits(ActionID(9_999)))
        if row.to == nil {
            #expect(throws: IllegalEvent.self) { try drive.agenda { try $0.handle(asked, answer, &$1) } }
        } else {
            try drive.agenda { try $0.handle(asked, answer, &$1) }
            #expect(!drive.rollout.awaits(id))
        }
    }

    @Test func `nothing to do is done at once`() throws {
        let drive = try RolloutDrive([Sample.machine(1, digest: Sample.newDigest)])
        #expect(drive.rollout.outcome == .succeeded)
        #expect(drive.asked.isEmpty)
    }

    @Test func `an empty fleet gets its machines side by side`() throws {
        let additions = (1...10).map {
            FleetPlan.Addition(name: "new-\($0)", region: "ord", config: Sample.config(Sample.newDigest))
        }
        var drive = try RolloutDrive([], additions: additions)
        // The first one comes alone, the others together.
        #expect(drive.asked.count { $0 == "create" } == 1)
        while drive.rollout.created.isEmpty, try drive.step() {}
        #expect(drive.asked.count { $0 == "create" } == 1 + RollingRollout.maxParallelWithoutTraffic)
        while try drive.step() {}
        #expect(drive.rollout.outcome == .succeeded)
        #expect(drive.rollout.created.count == 10)
        #expect(Set(drive.fly.fleet.map(\.name)) == Set(additions.map(\.name)))
    }

    @Test func `what it put on machines is known without a list`() throws {
        var drive = try RolloutDrive(
            [Sample.machine(1, digest: Sample.newDigest), Sample.machine(2), Sample.machine(3)],
            additions: [.init(name: "new-1", region: "ord", config: Sample.config(Sample.newDigest))])
        while try drive.step() {}
        #expect(drive.rollout.outcome == .succeeded)
        #expect(drive.rollout.installed.count == 3)
        for machine in drive.fly.fleet where machine.id != "m1" {
            #expect(drive.rollout.installed[machine.id]?.config == machine.config)
            #expect(drive.rollout.installed[machine.id]?.instance == machine.instance)
        }
        #expect(!drive.asked.contains("machines"))
    }

    @Test(arguments: ["unmarked", "incomplete"]) func `what an answer does not show is known from what was sent`(
        _ story: String
    ) throws {
        var drive = try RolloutDrive(
            Sample.fleet(2), additions: [.init(name: "new-1", region: "ord", config: Sample.config(Sample.newDigest))])
        drive.onAnswer = { _, machine in
            if story == "unmarked" {
                machine.config = MachineConfig(.object([:]))
            } else {
                machine.config.json["services"] = nil
                machine.isConfigComplete = false
            }
        }
        while try drive.step() {}
        #expect(drive.rollout.outcome == .succeeded)
        #expect(drive.rollout.installed.values.map(\.config).count == 3)
        for machine in drive.fly.fleet { #expect(drive.rollout.installed[machine.id]?.config == machine.config) }
    }

    @Test func `a lost answer's machine is known from the look or the list that found it`() throws {
        for name in ["update", "create"] {
            let additions =
                name == "create"
                ? [FleetPlan.Addition(name: "new-1", region: "ord", config: Sample.config(Sample.newDigest))] : []
            var drive = try RolloutDrive(name == "update" ? Sample.fleet(1) : [], additions: additions)
            let id = try drive.go(until: name)
            let index = try #require(drive.open.firstIndex { $0.action.id == id })
            if case .platform(let call) = drive.open.remove(at: index).action.effect { _ = drive.fly.answer(call) }
            let lost = Failure(.timedOut, "no answer", isAmbiguous: true)
            try drive.agenda { try $0.handle(id, .failed(failure: lost), &$1) }
            while try drive.step() {}
            #expect(drive.rollout.outcome == .succeeded)
            #expect(drive.rollout.installed.values.map(\.config) == drive.fly.fleet.map(\.config))
        }
    }

    @Test func `a look that shows what was there before is not what was installed`() throws {
        var drive = try RolloutDrive(Sample.fleet(1))
        let id = try drive.go(until: "update")
        drive.open.removeAll { $0.action.id == id }
        try drive.agenda { try $0.handle(id, .failed(failure: Failure(.conflict, "busy")), &$1) }
        _ = try drive.go(until: "machine")
        _ = try drive.step()
        #expect(drive.rollout.installed.isEmpty)
        while try drive.step() {}
        #expect(drive.rollout.outcome == .succeeded)
        #expect(drive.rollout.installed["m1"]?.imageDigest == Sample.newDigest)
    }

    @Test func `stopped, it lets go of what it holds and begins nothing`() throws {
        var drive = try RolloutDrive(Sample.fleet(3), boot: .seconds(30))
        _ = try drive.go(until: "wait")
        try drive.agenda { try $0.stop(&$1) }
        while try drive.step() {}
        #expect(drive.rollout.outcome == .stopped(changed: ["m1"]))
        #expect(drive.asked.count { $0 == "update" } == 1)
        #expect(drive.fly.heldLeases.isEmpty)
    }

    @Test func `one that fails ends it, and only what may have changed is named`() throws {
        var drive = try RolloutDrive(Sample.fleet(3))
        let update = try drive.go(until: "update")
        drive.open.removeAll { $0.action.id == update }
        let refusal = Answer.failed(failure: Failure(.invalid, "bad config"))
        try drive.agenda { try $0.handle(update, refusal, &$1) }
        while try drive.step() {}
        #expect(drive.rollout.outcome == .failed(reason: "m1: the update was refused: bad config", changed: []))
        #expect(drive.fly.fleet == Sample.fleet(3))
        #expect(drive.fly.heldLeases.isEmpty)
    }

    @Test func `one that ends after its checks have passed ends the rollout, not the patience`() throws {
        var drive = try RolloutDrive(Sample.fleet(3))
        while drive.asked.count(where: { $0 == "update" }) < 2 { _ = try drive.step() }
        let poll = try drive.go(until: "observe")
        drive.open.removeAll { $0.action.id == poll }
        var seen = drive.fly.fleet.map(Observation.init(of:))
        let first = try #require(seen.firstIndex { $0.id == "m1" })
        #expect(seen[first].instance == drive.rollout.installed["m1"]?.instance)
        seen[first].exit = .init(code: 3, isOutOfMemory: false, at: drive.now)
        try drive.agenda { try $0.handle(poll, .observations(list: seen), &$1) }
        while try drive.step() {}
        let reason = "m1: the process exited with code 3 soon after its start"
        #expect(drive.rollout.outcome == .failed(reason: reason, changed: ["m1", "m2"]))
        #expect(drive.asked.count { $0 == "update" } == 2)
        #expect(drive.fly.heldLeases.isEmpty)
    }

    @Test func `a floor that lets nothing go says which machines it misses`() throws {
        var fleet = Sample.fleet(2)
        fleet[1].state = "stopped"
        var drive = try RolloutDrive(fleet, floor: 2)
        while try drive.step() {}
        guard case .failed(let reason, let changed) = drive.rollout.outcome else {
            Issue.record("ended with \(String(describing: drive.rollout.outcome))")
            return
        }
        #expect(reason.hasPrefix("the serving floor of 2 left no machine that could be taken away within 60 s"))
        #expect(reason.hasSuffix("(m2: stopped)"))
        #expect(!changed.contains("m1"))
    }

    @Test(arguments: [nil, 1]) func `the only one that serves waits for the one that is to be made`(
        _ floor: Int?
    ) throws {
        var drive = try RolloutDrive(
            Sample.fleet(1), additions: [.init(name: "new-1", region: "ord", config: Sample.config(Sample.newDigest))],
            floor: floor)
        while !drive.asked.contains("update"), try drive.step() {}
        let made = try #require(drive.rollout.created["new-1"])
        let isServing = drive.fly.fleet.first { $0.id == made }?.isServing
        #expect(isServing == true, "m1 is taken away while nothing else serves")
        while try drive.step() {}
        #expect(drive.rollout.outcome == .succeeded)
        #expect(drive.fly.fleet.allSatisfy { $0.imageDigest == Sample.newDigest })
    }

    @Test func `an update that got no answer keeps a broken machine waiting, for it may yet arrive`() throws {
        var drive = try RolloutDrive(Sample.fleet(2), floor: 1)
        // While the update of the one is on its way, the host of the other goes away.
        drive.onPoll = { list in
            for index in list.indices where list[index].id == "m2" { list[index].isHostReachable = false }
        }
        let update = try drive.go(until: "update")
        drive.open.removeAll { $0.action.id == update }
        let poll = try drive.go(until: "observe")
        while drive.open.contains(where: { $0.action.id == poll }) { _ = try drive.step() }
        let lost = Failure(.timedOut, "no answer", isAmbiguous: true)
        try drive.agenda { try $0.handle(update, .failed(failure: lost), &$1) }
        while try drive.step() {}
        #expect(drive.asked.count { $0 == "update" } == 1)
        guard case .failed(let reason, _) = drive.rollout.outcome else {
            Issue.record("ended with \(String(describing: drive.rollout.outcome))")
            return
        }
        #expect(reason.hasPrefix("the serving floor of 1 left no machine"))
        #expect(drive.fly.heldLeases.isEmpty)
    }
}
