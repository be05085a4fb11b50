// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Synchronization
import TestSupport
import Testing

/// CI checks asked of a GitHub over real sockets, by the real program.
@Suite(.serialized, .workshop(.model, deployed: true)) struct CheckGateTests {
    private static let token = "ghs_donotshowthistokenanywhere0123456789"

    /// The little of GitHub that one repository needs: the checks of a commit and of a pull request's head.
    private final class GitHub: Sendable {
        struct Repository: Sendable {
            /// By commit: name and conclusion of each check run; an empty conclusion while it is under way.
            var runs: [String: [(name: String, conclusion: String)]] = [:]
            /// The head of the pull request by which any commit was merged; empty where there is none.
            var head = ""
            /// How often runs under way are answered before they succeed.
            var patience = 0
        }

        let repository = Mutex(Repository())
        let server: LoopbackServer

        init() throws {
            let link = Link()
            server = try LoopbackServer { request in
                link.github.withLock { $0 }?.answer(request) ?? .closeWithoutAnswer
            }
            link.github.withLock { $0 = self }
        }

        /// The server must be there before whoever answers for it.
        private final class Link: Sendable {
            let github = Mutex<GitHub?>(nil)
        }

        private func answer(_ request: LoopbackServer.Request) -> LoopbackAnswer {
            guard request.header("authorization") == "Bearer \(CheckGateTests.token)" else {
                return .json(401, #"{"message":"Bad credentials"}"#)
            }
            let parts = request.path.split(separator: "/").map(String.init)
            guard parts.count == 6, parts[1] == "acme", parts[2] == "harbour", parts[3] == "commits" else {
                return .json(404, #"{"message":"Not Found"}"#)
            }
            return repository.withLock { repository in
                switch parts[5] {
                case "check-runs":
                    let isLate = repository.patience > 0
                    if isLate { repository.patience -= 1 }
                    let runs: [JSONValue] = (repository.runs[parts[4]] ?? []).enumerated().map { index, run in
                        let isOpen = run.conclusion.isEmpty && isLate
                        return [
                            "id": .integer(Int64(index + 1)), "name": .string(run.name),
                            "status": isOpen ? "in_progress" : "completed",
                            "conclusion": isOpen ? .null : .string(run.conclusion.isEmpty ? "success" : run.conclusion),
                            "started_at": "2026-11-21T09:00:00Z", "html_url": "https://github.com/acme/harbour/runs/1",
                            "app": ["slug": "github-actions"],
                        ]
                    }
                    return .json(
                        200, JSONValue.object(["total_count": 1, "check_runs": .array(runs)]).text())
                case "status": return .json(200, #"{"state":"pending","statuses":[],"total_count":0}"#)
                case "pulls":
                    guard !repository.head.isEmpty else { return .json(200, "[]") }
                    let pull: JSONValue = [
                        "number": 12, "head": ["sha": .string(repository.head)], "merge_commit_sha": .string(parts[4]),
                        "merged_at": "2026-11-21T09:00:00Z", "user": ["login": "ada"],
                    ]
                    return .json(200, JSONValue.array([pull]).text())
                default: return .json(404, #"{"message":"Not Found"}"#)
                }
            }
        }

        var environment: [String: String?] {
            [
                "GITHUB_API_URL": server.url, "GITHUB_TOKEN": CheckGateTests.token,
                "GITHUB_REPOSITORY": "acme/harbour",
            ]
        }
    }

    private func prepared(_ extra: String = "") async throws -> (Workshop, commit: String) {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline() + "gates: { checks: [Danger, \"🐳 build\"], wait_for_checks: 20s }\n" + extra)
        return (workshop, try await workshop.git("rev-parse", "HEAD"))
    }

    private func deploy(
        _ workshop: Workshop, _ environment: [String: String?], _ arguments: String...
    ) async throws -> JSONRun {
        let outcome = try await workshop.start(
            ["deploy", "bad", "--reason", "Try", "--verbose", "--output", "json"] + arguments, environment
        ).end()
        #expect(!outcome.everything.contains(Self.token))
        return try JSONRun(outcome)
    }

    @Test func `a commit with its checks is deployed, after waiting for one, in six calls at most`() async throws {
        let (workshop, commit) = try await prepared()
        let github = try GitHub()
        defer { github.server.stop() }
        github.repository.withLock {
            $0.runs[commit] = [("Danger", "success"), ("🐳 build", "")]
            $0.patience = 1
        }
        let run = try await deploy(workshop, github.environment)
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect(run.events("message").contains { $0["text"]?.string?.contains("🐳 build") == true })
        #expect(run.events("gate").contains { $0["gate"]?.string == "checks" && $0["state"]?.string == "passed" })
        // Twice, because the first answer said that one was under way.
        #expect(github.server.requests.count == 4)
        #expect(run.outcome.errors.contains("github: GET /repos/{owner}/{repo}/commits/{ref}/check-runs 200"))
    }

    @Test func `a check that the commit lacks refuses, with what it might be called`() async throws {
        let (workshop, commit) = try await prepared()
        let github = try GitHub()
        defer { github.server.stop() }
        github.repository.withLock { $0.runs[commit] = [("Danger", "success"), ("build", "success")] }
        let before = try await workshop.standing()
        let run = try await deploy(workshop, github.environment)
        #expect(run.status == 12)
        #expect(run.message == "checks: “🐳 build” is missing (did you mean “build”?)", "\(run.message)")
        #expect(run.last["next_steps"]?.text().contains("--skip checks --approved-by WHO") == true)
        #expect(try await workshop.standing() == before)
        #expect(github.server.requests.count == 3)
    }

    @Test func `a check of the pull request's head counts for the same tree only, as git says`() async throws {
        let (workshop, commit) = try await prepared()
        // A squash: another commit with the same tree.
        let head = try await workshop.git("commit-tree", "HEAD^{tree}", "-m", "the head")
        #expect(head != commit)
        let github = try GitHub()
        defer { github.server.stop() }
        github.repository.withLock {
            $0.runs[commit] = [("Danger", "success")]
            $0.runs[head] = [("🐳 build", "success")]
            $0.head = head
        }
        let run = try await deploy(workshop, github.environment)
        #expect(run.status == 0, "\(run.message)")
        let detail = run.events("gate").first { $0["gate"]?.string == "checks" }?["detail"]?.string ?? ""
        #expect(detail.contains("🐳 build on the head of pull request #12"), "\(detail)")
        #expect(detail.contains("whose tree is the same"), "\(detail)")
        #expect(github.server.requests.count == 5)

        let empty = try await workshop.git("hash-object", "-t", "tree", "-w", "/dev/null")
        let changed = try await workshop.git("commit-tree", empty, "-m", "another tree")
        github.repository.withLock {
            $0.runs[changed] = [("🐳 build", "success")]
            $0.head = changed
        }
        let refused = try await deploy(workshop, github.environment)
        #expect(refused.status == 12)
        #expect(refused.message.contains("don't count"), "\(refused.message)")
    }

    private static let broken: [(what: String, answer: LoopbackAnswer, says: String)] = [
        ("401", .json(401, #"{"message":"Bad credentials"}"#), "GitHub does not accept the token"),
        (
            "403",
            .json(
                403, #"{"message":"Resource not accessible by integration"}"#,
                headers: [("x-accepted-github-permissions", "checks=read")]), "not accessible by integration"
        ),
        ("404", .json(404, #"{"message":"Not Found"}"#), "does not show it to this token"),
        ("422", .json(422, #"{"message":"No commit found for SHA"}"#), "No commit found"),
        ("429", .json(429, "{}", headers: [("retry-after", "900")]), "limits how often"),
        ("503", .json(503, "{}"), "GitHub failed to answer"),
        ("HTML", .html(200), "a web page came instead of JSON"),
    ]

    @Test("a GitHub that answers", arguments: 0..<broken.count)
    func trouble(_ index: Int) async throws {
        let (workshop, commit) = try await prepared()
        let given = Self.broken[index]
        let server = try LoopbackServer { _ in given.answer }
        defer { server.stop() }
        let environment: [String: String?] = [
            "GITHUB_API_URL": server.url, "GITHUB_TOKEN": Self.token, "GITHUB_REPOSITORY": "acme/harbour",
        ]
        let before = try await workshop.standing()
        let run = try await deploy(workshop, environment)
        #expect(run.status == 12, "\(given.what): \(run.message)")
        #expect(
            run.message.hasPrefix("checks: which CI checks \(commit.prefix(7))"), "\(given.what): \(run.message)")
        #expect(run.message.contains(given.says), "\(given.what): \(run.message)")
        #expect(run.last["next_steps"]?.text().contains("--skip checks --approved-by WHO") == true)
        #expect(try await workshop.standing() == before)
    }

    @Test func `without a token or a repository the gate says what is missing, and an override goes on`() async throws {
        let (workshop, _) = try await prepared()
        let noToken = try await deploy(workshop, ["GITHUB_TOKEN": nil, "GITHUB_REPOSITORY": "acme/harbour"])
        #expect(noToken.status == 12)
        #expect(noToken.message.contains("GITHUB_TOKEN is not set"), "\(noToken.message)")
        let noRepository = try await deploy(workshop, ["GITHUB_TOKEN": Self.token, "GITHUB_REPOSITORY": nil])
        #expect(noRepository.status == 12)
        #expect(noRepository.message.contains("the repository on GitHub is not known"), "\(noRepository.message)")
        let skipped = try await deploy(
            workshop, ["GITHUB_TOKEN": nil, "GITHUB_REPOSITORY": nil], "--skip", "checks", "--approved-by", "Ana Lima")
        #expect(skipped.status == 0, "\(skipped.message)")
        #expect(skipped.last["overrides"]?.text().contains("GITHUB_TOKEN is not set") == true)
    }

    @Test func `the remote origin names the repository`() async throws {
        let (workshop, commit) = try await prepared()
        let github = try GitHub()
        defer { github.server.stop() }
        github.repository.withLock { $0.runs[commit] = [("Danger", "success"), ("🐳 build", "success")] }
        try await workshop.git("remote", "add", "origin", "\(github.server.url)/acme/harbour.git")
        var environment = github.environment
        environment["GITHUB_REPOSITORY"] = .some(nil)
        let run = try await deploy(workshop, environment)
        try await workshop.git("remote", "remove", "origin")
        #expect(run.status == 0, "\(run.message)")
    }
}
