// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import FoundationEssentials
import Model
import Orchestration
import Stages
import Testing

/// A run that is gone on with from a snapshot is the run that its whole journal leads to.
@Suite struct RunReplayTests {
    private struct Played {
        var name: String
        var request: RunRequest
        var events: [RunEvent]
        var payloads: [Data]
        /// What the run had come to after each number of events, 0 included.
        var machines: [RunMachine]

        func snapshot(_ events: Int) throws -> Data { try RunReplayTests.encode(machines[events]) }
    }

    private static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }

    /// Runs that go well, fail, are interrupted, and die and are gone on with, with lost answers in half of them.
    private static func play() throws -> [Played] {
        var played: [Played] = []
        for seed in UInt64(1)..<8 {
            let fails = seed % 3 == 1
            let request = Sample.request(seed % 4 == 3 ? .rollback : .deploy) {
                $0.verify.interval = .seconds(1)
                $0.verify.soak = .seconds(4)
                $0.channels = [.summary, .email]
            }
            let fly = SimulatedFly(
                Sample.fleet(3), behaviours: [Sample.newDigest: .init(health: fails ? .failsProbes : .good)])
            var simulation = Simulation(request, on: fly, seed: seed)
            if seed % 2 == 1 { simulation.faults.oneCallIn = 6 }
            if seed % 5 == 4 { simulation.interrupt(at: Sample.start + .seconds(5)) }
            if seed % 4 == 2 {
                try simulation.go { $0.history.count >= 30 }
                try simulation.crash()
                try simulation.recoverWarm()
            }
            try simulation.go()
            let events = simulation.history.map(\.event)
            var machines = [RunMachine(request)]
            for event in events {
                machines.append(try RunReplay.machine(machines[machines.count - 1], events: [event]))
            }
            #expect(machines.last == simulation.run)
            played.append(
                Played(
                    name: "seed \(seed), \(simulation.run.report?.outcome.rawValue ?? "no end")", request: request,
                    events: events, payloads: try events.map(encode), machines: machines))
        }
        return played
    }

    @Test func `with a snapshot after any event and without one, a journal cut at any place leads to the same`()
        async throws
    {
        var replays = 0
        for run in try RunReplayTests.play() {
            var random = SeededRandom(seed: UInt64(run.events.count))
            for cut in 0...run.events.count {
                let payloads = Array(run.payloads.prefix(cut))
                let whole = try await RunReplay.machine(run.request, payloads: payloads)
                #expect(whole == run.machines[cut], "\(run.name), cut at \(cut)")
                for after in Set([max(0, cut - 1), Int(random.next() % UInt64(cut + 1))]) {
                    let quick = await RunReplay.machine(
                        run.request, from: try run.snapshot(after), payloads: Array(payloads.dropFirst(after)))
                    #expect(quick == run.machines[cut], "\(run.name), cut at \(cut), snapshot after \(after)")
                    replays += 1
                }
            }
        }
        print("replays from snapshots: \(replays)")
    }

    @Test func `a snapshot that is cut, or of another run, is none`() async throws {
        let run = try RunReplayTests.play()[0]
        let half = run.events.count / 2
        let good = try run.snapshot(half)
        let rest = Array(run.payloads.dropFirst(half))
        #expect(await RunReplay.machine(run.request, from: good, payloads: rest) == run.machines.last)
        var bad = stride(from: 0, to: good.count, by: max(1, good.count / 200)).map { good.prefix($0) }
        var other = run.request
        other.reason = "something else"
        bad.append(try RunReplayTests.encode(RunMachine(other)))
        for state in bad { #expect(await RunReplay.machine(run.request, from: state, payloads: rest) == nil) }
        print("snapshots left aside: \(bad.count)")
    }

    @Test func `what is wrong after the snapshot makes it none, and is an error of the whole`() async throws {
        let run = try RunReplayTests.play()[0]
        let half = run.events.count / 2
        let unasked = RunEvent(
            at: run.events[run.events.count - 1].at, kind: .answered(action: ActionID(999_999), answer: .woke))
        let illegal = run.payloads + [try RunReplayTests.encode(unasked)]
        let unreadable = run.payloads + [Data("{}".utf8)]
        for payloads in [illegal, unreadable] {
            let quick = await RunReplay.machine(
                run.request, from: try run.snapshot(half), payloads: Array(payloads.dropFirst(half)))
            #expect(quick == nil)
        }
        for payloads in [illegal, unreadable] {
            let error = await #expect(throws: RunReplay.BadEvent.self) {
                try await RunReplay.machine(run.request, payloads: payloads)
            }
            #expect(error?.index == run.payloads.count)
            switch error?.reason {
            case .illegal: #expect(payloads == illegal)
            case .unreadable: #expect(payloads == unreadable)
            case nil: break
            }
        }
    }

    @Test func `the entry that can't be read is the one named, wherever it stands`() async throws {
        let run = try RunReplayTests.play()[0]
        // Answers that nobody waits for any more change nothing.
        let late = RunEvent(
            at: run.events[run.events.count - 1].at, kind: .answered(action: ActionID(1), answer: .woke))
        let wakes = Array(repeating: try RunReplayTests.encode(late), count: 1200)
        let two = wakes[1] + Data(",".utf8) + wakes[2]
        for bad in [Data(), Data("{}".utf8), Data([0xFF, 0x00]), two, Data("[".utf8), wakes[7].dropLast()] {
            for index in [0, 1, 511, 512, 1199] {
                // One more that is not of the plain form, so that several are decoded in one go.
                var payloads = wakes
                payloads[510] = Data(" ".utf8) + wakes[510]
                payloads[index] = bad
                // The first event of a run is not an answer, and so the replay would stop there for its own reason.
                if index > 0 { payloads.insert(contentsOf: run.payloads, at: 0) }
                let place = index > 0 ? run.payloads.count + index : 0
                let error = await #expect(throws: RunReplay.BadEvent.self) {
                    try await RunReplay.machine(run.request, payloads: payloads)
                }
                #expect(error?.index == place)
            }
        }
    }
}
