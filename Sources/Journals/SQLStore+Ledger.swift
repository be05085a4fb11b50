// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension SQLStore {
    package func recordRelease(_ release: ReleaseRecord, fence: Fence?) async throws(StateError) {
        try await write(subjects(.app(release.app), fence)) { [self] session in
            try check(session, fence)
            let key: [(any SQLConvertible)?] = [release.app.rawValue, release.number.value]
            let machines = try json(release.machines)
            if let found = try self.release(session, release.app, release.number) {
                guard found.run == release.run, found.digest == release.digest else {
                    throw error(.conflict, "release \(release.number) of \(release.app)")
                }
                try session.execute(
                    """
                    UPDATE release SET platform_id = ?, image = ?, machines = ?
                    WHERE app = ? AND number = ?
                    """,
                    [release.platformID, release.image, machines] + key)
                return
            }
            try insert(session, release)
            try addState(
                session, release.app, release.number, release.state, release.verifiedAt ?? release.createdAt
            )
        }
    }

    package func markRelease(
        _ app: AppName, _ number: ReleaseNumber, _ state: ReleaseRecord.State, at time: Timestamp,
        fence: Fence?
    ) async throws(StateError) {
        try await write(subjects(.app(app), fence)) { [self] session in
            try check(session, fence)
            guard let found = try release(session, app, number) else {
                throw error(.unknownRelease, "\(number) of \(app)")
            }
            if found.state == state {
                // A release that is verified again (it was gone back to) is the one that serves from now on.
                guard state == .verified, try lastVerifiedChange(session, app) != number else { return }
                try addState(session, app, number, state, time)
                return
            }
            let verifiedAt = state == .verified ? time : found.verifiedAt
            try session.execute(
                "UPDATE release SET state = ?, verified_at = ? WHERE app = ? AND number = ?",
                [state.rawValue, verifiedAt?.milliseconds, app.rawValue, number.value])
            try addState(session, app, number, state, time)
        }
    }

    package func releases(_ app: AppName, limit: Int) async throws(StateError) -> [ReleaseRecord] {
        try await read { [self] session in
            try session.rows(
                "SELECT * FROM release WHERE app = ? ORDER BY number DESC LIMIT ?",
                [app.rawValue, max(0, limit)]
            ).map(releaseRecord)
        }
    }

    package func release(_ app: AppName, _ number: ReleaseNumber) async throws(StateError) -> ReleaseRecord? {
        try await read { [self] session in
            try release(session, app, number)
        }
    }

    package func releaseHistory(
        _ app: AppName, _ number: ReleaseNumber
    ) async throws(StateError) -> [ReleaseStateChange] {
        try await read { [self] session in
            try history(session, app, number)
        }
    }

    package func lastVerified(
        _ app: AppName, before: ReleaseNumber?
    ) async throws(StateError) -> ReleaseRecord? {
        try await read { [self] session in
            try verified(session, app, before: before, limit: 1).first
        }
    }

    package func history(_ app: AppName, limit: Int) async throws(StateError) -> ReleaseHistory {
        try await read { [self] session in
            let verified = try verified(session, app, before: nil, limit: max(1, limit))
            let states = try session.rows(
                "SELECT number, state, commit_id FROM release WHERE app = ? ORDER BY number DESC LIMIT ?",
                [app.rawValue, max(0, limit)]
            ).map { row in
                return ReleaseHistory.Summary(
                    number: ReleaseNumber(try row.required("number")), state: try releaseState(row),
                    commit: try row.optional("commit_id", as: String.self).map { CommitID($0) })
            }
            let serving = try lastVerifiedChange(session, app, among: verified.map(\.number))
            return ReleaseHistory(
                current: verified.first { $0.number == serving },
                verified: verified.filter { $0.number != serving },
                states: states)
        }
    }

    // MARK: Rows

    /// Releases whose last judgement is good, newest first: `deploying` judges nothing, the other states do.
    func verified(
        _ session: any SQLSession, _ app: AppName, before: ReleaseNumber?, limit: Int
    ) throws -> [ReleaseRecord] {
        try session.rows(
            """
            SELECT * FROM release WHERE app = ? AND number < ? AND 'verified' = (
                SELECT state FROM release_state AS change
                WHERE change.app = release.app AND change.number = release.number
                    AND change.state IN ('verified', 'failed', 'rolled_back')
                ORDER BY change.id DESC LIMIT 1)
            ORDER BY number DESC LIMIT ?
            """,
            [app.rawValue, before?.value ?? Int.max, limit]
        ).map(releaseRecord)
    }

    /// The release that was verified last, of those given or of all: a rollback verifies an old one anew.
    func lastVerifiedChange(
        _ session: any SQLSession, _ app: AppName, among numbers: [ReleaseNumber]? = nil
    ) throws -> ReleaseNumber? {
        let found = try session.rows(
            "SELECT number FROM release_state WHERE app = ? AND state = 'verified' ORDER BY id DESC",
            [app.rawValue])
        for row in found {
            let number = ReleaseNumber(try row.required("number"))
            if numbers?.contains(number) ?? true { return number }
        }
        return nil
    }

    func history(_ session: any SQLSession, _ app: AppName, _ number: ReleaseNumber) throws -> [ReleaseStateChange] {
        try session.rows(
            "SELECT state, at FROM release_state WHERE app = ? AND number = ? ORDER BY id",
            [app.rawValue, number.value]
        ).map { row in
            ReleaseStateChange(state: try releaseState(row), at: try row.time("at"))
        }
    }

    func insert(_ session: any SQLSession, _ release: ReleaseRecord) throws {
        try session.execute(
            """
            INSERT INTO release (app, number, platform_id, commit_id, subject, image, digest, machines, state, run,
                created_at, verified_at, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS BIGINT), ?)
            """,
            [
                release.app.rawValue, release.number.value, release.platformID, release.commit?.rawValue,
                release.subject, release.image, release.digest.rawValue, try json(release.machines),
                release.state.rawValue, release.run.rawValue, release.createdAt.milliseconds,
                release.verifiedAt?.milliseconds, release.reason,
            ])
    }

    func addState(
        _ session: any SQLSession, _ app: AppName, _ number: ReleaseNumber,
        _ state: ReleaseRecord.State, _ time: Timestamp
    ) throws {
        try session.execute(
            "INSERT INTO release_state (app, number, state, at) VALUES (?, ?, ?, ?)",
            [app.rawValue, number.value, state.rawValue, time.milliseconds])
    }

    func release(_ session: any SQLSession, _ app: AppName, _ number: ReleaseNumber) throws -> ReleaseRecord? {
        try session.row(
            "SELECT * FROM release WHERE app = ? AND number = ?", [app.rawValue, number.value]
        ).map(releaseRecord)
    }

    func releaseState(_ row: SQLRow) throws -> ReleaseRecord.State {
        let text: String = try row.required("state")
        guard let state = ReleaseRecord.State(rawValue: text) else {
            throw error(.corrupt, "a release has the unknown state \(text)")
        }
        return state
    }

    func releaseRecord(_ row: SQLRow) throws -> ReleaseRecord {
        return ReleaseRecord(
            app: try row.name("app"),
            number: ReleaseNumber(try row.required("number")),
            platformID: try row.required("platform_id"),
            commit: try row.optional("commit_id", as: String.self).map { CommitID($0) },
            subject: try row.required("subject"),
            image: try row.required("image"), digest: try row.name("digest"),
            machines: try row.json("machines"),
            state: try releaseState(row), run: try row.name("run"),
            createdAt: try row.time("created_at"), verifiedAt: try row.optionalTime("verified_at"),
            reason: try row.required("reason"))
    }
}
