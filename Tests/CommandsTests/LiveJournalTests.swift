// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Foundation
import Journals
import Model
import Ports
import Stages
import Testing

@testable import Commands

/// A run's journal in a real store, with snapshots, read as a recovery reads it.
@Suite("Journals with snapshots")
struct LiveJournalTests {
    private static let build = "a build of this test"

    private struct Written {
        var store: any StateStore
        var record: RunRecord
        var events: [RunEvent]
        /// What the run had come to after each number of events.
        var machines: [RunMachine]
    }

    /// A store with the journal of a failing deploy, up to a number of events.
    private func write(_ url: String, events limit: Int, every distance: Int64) async throws -> Written {
        let request = Sample.request {
            $0.verify.interval = .seconds(1)
            $0.verify.soak = .seconds(10)
        }
        var simulation = Simulation(
            request, on: SimulatedFly(Sample.fleet(3), behaviours: [Sample.newDigest: .init(health: .failsProbes)]))
        try simulation.go { $0.history.count >= limit }
        let store = try await StateStores.open(url)
        let holder = Holder.process(at: Sample.start)
        guard
            case .acquired(let token) = try await store.acquire(
                request.app, run: request.run, holder: holder, at: Sample.start, silence: .seconds(1))
        else { throw Trouble("the app is not free") }
        try await store.openRun(
            RunHeader(
                run: request.run, pipeline: request.pipeline, app: request.app, kind: request.kind.rawValue,
                actor: "ada", reason: "because", host: holder.host, processID: holder.processID,
                startedAt: Sample.start, schema: LiveJournal.schema))
        let journal = LiveJournal(
            store, fence: Fence(app: request.app, run: request.run, token: token),
            audited: AuditedRun(
                origin: AuditOrigin(actor: "ada", identities: [:], host: "h", entryPoint: "shell", command: "airboss"),
                pipeline: request.pipeline, app: request.app, run: request.run, reason: "because"),
            after: 0, build: LiveJournalTests.build, entriesBetweenSnapshots: distance)
        try await journal.begin(request, at: Sample.start)
        var machines = [RunMachine(request)]
        for (event, _) in simulation.history.prefix(limit) {
            var machine = machines[machines.count - 1]
            _ = try machine.apply(event)
            try await journal.append(event, audit: [])
            await journal.reached(machine)
            machines.append(machine)
        }
        let record = try #require(try await store.unfinishedRun(request.app))
        return Written(
            store: store, record: record, events: simulation.history.prefix(limit).map(\.event), machines: machines)
    }

    private func check(_ written: Written, within distance: Int64) async throws {
        let quick = try await LiveJournal.read(written.record, from: written.store, build: LiveJournalTests.build)
        #expect(quick.machine == written.machines.last)
        // The request is the first entry.
        #expect(quick.lastSequence == Int64(written.events.count) + 1)
        if quick.lastSequence > distance {
            #expect(quick.snapshotSequence > 0 && quick.applied < distance)
            #expect(quick.snapshotSequence + Int64(quick.applied) == quick.lastSequence)
        }
        for build in [nil, "another build"] {
            let whole = try await LiveJournal.read(written.record, from: written.store, build: build)
            #expect(whole.machine == written.machines.last)
            #expect(whole.snapshotSequence == 0 && whole.applied == written.events.count)
        }
    }

    @Test("read from its last snapshot a run is what it was, wherever it died", arguments: [1, 2, 7, 13, 40, 60])
    func everywhere(events: Int) async throws {
        let folder = try TemporaryFolder()
        for distance: Int64 in [1, 5, 1_000] {
            let written = try await write(
                "sqlite:\(folder.path)/\(distance).sqlite", events: events, every: distance)
            try await check(written, within: distance)
        }
    }

    @Test("the same in PostgreSQL", .enabled(if: DatabaseServer.canRun))
    func postgres() async throws {
        try await DatabaseServer.open { server in
            try await check(try await write(server.url, events: 47, every: 10), within: 10)
        }
    }

    /// Events that are bad in themselves or can't follow, and what is said of them.
    static let badEvents = [
        (
            "{\"at\":\"2026-11-23T12:00:00Z\",\"kind\":{\"answered\":{\"action\":9999,\"answer\":{\"woke\":{}}}}}",
            "can't follow those before it"
        ),
        ("{}", "can't be read: “at” is missing"),
        ("{\"at\":\"x\",\"kind\":{\"started\":{}}}", "can't be read: “at” is not what it should be"),
        ("\u{0}", "can't be read: it is no JSON of ours"),
    ]

    private func checkBad(_ url: String, _ payload: String, _ words: String) async throws {
        let written = try await write(url, events: 20, every: 5)
        let run = written.record.header.run
        // Another one behind it, and one of a form that is read otherwise than most before it.
        for text in [payload, " {\"at\":\"2026-11-23T12:00:00Z\",\"kind\":{\"resumed\":{}}}"] {
            let last = try await written.store.events(run).lastSequence
            try await written.store.append(
                run: run, expectedSequence: last, kind: "answered", payload: Data(text.utf8), at: Sample.start)
        }
        for build in [nil, LiveJournalTests.build] {
            let error = await #expect(throws: AirbossError.self) {
                try await LiveJournal.read(written.record, from: written.store, build: build)
            }
            // The request is entry 1, the last of the twenty events entry 21.
            #expect(
                error?.code == .unavailable && error?.hint.contains("--from-platform") == true
                    && error?.message.hasPrefix("entry 22 in the journal of run \(run) \(words)") == true
                    && error?.message.hasSuffix("nothing was changed") == true, "\(String(describing: error))")
        }
    }

    @Test(
        "an illegal or unreadable event is named by its number, with a snapshot before it or without",
        arguments: badEvents)
    func illegal(payload: String, words: String) async throws {
        try await checkBad("sqlite:\(try TemporaryFolder().path)/state.sqlite", payload, words)
    }

    @Test("the same of a journal in PostgreSQL", .enabled(if: DatabaseServer.canRun))
    func illegalInPostgres() async throws {
        try await DatabaseServer.open { server in
            for (index, (payload, words)) in LiveJournalTests.badEvents.enumerated() {
                try await checkBad(try await server.makeDatabase("bad_\(index)"), payload, words)
            }
        }
    }

    @Test("this program is told from any other by its build id")
    func buildIdentity() throws {
        let path = Surroundings.airboss
        let id = try #require(BuildIdentity.note(of: path))
        #expect(id.count >= 16 && id.allSatisfy(\.isHexDigit))
        #expect(BuildIdentity.current?.hasPrefix("0.1.0 ") == true && BuildIdentity.current != "0.1.0 \(id)")
        #expect(BuildIdentity.note(of: "/etc/hostname") == nil)
        #expect(BuildIdentity.note(of: "/nowhere") == nil)
        // Cut anywhere in its headers and notes, it is a program without one and no crash.
        let folder = try TemporaryFolder()
        let bytes = try Data(contentsOf: URL(filePath: path), options: .alwaysMapped).prefix(8192)
        for length in stride(from: 0, to: bytes.count, by: 37) {
            let cut = folder.path + "/cut"
            try bytes.prefix(length).write(to: URL(filePath: cut))
            let found = BuildIdentity.note(of: cut)
            #expect(found == nil || found == id)
        }
    }
}

/// A folder that is removed with the last use of this value.
private final class TemporaryFolder: Sendable {
    let path = NSTemporaryDirectory() + "airboss-journal-" + UUID().uuidString

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)  // a leftover costs only room
    }
}
