// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
internal import FoundationEssentials
internal import Model

/// The chain of checksums that runs through a journal: each covers its own entry and the checksum before it, so that
/// neither a changed byte nor an entry removed, moved or added goes unseen.
enum JournalChain {
    /// A row of a journal as a store gives it back.
    struct Row: Sendable {
        var entry: JournalEntry
        var checksum: Data
    }

    /// Where a run says its journal ends.
    struct Head: Hashable, Sendable {
        var sequence: Int64
        var checksum: Data
    }

    /// The checksum before the first entry; it binds the chain to its run.
    static func origin(of run: RunID) -> Data {
        Data(SHA256.hash(data: Data("airboss journal 1\n\(run.rawValue)".utf8)))
    }

    /// SHA-256 over the previous checksum, the entry's number and time (eight bytes each, big-endian), the kind's
    /// length (four bytes), the kind and the payload.
    static func checksum(of entry: JournalEntry, after previous: Data) -> Data {
        var hash = SHA256()
        hash.update(data: previous)
        func update(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.bigEndian) { hash.update(bufferPointer: $0) }
        }
        update(entry.sequence)
        update(entry.at.milliseconds)
        update(UInt32(entry.kind.utf8.count))
        hash.update(data: Data(entry.kind.utf8))
        hash.update(data: entry.payload)
        return Data(hash.finalize())
    }

    /// What went wrong before the tail, where nothing may be guessed; one sentence without a full stop.
    struct Damage: Error {
        var detail: String
    }

    /// Verifies rows in the order of their numbers against the chain and the head.
    static func verify(run: RunID, rows: [Row], head: Head) throws(Damage) -> JournalReading {
        var reading = JournalReading(entries: [])
        reading.entries.reserveCapacity(rows.count)
        var previous = origin(of: run)
        for (index, row) in rows.enumerated() {
            let expected = Int64(index) + 1
            let isLast = index == rows.count - 1
            guard row.entry.sequence == expected else {
                throw Damage(detail: "entry \(expected) is missing, though entry \(row.entry.sequence) is there")
            }
            guard checksum(of: row.entry, after: previous) == row.checksum else {
                guard isLast else { throw Damage(detail: "entry \(expected) does not match its checksum") }
                reading.tornTail = .init(
                    sequence: expected, count: max(head.sequence, expected) - expected + 1,
                    detail: "the last entry (\(expected)) does not match its checksum")
                return reading
            }
            guard expected <= head.sequence else {
                let count = Int64(rows.count) - head.sequence
                reading.tornTail = .init(
                    sequence: expected, count: count, detail: "\(count) entries follow the recorded end of the journal")
                return reading
            }
            if expected == head.sequence, row.checksum != head.checksum {
                guard isLast else { throw Damage(detail: "entry \(expected) is not the one the run recorded") }
                reading.tornTail = .init(
                    sequence: expected, count: 1, detail: "the last entry (\(expected)) is not the one recorded")
                return reading
            }
            reading.entries.append(row.entry)
            previous = row.checksum
        }
        let count = Int64(rows.count)
        if count < head.sequence {
            let missing = head.sequence - count
            reading.tornTail = .init(
                sequence: count + 1, count: missing,
                detail: "the journal should end at entry \(head.sequence) but ends at \(count)")
        }
        return reading
    }
}
