// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model

/// A run exactly as a store has it.
struct StoredRun: Sendable {
    var record: RunRecord
    var head: JournalChain.Head
    var rows: [JournalChain.Row]
    /// How many records of the audit the run made.
    var auditRecords: Int64 = 0
}

/// A release with every state it has had.
struct StoredRelease: Hashable, Sendable {
    var record: ReleaseRecord
    var history: [ReleaseStateChange]
}

/// What copying and checking read and write beside what everybody does.
extension SQLStore {
    /// Entries written with one statement, and notices.
    static var rowsPerStatement: Int { 500 }

    /// Every run, oldest first.
    func allRuns() async throws(StateError) -> [RunRecord] {
        try await read { [self] session in
            try session.rows("SELECT * FROM run ORDER BY started_at, id").map(runRecord)
        }
    }

    /// Every app anything is known of.
    func apps() async throws(StateError) -> [AppName] {
        try await read { session in
            try session.rows(
                """
                SELECT app FROM release UNION SELECT app FROM hold UNION SELECT app FROM waiter
                UNION SELECT name FROM app ORDER BY 1
                """
            ).map { try $0.name("app") }
        }
    }

    /// Who holds any app.
    func holds() async throws(StateError) -> [Hold] {
        try await read { [self] session in
            try session.rows("SELECT * FROM hold ORDER BY app").map(hold)
        }
    }

    /// Where the journal of a run ends; nil where there is no such run.
    func journalHead(_ run: RunID) async throws(StateError) -> JournalChain.Head? {
        try await read { [self] session in
            try record(session, run) == nil ? nil : try head(session, run).0
        }
    }

    /// A run with its journal, whose chain is verified; throws `corrupt` where any of it is damaged or torn.
    func stored(_ run: RunID) async throws(StateError) -> StoredRun {
        try await read { [self] session in
            guard let record = try record(session, run) else { throw error(.unknownRun, run.rawValue) }
            let (head, _) = try head(session, run)
            let rows = try session.rows("SELECT * FROM entry WHERE run = ? ORDER BY sequence", [run.rawValue])
                .map(journalRow)
            do throws(JournalChain.Damage) {
                if let torn = try JournalChain.verify(run: run, rows: rows, head: head).tornTail {
                    throw JournalChain.Damage(detail: torn.detail)
                }
            } catch {
                throw self.error(.corrupt, "in the journal of run \(run), \(error.detail)")
            }
            let counted = try session.row("SELECT audit_records FROM run WHERE id = ?", [run.rawValue])
            return StoredRun(
                record: record, head: head, rows: rows, auditRecords: try counted?.required("audit_records") ?? 0)
        }
    }

    /// Writes a run with its journal, all of it or nothing; false where exactly this run is there. Throws `conflict`
    /// where another one has its id.
    func store(_ run: StoredRun) async throws(StateError) -> Bool {
        let id = run.record.header.run
        return try await write([.run(id)]) { [self] session in
            if let found = try record(session, id) {
                guard found == run.record, try head(session, id).0 == run.head else {
                    throw error(.conflict, "run \(id) is there and is not the same")
                }
                return false
            }
            let header = run.record.header
            let end = run.record.end
            try session.execute(
                """
                INSERT INTO run (id, pipeline, app, kind, actor, reason, host, process_id, started_at, schema,
                    head_sequence, head_checksum, outcome, exit_code, finished_at, summary, audit_records)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT), ?, ?)
                """,
                [
                    id.rawValue, header.pipeline, header.app.rawValue, header.kind, header.actor, header.reason,
                    header.host, header.processID, header.startedAt.milliseconds, header.schema, run.head.sequence,
                    run.head.checksum, end?.outcome, end?.exitCode, end?.finishedAt.milliseconds, end?.summary,
                    run.auditRecords,
                ])
            var rest = run.rows[...]
            while !rest.isEmpty {
                let part = rest.prefix(Self.rowsPerStatement)
                rest = rest.dropFirst(Self.rowsPerStatement)
                let places = part.map { _ in "(?, ?, ?, ?, ?, ?)" }.joined(separator: ", ")
                try session.execute(
                    "INSERT INTO entry (run, sequence, kind, payload, at, checksum) VALUES \(places)",
                    part.flatMap { row -> [(any SQLConvertible)?] in
                        [
                            id.rawValue, row.entry.sequence, row.entry.kind, row.entry.payload,
                            row.entry.at.milliseconds, row.checksum,
                        ]
                    })
            }
            return true
        }
    }

