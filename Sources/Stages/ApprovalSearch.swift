// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The gate of approvals: looks for signatures, then for what GitHub knows, and waits for what is missing.
///
/// GitHub is asked only where signatures do not suffice, and not before other gates have asked it what they want to
/// know, so that nothing is asked twice.
package struct ApprovalSearch: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `signatures`.
        case waiting
        /// What is signed. Next: `found`, `holding`, `pausing`, `settled`, `stopped`.
        case signatures
        /// GitHub's turn comes when others have asked it. Next: `github`, `settled`, `stopped`.
        case holding
        /// Next: `checking`, `found`, `pausing`, `settled`, `stopped`.
        case github
        /// Who are they, and what is used up? Next: `found`, `pausing`, `settled`, `stopped`.
        case checking
        /// There are not enough yet. Next: `signatures`, `settled`, `stopped`.
        case pausing
        /// Enough. Next: `waiting` (everything is asked anew after a wait).
        case found(approvals: [FoundApproval])
        case settled(result: GateResult)
        case stopped
    }

    private enum Question: String, Hashable, Codable, Sendable {
        case signatures, pullRequests, reviews, workflowRun, people, pause
    }

    /// Before the second look; it doubles.
    package static let firstPause = Duration.seconds(10)
    package static let maxPause = Duration.seconds(60)
    /// How a person goes past this gate.
    static let override = "--skip approvals --approved-by WHO"

    package private(set) var state: State = .waiting
    /// Whether it has waited since everything was last asked.
    package private(set) var hasWaited = false
    private let rule: ApprovalRule
    private let request: RunRequest
    private let patience: Duration
    private var commit: Commit?
    private var deadline: Timestamp?
    private var pauses = 0
    private var open: [ActionID: Question] = [:]
    private var signed: [FoundApproval] = []
    private var evidence: [FoundApproval] = []
    private var pullRequests: [PullRequest]?
    private var authorNames: [String] = []
    private var failures: [Failure] = []
    private var isOpenerUnknown = false
    /// What people were last told is missing, and what to do.
    private var told = ""
    private var advice = ""

    /// - Parameter isSkipped: somebody has overridden the gate: it is asked once, to know what it would have said.
    package init(_ rule: ApprovalRule, for request: RunRequest, isSkipped: Bool) {
        self.rule = rule
        self.request = request
        patience = isSkipped ? .zero : rule.patience
    }

    package func awaits(_ action: ActionID) -> Bool { open[action] != nil }

    package var isSettled: Bool {
        switch state {
        case .found, .settled, .stopped: true
        case .waiting, .signatures, .holding, .github, .checking, .pausing: false
        }
    }

    /// What it waits for, for people; empty where it does not.
    package var waitingFor: String { state == .pausing ? "approvals (\(told))" : "" }

    /// What is asked of people while it waits for them; nil where it does not.
    package var wanted: ApprovalWanted? {
        guard state == .pausing, let deadline else { return nil }
        return ApprovalWanted(needed: rule.needed, found: told, how: advice.isEmpty ? [] : [advice], until: deadline)
    }

    /// Looks from the beginning; until when it may wait stays as it was.
    package mutating func begin(_ commit: Commit, _ agenda: inout Agenda) {
        self.commit = commit
        if deadline == nil { deadline = agenda.now + patience }
        (hasWaited, pullRequests) = (false, nil)
        look(&agenda)
    }

    /// What it found is looked for once more, together with everything else.
    package mutating func askAgain() { (state, hasWaited) = (.waiting, false) }

    package mutating func stop() {
        switch state {
        case .waiting, .signatures, .holding, .github, .checking, .pausing, .found:
            open = [:]
            state = .stopped
        case .settled, .stopped: break
        }
    }

    /// The run is refused anyway: nobody waits any longer.
    package mutating func giveUp(_ agenda: inout Agenda) {
        guard state == .pausing else { return }
        for action in open.keys.sorted() { agenda.performAndForget(.cancel(action: action)) }
        settle(&agenda)
    }

    /// Nobody else asks GitHub anything now.
    ///
    /// - Parameter known: the commit's pull requests, where somebody has asked for them.
    package mutating func askGitHub(knowing known: [PullRequest]?, _ agenda: inout Agenda) {
        guard state == .holding, let commit else { return }
        state = .github
        if pullRequests == nil, !hasWaited { pullRequests = known }
        if asksForRun, let run = rule.workflowRun { ask(.workflowRun, .github(call: .workflowRun(id: run)), &agenda) }
        if let pullRequests {
            askForReviews(among: pullRequests, &agenda)
        } else if needsPullRequest {
            ask(.pullRequests, .github(call: .pullRequests(commit: commit.id)), &agenda)
        }
        goOn(&agenda)
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard let question = open.removeValue(forKey: action), let commit else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        let reading = ApprovalEvidence(rule: rule, request: request, commit: commit)
        switch (question, answer) {
        case (.signatures, .approvals(let list)):
            signed = list
            afterSignatures(&agenda)
        case (.pullRequests, .pullRequests(let list)):
            pullRequests = list
            askForReviews(among: list, &agenda)
            goOn(&agenda)
        case (.reviews, .reviews(let list)):
            if let origin = reading.origin(among: pullRequests ?? []) {
                evidence += reading.approvals(list, of: origin)
            }
            goOn(&agenda)
        case (.workflowRun, .workflowRun(let run)):
            // One that says it is another tells nothing of this one.
            if run.id == rule.workflowRun { evidence += reading.approvals(run) }
            goOn(&agenda)
        case (.people, .approvalCheck(let spentBy, let names)): learn(spentBy, names, &agenda)
        case (.pause, .woke): look(&agenda)
        case (.signatures, .failed(let failure)), (.people, .failed(let failure)):
            // What may be used up already counts for nothing.
            evidence = []
            failures.append(failure)
            conclude(&agenda)
        case (.pullRequests, .failed(let failure)), (.reviews, .failed(let failure)),
            (.workflowRun, .failed(let failure)):
            isOpenerUnknown = isOpenerUnknown || question == .pullRequests
            failures.append(failure)
            goOn(&agenda)
        case (.pause, .failed): look(&agenda)
        default: throw IllegalEvent(state: "asking \(question)", event: "\(answer)")
        }
    }

    // MARK: - Asking

    private mutating func look(_ agenda: inout Agenda) {
        guard let commit else { return }
        state = .signatures
        (signed, evidence, failures, isOpenerUnknown) = ([], [], [], false)
        let reading = ApprovalEvidence(rule: rule, request: request, commit: commit)
        // GitHub may not have known yet.
        if reading.origin(among: pullRequests ?? []) == nil { pullRequests = nil }
        ask(.signatures, .approvals(query: .find(commit: commit.id)), &agenda)
    }

    private mutating func ask(_ question: Question, _ effect: Effect, _ agenda: inout Agenda) {
        open[agenda.perform(effect)] = question
    }

    private var asksForReviews: Bool { rule.kinds.contains(.review) }
    private var asksForRun: Bool { rule.kinds.contains(.environment) && rule.workflowRun != nil }
    /// Reviews are of it, and whoever opened it may not approve.
    private var needsPullRequest: Bool { asksForReviews || asksForRun && !rule.authorMayApprove }

    private mutating func afterSignatures(_ agenda: inout Agenda) {
        if case .enough = verdict(at: agenda.now) {
            conclude(&agenda)
        } else if asksForReviews || asksForRun {
            state = .holding
        } else {
            conclude(&agenda)
        }
    }

    private mutating func askForReviews(among list: [PullRequest], _ agenda: inout Agenda) {
        guard asksForReviews, let commit else { return }
        let reading = ApprovalEvidence(rule: rule, request: request, commit: commit)
        if let origin = reading.origin(among: list) {
            ask(.reviews, .github(call: .reviews(pullRequest: origin.number)), &agenda)
        }
    }

    /// Once GitHub has answered everything: which of it is used up, and whose accounts are they?
    private mutating func goOn(_ agenda: inout Agenda) {
        guard open.isEmpty, let commit else { return }
        // It may be the one who opened the pull request.
        if isOpenerUnknown, !rule.authorMayApprove { evidence = [] }
        guard !evidence.isEmpty else {
            conclude(&agenda)
            return
        }
        state = .checking
        let accounts = evidence.compactMap(\.approval?.approver)
        let authors = ApprovalGate.authors(of: commit, opener: opener)
        ask(
            .people,
            .approvals(
                query: .check(
                    nonces: evidence.compactMap(\.approval?.nonce), names: Set(accounts).union(authors).sorted())),
            &agenda)
    }

    private var opener: String {
        guard let commit else { return "" }
        return ApprovalEvidence(rule: rule, request: request, commit: commit).origin(among: pullRequests ?? [])?.author
            ?? ""
    }

    private mutating func learn(_ spentBy: [String: RunID], _ names: [String: [String]], _ agenda: inout Agenda) {
        let known = Dictionary(names.map { ($0.key.lowercased(), $0.value) }) { $0 + $1 }
        for index in evidence.indices {
            guard let approval = evidence[index].approval else { continue }
            evidence[index].spentBy = spentBy[approval.nonce]
            evidence[index].names = known[approval.approver.lowercased()] ?? []
        }
        if let commit {
            authorNames = ApprovalGate.authors(of: commit, opener: opener).sorted().flatMap { known[$0] ?? [] }
        }
        conclude(&agenda)
    }

    // MARK: - Deciding

    private func verdict(at now: Timestamp) -> ApprovalGate.Verdict? {
        guard let commit else { return nil }
        return ApprovalGate(rule, for: request).judge(
            signed + evidence, of: commit, opener: opener, authorNames: authorNames, hint: otherWays, at: now)
    }

    /// What else than a signature would do.
    private var otherWays: [String] {
        var ways: [String] = []
        if asksForReviews {
            let origin = commit.flatMap { commit in
                ApprovalEvidence(rule: rule, request: request, commit: commit).origin(among: pullRequests ?? [])
            }
            ways.append(
                "by an approving review of " + (origin.map { "pull request #\($0.number)" } ?? "its pull request"))
        }
        if asksForRun {
            ways.append("by letting this workflow run through to \(rule.environments.joined(separator: " or "))")
        }
        return ways
    }

    private mutating func conclude(_ agenda: inout Agenda) {
        if case .enough(let approvals) = verdict(at: agenda.now) {
            state = .found(approvals: approvals)
        } else if let deadline, agenda.now < deadline {
            pause(until: deadline, &agenda)
        } else {
            settle(&agenda)
        }
    }

    private mutating func pause(until deadline: Timestamp, _ agenda: inout Agenda) {
        guard case .refused(let detail, let hint) = verdict(at: agenda.now) else { return }
        let trouble = failures.map(\.text).sorted().joined(separator: "; ")
        let missing = detail + (trouble.isEmpty ? "" : "; unanswered: " + trouble)
        if told != missing {
            told = missing
            advice = hint
            agenda.note(.message(text: "waiting until \(deadline) for approvals: \(missing); \(hint)"))
        }
        let step = min(ApprovalSearch.maxPause, ApprovalSearch.firstPause * (1 << min(pauses, 8)))
        pauses += 1
        hasWaited = true
        state = .pausing
        ask(.pause, .wake(at: min(deadline, agenda.now + step)), &agenda)
    }

    private mutating func settle(_ agenda: inout Agenda) {
        open = [:]
        var (detail, hint) = ("", "")
        if case .refused(let said, let way) = verdict(at: agenda.now) { (detail, hint) = (said, way) }
        if pauses > 0 { detail += ", also after \(patience.words)" }
        guard let failure = failures.first else {
            state = .settled(
                result: GateResult(.approvals, .refused, detail, hint: hint + "; or " + ApprovalSearch.override))
            return
        }
        // Whoever was never asked has not refused.
        let verdict: GateResult.Verdict =
            failures.allSatisfy { $0.code == .refused || $0.code == .invalid } ? .refused : .unanswered
        let unanswered = Set(failures.map(\.text)).sorted().joined(separator: "; ")
        let hints = [failure.hint, hint].filter { !$0.isEmpty }.joined(separator: " Or ")
        state = .settled(
            result: GateResult(
                .approvals, verdict, "\(detail); who else has approved it went unanswered: \(unanswered)",
                hint: hints + "; or " + ApprovalSearch.override))
    }
}
