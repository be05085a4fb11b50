// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Whether enough people have approved a commit, by what was found and verified.
///
/// An approval counts for this pipeline, app and commit, until it expires, once, and for one person: two with the same
/// name or the same key are one.
package struct ApprovalGate: Hashable, Codable, Sendable {
    package enum Verdict: Hashable, Codable, Sendable {
        /// Enough: these are to be used up.
        case enough(approvals: [Approval])
        case refused(detail: String, hint: String)
    }

    /// How far another machine's clock may be ahead.
    package static let clockTolerance = Duration.seconds(5 * 60)
    /// Reasons why an approval does not count that are told; of more, how many.
    package static let maxToldReasons = 5

    private let rule: ApprovalRule
    private let request: RunRequest

    package init(_ rule: ApprovalRule, for request: RunRequest) {
        self.rule = rule
        self.request = request
    }

    package func judge(_ found: [FoundApproval], of commit: Commit, at now: Timestamp) -> Verdict {
        var counted: [Approval] = []
        var people: Set<String> = []
        var keys: Set<String> = []
        var reasons: [String] = []
        // The oldest first: the ones that are used up next to be useless.
        let ordered = found.sorted {
            ($0.approval?.createdAt ?? now, $0.source) < ($1.approval?.createdAt ?? now, $1.source)
        }
        for candidate in ordered {
            if let problem = self.problem(with: candidate, commit, now) {
                reasons.append("\(candidate.source): \(problem)")
                continue
            }
            guard let approval = candidate.approval, counted.count < rule.needed else { continue }
            let person = approval.approver.lowercased()
            guard !people.contains(person), !keys.contains(candidate.key) else {
                reasons.append("\(candidate.source): \(approval.approver) is counted already")
                continue
            }
            people.insert(person)
            keys.insert(candidate.key)
            counted.append(approval)
        }
        if counted.count >= rule.needed { return .enough(approvals: counted) }
        let who = counted.isEmpty ? "" : " (\(counted.map(\.approver).joined(separator: ", ")))"
        var detail = "\(counted.count) of \(rule.needed) approvals of \(commit.id.short)\(who)"
        let told = reasons.prefix(ApprovalGate.maxToldReasons)
        if !told.isEmpty { detail += "; not counted: \(told.joined(separator: "; "))" }
        if reasons.count > told.count { detail += "; and \(reasons.count - told.count) more" }
        return .refused(
            detail: detail,
            hint: "have somebody approve it: airboss approve \(request.pipeline) --commit \(commit.id.short)")
    }

    /// Why an approval does not count; nil where it does.
    private func problem(with found: FoundApproval, _ commit: Commit, _ now: Timestamp) -> String? {
        guard let approval = found.approval else {
            return found.problem.isEmpty ? "it can't be read" : found.problem
        }
        if !found.problem.isEmpty || found.key.isEmpty {
            return found.problem.isEmpty ? "its signature was not verified" : found.problem
        }
        if approval.pipeline != request.pipeline || approval.app != request.app {
            return "it is for \(approval.pipeline) (\(approval.app))"
        }
        if approval.commit != commit.id { return "it is for commit \(approval.commit.short)" }
        if approval.createdAt > now + ApprovalGate.clockTolerance {
            return "it was made in the future, at \(approval.createdAt)"
        }
        if approval.expiresAt <= now { return "it expired at \(approval.expiresAt)" }
        if approval.expiresAt - approval.createdAt > Approval.longestLife { return "it would live for too long" }
        if let run = found.spentBy, run != request.run { return "run \(run) has used it" }
        let isAuthor = [commit.author.email, commit.author.name].contains {
            $0.lowercased() == approval.approver.lowercased()
        }
        if isAuthor, !rule.authorMayApprove { return "\(approval.approver) is the commit's author" }
        return nil
    }
}
