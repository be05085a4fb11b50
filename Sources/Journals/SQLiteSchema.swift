// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import GRDB

/// The tables, and how a file comes to have them. A file's `user_version` says which steps it has been through; its
/// `application_id` says that it is ours (both: sqlite.org/pragma.html).
enum SQLiteSchema {
    /// "Airb" in ASCII.
    static let applicationID: Int64 = 0x4169_7262
    static var version: Int { steps.count }

    enum Verdict: Equatable {
        case fresh
        case ours(version: Int)
        case newer(version: Int)
        case foreign(detail: String)
    }

    /// Looks at a file without changing it.
    static func inspect(_ database: Database) throws -> Verdict {
        let application = try Int64.fetchOne(database, sql: "PRAGMA application_id") ?? 0
        let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        let objects = try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") ?? 0
        if application == 0, found == 0, objects == 0 { return .fresh }
        guard application == applicationID else {
            return .foreign(detail: "it is an SQLite database of another program")
        }
        return found > version ? .newer(version: found) : .ours(version: found)
    }

    /// Takes the file from `version` to the current one, within the caller's transaction.
    static func migrate(_ database: Database, from version: Int) throws {
        for step in steps.dropFirst(version) {
            try database.execute(sql: step)
        }
        try database.execute(sql: "PRAGMA user_version = \(steps.count)")
        try database.execute(sql: "PRAGMA application_id = \(applicationID)")
    }

    /// One step per version; a step that has been released is never edited.
    private static let steps = [
        """
        CREATE TABLE run (
            id TEXT NOT NULL PRIMARY KEY,
            pipeline TEXT NOT NULL,
            app TEXT NOT NULL,
            kind TEXT NOT NULL,
            actor TEXT NOT NULL,
            reason TEXT NOT NULL,
            host TEXT NOT NULL,
            process_id INTEGER NOT NULL,
            started_at INTEGER NOT NULL,
            schema INTEGER NOT NULL,
            head_sequence INTEGER NOT NULL,
            head_checksum BLOB NOT NULL,
            outcome TEXT,
            exit_code INTEGER,
            finished_at INTEGER,
            summary BLOB
        ) STRICT;
        CREATE INDEX run_by_app ON run (app, started_at);
        CREATE INDEX run_by_pipeline ON run (pipeline, started_at);
        CREATE INDEX run_by_start ON run (started_at);
        CREATE INDEX run_unfinished ON run (app) WHERE outcome IS NULL;

        CREATE TABLE entry (
            run TEXT NOT NULL REFERENCES run (id),
            sequence INTEGER NOT NULL,
            kind TEXT NOT NULL,
            payload BLOB NOT NULL,
            at INTEGER NOT NULL,
            checksum BLOB NOT NULL,
            UNIQUE (run, sequence)
        ) STRICT;

        CREATE TABLE hold (
            app TEXT NOT NULL PRIMARY KEY,
            run TEXT NOT NULL,
            holder TEXT NOT NULL,
            acquired_at INTEGER NOT NULL,
            heartbeat_at INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE release (
            app TEXT NOT NULL,
            number INTEGER NOT NULL,
            platform_id TEXT NOT NULL,
            commit_id TEXT,
            subject TEXT NOT NULL,
            image TEXT NOT NULL,
            digest TEXT NOT NULL,
            machines TEXT NOT NULL,
            state TEXT NOT NULL,
            run TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            verified_at INTEGER,
            reason TEXT NOT NULL,
            PRIMARY KEY (app, number)
        ) STRICT;
        CREATE TABLE release_state (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            app TEXT NOT NULL,
            number INTEGER NOT NULL,
            state TEXT NOT NULL,
            at INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX release_state_by_release ON release_state (app, number, id);

        CREATE TABLE notice (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            channel TEXT NOT NULL,
            payload BLOB NOT NULL,
            run TEXT,
            enqueued_at INTEGER NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            next_attempt_at INTEGER,
            sent_at INTEGER,
            last_error TEXT
        ) STRICT;
        CREATE INDEX notice_due ON notice (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
        CREATE INDEX notice_by_run ON notice (run);
        """,
        """
        CREATE TABLE app (
            name TEXT NOT NULL PRIMARY KEY,
            fence INTEGER NOT NULL,
            revision INTEGER NOT NULL
        ) STRICT;
        ALTER TABLE hold ADD COLUMN fence INTEGER NOT NULL DEFAULT 1;
        INSERT INTO app (name, fence, revision) SELECT app, 1, 1 FROM hold;

        CREATE TABLE waiter (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            app TEXT NOT NULL,
            run TEXT NOT NULL,
            holder TEXT NOT NULL,
            joined_at INTEGER NOT NULL,
            heartbeat_at INTEGER NOT NULL,
            UNIQUE (app, run)
        ) STRICT;
        """,
        """
        CREATE TABLE audit_chain (
            id TEXT NOT NULL PRIMARY KEY,
            is_own INTEGER NOT NULL,
            head_sequence INTEGER NOT NULL,
            head_checksum BLOB NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX audit_chain_own ON audit_chain (is_own) WHERE is_own = 1;
        CREATE TABLE audit (
            chain TEXT NOT NULL REFERENCES audit_chain (id),
            sequence INTEGER NOT NULL,
            at INTEGER NOT NULL,
            kind TEXT NOT NULL,
            pipeline TEXT NOT NULL,
            app TEXT,
            run TEXT,
            document BLOB NOT NULL,
            checksum BLOB NOT NULL,
            UNIQUE (chain, sequence)
        ) STRICT;
        CREATE INDEX audit_by_time ON audit (at);
        CREATE INDEX audit_by_run ON audit (run);
        ALTER TABLE run ADD COLUMN audit_records INTEGER NOT NULL DEFAULT 0;

        CREATE TABLE approval (
            nonce TEXT NOT NULL PRIMARY KEY,
            app TEXT NOT NULL,
            commit_id TEXT NOT NULL,
            document BLOB,
            signature TEXT,
            expires_at INTEGER NOT NULL,
            spent_by TEXT,
            spent_at INTEGER
        ) STRICT;
        CREATE INDEX approval_by_commit ON approval (app, commit_id);
        CREATE INDEX approval_by_run ON approval (spent_by);
        """,
        """
        CREATE TABLE snapshot (
            run TEXT NOT NULL PRIMARY KEY REFERENCES run (id),
            sequence INTEGER NOT NULL,
            chain BLOB NOT NULL,
            build TEXT NOT NULL,
            state BLOB NOT NULL,
            checksum BLOB NOT NULL
        ) STRICT;
        """,
    ]
}
