// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Whose approvals a deploy needs, and what is asked anew once people were waited for.
extension PreValidation {
    mutating func searchForApprovals(of commit: Commit, _ agenda: inout Agenda) {
        guard let rule = request.settings.approvals, request.kind == .deploy || request.kind == .promote else { return }
        let isSkipped = request.overrides.skippedGates.contains(GateName.approvals.rawValue)
        var found = search ?? ApprovalSearch(rule, for: request, isSkipped: isSkipped)
        found.begin(commit, &agenda)
        search = found
    }

    /// Whether the search for approvals has said its last word. Nobody waits for people where the run is refused
    /// anyway; and what was asked before people were waited for is asked again.
    mutating func haveApprovalsSettled(_ agenda: inout Agenda) -> Bool {
        guard search != nil, gates[.approvals] == nil else { return true }
        if checks?.isAsking != true { search?.askGitHub(knowing: checks?.pullRequests, &agenda) }
        if search?.state == .pausing {
            askForWindow(&agenda)
            if isHolding || routes.isEmpty && areElsewhereSettled && isRefusedAnyway { search?.giveUp(&agenda) }
        }
        switch search?.state {
        case .found where search?.hasWaited == true:
            askEverythingAgain(because: "approved: asking the other gates again, for time has passed", &agenda)
            return false
        case .found(let approvals)
        where !spent.isEmpty && spent.isSuperset(of: approvals.compactMap(\.approval?.nonce)):
            approved(approvals, &agenda)
            return true
        case .found(let approvals):
            let isSpending = routes.values.contains { if case .spending = $0 { true } else { false } }
            if !isSpending {
                ask(
                    .spending(approvals: approvals),
                    .approvals(query: .spend(approvals: approvals.compactMap(\.approval))), &agenda)
            }
            return true
        case .settled(let result):
            set(.approvals, result.verdict, result.detail, hint: result.hint, &agenda)
            return true
        case .waiting, .signatures, .holding, .github, .checking, .pausing, .stopped, nil: return false
        }
    }

    /// Nobody is to wait for people only to hear that the window is closed.
    mutating func askForWindow(_ agenda: inout Agenda) {
        guard !hasAskedWindow else { return }
        hasAskedWindow = true
        if request.settings.hasWindow { ask(.window, .window, &agenda) }
    }

    mutating func judgeWindow(_ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        switch WindowGate.verdict(on: answer, from: .window, request.overrides, at: agenda.now) {
        case .open, .overridden: break  // the window's own stage says so, once people have approved
        case .refused(let refusal):
            opening = refusal.opening
            set(.window, .refused, refusal.reason, hint: refusal.hints.joined(separator: "; "), &agenda)
        case nil: throw IllegalEvent(state: "asking for the window", event: "\(answer)")
        }
    }

    mutating func approved(_ approvals: [FoundApproval], _ agenda: inout Agenda) {
        facts.approvals = approvals.compactMap(CountedApproval.init)
        let who = facts.approvals.map { "\($0.approver) (\($0.source))" }.joined(separator: ", ")
        set(.approvals, .passed, "approved by \(who)", &agenda)
    }

    /// After a wait, for people or for the app: nothing that was said before it counts any more but the commit.
    ///
    /// - Parameter keepsWorktree: whether what was said of the work tree stands.
    mutating func askEverythingAgain(
        because reason: String, keepsWorktree: Bool = false, _ agenda: inout Agenda
    ) {
        agenda.note(.message(text: reason))
        for action in routes.keys.sorted() { agenda.performAndForget(.cancel(action: action)) }
        checks?.abandon(&agenda)
        search?.askAgain()
        pinned = facts.commit?.id ?? pinned
        gates = gates.filter { keepsWorktree && $0.key == .cleanWorktree }
        (routes, checks, elsewhere, facts) = ([:], nil, [], Facts())
        (versions, hasAskedPast) = ([:], false)
        formerHolder = contention ?? formerHolder
        (withheld, contention, undone, opening) = ([:], nil, [], nil)
        begin(&agenda)
    }
}
