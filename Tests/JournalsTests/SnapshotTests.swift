// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Journals

/// Snapshots are a cache: what is wrong with one costs time and nothing else.
@Suite struct SnapshotTests {
    private static let build = "0.0.0 of this test"
    private static let state = Data("{\"counted\":4}".utf8)

    private func append(_ store: any SQLStore, _ numbers: ClosedRange<Int>, text: String = "") async throws {
        for number in numbers {
            try await store.append(
                run: "01A", expectedSequence: Int64(number - 1), kind: "event", payload: payload(text + "\(number)"),
                at: start)
        }
    }

    /// A store with a run of six entries and a snapshot after the fourth.
    private func makePlace(_ kind: StoreKind) async throws -> (Place, any SQLStore) {
        let place = try await Place(kind)
        let store = try await place.open()
        try await store.openRun(header("01A"))
        try await append(store, 1...4)
        #expect(
            try await store.keepSnapshot(
                of: "01A", after: 4, build: SnapshotTests.build, state: SnapshotTests.state, fence: nil))
        try await append(store, 5...6)
        return (place, store)
    }

    private func snapshot(_ store: any SQLStore, build: String? = SnapshotTests.build) async throws -> RunSnapshot? {
        let replay = try await store.replay("01A", build: build)
        let reading = try await store.events("01A")
        #expect(replay.first == reading.entries.first && replay.lastSequence == reading.lastSequence)
        #expect(replay.tornTail == reading.tornTail)
        #expect(replay.entries == Array(reading.entries.dropFirst(Int(replay.snapshot?.sequence ?? 1))))
        return replay.snapshot
    }

    @Test(arguments: StoreKind.available)
    func `a snapshot comes back with all entries, to the build that made it`(kind: StoreKind) async throws {
        let (place, store) = try await makePlace(kind)
        try await store.close()
        let again = try await place.open()
        let found = try #require(try await snapshot(again))
        #expect(found.sequence == 4 && found.state == SnapshotTests.state)
        #expect(try await again.replay("01A", build: SnapshotTests.build).lastSequence == 6)
        #expect(try await snapshot(again, build: "0.0.1 of this test") == nil)
        #expect(try await snapshot(again, build: nil) == nil)
        try await again.close()
    }

    @Test(arguments: StoreKind.available)
    func `only the end of a journal is kept, the newer one instead of the older, and none of a run that ended`(
        kind: StoreKind
    ) async throws {
        let (_, store) = try await makePlace(kind)
        for sequence: Int64 in [0, 4, 5, 7] {
            #expect(
                try await !store.keepSnapshot(
                    of: "01A", after: sequence, build: SnapshotTests.build, state: Data(), fence: nil))
        }
        let newer = Data("newer".utf8)
        #expect(
            try await store.keepSnapshot(of: "01A", after: 6, build: SnapshotTests.build, state: newer, fence: nil))
        #expect(try await snapshot(store)?.state == newer)
        try await store.closeRun("01A", outcome: "verified", exitCode: 0, finishedAt: start, summary: payload("done"))
        #expect(try await snapshot(store) == nil)
        #expect(
            try await !store.keepSnapshot(of: "01A", after: 6, build: SnapshotTests.build, state: newer, fence: nil))
        let unknown = await failure { () throws(StateError) in
            try await store.keepSnapshot(of: "01X", after: 0, build: "b", state: newer, fence: nil)
        }
        #expect(unknown?.code == .unknownRun)
        try await store.close()
    }

    @Test(arguments: StoreKind.available)
    func `who has lost the app keeps none`(kind: StoreKind) async throws {
        let (_, store) = try await makePlace(kind)
        let error = await failure { () throws(StateError) in
            try await store.keepSnapshot(
                of: "01A", after: 6, build: SnapshotTests.build, state: Data("x".utf8),
                fence: Fence(app: app, run: "01A", token: 1))
        }
        guard case .fenced = error?.code else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try await snapshot(store)?.sequence == 4)
        try await store.close()
    }

    @Test(arguments: StoreKind.available)
    func `a flipped bit or a cut anywhere in a snapshot is noticed, and it is left aside`(kind: StoreKind) async throws
    {
        let (_, store) = try await makePlace(kind)
        var tried = 0
        for column in ["state", "chain", "checksum"] {
            let original: Data = try await store.read { session in
                try #require(
                    try session.row("SELECT \(column) FROM snapshot", [])?.required(column, as: Data.self))
            }
            func put(_ value: Data) async throws {
                _ = try await store.write([]) { try $0.execute("UPDATE snapshot SET \(column) = ?", [value]) }
            }
            var damaged: [Data] = (0..<original.count).map { original.prefix($0) }
            for bit in 0..<original.count * 8 {
                var flipped = original
                flipped[bit / 8] ^= 1 << (bit % 8)
                damaged.append(flipped)
            }
            for value in damaged {
                try await put(value)
                #expect(try await store.replay("01A", build: SnapshotTests.build).snapshot == nil)
                tried += 1
            }
            try await put(original)
            #expect(try await snapshot(store) != nil)
        }
        for sql in [
            "UPDATE snapshot SET sequence = 3", "UPDATE snapshot SET sequence = 5", "UPDATE snapshot SET sequence = -1",
            "UPDATE snapshot SET sequence = 9223372036854775807", "UPDATE snapshot SET sequence = 4, build = 'other'",
        ] {
            _ = try await store.write([]) { try $0.execute(sql, []) }
            #expect(try await snapshot(store) == nil)
            #expect(try await snapshot(store, build: "other") == nil)
            tried += 1
        }
        print("\(kind): \(tried) damaged snapshots left aside")
        try await store.close()
    }

    @Test(arguments: StoreKind.available)
    func `damage before a snapshot stays an error, and a journal that goes on otherwise has no use for it`(
        kind: StoreKind
    ) async throws {
        let (place, store) = try await makePlace(kind)
        // The tail is torn before the snapshot's end, then other entries take its place.
        _ = try await store.write([]) { try $0.execute("DELETE FROM entry WHERE sequence > 3", []) }
        let torn = try await store.replay("01A", build: SnapshotTests.build)
        #expect(torn.snapshot == nil && torn.tornTail?.sequence == 4)
        try await store.discardTornTail("01A")
        try await append(store, 4...6, text: "other ")
        #expect(try await snapshot(store) == nil)
        try await store.close()

        // Even the snapshot of the entries that were there before is not taken for one of these.
        let (former, other) = try await makePlace(kind)
        let old = try #require(try await snapshot(other))
        try await other.close()
        let reopened = try await place.open()
        _ = try await reopened.write([]) { session in
            try session.execute(
                "INSERT INTO snapshot (run, sequence, chain, build, state, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                ["01A", old.sequence, old.chain, old.build, old.state, old.checksum])
        }
        #expect(try await snapshot(reopened) == nil)
        try await reopened.close()

        try await former.tamper("UPDATE entry SET at = at + 1 WHERE sequence = 2")
        let damaged = try await former.open()
        let error = await failure { () throws(StateError) in
            try await damaged.replay("01A", build: SnapshotTests.build)
        }
        #expect(error?.code == .corrupt)
        try await damaged.close()
    }

    @Test(arguments: StoreKind.available)
    func `a copy of a store has none, and says the same`(kind: StoreKind) async throws {
        let (place, store) = try await makePlace(kind)
        let entries = try await store.events("01A")
        try await store.close()
        let target = try await Place(kind)
        _ = try await StateStores.copy(from: place.url, to: target.url, at: start, silence: .seconds(60))
        let copy = try await target.open()
        #expect(try await snapshot(copy) == nil)
        #expect(try await copy.events("01A") == entries)
        try await copy.close()
    }
}