    /// An app's releases, oldest first, with every state they have had in the order in which they were given.
    func ledger(_ app: AppName) async throws(StateError) -> [StoredRelease] {
        try await read { [self] session in
            try ledger(session, app)
        }
    }

    private func ledger(_ session: any SQLSession, _ app: AppName) throws -> [StoredRelease] {
        try session.rows("SELECT * FROM release WHERE app = ? ORDER BY number", [app.rawValue]).map { row in
            let record = try releaseRecord(row)
            return StoredRelease(record: record, history: try history(session, app, record.number))
        }
    }

    /// The states of all of an app's releases in the order in which they were given: which release serves follows from
    /// it, so a copy keeps it.
    func stateOrder(_ app: AppName) async throws(StateError) -> [ReleaseStep] {
        try await read { [self] session in
            try stateOrder(session, app)
        }
    }

    private func stateOrder(_ session: any SQLSession, _ app: AppName) throws -> [ReleaseStep] {
        try session.rows("SELECT * FROM release_state WHERE app = ? ORDER BY id", [app.rawValue]).map { row in
            ReleaseStep(
                number: ReleaseNumber(try row.required("number")),
                change: ReleaseStateChange(state: try releaseState(row), at: try row.time("at")))
        }
    }

    /// Writes an app's ledger, all of it or nothing; false where exactly this ledger is there. Throws `conflict` where
    /// the app has another one.
    func store(
        _ releases: [ReleaseRecord], _ order: [ReleaseStep], of app: AppName, fence: Int64
    ) async throws(StateError) -> Bool {
        try await write([.app(app)]) { [self] session in
            // Tokens go on growing where they were, so that no older one is mistaken for a newer.
            try session.execute(
                """
                INSERT INTO app (name, fence, revision) VALUES (?, ?, 1) ON CONFLICT (name)
                DO UPDATE SET fence = CASE WHEN app.fence < excluded.fence THEN excluded.fence ELSE app.fence END
                """, [app.rawValue, fence])
            let found = try ledger(session, app).map(\.record)
            if !found.isEmpty {
                guard found == releases, try stateOrder(session, app) == order else {
                    throw error(.conflict, "the releases of \(app) are there and are not the same")
                }
                return false
            }
            for release in releases { try insert(session, release) }
            for step in order { try addState(session, app, step.number, step.change.state, step.change.at) }
            return !releases.isEmpty
        }
    }

    /// The last token given for an app; 0 where there was none.
    func lastFence(_ app: AppName) async throws(StateError) -> Int64 {
        try await read { session in
            try session.row("SELECT fence FROM app WHERE name = ?", [app.rawValue])?.required("fence") ?? 0
        }
    }

    /// Every notice in the order in which they were put there.
    func allNotices() async throws(StateError) -> [OutboxNotice] {
        try await read { [self] session in
            try session.rows("SELECT * FROM notice ORDER BY id").map(notice)
        }
    }

    /// Writes a notice as it is; false where one with this key and content is there, however far it has got. Throws
    /// `conflict` for other content.
    func store(_ notice: OutboxNotice) async throws(StateError) -> Bool {
        try await write([.notice(notice.key)]) { [self] session in
            if let row = try session.row("SELECT * FROM notice WHERE key = ?", [notice.key]) {
                let found = try self.notice(row)
                guard found.channel == notice.channel, found.payload == notice.payload, found.run == notice.run else {
                    throw error(.conflict, "the notice \(notice.key) is there and is not the same")
                }
                return false
            }
            try session.execute(
                """
                INSERT INTO notice (key, channel, payload, run, enqueued_at, attempts, next_attempt_at, sent_at,
                    last_error) VALUES (?, ?, ?, ?, ?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT), ?)
                """,
                [
                    notice.key, notice.channel, notice.payload, notice.run?.rawValue, notice.enqueuedAt.milliseconds,
                    notice.attempts, notice.nextAttemptAt?.milliseconds, notice.sentAt?.milliseconds, notice.lastError,
                ])
            return true
        }
    }
}

/// One state given to one of an app's releases.
struct ReleaseStep: Hashable, Sendable {
    var number: ReleaseNumber
    var change: ReleaseStateChange
}
