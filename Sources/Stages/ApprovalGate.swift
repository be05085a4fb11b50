// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Whether enough people have approved a commit, by what was found and verified.
///
/// An approval counts for this pipeline, app and commit, until it expires, once, and for one person: two with the same
/// name or the same key are one, and so are two names that `allowed_signers` gives to one key. A GitHub account that
/// `allowed_signers` does not know may belong to anybody who signs, so that it does not count beside a signature.
package struct ApprovalGate: Hashable, Codable, Sendable {
    package enum Verdict: Hashable, Codable, Sendable {
        /// Enough: these are to be used up.
        case enough(approvals: [FoundApproval])
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

    /// - Parameters:
    ///   - opener: whoever opened the pull request that brought the commit, as GitHub calls them; empty where nobody
    ///     is known to.
    ///   - authorNames: names by which `allowed_signers` knows the commit's author.
    ///   - hint: what else a person can do than sign.
    package func judge(
        _ found: [FoundApproval], of commit: Commit, opener: String = "", authorNames: [String] = [],
        hint: [String] = [], at now: Timestamp
    ) -> Verdict {
        var reasons: [String] = []
        var good: [FoundApproval] = []
        let authors = ApprovalGate.authors(of: commit, opener: opener).union(authorNames.map { $0.lowercased() })
        // The oldest first: the ones that are used up next to be useless.
        let ordered = found.sorted {
            ($0.approval?.createdAt ?? now, $0.source) < ($1.approval?.createdAt ?? now, $1.source)
        }
        for candidate in ordered {
            if let problem = self.problem(with: candidate, commit, authors, opener, now) {
                reasons.append("\(candidate.source): \(problem)")
            } else {
                good.append(candidate)
            }
        }
        // A signature and an account of nobody known are two people or one.
        let known = select(good.filter { $0.kind == .ssh || !$0.names.isEmpty })
        let accounts = select(good.filter { $0.kind != .ssh })
        let best = known.counted.count >= min(rule.needed, accounts.counted.count) ? known : accounts
        if best.counted.count >= rule.needed { return .enough(approvals: best.counted) }
        reasons += best.reasons
        let left = good.filter { candidate in !best.considered.contains { $0.source == candidate.source } }
        for candidate in left {
            reasons.append(
                "\(candidate.source): whether \(candidate.approval?.approver ?? "") is somebody who is counted already "
                    + "can't be told; write every GitHub account beside its owner's name in allowed_signers")
        }
        return refusal(best.counted, reasons, commit, hint)
    }

    private func refusal(
        _ counted: [FoundApproval], _ reasons: [String], _ commit: Commit, _ hint: [String]
    ) -> Verdict {
        let names = counted.compactMap(\.approval?.approver)
        let who = names.isEmpty ? "" : " (\(names.joined(separator: ", ")))"
        var detail = "\(counted.count) of \(rule.needed) approvals of \(commit.id.short)\(who)"
        let told = reasons.prefix(ApprovalGate.maxToldReasons)
        if !told.isEmpty { detail += "; not counted: \(told.joined(separator: "; "))" }
        if reasons.count > told.count { detail += "; and \(reasons.count - told.count) more" }
        let ways =
            (rule.kinds.contains(.ssh)
                ? ["airboss approve \(request.pipeline) --commit \(commit.id.short)"] : []) + hint
        return .refused(detail: detail, hint: "have somebody approve it: " + ways.joined(separator: "; or "))
    }

    private struct Selection {
        var counted: [FoundApproval] = []
        var considered: [FoundApproval] = []
        var reasons: [String] = []
    }

    /// One of each person, up to as many as are needed.
    private func select(_ candidates: [FoundApproval]) -> Selection {
        var selection = Selection(considered: candidates)
        var people: Set<String> = []
        var keys: Set<String> = []
        for candidate in candidates where selection.counted.count < rule.needed {
            let names = candidate.everyName
            guard people.isDisjoint(with: names), !keys.contains(candidate.key) else {
                selection.reasons.append(
                    "\(candidate.source): \(candidate.approval?.approver ?? "") is counted already")
                continue
            }
            people.formUnion(names)
            keys.insert(candidate.key)
            selection.counted.append(candidate)
        }
        return selection
    }

    /// Every name that is known of a commit's author, in lower case.
    static func authors(of commit: Commit, opener: String) -> Set<String> {
        var names = Set([commit.author.email, commit.author.name, opener].map { $0.lowercased() })
        if let login = login(ofAddress: commit.author.email) { names.insert(login) }
        names.remove("")
        return names
    }

    /// The account in an address that GitHub gives to who hides their own: `login@` or `id+login@`
    /// `users.noreply.github.com`.
    static func login(ofAddress address: String) -> String? {
        let parts = address.lowercased().split(separator: "@")
        guard parts.count == 2, parts[1].hasPrefix("users.noreply.") else { return nil }
        return parts[0].split(separator: "+").last.map(String.init)
    }

    /// Why an approval does not count; nil where it does.
    private func problem(
        with found: FoundApproval, _ commit: Commit, _ authors: Set<String>, _ opener: String, _ now: Timestamp
    ) -> String? {
        guard let approval = found.approval else {
            return found.problem.isEmpty ? "it can't be read" : found.problem
        }
        if !found.problem.isEmpty || found.key.isEmpty {
            return found.problem.isEmpty ? "its signature was not verified" : found.problem
        }
        if !rule.kinds.contains(found.kind) { return "gates.approvals_accept leaves “\(found.kind.rawValue)” out" }
        if approval.pipeline != request.pipeline || approval.app != request.app {
            return "it is for \(approval.pipeline) (\(approval.app))"
        }
        if approval.commit != commit.id { return "it is for commit \(approval.commit.short)" }
        if approval.createdAt > now + ApprovalGate.clockTolerance {
            return "it was made in the future, at \(approval.createdAt); this machine's clock says \(now)"
        }
        if approval.expiresAt <= now { return "it expired at \(approval.expiresAt)" }
        if approval.createdAt + rule.lifetime <= now {
            return "it was given at \(approval.createdAt), longer ago than gates.approvals_expire allows"
        }
        if found.kind == .ssh, approval.expiresAt - approval.createdAt > Approval.longestLife {
            return "it would live for too long"
        }
        if let run = found.spentBy, run != request.run { return "run \(run) has used it" }
        if !rule.authorMayApprove, !authors.isDisjoint(with: found.everyName) {
            let hasOpened = found.everyName.contains(opener.lowercased())
            return "\(approval.approver) \(hasOpened ? "opened the pull request" : "is the commit's author")"
        }
        return nil
    }
}

extension FoundApproval {
    /// Every name that is known of the approver, in lower case.
    fileprivate var everyName: Set<String> {
        Set((names + [approval?.approver ?? ""]).map { $0.lowercased() }).subtracting([""])
    }
}
