// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Journals

@Suite struct JournalDamageTests {
    /// What a `?` of the damage stands for: a checksum that is none, and no JSON either.
    private static let filler = Data(repeating: 0, count: 32)

    /// A place whose store has a run with four entries.
    private func makePlace(_ kind: StoreKind) async throws -> Place {
        let place = try await Place(kind)
        let store = try await place.open()
        try await store.openRun(header("01A"))
        for number in 1...4 {
            try await store.append(
                run: "01A", expectedSequence: Int64(number - 1), kind: "event", payload: payload("\(number)"), at: start
            )
        }
        try await store.close()
        return place
    }

    private func damage(_ place: Place, _ sql: String) async throws {
        try await place.tamper(sql, sql.contains("?") ? JournalDamageTests.filler : nil)
    }

    @Test(
        arguments: StoreKind.available,
        [
            "UPDATE entry SET payload = ? WHERE sequence = 2",
            "UPDATE entry SET kind = 'other' WHERE sequence = 1",
            "UPDATE entry SET at = at + 1 WHERE sequence = 3",
            "UPDATE entry SET checksum = ? WHERE sequence = 3",
            "DELETE FROM entry WHERE sequence = 2",
            "DELETE FROM entry WHERE sequence = 1",
            "UPDATE entry SET sequence = 99 WHERE sequence = 2",
            "UPDATE run SET head_checksum = ?, head_sequence = 2",
        ])
    func `damage before the tail is an error that names the run and the entry`(
        kind: StoreKind, sql: String
    ) async throws {
        let place = try await makePlace(kind)
        try await damage(place, sql)
        let before = try await place.dump()
        let store = try await place.open()
        let error = await failure { () throws(StateError) in try await store.events("01A") }
        #expect(error?.code == .corrupt)
        #expect(error?.detail.contains("run 01A") == true && error?.detail.contains("entry") == true)
        // Nothing is mended by guessing either.
        #expect(await failure { () throws(StateError) in try await store.discardTornTail("01A") }?.code == .corrupt)
        #expect(try await place.dump() == before)
    }

    @Test(
        arguments: StoreKind.available,
        [
            ("UPDATE entry SET payload = ? WHERE sequence = 4", 3, 1),
            ("UPDATE entry SET checksum = ? WHERE sequence = 4", 3, 1),
            ("DELETE FROM entry WHERE sequence = 4", 3, 1),
            ("DELETE FROM entry WHERE sequence > 2", 2, 2),
            ("DELETE FROM entry WHERE sequence > 1", 1, 3),
            ("DELETE FROM entry", 0, 4),
            ("UPDATE run SET head_checksum = ?", 3, 1),
            (
                "UPDATE run SET head_sequence = 3, head_checksum = (SELECT checksum FROM entry WHERE sequence = 3)", 3,
                1
            ),
        ])
    func `a torn tail is told, discarded on request, and the run goes on`(
        kind: StoreKind, torn: (sql: String, whole: Int, lost: Int)
    ) async throws {
        let place = try await makePlace(kind)
        try await damage(place, torn.sql)
        let before = try await place.dump()
        let store = try await place.open()
        let reading = try await store.events("01A")
        #expect(reading.entries.map(\.sequence) == Array(1..<(Int64(torn.whole) + 1)))
        let tail = try #require(reading.tornTail)
        #expect(tail.sequence == Int64(torn.whole) + 1)
        #expect(tail.count == Int64(torn.lost))
        #expect(!tail.detail.isEmpty)
        #expect(try await place.dump() == before)

        #expect(try await store.discardTornTail("01A") == Int64(torn.lost))
        #expect(try await store.discardTornTail("01A") == 0)
        try await store.append(
            run: "01A", expectedSequence: reading.lastSequence, kind: "again", payload: payload("5"), at: start)
        let mended = try await store.events("01A")
        #expect(mended.tornTail == nil)
        #expect(mended.entries.count == torn.whole + 1)
    }

    /// Every bit of a payload and of a checksum, and every length that a payload may be cut to: damage in the midst, a
    /// torn tail at the end.
    @Test(arguments: StoreKind.available, ["payload", "checksum"])
    func `every flipped bit and every truncation is seen`(kind: StoreKind, column: String) async throws {
        let place = try await makePlace(kind)
        let store = try await place.open()
        for sequence in [2, 4] {
            let original: Data = try await store.read { session in
                try #require(
                    try session.row("SELECT \(column) FROM entry WHERE sequence = ?", [sequence])?
                        .required(column, as: Data.self))
            }
            var damaged: [Data] = (0..<original.count).map { original.prefix($0) }
            for bit in 0..<original.count * 8 {
                var flipped = original
                flipped[bit / 8] ^= 1 << (bit % 8)
                damaged.append(flipped)
            }
            func put(_ value: Data) async throws {
                _ = try await store.write([]) { session in
                    try session.execute("UPDATE entry SET \(column) = ? WHERE sequence = ?", [value, sequence])
                }
            }
            for value in damaged {
                try await put(value)
                if sequence == 4 {
                    let reading = try await store.events("01A")
                    #expect(reading.entries.count == 3 && reading.tornTail?.sequence == 4)
                } else {
                    let error = await failure { () throws(StateError) in try await store.events("01A") }
                    #expect(error?.code == .corrupt)
                }
            }
            try await put(original)
            #expect(try await store.events("01A").entries.count == 4)
        }
    }

    @Test(arguments: StoreKind.available)
    func `entries of another run do not fit the chain`(kind: StoreKind) async throws {
        let place = try await makePlace(kind)
        let store = try await place.open()
        try await store.openRun(header("01B"))
        try await store.close()
        try await place.tamper("UPDATE entry SET run = '01B'")
        try await place.tamper("UPDATE run SET head_sequence = 4 WHERE id = '01B'")
        let reopened = try await place.open()
        #expect(await failure { () throws(StateError) in try await reopened.events("01B") }?.code == .corrupt)
    }
}
