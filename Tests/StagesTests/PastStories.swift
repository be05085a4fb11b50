// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// Rollbacks whose state store knows no way back: the platform tells of the app's past.
@Suite struct PastStories {
    private static let newestDigest = ImageDigest("sha256:" + String(repeating: "c", count: 64))

    /// A fleet on v71 that says so, deployed over by a run that had a ledger: v72, and v73 if wanted.
    private func deployed(
        _ fleet: [FleetMachine] = Sample.fleet(3), twice: Bool = false,
        until condition: (Simulation) -> Bool = { _ in false }
    ) throws -> Simulation {
        let marked = fleet.map { machine in
            var machine = machine
            machine.config.metadata["fly_release_version"] = "71"
            return machine
        }
        var simulation = Simulation(Sample.request(), on: SimulatedFly(marked))
        try simulation.go(until: condition)
        if twice {
            simulation.world.image = Sample.image(Self.newestDigest)
            try simulation.crash()
            simulation.recoverCold(Sample.request())
            try simulation.go()
        }
        return simulation
    }

    /// Somebody goes back who has another state store.
    private func goBack(
        _ simulation: inout Simulation, records: [ReleaseRecord] = [], _ request: RunRequest = Sample.request(.rollback)
    ) throws -> RunReport {
        simulation.world.records = records
        // Also what has ended: its last waits are nobody's any more.
        try simulation.crash()
        var request = request
        request.run = "02GOESBACK"
        simulation.recoverCold(request)
        try simulation.go()
        return try #require(simulation.run.report)
    }

    private func release(_ number: Int, _ state: ReleaseRecord.State, digest: ImageDigest) -> ReleaseRecord {
        Sample.release(number, digest: digest, state: state)
    }

    @Test func `the release before is brought back as its machines had it, and recorded`() throws {
        var fleet = Sample.fleet(3)
        fleet[1].config.json["guest"] = ["cpu_kind": "performance", "cpus": 4, "memory_mb": 8192]
        var simulation = try deployed(fleet)
        simulation.fly.floor = 2
        let report = try goBack(&simulation)
        #expect(report.outcome == .verified && report.exitCode == 0)
        #expect(report.headline == "rolled back to v71, verified")
        #expect(report.release == ReleaseNumber(71) && report.previousRelease == ReleaseNumber(72))
        #expect(report.warnings.contains { $0.contains("v71 is restored as the platform shows it") })
        for machine in simulation.fly.fleet {
            var before = fleet.first { $0.id == machine.id }?.config
            before?.metadata["fly_release_version"] = "71"
            #expect(machine.config.substance == before?.substance)
        }
        #expect(simulation.world.history.current?.number == ReleaseNumber(71))
        #expect(simulation.world.history.current?.image == Sample.reference(Sample.oldDigest))
        #expect(simulation.fly.violations.isEmpty)
        let image = Sample.reference(Sample.oldDigest)
        #expect(simulation.effects.contains(.image(task: .provePullable(reference: image))))
    }

    @Test func `once more it goes one further, and then there is none, and a store is asked for`() throws {
        var simulation = try deployed(twice: true)
        for (number, digest) in [(72, Sample.newDigest), (71, Sample.oldDigest)] {
            let report = try goBack(&simulation)
            #expect(report.headline == "rolled back to v\(number), verified")
            #expect(simulation.fly.fleet.allSatisfy { $0.imageDigest == digest })
        }
        let calls = simulation.fly.fleet
        let report = try goBack(&simulation)
        #expect(report.exitCode == 12)
        #expect(report.headline == "way-back: there is no earlier verified release to go back to")
        #expect(report.nextSteps.joined().contains("--to"))
        #expect(simulation.fly.fleet == calls)
    }

    @Test func `one may be named, of which the platform alone knows`() throws {
        var simulation = try deployed(twice: true)
        let report = try goBack(&simulation, Sample.request(.rollback, target: ReleaseNumber(71)))
        #expect(report.headline == "rolled back to v71, verified")
        let unknown = try goBack(&simulation, Sample.request(.rollback, target: ReleaseNumber(99)))
        #expect(unknown.headline == "way-back: there is no verified v99")
        #expect(unknown.nextSteps == ["verified releases: v73, v72, v71"])
    }

    @Test func `a ledger that is behind is not believed to know what serves`() throws {
        var simulation = try deployed(twice: true)
        let records = [release(71, .verified, digest: Sample.oldDigest)]
        let report = try goBack(&simulation, records: records)
        #expect(report.headline == "rolled back to v72, verified" && report.previousRelease == ReleaseNumber(73))
        // What the ledger took for the current one was not what was left.
        #expect(simulation.world.records.first { $0.number == ReleaseNumber(71) }?.state == .verified)
    }

    @Test func `what the ledger knows to have been withdrawn or failed is not gone back to`() throws {
        for state in [ReleaseRecord.State.withdrawn, .failed] {
            var simulation = try deployed(twice: true)
            let records = [release(72, state, digest: Sample.newDigest)]
            let report = try goBack(&simulation, records: records)
            #expect(report.headline == "rolled back to v71, verified", "\(state)")
        }
    }

