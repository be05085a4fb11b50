// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
internal import GRDB
package import Model

extension SQLiteStore {
    package func openRun(_ header: RunHeader) async throws(StateError) {
        try await write { [self] database in
            if let found = try record(database, header.run) {
                guard found.header == header else { throw error(.conflict, "run \(header.run)") }
                return
            }
            try execute(
                database,
                """
                INSERT INTO run (id, pipeline, app, kind, actor, reason, host, process_id, started_at, schema,
                    head_sequence, head_checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)
                """,
                [
                    header.run.rawValue, header.pipeline, header.app.rawValue, header.kind, header.actor,
                    header.reason, header.host, header.processID, header.startedAt.milliseconds, header.schema,
                    JournalChain.origin(of: header.run),
                ])
        }
    }

    @discardableResult
    package func append(
        run: RunID, expectedSequence: Int64, kind: String, payload: Data, at time: Timestamp
    ) async throws(StateError) -> Int64 {
        let entry = JournalEntry(sequence: expectedSequence + 1, kind: kind, payload: payload, at: time)
        return try await write { [self] database in
            let (head, outcome) = try head(database, run)
            if head.sequence == entry.sequence,
                let stored = try row(
                    database, "SELECT * FROM entry WHERE run = ? AND sequence = ?", [run.rawValue, entry.sequence]),
                try journalRow(stored).entry == entry
            {
                return entry.sequence  // the same append, whose answer was lost
            }
            if let outcome { throw error(.alreadyClosed(outcome: outcome)) }
            guard head.sequence == expectedSequence else {
                throw error(.sequenceConflict(expected: expectedSequence, found: head.sequence))
            }
            let checksum = JournalChain.checksum(of: entry, after: head.checksum)
            try execute(
                database, "INSERT INTO entry (run, sequence, kind, payload, at, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                [run.rawValue, entry.sequence, kind, payload, time.milliseconds, checksum])
            try execute(
                database, "UPDATE run SET head_sequence = ?, head_checksum = ? WHERE id = ?",
                [entry.sequence, checksum, run.rawValue])
            return entry.sequence
        }
    }

    package func events(_ run: RunID) async throws(StateError) -> JournalReading {
        try await read { [self] database in
            try reading(database, run)
        }
    }

    @discardableResult
    package func discardTornTail(_ run: RunID) async throws(StateError) -> Int64 {
        try await write { [self] database in
            let reading = try reading(database, run)
            guard let tail = reading.tornTail else { return 0 }
            let last = reading.lastSequence
            try execute(database, "DELETE FROM entry WHERE run = ? AND sequence > ?", [run.rawValue, last])
            let kept = try row(
                database, "SELECT checksum FROM entry WHERE run = ? AND sequence = ?", [run.rawValue, last])
            let checksum: Data = try kept.map { try columns($0).required("checksum") } ?? JournalChain.origin(of: run)
            try execute(
                database, "UPDATE run SET head_sequence = ?, head_checksum = ? WHERE id = ?",
                [last, checksum, run.rawValue])
            return tail.count
        }
    }

    package func closeRun(
        _ run: RunID, outcome: String, exitCode: Int32, finishedAt: Timestamp, summary: Data
    ) async throws(StateError) {
        let end = RunEnd(outcome: outcome, exitCode: exitCode, finishedAt: finishedAt, summary: summary)
        try await write { [self] database in
            guard let found = try record(database, run) else { throw error(.unknownRun, run.rawValue) }
            if let former = found.end {
                // The time is left out: whoever repeats after a lost answer has a later clock.
                guard former.outcome == end.outcome, former.exitCode == end.exitCode, former.summary == end.summary
                else { throw error(.alreadyClosed(outcome: former.outcome), "it cannot end again as \(outcome)") }
                return
            }
            try execute(
                database, "UPDATE run SET outcome = ?, exit_code = ?, finished_at = ?, summary = ? WHERE id = ?",
                [outcome, exitCode, finishedAt.milliseconds, summary, run.rawValue])
        }
    }

    package func runs(_ filter: RunFilter, limit: Int) async throws(StateError) -> [RunRecord] {
        try await read { [self] database in
            var conditions: [String] = []
            var arguments: StatementArguments = []
            if let pipeline = filter.pipeline {
                conditions.append("pipeline = ?")
                arguments += [pipeline]
            }
            if let app = filter.app {
                conditions.append("app = ?")
                arguments += [app.rawValue]
            }
            let narrowed = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
            arguments += [max(0, limit)]
            return try rows(
                database, "SELECT * FROM run \(narrowed) ORDER BY started_at DESC, id DESC LIMIT ?", arguments
            ).map(runRecord)
        }
    }

    package func run(_ prefix: String) async throws(StateError) -> RunRecord? {
        let wanted = prefix.uppercased()
        if wanted.isEmpty { return nil }
        return try await read { [self] database in
            // Compared by substr, not LIKE, so that no letter of the prefix is a wildcard.
            let found = try rows(
                database, "SELECT * FROM run WHERE substr(upper(id), 1, ?) = ? ORDER BY id LIMIT ?",
                [wanted.unicodeScalars.count, wanted, SQLiteStore.maxListedMatches]
            ).map(runRecord)
            if let exact = found.first(where: { $0.header.run.rawValue.uppercased() == wanted }) { return exact }
            guard found.count < 2 else { throw error(.ambiguousRun(matches: found.map(\.header.run))) }
            return found.first
        }
    }

    /// How many of the runs that share a prefix an error names.
    static let maxListedMatches = 5

    package func unfinishedRuns(_ app: AppName) async throws(StateError) -> [RunRecord] {
        try await read { [self] database in
            try rows(
                database, "SELECT * FROM run WHERE app = ? AND outcome IS NULL ORDER BY started_at, id", [app.rawValue]
            ).map(runRecord)
        }
    }

    // MARK: Rows

    private func record(_ database: Database, _ run: RunID) throws -> RunRecord? {
        try row(database, "SELECT * FROM run WHERE id = ?", [run.rawValue]).map(runRecord)
    }

    private func head(_ database: Database, _ run: RunID) throws -> (JournalChain.Head, outcome: String?) {
        let found = try row(
            database, "SELECT head_sequence, head_checksum, outcome FROM run WHERE id = ?", [run.rawValue])
        guard let found else { throw error(.unknownRun, run.rawValue) }
        let columns = columns(found)
        let head = JournalChain.Head(
            sequence: try columns.required("head_sequence"), checksum: try columns.required("head_checksum"))
        return (head, try columns.optional("outcome"))
    }

    private func reading(_ database: Database, _ run: RunID) throws -> JournalReading {
        let (head, _) = try head(database, run)
        let stored = try rows(database, "SELECT * FROM entry WHERE run = ? ORDER BY sequence", [run.rawValue])
        do {
            return try JournalChain.verify(run: run, rows: stored.map(journalRow), head: head)
        } catch let damage as JournalChain.Damage {
            throw error(.corrupt, "in the journal of run \(run), \(damage.detail)")
        }
    }

    private func journalRow(_ row: Row) throws -> JournalChain.Row {
        let columns = columns(row)
        let entry = JournalEntry(
            sequence: try columns.required("sequence"), kind: try columns.required("kind"),
            payload: try columns.required("payload"), at: try columns.time("at"))
        return JournalChain.Row(entry: entry, checksum: try columns.required("checksum"))
    }

    private func runRecord(_ row: Row) throws -> RunRecord {
        let columns = columns(row)
        let header = RunHeader(
            run: RunID(try columns.required("id", as: String.self)), pipeline: try columns.required("pipeline"),
            app: AppName(try columns.required("app", as: String.self)), kind: try columns.required("kind"),
            actor: try columns.required("actor"), reason: try columns.required("reason"),
            host: try columns.required("host"), processID: try columns.required("process_id"),
            startedAt: try columns.time("started_at"), schema: try columns.required("schema"))
        let end: RunEnd? = try columns.optional("outcome", as: String.self).map { outcome in
            RunEnd(
                outcome: outcome, exitCode: try columns.required("exit_code"),
                finishedAt: try columns.time("finished_at"), summary: try columns.required("summary"))
        }
        return RunRecord(header: header, end: end, lastSequence: try columns.required("head_sequence"))
    }
}
