// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages

extension ChecksGate: TabledStage {
    static let table = TransitionTable(
        "ChecksGate", states: ["waiting", "asking", "pausing", "settled", "stopped"], events: StageTable.events,
        opening: "begin",
        """
        waiting | begin | asking | checks
        waiting | stop | stopped
        waiting | others | !
        asking+checks | checks, checks/bad | settled
        asking+checks | checks/pending | pausing | wake
        asking+checks | checks/none | = | pullRequests
        asking+checks | failed, failed/unauthorized, failed/forbidden | settled
        asking+checks | stop | stopped
        asking+checks | others | !
        asking+skipped | checks, checks/bad, checks/pending | settled
        asking+skipped | checks/none | = | pullRequests
        asking+skipped | failed | settled
        asking+skipped | stop | stopped
        asking+skipped | others | !
        asking+again | checks, checks/bad | settled
        asking+again | checks/pending | pausing | wake
        asking+again | checks/none | = | pullRequests
        asking+again | failed | pausing | wake
        asking+again | failed/forbidden | settled
        asking+again | stop | stopped
        asking+again | others | !
        asking+pulls | pullRequests | settled
        asking+pulls | pullRequests/merged | = | commit
        asking+pulls | failed | settled
        asking+pulls | stop | stopped
        asking+pulls | others | !
        asking+head | commit/same | = | checks
        asking+head | commit/other | settled
        asking+head | failed | settled
        asking+head | stop | stopped
        asking+head | others | !
        asking+headChecks | checks, checks/bad, checks/none | settled
        asking+headChecks | checks/pending | pausing | wake
        asking+headChecks | failed | settled
        asking+headChecks | stop | stopped
        asking+headChecks | others | !
        pausing | woke | asking | checks
        pausing | failed | = | wake
        pausing | stop | stopped
        pausing | others | !
        pausing+head | woke | asking | checks checks
        pausing+head | failed | = | wake
        pausing+head | stop | stopped
        pausing+head | others | !
        settled | stop | =
        settled | others | !
        stopped | stop | =
        stopped | others | !
        """)

    static func setUp(_ state: String) throws -> (ChecksGate, awaited: ActionID) {
        var gate = ChecksGate(
            ChecksPolicy(names: ["Tests"]), of: Sample.commit("c"), pipeline: "production",
            isSkipped: state == "asking+skipped")
        if state == "waiting" { return (gate, StageTable.stranger) }
        var next = 1
        func give(_ event: String, to action: ActionID) throws -> ActionID {
            var agenda = Agenda(now: Sample.start, nextAction: next)
            try gate.handle(action, try StageTable.answer(event), &agenda)
            next = agenda.nextAction
            return agenda.actions.first?.id ?? StageTable.stranger
        }
        var agenda = Agenda(now: Sample.start, nextAction: next)
        gate.begin(&agenda)
        next = agenda.nextAction
        var action = try StageTable.action("checks", in: agenda)
        let story: [String] =
            switch state {
            case "asking+again": ["checks/pending", "woke"]
            case "asking+pulls": ["checks/none"]
            case "asking+head": ["checks/none", "pullRequests/merged"]
            case "asking+headChecks": ["checks/none", "pullRequests/merged", "commit/same"]
            case "pausing": ["checks/pending"]
            case "pausing+head": ["checks/none", "pullRequests/merged", "commit/same", "checks/pending"]
            case "settled": ["checks"]
            default: []
            }
        for event in story { action = try give(event, to: action) }
        if state == "stopped" {
            gate.stop()
            action = StageTable.stranger
        }
        return (gate, action)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .asking: "asking"
        case .pausing: "pausing"
        case .settled: "settled"
        case .stopped: "stopped"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer, &agenda)
    }
    mutating func halt(_ agenda: inout Agenda) throws { stop() }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws { begin(&agenda) }
}
