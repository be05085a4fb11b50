// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Reads approvals out of what GitHub knows: reviews of the pull request that brought a commit, and environments of a
/// workflow run that reviewers let through.
struct ApprovalEvidence {
    let rule: ApprovalRule
    let request: RunRequest
    let commit: Commit

    /// What a reviewer must be to the repository, for on a public one everybody may review.
    private static let trusted = ["OWNER", "MEMBER", "COLLABORATOR"]

    /// The merged pull request that this very commit is the end of; nil where there is none.
    func origin(among list: [PullRequest]) -> PullRequest? {
        let merged = list.filter { $0.mergeCommit != nil }
        return merged.first { $0.mergeCommit == commit.id } ?? merged.first { $0.head == commit.id }
    }

    // MARK: - Reviews

    func approvals(_ reviews: [PullRequestReview], of pullRequest: PullRequest) -> [FoundApproval] {
        reviews.map { review in
            let user = review.user.isEmpty ? "an account that is gone" : review.user
            let source = "the review of pull request #\(pullRequest.number) by \(ShownText.line(user, limit: 60))"
            guard let given = review.submittedAt else {
                return FoundApproval(
                    approval: nil, kind: .review, source: source, problem: "GitHub does not say when it was given")
            }
            return FoundApproval(
                approval: approval(
                    by: review.user, at: given, nonce: "github-review/\(review.id)/\(request.app)",
                    reason: "review of pull request #\(pullRequest.number)"),
                kind: .review, source: source, key: key(review.user),
                problem: problem(with: review, of: pullRequest) ?? "")
        }
    }

    private func problem(with review: PullRequestReview, of pullRequest: PullRequest) -> String? {
        switch review.state {
        case "APPROVED": break
        case "CHANGES_REQUESTED": return "it asks for changes"
        case "DISMISSED": return "it was dismissed"
        default: return "it approves nothing"
        }
        if review.user.isEmpty { return "nobody can be told to have given it" }
        if review.isBot { return "\(review.user) is no person" }
        guard let seen = review.commit else { return "GitHub does not say which commit it is of" }
        if seen != pullRequest.head { return "it is of \(seen.short), and \(pullRequest.head.short) was merged" }
        if !ApprovalEvidence.trusted.contains(review.association) {
            let word = review.association.isEmpty ? "nothing" : review.association
            return "\(review.user) is no member or collaborator of the repository (GitHub says \(word))"
        }
        return nil
    }

    // MARK: - Environments

    /// One for each time that somebody let the run through to an environment that counts.
    func approvals(_ run: WorkflowRun) -> [FoundApproval] {
        let wanted = Set(rule.environments.map { $0.lowercased() })
        var counts: [String: Int] = [:]
        var found: [FoundApproval] = []
        let rejecting = Set(run.approvals.filter { $0.state == "rejected" }.map { $0.user.lowercased() })
        for decision in run.approvals where decision.state == "approved" {
            guard let name = decision.environments.first(where: { wanted.contains($0.lowercased()) }) else { continue }
            let number = counts[decision.user.lowercased(), default: 0] + 1
            counts[decision.user.lowercased()] = number
            let environment = ShownText.line(name, limit: 60)
            let source =
                "the environment \(environment) of workflow run \(run.id), let through by "
                + ShownText.line(decision.user, limit: 60)
            var problem = problem(with: run)
            if decision.user.isEmpty { problem = "nobody can be told to have done it" }
            if decision.isBot { problem = "\(decision.user) is no person" }
            if rejecting.contains(decision.user.lowercased()) { problem = "\(decision.user) also rejected this run" }
            guard let given = run.startedAt else {
                found.append(
                    FoundApproval(
                        approval: nil, kind: .environment, source: source,
                        problem: "GitHub does not say when the run began"))
                continue
            }
            found.append(
                FoundApproval(
                    approval: approval(
                        by: decision.user, at: given,
                        nonce: "github-run/\(run.id)/\(decision.user.lowercased())/\(number)/\(request.app)",
                        reason: "environment \(environment) of workflow run \(run.id)"),
                    kind: .environment, source: source, key: key(decision.user), problem: problem ?? ""))
        }
        return found
    }

    /// A run that is over, or runs for something else, says nothing about this commit now.
    private func problem(with run: WorkflowRun) -> String? {
        if run.commit != commit.id {
            return "the run is for commit \(run.commit?.short ?? "unknown"), and \(commit.id.short) is to be deployed"
        }
        return run.status == "completed" || run.status.isEmpty ? "the run is over" : nil
    }

    // MARK: - Both

    private func approval(by user: String, at given: Timestamp, nonce: String, reason: String) -> Approval {
        Approval(
            pipeline: request.pipeline, app: request.app, commit: commit.id, approver: user, createdAt: given,
            expiresAt: given + rule.lifetime, nonce: nonce, reason: reason)
    }

    private func key(_ user: String) -> String { "github:" + user.lowercased() }
}
