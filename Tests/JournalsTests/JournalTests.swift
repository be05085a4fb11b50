// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GRDB
import Model
import Testing

@testable import Journals

@Suite struct JournalTests {
    let scratch: Scratch
    let store: SQLiteStore

    init() async throws {
        scratch = try Scratch()
        store = try await SQLiteStore(path: scratch.file())
    }

    @Test func `entries come back as they were written, in order, also after reopening`() async throws {
        try await store.openRun(header("01A"))
        for number in 1...5 {
            let sequence = try await store.append(
                run: "01A", expectedSequence: Int64(number - 1), kind: "event\(number)", payload: payload("ü\(number)"),
                at: start + .milliseconds(number))
            #expect(sequence == Int64(number))
        }
        try await store.close()
        let reading = try await SQLiteStore(path: scratch.file()).events("01A")
        #expect(reading.tornTail == nil)
        #expect(
            reading.entries
                == (1...5).map {
                    JournalEntry(
                        sequence: Int64($0), kind: "event\($0)", payload: payload("ü\($0)"),
                        at: start + .milliseconds($0))
                })
    }

    @Test func `an append with a stale expectation is refused and says where the journal ends`() async throws {
        try await store.openRun(header("01A"))
        try await store.append(run: "01A", expectedSequence: 0, kind: "a", payload: payload("1"), at: start)
        let conflict = await failure { () throws(StateError) in
            try await store.append(run: "01A", expectedSequence: 0, kind: "b", payload: payload("2"), at: start)
        }
        #expect(conflict?.code == .sequenceConflict(expected: 0, found: 1))
        let ahead = await failure { () throws(StateError) in
            try await store.append(run: "01A", expectedSequence: 7, kind: "b", payload: payload("2"), at: start)
        }
        #expect(ahead?.code == .sequenceConflict(expected: 7, found: 1))
    }

    @Test func `an append repeated after a lost answer is found, not doubled`() async throws {
        try await store.openRun(header("01A"))
        for _ in 1...3 {
            let sequence = try await store.append(
                run: "01A", expectedSequence: 0, kind: "a", payload: payload("1"), at: start)
            #expect(sequence == 1)
        }
        #expect(try await store.events("01A").entries.count == 1)
    }

    @Test func `a run that was never opened has no journal`() async throws {
        let append = await failure { () throws(StateError) in
            try await store.append(run: "01X", expectedSequence: 0, kind: "a", payload: payload("1"), at: start)
        }
        #expect(append?.code == .unknownRun)
        #expect(await failure { () throws(StateError) in try await store.events("01X") }?.code == .unknownRun)
        let close = await failure { () throws(StateError) in
            try await store.closeRun("01X", outcome: "verified", exitCode: 0, finishedAt: start, summary: Data())
        }
        #expect(close?.code == .unknownRun)
    }

    @Test func `a run is opened once; another one may not take its id`() async throws {
        try await store.openRun(header("01A"))
        try await store.openRun(header("01A"))
        let conflict = await failure { () throws(StateError) in
            try await store.openRun(header("01A", pipeline: "staging"))
        }
        #expect(conflict?.code == .conflict)
    }

    @Test func `a run ends exactly once`() async throws {
        try await store.openRun(header("01A"))
        let summary = payload("done")
        try await store.closeRun(
            "01A", outcome: "verified", exitCode: 0, finishedAt: start + .seconds(9), summary: summary)
        // The same end again, from a clock that has gone on.
        try await store.closeRun(
            "01A", outcome: "verified", exitCode: 0, finishedAt: start + .seconds(10), summary: summary)
        for (outcome, exitCode, other) in [
            ("rolled_back", 10, summary), ("verified", 11, summary), ("verified", 0, Data()),
        ] {
            let error = await failure { () throws(StateError) in
                try await store.closeRun(
                    "01A", outcome: outcome, exitCode: Int32(exitCode), finishedAt: start, summary: other)
            }
            #expect(error?.code == .alreadyClosed(outcome: "verified"))
        }
        let late = await failure { () throws(StateError) in
            try await store.append(run: "01A", expectedSequence: 0, kind: "a", payload: payload("1"), at: start)
        }
        #expect(late?.code == .alreadyClosed(outcome: "verified"))
        let end = RunEnd(outcome: "verified", exitCode: 0, finishedAt: start + .seconds(9), summary: summary)
        #expect(try await store.run("01A")?.end == end)
    }

    @Test func `runs are listed newest first and narrowed by app and pipeline`() async throws {
        try await store.openRun(header("01A", at: start))
        try await store.openRun(header("01B", app: "other", pipeline: "other", at: start + .seconds(2)))
        try await store.openRun(header("01C", pipeline: "staging", at: start + .seconds(1)))
        func ids(_ filter: RunFilter, _ limit: Int = 10) async throws -> [RunID] {
            try await store.runs(filter, limit: limit).map(\.header.run)
        }
        #expect(try await ids(.all) == ["01B", "01C", "01A"])
        #expect(try await ids(.all, 2) == ["01B", "01C"])
        #expect(try await ids(.all, -1) == [])
        #expect(try await ids(RunFilter(app: app)) == ["01C", "01A"])
        #expect(try await ids(RunFilter(pipeline: "staging", app: app)) == ["01C"])
        #expect(try await ids(RunFilter(pipeline: "nothing")) == [])
    }

    @Test func `a run is found by a unique prefix, in either letter case, without wildcards`() async throws {
        for id in ["01KABC", "01KABD", "01KAB", "01Z_9"] { try await store.openRun(header(RunID(id))) }
        #expect(try await store.run("01kabc")?.header.run == "01KABC")
        #expect(try await store.run("01KAB")?.header.run == "01KAB")  // exact beats longer ones
        #expect(try await store.run("01Z")?.header.run == "01Z_9")
        #expect(try await store.run("01Z_")?.header.run == "01Z_9")
        for missing in ["", "02", "%", "01_Z", "01KABCD"] { #expect(try await store.run(missing) == nil) }
        let error = await failure { () throws(StateError) in try await store.run("01KA") }
        #expect(error?.code == .ambiguousRun(matches: ["01KAB", "01KABC", "01KABD"]))
        #expect(error?.message.contains("01KABC") == true)
    }

    @Test func `unfinished runs are those of the app that never ended`() async throws {
        #expect(try await store.unfinishedRun(app) == nil)
        try await store.openRun(header("01B", at: start + .seconds(1)))
        try await store.openRun(header("01A", at: start))
        try await store.openRun(header("01C", app: "other"))
        #expect(try await store.unfinishedRuns(app).map(\.header.run) == ["01A", "01B"])
        try await store.closeRun("01A", outcome: "refused", exitCode: 12, finishedAt: start, summary: Data())
        #expect(try await store.unfinishedRun(app)?.header.run == "01B")
    }

    @Test func `what a cancelled task records is recorded`() async throws {
        try await store.openRun(header("01A"))
        let store = self.store
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            #expect(Task.isCancelled)
            try await store.append(run: "01A", expectedSequence: 0, kind: "safe", payload: payload("1"), at: start)
            return try await store.events("01A").entries.count
        }
        #expect(try await task.value == 1)
    }

    @Test func `concurrent appends never share a number`() async throws {
        try await store.openRun(header("01A"))
        let path = scratch.file()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    let own = try await SQLiteStore(path: path)
                    var conflicts = 0
                    for number in 0..<25 {
                        var expected: Int64 = try await own.events("01A").lastSequence
                        while true {
                            do throws(StateError) {
                                try await own.append(
                                    run: "01A", expectedSequence: expected, kind: "w\(writer)",
                                    payload: payload("\(writer)/\(number)"), at: start)
                                break
                            } catch {
                                guard case .sequenceConflict(_, let found) = error.code else { throw error }
                                conflicts += 1
                                expected = found
                            }
                        }
                    }
                    return conflicts
                }
            }
            try await group.waitForAll()
        }
        let reading = try await store.events("01A")
        #expect(reading.tornTail == nil)
        #expect(reading.entries.map(\.sequence) == Array(1...100))
        #expect(Set(reading.entries.map(\.payload)).count == 100)
    }
}

