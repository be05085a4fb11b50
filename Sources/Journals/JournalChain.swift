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
        var kind = entry.kind
        kind.withUTF8 { text in
            update(UInt32(text.count))
            hash.update(bufferPointer: UnsafeRawBufferPointer(text))
        }
        hash.update(data: entry.payload)
        return Data(hash.finalize())
    }

    /// What went wrong before the tail, where nothing may be guessed; one sentence without a full stop.
    struct Damage: Error {
        var detail: String
    }

    /// Verifies rows in the order of their numbers against the chain and the head.
    static func verify(run: RunID, rows: [Row], head: Head) throws(Damage) -> JournalReading {
        var verification = Verification(run: run, head: head)
        var reading = JournalReading(entries: [])
        reading.entries.reserveCapacity(rows.count)
        for (index, row) in rows.enumerated() {
            if try verification.take(row, isLast: index == rows.count - 1) { reading.entries.append(row.entry) }
        }
        reading.tornTail = verification.finish()
        return reading
    }

    /// Verifies rows as they come, in the order of their numbers, without keeping them.
    struct Verification {
        private let head: Head
        private var previous: Data
        private var count: Int64 = 0
        private var tornTail: JournalReading.TornTail?
        /// The first entry that follows the recorded end.
        private var firstBeyond: Int64?
        /// The number of the last row that can be relied on.
        private(set) var lastSequence: Int64 = 0

        init(run: RunID, head: Head) {
            self.head = head
            previous = JournalChain.origin(of: run)
        }

        /// Whether the row can be relied on; none can behind one that can't.
        mutating func take(_ row: Row, isLast: Bool) throws(Damage) -> Bool {
            count += 1
            guard tornTail == nil, firstBeyond == nil else { return false }
            let expected = count
            guard row.entry.sequence == expected else {
                throw Damage(detail: "entry \(expected) is missing, though entry \(row.entry.sequence) is there")
            }
            guard JournalChain.checksum(of: row.entry, after: previous) == row.checksum else {
                guard isLast else { throw Damage(detail: "entry \(expected) does not match its checksum") }
                tornTail = .init(
                    sequence: expected, count: max(head.sequence, expected) - expected + 1,
                    detail: "the last entry (\(expected)) does not match its checksum")
                return false
            }
            guard expected <= head.sequence else {
                firstBeyond = expected
                return false
            }
            if expected == head.sequence, row.checksum != head.checksum {
                guard isLast else { throw Damage(detail: "entry \(expected) is not the one the run recorded") }
                tornTail = .init(
                    sequence: expected, count: 1, detail: "the last entry (\(expected)) is not the one recorded")
                return false
            }
            previous = row.checksum
            lastSequence = expected
            return true
        }

        /// What is wrong with the journal's end, once all its rows were taken; nil where nothing is.
        func finish() -> JournalReading.TornTail? {
            if let firstBeyond {
                let beyond = count - head.sequence
                return .init(
                    sequence: firstBeyond, count: beyond,
                    detail: "\(beyond) entries follow the recorded end of the journal")
            }
            guard tornTail == nil, count < head.sequence else { return tornTail }
            return .init(
                sequence: count + 1, count: head.sequence - count,
                detail: "the journal should end at entry \(head.sequence) but ends at \(count)")
        }
    }
}
