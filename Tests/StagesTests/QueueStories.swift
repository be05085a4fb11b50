// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Foundation
import Model
import Rollouts
import Stages
import Testing

/// Runs that meet others who wait for the same app, on a platform that is all they share.
@Suite struct QueueStories {
    private static let key = Bookkeeping.ticketPrefix + "01OTHERRUN"

    private func beat(_ number: Int) -> Answer { .metadata(values: [QueueStories.key: "1 \(number) 9 ben"]) }

    /// A fleet at whose first machine somebody waits.
    private func simulation(
        _ kind: RunKind = .deploy, emergency: Bool = false, _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> Simulation {
        var fleet = Sample.fleet(3)
        fleet[0].tickets = [QueueStories.key: "1 1 5 ben"]
        let overrides = RunRequest.Overrides(isEmergency: emergency, approvedBy: emergency ? "carol" : "")
        var simulation = Simulation(Sample.request(kind, overrides: overrides, change), on: SimulatedFly(fleet))
        if kind == .rollback {
            simulation.world.records = [
                Sample.release(71, digest: Sample.newDigest), Sample.release(70),
            ]
        }
        return simulation
    }

    @Test(arguments: [(RunKind.deploy, false), (.deploy, true), (.rollback, false), (.recover, false)])
    func `a run that may not wait overtakes nobody who does, whatever its hurry`(_ kind: RunKind, _ isEmergency: Bool)
        throws
    {
        var simulation = simulation(kind, emergency: isEmergency)
        simulation.world.scripted["metadata"] = (1...20).map(beat)
        let before = simulation.fly.fleet
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .refused, "\(report.headline)")
        #expect(report.exitCode == 13)
        #expect(
            report.headline == "others wait for demo: 1 run before this one: run 01OTHERRUN by ben",
            "\(report.headline)")
        #expect(report.nextSteps == ["queue behind them with --wait 15m"])
        #expect(simulation.fly.fleet == before)
        #expect(!simulation.calls.contains { $0.hasPrefix("acquireLease") || $0.hasPrefix("setMetadata") })
    }

    @Test func `one who has died is overtaken, and its ticket goes with the update`() throws {
        var simulation = simulation()
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        let looks = simulation.calls.filter { $0 == "metadata m1" }.count
        #expect((1...WaitingLine.looksOfTheDead + 1).contains(looks), "\(looks)")
        #expect(simulation.fly.fleet.allSatisfy { ($0.tickets ?? [:]).isEmpty })
        #expect(simulation.fly.violations.isEmpty)
    }

    @Test func `what waits is in no record, no config that is sent, and makes no plan another`() throws {
        let clean = Sample.machine(1)
        let config = {
            var config = clean.config
            config.metadata[QueueStories.key] = "1 1 5 ben"
            return config
        }()
        #expect(config.substance == clean.config.substance && config.fingerprint == clean.config.fingerprint)
        let machine = FleetMachine(
            id: clean.id, name: clean.name, state: clean.state, region: clean.region, instance: clean.instance,
            config: config, imageDigest: clean.imageDigest)
        #expect(machine.tickets == [QueueStories.key: "1 1 5 ben"])
        #expect(machine.config == clean.config)
        #expect(MachineVersionEntry(instance: "i", config: config).config == clean.config)
        #expect(
            RecordedMachine(id: "m1", name: "n", region: "ord", config: config, isCordoned: false).config
                == clean.config)
        #expect(PlannedStart(image: nil, fleet: [clean]).difference(in: [machine]) == nil)

        var simulation = simulation { $0.waitForApp = .seconds(600) }
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        for case .platform(.update(_, let config, _, _, _)) in simulation.effects {
            #expect(config.tickets.isEmpty)
        }
        let record = try #require(simulation.world.records.first { $0.number == ReleaseNumber(72) })
        #expect(record.machines.allSatisfy { $0.config.tickets.isEmpty })
    }

    @Test func `a run that waits says for whom, and takes its ticket along when it is interrupted`() throws {
        var simulation = simulation { $0.waitForApp = .seconds(600) }
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(3600))
        simulation.interrupt(at: Sample.start + .seconds(63))
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .interrupted)
        #expect(simulation.now - Sample.start < .seconds(63 + 7), "it must be gone within 7.5 s")
        let texts = simulation.notes.compactMap { note in if case .message(let text) = note { text } else { nil } }
        #expect(
            texts.contains {
                $0.hasPrefix(
                    "someone holds its lease; 1 run before this one: run 01OTHERRUN by ben; waiting in place 2")
            }, "\(texts)")
        #expect(texts.contains { $0.hasPrefix("someone holds its lease; waiting in place 1 until ") }, "\(texts)")
        let own = Bookkeeping.ticketPrefix + Sample.run.rawValue
        #expect(
            simulation.effects.contains { if case .platform(.setMetadata("m1", own, _)) = $0 { true } else { false } })
        #expect(simulation.fly.fleet[0].tickets?[own] == nil)
        #expect(simulation.fly.violations.isEmpty)
    }

    @Test func `a run that waited in vain says for how long`() throws {
        var simulation = simulation { $0.waitForApp = .seconds(60) }
        simulation.world.scripted["metadata"] = (1...40).map(beat)
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.exitCode == 13)
        #expect(report.headline.hasSuffix(", and still did after 1 m"), "\(report.headline)")
        #expect(simulation.fly.fleet[0].tickets?[Bookkeeping.ticketPrefix + Sample.run.rawValue] == nil)
    }

    @Test func `tickets that can't be read or written keep nobody from the app`() throws {
        for code in [Failure.Code.forbidden, .unavailable, .notFound] {
            var simulation = simulation { $0.waitForApp = .seconds(600) }
            let refusal = Answer.failed(failure: Failure(code, "no"))
            simulation.world.scripted["metadata"] = Array(repeating: refusal, count: 90)
            simulation.world.scripted["setMetadata"] = Array(repeating: refusal, count: 90)
            try simulation.go()
            #expect(simulation.run.report?.outcome == .verified, "\(code)")
        }
    }

    @Test func `a run that goes on with what it had begun waits for nobody's turn`() throws {
        var simulation = simulation()
        simulation.world.scripted["metadata"] = (1...3).map { _ in .metadata(values: [:]) }
        try simulation.go { $0.calls.contains("update m1") }
        simulation.fly.change("m1") { $0.tickets = [QueueStories.key: "1 1 5 ben"] }
        let looks = simulation.calls.filter { $0 == "metadata m1" }.count
        try simulation.crash()
        try simulation.recoverWarm()
        try simulation.go()
        // Its journal leads to a new history of calls: those after the crash are counted.
        #expect(simulation.calls.filter { $0 == "metadata m1" }.count <= looks)
        #expect(simulation.run.report?.outcome == .rolledBack, "\(String(describing: simulation.run.report?.headline))")
    }

    @Test func `a journal of an earlier version, which knew of no tickets, is played as it was written`() throws {
        let encoder = JSONEncoder()
        var old = try JSONValue(
            parsing: String(
                decoding: encoder.encode(Sample.request { $0.waitForApp = .seconds(600) }), as: UTF8.self))
        #expect(old["settings"]?["waitsInLine"] == true)
        old["settings"]?["waitsInLine"] = nil
        old["settings"]?["judgesAgain"] = nil
        let request = try JSONDecoder().decode(RunRequest.self, from: Data(old.text().utf8))
        var simulation = Simulation(request, on: simulation().fly)
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(40))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(!simulation.calls.contains { $0.lowercased().contains("metadata") })
    }

    @Test func `a journal that is played again leads to the same tickets`() throws {
        var simulation = simulation { $0.waitForApp = .seconds(600) }
        simulation.fly.leaseForAnother("m1", until: Sample.start + .seconds(40))
        try simulation.go()
        var again = RunMachine(simulation.run.request)
        for entry in simulation.history {
            let agenda = try again.apply(entry.event)
            #expect(agenda.actions == entry.actions)
        }
        #expect(again == simulation.run)
    }
}
