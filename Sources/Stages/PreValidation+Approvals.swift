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
            if routes.isEmpty, areElsewhereSettled,
                gates.values.contains(where: { $0.verdict == .refused || $0.verdict == .unanswered })
            {
                search?.giveUp(&agenda)
            }
        }
        switch search?.state {
        case .found where search?.hasWaited == true:
            askEverythingAgain(&agenda)
            return false
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

    mutating func askEverythingAgain(_ agenda: inout Agenda) {
        agenda.note(.message(text: "approved: asking the other gates again, for time has passed"))
        for action in routes.keys.sorted() { agenda.performAndForget(.cancel(action: action)) }
        checks?.abandon(&agenda)
        search?.askAgain()
        pinned = facts.commit?.id
        (routes, gates, checks, elsewhere, facts) = ([:], [:], nil, [], Facts())
        begin(&agenda)
    }
}
