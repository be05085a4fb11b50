// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Journals

@Suite struct JournalTests {
    @Test(arguments: StoreKind.available)
    func `entries come back as they were written, in order, also after reopening`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        let store = try await place.open()
        try await store.openRun(header("01A"))
        for number in 1...5 {
            let sequence = try await store.append(
                run: "01A", expectedSequence: Int64(number - 1), kind: "event\(number)", payload: payload("ü\(number)"),
                at: start + .milliseconds(number))
            #expect(sequence == Int64(number))
        }
        try await store.close()
        let reading = try await place.open().events("01A")
        #expect(reading.tornTail == nil)
        #expect(
            reading.entries
                == (1...5).map {
                    JournalEntry(
                        sequence: Int64($0), kind: "event\($0)", payload: payload("ü\($0)"),
                        at: start + .milliseconds($0))
                })
    }

    @Test(arguments: StoreKind.available)
    func `an append with a stale expectation is refused and says where the journal ends`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
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

    @Test(arguments: StoreKind.available)
    func `an append repeated after a lost answer is found, not doubled`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await store.openRun(header("01A"))
        for _ in 1...3 {
            let sequence = try await store.append(
                run: "01A", expectedSequence: 0, kind: "a", payload: payload("1"), at: start)
            #expect(sequence == 1)
        }
        #expect(try await store.events("01A").entries.count == 1)
    }

    @Test(arguments: StoreKind.available)
    func `a run that was never opened has no journal`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
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

    @Test(arguments: StoreKind.available)
    func `a run is opened once; another one may not take its id`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await store.openRun(header("01A"))
        try await store.openRun(header("01A"))
        let conflict = await failure { () throws(StateError) in
            try await store.openRun(header("01A", pipeline: "staging"))
        }
        #expect(conflict?.code == .conflict)
    }

    @Test(arguments: StoreKind.available)
    func `a run ends exactly once`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
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

    @Test(arguments: StoreKind.available)
    func `runs are listed newest first and narrowed by app and pipeline`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
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

    @Test(arguments: StoreKind.available)
    func `a run is found by a unique prefix, in either letter case, without wildcards`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
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

    @Test(arguments: StoreKind.available)
    func `unfinished runs are those of the app that never ended`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(try await store.unfinishedRun(app) == nil)
        try await store.openRun(header("01B", at: start + .seconds(1)))
        try await store.openRun(header("01A", at: start))
        try await store.openRun(header("01C", app: "other"))
        #expect(try await store.unfinishedRuns(app).map(\.header.run) == ["01A", "01B"])
        try await store.closeRun("01A", outcome: "refused", exitCode: 12, finishedAt: start, summary: Data())
        #expect(try await store.unfinishedRun(app)?.header.run == "01B")
    }

    @Test(arguments: StoreKind.available)
    func `what a cancelled task records is recorded`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await store.openRun(header("01A"))
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            #expect(Task.isCancelled)
            try await store.append(run: "01A", expectedSequence: 0, kind: "safe", payload: payload("1"), at: start)
            return try await store.events("01A").entries.count
        }
        #expect(try await task.value == 1)
    }

    @Test(arguments: StoreKind.available)
    func `concurrent appends never share a number`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        let store = try await place.open()
        try await store.openRun(header("01A"))
        try await withThrowingTaskGroup(of: Int.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    let own = try await place.open()
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
