// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Verification

extension HealthVerify: TabledStage {
    static let table = TransitionTable(
        "HealthVerify",
        states: ["waiting", "probing", "inspecting", "smoking", "soaking", "healthy", "unhealthy", "stopped"],
        events: StageTable.events, opening: "begin",
        """
        waiting | begin | probing | probe
        waiting+addressless | begin | inspecting | observe
        waiting | stop | stopped
        waiting | others | !
        probing | probe, probe/bad | = | wake
        probing | probe/missing | = | probe
        probing+almost | probe | inspecting | observe
        probing+late | probe/bad, probe/missing | unhealthy
        probing | stop | stopped
        probing | others | !
        probing+pausing | woke | = | probe
        probing+pausing | stop | stopped
        probing+pausing | others | !
        inspecting | observations | smoking | probe
        inspecting | observations/sick, observations/crashed, failed | = | wake
        inspecting+last | observations/sick, failed | unhealthy
        inspecting | stop | stopped
        inspecting | others | !
        inspecting+pausing | woke | = | observe
        inspecting+pausing | stop | stopped
        inspecting+pausing | others | !
        smoking | probe | soaking | wake
        smoking | probe/bad | = | wake
        smoking+last | probe/bad | unhealthy
        smoking+last | probe | soaking | wake
        smoking+unsoaked | probe | healthy
        smoking | stop | stopped
        smoking | others | !
        smoking+pausing | woke | = | probe
        smoking+pausing | stop | stopped
        smoking+pausing | others | !
        soaking | woke | = | probe
        soaking | stop | stopped
        soaking | others | !
        soaking+probing | probe, probe/bad | = | observe
        soaking+probing | others | !
        soaking+probing | stop | stopped
        soaking+inspecting | observations, observations/sick, failed | = | wake
        soaking+inspecting | observations/crashed | unhealthy
        soaking+inspecting | stop | stopped
        soaking+inspecting | others | !
        soaking+bad | probe/bad | unhealthy
        soaking+over | observations, failed | healthy
        healthy | stop | =
        healthy | others | !
        unhealthy | stop | =
        unhealthy | others | !
        stopped | stop | =
        stopped | others | !
        """)

    static let tabledPlan = VerifyPlan(
        health: Sample.health,
        fallback: HealthProbe(
            name: "/", url: "https://demo.fly.dev/", timeout: .seconds(5), criteria: HealthCriteria()), attempts: 4,
        interval: .seconds(2), consecutive: 2,
        smoke: [
            HealthProbe(
                name: "/login", url: "https://demo.fly.dev/login", timeout: .seconds(5), criteria: HealthCriteria())
        ], soak: .seconds(10))

    static func setUp(_ state: String) throws -> (HealthVerify, awaited: ActionID) {
        let good = "probe"
        let bad = "probe/bad"
        let inspecting = [good, "woke", good]
        let smoking = inspecting + ["observations"]
        let soaking = smoking + [good]
        let answers: [String: [String]] = [
            "probing": [], "probing+pausing": [good], "probing+almost": [good, "woke"],
            "probing+late": [bad, "woke", bad, "woke"], "inspecting": inspecting,
            "inspecting+pausing": inspecting + ["failed"],
            "inspecting+last": inspecting + ["failed", "woke", "failed", "woke", "failed", "woke"], "smoking": smoking,
            "smoking+pausing": smoking + [bad], "smoking+unsoaked": smoking,
            "smoking+last": smoking + [bad, "woke", bad, "woke"], "soaking": soaking,
            "soaking+probing": soaking + ["woke"], "soaking+inspecting": soaking + ["woke", good],
            "soaking+bad": soaking + ["woke", bad, "observations", "woke"], "soaking+over": soaking + ["woke", good],
            "healthy": soaking + ["woke", good, "observations"], "unhealthy": [bad, "woke", bad, "woke", bad],
        ]
        var plan = tabledPlan
        if state == "smoking+unsoaked" || state == "healthy" { plan.soak = .zero }
        // A soak that is over by the time of the next event.
        if state == "soaking+over" { plan.soak = .milliseconds(900) }
        if state == "waiting+addressless" { plan.health = nil }
        var verify = HealthVerify(plan, expected: ["m1": 1, "m2": 1, "m3": 1])
        if state.hasPrefix("waiting") { return (verify, StageTable.stranger) }
        var agenda = StageTable.agenda()
        verify.begin(&agenda)
        if state == "stopped" { verify.stop() }
        var action = agenda.actions[0].id
        for (index, name) in (answers[state] ?? []).enumerated() where !verify.isDecided {
            var agenda = Agenda(now: Sample.start, nextAction: 10 + index * 5)
            try verify.handle(action, try StageTable.answer(name), &agenda)
            action = agenda.actions.last?.id ?? StageTable.stranger
        }
        return (verify, verify.isDecided ? StageTable.stranger : action)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .probing: "probing"
        case .inspecting: "inspecting"
        case .smoking: "smoking"
        case .soaking: "soaking"
        case .healthy: "healthy"
        case .unhealthy: "unhealthy"
        case .stopped: "stopped"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer, &agenda)
    }
    mutating func halt(_ agenda: inout Agenda) throws { stop() }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws { begin(&agenda) }
}

