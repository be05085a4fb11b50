// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What GitHub knows of commits and of who approved them.
extension GitHubClient {
    /// The latest attempt of every check run, and the latest of every status context, in no order.
    ///
    /// GitHub lists check runs of the newest 1,000 check suites of a commit.
    package func checks(of commit: CommitID) async throws(GitHubError) -> [CommitCheck] {
        try await checkRuns(of: commit) + statuses(of: commit)
    }

    package func checkRuns(of commit: CommitID) async throws(GitHubError) -> [CommitCheck] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs", of: repository, ["ref": commit.rawValue],
            query: [("filter", "latest"), ("per_page", String(GitHubClient.pageSize))])
        var runs: [Int64: CommitCheck] = [:]
        // Lists move while they are read: an entry may come on two pages.
        try await pages(call, as: CheckRunPage.self) { page in
            for run in page.checkRuns { runs[run.id] = run.value }
        }
        return Array(runs.values)
    }

    package func statuses(of commit: CommitID) async throws(GitHubError) -> [CommitCheck] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/commits/{ref}/status", of: repository, ["ref": commit.rawValue],
            query: [("per_page", String(GitHubClient.pageSize))])
        var found: [Int64: CommitCheck] = [:]
        try await pages(call, as: CombinedStatusPage.self) { page in
            for status in page.statuses { found[status.id] = status.value }
        }
        return Array(found.values)
    }

    /// The pull requests of this repository that a commit belongs to or was made by, merged and open ones.
    package func pullRequests(of commit: CommitID) async throws(GitHubError) -> [PullRequest] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/commits/{commit_sha}/pulls", of: repository,
            ["commit_sha": commit.rawValue], query: [("per_page", String(GitHubClient.pageSize))])
        var found: [PullRequest] = []
        // A fork's commits also belong to pull requests elsewhere, whose numbers mean others here.
        let own = repository.description.lowercased()
        try await pages(call, as: [WirePullRequest].self) { page in
            found += page.filter { ($0.base?.repo?.full_name ?? own).lowercased() == own }.map(\.value)
        }
        return found
    }

    /// The reviews of a pull request, oldest first.
    package func reviews(of pullRequest: Int) async throws(GitHubError) -> [PullRequestReview] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/pulls/{pull_number}/reviews", of: repository,
            ["pull_number": String(pullRequest)], query: [("per_page", String(GitHubClient.pageSize))])
        var found: [PullRequestReview] = []
        try await pages(call, as: [WireReview].self) { found += $0.map(\.value) }
        return found
    }

    /// A workflow run of this repository, and what reviewers of environments decided about it. Where nobody did, only
    /// that is asked.
    package func workflowRun(_ id: String) async throws(GitHubError) -> WorkflowRun {
        let approvals = try await approvals(ofWorkflowRun: id)
        guard !approvals.isEmpty else {
            return WorkflowRun(id: id, commit: nil, status: "", startedAt: nil, approvals: [])
        }
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", of: repository, ["run_id": id])
        let run = try await perform(call, as: WireWorkflowRun.self)
        // Another run than was asked for says nothing about this one.
        guard String(run.id) == id else {
            throw error(.malformedAnswer, call, "it is about the workflow run \(run.id)")
        }
        return WorkflowRun(
            id: id, commit: CommitID(run.head_sha), status: run.status ?? "",
            startedAt: (run.run_started_at ?? run.created_at).flatMap { Timestamp($0) }, approvals: approvals)
    }

    /// What reviewers of environments decided about a workflow run.
    package func approvals(ofWorkflowRun run: String) async throws(GitHubError) -> [EnvironmentApproval] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/approvals", of: repository, ["run_id": run])
        var found: [EnvironmentApproval] = []
        try await pages(call, as: [WireApproval].self) { found += $0.map(\.value) }
        return found
    }
}

// MARK: - What GitHub sends. Source: github/rest-api-description, version 2022-11-28.

private struct CheckRunPage: Decodable {
    struct Run: Decodable {
        struct App: Decodable {
            var slug: String?
        }
        var id: Int64
        var name: String
        var status: String
        var conclusion: String?
        var started_at: String?
        var html_url: String?
        var app: App?

        /// A run without a conclusion is never complete, whatever its status says.
        var value: CommitCheck {
            let isComplete = status == "completed" && conclusion != nil
            return CommitCheck(
                kind: .run, name: name, app: app?.slug ?? "", id: id, state: isComplete ? conclusion ?? "" : status,
                isComplete: isComplete, since: started_at.flatMap { Timestamp($0) }, url: html_url ?? "")
        }
    }
    var check_runs: [Run]
    var checkRuns: [Run] { check_runs }
}

private struct CombinedStatusPage: Decodable {
    struct Status: Decodable {
        var id: Int64
        var state: String
        var context: String
        var target_url: String?
        var updated_at: String?

        var value: CommitCheck {
            CommitCheck(
                kind: .status, name: context, id: id, state: state, isComplete: state != "pending",
                since: updated_at.flatMap { Timestamp($0) }, url: target_url ?? "")
        }
    }
    var statuses: [Status]
}

private struct WireUser: Decodable {
    var login: String
    var type: String?

    /// Accounts of apps are named so, whatever their type says.
    var isBot: Bool { type == "Bot" || login.hasSuffix("[bot]") }
}

private struct WirePullRequest: Decodable {
    struct Head: Decodable {
        var sha: String
    }
    var number: Int
    var head: Head
    var merge_commit_sha: String?
    var merged_at: String?
    var user: WireUser?
    struct Base: Decodable {
        struct Repository: Decodable {
            var full_name: String?
        }
        var repo: Repository?
    }
    var base: Base?

    /// While a pull request is open, `merge_commit_sha` is a trial merge that nobody deploys.
    var value: PullRequest {
        PullRequest(
            number: number, head: CommitID(head.sha),
            mergeCommit: merged_at == nil ? nil : merge_commit_sha.map { CommitID($0) }, author: user?.login ?? "")
    }
}

private struct WireReview: Decodable {
    var id: Int64
    var user: WireUser?
    var state: String
    var commit_id: String?
    var submitted_at: String?
    var author_association: String?

    var value: PullRequestReview {
        PullRequestReview(
            id: id, user: user?.login ?? "", isBot: user?.isBot ?? false, association: author_association ?? "",
            state: state, commit: commit_id.map { CommitID($0) }, submittedAt: submitted_at.flatMap { Timestamp($0) })
    }
}

private struct WireApproval: Decodable {
    struct Environment: Decodable {
        var name: String?
    }
    var environments: [Environment]
    var state: String
    var user: WireUser?

    var value: EnvironmentApproval {
        EnvironmentApproval(
            environments: environments.compactMap(\.name), state: state, user: user?.login ?? "",
            isBot: user?.isBot ?? false)
    }
}

private struct WireWorkflowRun: Decodable {
    var id: Int64
    var head_sha: String
    var status: String?
    var created_at: String?
    var run_started_at: String?
}
