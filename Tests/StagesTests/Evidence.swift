// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model

/// Good approvals of the sample commit, of every kind.
enum Evidence {
    static let pullRequest = PullRequest(
        number: 12, head: Sample.commit("d").id, mergeCommit: Sample.commit("c").id, author: "ada-dev")

    static func signature(
        _ approver: String, names: [String] = [], _ change: (inout Approval) -> Void = { _ in }
    ) -> FoundApproval {
        var approval = Approval(
            pipeline: "production", app: Sample.app, commit: Sample.commit("c").id, approver: approver,
            createdAt: Sample.start - .seconds(60), expiresAt: Sample.start + .seconds(3600),
            nonce: String(repeating: "5", count: 32), reason: "reviewed")
        change(&approval)
        return FoundApproval(
            approval: approval, source: "the file \(approver).json", key: "SHA256:\(approver)", names: names)
    }

    static func review(
        _ user: String, id: Int64 = 1, _ change: (inout PullRequestReview) -> Void = { _ in }
    ) -> PullRequestReview {
        var review = PullRequestReview(
            id: id, user: user, association: "MEMBER", state: "APPROVED", commit: pullRequest.head,
            submittedAt: Sample.start - .seconds(3600))
        change(&review)
        return review
    }

    static func run(
        _ approvals: [EnvironmentApproval], _ change: (inout WorkflowRun) -> Void = { _ in }
    ) -> WorkflowRun {
        var run = WorkflowRun(
            id: "77", commit: Sample.commit("c").id, status: "in_progress", startedAt: Sample.start - .seconds(600),
            approvals: approvals)
        change(&run)
        return run
    }

    static func letThrough(_ user: String, _ environment: String = "Production") -> EnvironmentApproval {
        EnvironmentApproval(environments: [environment], state: "approved", user: user)
    }
}
