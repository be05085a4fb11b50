// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

/// A state store that is wrong: 69, named, and neither it nor the fleet is changed.
@Suite("Bad state stores", .serialized, .workshop(.model, deployed: true), .enabled(if: SQLiteFile.canBeUsed))
struct BadStateTests {
    /// A deploy with a store that `spoil` has made from a copy of the good one.
    private func check(
        _ what: String, names: [String], _ spoil: (String) async throws -> Void
    ) async throws {
        let workshop = try #require(Workshop.current)
        let folder = workshop.folder + "/" + what
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/state.sqlite"
        try await SQLiteFile.run(workshop.folder + "/state.sqlite", "VACUUM INTO '\(path)'")
        try await spoil(path)
        let before = FileManager.default.contents(atPath: path)
        try await BadInput(
            what, 69, names: names + ["state.sqlite"], environment: ["AIRBOSS_STATE": "sqlite:\(path)"],
            arguments: ["deploy", "production", "--reason", "Try"]
        ).check()
        #expect(FileManager.default.contents(atPath: path) == before)
    }

    @Test("locked by another process")
    func locked() async throws {
        var holder: RunningProgram?
        try await check("locked", names: ["locked by another process"]) { path in
            try await SQLiteFile.run(path, "PRAGMA journal_mode = WAL")
            holder = try await SQLiteFile.lock(path)
        }
        holder?.send(SIGKILL)
        _ = await holder?.end()
    }

    @Test("from a newer version")
    func newer() async throws {
        try await check("newer", names: ["later Airboss", "99"]) { path in
            try await SQLiteFile.run(path, "PRAGMA user_version = 99")
        }
    }

    @Test("of another program, or no database")
    func foreign() async throws {
        try await check("foreign", names: ["not an Airboss state store"]) { path in
            try await SQLiteFile.run(path, "PRAGMA application_id = 7")
        }
        try await check("text", names: ["not an Airboss state store"]) { path in
            try Data("Dear diary, ".utf8).write(to: URL(filePath: path))
        }
    }

    @Test("read-only")
    func readOnly() async throws {
        let workshop = try #require(Workshop.current)
        let folder = workshop.folder + "/read-only"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/state.sqlite"
        try await SQLiteFile.run(workshop.folder + "/state.sqlite", "VACUUM INTO '\(path)'")
        #expect(chmod(path, 0o444) == 0 && chmod(folder, 0o555) == 0)
        defer { chmod(folder, 0o755) }
        // Root may write everything, unless it is taken that right.
        let wrapper = geteuid() == 0 ? ["setpriv", "--bounding-set=-dac_override", "--"] : []
        guard wrapper.isEmpty || Surroundings.has("setpriv", for: "a read-only state store") else { return }
        let before = try await workshop.standing()
        let outcome = try await workshop.start(
            ["deploy", "production", "--reason", "Try", "--output", "json"], ["AIRBOSS_STATE": "sqlite:\(path)"],
            wrapper: wrapper
        ).end()
        let run = try JSONRun(outcome)
        #expect(run.status == 69, "\(outcome.everything)")
        #expect(run.message.contains("cannot be written") && run.message.contains(path), "\(run.message)")
        #expect(try await workshop.standing() == before)
    }

