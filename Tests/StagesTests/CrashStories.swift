// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// A process dies after any of its events, before or after they were kept; another one makes the app whole.
@Suite struct CrashStories {
    enum Story: String, CaseIterable { case rolling, unhealthy, crashing, rollback, removedGroup, addedGroup, first }

    private static func simulation(_ story: Story, seed: UInt64 = 0) -> Simulation {
        var fleet = Sample.fleet(3)
        var new = SimulatedFly.Behaviour()
        var records = [Sample.release(71)]
        var kind = RunKind.deploy
        var toml = Sample.flyToml
        switch story {
        case .rolling: break
        case .unhealthy: new.health = .failsProbes
        case .crashing: new.health = .exits(after: .milliseconds(100))
        case .rollback:
            kind = .rollback
            fleet = (1...3).map { Sample.machine($0, digest: Sample.newDigest) }
            for index in fleet.indices { fleet[index].config.metadata["fly_release_version"] = "72" }
            records.append(Sample.release(72, digest: Sample.newDigest))
        case .removedGroup:
            fleet[2].config.metadata["fly_process_group"] = "gone"
            fleet[2].config.metadata[Bookkeeping.created] = "01EARLIERRUN"
            records[0].machines = fleet.map(RecordedMachine.init)
        case .addedGroup:
            toml = Sample.parse(
                """
                app = "demo"
                primary_region = "ord"
                [processes]
                app = "serve"
                worker = "work"
                [http_service]
                internal_port = 8080
                processes = ["app"]
                [[http_service.checks]]
                method = "GET"
                path = "/health"
                interval = "1s"
                timeout = "500ms"
                """)
            new.health = .failsProbes
        case .first:
            fleet = []
            records = []
        }
        let request = Sample.request(kind) { settings in
            settings.flyToml = toml
            settings.machineCounts = ["app": 2, "worker": 2]
            settings.verify.interval = .milliseconds(500)
            settings.channels = [.email]
        }
        for index in fleet.indices where kind == .deploy { fleet[index].config.metadata["fly_release_version"] = "71" }
        for index in records.indices where records[index].number.value == 71 {
            for machine in records[index].machines.indices {
                records[index].machines[machine].config.metadata["fly_release_version"] = "71"
            }
        }
        var simulation = Simulation(
            request, on: SimulatedFly(fleet, behaviours: [Sample.newDigest: story == .rollback ? .init() : new]),
            seed: seed)
        simulation.world.records = records
        return simulation
    }

    private func complaints(_ simulation: Simulation, _ story: Story) -> [String] {
        var complaints = simulation.fly.violations
        guard let report = simulation.run.report else { return complaints + ["no report"] }
        if !simulation.fly.heldLeases.isEmpty { complaints.append("leases left: \(simulation.fly.heldLeases)") }
        if !simulation.fly.openReleases.isEmpty { complaints.append("releases left open") }
        let digests = Set(simulation.fly.fleet.compactMap(\.imageDigest))
        switch report.outcome {
        case .verified, .rolledBack, .interrupted:
            if digests.count > 1 { complaints.append("\(report.outcome), and the fleet is mixed: \(report.headline)") }
        case .needsHuman: complaints.append("a person is needed: \(report.headline) \(report.divergence)")
        case .refused, .unavailable: if digests.count > 1 { complaints.append("\(report.outcome): \(report.headline)") }
        }
        let known = story == .first ? 2 : 3
        let extra = story == .addedGroup && digests == [Sample.newDigest] ? 2 : 0
        let fleet = simulation.fly.fleet.count
        let fewest = story == .first ? 0 : story == .removedGroup ? 2 : known
        if fleet > known + extra || fleet < fewest { complaints.append("\(fleet) machines at the end") }
        return complaints
    }

    /// Kills the run of a story after each of its steps, and lets `recover` go on with what is left.
    private func killEverywhere(_ story: Story, recover: (inout Simulation) throws -> Void) throws {
        var whole = Self.simulation(story)
        var killed = 0
        while !whole.run.isFinished {
            // Each step: a call arrives, an answer comes back, time passes.
            try whole.step()
            guard !whole.history.isEmpty, !whole.run.isFinished else { continue }
            for seed in 0..<2 {
                var simulation = whole
                simulation.reseed(UInt64(killed * 2 + seed))
                let state = simulation.run.state
                try simulation.crash()
                try recover(&simulation)
                try simulation.go()
                try simulation.settle()
                let complaints = complaints(simulation, story)
                let place = "killed after event \(whole.history.count) in \(state), seed \(seed)"
                #expect(complaints.isEmpty, "\(place): \(simulation.run.report?.headline ?? "")")
            }
            killed += 1
        }
        #expect(killed > 20)
    }

    @Test(arguments: Story.allCases) func `killed at any step, recovered from its journal`(_ story: Story) throws {
        try killEverywhere(story) { try $0.recoverWarm() }
    }

    @Test(arguments: Story.allCases) func `killed at any step, recovered from the platform alone`(_ story: Story) throws
    {
        try killEverywhere(story) { simulation in
            let settings = simulation.run.request.settings
            var request = Sample.request(.recover) { $0 = settings }
            request.run = "02RECOVERY"
            simulation.world.records = []
            simulation.recoverCold(request)
        }
    }
}