@Suite struct JournalDamageTests {
    let scratch: Scratch
    let path: String

    init() async throws {
        scratch = try Scratch()
        path = scratch.file()
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        for number in 1...4 {
            try await store.append(
                run: "01A", expectedSequence: Int64(number - 1), kind: "event", payload: payload("\(number)"), at: start
            )
        }
        try await store.close()
    }

    @Test(
        arguments: [
            "UPDATE entry SET payload = CAST('{\"text\":\"!\"}' AS BLOB) WHERE sequence = 2",
            "UPDATE entry SET kind = 'other' WHERE sequence = 1",
            "UPDATE entry SET at = at + 1 WHERE sequence = 3",
            "UPDATE entry SET checksum = zeroblob(32) WHERE sequence = 3",
            "DELETE FROM entry WHERE sequence = 2",
            "DELETE FROM entry WHERE sequence = 1",
            "UPDATE entry SET sequence = 99 WHERE sequence = 2",
            "UPDATE run SET head_checksum = zeroblob(32), head_sequence = 2",
        ])
    func `damage before the tail is an error that names the run and the entry`(sql: String) async throws {
        try tamper(path, sql)
        let store = try await SQLiteStore(path: path)
        let error = await failure { () throws(StateError) in try await store.events("01A") }
        #expect(error?.code == .corrupt)
        #expect(error?.detail.contains("run 01A") == true && error?.detail.contains("entry") == true)
        // Nothing is mended by guessing either.
        #expect(await failure { () throws(StateError) in try await store.discardTornTail("01A") }?.code == .corrupt)
    }

