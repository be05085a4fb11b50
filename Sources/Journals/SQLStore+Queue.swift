// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import Synchronization

/// What a store last told its callers about each app's hold and queue, so that waiting for a change misses none.
package final class SeenTurns: Sendable {
    private let revisions = Mutex<[AppName: Int64]>([:])

    func saw(_ app: AppName, _ revision: Int64) {
        revisions.withLock { $0[app] = revision }
    }

    func last(_ app: AppName) -> Int64? {
        revisions.withLock { $0[app] }
    }
}

extension SQLStore {
    package func joinQueue(
        _ app: AppName, run: RunID, holder: Holder, at now: Timestamp
    ) async throws(StateError) -> Int {
        try await write([.app(app)]) { [self] session in
            let key = [app.rawValue, run.rawValue]
            for waiter in try queue(session, app)
            where waiter.run != run && waiter.holder.liveness(seenFrom: holder) == .gone {
                try remove(session, waiter)
            }
            if let place = try queue(session, app).firstIndex(where: { $0.run == run }) {
                try session.execute(
                    "UPDATE waiter SET heartbeat_at = ?, holder = ? WHERE app = ? AND run = ?",
                    [now.milliseconds, try json(holder)] + key)
                return place + 1
            }
            try session.execute(
                "INSERT INTO waiter (app, run, holder, joined_at, heartbeat_at) VALUES (?, ?, ?, ?, ?)",
                key + [try json(holder), now.milliseconds, now.milliseconds])
            try turn(session, app)
            return try queue(session, app).count
        }
    }

    @discardableResult
    package func leaveQueue(_ app: AppName, run: RunID) async throws(StateError) -> Bool {
        try await write([.app(app)]) { [self] session in
            guard let waiter = try queue(session, app).first(where: { $0.run == run }) else { return false }
            try remove(session, waiter)
            return true
        }
    }

    package func queue(_ app: AppName) async throws(StateError) -> [Waiter] {
        try await read { [self] session in
            try queue(session, app)
        }
    }

    @discardableResult
    package func changed(_ app: AppName, within limit: Duration) async throws(StateError) -> Bool {
        let deadline = ContinuousClock.now + limit
        var known = turns.last(app)
        while true {
            // The sign first: what is committed after it ends the wait.
            let sign = try await sign(app)
            let revision: Int64 = try await read { [self] session in try self.revision(session, app) }
            if let known, known != revision {
                turns.saw(app, revision)
                return true
            }
            known = revision
            guard !Task.isCancelled, ContinuousClock.now < deadline else { return false }
            try await awaitSign(app, after: sign, until: deadline)
        }
    }

    // MARK: Rows

    func queue(_ session: any SQLSession, _ app: AppName) throws -> [Waiter] {
        try session.rows("SELECT * FROM waiter WHERE app = ? ORDER BY id", [app.rawValue]).map(waiter)
    }

    func waiter(_ row: SQLRow) throws -> Waiter {
        Waiter(
            app: try row.name("app"), run: try row.name("run"), holder: try row.json("holder"),
            joinedAt: try row.time("joined_at"), heartbeatAt: try row.time("heartbeat_at"))
    }

    /// Those who came before the run, without those that are gone, who are taken out; everybody, where it never joined.
    func livingWaiters(
        _ session: any SQLSession, _ app: AppName, before run: RunID, _ here: Holder, _ now: Timestamp,
        _ silence: Duration
    ) throws -> [Waiter] {
        var living: [Waiter] = []
        for waiter in try queue(session, app) {
            if waiter.run == run {
                // It asks, so it lives.
                try session.execute(
                    "UPDATE waiter SET heartbeat_at = ? WHERE app = ? AND run = ?",
                    [now.milliseconds, app.rawValue, run.rawValue])
                return living
            }
            if waiter.isGone(seenFrom: here, at: now, silence: silence) {
                try remove(session, waiter)
            } else {
                living.append(waiter)
            }
        }
        return living
    }

    private func remove(_ session: any SQLSession, _ waiter: Waiter) throws {
        try session.execute(
            "DELETE FROM waiter WHERE app = ? AND run = ?", [waiter.app.rawValue, waiter.run.rawValue])
        try turn(session, waiter.app)
    }
}
