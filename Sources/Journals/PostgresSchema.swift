// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// The tables in the schema `airboss`, and how a database comes to have them. The table `store` says whose they are and
/// which steps they have been through.
enum PostgresSchema {
    static let application = "airboss state store"
    static var version: Int { steps.count }

    enum Verdict: Equatable {
        /// `needsSchema` where not even the empty schema is there.
        case fresh(needsSchema: Bool)
        case ours(version: Int)
        case newer(version: Int)
        case foreign(detail: String)
    }

    /// Looks at a database without changing it.
    static func inspect(_ session: any SQLSession) throws -> Verdict {
        let found = try session.row(
            """
            SELECT count(n.oid) AS schemas, count(c.oid) AS objects,
                count(c.oid) FILTER (WHERE c.relname = 'store' AND c.relkind = 'r') AS store
            FROM pg_catalog.pg_namespace AS n LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid
            WHERE n.nspname = 'airboss'
            """, [])
        guard try found?.required("schemas", as: Int.self) ?? 0 > 0 else { return .fresh(needsSchema: true) }
        guard try found?.required("objects", as: Int.self) ?? 0 > 0 else { return .fresh(needsSchema: false) }
        let foreign = Verdict.foreign(detail: "its schema airboss holds the tables of another program")
        guard try found?.required("store", as: Int.self) == 1 else { return foreign }
        let columns = try session.row(
            """
            SELECT count(*) AS columns FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = 'airboss.store'::regclass AND NOT a.attisdropped
                AND (a.attname, a.atttypid::bigint) IN (('application', 25), ('version', 20))
            """, [])
        guard try columns?.required("columns", as: Int.self) == 2 else { return foreign }
        let row = try session.row(
            "SELECT version FROM airboss.store WHERE application = ?", [application])
        guard let found: Int = try row?.required("version") else { return foreign }
        return found > version ? .newer(version: found) : .ours(version: found)
    }

    /// Takes the database from `version` to the current one, within the caller's transaction.
    static func migrate(_ connection: PostgresConnection, from version: Int, needsSchema: Bool) throws {
        if needsSchema { try connection.script("CREATE SCHEMA airboss") }
        for step in steps.dropFirst(version) { try connection.script(step) }
        try connection.script(
            """
            INSERT INTO store (application, version) VALUES ('\(application)', \(steps.count))
            ON CONFLICT (application) DO UPDATE SET version = excluded.version
            """)
    }

