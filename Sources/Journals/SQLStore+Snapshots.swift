// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

extension SQLStore {
    @discardableResult
    package func keepSnapshot(
        of run: RunID, after sequence: Int64, build: String, state: Data, fence: Fence?
    ) async throws(StateError) -> Bool {
        try await write(subjects(.run(run), fence)) { [self] session in
            try check(session, fence)
            let (head, outcome) = try head(session, run)
            guard head.sequence == sequence, outcome == nil else { return false }
            let snapshot = RunSnapshot(run: run, sequence: sequence, chain: head.checksum, build: build, state: state)
            try session.execute(
                """
                INSERT INTO snapshot (run, sequence, chain, build, state, checksum) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (run) DO UPDATE SET sequence = excluded.sequence, chain = excluded.chain,
                    build = excluded.build, state = excluded.state, checksum = excluded.checksum
                """,
                [run.rawValue, sequence, snapshot.chain, build, state, snapshot.checksum])
            return true
        }
    }

    package func replay(_ run: RunID, build: String?) async throws(StateError) -> JournalReplay {
        try await read { [self] session in
            if let build, let kept = try snapshot(session, run, build),
                let replay = try replay(session, run, from: kept)
            {
                return replay
            }
            let reading = try reading(session, run)
            return JournalReplay(
                first: reading.entries.first, snapshot: nil, entries: Array(reading.entries.dropFirst()),
                lastSequence: reading.lastSequence, tornTail: reading.tornTail)
        }
    }

    /// Nil where the snapshot is not one of this journal.
    private func replay(
        _ session: any SQLSession, _ run: RunID, from snapshot: RunSnapshot
    ) throws -> JournalReplay? {
        var first: JournalEntry?
        var entries: [JournalEntry] = []
        var fits = false
        let end = try verify(session, run) { row in
            if row.entry.sequence == 1 { first = row.entry }
            if row.entry.sequence == snapshot.sequence { fits = row.checksum == snapshot.chain }
            if row.entry.sequence > max(1, snapshot.sequence) { entries.append(row.entry) }
        }
        guard fits else { return nil }
        return JournalReplay(
            first: first, snapshot: snapshot, entries: entries, lastSequence: end.lastSequence, tornTail: end.tornTail)
    }

    /// The snapshot of a run, where it is whole and this build's.
    private func snapshot(_ session: any SQLSession, _ run: RunID, _ build: String) throws -> RunSnapshot? {
        guard let row = try session.row("SELECT * FROM snapshot WHERE run = ?", [run.rawValue]),
            // A snapshot that can't be read is left aside and not told of: the entries say everything it could.
            let (found, checksum) = try? snapshot(row), found.checksum == checksum, found.build == build
        else { return nil }
        return found
    }

    private func snapshot(_ row: SQLRow) throws -> (RunSnapshot, checksum: Data) {
        let snapshot = RunSnapshot(
            run: try row.name("run"), sequence: try row.required("sequence"), chain: try row.required("chain"),
            build: try row.required("build"), state: try row.required("state"))
        return (snapshot, try row.required("checksum"))
    }

    /// Nobody goes on with the run, or not from there.
    func dropSnapshot(_ session: any SQLSession, of run: RunID) throws {
        try session.execute("DELETE FROM snapshot WHERE run = ?", [run.rawValue])
    }
}
