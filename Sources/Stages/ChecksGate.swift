// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The gate of CI checks: asks GitHub, looks at the pull request's head where the commit itself lacks a check, and
/// waits for what is under way.
///
/// A check of the pull request's head counts only where git says that head and commit have the same tree.
package struct ChecksGate: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `asking`.
        case waiting
        /// Next: `pausing`, `settled`, `stopped`.
        case asking
        /// Checks are under way. Next: `asking`, `settled`, `stopped`.
        case pausing
        case settled(result: GateResult)
        case stopped
    }

    private enum Question: String, Hashable, Codable, Sendable {
        case checks, pullRequests, head, headChecks, pause
    }

    /// What is known of the pull request that brought the commit.
    private enum Origin: Hashable, Codable, Sendable {
        case unknown
        /// Its head has the commit's tree.
        case same(pullRequest: PullRequest)
        /// Nothing that ran elsewhere counts, and why; the reason may be empty.
        case none(reason: String)
    }

    /// Before the first second look; it doubles.
    package static let firstPause = Duration.seconds(5)
    package static let maxPause = Duration.seconds(20)

    package private(set) var state: State = .waiting
    private let policy: ChecksPolicy
    private let pipeline: String
    private let commit: Commit
    private var deadline: Timestamp?
    private var pauses = 0
    private var open: [ActionID: Question] = [:]
    private var found: CommitChecks?
    private var head: CommitChecks?
    private var origin: Origin = .unknown
    /// The commit's pull requests, where they were asked for.
    package private(set) var pullRequests: [PullRequest]?
    /// What people were last told is under way.
    private var told = ""

    /// - Parameter isSkipped: somebody has overridden the gate: it is asked once, to know what it would have said.
    package init(_ policy: ChecksPolicy, of commit: Commit, pipeline: String, isSkipped: Bool) {
        self.policy = policy
        self.commit = commit
        self.pipeline = pipeline
        if isSkipped { patience = .zero } else { patience = policy.patience }
    }
    private let patience: Duration

    package func awaits(_ action: ActionID) -> Bool { open[action] != nil }

    package var isSettled: Bool {
        switch state {
        case .settled, .stopped: true
        case .waiting, .asking, .pausing: false
        }
    }

    /// Whether GitHub is being asked now.
    package var isAsking: Bool { state == .asking }

    /// Nobody wants its answer any more.
    package mutating func abandon(_ agenda: inout Agenda) {
        for action in open.keys.sorted() { agenda.performAndForget(.cancel(action: action)) }
        stop()
    }

    package mutating func begin(_ agenda: inout Agenda) {
        deadline = agenda.now + patience
        ask(&agenda)
    }

    package mutating func stop() {
        switch state {
        case .waiting, .asking, .pausing:
            open = [:]
            state = .stopped
        case .settled, .stopped: break
        }
    }

    /// The run is refused anyway: what is under way now is told as it is.
    package mutating func giveUp(_ agenda: inout Agenda) {
        guard case .pausing = state else { return }
        for action in open.keys.sorted() { agenda.performAndForget(.cancel(action: action)) }
        settle(.refused, judgement?.detail(at: agenda.now) ?? "", hint: "")
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard let question = open.removeValue(forKey: action) else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        switch (question, answer) {
        case (.checks, .checks(let found)):
            self.found = found
            decide(&agenda)
        case (.headChecks, .checks(let found)):
            head = found
            decide(&agenda)
        case (.pullRequests, .pullRequests(let list)): look(at: list, &agenda)
        case (.head, .commit(let head)): compare(head, &agenda)
        case (.pause, .woke): ask(&agenda)
        case (.head, .failed(let failure)): headUnknown(failure, &agenda)
        case (_, .failed(let failure)): unanswered(question, failure, &agenda)
        default: throw IllegalEvent(state: "asking \(question)", event: "\(answer)")
        }
    }

    // MARK: - Asking

    private mutating func ask(_ agenda: inout Agenda) {
        state = .asking
        (found, head) = (nil, nil)
        perform(.checks, .github(call: .checks(commit: commit.id, names: policy.names)), &agenda)
        if case .same(let pullRequest) = origin { askHead(pullRequest, &agenda) }
    }

    private mutating func askHead(_ pullRequest: PullRequest, _ agenda: inout Agenda) {
        perform(.headChecks, .github(call: .checks(commit: pullRequest.head, names: policy.names)), &agenda)
    }

    private mutating func perform(_ question: Question, _ effect: Effect, _ agenda: inout Agenda) {
        open[agenda.perform(effect)] = question
    }

    private var judgement: ChecksJudgement? {
        guard let found else { return nil }
        if case .same(let pullRequest) = origin, let head {
            return ChecksJudgement(policy, found: found, head: HeadChecks(pullRequest: pullRequest, checks: head))
        }
        return ChecksJudgement(policy, found: found)
    }

    // MARK: - The pull request's head

    private mutating func look(at list: [PullRequest], _ agenda: inout Agenda) {
        pullRequests = list
        let others = list.filter { $0.head != commit.id && $0.mergeCommit != nil }
        guard let pullRequest = others.first(where: { $0.mergeCommit == commit.id }) ?? others.first else {
            origin = .none(reason: "")
            decide(&agenda)
            return
        }
        origin = .same(pullRequest: pullRequest)  // as long as git does not say otherwise; nothing is judged before
        perform(.head, .git(query: .commit(revision: pullRequest.head.rawValue)), &agenda)
    }

    private mutating func compare(_ other: Commit, _ agenda: inout Agenda) {
        guard case .same(let pullRequest) = origin else { return }
        if other.tree == commit.tree, other.id == pullRequest.head {
            askHead(pullRequest, &agenda)
        } else {
            origin = .none(
                reason: "checks of pull request #\(pullRequest.number) don't count: its head "
                    + "\(pullRequest.head.short) has another tree than \(commit.id.short)")
            decide(&agenda)
        }
    }

    private mutating func headUnknown(_ failure: Failure, _ agenda: inout Agenda) {
        guard case .same(let pullRequest) = origin else { return }
        origin = .none(reason: "")
        let judged = judgement?.detail(at: agenda.now) ?? ""
        settle(
            .unanswered,
            "\(judged); whether the head of pull request #\(pullRequest.number) has the same tree went unanswered: "
                + failure.text,
            hint: "fetch it: git fetch origin pull/\(pullRequest.number)/head; or \(ChecksGate.override)")
    }

    // MARK: - Deciding

    private mutating func decide(_ agenda: inout Agenda) {
        guard open.isEmpty, let judgement else { return }
        if case .unknown = origin, !judgement.missing.isEmpty {
            perform(.pullRequests, .github(call: .pullRequests(commit: commit.id)), &agenda)
            return
        }
        let detail = judgement.detail(at: agenda.now)
        switch judgement.verdict {
        case .passed: settle(.passed, detail, hint: "")
        case .pending: pause(detail, judgement, &agenda)
        case .refused:
            var reason = ""
            if case .none(let text) = origin, !text.isEmpty, !judgement.missing.isEmpty { reason = "; " + text }
            settle(.refused, detail + reason, hint: hint(judgement))
        }
    }

    private mutating func pause(_ detail: String, _ judgement: ChecksJudgement, _ agenda: inout Agenda) {
        guard let deadline, agenda.now < deadline else {
            let waited = patience > .zero ? ", also after \(Int(patience.inSeconds)) s" : ""
            settle(
                .refused, detail + waited,
                hint: "when they have passed: airboss deploy \(pipeline); or wait longer with gates.wait_for_checks; "
                    + "or \(ChecksGate.override)")
            return
        }
        let names = judgement.standings.compactMap { entry in
            if case .pending = entry.standing { "“\(ChecksJudgement.shown(entry.name))”" } else { nil }
        }
        let text = names.prefix(ChecksJudgement.maxShown).joined(separator: ", ")
        if told != text {
            told = text
            agenda.note(.message(text: "waiting until \(deadline) for CI checks that are under way: \(text)"))
        }
        sleep(until: deadline, &agenda)
    }

    private mutating func sleep(until deadline: Timestamp, _ agenda: inout Agenda) {
        let step = min(ChecksGate.maxPause, ChecksGate.firstPause * (1 << min(pauses, 8)))
        pauses += 1
        state = .pausing
        perform(.pause, .wake(at: min(deadline, agenda.now + step)), &agenda)
    }

    /// At first it refuses; where checks were seen to be under way it asks again for as long as it would have waited.
    private mutating func unanswered(_ question: Question, _ failure: Failure, _ agenda: inout Agenda) {
        for action in open.keys.sorted() { agenda.performAndForget(.cancel(action: action)) }
        open = [:]
        let mayPass =
            failure.code == .unavailable || failure.code == .timedOut || failure.code == .rateLimited
        if mayPass, pauses > 0, let deadline, agenda.now < deadline {
            agenda.note(.warning(text: "CI checks could not be asked for, trying again: \(failure.text)"))
            sleep(until: deadline, &agenda)
            return
        }
        let asked =
            switch question {
            case .checks, .pause, .head: "which CI checks \(commit.id.short) has passed"
            case .pullRequests:
                (judgement.map { $0.detail(at: agenda.now) + "; " } ?? "")
                    + "which pull request brought \(commit.id.short)"
            case .headChecks: "which CI checks the head of the pull request has passed"
            }
        settle(
            .unanswered, "\(asked) went unanswered: \(failure.text)",
            hint: failure.hint + (failure.hint.isEmpty ? "" : " ") + "To go on all the same: \(ChecksGate.override)")
    }

    private mutating func settle(_ verdict: GateResult.Verdict, _ detail: String, hint: String) {
        open = [:]
        state = .settled(result: GateResult(.checks, verdict, detail, hint: hint))
    }

    /// How a person goes past this gate.
    static let override = "--skip checks --approved-by WHO"

    private func hint(_ judgement: ChecksJudgement) -> String {
        let mildly = judgement.standings.compactMap { entry in
            if case .rejected(let conclusion, _) = entry.standing, ["neutral", "skipped"].contains(conclusion) {
                conclusion
            } else {
                nil
            }
        }
        if let word = mildly.first {
            return "run it, or let “\(word)” count with gates.checks_accept; or \(ChecksGate.override)"
        }
        if !judgement.missing.isEmpty {
            return "correct the names in gates.checks, or let CI run for this commit; or \(ChecksGate.override)"
        }
        return "mend what failed, or run it again on GitHub; or \(ChecksGate.override)"
    }
}
