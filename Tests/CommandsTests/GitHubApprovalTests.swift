// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Synchronization
import TestSupport
import Testing

/// Approvals that GitHub knows of, and what of a waiting run stands on GitHub, by the real program over real sockets.
@Suite(.serialized, .workshop(.model, deployed: true)) struct GitHubApprovalTests {
    private static let token = "ghs_donotshowthistokenanywhere0123456789"
    private static let head = String(repeating: "d", count: 40)

    /// The little of GitHub that approvals and deployments need.
    private final class GitHub: Sendable {
        struct State: Sendable {
            var reviewers: [String] = []
            var reviewed = GitHubApprovalTests.head
            /// Accounts that have let the workflow run 77 through, and the commit it runs for.
            var letThrough: [String] = []
            var runCommit = ""
            var deployments: [JSONValue] = []
            var statuses: [Int: [JSONValue]] = [:]
            var requests: [String] = []
        }

        let state = Mutex(State())
        /// No review of one test is another's: each counts once.
        let firstReview = Int64.random(in: 1...1 << 40)

        func answer(_ request: LoopbackServer.Request) -> LoopbackAnswer {
            guard request.header("authorization") == "Bearer \(GitHubApprovalTests.token)" else {
                return .json(401, #"{"message":"Bad credentials"}"#)
            }
            let now = Timestamp(secondsSinceEpoch: Int64(Date().timeIntervalSince1970)).description
            let parts = request.path.split(separator: "/").map(String.init)
            let body = (try? JSONValue(parsing: request.body)) ?? .null  // of a GET there is none
            return state.withLock { state in
                state.requests.append("\(request.method) \(request.path)")
                switch (request.method, parts.dropFirst(3).first ?? "", parts.last ?? "") {
                case ("GET", "commits", "pulls"):
                    let pull: JSONValue = [
                        "number": 12, "head": ["sha": .string(GitHubApprovalTests.head)],
                        "merge_commit_sha": .string(parts[4]), "merged_at": .string(now), "user": ["login": "tess-dev"],
                        "base": ["repo": ["full_name": "acme/harbour"]],
                    ]
                    return .json(200, JSONValue.array([pull]).text())
                case ("GET", "pulls", "reviews"):
                    let reviews: [JSONValue] = state.reviewers.enumerated().map { index, login in
                        [
                            "id": .integer(firstReview + Int64(index)),
                            "user": ["login": .string(login), "type": "User"],
                            "state": "APPROVED", "commit_id": .string(state.reviewed), "submitted_at": .string(now),
                            "author_association": "MEMBER",
                        ]
                    }
                    return .json(200, JSONValue.array(reviews).text())
                case ("GET", "actions", "approvals"):
                    let approvals: [JSONValue] = state.letThrough.map {
                        [
                            "environments": [["id": 1, "name": "production"]], "state": "approved",
                            "user": ["login": .string($0), "type": "User"], "comment": "",
                        ]
                    }
                    return .json(200, JSONValue.array(approvals).text())
                case ("GET", "actions", "77"):
                    let run: JSONValue = [
                        "id": 77, "head_sha": .string(state.runCommit), "status": "in_progress",
                        "run_started_at": .string(now), "created_at": .string(now),
                    ]
                    return .json(200, run.text())
                case ("GET", "deployments", "statuses"):
                    return .json(200, JSONValue.array((state.statuses[Int(parts[4]) ?? 0] ?? []).reversed()).text())
                case ("POST", "deployments", "statuses"):
                    var status = body
                    status["id"] = 1
                    state.statuses[Int(parts[4]) ?? 0, default: []].append(status)
                    return .json(201, status.text())
                case ("GET", "deployments", _): return .json(200, JSONValue.array(state.deployments.reversed()).text())
                case ("POST", "deployments", _):
                    var made = body
                    made["id"] = .integer(Int64(state.deployments.count + 1))
                    made["sha"] = body["ref"] ?? .null
                    state.deployments.append(made)
                    return .json(201, made.text())
                default: return .json(404, #"{"message":"Not Found"}"#)
                }
            }
        }

        /// The states that the newest deployment has had.
        var states: [String] {
            state.withLock { ($0.statuses[$0.deployments.count] ?? []).compactMap { $0["state"]?.string } }
        }
    }

    private func environment(_ server: LoopbackServer, _ more: [String: String?] = [:]) -> [String: String?] {
        [
            "GITHUB_API_URL": server.url, "GITHUB_TOKEN": Self.token, "GITHUB_REPOSITORY": "acme/harbour",
        ].merging(more) { $1 }
    }

    private func prepared(_ gates: String) async throws -> (Workshop, commit: String) {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/production.yml",
            workshop.pipeline().replacing("build:\n", with: "gates: { \(gates) }\nbuild:\n", maxReplacements: 1)
                + "notify: { github: { deployment: true } }\n")
        return (workshop, try await workshop.commit("Change \(UUID().uuidString)", ["message=\(UUID().uuidString)"]))
    }

    private func start(_ workshop: Workshop, _ environment: [String: String?]) throws -> RunningProgram {
        try workshop.start(["deploy", "production", "--reason", "Approved", "--output", "json"], environment)
    }

    private func deploy(_ workshop: Workshop, _ environment: [String: String?]) async throws -> JSONRun {
        let outcome = try await start(workshop, environment).end()
        #expect(!outcome.everything.contains(Self.token))
        return try JSONRun(outcome)
    }

    @Test func `a review of what was merged approves it once, and stands in every record`() async throws {
        let (workshop, _) = try await prepared("approvals: 1")
        let github = GitHub()
        let server = try LoopbackServer { github.answer($0) }
        defer { server.stop() }
        let before = try await workshop.standing()
        // Nobody, the one who opened it, and a review of what was not merged.
        for (reviewers, reviewed, says) in [
            ([], Self.head, "0 of 1 approvals"), (["tess-dev"], Self.head, "tess-dev opened the pull request"),
            (["grace"], String(repeating: "e", count: 40), "it is of eeeeeeeeee"),
        ] {
            github.state.withLock { ($0.reviewers, $0.reviewed) = (reviewers, reviewed) }
            let refused = try await deploy(workshop, environment(server))
            #expect(refused.status == 12 && refused.message.contains(says), "\(refused.message)")
            #expect(refused.last["next_steps"]?.text().contains("pull request #12") == true)
        }
        #expect(try await workshop.standing() == before)
        #expect(github.states.isEmpty)

        github.state.withLock { ($0.reviewers, $0.reviewed, $0.requests) = (["grace"], Self.head, []) }
        let run = try await deploy(workshop, environment(server))
        #expect(run.status == 0, "\(run.outcome.everything)")
        let approval = try #require(run.last["approvals"]?[0])
        #expect(approval["approver"]?.string == "grace" && approval["kind"]?.string == "review")
        #expect(approval["source"]?.string == "the review of pull request #12 by grace")
        let asked = github.state.withLock { $0.requests.filter { !$0.contains("deployments") } }
        #expect(asked.count == 2, "\(asked)")
        let id = try #require(run.last["run"]?.string)
        #expect(try await workshop.query("show", id)["approvals"] == run.last["approvals"])
        #expect(try await workshop.airboss("show", id).output.contains("Approved by"))
        let audit = try await workshop.query("audit", "list", "--run", id, "--limit", "1000").text()
        #expect(
            audit.contains("approval.used") && audit.contains("github-review/\(github.firstReview)/harbour"), "\(audit)"
        )

        let again = try await deploy(workshop, environment(server))
        #expect(again.status == 12 && again.message.contains("run \(id) has used it"), "\(again.message)")
    }

    @Test func `an environment approves the run and the commit that it was let through for`() async throws {
        let (workshop, commit) = try await prepared(
            "approvals: 1, approvals_accept: [environment], approval_environments: [Production]")
        let github = GitHub()
        let server = try LoopbackServer { github.answer($0) }
        defer { server.stop() }
        let job: [String: String?] = ["GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "77", "GITHUB_SHA": commit]
        github.state.withLock { ($0.letThrough, $0.runCommit) = (["grace"], Self.head) }
        let other = try await deploy(workshop, environment(server, job))
        #expect(other.status == 12 && other.message.contains("the run is for commit dddddddddd"), "\(other.message)")
        github.state.withLock { $0.runCommit = commit }
        // At a shell there is no run, whatever its variables say.
        let shell = try await deploy(workshop, environment(server, ["GITHUB_RUN_ID": "77"]))
        #expect(shell.status == 12 && shell.message.contains("0 of 1 approvals"), "\(shell.message)")
        // The run of another repository is not there.
        let elsewhere = try await deploy(workshop, environment(server, job.merging(["GITHUB_RUN_ID": "78"]) { $1 }))
        #expect(elsewhere.status == 12 && elsewhere.message.contains("went unanswered"), "\(elsewhere.message)")
        let run = try await deploy(workshop, environment(server, job))
        #expect(run.status == 0, "\(run.message)")
        #expect(run.last["approvals"]?[0]?["kind"]?.string == "environment")
        let replayed = try await deploy(workshop, environment(server, job))
        #expect(replayed.status == 12 && replayed.message.contains("has used it"), "\(replayed.message)")
    }

    @Test func `a run that waits is queued on GitHub, goes on once it is approved, and ends its deployment`()
        async throws
    {
        let (workshop, _) = try await prepared("approvals: 1, wait_for_approvals: 10m")
        let github = GitHub()
        let server = try LoopbackServer { github.answer($0) }
        defer { server.stop() }
        let program = try start(workshop, environment(server))
        try await program.wait(until: "the wait") { $0.outputSoFar.contains("waiting until") }
        try await program.wait(until: "the queued deployment") { _ in github.states == ["queued"] }
        github.state.withLock { $0.reviewers = ["grace"] }
        let run = try JSONRun(await program.end())
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect(run.events("message").contains { $0["text"]?.string?.contains("asking the other gates again") == true })
        #expect(github.states == ["queued", "in_progress", "success"])
        let statuses = github.state.withLock { $0.statuses[1] ?? [] }
        #expect(statuses.allSatisfy { $0["environment_url"]?.string?.hasPrefix("http://harbour.localhost") == true })
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGKILL])
    func `a wait that is cancelled, or killed, leaves nothing behind`(_ signal: Int32) async throws {
        let (workshop, _) = try await prepared("approvals: 1, wait_for_approvals: 10m")
        let github = GitHub()
        let server = try LoopbackServer { github.answer($0) }
        defer { server.stop() }
        let before = try await workshop.standing()
        let program = try start(workshop, environment(server))
        try await program.wait(until: "the queued deployment") { _ in github.states == ["queued"] }
        program.send(signal)
        let outcome = await program.end()
        if signal == SIGKILL {
            #expect(try await workshop.unfinishedRuns().count == 1)
            #expect(github.states == ["queued"])
            let recovered = try await workshop.start(["recover", "production"], environment(server)).end()
            #expect(recovered.status == 0, "\(recovered.everything)")
        } else {
            #expect(outcome.status == (signal == SIGINT ? 130 : 143), "\(outcome.everything)")
            #expect(outcome.output.contains("interrupted; nothing changed"), "\(outcome.everything)")
        }
        #expect(github.states == ["queued", "failure"])
        #expect(try await workshop.unfinishedRuns() == [])
        #expect(try await workshop.standing() == before)
    }

    private static let broken: [(what: String, answer: LoopbackAnswer, says: String)] = [
        ("401", .json(401, #"{"message":"Bad credentials"}"#), "GitHub does not accept the token"),
        (
            "403",
            .json(
                403, #"{"message":"Resource not accessible by integration"}"#,
                headers: [("x-accepted-github-permissions", "pull_requests=read")]), "not accessible by integration"
        ),
        ("404", .json(404, #"{"message":"Not Found"}"#), "does not show it to this token"),
        ("429", .json(429, "{}", headers: [("retry-after", "900")]), "limits how often"),
        ("503", .json(503, "{}"), "GitHub failed to answer"),
        ("HTML", .html(200), "a web page came instead of JSON"),
    ]

    @Test(arguments: broken.indices) func `a GitHub that does not answer approves nothing`(_ index: Int) async throws {
        let (workshop, _) = try await prepared("approvals: 1")
        let given = Self.broken[index]
        let server = try LoopbackServer { _ in given.answer }
        defer { server.stop() }
        let before = try await workshop.standing()
        let run = try await deploy(workshop, environment(server))
        #expect(run.status == 12, "\(given.what): \(run.message)")
        #expect(run.message.contains("who else has approved it went unanswered"), "\(given.what): \(run.message)")
        #expect(run.message.contains(given.says), "\(given.what): \(run.message)")
        let steps = run.last["next_steps"]?.text() ?? ""
        #expect(steps.contains("airboss approve production --commit"), "\(given.what): \(steps)")
        #expect(steps.contains("--skip approvals --approved-by WHO"), "\(given.what): \(steps)")
        if given.what == "403" { #expect(steps.contains("pull_requests: read"), "\(steps)") }
        #expect(try await workshop.standing() == before)
    }
}
