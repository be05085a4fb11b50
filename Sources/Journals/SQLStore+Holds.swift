// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension SQLStore {
    package func acquire(
        _ app: AppName, run: RunID, holder: Holder, at now: Timestamp, silence: Duration
    ) async throws(StateError) -> Acquisition {
        let (answer, revision) = try await write([.app(app)]) { [self] session in
            let answer = try acquire(session, app, run, holder, now, silence)
            return (answer, try self.revision(session, app))
        }
        turns.saw(app, revision)
        return answer
    }

    private func acquire(
        _ session: any SQLSession, _ app: AppName, _ run: RunID, _ holder: Holder, _ now: Timestamp,
        _ silence: Duration
    ) throws -> Acquisition {
        let former = try hold(session, app)
        if let former {
            let isAbandoned = former.isAbandoned(seenFrom: holder, at: now, silence: silence)
            if former.run == run, former.holder.isSameProcess(as: holder) {
                // Again, after a lost answer.
                try beat(session, former, now)
                return .acquired(fence: former.fence)
            }
            guard isAbandoned else { return .heldBy(hold: former) }
        }
        // Whoever goes on with a run that has the app takes nothing from those who wait.
        if former?.run != run {
            let ahead = try livingWaiters(session, app, before: run, holder, now, silence)
            guard ahead.isEmpty else { return .queued(ahead: ahead) }
            if let former { return .abandonedBy(hold: former) }
        }
        let granted = try session.row(
            """
            INSERT INTO app (name, fence, revision) VALUES (?, 1, 1)
            ON CONFLICT (name) DO UPDATE SET fence = app.fence + 1, revision = app.revision + 1 RETURNING fence
            """, [app.rawValue])
        guard let fence: Int64 = try granted?.required("fence") else { throw error(.failed, "it gave no token") }
        try session.execute(
            "DELETE FROM waiter WHERE app = ? AND run = ?", [app.rawValue, run.rawValue])
        try session.execute(
            """
            INSERT INTO hold (app, run, holder, acquired_at, heartbeat_at, fence) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (app) DO UPDATE SET run = excluded.run, holder = excluded.holder,
                acquired_at = excluded.acquired_at, heartbeat_at = excluded.heartbeat_at, fence = excluded.fence
            """,
            [app.rawValue, run.rawValue, try json(holder), now.milliseconds, now.milliseconds, fence])
        try session.announce(app)
        return .acquired(fence: fence)
    }

    package func heartbeat(
        _ app: AppName, run: RunID, fence: Int64?, at now: Timestamp
    ) async throws(StateError) -> Bool {
        try await write([.app(app)]) { [self] session in
            guard let hold = try hold(session, app), hold.run == run, fence == nil || hold.fence == fence
            else {
                return false
            }
            try beat(session, hold, now)
            return true
        }
    }

    /// A sign from a slow clock does not move time back.
    private func beat(_ session: any SQLSession, _ hold: Hold, _ now: Timestamp) throws {
        guard now > hold.heartbeatAt else { return }
        try session.execute(
            "UPDATE hold SET heartbeat_at = ? WHERE app = ?", [now.milliseconds, hold.app.rawValue])
    }

    @discardableResult
    package func release(_ app: AppName, run: RunID, fence: Int64?) async throws(StateError) -> Bool {
        try await write([.app(app)]) { [self] session in
            guard let hold = try hold(session, app), hold.run == run, fence == nil || hold.fence == fence
            else {
                return false
            }
            try session.execute("DELETE FROM hold WHERE app = ?", [app.rawValue])
            try turn(session, app)
            return true
        }
    }

    package func hold(_ app: AppName) async throws(StateError) -> Hold? {
        try await read { [self] session in
            try hold(session, app)
        }
    }

    // MARK: Rows

    func hold(_ session: any SQLSession, _ app: AppName) throws -> Hold? {
        try session.row("SELECT * FROM hold WHERE app = ?", [app.rawValue]).map(hold)
    }

    func hold(_ row: SQLRow) throws -> Hold {
        Hold(
            app: try row.name("app"), run: try row.name("run"), holder: try row.json("holder"),
            acquiredAt: try row.time("acquired_at"), heartbeatAt: try row.time("heartbeat_at"),
            fence: try row.required("fence"))
    }

    /// Notes that the app's hold or queue is another now.
    func turn(_ session: any SQLSession, _ app: AppName) throws {
        try session.execute(
            """
            INSERT INTO app (name, fence, revision) VALUES (?, 0, 1)
            ON CONFLICT (name) DO UPDATE SET revision = app.revision + 1
            """, [app.rawValue])
        try session.announce(app)
    }

    /// Counts the changes of the app's hold and queue.
    func revision(_ session: any SQLSession, _ app: AppName) throws -> Int64 {
        try session.row("SELECT revision FROM app WHERE name = ?", [app.rawValue])?.required("revision")
            ?? 0
    }
}