    @Test(
        arguments: [
            ("UPDATE entry SET payload = CAST('{}' AS BLOB) WHERE sequence = 4", 3, 1),
            ("UPDATE entry SET checksum = x'00' WHERE sequence = 4", 3, 1),
            ("DELETE FROM entry WHERE sequence = 4", 3, 1),
            ("DELETE FROM entry WHERE sequence > 1", 1, 3),
            ("DELETE FROM entry", 0, 4),
            ("UPDATE run SET head_checksum = zeroblob(32)", 3, 1),
            (
                "UPDATE run SET head_sequence = 3, head_checksum = (SELECT checksum FROM entry WHERE sequence = 3)", 3,
                1
            ),
        ])
    func `a torn tail is told, discarded on request, and the run goes on`(
        sql: String, whole: Int, lost: Int
    ) async throws {
        try tamper(path, sql)
        let store = try await SQLiteStore(path: path)
        let reading = try await store.events("01A")
        #expect(reading.entries.map(\.sequence) == Array(1..<(Int64(whole) + 1)))
        let tail = try #require(reading.tornTail)
        #expect(tail.sequence == Int64(whole) + 1)
        #expect(tail.count == Int64(lost))
        #expect(!tail.detail.isEmpty)

        #expect(try await store.discardTornTail("01A") == Int64(lost))
        #expect(try await store.discardTornTail("01A") == 0)
        try await store.append(
            run: "01A", expectedSequence: reading.lastSequence, kind: "again", payload: payload("5"), at: start)
        let mended = try await store.events("01A")
        #expect(mended.tornTail == nil)
        #expect(mended.entries.count == whole + 1)
    }

    @Test func `every single flipped bit of a payload is seen`() async throws {
        let original = payload("2")
        for bit in 0..<original.count * 8 {
            var flipped = original
            flipped[bit / 8] ^= 1 << (bit % 8)
            try tamper(path, "UPDATE entry SET payload = ? WHERE sequence = 2", [flipped])
            let store = try await SQLiteStore(path: path)
            #expect(await failure { () throws(StateError) in try await store.events("01A") }?.code == .corrupt)
            try await store.close()
        }
        try tamper(path, "UPDATE entry SET payload = ? WHERE sequence = 2", [original])
        #expect(try await SQLiteStore(path: path).events("01A").entries.count == 4)
    }

    @Test func `entries of another run do not fit the chain`() async throws {
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01B"))
        try await store.close()
        try tamper(path, "UPDATE entry SET run = '01B'")
        try tamper(path, "UPDATE run SET head_sequence = 4 WHERE id = '01B'")
        let reopened = try await SQLiteStore(path: path)
        #expect(await failure { () throws(StateError) in try await reopened.events("01B") }?.code == .corrupt)
    }
}
