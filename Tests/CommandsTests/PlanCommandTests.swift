// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// `airboss plan` and `deploy --plan` as programs and people use them, against the local Fly.
@Suite("Plans", .serialized, .workshop(.model, deployed: true))
struct PlanCommandTests {
    private func plan(_ workshop: Workshop, _ arguments: String...) async throws -> (status: Int32, json: JSONValue) {
        let outcome = try await workshop.start(["plan", "production", "--output", "json"] + arguments).end()
        return (outcome.status, try JSONValue(parsing: outcome.output))
    }

    @Test func `a plan changes nothing, and says the same again`() async throws {
        let workshop = try #require(Workshop.current)
        try await workshop.commit("Greet *better* with token ghp_0123456789abcdefghijABCDEFGHIJ012345", ["message=hi"])
        let before = try await workshop.standing()
        let runs = try await workshop.query("runs")
        let audit = try await workshop.query("audit", "list")
        let first = try await plan(workshop)
        #expect(first.status == 0, "\(first.json)")
        for field in ["gates", "window", "commits", "steps", "calls", "hash", "configs", "paths", "way_back"] {
            #expect(first.json[field] != nil, "\(field)")
        }
        #expect(first.json["steps"]?.array?.count == 3)
        for step in first.json["steps"]?.array ?? [] {
            #expect((step["available_during"]?.integer ?? 0) >= 2 && step["serving_floor"]?.integer == 2)
        }
        #expect(first.json["commits"]?.array?.count == 1)
        #expect(first.json["paths"]?.text() == #"["app/service.conf"]"#)
        #expect(first.json["way_back"]?["pullable"]?.bool == true)
        #expect(!first.json.text().contains("ghp_"))
        let second = try await plan(workshop)
        #expect(second.json["hash"] == first.json["hash"])
        #expect(try await workshop.standing() == before)
        #expect(try await workshop.fly.leased(Workshop.app) == [])
        #expect(try await workshop.query("runs") == runs)
        #expect(try await workshop.query("audit", "list") == audit)

        for format in ["text", "markdown"] {
            let shown = try await workshop.airboss("plan", "production", "--format", format)
            #expect(shown.status == 0)
            #expect(shown.output.contains(first.json["hash"]?.string ?? "-"))
            #expect(shown.output.contains("3 → 2 → 3"))
            #expect(!shown.output.contains("ghp_"))
        }
        let markdown = try await workshop.airboss("plan", "production", "--format", "markdown")
        #expect(!markdown.output.contains("*better*"))
    }

    @Test func `a deploy is held to its plan`() async throws {
        let workshop = try #require(Workshop.current)
        let commit = try await workshop.commit("Greet more", ["message=more \(UUID().uuidString)"])
        let planned = try await plan(workshop)
        let hash = try #require(planned.json["hash"]?.string)
        let next = try await workshop.commit("Greet most", ["message=most \(UUID().uuidString)"])
        #expect(next != commit)
        let runs = try await workshop.query("runs")
        let refused = try await workshop.airboss(
            "deploy", "production", "--plan", hash, "--reason", "As planned", "--output", "json")
        #expect(refused.status == 12, "\(refused.everything)")
        let message = try JSONValue(parsing: refused.output)["message"]?.string ?? ""
        #expect(message.contains("the commit, the image are different; nothing changed"), "\(message)")
        #expect(try await workshop.query("runs") == runs)

        let deployed = try await workshop.run(
            "deploy", "production", "--plan", hash, "--commit", commit, "--reason", "As planned")
        #expect(deployed.status == 0, "\(deployed.outcome.everything)")
        #expect(deployed.last["commit"]?.string == commit)
        #expect(deployed.last["image"] == planned.json["image"])
        // The same plan is not carried out twice: it started from another fleet.
        let again = try await workshop.airboss(
            "deploy", "production", "--plan", hash, "--commit", commit, "--reason", "As planned")
        #expect(again.status == 12)
        #expect(again.errors.contains("the fleet it starts from"), "\(again.errors)")

        let back = try await plan(workshop, "--rollback")
        #expect(back.status == 0)
        #expect(back.json["kind"]?.string == "rollback")
        #expect(back.json["steps"]?.array?.count == 3)
    }

    @Test func `refusals are told with exit code 12, and what a hash is not with 64`() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write("pipelines/bad.yml", workshop.pipeline() + "gates: { secrets: [DATABASE_URL] }\n")
        let outcome = try await workshop.start(["plan", "bad", "--output", "json"]).end()
        #expect(outcome.status == 12, "\(outcome.everything)")
        let json = try JSONValue(parsing: outcome.output)
        #expect(json["possible"]?.bool == false)
        #expect(json["refusal"]?["reason"]?.string?.contains("DATABASE_URL") == true)
        let skipped = try await workshop.start(
            ["plan", "bad", "--skip", "secrets", "--approved-by", "Ana", "--output", "json"]
        ).end()
        #expect(skipped.status == 0)
        let gates = try JSONValue(parsing: skipped.output)["gates"]?.array ?? []
        #expect(gates.contains { $0["gate"]?.string == "secrets" && $0["state"]?.string == "overridden" })
        try workshop.remove("pipelines/bad.yml")

        let usage = try await workshop.airboss("deploy", "production", "--plan", "abc", "--reason", "x")
        #expect(usage.status == 64)
        let mixed = try await workshop.airboss("plan", "production", "--rollback", "--commit", "HEAD")
        #expect(mixed.status == 64)
        let away = try await workshop.airboss(
            "plan", "production", with: ["FLY_FLAPS_BASE_URL": "http://127.0.0.1:9"])
        #expect(away.status == 69, "\(away.everything)")
    }
}
