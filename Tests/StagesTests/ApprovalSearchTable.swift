// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages

extension ApprovalSearch: TabledStage {
    /// `+signed` knows signatures only; `+patient` may wait.
    static let table = TransitionTable(
        "ApprovalSearch",
        states: [
            "waiting", "signatures", "holding", "github", "checking", "pausing", "found", "settled", "stopped",
        ], events: StageTable.events, opening: "begin",
        """
        waiting | begin | signatures | approvals
        waiting | stop | stopped
        waiting | others | !
        signatures | approvals | holding
        signatures | approvals/good | found
        signatures | failed, failed/refused | settled
        signatures | stop | stopped
        signatures | others | !
        signatures+signed | approvals | settled
        signatures+signed | approvals/good | found
        signatures+signed | failed | settled
        signatures+signed | stop | stopped
        signatures+signed | others | !
        signatures+patient | approvals | holding
        signatures+patient | approvals/good | found
        signatures+patient | failed | pausing | wake
        signatures+patient | stop | stopped
        signatures+patient | others | !
        holding | stop | stopped
        holding | others | !
        github+pulls | pullRequests | =
        github+pulls | pullRequests/merged | = | reviews
        github+pulls | failed | =
        github+pulls | stop | stopped
        github+pulls | others | !
        github+run | workflowRun | =
        github+run | failed | =
        github+run | stop | stopped
        github+run | others | !
        github+reviews | reviews | settled
        github+reviews | reviews/good | checking | approvalCheck
        github+reviews | failed | settled
        github+reviews | stop | stopped
        github+reviews | others | !
        checking | approvalCheck | found
        checking | approvalCheck/spent | settled
        checking | failed | settled
        checking | stop | stopped
        checking | others | !
        pausing | woke, failed | signatures | approvals
        pausing | stop | stopped
        pausing | others | !
        found | stop | stopped
        found | others | !
        settled | stop | =
        settled | others | !
        stopped | stop | =
        stopped | others | !
        """)

    static func rule(_ variant: String) -> ApprovalRule {
        ApprovalRule(
            needed: 1, kinds: variant == "signed" ? [.ssh] : [.ssh, .review, .environment],
            environments: ["production"], workflowRun: "77",
            patience: variant == "patient" ? .seconds(600) : .zero)
    }

    static func setUp(_ state: String) throws -> (ApprovalSearch, awaited: ActionID) {
        let base = TransitionTable.base(state)
        let variant = state.contains("+") ? String(state.drop { $0 != "+" }.dropFirst()) : ""
        var search = ApprovalSearch(
            rule(base == "pausing" ? "patient" : variant), for: Sample.request(), isSkipped: false)
        if state == "waiting" { return (search, StageTable.stranger) }
        var next = 1
        func agenda() -> Agenda { Agenda(now: Sample.start, nextAction: next) }
        var asked: [String: ActionID] = [:]
        func note(_ agenda: Agenda) {
            next = agenda.nextAction
            for action in agenda.actions { asked[action.effect.name] = action.id }
        }
        func give(_ event: String, to name: String) throws {
            var now = agenda()
            try search.handle(asked[name] ?? StageTable.stranger, try StageTable.answer(event), &now)
            note(now)
        }
        var now = agenda()
        search.begin(Sample.commit("c"), &now)
        note(now)
        if base == "signatures" { return (search, asked["approvals"] ?? StageTable.stranger) }
        if base == "stopped" {
            search.stop()
            return (search, StageTable.stranger)
        }
        if base == "pausing" {
            try give("failed", to: "approvals")
            return (search, asked["wake"] ?? StageTable.stranger)
        }
        if base == "found" {
            try give("approvals/good", to: "approvals")
            return (search, StageTable.stranger)
        }
        if base == "settled" {
            try give("failed", to: "approvals")
            return (search, StageTable.stranger)
        }
        try give("approvals", to: "approvals")
        if base == "holding" { return (search, StageTable.stranger) }
        now = agenda()
        search.askGitHub(knowing: nil, &now)
        note(now)
        if variant == "pulls" { return (search, asked["pullRequests"] ?? StageTable.stranger) }
        if variant == "run" { return (search, asked["workflowRun"] ?? StageTable.stranger) }
        try give("workflowRun", to: "workflowRun")
        try give("pullRequests/merged", to: "pullRequests")
        if variant == "reviews" { return (search, asked["reviews"] ?? StageTable.stranger) }
        try give("reviews/good", to: "reviews")
        return (search, asked["approvalCheck"] ?? StageTable.stranger)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .signatures: "signatures"
        case .holding: "holding"
        case .github: "github"
        case .checking: "checking"
        case .pausing: "pausing"
        case .found: "found"
        case .settled: "settled"
        case .stopped: "stopped"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer, &agenda)
    }
    mutating func halt(_ agenda: inout Agenda) throws { stop() }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws { begin(Sample.commit("c"), &agenda) }
}
