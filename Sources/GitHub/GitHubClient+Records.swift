// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A deployment as GitHub records it.
package struct DeploymentRecord: Hashable, Sendable {
    package var id: Int64
    package var sha: String
    package var environment: String
    package var description: String
    /// What was handed over when it was made; the object's text members only.
    package var payload: [String: String]
}

/// Where a deployment stands.
package enum DeploymentState: String, Hashable, Sendable, CaseIterable {
    case queued
    case inProgress = "in_progress"
    case success
    case failure
    case error
    case inactive
}

/// An issue, as far as it is read.
package struct IssueRecord: Hashable, Sendable {
    package var number: Int
    package var title: String
    package var body: String
    package var labels: [String]
    package var isOpen: Bool
    package var url: String
}

/// What Airboss writes on GitHub: deployments and incident issues.
extension GitHubClient {
    /// GitHub refuses longer descriptions of statuses.
    package static let maxStatusDescription = 140

    /// Makes a deployment of exactly this commit: nothing is merged into it, and no check is asked for again.
    ///
    /// - Parameter isProduction: nil for GitHub's own reading of the environment's name.
    package func createDeployment(
        of commit: CommitID, environment: String, description: String, payload: [String: String] = [:],
        isProduction: Bool? = nil
    ) async throws(GitHubError) -> DeploymentRecord {
        var body: JSONValue = [
            "ref": .string(commit.rawValue), "task": "deploy", "auto_merge": false, "required_contexts": [],
            "environment": .string(environment), "description": .string(description),
            "payload": .object(payload.mapValues { .string($0) }), "transient_environment": false,
        ]
        if let isProduction { body["production_environment"] = .bool(isProduction) }
        let call = GitHubRequest("POST", "/repos/{owner}/{repo}/deployments", of: repository, body: body)
        return try await perform(call, as: WireDeployment.self).value
    }

    /// The deployments to an environment, newest first; `limit` is 1…100.
    package func deployments(to environment: String, limit: Int) async throws(GitHubError) -> [DeploymentRecord] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/deployments", of: repository,
            query: [
                ("environment", environment), ("per_page", String(max(1, min(limit, GitHubClient.pageSize)))),
            ])
        return try await perform(call, as: [WireDeployment].self).map(\.value)
    }

    /// The states a deployment has had, newest first; of more than a hundred the newest.
    package func states(ofDeployment id: Int64) async throws(GitHubError) -> [String] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses", of: repository,
            ["deployment_id": String(id)], query: [("per_page", String(GitHubClient.pageSize))])
        return try await perform(call, as: [WireDeploymentStatus].self).map(\.state)
    }

    /// Says where a deployment stands. A success makes earlier ones inactive, but not those of a production
    /// environment: they are said to be so one by one. Source: GitHub's documentation of `auto_inactive`.
    package func setState(
        _ state: DeploymentState, ofDeployment id: Int64, description: String = "", environmentURL: String = "",
        logURL: String = ""
    ) async throws(GitHubError) {
        var body: JSONValue = ["state": .string(state.rawValue), "auto_inactive": true]
        if !description.isEmpty {
            body["description"] = .string(ShownText.line(description, limit: GitHubClient.maxStatusDescription))
        }
        if !environmentURL.isEmpty { body["environment_url"] = .string(environmentURL) }
        if !logURL.isEmpty { body["log_url"] = .string(logURL) }
        let call = GitHubRequest(
            "POST", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses", of: repository,
            ["deployment_id": String(id)], body: body)
        _ = try await perform(call, as: WireDeploymentStatus.self)
    }

    /// The issues that carry every one of the labels, newest first; pull requests are left out.
    package func issues(labels: [String], isOpen: Bool = true) async throws(GitHubError) -> [IssueRecord] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/issues", of: repository,
            query: [
                ("state", isOpen ? "open" : "closed"), ("labels", labels.joined(separator: ",")),
                ("per_page", String(GitHubClient.pageSize)),
            ])
        var found: [IssueRecord] = []
        try await pages(call, as: [WireIssue].self) { page in
            found += page.filter { $0.pull_request == nil }.map(\.value)
        }
        return found
    }

    package func createIssue(
        title: String, body: String, labels: [String], assignees: [String]
    ) async throws(GitHubError) -> IssueRecord {
        let content: JSONValue = [
            "title": .string(title), "body": .string(body), "labels": .array(labels.map { .string($0) }),
            "assignees": .array(assignees.map { .string($0) }),
        ]
        let call = GitHubRequest("POST", "/repos/{owner}/{repo}/issues", of: repository, body: content)
        return try await perform(call, as: WireIssue.self).value
    }

    package func comment(onIssue number: Int, _ body: String) async throws(GitHubError) {
        try await perform(
            GitHubRequest(
                "POST", "/repos/{owner}/{repo}/issues/{issue_number}/comments", of: repository,
                ["issue_number": String(number)], body: ["body": .string(body)]))
    }

    package func closeIssue(_ number: Int) async throws(GitHubError) {
        try await perform(
            GitHubRequest(
                "PATCH", "/repos/{owner}/{repo}/issues/{issue_number}", of: repository,
                ["issue_number": String(number)], body: ["state": "closed", "state_reason": "completed"]))
    }
}

// MARK: - What GitHub sends. Source: github/rest-api-description, version 2022-11-28.

private struct WireDeployment: Decodable {
    var id: Int64
    var sha: String
    var environment: String
    var description: String?
    var payload: JSONValue?

    var value: DeploymentRecord {
        DeploymentRecord(
            id: id, sha: sha, environment: environment, description: description ?? "",
            payload: (payload?.object ?? [:]).compactMapValues(\.string))
    }
}

private struct WireDeploymentStatus: Decodable {
    var id: Int64
    var state: String
}

private struct WireIssue: Decodable {
    struct Label: Decodable {
        var name: String?
        private enum Keys: String, CodingKey { case name }
        init(from decoder: any Decoder) throws {
            // A label is its name, or an object that has one.
            if let text = try? decoder.singleValueContainer().decode(String.self) {
                name = text
            } else {
                name = try decoder.container(keyedBy: Keys.self).decodeIfPresent(String.self, forKey: .name)
            }
        }
    }
    struct Link: Decodable {}
    var number: Int
    var title: String
    var body: String?
    var labels: [Label]
    var state: String
    var html_url: String
    var pull_request: Link?

    var value: IssueRecord {
        IssueRecord(
            number: number, title: title, body: body ?? "", labels: labels.compactMap(\.name), isOpen: state == "open",
            url: html_url)
    }
}