    /// One step per version; a step that has been released is never edited. Names sort by their bytes, as they do in
    /// SQLite, whatever the database's language.
    private static let steps = [
        """
        CREATE TABLE store (application TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL);

        CREATE TABLE run (
            id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
            pipeline TEXT NOT NULL,
            app TEXT NOT NULL,
            kind TEXT NOT NULL,
            actor TEXT NOT NULL,
            reason TEXT NOT NULL,
            host TEXT NOT NULL,
            process_id BIGINT NOT NULL,
            started_at BIGINT NOT NULL,
            schema BIGINT NOT NULL,
            head_sequence BIGINT NOT NULL,
            head_checksum BYTEA NOT NULL,
            outcome TEXT,
            exit_code BIGINT,
            finished_at BIGINT,
            summary BYTEA
        );
        CREATE INDEX run_by_app ON run (app, started_at);
        CREATE INDEX run_by_pipeline ON run (pipeline, started_at);
        CREATE INDEX run_by_start ON run (started_at);
        CREATE INDEX run_unfinished ON run (app) WHERE outcome IS NULL;

        CREATE TABLE entry (
            run TEXT COLLATE "C" NOT NULL REFERENCES run (id),
            sequence BIGINT NOT NULL,
            kind TEXT NOT NULL,
            payload BYTEA NOT NULL,
            at BIGINT NOT NULL,
            checksum BYTEA NOT NULL,
            PRIMARY KEY (run, sequence)
        );

        CREATE TABLE app (
            name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
            fence BIGINT NOT NULL,
            revision BIGINT NOT NULL
        );
        CREATE TABLE hold (
            app TEXT COLLATE "C" NOT NULL PRIMARY KEY,
            run TEXT NOT NULL,
            holder TEXT NOT NULL,
            acquired_at BIGINT NOT NULL,
            heartbeat_at BIGINT NOT NULL,
            fence BIGINT NOT NULL
        );
        CREATE TABLE waiter (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            app TEXT COLLATE "C" NOT NULL,
            run TEXT COLLATE "C" NOT NULL,
            holder TEXT NOT NULL,
            joined_at BIGINT NOT NULL,
            heartbeat_at BIGINT NOT NULL,
            UNIQUE (app, run)
        );

        CREATE TABLE release (
            app TEXT COLLATE "C" NOT NULL,
            number BIGINT NOT NULL,
            platform_id TEXT NOT NULL,
            commit_id TEXT,
            subject TEXT NOT NULL,
            image TEXT NOT NULL,
            digest TEXT NOT NULL,
            machines TEXT NOT NULL,
            state TEXT NOT NULL,
            run TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            verified_at BIGINT,
            reason TEXT NOT NULL,
            PRIMARY KEY (app, number)
        );
        CREATE TABLE release_state (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            app TEXT COLLATE "C" NOT NULL,
            number BIGINT NOT NULL,
            state TEXT NOT NULL,
            at BIGINT NOT NULL
        );
        CREATE INDEX release_state_by_release ON release_state (app, number, id);

        CREATE TABLE notice (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            key TEXT COLLATE "C" NOT NULL UNIQUE,
            channel TEXT NOT NULL,
            payload BYTEA NOT NULL,
            run TEXT,
            enqueued_at BIGINT NOT NULL,
            attempts BIGINT NOT NULL DEFAULT 0,
            next_attempt_at BIGINT,
            sent_at BIGINT,
            last_error TEXT
        );
        CREATE INDEX notice_due ON notice (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
        CREATE INDEX notice_by_run ON notice (run);
        """,
        """
        CREATE TABLE audit_chain (
            id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
            is_own BIGINT NOT NULL,
            head_sequence BIGINT NOT NULL,
            head_checksum BYTEA NOT NULL
        );
        CREATE UNIQUE INDEX audit_chain_own ON audit_chain (is_own) WHERE is_own = 1;
        CREATE TABLE audit (
            chain TEXT COLLATE "C" NOT NULL REFERENCES audit_chain (id),
            sequence BIGINT NOT NULL,
            at BIGINT NOT NULL,
            kind TEXT NOT NULL,
            pipeline TEXT NOT NULL,
            app TEXT COLLATE "C",
            run TEXT COLLATE "C",
            document BYTEA NOT NULL,
            checksum BYTEA NOT NULL,
            PRIMARY KEY (chain, sequence)
        );
        CREATE INDEX audit_by_time ON audit (at);
        CREATE INDEX audit_by_run ON audit (run);
        ALTER TABLE run ADD COLUMN audit_records BIGINT NOT NULL DEFAULT 0;

        CREATE TABLE approval (
            nonce TEXT COLLATE "C" NOT NULL PRIMARY KEY,
            app TEXT COLLATE "C" NOT NULL,
            commit_id TEXT COLLATE "C" NOT NULL,
            document BYTEA,
            signature TEXT,
            expires_at BIGINT NOT NULL,
            spent_by TEXT COLLATE "C",
            spent_at BIGINT
        );
        CREATE INDEX approval_by_commit ON approval (app, commit_id);
        CREATE INDEX approval_by_run ON approval (spent_by);
        """,
        """
        CREATE TABLE snapshot (
            run TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES run (id),
            sequence BIGINT NOT NULL,
            chain BYTEA NOT NULL,
            build TEXT NOT NULL,
            state BYTEA NOT NULL,
            checksum BYTEA NOT NULL
        );
        """,
        """
        CREATE TABLE receipt (
            writer TEXT COLLATE "C" NOT NULL PRIMARY KEY,
            number BIGINT NOT NULL,
            written_at TIMESTAMPTZ NOT NULL
        );
        """,
    ]
}
