// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Synchronization
import TestSupport
import Testing

/// What runs of the real program leave on GitHub, and what becomes of it while GitHub is down.
@Suite(.serialized, .workshop(.model, deployed: true)) struct GitHubNoticeTests {
    /// Deploys; with another `health` status than 200 the release is never healthy.
    private func deploy(_ server: LoopbackServer, _ message: String, health: Int = 200) async throws -> JSONRun {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline().replacing("path: /health, status: [200]", with: "path: /health, status: [\(health)]")
                + "notify: { github: { deployment: true, issue_on_failure: true } }\n")
        try await workshop.commit(message, ["message=\(message)"])
        let outcome = try await workshop.start(
            ["deploy", "bad", "--reason", message, "--output", "json"],
            ["GITHUB_API_URL": server.url, "GITHUB_TOKEN": GitHubRecords.token, "GITHUB_REPOSITORY": "acme/harbour"]
        ).end()
        #expect(!outcome.everything.contains(GitHubRecords.token))
        return try JSONRun(outcome)
    }

    private func states(_ records: GitHubRecords, _ deployment: Int) -> [String] {
        records.list("deployments/\(deployment)/statuses").compactMap { $0["state"]?.string }
    }

    @Test func `deployments and the incident follow the runs, and a GitHub that is down stops none`() async throws {
        let records = GitHubRecords()
        let server = try LoopbackServer { records.answer($0) }
        defer { server.stop() }

        let first = try await deploy(server, "first")
        #expect(first.status == 0, "\(first.outcome.everything)")
        #expect(first.last["warnings"]?.array == [], "\(first.last)")
        #expect(records.list("deployments").map { $0["environment"] } == ["bad"])
        #expect(records.list("deployments").first?["sha"] == first.last["commit"])
        #expect(states(records, 1) == ["in_progress", "success"])
        #expect(records.list("issues").isEmpty)

        // The release is never healthy, nor is the one before it by this measure.
        let failed = try await deploy(server, "second", health: 418)
        #expect(failed.status == 11, "\(failed.message)")
        #expect(states(records, 1) == ["in_progress", "success"])
        #expect(states(records, 2) == ["in_progress", "error"])
        let issue = try #require(records.list("issues").first)
        #expect(issue["state"] == "open")
        #expect(issue["labels"] == ["deployment", "rollback", "production", "critical", "automated"])
        #expect(issue["body"]?.string?.contains("second") == true)

        records.state.withLock { $0.isDown = true }
        let unseen = try await deploy(server, "third")
        #expect(unseen.status == 0, "\(unseen.message)")
        #expect(unseen.last["warnings"]?.text().contains("notice by issue not sent") == true, "\(unseen.last)")
        #expect(records.list("deployments").count == 2)

        records.state.withLock { $0.isDown = false }
        let last = try await deploy(server, "fourth")
        #expect(last.status == 0, "\(last.message)")
        #expect(records.list("issues").map { $0["state"] } == ["closed"])
        #expect(states(records, records.list("deployments").count).last == "success")
    }
}