    @Test func `a release that the platform does not know as complete is not gone back to`() throws {
        for status in ["failed", "interrupted", "running"] {
            var simulation = try deployed(twice: true)
            simulation.world.scripted["releases"] = [
                .platformReleases(
                    list: [(73, "complete"), (72, status), (71, "complete")].map { number, status in
                        .init(id: "rel_\(number)", number: ReleaseNumber(number), status: status, image: "")
                    })
            ]
            #expect(try goBack(&simulation).headline == "rolled back to v71, verified", "\(status)")
        }
    }

    @Test func `a fleet that a run left behind is recovered first, and the run is named`() throws {
        var simulation = try deployed { $0.calls.contains("update m2") }
        let report = try goBack(&simulation)
        #expect(report.exitCode == 12)
        #expect(
            report.headline == "way-back: run \(Sample.run) has not ended: of 3 machines, 2 on v71, 1 on v72"
                || report.headline == "way-back: run \(Sample.run) has not ended: of 3 machines, 1 on v71, 2 on v72",
            "\(report.headline)")
        #expect(report.nextSteps == ["finish or undo it: airboss recover production"])
        #expect(!simulation.calls.contains { $0.hasPrefix("update") })
    }

    @Test func `so is one that stands whole on a release that nobody verified`() throws {
        var simulation = try deployed { $0.run.reports.contains { $0.stage == .verify && $0.state == .running } }
        let report = try goBack(&simulation)
        #expect(report.headline == "way-back: run \(Sample.run) has not ended: of 3 machines, 3 on v72")
        #expect(!simulation.calls.contains { $0.hasPrefix("update") })
        // A person may name where to go all the same.
        let named = try goBack(&simulation, Sample.request(.rollback, target: ReleaseNumber(71)))
        #expect(named.headline == "rolled back to v71, verified")
    }

    @Test func `a machine that was not there then gets what its like had, with its own volume`() throws {
        var simulation = try deployed()
        var clone = Sample.machine(9, digest: Sample.newDigest)
        clone.config = try #require(simulation.fly.fleet.first).config
        clone.config.json["mounts"] = [["volume": "vol_9", "path": "/data"]]
        simulation.fly.add(clone)
        let report = try goBack(&simulation)
        #expect(report.headline == "rolled back to v71, verified")
        let now = try #require(simulation.fly.fleet.first { $0.id == clone.id })
        #expect(now.imageDigest == Sample.oldDigest && now.config.json["mounts"] == clone.config.json["mounts"])
        #expect(simulation.fly.destroyed.isEmpty)
    }

    @Test func `a group that the release did not have is not guessed`() throws {
        var simulation = try deployed()
        var worker = Sample.machine(9, digest: Sample.newDigest)
        worker.config.metadata["fly_process_group"] = "worker"
        worker.config.metadata["fly_release_version"] = "72"
        simulation.fly.add(worker)
        let report = try goBack(&simulation)
        #expect(report.headline == "way-back: the platform does not show how v71 ran on m9 (worker)")
        #expect(!simulation.calls.contains { $0.hasPrefix("update") })
    }

    @Test func `what can't be read is not taken for nothing`() throws {
        let down = Answer.failed(failure: Failure(.unavailable, "no answer"))
        var simulation = try deployed()
        simulation.world.scripted["releases"] = [down]
        #expect(try goBack(&simulation).headline == "fleet: no answer")
        simulation.world.scripted["versions"] = [down, down, down]
        let report = try goBack(&simulation)
        #expect(report.headline == "way-back: there is no earlier verified release to go back to")
        #expect(report.warnings.count { $0.contains("could not be read: no answer") } == 3)
    }

    @Test func `where migrations count, a person says that the old code can run`() throws {
        let paths: (inout RunRequest.Settings) -> Void = { $0.migrationPaths = ["migrations"] }
        var simulation = try deployed()
        let report = try goBack(&simulation, Sample.request(.rollback, paths))
        #expect(
            report.headline
                == "migrations: which commit v72 is of is not known, so that migrations since v71 can't be told")
        let overrides = RunRequest.Overrides(approvedBy: "Grace", skippedGates: ["migrations"])
        let overridden = try goBack(&simulation, Sample.request(.rollback, overrides: overrides, paths))
        #expect(overridden.headline == "rolled back to v71, verified")
    }

    @Test func `a ledger that knows the way is enough: nothing more is asked`() throws {
        var simulation = try deployed()
        let report = try goBack(
            &simulation,
            records: [
                release(71, .verified, digest: Sample.oldDigest), release(72, .verified, digest: Sample.newDigest),
            ])
        #expect(report.headline == "rolled back to v71, verified")
        let asked = simulation.calls.prefix { !$0.hasPrefix("update") }
        #expect(!asked.contains { $0.hasPrefix("versions") || $0 == "releases" })
        #expect(simulation.world.records.first { $0.number == ReleaseNumber(72) }?.state == .withdrawn)
    }
}
