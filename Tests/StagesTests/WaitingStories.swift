// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts
import Stages
import Testing

/// Runs that meet somebody at work on the app: what they knew of it before they had it counts for nothing.
@Suite struct WaitingStories {
    private static let patience = Duration.seconds(600)
    private static let stray = ImageDigest("sha256:" + String(repeating: "d", count: 64))

    /// A run whose own store knows no release, at a fleet of which the first machine is changed already.
    private func fresh(
        _ kind: RunKind = .deploy, wait: Duration? = WaitingStories.patience,
        _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> Simulation {
        var fleet = Sample.fleet(3)
        fleet[0] = Sample.machine(1, digest: Sample.newDigest)
        var simulation = Simulation(
            Sample.request(kind) { settings in
                settings.waitForApp = wait
                change(&settings)
            }, on: SimulatedFly(fleet))
        simulation.world.records = []
        return simulation
    }

    /// The fleet as somebody else leaves it.
    private func leave(_ simulation: inout Simulation, _ digest: ImageDigest, on machines: ClosedRange<Int> = 1...3) {
        for number in machines {
            let machine = Sample.machine(number, digest: digest)
            simulation.fly.change(machine.id) { $0 = machine }
        }
    }

    private func refusals(_ simulation: Simulation) -> [String] {
        simulation.notes.compactMap { note in
            if case .gate(let gate, .refused, _) = note { gate } else { nil }
        }
    }

    private func messages(_ simulation: Simulation) -> [String] {
        simulation.notes.compactMap { note in if case .message(let text) = note { text } else { nil } }
    }

    /// Goes on until the run waits, lets something happen, and goes on to the end; the journal replays all the way.
    private func wait(
        _ simulation: inout Simulation, for machine: MachineID = "m1", meets: Bool = true,
        then happens: (inout Simulation) -> Void = { _ in }
    ) throws -> RunReport {
        simulation.fly.leaseForAnother(machine, until: Sample.start + .seconds(40))
        if meets { try simulation.go { $0.run.claim.isQueueing } }
        happens(&simulation)
        try simulation.go()
        var again = RunMachine(simulation.run.request)
        for entry in simulation.history { #expect(try again.apply(entry.event).actions == entry.actions) }
        #expect(again == simulation.run)
        #expect(simulation.fly.violations.isEmpty)
        #expect(simulation.fly.heldLeases.isEmpty)
        #expect(simulation.fly.fleet.allSatisfy { ($0.tickets ?? [:]).isEmpty })
        return try #require(simulation.run.report)
    }

    @Test func `somebody else's rollout is a reason to wait, and its end is the way back`() throws {
        var simulation = fresh()
        let report = try wait(&simulation) { leave(&$0, WaitingStories.stray) }
        #expect(report.outcome == .verified, "\(report.headline)")
        #expect(refusals(simulation) == [])
        let wayBack = try #require(simulation.world.records.first { $0.reason == "adopted" })
        #expect(wayBack.digest == WaitingStories.stray, "what ran when the app was this run's")
        #expect(simulation.world.records.count == 2)
        let said = messages(simulation)
        #expect(said.contains { $0.hasSuffix(": the fleet is judged when this run has the app") }, "\(said)")
        #expect(
            said.contains { $0.hasPrefix("demo is this run's after 4") && $0.contains("asking all gates") }, "\(said)")
    }

    @Test func `without a wait it is told who is at work, and not that there is no way back`() throws {
        var simulation = fresh(wait: nil)
        let before = simulation.fly.fleet
        // It lives: its lease is prolonged again and again.
        for seconds in stride(from: 20, through: 200, by: 20) {
            let end = Sample.start + .seconds(seconds + 40)
            simulation.fly.leaseForAnother("m1", until: end)
            let time = Sample.start + .seconds(seconds)
            try simulation.go { $0.now >= time }
        }
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .refused)
        #expect(report.exitCode == 13, "\(report.headline)")
        #expect(report.headline.hasPrefix("another run works on demo: someone holds its lease"), "\(report.headline)")
        #expect(report.nextSteps == ["wait for it to end, or queue with --wait 15m"])
        #expect(report.stages.first { $0.stage == .build }?.state == .skipped)
        #expect(simulation.fly.fleet == before)
        #expect(refusals(simulation) == [])
    }