    @Test("in PostgreSQL", .enabled(if: DatabaseServer.canRun))
    func inPostgres() async throws {
        let workshop = try #require(Workshop.current)
        try await DatabaseServer.open { server in
            let good = try await server.makeDatabase("good")
            let copied = try await workshop.airboss(
                "state", "copy", "sqlite:\(workshop.folder)/state.sqlite", good)
            #expect(copied.status == 0, "\(copied.everything)")
            try await server.script("CREATE ROLE reader LOGIN", in: "good")
            let cases: [(what: String, sql: String, user: String, names: [String])] = [
                ("newer", "UPDATE airboss.store SET version = 99", "airboss", ["later Airboss", "99"]),
                (
                    "foreign", "DROP SCHEMA airboss CASCADE; CREATE SCHEMA airboss; CREATE TABLE airboss.run (id int)",
                    "airboss", ["not an Airboss state store"]
                ),
                ("tables_gone", "DROP TABLE airboss.hold", "airboss", ["damaged", "hold"]),
                (
                    "read_only",
                    "GRANT USAGE ON SCHEMA airboss TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA airboss TO reader",
                    "reader", ["may not be used like this", "permission denied"]
                ),
            ]
            for (what, sql, user, names) in cases {
                _ = try await server.makeDatabase(what, like: "good")
                try await server.script(sql, in: what)
                let count = "query_to_xml('SELECT count(*) AS n FROM airboss.' || relname, false, true, '')"
                let tables = """
                    SELECT relname, (xpath('/row/n/text()', \(count)))[1] FROM pg_class
                    WHERE relkind = 'r' AND relnamespace = 'airboss'::regnamespace ORDER BY 1
                    """
                let before = try await server.script(tables, in: what)
                try await BadInput(
                    what, 69, names: names + ["postgres:///\(what)"],
                    environment: ["AIRBOSS_STATE": server.url(what, user: user)],
                    arguments: ["deploy", "production", "--reason", "Try"]
                ).check()
                #expect(try await server.script(tables, in: what) == before)
            }
        }
        for (what, url) in [
            ("unreachable", "postgres://ana:s3cr3t@127.0.0.1:1/airboss"),
            ("no-host", "postgres://ana:s3cr3t@no.such.host.invalid/airboss"),
        ] {
            let outcome = try await workshop.airboss("recover", "production", "--state", url)
            #expect(outcome.status == 69 && outcome.errors.contains("cannot be opened"), "\(what): \(outcome.errors)")
            #expect(!outcome.everything.contains("s3cr3t") && !outcome.everything.contains("ana"), "\(what)")
        }
    }

    @Test("of an unknown kind, without showing its password")
    func unknownKind() async throws {
        let workshop = try #require(Workshop.current)
        let outcome = try await workshop.airboss(
            "deploy", "production", "--reason", "Try", "--state", "mysql://ana:s3cr3t@base.example/airboss")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("base.example"), "\(outcome.errors)")
        #expect(!outcome.everything.contains("s3cr3t"))
    }

    @Test("with its journal's tail torn: told, and the next deploy goes on")
    func torn() async throws {
        let workshop = try #require(Workshop.current)
        let path = workshop.folder + "/state.sqlite"
        let run = try await workshop.run("deploy", "production", "--reason", "To be torn")
        #expect(run.status == 0)
        let id = try #require(run.last["run"]?.string)
        let entries = try await workshop.query("show", id, "--events")["events"]?.array?.count ?? 0
        try await SQLiteFile.run(
            path,
            """
            UPDATE entry SET payload = substr(payload, 1, 10)
            WHERE run = '\(id)' AND sequence = (SELECT max(sequence) FROM entry WHERE run = '\(id)')
            """)
        let shown = try await workshop.airboss("show", id, "--events")
        #expect(shown.status == 0, "\(shown.everything)")
        #expect(shown.errors.contains("torn"), "\(shown.errors)")
        let document = try await workshop.query("show", id, "--events")
        #expect(document["events"]?.array?.count == entries - 1)
        let next = try await workshop.run("deploy", "production", "--reason", "After it")
        #expect(next.status == 0, "\(next.outcome.everything)")
    }

    @Test("that is not there yet: queries answer, and deploys make it")
    func fresh() async throws {
        let workshop = try #require(Workshop.current)
        let state = "sqlite:\(workshop.folder)/new/deep/state.sqlite"
        let runs = try await workshop.airboss("runs", "--output", "json", with: ["AIRBOSS_STATE": state])
        #expect(runs.status == 0, "\(runs.everything)")
        #expect(try JSONValue(parsing: runs.output)["runs"]?.array == [])
        let unknown = try await workshop.airboss("show", "01ABC", with: ["AIRBOSS_STATE": state])
        #expect(unknown.status == 64)
        #expect(unknown.errors.contains("01ABC"))
    }
}
