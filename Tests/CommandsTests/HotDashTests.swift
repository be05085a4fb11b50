// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import TestSupport
import Testing

/// The users' five apps, by the pipelines that are in `pipelines/`.
@Suite("HotDash", .serialized, .workshop(.model, deployed: true))
struct HotDashTests {
    /// In an order in which what is asked about is there already.
    private static let apps = ["staging", "agent-service", "llamaindex-mcp", "chatwoot", "production"]
    private static let checks = ["Docs Policy", "Danger", "Gitleaks", "AI Config", "Health Check"]
    private static let token = "ghs_donotshowthistokenanywhere0123456789"

    private static let variables: [String: String?] = [
        "NOTIFY_EMAIL": "people@example.invalid", "SMTP_URL": "smtp://127.0.0.1:9",
        "SLACK_WEBHOOK_URL": "http://127.0.0.1:9/hook",
    ]

    @Test func `all are valid as they are`() async throws {
        let workshop = try #require(Workshop.current)
        let outcome = try await workshop.airboss(
            "validate", "--pipelines", Surroundings.root + "/pipelines", "--output", "json")
        #expect(outcome.status == 0, "\(outcome.everything)")
        let names = try JSONValue(parsing: outcome.output)["pipelines"]?.array?.compactMap { $0["pipeline"]?.string }
        #expect(Set(names ?? []) == Set(Self.apps))
    }

    @Test func `production asks for what the runbooks ask for`() throws {
        let text = try String(contentsOfFile: Surroundings.root + "/pipelines/production.yml", encoding: .utf8)
        #expect(text.contains("checks: [\(Self.checks.joined(separator: ", "))]"))
        for wanted in ["healthy: [staging]", "approvals: 1", "Mon-Fri 09:00-17:00", "soak: 15m", "within: 5m"] {
            #expect(text.contains(wanted), "\(wanted)")
        }
    }

