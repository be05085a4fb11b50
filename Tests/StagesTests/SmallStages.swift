// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages

extension WindowGate: TabledStage {
    static let table = TransitionTable(
        "WindowGate", states: ["waiting", "asking", "passed", "overridden", "refused", "stopped"],
        events: StageTable.events, opening: "begin",
        """
        waiting | begin | asking | window
        waiting+windowless | begin | passed
        waiting+rollback | begin | passed
        waiting | stop | stopped
        waiting | others | !
        asking | window | passed
        asking | window/fits | passed
        asking | window/closed, window/late, failed | refused
        asking+emergency | window/closed, window/late, failed | overridden
        asking+skipped | window/closed, window/late, failed | overridden
        asking | stop | stopped
        asking | others | !
        passed | stop | =
        passed | others | !
        overridden | stop | =
        overridden | others | !
        refused | stop | =
        refused | others | !
        stopped | stop | =
        stopped | others | !
        """)

    static func setUp(_ state: String) throws -> (WindowGate, awaited: ActionID) {
        let overrides: RunRequest.Overrides =
            switch state {
            case "asking+skipped": .init(approvedBy: "Grace", skippedGates: ["window"])
            case "asking+emergency", "overridden": .init(isEmergency: true, approvedBy: "Grace")
            default: .init()
            }
        var gate = WindowGate(Sample.request(overrides: overrides) { $0.hasWindow = true })
        var agenda = StageTable.agenda()
        if state == "waiting+windowless" { gate = WindowGate(Sample.request()) }
        if state == "waiting+rollback" { gate = WindowGate(Sample.request(.rollback) { $0.hasWindow = true }) }
        if state.hasPrefix("waiting") { return (gate, StageTable.stranger) }
        gate.begin(&agenda)
        let action = try StageTable.action("window", in: agenda)
        switch TransitionTable.base(state) {
        case "asking": return (gate, action)
        case "passed": try gate.handle(action, try StageTable.answer("window"), &agenda)
        case "overridden", "refused": try gate.handle(action, try StageTable.answer("window/closed"), &agenda)
        default: gate.stop()
        }
        return (gate, StageTable.stranger)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .asking: "asking"
        case .passed: "passed"
        case .overridden: "overridden"
        case .refused: "refused"
        case .stopped: "stopped"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer, &agenda)
    }
    mutating func halt(_ agenda: inout Agenda) throws { stop() }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws { begin(&agenda) }
}

extension Build: TabledStage {
    static let table = TransitionTable(
        "Build", states: ["waiting", "building", "built", "refused", "stopped"], events: StageTable.events,
        opening: "begin",
        """
        waiting | begin | building | resolve
        waiting+layers | begin | building | build
        waiting+nothing | begin | refused
        waiting | stop | stopped
        waiting | others | !
        building | image | built
        building | failed, failed/refused | refused
        building | stop | stopped | cancel
        building | others | !
        built | stop | =
        built | others | !
        refused | stop | =
        refused | others | !
        stopped | stop | =
        stopped | others | !
        """)

    static func setUp(_ state: String) throws -> (Build, awaited: ActionID) {
        var build = Build()
        var agenda = StageTable.agenda()
        if state.hasPrefix("waiting") { return (build, StageTable.stranger) }
        build.begin(.image(reference: "registry.fly.io/demo:next"), of: Sample.commit("c"), &agenda)
        let action = try StageTable.action("resolve", in: agenda)
        switch state {
        case "building": return (build, action)
        case "built": try build.handle(action, try StageTable.answer("image"))
        case "refused": try build.handle(action, try StageTable.answer("failed"))
        default: build.stop(&agenda)
        }
        return (build, StageTable.stranger)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .building: "building"
        case .built: "built"
        case .refused: "refused"
        case .stopped: "stopped"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer)
    }
    mutating func halt(_ agenda: inout Agenda) throws { stop(&agenda) }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws {
        let build: RunRequest.Build = variant.isEmpty ? .image(reference: "registry.fly.io/demo:next") : .layers
        begin(build, of: variant == "nothing" ? nil : Sample.commit("c"), &agenda)
    }
}

extension Notify: TabledStage {
    private static let report = RunReport(
        run: Sample.run, kind: .deploy, pipeline: "production", app: Sample.app, outcome: .verified, exitCode: 0,
        headline: "done", actor: "ada", reason: "because", startedAt: Sample.start, finishedAt: Sample.start)

    static let table = TransitionTable(
        "Notify", states: ["waiting", "sending", "done"], events: StageTable.events, opening: "begin",
        """
        waiting | begin | sending | notify-email
        waiting+nobody | begin | done
        waiting | stop | done
        waiting | others | !
        sending | done | done
        sending+two | done | =
        sending | failed | = | wake
        sending+third | failed | done
        sending | failed/refused | done
        sending+pausing | woke | = | notify-email
        sending+pausing | stop | done
        sending+pausing | others | !
        sending | stop | done
        sending | others | !
        sending+hurried | done, failed, failed/refused | done
        sending+hurried | stop | done
        sending+hurried | others | !
        sending+late | woke | done | cancel
        sending+late | stop | done
        sending+late | others | !
        done | stop | =
        done | others | !
        """)

    static func setUp(_ state: String) throws -> (Notify, awaited: ActionID) {
        var notify = Notify()
        if state.hasPrefix("waiting") { return (notify, StageTable.stranger) }
        var agenda = StageTable.agenda()
        let isHurried = state == "sending+hurried" || state == "sending+late"
        notify.begin(
            report, over: state == "sending+two" ? [.email, .slack] : [.email], isHurried: isHurried, &agenda)
        if state == "sending+late" { return (notify, try StageTable.action("wake", in: agenda)) }
        var action = try StageTable.action("notify-email", in: agenda)
        let failures = ["sending+pausing": 1, "sending+third": 2][state] ?? 0
        for number in 0..<failures {
            var next = Agenda(now: Sample.start, nextAction: 100 + number * 10)
            try notify.handle(action, Answer.sample("failed"), &next)
            action = try StageTable.action("wake", in: next)
            if state == "sending+pausing" { break }
            var again = Agenda(now: Sample.start, nextAction: 200 + number * 10)
            try notify.handle(action, .woke, &again)
            action = try StageTable.action("notify-email", in: again)
        }
        if state == "done" {
            try notify.handle(action, .done, &agenda)
            return (notify, StageTable.stranger)
        }
        return (notify, action)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .sending: "sending"
        case .done: "done"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer, &agenda)
    }
    mutating func halt(_ agenda: inout Agenda) throws { stop() }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws {
        begin(Notify.report, over: variant == "nobody" ? [] : [.email], &agenda)
    }
}
