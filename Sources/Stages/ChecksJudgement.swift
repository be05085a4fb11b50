// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Which CI checks a pipeline asks for, and when they count.
package struct ChecksPolicy: Hashable, Codable, Sendable {
    /// Names of check runs, contexts of commit statuses, or `app/name`.
    package var names: [String]
    /// Conclusions that count as passed.
    package var accepted: [String]
    /// How long checks that are under way are waited for.
    package var patience: Duration

    package init(names: [String], accepted: [String] = ["success"], patience: Duration = .seconds(600)) {
        self.names = names
        self.accepted = accepted
        self.patience = patience
    }
}

/// The checks of a pull request's head, whose tree is the same as that of the commit that is deployed.
package struct HeadChecks: Hashable, Codable, Sendable {
    package var pullRequest: PullRequest
    package var checks: CommitChecks

    package init(pullRequest: PullRequest, checks: CommitChecks) {
        self.pullRequest = pullRequest
        self.checks = checks
    }
}

/// What CI says of a commit, name by name. Every check that a name means must be accepted, not just one of them.
package struct ChecksJudgement: Hashable, Sendable {
    package enum Standing: Hashable, Sendable {
        /// `onHead` where only the pull request's head had it.
        case accepted(onHead: Bool)
        /// Not complete yet; with GitHub's word for it and since when.
        case pending(state: String, since: Timestamp?)
        /// Complete, and its conclusion does not count as passed.
        case rejected(conclusion: String, url: String)
        /// GitHub knows no check of that name here; with names that it knows.
        case missing(nearest: [String])
    }

    package enum Verdict: String, Hashable, Sendable, CaseIterable {
        case passed, pending, refused
    }

    /// In the order of the pipeline, without doubles.
    package private(set) var standings: [(name: String, standing: Standing)] = []
    private let policy: ChecksPolicy
    private let total: Int
    private let pullRequest: PullRequest?

    package init(_ policy: ChecksPolicy, found: CommitChecks, head: HeadChecks? = nil) {
        self.policy = policy
        total = found.total
        pullRequest = head?.pullRequest
        var seen: Set<String> = []
        for name in policy.names where seen.insert(name).inserted {
            let here = found.checks.filter { $0.isMeant(by: name) }
            let there = head?.checks.checks.filter { $0.isMeant(by: name) } ?? []
            let standing: Standing =
                switch (here.isEmpty, there.isEmpty) {
                case (false, _): ChecksJudgement.standing(of: here, policy, onHead: false)
                case (true, false): ChecksJudgement.standing(of: there, policy, onHead: true)
                case (true, true):
                    .missing(
                        nearest: ChecksJudgement.merged(found.nearest[name], head?.checks.nearest[name]))
                }
            standings.append((name, standing))
        }
    }

    package static func == (left: ChecksJudgement, right: ChecksJudgement) -> Bool {
        left.policy == right.policy && left.total == right.total && left.pullRequest == right.pullRequest
            && left.standings.map(\.name) == right.standings.map(\.name)
            && left.standings.map(\.standing) == right.standings.map(\.standing)
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(standings.map(\.name))
        hasher.combine(standings.map(\.standing))
    }

    /// One check that is rejected, or missing, decides; waiting for the others would change nothing.
    package var verdict: Verdict {
        var isPending = false
        for (_, standing) in standings {
            switch standing {
            case .rejected, .missing: return .refused
            case .pending: isPending = true
            case .accepted: break
            }
        }
        return isPending ? .pending : .passed
    }

    /// Names that mean no check.
    package var missing: [String] { standings.filter { $0.standing.isMissing }.map(\.name) }

    /// What people are told: of a refusal what refuses, then what is under way; of a pass where it was seen.
    package func detail(at now: Timestamp) -> String {
        switch verdict {
        case .passed: passedDetail
        case .pending: "under way: " + lines(at: now) { if case .pending = $0 { true } else { false } }
        case .refused: lines(at: now) { if case .accepted = $0 { false } else { true } }
        }
    }

    private var passedDetail: String {
        let onHead = standings.filter { $0.standing == .accepted(onHead: true) }.map { ChecksJudgement.shown($0.name) }
        let all = standings.count == 1 ? "it passed" : "all \(standings.count) passed"
        guard let pullRequest, !onHead.isEmpty else { return all }
        return "\(all); \(ChecksJudgement.listed(onHead)) on the head of pull request #\(pullRequest.number) "
            + "(\(pullRequest.head.short)), whose tree is the same"
    }

    /// Checks told one by one.
    package static let maxShown = 10
    private static let maxNameScalars = 100
    private static let maxURLScalars = 200

    private func lines(at now: Timestamp, where isTold: (Standing) -> Bool) -> String {
        let told = standings.filter { isTold($0.standing) }
        let lines = told.prefix(ChecksJudgement.maxShown).map { name, standing in
            "“\(ChecksJudgement.shown(name))” " + text(standing, now)
        }
        return lines.joined(separator: ", ")
            + (told.count > lines.count ? " and \(told.count - lines.count) more" : "")
    }

    private func text(_ standing: Standing, _ now: Timestamp) -> String {
        switch standing {
        case .accepted: return "passed"
        case .pending(let state, let since):
            let minutes = since.map { Int(max(.zero, now - $0).inSeconds) / 60 } ?? 0
            return "is \(ChecksJudgement.shown(state))" + (minutes > 0 ? " for \(minutes) min" : "")
        case .rejected(let conclusion, let url):
            let place = url.isEmpty ? "" : " (\(ShownText.line(url, limit: ChecksJudgement.maxURLScalars)))"
            return "ended with \(ChecksJudgement.shown(conclusion))" + place
        case .missing(let nearest):
            if total == 0, nearest.isEmpty { return "is missing: the commit has no checks at all" }
            let names = nearest.map { "“\(ChecksJudgement.shown($0))”" }
            return "is missing" + (names.isEmpty ? "" : " (did you mean \(names.joined(separator: " or "))?)")
        }
    }

    /// The worst of what one name means.
    private static func standing(of checks: [CommitCheck], _ policy: ChecksPolicy, onHead: Bool) -> Standing {
        if let bad = checks.first(where: { $0.isComplete && !policy.accepted.contains($0.state) }) {
            return .rejected(conclusion: bad.state, url: bad.url)
        }
        if let open = checks.first(where: { !$0.isComplete }) {
            return .pending(state: open.state, since: open.since)
        }
        return .accepted(onHead: onHead)
    }

    private static func merged(_ first: [String]?, _ second: [String]?) -> [String] {
        var names = first ?? []
        for name in second ?? [] where !names.contains(name) { names.append(name) }
        return Array(names.prefix(CommitChecks.maxSuggestions))
    }

    static func shown(_ text: String) -> String { ShownText.line(text, limit: maxNameScalars) }

    private static func listed(_ names: [String]) -> String {
        names.prefix(maxShown).joined(separator: ", ")
            + (names.count > maxShown ? " and \(names.count - maxShown) more" : "")
    }
}

extension ChecksJudgement.Standing {
    fileprivate var isMissing: Bool { if case .missing = self { true } else { false } }
}
