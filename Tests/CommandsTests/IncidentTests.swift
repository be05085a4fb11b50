// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// Evidence of an incident, written by the real program and then tampered with.
@Suite("Incident evidence", .serialized, .workshop(.model, deployed: false))
struct IncidentTests {
    private func export(_ workshop: Workshop, _ folder: String, with changes: [String: String?] = [:]) async throws
        -> (path: String, document: JSONValue)
    {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let outcome = try await workshop.airboss(
            "incident", "export", "production", "--type", "outage", "--severity", "critical", "--details",
            "502s, DATABASE_PASSWORD=hunter2hunter2", "--to", folder, "--output", "json", with: changes)
        try #require(outcome.status == 0, "\(outcome.everything)")
        let document = try JSONValue(parsing: outcome.output)
        return (try #require(document["folder"]?.string), document)
    }

    @Test("is whole, free of secrets, and any change of any file is found")
    func story() async throws {
        let workshop = try #require(Workshop.current)
        let secret = "ghp_" + String(repeating: "a1B2", count: 9)
        try await workshop.commit("Note \(secret)", ["message=x"])
        _ = try await workshop.run("deploy", "production", "--reason", "Because \(secret)")
        let (path, document) = try await export(workshop, workshop.folder + "/a")
        let id = try #require(document["incident"]?.string)
        #expect(id.wholeMatch(of: /INC-\d{8}-\d{6}/) != nil && path.hasSuffix(id))
        let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        #expect(
            Set(names).isSuperset(of: [
                "EVIDENCE_MANIFEST.json", "audit.jsonl", "incident.json", "machines.json", "releases.json", "runs.json",
                "timeline.json", "timeline.md",
            ]), "\(names)")
        for name in names {
            let text = try String(contentsOfFile: path + "/" + name, encoding: .utf8)
            #expect(!text.contains(secret) && !text.contains("hunter2"), "\(name)")
        }
        let missing = document["missing"]?.array?.compactMap { $0["what"]?.string } ?? []
        #expect(missing.contains("logs"))
        // sha256sum agrees with the manifest.
        for file in document["files"]?.array ?? [] {
            let name = try #require(file["name"]?.string)
            let sum = try await RunningProgram.run(["sha256sum", path + "/" + name])
            #expect(file["sha256"]?.string == sum.output.split(separator: " ").first.map(String.init))
        }
        func verify() async throws -> Outcome { try await workshop.airboss("audit", "verify", "--evidence", path) }
        let whole = try await verify()
        #expect(whole.status == 0 && whole.output.contains("Compared with the audit record"), "\(whole.everything)")

        for name in names {
            let file = URL(filePath: path + "/" + name)
            let original = try Data(contentsOf: file)
            var edited = original
            edited[edited.count / 2] ^= 1
            for damage in [edited, original + Data(" ".utf8), Data(original.dropLast()), nil] {
                if let damage { try damage.write(to: file) } else { try FileManager.default.removeItem(at: file) }
                let outcome = try await verify()
                let isLostManifest = damage == nil && name == "EVIDENCE_MANIFEST.json"
                #expect(outcome.status == (isLostManifest ? 64 : 11), "\(name): \(outcome.everything)")
                try original.write(to: file)
            }
        }
        try Data().write(to: URL(filePath: path + "/more.txt"))
        #expect(try await verify().status == 11)
        try FileManager.default.removeItem(atPath: path + "/more.txt")

        // A file and the manifest changed together agree with each other, and not with the audit record.
        let runs = URL(filePath: path + "/runs.json")
        let manifest = URL(filePath: path + "/EVIDENCE_MANIFEST.json")
        let (oldRuns, oldManifest) = (try Data(contentsOf: runs), try Data(contentsOf: manifest))
        try (oldRuns + Data("\n".utf8)).write(to: runs)
        let sum = try await RunningProgram.run(["sha256sum", runs.path])
        var json = try JSONValue(parsing: oldManifest)
        json["files"] = .array(
            (json["files"]?.array ?? []).map { file in
                guard file["name"]?.string == "runs.json" else { return file }
                return [
                    "name": "runs.json", "bytes": .integer(Int64(oldRuns.count + 1)),
                    "sha256": .string(String(sum.output.prefix(64))),
                ]
            })
        try Data(json.text(pretty: true).utf8).write(to: manifest)
        let forged = try await verify()
        #expect(forged.status == 11 && forged.output.contains("this manifest"), "\(forged.everything)")
        let alone = try await workshop.airboss(
            "audit", "verify", "--evidence", path, "--state", "sqlite:\(workshop.folder)/none.sqlite")
        #expect(alone.status == 0 && alone.output.contains("on trust"), "\(alone.everything)")
    }

    @Test("without the platform it says so, and the rest is there")
    func unreachable() async throws {
        let workshop = try #require(Workshop.current)
        let (path, document) = try await export(
            workshop, workshop.folder + "/b", with: ["FLY_FLAPS_BASE_URL": "http://127.0.0.1:9"])
        #expect(!FileManager.default.fileExists(atPath: path + "/machines.json"))
        let missing = document["missing"]?.array ?? []
        #expect(missing.contains { $0["what"]?.string == "machines.json" && $0["why"]?.string?.isEmpty == false })
        #expect(try await workshop.airboss("audit", "verify", "--evidence", path).status == 0)
        let wrong = try await workshop.airboss(
            "incident", "export", "production", "--type", "x", "--severity", "bad", "--details", "x")
        #expect(wrong.status == 64)
    }
}
