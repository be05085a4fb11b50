// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A review of a pull request.
package struct PullRequestReview: Hashable, Codable, Sendable {
    package var id: Int64
    /// Empty where the account is gone.
    package var user: String
    /// Whether a program, and no person, gave it.
    package var isBot: Bool
    /// What the reviewer is to the repository, in GitHub's words (`OWNER`, `MEMBER`, `COLLABORATOR`, `NONE`, …).
    package var association: String
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`, `PENDING`.
    package var state: String
    /// The commit that was reviewed; nil where GitHub no longer knows.
    package var commit: CommitID?
    package var submittedAt: Timestamp?

    package init(
        id: Int64, user: String, isBot: Bool = false, association: String = "", state: String, commit: CommitID?,
        submittedAt: Timestamp?
    ) {
        self.id = id
        self.user = user
        self.isBot = isBot
        self.association = association
        self.state = state
        self.commit = commit
        self.submittedAt = submittedAt
    }

    /// Of each reviewer the last review that decides anything: a comment neither gives an approval nor takes one away.
    ///
    /// - Parameter all: in the order of their submission, as GitHub lists them.
    package static func latestDecisions(_ all: [PullRequestReview]) -> [PullRequestReview] {
        var latest: [String: PullRequestReview] = [:]
        for review in all where ["APPROVED", "CHANGES_REQUESTED", "DISMISSED"].contains(review.state) {
            let reviewer = review.user.lowercased()
            // One without a time is as late as its place in the list says.
            if let known = latest[reviewer], let mine = review.submittedAt, let others = known.submittedAt,
                mine < others
            {
                continue
            }
            latest[reviewer] = review
        }
        return latest.values.sorted { ($0.user, $0.id) < ($1.user, $1.id) }
    }
}

/// What a reviewer of environments has decided about a workflow run.
package struct EnvironmentApproval: Hashable, Codable, Sendable {
    package var environments: [String]
    /// `approved`, `rejected`, `pending`.
    package var state: String
    /// Empty where the account is gone.
    package var user: String
    package var isBot: Bool

    package init(environments: [String], state: String, user: String, isBot: Bool = false) {
        self.environments = environments
        self.state = state
        self.user = user
        self.isBot = isBot
    }
}

/// A workflow run of GitHub Actions, as far as a gate must know it.
package struct WorkflowRun: Hashable, Codable, Sendable {
    package var id: String
    /// The commit it runs for.
    package var commit: CommitID?
    /// `in_progress`, `completed`, …; GitHub's word.
    package var status: String
    /// When its latest attempt began.
    package var startedAt: Timestamp?
    package var approvals: [EnvironmentApproval]

    package init(
        id: String, commit: CommitID?, status: String, startedAt: Timestamp?, approvals: [EnvironmentApproval]
    ) {
        self.id = id
        self.commit = commit
        self.status = status
        self.startedAt = startedAt
        self.approvals = approvals
    }
}
