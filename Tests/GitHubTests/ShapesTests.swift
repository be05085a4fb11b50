// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// The stand-in's answers against GitHub's own description of its API.
///
/// With AIRBOSS_GITHUB_SHAPES=FOLDER one answer of every kind is written there, and scripts/check-github-shapes holds
/// them against the models that the package githubkit-schemas generates from github/rest-api-description.
@Suite struct ShapesTests {
    private static let sha = StandIn.commit.rawValue

    /// By the name of the schema in GitHub's description.
    static let all: [String: JSONValue] = [
        "CheckRun": Shapes.checkRun("🐳 build", id: 1, conclusion: "skipped"),
        "CheckRun.queued": Shapes.checkRun("Lint", id: 2, status: "queued", conclusion: nil, app: nil, startedAt: nil),
        "SimpleCommitStatus": Shapes.status("ci/x", id: 1, state: "pending"),
        "ReposOwnerRepoCommitsRefCheckRunsGetResponse200": Shapes.checkRunPage(
            [Shapes.checkRun("Danger", id: 3)], total: 1),
        "CombinedCommitStatus": Shapes.combinedStatus([Shapes.status("ci/x", id: 1)], total: 1, sha: sha),
        "PullRequestSimple": Shapes.pullRequest(12, head: sha, merge: sha),
        "PullRequestReview": Shapes.review(1, by: "grace", state: "APPROVED", commit: sha),
        "WorkflowRun": Shapes.workflowRun(77, commit: sha),
        "EnvironmentApprovals": Shapes.approval("production", by: "grace"),
        "Deployment": Shapes.deployment(
            id: 1, sha: sha, environment: "production", description: "v72", payload: ["run": "01RUN"]),
        "DeploymentStatus": Shapes.deploymentStatus(id: 1, state: "in_progress", of: ["description": "now"]),
        "Issue": Shapes.issue(number: 1, title: "Down", body: "text", labels: ["critical"]),
        "IssueComment": Shapes.comment(id: 1, body: "still"),
    ]

    @Test func `every kind of answer has a shape`() throws {
        for (name, shape) in Self.all {
            #expect(shape.object?.isEmpty == false, "\(name)")
        }
        guard let folder = ProcessInfo.processInfo.environment["AIRBOSS_GITHUB_SHAPES"] else { return }
        for (name, shape) in Self.all {
            try Data(shape.text(pretty: true).utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name).json"))
        }
    }
}
