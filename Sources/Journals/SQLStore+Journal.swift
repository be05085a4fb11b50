// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

extension SQLStore {
    package func openRun(_ header: RunHeader) async throws(StateError) {
        try await write([.run(header.run)]) { [self] session in
            if let found = try record(session, header.run) {
                guard found.header == header else { throw error(.conflict, "run \(header.run)") }
                return
            }
            try session.execute(
                """
                INSERT INTO run (id, pipeline, app, kind, actor, reason, host, process_id, started_at, schema,
                    head_sequence, head_checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)
                """,
                [
                    header.run.rawValue, header.pipeline, header.app.rawValue, header.kind, header.actor,
                    header.reason, header.host, header.processID, header.startedAt.milliseconds,
                    header.schema,
                    JournalChain.origin(of: header.run),
                ])
        }
    }

    @discardableResult
    package func append(
        run: RunID, expectedSequence: Int64, kind: String, payload: Data, at time: Timestamp,
        fence: Fence?, audit: [AuditRecord]
    ) async throws(StateError) -> Int64 {
        let entry = JournalEntry(sequence: expectedSequence + 1, kind: kind, payload: payload, at: time)
        return try await append(entry, to: run, fence, audit).sequence
    }

    /// Appends the entry and what the audit record tells of it, and returns where the journal ends then.
    func append(
        _ entry: JournalEntry, to run: RunID, _ fence: Fence?, _ audit: [AuditRecord]
    ) async throws(StateError) -> JournalChain.Head {
        try await write(subjects(.run(run), fence) + (audit.isEmpty ? [] : [.audit])) { [self] session in
            try check(session, fence)
            let (head, outcome) = try head(session, run)
            if head.sequence == entry.sequence,
                let stored = try session.row(
                    "SELECT * FROM entry WHERE run = ? AND sequence = ?", [run.rawValue, entry.sequence]),
                try journalRow(stored).entry == entry
            {
                return head  // the same append, whose answer was lost
            }
            if let outcome { throw error(.alreadyClosed(outcome: outcome)) }
            guard head.sequence + 1 == entry.sequence else {
                throw error(.sequenceConflict(expected: entry.sequence - 1, found: head.sequence))
            }
            let checksum = JournalChain.checksum(of: entry, after: head.checksum)
            try session.post(
                "INSERT INTO entry (run, sequence, kind, payload, at, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                [run.rawValue, entry.sequence, entry.kind, entry.payload, entry.at.milliseconds, checksum])
            try session.post(
                "UPDATE run SET head_sequence = ?, head_checksum = ? WHERE id = ?",
                [entry.sequence, checksum, run.rawValue])
            try seal(audit, session)
            return JournalChain.Head(sequence: entry.sequence, checksum: checksum)
        }
    }

    package func events(_ run: RunID) async throws(StateError) -> JournalReading {
        try await read { [self] session in
            try reading(session, run)
        }
    }

    @discardableResult
    package func discardTornTail(_ run: RunID) async throws(StateError) -> Int64 {
        try await write([.run(run)]) { [self] session in
            let reading = try reading(session, run)
            guard let tail = reading.tornTail else { return 0 }
            let last = reading.lastSequence
            try session.execute("DELETE FROM entry WHERE run = ? AND sequence > ?", [run.rawValue, last])
            let kept = try session.row(
                "SELECT checksum FROM entry WHERE run = ? AND sequence = ?", [run.rawValue, last])
            let checksum: Data =
                try kept.map { try $0.required("checksum") } ?? JournalChain.origin(of: run)
            try session.execute(
                "UPDATE run SET head_sequence = ?, head_checksum = ? WHERE id = ?",
                [last, checksum, run.rawValue])
            try dropSnapshot(session, of: run)
            return tail.count
        }
    }

    package func closeRun(
        _ run: RunID, outcome: String, exitCode: Int32, finishedAt: Timestamp, summary: Data,
        fence: Fence?
    ) async throws(StateError) {
        let end = RunEnd(outcome: outcome, exitCode: exitCode, finishedAt: finishedAt, summary: summary)
        try await write(subjects(.run(run), fence)) { [self] session in
            try check(session, fence)
            guard let found = try record(session, run) else { throw error(.unknownRun, run.rawValue) }
            if let former = found.end {
                // The time is left out: whoever repeats after a lost answer has a later clock.
                guard former.outcome == end.outcome, former.exitCode == end.exitCode,
                    former.summary == end.summary
                else {
                    throw error(.alreadyClosed(outcome: former.outcome), "it cannot end again as \(outcome)")
                }
                return
            }
            try session.execute(
                "UPDATE run SET outcome = ?, exit_code = ?, finished_at = ?, summary = ? WHERE id = ?",
                [outcome, exitCode, finishedAt.milliseconds, summary, run.rawValue])
            try dropSnapshot(session, of: run)
            if Self.changedNothing.contains(outcome) { try giveBackApprovals(session, run) }
        }
    }

    package func runs(_ filter: RunFilter, limit: Int) async throws(StateError) -> [RunRecord] {
        try await read { [self] session in
            var conditions: [String] = []
            var arguments: [(any SQLConvertible)?] = []
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
            return try session.rows(
                "SELECT * FROM run \(narrowed) ORDER BY started_at DESC, id DESC LIMIT ?", arguments
            ).map(runRecord)
        }
    }

    package func run(_ prefix: String) async throws(StateError) -> RunRecord? {
        let wanted = prefix.uppercased()
        if wanted.isEmpty { return nil }
        return try await read { [self] session in
            // Compared by substr, not LIKE, so that no letter of the prefix is a wildcard.
            let found = try session.rows(
                "SELECT * FROM run WHERE substr(upper(id), 1, CAST(? AS INTEGER)) = ? ORDER BY id LIMIT ?",
                [wanted.unicodeScalars.count, wanted, Self.maxListedMatches]
            ).map(runRecord)
            if let exact = found.first(where: { $0.header.run.rawValue.uppercased() == wanted }) {
                return exact
            }
            guard found.count < 2 else { throw error(.ambiguousRun(matches: found.map(\.header.run))) }
            return found.first
        }
    }

    /// Outcomes that promise that nothing was changed.
    private static var changedNothing: [String] { [RunOutcome.refused.rawValue, RunOutcome.unavailable.rawValue] }

    /// How many of the runs that share a prefix an error names.
    private static var maxListedMatches: Int { 5 }

    package func unfinishedRuns(_ app: AppName) async throws(StateError) -> [RunRecord] {
        try await read { [self] session in
            try session.rows(
                "SELECT * FROM run WHERE app = ? AND outcome IS NULL ORDER BY started_at, id",
                [app.rawValue]
            ).map(runRecord)
        }
    }

    // MARK: Rows

    func record(_ session: any SQLSession, _ run: RunID) throws -> RunRecord? {
        try session.row("SELECT * FROM run WHERE id = ?", [run.rawValue]).map(runRecord)
    }

    func head(_ session: any SQLSession, _ run: RunID) throws -> (JournalChain.Head, outcome: String?) {
        let found = try session.row(
            "SELECT head_sequence, head_checksum, outcome FROM run WHERE id = ?", [run.rawValue])
        guard let found else { throw error(.unknownRun, run.rawValue) }
        let head = JournalChain.Head(
            sequence: try found.required("head_sequence"), checksum: try found.required("head_checksum"))
        return (head, try found.optional("outcome"))
    }

    func reading(_ session: any SQLSession, _ run: RunID) throws -> JournalReading {
        var reading = JournalReading(entries: [])
        reading.tornTail = try verify(session, run) { reading.entries.append($0.entry) }.tornTail
        return reading
    }

    /// Verifies a journal from its first entry to its last and gives `use` those that can be relied on, one by one.
    func verify(
        _ session: any SQLSession, _ run: RunID, _ use: (JournalChain.Row) -> Void
    ) throws -> (lastSequence: Int64, tornTail: JournalReading.TornTail?) {
        let (head, _) = try head(session, run)
        var verification = JournalChain.Verification(run: run, head: head)
        // Damage of the last entry is a torn tail, so each waits until it is known whether another follows.
        var waiting: JournalChain.Row?
        do {
            try session.stream(
                "SELECT sequence, kind, payload, at, checksum FROM entry WHERE run = ? ORDER BY sequence",
                [run.rawValue]
            ) { row in
                let next = try journalRow(row)
                if let row = waiting, try verification.take(row, isLast: false) { use(row) }
                waiting = next
            }
            if let row = waiting, try verification.take(row, isLast: true) { use(row) }
        } catch let damage as JournalChain.Damage {
            throw error(.corrupt, "in the journal of run \(run), \(damage.detail)")
        }
        return (verification.lastSequence, verification.finish())
    }

    func journalRow(_ row: SQLRow) throws -> JournalChain.Row {
        let entry = JournalEntry(
            sequence: try row.required("sequence"), kind: try row.required("kind"),
            payload: try row.required("payload"), at: try row.time("at"))
        return JournalChain.Row(entry: entry, checksum: try row.required("checksum"))
    }

    func runRecord(_ row: SQLRow) throws -> RunRecord {
        let header = RunHeader(
            run: try row.name("id"), pipeline: try row.required("pipeline"),
            app: try row.name("app"), kind: try row.required("kind"),
            actor: try row.required("actor"), reason: try row.required("reason"),
            host: try row.required("host"), processID: try row.required("process_id"),
            startedAt: try row.time("started_at"), schema: try row.required("schema"))
        let end: RunEnd? = try row.optional("outcome", as: String.self).map { outcome in
            RunEnd(
                outcome: outcome, exitCode: try row.required("exit_code"),
                finishedAt: try row.time("finished_at"), summary: try row.required("summary"))
        }
        return RunRecord(header: header, end: end, lastSequence: try row.required("head_sequence"))
    }
}
