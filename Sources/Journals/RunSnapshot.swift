// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
package import FoundationEssentials
package import Model

/// What a run had come to after one of its entries, so that going on with it need not replay the entries before.
///
/// It is a cache and never a source of truth: where it is missing, damaged, of another build, or of another journal
/// than the one that is there, the run is replayed from its first entry and comes to the same.
package struct RunSnapshot: Hashable, Sendable {
    package var run: RunID
    /// The number of the last entry that is in it.
    package var sequence: Int64
    /// The checksum of that entry, which stands for all entries before it.
    package var chain: Data
    /// The program that made it, exactly: another may decide otherwise on the same entries.
    package var build: String
    /// The state as that program encodes it.
    package var state: Data

    package init(run: RunID, sequence: Int64, chain: Data, build: String, state: Data) {
        self.run = run
        self.sequence = sequence
        self.chain = chain
        self.build = build
        self.state = state
    }

    /// SHA-256 over everything in it, each part after its length (eight bytes, big-endian).
    var checksum: Data {
        var hash = SHA256()
        func update(_ value: Int64) {
            withUnsafeBytes(of: value.bigEndian) { hash.update(bufferPointer: $0) }
        }
        func update(_ part: Data) {
            update(Int64(part.count))
            hash.update(data: part)
        }
        update(Data("airboss snapshot 1".utf8))
        update(Data(run.rawValue.utf8))
        update(sequence)
        update(chain)
        update(Data(build.utf8))
        update(state)
        return Data(hash.finalize())
    }
}

/// A journal as a recovery reads it: verified from its first entry to its last.
package struct JournalReplay: Hashable, Sendable {
    /// Nil where nothing can be relied on.
    package var first: JournalEntry?
    /// Nil where there is none that fits the journal and the program.
    package var snapshot: RunSnapshot?
    /// The entries that are neither the first nor in the snapshot.
    package var entries: [JournalEntry]
    /// The number of the last entry that can be relied on; what the next append expects.
    package var lastSequence: Int64
    package var tornTail: JournalReading.TornTail?

    init(
        first: JournalEntry?, snapshot: RunSnapshot?, entries: [JournalEntry], lastSequence: Int64,
        tornTail: JournalReading.TornTail?
    ) {
        self.first = first
        self.snapshot = snapshot
        self.entries = entries
        self.lastSequence = lastSequence
        self.tornTail = tornTail
    }
}
