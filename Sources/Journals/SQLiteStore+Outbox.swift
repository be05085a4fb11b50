// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
internal import GRDB
package import Model

extension SQLiteStore {
    @discardableResult
    package func enqueue(
        key: String, channel: String, payload: Data, run: RunID?, at time: Timestamp
    ) async throws(StateError) -> Bool {
        try await write { [self] database in
            try execute(
                database,
                """
                INSERT INTO notice (key, channel, payload, run, enqueued_at, next_attempt_at) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (key) DO NOTHING
                """,
                [key, channel, payload, run?.rawValue, time.milliseconds, time.milliseconds]) == 1
        }
    }

    package func due(_ now: Timestamp, limit: Int) async throws(StateError) -> [OutboxNotice] {
        try await read { [self] database in
            try rows(
                database,
                """
                SELECT * FROM notice WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= ?
                ORDER BY next_attempt_at, id LIMIT ?
                """,
                [now.milliseconds, max(0, limit)]
            ).map(notice)
        }
    }

    package func markSent(_ key: String, at time: Timestamp) async throws(StateError) {
        try await write { [self] database in
            let changed = try execute(
                database,
                """
                UPDATE notice SET attempts = attempts + (sent_at IS NULL), sent_at = coalesce(sent_at, ?),
                    next_attempt_at = NULL, last_error = NULL WHERE key = ?
                """,
                [time.milliseconds, key])
            if changed == 0 { throw error(.unknownNotice, key) }
        }
    }

    package func markFailed(
        _ key: String, error detail: String, nextAttemptAt: Timestamp?
    ) async throws(StateError) {
        try await write { [self] database in
            // A notice that another process has sent meanwhile stays sent.
            let changed = try execute(
                database,
                """
                UPDATE notice SET attempts = attempts + 1, last_error = iif(sent_at IS NULL, ?, NULL),
                    next_attempt_at = iif(sent_at IS NULL, ?, NULL) WHERE key = ?
                """,
                [detail, nextAttemptAt?.milliseconds, key])
            if changed == 0 { throw error(.unknownNotice, key) }
        }
    }

    package func notices(run: RunID?, limit: Int) async throws(StateError) -> [OutboxNotice] {
        try await read { [self] database in
            let narrowed = run == nil ? "" : "WHERE run = ?"
            let arguments: StatementArguments = run.map { [$0.rawValue] } ?? []
            return try rows(
                database, "SELECT * FROM notice \(narrowed) ORDER BY id DESC LIMIT ?", arguments + [max(0, limit)]
            ).map(notice)
        }
    }

    private func notice(_ row: Row) throws -> OutboxNotice {
        let columns = columns(row)
        return OutboxNotice(
            key: try columns.required("key"), channel: try columns.required("channel"),
            payload: try columns.required("payload"),
            run: try columns.optional("run", as: String.self).map { RunID($0) },
            enqueuedAt: try columns.time("enqueued_at"), attempts: try columns.required("attempts"),
            nextAttemptAt: try columns.optionalTime("next_attempt_at"), sentAt: try columns.optionalTime("sent_at"),
            lastError: try columns.optional("last_error"))
    }
}
