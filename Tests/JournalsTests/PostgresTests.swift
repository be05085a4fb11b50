// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Dispatch
import Foundation
import Glibc
import Model
import Synchronization
import Testing

@testable import Journals

/// What only a server can do to a store.
@Suite(.enabled(if: PostgresServer.isInstalled)) struct PostgresTests {
    private func openingError(
        _ url: String, _ options: PostgresStore.Options = .init(), sourceLocation: SourceLocation = #_sourceLocation
    ) async -> StateError? {
        await failure(
            { () throws(StateError) in try await PostgresStore(url: url, options: options) },
            sourceLocation: sourceLocation)
    }

    private func makeDatabase() async throws -> (server: PostgresServer, name: String, url: String) {
        let server = try await PostgresServer.shared.value
        let name = try await server.makeDatabase()
        return (server, name, server.url(of: name))
    }

    // MARK: What is there

    @Test func `a database of another program, or of a later Airboss, is left as it is`() async throws {
        let spoilings = [
            ("CREATE SCHEMA airboss; CREATE TABLE airboss.run (id int)", StateError.Code.notOurs),
            ("CREATE SCHEMA airboss; CREATE TABLE airboss.store (application text, version text)", .notOurs),
            (
                "CREATE SCHEMA airboss; CREATE TABLE airboss.store (application text, version bigint);"
                    + " INSERT INTO airboss.store VALUES ('another', 1)", .notOurs
            ),
            (
                "CREATE SCHEMA airboss; CREATE TABLE airboss.store (application text, version bigint);"
                    + " INSERT INTO airboss.store VALUES ('airboss state store', 99)",
                .newerVersion(found: 99, supported: PostgresSchema.version)
            ),
        ]
        for (sql, code) in spoilings {
            let (server, name, url) = try await makeDatabase()
            try await server.script(sql, in: name)
            let listing = """
                SELECT string_agg(c.relname || c.relkind::text || coalesce(a.attname, ''), ',' ORDER BY 1)
                FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid
                WHERE c.relnamespace = 'airboss'::regnamespace
                """
            let before = try await server.script(listing, in: name)
            let error = await openingError(url)
            #expect(error?.code == code)
            #expect(error?.asAirbossError.code == .unavailable && error?.hint.contains("nothing was changed") == true)
            #expect(try await server.script(listing, in: name) == before)
        }
    }

    @Test func `a database without a store is told so by who only looks`() async throws {
        let (server, name, url) = try await makeDatabase()
        try await server.script("CREATE TABLE run (id int)", in: name)
        let error = await failure { () throws(StateError) in
            try await StateStores.check(url, at: start, silence: .seconds(60))
        }
        #expect(error?.code == .olderVersion(found: 0, supported: PostgresSchema.version))
        #expect(error?.message.contains("no Airboss state store at postgres:///\(name)") == true)
        #expect(error?.hint.contains("state migrate") == true)
        #expect(try await server.script("SELECT count(*) FROM pg_namespace WHERE nspname = 'airboss'", in: name) == "0")
    }

    @Test func `what others have in the database does not matter`() async throws {
        let (server, name, url) = try await makeDatabase()
        try await server.script("CREATE TABLE run (id int); CREATE TABLE store (x int)", in: name)
        let store = try await PostgresStore(url: url)
        try await store.openRun(header("01A"))
        #expect(try await server.script("SELECT count(*) FROM public.run", in: name) == "0")
        #expect(try await server.script("SELECT id FROM airboss.run", in: name) == "01A")
    }

    @Test func `many that make the same store at once all get it`() async throws {
        let (_, _, url) = try await makeDatabase()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask { try await PostgresStore(url: url).openRun(header(RunID("01R\(number)"))) }
            }
            try await group.waitForAll()
        }
        #expect(try await PostgresStore(url: url).runs(.all, limit: 99).count == 8)
    }

    @Test func `who may only read is told so, who may only use the tables can`() async throws {
        let (server, name, url) = try await makeDatabase()
        let suffix = "_" + name
        try await server.script(
            "CREATE ROLE reader\(suffix) LOGIN; CREATE ROLE writer\(suffix) LOGIN; CREATE ROLE stranger\(suffix) LOGIN",
            in: name)
        func login(_ role: String) -> String {
            url.replacing("user=\(PostgresServer.user)", with: "user=\(role)\(suffix)")
        }
        // Nobody but the owner may make a schema.
        #expect(await openingError(login("writer"))?.code == .readOnly)
        try await PostgresStore(url: url).close()
        try await server.script(
            """
            GRANT USAGE ON SCHEMA airboss TO reader\(suffix), writer\(suffix);
            GRANT SELECT ON ALL TABLES IN SCHEMA airboss TO reader\(suffix);
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA airboss TO writer\(suffix);
            """, in: name)
        try await PostgresStore(url: login("writer")).openRun(header("01A"))
        let reader = try await PostgresStore(url: login("reader"))
        #expect(try await reader.runs(.all, limit: 9).count == 1)
        let error = await failure { () throws(StateError) in try await reader.openRun(header("01B")) }
        #expect(error?.code == .readOnly && error?.hint.contains("Grant") == true)
        #expect(await openingError(login("stranger"))?.code == .readOnly)
    }

    // MARK: Names, passwords, TLS

    @Test func `over TLS, the server's certificate is verified as the URL says`() async throws {
        let (server, name, _) = try await makeDatabase()
        // The folder is the server's own; what a client needs of it is copied.
        let copied = server.folder + "/authority-\(name).crt"
        try FileManager.default.copyItem(atPath: server.folder + "/data/server.crt", toPath: copied)
        let verified = try await PostgresStore(
            url: server.networkURL(of: name, options: "sslmode=verify-full&sslrootcert=\(copied)"))
        try await verified.openRun(header("01A"))
        let version = try await verified.read { session in
            try session.row("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", [])?
                .optional("version", as: String.self)
        }
        #expect(version?.hasPrefix("TLS") == true)

        for (host, options) in [
            ("localhost", "sslmode=verify-full&sslrootcert=/dev/null"),
            ("127.0.0.1", "sslmode=verify-full&sslrootcert=\(copied)"),
        ] {
            let error = await openingError(server.networkURL(of: name, host: host, options: options))
            #expect(error?.code == .untrustedServer && error?.asAirbossError.code == .unavailable)
            #expect(error?.detail.contains("certificate") == true && error?.hint.contains("sslrootcert") == true)
            #expect(error?.description.contains(PostgresServer.user) == false)
        }
        // libpq's own default does not verify.
        try await PostgresStore(url: server.networkURL(of: name, options: "sslmode=require")).close()
    }

    @Test func `no message holds the user or the password`() async throws {
        let (server, name, _) = try await makeDatabase()
        let secret = "hunter2"
        let urls = [
            "postgres://dana:\(secret)@localhost:\(server.port)/\(name)",
            "postgresql://dana:\(secret)@localhost:1/\(name)?connect_timeout=2",
            "postgres://dana:\(secret)@[::1/x", "postgres://dana:\(secret)@localhost:port/x",
            "postgres://dana:\(secret)%zz@localhost/x", "postgres://dana:\(secret)@localhost/x?sslmode=\(secret)",
            "postgres://dana:\(secret)@no.such.host.invalid/x?connect_timeout=2",
            "postgres://localhost:\(server.port)/\(name)?user=dana&password=\(secret)",
            "postgres://localhost/x?nothing=\(secret)&password=\(secret)",
        ]
        for url in urls {
            let error = await openingError(url)
            #expect(error?.code == .cannotOpen, "\(url)")
            for word in [secret, "dana"] { #expect(error?.description.contains(word) == false, "\(url)") }
            #expect(error?.hint.contains("password") == true)
        }
        #expect(await openingError("postgres://localhost/x?sslmoed=1")?.detail.contains("sslmoed") == true)
        let asked = await openingError("postgres://dana@localhost:\(server.port)/\(name)?passfile=/nonexistent")
        #expect(asked?.detail.contains("password") == true)
        let missing = await openingError(server.url(of: "no_such_database"))
        #expect(missing?.code == .cannotOpen && missing?.detail.contains("no_such_database") == true)
    }

    @Test func `a place is told without user and password`() throws {
        func place(_ url: String) throws -> String { try PostgresURL(url).place }
        #expect(try place("postgresql://u:p@db.example:6543/x?sslmode=require") == "postgres://db.example:6543/x")
        #expect(try place("postgres://u@db.example/x") == "postgres://db.example/x")
        #expect(try place("postgres:///x?host=/run/pg&user=u") == "postgres:///x?host=/run/pg")
        #expect(try place("postgres://u:p@one,two:7/x") == "postgres://one,two:,7/x")
        #expect(try PostgresURL("postgres://h/x?connect_timeout=3").parameters["connect_timeout"] == "3")
        #expect(try PostgresURL("postgres://h/x").parameters["connect_timeout"] == "10")
    }

    // MARK: Others at the same time

    @Test func `who is kept waiting for too long is told that the store is locked`() async throws {
        let (_, _, url) = try await makeDatabase()
        var options = PostgresStore.Options()
        options.lockTimeout = .milliseconds(50)
        options.patience = .milliseconds(100)
        let (store, other) = (try await PostgresStore(url: url, options: options), try await PostgresStore(url: url))
        let (entered, enter) = AsyncStream.makeStream(of: Void.self)
        let leave = DispatchSemaphore(value: 0)
        async let held: Void = other.write([.run("01A")]) { session in
            // The locks are taken with the first statement.
            _ = try session.rows("SELECT 1 AS one")
            enter.finish()
            leave.wait()  // on the other store's own thread
        }
        for await _ in entered {}
        let error = await failure { () throws(StateError) in try await store.openRun(header("01A")) }
        #expect(error?.code == .locked)
        try await store.openRun(header("01B"))  // another run waits for nobody
        leave.signal()
        try await held
        try await store.openRun(header("01A"))
    }

    @Test(arguments: ["40001", "40P01"])
    func `a transaction that could not be put in order is run again`(state: String) async throws {
        let (_, _, url) = try await makeDatabase()
        let store = try await PostgresStore(url: url)
        let attempts = Mutex(0)
        let value = try await store.write([.run("01A")]) { session in
            let attempt = attempts.withLock { count in
                count += 1
                return count
            }
            try session.execute("INSERT INTO app (name, fence, revision) VALUES (?, 1, 1)", ["a\(attempt)"])
            // The server's own refusal, as of a transaction that met another.
            if attempt < 4 {
                try session.execute("DO $body$ BEGIN RAISE SQLSTATE '\(state)'; END $body$", [])
            }
            return attempt
        }
        #expect(value == 4)
        #expect(try await store.apps() == ["a4"])
    }

    @Test func `a transaction that never can be put in order ends in locked`() async throws {
        let (_, _, url) = try await makeDatabase()
        var options = PostgresStore.Options()
        options.patience = .milliseconds(200)
        let store = try await PostgresStore(url: url, options: options)
        let error = await failure { () throws(StateError) in
            try await store.write([]) { session in
                try session.execute("DO $body$ BEGIN RAISE SQLSTATE '40001'; END $body$", [])
            }
        }
        #expect(error?.code == .locked)
    }

    @Test(
        arguments: [
            ("53100", .diskFull), ("25006", .readOnly), ("42501", .readOnly), ("XX001", .corrupt), ("42P01", .corrupt),
            ("57014", .locked), ("55P03", .locked), ("22012", .failed), ("0A000", .readOnly),
        ] as [(String, StateError.Code)])
    func `what the server refuses is told as what it means`(state: String, code: StateError.Code) async throws {
        let (_, _, url) = try await makeDatabase()
        let store = try await PostgresStore(url: url)
        let error = await failure { () throws(StateError) in
            try await store.write([]) { session in
                try session.execute("INSERT INTO app (name, fence, revision) VALUES ('x', 1, 1)", [])
                try session.execute("DO $body$ BEGIN RAISE SQLSTATE '\(state)'; END $body$", [])
            }
        }
        #expect(error?.code == code)
        #expect(try await store.apps().isEmpty)
    }

    @Test func `a connection that is cut is made again, and the write happens once`() async throws {
        let (server, name, url) = try await makeDatabase()
        let store = try await PostgresStore(url: url)
        try await store.openRun(header("01A"))
        let cut = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = '\(name)' AND application_name = 'airboss' AND pid <> pg_backend_pid()
            """
        for number in 0..<20 {
            try await server.script(cut)
            try await store.append(
                run: "01A", expectedSequence: Int64(number), kind: "event", payload: payload("\(number)"), at: start)
        }
        // Cut in the midst of the transaction.
        let attempts = Mutex(0)
        try await store.write([.notice("x")]) { session in
            try session.execute("INSERT INTO app (name, fence, revision) VALUES ('x', 1, 1)", [])
            let isFirst = attempts.withLock { count in
                count += 1
                return count == 1
            }
            if isFirst { try session.execute("SELECT pg_terminate_backend(pg_backend_pid())", []) }
        }
        #expect(attempts.withLock { $0 } == 2)
        #expect(try await store.events("01A").entries.count == 20)
    }

    @Test func `one receipt is there for each writer, and those of a day ago go`() async throws {
        let (server, name, url) = try await makeDatabase()
        func receipts(_ what: String) async throws -> String? {
            try await server.script("SELECT \(what) FROM airboss.receipt", in: name)
        }
        let store = try await PostgresStore(url: url)
        for number in 0..<50 {
            try await store.openRun(header(RunID("01R\(number)")))
            // Read or written in one go, there is nothing to ask for later.
            _ = try await store.runs(.all, limit: 1)
        }
        #expect(try await receipts("count(*)") == "1")
        #expect(try await receipts("max(number)") == "50")
        try await server.script(
            """
            INSERT INTO airboss.receipt
                SELECT 'old-' || n, n, now() - interval '25 hours' FROM generate_series(1, 500) n;
            INSERT INTO airboss.receipt VALUES ('younger', 1, now() - interval '23 hours')
            """, in: name)
        // Whoever has written before does not look any more; who comes does, once.
        try await store.openRun(header("01S"))
        #expect(try await receipts("count(*)") == "502")
        let other = try await PostgresStore(url: url)
        try await other.openRun(header("01T"))
        #expect(try await receipts("count(*)") == "3")
        #expect(try await receipts("min(number)") == "1")
        for one in [store, other] { try await one.close() }
    }

    // MARK: Statements that wait for others, and rows that come one by one

    @Test func `a statement that goes with the commit fails there, and nothing of the write is kept`() async throws {
        let (_, _, url) = try await makeDatabase()
        let store = try await PostgresStore(url: url)
        for isLast in [true, false] {
            let error = await failure { () throws(StateError) in
                try await store.write([]) { session in
                    try session.execute("INSERT INTO app (name, fence, revision) VALUES ('x', 1, 1)", [])
                    try session.post("INSERT INTO app (name, fence, revision) VALUES ('x', 2, 2)", [])
                    if !isLast { _ = try session.rows("SELECT name FROM app") }
                }
            }
            #expect(error?.code == .failed && error?.detail.contains("duplicate key") == true)
            #expect(try await store.apps() == [])
        }
        // What was posted before something else went wrong is not done with the next write.
        let given = await failure { () throws(StateError) in
            try await store.write([]) { session in
                try session.post("INSERT INTO app (name, fence, revision) VALUES ('y', 1, 1)", [])
                throw StateError(.unknownRun, store: "here")
            }
        }
        #expect(given?.code == .unknownRun)
        try await store.write([]) { try $0.post("INSERT INTO app (name, fence, revision) VALUES ('z', 1, 1)", []) }
        #expect(try await store.apps() == ["z"])
        try await store.close()
    }

    @Test func `rows that come one by one are all there, and none is there twice after a line that broke`() async throws
    {
        let (server, name, url) = try await makeDatabase()
        let store = try await PostgresStore(url: url)
        let attempts = Mutex(0)
        let query = "SELECT n FROM generate_series(1, 20000) AS n(n) ORDER BY n"
        func numbers(_ meanwhile: @escaping @Sendable (Int, Int) throws -> Void) async throws -> [Int] {
            try await store.read { session in
                let attempt = attempts.withLock { count in
                    count += 1
                    return count
                }
                var found: [Int] = []
                try session.stream(query, []) { row in
                    found.append(try row.required("n"))
                    try meanwhile(attempt, found.count)
                }
                // The connection is free again.
                _ = try session.rows("SELECT 1 AS one")
                return found
            }
        }
        #expect(try await numbers { _, _ in } == Array(1...20000))
        let stopped = await failure { () throws(StateError) in
            try await store.read { session in
                try session.stream(query, []) { _ in throw StateError(.corrupt, store: "here") }
            }
        }
        #expect(stopped?.code == .corrupt)
        let refused = await failure { () throws(StateError) in
            try await store.read { session in
                try session.stream("SELECT 1000 / (500 - n) AS n FROM generate_series(1, 1000) AS n", []) { _ in }
            }
        }
        #expect(refused?.code == .failed)
        attempts.withLock { $0 = 0 }
        let cut = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = '\(name)' AND application_name = 'airboss' AND pid <> pg_backend_pid()
            """
        let all = try await numbers { attempt, count in
            guard attempt == 1, count == 100 else { return }
            let connection = try PostgresConnection(try PostgresURL(server.url(of: "postgres")), patience: .seconds(5))
            _ = try connection.script(cut)
            throw PostgresFailure(kind: .lost, message: "cut by the test")
        }
        #expect(all == Array(1...20000) && attempts.withLock { $0 } == 2)
        try await store.close()
    }

    @Test func `what became of a transaction is known by its receipt, not by its number`() async throws {
        let (_, _, url) = try await makeDatabase()
        let parsed = try PostgresURL(url)
        try await PostgresStore(url: url).close()
        for isCommitted in [true, false] {
            let looked = try await offThePool {
                let link = PostgresLink(parsed, .init(), StorePatience())
                let connection = try PostgresConnection(parsed, patience: .seconds(5))
                try connection.script("BEGIN")
                try connection.script("INSERT INTO airboss.receipt VALUES ('\(link.writer)', 7, now())")
                let transaction = try connection.script("SELECT txid_current()")?.text.flatMap { Int64($0) } ?? 0
                try connection.script(isCommitted ? "COMMIT" : "ROLLBACK")
                return [
                    try link.wasCommitted(transaction, receipt: 7, connection),
                    // A number that this server has not had yet.
                    try link.wasCommitted(transaction + 1_000_000, receipt: 7, connection),
                    // A number that was given anew after a crash, to a transaction of somebody else.
                    try link.wasCommitted(transaction, receipt: 8, connection),
                ]
            }
            #expect(looked == [isCommitted, isCommitted, false])
        }
    }

    @Test func `a store that was closed says so`() async throws {
        let (_, _, url) = try await makeDatabase()
        let store = try await PostgresStore(url: url)
        try await store.close()
        #expect(await failure { () throws(StateError) in try await store.runs(.all, limit: 1) }?.code == .failed)
    }

    @Test func `a thousand durable appends (times printed)`() async throws {
        let (_, _, url) = try await makeDatabase()
        let store = try await PostgresStore(url: url)
        try await store.openRun(header("01A"))
        let body = payload(String(repeating: "x", count: 400))
        let clock = ContinuousClock()
        let appending = try await clock.measure {
            for number in 0..<1000 {
                try await store.append(
                    run: "01A", expectedSequence: Int64(number), kind: "event", payload: body, at: start)
            }
        }
        var entries = 0
        let replaying = try await clock.measure { entries = try await store.events("01A").entries.count }
        #expect(entries == 1000)
        print("PostgreSQL journal: 1,000 durable appends in \(appending), read in \(replaying)")
    }
}

/// Runs what blocks on a thread of its own.
func offThePool<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    let result: Result<Value, any Error> = await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: Result { try body() }) }
    }
    return try result.get()
}
