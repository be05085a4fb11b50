// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// One attempt of one CI check on one commit: a check run of a GitHub App, or a commit status.
package struct CommitCheck: Hashable, Codable, Sendable {
    package enum Kind: String, Codable, Sendable, CaseIterable {
        case run
        case status
    }

    package var kind: Kind
    /// The check run's name or the status's context, as it was given; untrusted text.
    package var name: String
    /// The slug of the app that made the run; empty for a status.
    package var app: String
    /// Among attempts of one check the higher number is the later one.
    package var id: Int64
    /// While it is under way, GitHub's word for where it stands (`queued`, `in_progress`, `pending`, …); once it is
    /// complete, its conclusion (`success`, `failure`, `neutral`, `skipped`, …).
    package var state: String
    package var isComplete: Bool
    /// When the attempt began, or the status was set; nil where it has not begun.
    package var since: Timestamp?
    /// A page for people; may be empty.
    package var url: String

    package init(
        kind: Kind = .run, name: String, app: String = "", id: Int64 = 0, state: String, isComplete: Bool = true,
        since: Timestamp? = nil, url: String = ""
    ) {
        self.kind = kind
        self.name = name
        self.app = app
        self.id = id
        self.state = state
        self.isComplete = isComplete
        self.since = since
        self.url = url
    }

    /// Whether a name in a pipeline means this check: its own name, or `app/name` for one app's alone.
    package func isMeant(by wanted: String) -> Bool {
        wanted == name || kind == .run && !app.isEmpty && wanted == app + "/" + name
    }

    /// Whether it is a later attempt than another of the same check. One that has not begun comes after all that have.
    package func isLater(than other: CommitCheck) -> Bool {
        switch (since, other.since) {
        case (let mine?, let others?) where mine != others: mine > others
        case (nil, .some) where !isComplete: true
        case (.some, nil) where !other.isComplete: false
        default: id > other.id
        }
    }
}

/// The latest attempts of the checks that a pipeline names, on one commit; small, because every answer is journaled.
package struct CommitChecks: Hashable, Codable, Sendable {
    package var commit: CommitID
    /// The latest attempt of every check that is meant by one of the names; one name may mean several.
    package var checks: [CommitCheck]
    /// Different checks that the commit has, the ones not asked for included.
    package var total: Int
    /// For every name that means none of them: the checks that are most like it, nearest first.
    package var nearest: [String: [String]]

    package init(commit: CommitID, checks: [CommitCheck], total: Int, nearest: [String: [String]] = [:]) {
        self.commit = commit
        self.checks = checks
        self.total = total
        self.nearest = nearest
    }

    /// Names suggested for one that is missing.
    package static let maxSuggestions = 3

    /// What matters of everything GitHub lists for a commit, in any order and with earlier attempts among it.
    package init(_ all: [CommitCheck], wanted names: [String], on commit: CommitID) {
        struct Identity: Hashable {
            var kind: CommitCheck.Kind
            var app: String
            var name: String
        }
        var latest: [Identity: CommitCheck] = [:]
        for check in all {
            let identity = Identity(kind: check.kind, app: check.app, name: check.name)
            if let known = latest[identity], !check.isLater(than: known) { continue }
            latest[identity] = check
        }
        let candidates = Set(latest.keys.map(\.name)).sorted()
        let meant = latest.values.filter { check in names.contains(where: check.isMeant) }
        var nearest: [String: [String]] = [:]
        for name in names where !meant.contains(where: { $0.isMeant(by: name) }) {
            nearest[name] = CommitChecks.suggestions(for: name, among: candidates)
        }
        self.init(
            commit: commit, checks: meant.sorted { ($0.name, $0.app, $0.id) < ($1.name, $1.app, $1.id) },
            total: latest.count, nearest: nearest)
    }

    /// Names that are the same but for what is neither a letter nor a digit (a picture, a dash) come first.
    private static func suggestions(for name: String, among candidates: [String]) -> [String] {
        let bare = CommitChecks.bare(name)
        let same = bare.isEmpty ? [] : candidates.filter { CommitChecks.bare($0) == bare }
        // `app/name`, where the app has another name than was thought.
        let last = name.split(separator: "/").last.map(String.init) ?? name
        var found: [String] = []
        for candidate in same + Nearest.names(to: name, among: candidates)
            + Nearest.names(to: last, among: candidates) where !found.contains(candidate)
        {
            found.append(candidate)
        }
        if found.isEmpty, candidates.count <= maxSuggestions { found = candidates }
        return Array(found.prefix(maxSuggestions))
    }

    private static func bare(_ name: String) -> String {
        String(name.lowercased().filter { $0.isLetter || $0.isNumber })
    }

    /// Every named check, complete and successful.
    package static func allSuccessful(_ names: [String], on commit: CommitID) -> CommitChecks {
        CommitChecks(commit: commit, checks: names.map { CommitCheck(name: $0, state: "success") }, total: names.count)
    }
}

/// A pull request, as far as a gate must know it.
package struct PullRequest: Hashable, Codable, Sendable {
    package var number: Int
    /// The newest commit of its branch.
    package var head: CommitID
    /// The commit by which it was merged; nil while it is open.
    package var mergeCommit: CommitID?
    /// Whoever opened it; empty where GitHub does not say.
    package var author: String

    package init(number: Int, head: CommitID, mergeCommit: CommitID?, author: String = "") {
        self.number = number
        self.head = head
        self.mergeCommit = mergeCommit
        self.author = author
    }
}

/// One question to GitHub.
package enum GitHubCall: Hashable, Codable, Sendable {
    /// Check runs and commit statuses of a commit, as far as the names mean them.
    case checks(commit: CommitID, names: [String])
    /// The pull requests that a commit belongs to or was made by.
    case pullRequests(commit: CommitID)
    /// What reviewers last decided about a pull request.
    case reviews(pullRequest: Int)
    /// A workflow run, and what reviewers of environments decided about it.
    case workflowRun(id: String)
}
