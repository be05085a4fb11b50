// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import GRDB
package import Model

extension SQLiteStore {
    package func recordRelease(_ release: ReleaseRecord) async throws(StateError) {
        try await write { [self] database in
            let key: StatementArguments = [release.app.rawValue, release.number.value]
            let machines = try json(release.machines)
            if let found = try self.release(database, release.app, release.number) {
                guard found.run == release.run, found.digest == release.digest else {
                    throw error(.conflict, "release \(release.number) of \(release.app)")
                }
                try execute(
                    database,
                    """
                    UPDATE release SET platform_id = ?, image = ?, machines = ?
                    WHERE app = ? AND number = ?
                    """,
                    [release.platformID, release.image, machines] + key)
                return
            }
            try execute(
                database,
                """
                INSERT INTO release (app, number, platform_id, commit_id, subject, image, digest, machines, state, run,
                    created_at, verified_at, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                key + [
                    release.platformID, release.commit?.rawValue, release.subject, release.image,
                    release.digest.rawValue, machines, release.state.rawValue, release.run.rawValue,
                    release.createdAt.milliseconds, release.verifiedAt?.milliseconds, release.reason,
                ])
            try addState(
                database, release.app, release.number, release.state, release.verifiedAt ?? release.createdAt)
        }
    }

    package func markRelease(
        _ app: AppName, _ number: ReleaseNumber, _ state: ReleaseRecord.State, at time: Timestamp
    ) async throws(StateError) {
        try await write { [self] database in
            guard let found = try release(database, app, number) else {
                throw error(.unknownRelease, "\(number) of \(app)")
            }
            if found.state == state {
                // A release that is verified again (it was gone back to) is the one that serves from now on.
                guard state == .verified, try lastVerifiedChange(database, app) != number else { return }
                try addState(database, app, number, state, time)
                return
            }
            let verifiedAt = state == .verified ? time : found.verifiedAt
            try execute(
                database, "UPDATE release SET state = ?, verified_at = ? WHERE app = ? AND number = ?",
                [state.rawValue, verifiedAt?.milliseconds, app.rawValue, number.value])
            try addState(database, app, number, state, time)
        }
    }

    package func releases(_ app: AppName, limit: Int) async throws(StateError) -> [ReleaseRecord] {
        try await read { [self] database in
            try rows(
                database, "SELECT * FROM release WHERE app = ? ORDER BY number DESC LIMIT ?",
                [app.rawValue, max(0, limit)]
            ).map(releaseRecord)
        }
    }

    package func release(_ app: AppName, _ number: ReleaseNumber) async throws(StateError) -> ReleaseRecord? {
        try await read { [self] database in
            try release(database, app, number)
        }
    }

    package func releaseHistory(
        _ app: AppName, _ number: ReleaseNumber
    ) async throws(StateError) -> [ReleaseStateChange] {
        try await read { [self] database in
            try rows(
                database, "SELECT state, at FROM release_state WHERE app = ? AND number = ? ORDER BY id",
                [app.rawValue, number.value]
            ).map { row in
                let columns = columns(row)
                return ReleaseStateChange(state: try releaseState(columns), at: try columns.time("at"))
            }
        }
    }

    package func lastVerified(
        _ app: AppName, before: ReleaseNumber?
    ) async throws(StateError) -> ReleaseRecord? {
        try await read { [self] database in
            try verified(database, app, before: before, limit: 1).first
        }
    }

    package func history(_ app: AppName, limit: Int) async throws(StateError) -> ReleaseHistory {
        try await read { [self] database in
            let verified = try verified(database, app, before: nil, limit: max(1, limit))
            let states = try rows(
                database, "SELECT number, state FROM release WHERE app = ? ORDER BY number DESC LIMIT ?",
                [app.rawValue, max(0, limit)]
            ).map { row in
                let columns = columns(row)
                return ReleaseHistory.Summary(
                    number: ReleaseNumber(try columns.required("number")), state: try releaseState(columns))
            }
            let serving = try lastVerifiedChange(database, app, among: verified.map(\.number))
            return ReleaseHistory(
                current: verified.first { $0.number == serving }, verified: verified.filter { $0.number != serving },
                states: states)
        }
    }

    // MARK: Rows

    /// Releases whose last judgement is good, newest first: `deploying` judges nothing, the other states do.
    private func verified(
        _ database: Database, _ app: AppName, before: ReleaseNumber?, limit: Int
    ) throws -> [ReleaseRecord] {
        try rows(
            database,
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
    private func lastVerifiedChange(
        _ database: Database, _ app: AppName, among numbers: [ReleaseNumber]? = nil
    ) throws -> ReleaseNumber? {
        let found = try rows(
            database,
            "SELECT number FROM release_state WHERE app = ? AND state = 'verified' ORDER BY id DESC", [app.rawValue])
        for row in found {
            let number = ReleaseNumber(try columns(row).required("number"))
            if numbers?.contains(number) ?? true { return number }
        }
        return nil
    }

    private func addState(
        _ database: Database, _ app: AppName, _ number: ReleaseNumber, _ state: ReleaseRecord.State, _ time: Timestamp
    ) throws {
        try execute(
            database, "INSERT INTO release_state (app, number, state, at) VALUES (?, ?, ?, ?)",
            [app.rawValue, number.value, state.rawValue, time.milliseconds])
    }

    private func release(_ database: Database, _ app: AppName, _ number: ReleaseNumber) throws -> ReleaseRecord? {
        try row(
            database, "SELECT * FROM release WHERE app = ? AND number = ?", [app.rawValue, number.value]
        ).map(releaseRecord)
    }

    private func releaseState(_ columns: Columns) throws -> ReleaseRecord.State {
        let text: String = try columns.required("state")
        guard let state = ReleaseRecord.State(rawValue: text) else {
            throw error(.corrupt, "a release has the unknown state \(text)")
        }
        return state
    }

    private func releaseRecord(_ row: Row) throws -> ReleaseRecord {
        let columns = columns(row)
        return ReleaseRecord(
            app: AppName(try columns.required("app", as: String.self)),
            number: ReleaseNumber(try columns.required("number")),
            platformID: try columns.required("platform_id"),
            commit: try columns.optional("commit_id", as: String.self).map { CommitID($0) },
            subject: try columns.required("subject"),
            image: try columns.required("image"), digest: ImageDigest(try columns.required("digest", as: String.self)),
            machines: try columns.json("machines"),
            state: try releaseState(columns), run: RunID(try columns.required("run", as: String.self)),
            createdAt: try columns.time("created_at"), verifiedAt: try columns.optionalTime("verified_at"),
            reason: try columns.required("reason"))
    }
}
