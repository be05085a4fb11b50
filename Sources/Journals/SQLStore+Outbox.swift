// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

extension SQLStore {
    @discardableResult
    package func enqueue(
        key: String, channel: String, payload: Data, run: RunID?, at time: Timestamp
    ) async throws(StateError) -> Bool {
        try await write([.notice(key)]) { session in
            try session.execute(
                """
                INSERT INTO notice (key, channel, payload, run, enqueued_at, next_attempt_at) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (key) DO NOTHING
                """,
                [key, channel, payload, run?.rawValue, time.milliseconds, time.milliseconds]) == 1
        }
    }

    package func due(_ now: Timestamp, limit: Int) async throws(StateError) -> [OutboxNotice] {
        try await read { [self] session in
            try session.rows(
                """
                SELECT * FROM notice WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= ?
                ORDER BY next_attempt_at, id LIMIT ?
                """,
                [now.milliseconds, max(0, limit)]
            ).map(notice)
        }
    }

    package func markSent(_ key: String, at time: Timestamp) async throws(StateError) {
        try await write([.notice(key)]) { [self] session in
            let changed = try session.execute(
                """
                UPDATE notice SET attempts = attempts + CASE WHEN sent_at IS NULL THEN 1 ELSE 0 END,
                    sent_at = coalesce(sent_at, ?),
                    next_attempt_at = NULL, last_error = NULL WHERE key = ?
                """,
                [time.milliseconds, key])
            if changed == 0 { throw error(.unknownNotice, key) }
        }
    }

    package func markFailed(
        _ key: String, error detail: String, nextAttemptAt: Timestamp?
    ) async throws(StateError) {
        try await write([.notice(key)]) { [self] session in
            // A notice that another process has sent meanwhile stays sent.
            let changed = try session.execute(
                """
                UPDATE notice SET attempts = attempts + 1, last_error = CASE WHEN sent_at IS NULL THEN ? END,
                    next_attempt_at = CASE WHEN sent_at IS NULL THEN CAST(? AS BIGINT) END WHERE key = ?
                """,
                [detail, nextAttemptAt?.milliseconds, key])
            if changed == 0 { throw error(.unknownNotice, key) }
        }
    }

    package func notices(run: RunID?, limit: Int) async throws(StateError) -> [OutboxNotice] {
        try await read { [self] session in
            let narrowed = run == nil ? "" : "WHERE run = ?"
            let arguments: [(any SQLConvertible)?] = run.map { [$0.rawValue] } ?? []
            return try session.rows(
                "SELECT * FROM notice \(narrowed) ORDER BY id DESC LIMIT ?", arguments + [max(0, limit)]
            ).map(notice)
        }
    }

    func notice(_ row: SQLRow) throws -> OutboxNotice {
        return OutboxNotice(
            key: try row.required("key"), channel: try row.required("channel"),
            payload: try row.required("payload"),
            run: try row.optional("run", as: String.self).map { RunID($0) },
            enqueuedAt: try row.time("enqueued_at"), attempts: try row.required("attempts"),
            nextAttemptAt: try row.optionalTime("next_attempt_at"),
            sentAt: try row.optionalTime("sent_at"),
            lastError: try row.optional("last_error"))
    }
}