    @Test(arguments: [Duration?.none, .seconds(600)])
    func `a fleet that nobody is at work on is refused as it looks`(_ wait: Duration?) throws {
        var simulation = fresh(wait: wait)
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.exitCode == 12)
        #expect(report.headline.hasPrefix("way-back: no verified release is known"), "\(report.headline)")
        #expect(!simulation.calls.contains { $0.hasPrefix("acquireLease") })
    }

    @Test(arguments: [Duration?.none, .seconds(600)])
    func `what a dead run leaves behind is judged when its lease has ended`(_ wait: Duration?) throws {
        var simulation = fresh(wait: wait)
        let before = simulation.fly.fleet
        let report = try self.wait(&simulation)
        #expect(report.exitCode == 12)
        #expect(
            report.headline.hasPrefix("way-back: no verified release is known")
                && report.headline.hasSuffix(wait == nil ? " now" : " (asked again after the wait)"),
            "\(report.headline)")
        let stage: StageName = wait == nil ? .preValidation : .deploy
        #expect(report.stages.first { $0.stage == stage }?.state == .refused)
        #expect(simulation.fly.fleet.map(\.instance) == before.map(\.instance))
        #expect(simulation.world.records.isEmpty)
    }

    @Test(arguments: [RunKind.deploy, .rollback])
    func `a fleet that a dead run left half-way names the run, and the command that mends it`(_ kind: RunKind) throws {
        var simulation = fresh(kind, wait: nil)
        for (number, release, run) in [(1, 72, "01ZDEADRUN"), (2, 71, "01OLDRUN"), (3, 71, "01OLDRUN")] {
            simulation.fly.change(MachineID("m\(number)")) {
                $0.config.metadata["fly_release_version"] = String(release)
                $0.config.metadata[Bookkeeping.run] = run
                $0.config.metadata[Bookkeeping.kind] = "deploy"
            }
        }
        let report = try wait(&simulation, meets: kind == .deploy)
        #expect(report.exitCode == 12)
        let left = "run 01ZDEADRUN has not ended: of 3 machines, 2 on v71, 1 on v72"
        #expect(report.headline.contains(left), "\(report.headline)")
        #expect(report.nextSteps.allSatisfy { $0.hasSuffix(": airboss recover production") }, "\(report.nextSteps)")
        #expect(report.nextSteps.count == 1)
        guard kind == .deploy else { return }
        let said = messages(simulation)
        #expect(
            said.contains {
                $0.hasPrefix("someone holds its lease; its lease lives until ")
                    && $0.hasSuffix(" unless prolonged: looking whether it is")
            }, "\(said)")
    }

    @Test func `what else refuses it is not waited for`() throws {
        var simulation = fresh { $0.requiresCleanWorktree = true }
        simulation.world.dirtyPaths = ["README.md"]
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(40))
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.exitCode == 12)
        #expect(report.headline.hasPrefix("clean-worktree: "), "\(report.headline)")
        #expect(!simulation.calls.contains { $0.hasPrefix("acquireLease") })
    }

    @Test func `every gate is asked once more after the wait, but for the work tree of what is built`() throws {
        var simulation = fresh {
            $0.requiresCleanWorktree = true
            $0.requiredSecrets = ["DATABASE_URL"]
        }
        simulation.world.scripted["secretNames"] = [.names(list: ["DATABASE_URL"]), .names(list: [])]
        let report = try wait(&simulation) {
            leave(&$0, Sample.oldDigest)
            $0.world.dirtyPaths = ["README.md"]
        }
        #expect(report.exitCode == 12)
        #expect(
            report.headline == "secrets: not set on the app: DATABASE_URL (asked again after the wait)",
            "\(report.headline)")
        #expect(!simulation.calls.contains { $0.hasPrefix("createRelease") })
    }

    @Test func `the commit is the one that was built, wherever the branch points by then`() throws {
        var simulation = fresh()
        let report = try wait(&simulation) {
            leave(&$0, Sample.oldDigest)
            $0.world.scripted["commit"] = [.commit(commit: Sample.commit("c"))]
        }
        #expect(report.outcome == .verified, "\(report.headline)")
        let asked = simulation.effects.compactMap { effect in
            if case .git(.commit(let revision)) = effect { revision } else { nil }
        }
        #expect(asked == ["HEAD", Sample.commit("c").id.rawValue])
    }

    @Test func `a window that closes during the wait refuses it`() throws {
        var simulation = fresh { $0.hasWindow = true }
        let report = try wait(&simulation) {
            leave(&$0, Sample.oldDigest)
            $0.world.windows = [WindowAnswer(isOpen: false, rule: "17:00", nextOpen: nil, closes: nil)]
        }
        #expect(report.exitCode == 12)
        #expect(report.headline.contains("window is closed"), "\(report.headline)")
        #expect(!simulation.calls.contains { $0.hasPrefix("createRelease") })
    }

    @Test
    func `a release that another run verified during the wait is the way back, though the ledger has an older one`()
        throws
    {
        var simulation = fresh()
        simulation.world.records = [Sample.release(70)]
        let report = try wait(&simulation) { simulation in
            for number in 1...3 {
                var machine = Sample.machine(number, digest: WaitingStories.stray)
                machine.config.metadata["fly_release_version"] = "71"
                simulation.fly.change(machine.id) { $0 = machine }
            }
            let entry = PlatformReleaseEntry(id: "rel_71", number: ReleaseNumber(71), status: "complete", image: "")
            simulation.world.scripted["releases"] = [.platformReleases(list: [entry])]
        }
        #expect(report.outcome == .verified, "\(report.headline)")
        let wayBack = try #require(simulation.run.preValidation.facts.wayBack)
        #expect(wayBack.number == ReleaseNumber(71) && wayBack.digest == WaitingStories.stray)
        #expect(simulation.world.records.contains { $0.number == ReleaseNumber(71) })
    }

    @Test func `a rollback that waited goes back to what it meant when it was asked for`() throws {
        var simulation = fresh(.rollback)
        simulation.world.records = [
            Sample.release(72, digest: Sample.newDigest), Sample.release(71),
            Sample.release(70, digest: WaitingStories.stray),
        ]
        leave(&simulation, Sample.newDigest)
        let report = try wait(&simulation) { leave(&$0, Sample.oldDigest) }
        #expect(report.outcome == .verified, "\(report.headline)")
        #expect(report.release == ReleaseNumber(71), "another went back meanwhile: not one further")
    }

    @Test func `a rollback that met another one on its way does not go forward again`() throws {
        var simulation = fresh(.rollback)
        simulation.world.records = [Sample.release(72, digest: Sample.newDigest), Sample.release(71)]
        let report = try wait(&simulation) { leave(&$0, Sample.oldDigest) }
        #expect(report.exitCode == 12)
        #expect(
            report.headline
                == "way-back: while this run waited, another has gone back to v71 (asked again after the wait)",
            "\(report.headline)")
    }

    @Test func `a rollback whose process died in the line is judged anew, and goes on`() throws {
        var simulation = fresh(.rollback)
        simulation.world.records = [Sample.release(72, digest: Sample.newDigest), Sample.release(71)]
        leave(&simulation, Sample.newDigest)
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(40))
        try simulation.go { $0.run.claim.isQueueing }
        try simulation.crash()
        leave(&simulation, WaitingStories.stray)
        try simulation.recoverWarm()
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified, "\(report.headline)")
        #expect(report.release == ReleaseNumber(71))
    }

    @Test func `runs meet at another machine where the first one is destroyed during the wait`() throws {
        var simulation = fresh()
        let report = try wait(&simulation) {
            leave(&$0, Sample.oldDigest)
            $0.fly.remove("m1")
        }
        #expect(report.outcome == .verified, "\(report.headline)")
        #expect(messages(simulation).contains("the app's first machine is gone: looking at the fleet anew"))
        #expect(simulation.calls.contains("acquireLease m2"))
    }

    @Test func `a first deploy that finds another one begun waits for it`() throws {
        var simulation = Simulation(
            Sample.request { $0.waitForApp = WaitingStories.patience }, on: SimulatedFly(Sample.fleet(2)))
        simulation.world.records = []
        let none = Answer.machines(list: [])
        simulation.world.scripted["machines"] = [none]
        simulation.world.scripted["releases"] = [.platformReleases(list: [])]
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(40))
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified, "\(report.headline)")
        let said = messages(simulation)
        #expect(
            said.contains("somebody else has begun this app's first deploy: looking at the fleet anew"), "\(said)")
        #expect(simulation.calls.count { $0.hasPrefix("createRelease") } == 1)
        #expect(simulation.fly.fleet.count == 2)
    }

    @Test func `an interrupted run says so wherever it is in its second round`() throws {
        var simulation = fresh()
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(40))
        try simulation.go { $0.run.claim.isQueueing }
        leave(&simulation, Sample.oldDigest)
        try simulation.go { $0.run.state == .preValidation }
        simulation.interrupt(at: simulation.now)
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .interrupted)
        #expect(report.headline == "interrupted; nothing changed")
        #expect(simulation.fly.heldLeases.isEmpty)
    }
}
