// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import GRDB
package import Model

extension SQLiteStore {
    package func acquire(
        _ app: AppName, run: RunID, holder: Holder, at now: Timestamp, silence: Duration
    ) async throws(StateError) -> Acquisition {
        try await write { [self] database in
            if let former = try hold(database, app) {
                let isAbandoned = former.isAbandoned(seenFrom: holder, at: now, silence: silence)
                guard former.run == run else {
                    return isAbandoned ? .abandonedBy(hold: former) : .heldBy(hold: former)
                }
                guard isAbandoned || former.holder.isSameProcess(as: holder) else { return .heldBy(hold: former) }
            }
            try execute(
                database,
                """
                INSERT INTO hold (app, run, holder, acquired_at, heartbeat_at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (app) DO UPDATE SET run = excluded.run, holder = excluded.holder,
                    acquired_at = excluded.acquired_at, heartbeat_at = excluded.heartbeat_at
                """,
                [app.rawValue, run.rawValue, try json(holder), now.milliseconds, now.milliseconds])
            return .acquired
        }
    }

    package func heartbeat(_ app: AppName, run: RunID, at now: Timestamp) async throws(StateError) -> Bool {
        try await write { [self] database in
            try execute(
                database, "UPDATE hold SET heartbeat_at = max(heartbeat_at, ?) WHERE app = ? AND run = ?",
                [now.milliseconds, app.rawValue, run.rawValue]) == 1
        }
    }

    @discardableResult
    package func release(_ app: AppName, run: RunID) async throws(StateError) -> Bool {
        try await write { [self] database in
            try execute(database, "DELETE FROM hold WHERE app = ? AND run = ?", [app.rawValue, run.rawValue]) == 1
        }
    }

    package func hold(_ app: AppName) async throws(StateError) -> Hold? {
        try await read { [self] database in
            try hold(database, app)
        }
    }

    private func hold(_ database: Database, _ app: AppName) throws -> Hold? {
        guard let found = try row(database, "SELECT * FROM hold WHERE app = ?", [app.rawValue]) else { return nil }
        let columns = columns(found)
        return Hold(
            app: app, run: RunID(try columns.required("run", as: String.self)), holder: try columns.json("holder"),
            acquiredAt: try columns.time("acquired_at"), heartbeatAt: try columns.time("heartbeat_at"))
    }
}
