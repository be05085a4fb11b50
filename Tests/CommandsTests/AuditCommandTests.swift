// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// The real program's audit of real runs, in the real file.
@Suite("Audit", .serialized, .workshop(.model, deployed: false))
struct AuditCommandTests {
    private func workshop() throws -> Workshop {
        try #require(Workshop.current)
    }

    @Test("tells who did what from where, without secrets, and finds any edit in the file")
    func story() async throws {
        let workshop = try workshop()
        let secret = "ghp_" + String(repeating: "a1B2", count: 9)
        let github: [String: String?] = [
            "GITHUB_ACTOR": "octo-dana", "GITHUB_ACTIONS": "true", "GITHUB_SHA": nil, "USER": "runner",
        ]
        let run = try await workshop.run(
            "deploy", "production", "--reason", "With \(secret)", "--state", "sqlite:\(workshop.folder)/state.sqlite",
            with: github)
        let id = try #require(run.last["run"]?.string)
        let listed = try await workshop.query("audit", "list", "production", "--run", id, "--limit", "1000")
        let records = try #require(listed["records"]?.array)
        #expect(records.count > 10)
        #expect(!listed.text().contains(secret))
        for record in records {
            #expect(record["actor"]?.string == "octo-dana")
            #expect(record["identities"]?["git"]?.string == "Tess Tester <tess@example.invalid>")
            #expect(record["identities"]?["shell"]?.string == "runner")
            #expect(record["entry_point"]?.string == "github-actions")
            #expect(record["command"]?.string?.hasPrefix("airboss deploy production --reason") == true)
            #expect(record["run"]?.string == id && record["pipeline"]?.string == "production")
        }
        #expect(records.last?["kind"]?.string == "run.started")
        #expect(records.first?["kind"]?.string == "run.finished")
        #expect(records.first?["after"]?["exit_code"]?.integer == Int(run.status))

        let whole = try await workshop.query("audit", "verify")
        #expect(whole["whole"]?.bool == true && whole["records"]?.integer == records.count)
        let head = try #require(whole["heads"]?[0])
        let noted = [head["chain"]?.string, head["sequence"]?.integer.map(String.init), head["hash"]?.string]
            .compactMap { $0 }.joined(separator: ":")

        // Exported, it is verified without the store, and by what everybody has.
        let file = workshop.folder + "/audit.jsonl"
        let exported = try await workshop.query("audit", "export", "--output-file", file)
        #expect(exported["records"]?.integer == records.count)
        #expect(try await workshop.airboss("audit", "verify", "--file", file, "--head", noted).status == 0)
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let lines = text.split(separator: "\n").map(String.init)
        let sum = try await RunningProgram.run(["sh", "-c", "sed -n 1p '\(file)' | tr -d '\\n' | sha256sum"])
        #expect(
            try JSONValue(parsing: lines[1])["previous"]?.string
                == sum.output.split(separator: " ").first.map(String.init))
        try Data(text.replacing("octo-dana", with: "octo-ruth").utf8).write(to: URL(filePath: file + "2"))
        #expect(try await workshop.airboss("audit", "verify", "--file", file + "2").status == 11)

        // In the store.
        let path = workshop.folder + "/state.sqlite"
        for statement in [
            "UPDATE audit SET document = "
                + "CAST(replace(CAST(document AS TEXT), 'octo-dana', 'octo-ruth') AS BLOB) WHERE sequence = 2",
            "DELETE FROM audit WHERE sequence = 3",
            "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        ] {
            let copy = path + ".kept"
            _ = try await SQLiteFile.run(path, "PRAGMA wal_checkpoint(TRUNCATE)")
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            _ = try await SQLiteFile.run(path, statement)
            let broken = try await workshop.airboss("audit", "verify", with: [:])
            #expect(broken.status == 11, "\(statement): \(broken.everything)")
            #expect(broken.output.contains("NOT WHOLE: record"), "\(broken.output)")
            let check = try await workshop.airboss("state", "check")
            #expect(check.status == 69 && check.output.contains("in the audit record"), "\(check.everything)")
            for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
            try FileManager.default.moveItem(atPath: copy, toPath: path)
        }
        #expect(try await workshop.airboss("audit", "verify", "--head", noted).status == 0)
        let another = noted.dropLast(4) + "0000"
        #expect(try await workshop.airboss("audit", "verify", "--head", String(another)).status == 11)
    }

    @Test("a store that is not there is not made, and not found whole")
    func missing() async throws {
        let workshop = try workshop()
        let path = workshop.folder + "/none.sqlite"
        let outcome = try await workshop.airboss("audit", "verify", "--state", "sqlite:\(path)")
        #expect(outcome.status == 69)
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try await workshop.airboss("audit", "verify", "--head", "x").status == 64)
    }
}