    /// The files as they are, but for what belongs to the real world: addresses, waiting, and people to be told. The
    /// local Fly's machines are state alone here, and answer everything with 200.
    private func prepare(_ workshop: Workshop) async throws {
        let place = workshop.repository + "/hotdash"
        try FileManager.default.copyItem(atPath: Surroundings.root + "/pipelines", toPath: place)
        for name in Self.apps {
            let path = "hotdash/\(name).yml"
            var text = try String(contentsOfFile: workshop.repository + "/" + path, encoding: .utf8)
            text = String(text.prefix(upTo: try #require(text.firstRange(of: "\nnotify:")).lowerBound)) + "\n"
            let url = "  url: http://hotdash-\(name).localhost:\(workshop.fly.port)\n"
            text = text.replacing("  url: https://hotdash-production.fly.dev\n", with: "")
            text = text.replacing(
                "verify:\n", with: "verify:\n" + url + (text.contains("interval:") ? "" : "  interval: 50ms\n"))
            text = text.replacing("interval: 10s", with: "interval: 50ms").replacing("[302]", with: "[200]")
            text = text.replacing(/soak: \d+m/, with: "soak: 0s")
            try workshop.write(path, text)
        }
        for folder in ["build", "public", "prisma/migrations"] {
            try FileManager.default.createDirectory(
                atPath: workshop.repository + "/" + folder, withIntermediateDirectories: true)
            try workshop.write(folder + "/file.txt", folder)
        }
        try workshop.write("package.json", "{}\n")
        try await workshop.commit("HotDash", ["message=hello"])
        for name in Self.apps {
            let app = "hotdash-" + name
            try await workshop.fly.makeApp(app)
            let names = [
                "DATABASE_URL", "SUPABASE_URL", "SUPABASE_SERVICE_KEY", "REDIS_URL", "SECRET_KEY_BASE",
            ]
            let values = Dictionary(uniqueKeysWithValues: names.map { ($0, JSONValue.string("x")) })
            let answer = try await workshop.fly.call("/v1/apps/\(app)/secrets", nil, ["values": .object(values)])
            #expect(answer.status == 200 || answer.status == 201, "\(answer.text)")
        }
    }

    /// A commit with thirty checks, the five among them.
    private func github() throws -> LoopbackServer {
        let names = Self.checks + (1...25).map { "Other check \($0)" }
        return try LoopbackServer { request in
            guard request.header("authorization") == "Bearer \(Self.token)" else { return .json(401, "{}") }
            if request.path.contains("/check-runs") {
                let runs: [JSONValue] = names.enumerated().map {
                    [
                        "id": .integer(Int64($0.offset + 1)), "name": .string($0.element), "status": "completed",
                        "conclusion": "success", "started_at": "2026-11-21T09:00:00Z", "html_url": "",
                        "app": ["slug": "github-actions"],
                    ]
                }
                return .json(
                    200,
                    JSONValue.object(["total_count": .integer(Int64(runs.count)), "check_runs": .array(runs)]).text())
            }
            if request.path.hasSuffix("/status") {
                return .json(200, #"{"state":"success","statuses":[],"total_count":0}"#)
            }
            return .json(200, "[]")
        }
    }

    @Test func `all can be planned and deployed on the local Fly, and staging be promoted`() async throws {
        let workshop = try #require(Workshop.current)
        try await prepare(workshop)
        let releases = try await workshop.query("releases", "production")["releases"]?.array
        let image = try #require(releases?.first?["image"]?.string)
        let github = try github()
        defer { github.stop() }
        var environment = Self.variables
        for name in ["PRODUCTION_BASE", "STAGING_BASE", "AGENT_SERVICE", "LLAMAINDEX_MCP", "CHATWOOT"] {
            environment[name + "_IMAGE"] = image
        }
        environment["GITHUB_API_URL"] = github.url
        environment["GITHUB_TOKEN"] = Self.token
        environment["GITHUB_REPOSITORY"] = "hotdash/hotdash"
        let machines = ["production": 2, "chatwoot": 2]
        func flags(_ name: String) -> [String] {
            // At whatever hour the test runs, and without a manager.
            ["--pipelines", "hotdash", "--output", "json"]
                + (name == "staging" ? [] : ["--emergency", "--approved-by", "Ana Lima"])
                + (name == "production" ? ["--skip", "approvals"] : [])
        }
        for name in Self.apps {
            let before = github.requests.count
            let planned = try await workshop.start(["plan", name] + flags(name), environment).end()
            #expect(planned.status == 0, "\(name): \(planned.everything)")
            let plan = try JSONValue(parsing: planned.output)
            let count = machines[name] ?? 1
            #expect(plan["steps"]?.array?.count == count, "\(name): \(plan["steps"]?.text() ?? "")")
            if name == "production" {
                let gates = plan["gates"]?.array ?? []
                #expect(gates.first { $0["gate"]?.string == "healthy" }?["state"]?.string == "passed", "\(gates)")
                #expect(gates.first { $0["gate"]?.string == "checks" }?["state"]?.string == "passed", "\(gates)")
                let asked = github.requests.count - before
                print("planned with 30 checks in \(asked) calls of GitHub")
                #expect(asked <= 6)
            }
            let deployed = try JSONRun(
                try await workshop.start(["deploy", name, "--reason", "First"] + flags(name), environment).end())
            #expect(deployed.status == 0, "\(name): \(deployed.outcome.everything)")
            let fleet = try await workshop.fly.machines("hotdash-" + name)
            #expect(fleet.count == count)
            if name == "chatwoot" {
                let groups = fleet.compactMap { $0["config"]?["metadata"]?["fly_process_group"]?.string }
                #expect(groups.sorted() == ["web", "worker"])
            }
            let again = try await workshop.start(["plan", name] + flags(name), environment).end()
            #expect(try JSONValue(parsing: again.output)["steps"] == [], "\(name): nothing is left to do")
        }

        // Exactly what staging runs, in production's own repository.
        let promoted = try JSONRun(
            try await workshop.start(
                ["promote", "staging", "production", "--reason", "As on staging"] + flags("production"), environment
            ).end())
        #expect(promoted.status == 0, "\(promoted.outcome.everything)")
        #expect(promoted.last["kind"]?.string == "promote")
        #expect(promoted.last["headline"]?.string?.contains("promoted from staging v1") == true)
        func digests(_ app: String) async throws -> Set<String> {
            Set(try await workshop.fly.machines(app).compactMap { $0["image_ref"]?["digest"]?.string })
        }
        #expect(try await digests("hotdash-production") == digests("hotdash-staging"))
        #expect(promoted.last["image"]?.string?.contains("/hotdash-production@sha256:") == true)

        // Staging that no longer runs its verified release is nothing to promote, and refuses production's deploys.
        let id = try #require(try await workshop.fly.machines("hotdash-staging").first?["id"]?.string)
        let destroyed = try await workshop.fly.call("/v1/apps/hotdash-staging/machines/\(id)?force=true", "DELETE")
        #expect(destroyed.status == 200)
        for command in [["promote", "staging", "production"], ["deploy", "production"]] {
            let refused = try JSONRun(
                try await workshop.start(command + ["--reason", "No"] + flags("production"), environment).end())
            #expect(refused.status == 12, "\(refused.outcome.everything)")
            #expect(refused.message.contains("staging has no machines"), "\(refused.message)")
        }
        let unknown = try await workshop.start(
            ["promote", "staging", "production", "--reason", "No", "--state", "sqlite:\(workshop.folder)/new.sqlite"]
                + flags("production"), environment
        ).end()
        #expect(unknown.status == 12)
        #expect(unknown.errors.contains("knows no release of staging"), "\(unknown.errors)")
    }
}
