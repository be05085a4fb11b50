// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GRDB
import Glibc
import Model
import Testing

@testable import Journals

@Suite struct DurabilityTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// Copies the database and a part of its log, as they would be found after a crash.
    private func copy(_ path: String, to target: String, logBytes: Int) throws {
        for suffix in ["", "-wal", "-shm"] where FileManager.default.fileExists(atPath: target + suffix) {
            try FileManager.default.removeItem(atPath: target + suffix)
        }
        try FileManager.default.copyItem(atPath: path, toPath: target)
        let log = try Data(contentsOf: URL(filePath: path + "-wal"))
        try log.prefix(logBytes).write(to: URL(filePath: target + "-wal"))
    }

    @Test func `a log cut anywhere leaves a clean beginning of the journal`() async throws {
        let path = scratch.file()
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        for number in 0..<12 {
            try await store.append(
                run: "01A", expectedSequence: Int64(number), kind: "event", payload: payload("\(number)"), at: start)
        }
        let length = try Data(contentsOf: URL(filePath: path + "-wal")).count
        let target = scratch.file("copy.sqlite")
        var counts: [Int] = []
        // Steps that meet headers, page bodies and both sides of their boundaries (a frame is 24 + 4096 bytes).
        let cuts = stride(from: 0, through: length, by: 977).map { $0 } + [length - 1, length, 31, 32, 33, 32 + 4120]
        for cut in cuts.sorted() {
            try copy(path, to: target, logBytes: cut)
            let torn = try await SQLiteStore(path: target)
            guard try await torn.run("01A") != nil else {
                counts.append(-1)
                try await torn.close()
                continue
            }
            let reading = try await torn.events("01A")
            #expect(reading.tornTail == nil)
            #expect(reading.entries.map(\.payload) == (0..<reading.entries.count).map { payload("\($0)") })
            counts.append(reading.entries.count)
            // The run goes on from there.
            try await torn.append(
                run: "01A", expectedSequence: reading.lastSequence, kind: "recovered", payload: payload("r"), at: start)
            #expect(try await torn.events("01A").entries.count == reading.entries.count + 1)
            try await torn.close()
        }
        #expect(counts == counts.sorted())
        #expect(Set(counts).isSuperset(of: -1...12))
    }

    /// The crash that matters most: in the midst of writing the entry that was last.
    @Test func `a log cut at any byte of its last write has the last entry or ends before it`() async throws {
        let path = scratch.file()
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        func append(_ number: Int) async throws {
            try await store.append(
                run: "01A", expectedSequence: Int64(number), kind: "event", payload: payload("\(number)"), at: start)
        }
        for number in 0..<3 { try await append(number) }
        let before = try Data(contentsOf: URL(filePath: path + "-wal")).count
        try await append(3)
        let log = try Data(contentsOf: URL(filePath: path + "-wal"))
        #expect(log.count > before)
        let target = scratch.file("copy.sqlite")
        var isThere: [Bool] = []
        try copy(path, to: target, logBytes: log.count)
        for cut in (before...log.count).reversed() {
            try #require(truncate(target + "-wal", off_t(cut)) == 0)
            // The index of the log is made anew, as after a crash.
            unlink(target + "-shm")
            let rows = try entriesOfCopy(target)
            isThere.append(rows.count == 4)
            if rows != [1, 2, 3, 4] && rows != [1, 2, 3] { Issue.record("cut at \(cut): \(rows)") }
        }
        // The entry is there with the last byte of its write, and not before.
        #expect(isThere.filter { $0 }.count == 1 && isThere.first == true)
        print("log cut at each of \(isThere.count) bytes of its last write")
        // And the store itself says the same at both sides of every frame.
        for cut in [before, before + 1, before + 24, log.count - 1, log.count] {
            try copy(path, to: target, logBytes: cut)
            let torn = try await SQLiteStore(path: target)
            let reading = try await torn.events("01A")
            #expect(reading.tornTail == nil && reading.entries.count == (cut == log.count ? 4 : 3))
            try await torn.close()
        }
    }

    /// The numbers of the entries whose chain fits the head, as the copy has them.
    private func entriesOfCopy(_ path: String) throws -> [Int64] {
        // Who only reads leaves the file and its log as they are.
        var configuration = Configuration()
        configuration.readonly = true
        return try DatabaseQueue(path: path, configuration: configuration).inDatabase { database in
            let row = try #require(try Row.fetchOne(database, sql: "SELECT head_sequence, head_checksum FROM run"))
            let rows = try Row.fetchAll(database, sql: "SELECT * FROM entry ORDER BY sequence").map { row in
                JournalChain.Row(
                    entry: JournalEntry(
                        sequence: row["sequence"], kind: row["kind"], payload: row["payload"],
                        at: Timestamp(milliseconds: row["at"])), checksum: row["checksum"])
            }
            let head = JournalChain.Head(sequence: row["head_sequence"], checksum: row["head_checksum"])
            let reading = try JournalChain.verify(run: "01A", rows: rows, head: head)
            #expect(reading.tornTail == nil)
            return reading.entries.map(\.sequence)
        }
    }

    @Test func `a log with a flipped bit leaves a clean beginning of the journal`() async throws {
        let path = scratch.file()
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        for number in 0..<12 {
            try await store.append(
                run: "01A", expectedSequence: Int64(number), kind: "event", payload: payload("\(number)"), at: start)
        }
        let length = try Data(contentsOf: URL(filePath: path + "-wal")).count
        let target = scratch.file("copy.sqlite")
        for position in stride(from: 100, to: length, by: 3001) {
            try copy(path, to: target, logBytes: length)
            var log = try Data(contentsOf: URL(filePath: target + "-wal"))
            log[position] ^= 0x10
            try log.write(to: URL(filePath: target + "-wal"))
            let flipped = try await SQLiteStore(path: target)
            if try await flipped.run("01A") != nil {
                let reading = try await flipped.events("01A")
                #expect(reading.entries.map(\.payload) == (0..<reading.entries.count).map { payload("\($0)") })
            }
            try await flipped.close()
        }
    }

    @Test(arguments: [1, 7, 40])
    func `what was acknowledged survives kill -9`(acknowledged: Int) async throws {
        let path = scratch.file()
        let acknowledgements = scratch.file("acknowledged")
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [
                path = path as String, acknowledgements = acknowledgements as String, acknowledged = acknowledged as Int
            ] in
            let store = try await SQLiteStore(path: path)
            try await store.openRun(header("01A"))
            let log = creat(acknowledgements, 0o600)
            for number in 0... {
                if number == acknowledged {
                    // In the midst of what follows, at a moment nobody chose.
                    Thread.detachNewThread {
                        usleep(UInt32.random(in: 0...3000))
                        kill(getpid(), SIGKILL)
                    }
                }
                try await store.append(
                    run: "01A", expectedSequence: Int64(number), kind: "event", payload: payload("\(number)"), at: start
                )
                write(log, "x", 1)
            }
        }
        let promised = try Data(contentsOf: URL(filePath: acknowledgements)).count
        #expect(promised >= acknowledged)
        let reading = try await SQLiteStore(path: path).events("01A")
        #expect(reading.tornTail == nil)
        // The one in flight may be there or not.
        #expect(reading.entries.count == promised || reading.entries.count == promised + 1)
        #expect(reading.entries.map(\.payload) == (0..<reading.entries.count).map { payload("\($0)") })
    }

    @Test func `a run that died is found abandoned, and taken over`() async throws {
        let path = scratch.file()
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let store = try await SQLiteStore(path: path)
            try await store.openRun(header("01A"))
            let answer = try await store.acquire(
                app, run: "01A", holder: .process(at: start), at: start, silence: .seconds(60))
            #expect(answer == .acquired(fence: 1))
            kill(getpid(), SIGKILL)
        }
        let store = try await SQLiteStore(path: path)
        let me = Holder.process(at: start)
        guard
            case .abandonedBy(let hold) = try await store.acquire(
                app, run: "01B", holder: me, at: start, silence: .seconds(60))
        else {
            Issue.record("a dead run still holds the app")
            return
        }
        #expect(try await store.unfinishedRun(app)?.header.run == hold.run)
        #expect(
            try await store.acquire(app, run: hold.run, holder: me, at: start, silence: .seconds(60))
                == .acquired(fence: 2))
    }

    @Test func `two processes that append to one journal interleave without a gap`() async throws {
        let path = scratch.file()
        try await SQLiteStore(path: path).openRun(header("01A"))
        async let first: Void = appendFiftyInAnotherProcess(path)
        async let second: Void = appendFiftyInAnotherProcess(path)
        _ = await (first, second)
        let reading = try await SQLiteStore(path: path).events("01A")
        #expect(reading.tornTail == nil)
        #expect(reading.entries.map(\.sequence) == Array(1...100))
    }

    private func appendFiftyInAnotherProcess(_ path: String) async {
        await #expect(processExitsWith: .success) { [path = path as String] in
            let store = try await SQLiteStore(path: path)
            var expected: Int64 = 0
            for number in 0..<50 {
                while true {
                    do throws(StateError) {
                        expected = try await store.append(
                            run: "01A", expectedSequence: expected, kind: "p\(getpid())", payload: payload("\(number)"),
                            at: start)
                        break
                    } catch {
                        guard case .sequenceConflict(_, let found) = error.code else { throw error }
                        expected = found
                    }
                }
            }
        }
    }

    @Test(arguments: ["file", "folder"])
    func `without permission to write, the store says so`(what: String) async throws {
        let path = scratch.file()
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        try await store.close()
        func allow(_ mode: Int, _ path: String) throws {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        try allow(what == "file" ? 0o444 : 0o666, path)
        try allow(what == "file" ? 0o777 : 0o555, scratch.path)
        let before = try Data(contentsOf: URL(filePath: path))
        await #expect(processExitsWith: .success) { [path = path as String] in
            // Permissions do not bind root; another user's id does.
            if geteuid() == 0 { #expect(setgid(65534) == 0 && setuid(65534) == 0) }
            let error = await failure { () throws(StateError) in try await SQLiteStore(path: path) }
            #expect(error?.code == .readOnly)
        }
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
        try allow(0o755, scratch.path)
    }

    @Test func `a thousand durable appends and their replay (times printed)`() async throws {
        let path = scratch.file()
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        let body = payload(String(repeating: "x", count: 400))
        let clock = ContinuousClock()
        let appending = try await clock.measure {
            for number in 0..<1000 {
                try await store.append(
                    run: "01A", expectedSequence: Int64(number), kind: "event", payload: body, at: start)
            }
        }
        try await store.close()
        var entries = 0
        let replaying = try await clock.measure {
            entries = try await SQLiteStore(path: path).events("01A").entries.count
        }
        #expect(entries == 1000)
        print("journal: 1,000 durable appends in \(appending), opened and replayed in \(replaying)")
    }
}