extension Rollback: TabledStage {
    static let table = TransitionTable(
        "Rollback",
        states: [
            "waiting", "looking", "confirming", "pausing", "restoring", "removing", "verifying", "diagnosing",
            "restored", "failed",
            "stopped",
        ], events: StageTable.events, opening: "begin",
        """
        waiting | begin | looking | machines
        waiting | stop | stopped
        waiting | others | !
        looking | machines/new | restoring | acquireLease acquireLease wake
        looking | machines/mixed | restoring | acquireLease wake
        looking+suspect | machines | confirming | machine
        confirming | machine | verifying | probe
        confirming | failed | pausing | wake
        confirming | stop | stopped
        confirming | others | !
        looking | machines/surplus | removing | acquireLease
        looking | machines | verifying | probe
        looking | failed | pausing | wake
        looking+last | failed | failed
        looking | stop | stopped
        looking | others | !
        pausing | woke | looking | machines
        pausing | stop | stopped
        pausing | others | !
        restoring | lease | = | wake update
        restoring | failed | = | wake
        restoring | failed/forbidden | diagnosing | machines
        restoring | stop | =
        restoring | others | !
        removing | lease | = | machine
        removing | failed | = | wake
        removing | failed/forbidden | diagnosing | machines
        removing | stop | =
        removing | others | !
        verifying | probe | = | wake
        verifying | probe/bad | diagnosing | machines
        verifying | stop | stopped
        verifying | others | !
        diagnosing | machines, failed | failed
        diagnosing | stop | stopped
        diagnosing | others | !
        restored | stop | =
        restored | others | !
        failed | stop | =
        failed | others | !
        stopped | stop | =
        stopped | others | !
        """)

    static func setUp(_ state: String) throws -> (Rollback, awaited: ActionID) {
        let plan = VerifyPlan(health: Sample.health, attempts: 2, interval: .seconds(2), consecutive: 2)
        let request = Sample.request { $0.verify = plan }
        var rollback = Rollback(
            request, to: Sample.release(71), before: [],
            suspects: state == "confirming" || state.hasSuffix("+suspect") ? ["m1"] : [])
        if state == "waiting" { return (rollback, StageTable.stranger) }
        var agenda = StageTable.agenda()
        rollback.begin(&agenda)
        if state == "stopped" {
            try rollback.stop(&agenda)
            return (rollback, StageTable.stranger)
        }
        let answers: [String: [String]] = [
            "looking": [], "confirming": ["machines"], "pausing": ["failed"], "restoring": ["machines/mixed"],
            "removing": ["machines/surplus"],
            "verifying": ["machines"],
            "looking+last": ["failed", "woke", "failed", "woke", "failed", "woke", "failed", "woke"],
            "diagnosing": ["machines/mixed", "failed/forbidden"],
            "failed": ["machines/mixed", "failed/forbidden", "machines/mixed"],
            "restored": ["machines", "probe", "woke", "probe", "observations"],
        ]
        var action = agenda.actions[0].id
        for (index, name) in (answers[state] ?? []).enumerated() {
            var agenda = Agenda(now: Sample.start, nextAction: 10 + index * 10)
            try rollback.handle(action, try StageTable.answer(name), &agenda)
            action = agenda.actions.first?.id ?? StageTable.stranger
        }
        return (rollback, action)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .looking: "looking"
        case .confirming: "confirming"
        case .pausing: "pausing"
        case .restoring: "restoring"
        case .removing: "removing"
        case .verifying: "verifying"
        case .diagnosing: "diagnosing"
        case .restored: "restored"
        case .failed: "failed"
        case .stopped: "stopped"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer, &agenda)
    }
    mutating func halt(_ agenda: inout Agenda) throws { try stop(&agenda) }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws { begin(&agenda) }
}
