// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// An approving, or other, review of a pull request.
package struct PullRequestReview: Hashable, Sendable {
    package var id: Int64
    /// Empty where the account is gone.
    package var user: String
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`, `PENDING`.
    package var state: String
    /// The commit that was reviewed; nil where GitHub no longer knows.
    package var commit: CommitID?
    package var submittedAt: Timestamp?
}

/// A decision of a reviewer of environments on a workflow run.
package struct EnvironmentApproval: Hashable, Sendable {
    package var environments: [String]
    /// `approved`, `rejected`, `pending`.
    package var state: String
    package var user: String
    package var comment: String
}

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

    /// The pull requests that a commit belongs to or was made by, merged and open ones.
    package func pullRequests(of commit: CommitID) async throws(GitHubError) -> [PullRequest] {
        let call = GitHubRequest(
            "GET", "/repos/{owner}/{repo}/commits/{commit_sha}/pulls", of: repository,
            ["commit_sha": commit.rawValue], query: [("per_page", String(GitHubClient.pageSize))])
        var found: [PullRequest] = []
        try await pages(call, as: [WirePullRequest].self) { found += $0.map(\.value) }
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

    var value: PullRequestReview {
        PullRequestReview(
            id: id, user: user?.login ?? "", state: state, commit: commit_id.map { CommitID($0) },
            submittedAt: submitted_at.flatMap { Timestamp($0) })
    }
}

private struct WireApproval: Decodable {
    struct Environment: Decodable {
        var name: String?
    }
    var environments: [Environment]
    var state: String
    var user: WireUser
    var comment: String

    var value: EnvironmentApproval {
        EnvironmentApproval(
            environments: environments.compactMap(\.name), state: state, user: user.login, comment: comment)
    }
}
