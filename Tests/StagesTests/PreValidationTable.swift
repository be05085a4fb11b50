// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages

extension PreValidation: TabledStage {
    /// `asking+x` waits for the answer to x, with everything else still open; `asking+only` for the last answer.
    static let table = TransitionTable(
        "PreValidation", states: ["waiting", "asking", "passed", "refused", "stopped"], events: StageTable.events,
        opening: "begin",
        """
        waiting | begin | asking | app history commit clean releases secretNames probe probe machines
        waiting+rollback | begin | asking | app history machines
        waiting | stop | stopped
        waiting | others | !
        asking+app | app, failed, failed/unauthorized | =
        asking+app | stop | stopped
        asking+app | others | !
        asking+history | history, failed | =
        asking+history | stop | stopped
        asking+history | others | !
        asking+machines | machines, failed | =
        asking+machines | stop | stopped
        asking+machines | others | !
        asking+releases | platformReleases, failed | =
        asking+releases | stop | stopped
        asking+releases | others | !
        asking+secretNames | names, failed | =
        asking+secretNames | stop | stopped
        asking+secretNames | others | !
        asking+commit | commit | = | branch
        asking+commit | failed | =
        asking+commit | stop | stopped
        asking+commit | others | !
        asking+ci | commit | = | branch checks
        asking+ci | failed | =
        asking+ci | stop | stopped
        asking+ci | others | !
        asking+checks | checks | passed
        asking+checks | failed | refused
        asking+checks | stop | stopped
        asking+checks | others | !
        asking+branch | onBranch, failed | =
        asking+branch | stop | stopped
        asking+branch | others | !
        asking+clean | dirtyPaths, failed | =
        asking+clean | stop | stopped
        asking+clean | others | !
        asking+changes | changes, failed | passed
        asking+changes | stop | stopped
        asking+changes | others | !
        asking+provePullable | image, failed | =
        asking+provePullable | stop | stopped
        asking+provePullable | others | !
        asking+probe | probe, probe/bad, failed | =
        asking+probe | stop | stopped
        asking+probe | others | !
        asking+baseline | probe | = | provePullable
        asking+baseline | probe/bad | = | lease
        asking+baseline | failed | refused
        asking+baseline | stop | stopped
        asking+baseline | others | !
        asking+holder | leaseHolder, failed | refused
        asking+holder | leaseHolder/other | passed
        asking+holder | stop | stopped
        asking+holder | others | !
        asking+only | dirtyPaths | passed
        asking+only | failed | refused
        asking+only | stop | stopped
        asking+only | others | !
        passed | stop | =
        passed | others | !
        refused | stop | =
        refused | others | !
        stopped | stop | =
        stopped | others | !
        """)

    static func setUp(_ state: String) throws -> (PreValidation, awaited: ActionID) {
        let request = Sample.request(state == "waiting+rollback" ? .rollback : .deploy) { settings in
            settings.requiresCleanWorktree = true
            settings.branch = "main"
            settings.requiredSecrets = ["DATABASE_URL"]
            if state == "asking+checks" || state == "asking+ci" { settings.checks = ChecksPolicy(names: ["Tests"]) }
            settings.healthyElsewhere = ["asking+baseline", "asking+holder"].contains(state) ? [] : [Sample.health]
        }
        var stage = PreValidation(request)
        if state.hasPrefix("waiting") { return (stage, StageTable.stranger) }
        var agenda = StageTable.agenda()
        stage.begin(&agenda)
        if state == "stopped" {
            stage.stop()
            return (stage, StageTable.stranger)
        }
        let asked = String(state.drop { $0 != "+" }.dropFirst())
        if asked == "ci" { return (stage, try StageTable.action("commit", in: agenda)) }
        if !["branch", "changes", "provePullable", "baseline", "holder", "only", "checks", ""].contains(asked) {
            return (stage, try StageTable.action(asked, in: agenda))
        }
        // Answers everything but what is to be left open, until nothing else is asked.
        let history: Answer =
            ["baseline", "holder"].contains(asked) ? Answer.sample("history") : .history(history: Sample.history())
        let answers: [String: Answer] = [
            "app": Answer.sample("app"), "history": history, "machines": Answer.sample("machines"),
            "releases": Answer.sample("platformReleases"), "secretNames": Answer.sample("names"),
            "commit": Answer.sample("commit"), "branch": Answer.sample("onBranch"),
            "clean": state == "refused" ? .dirtyPaths(paths: ["a"]) : Answer.sample("dirtyPaths"),
            "changes": Answer.sample("changes"), "provePullable": Answer.sample("image"),
            "probe": Answer.sample("probe"),
        ]
        let leftOpen = ["only": "clean", "baseline": "probe", "holder": "lease"][asked] ?? asked
        var open = agenda.actions
        var found: ActionID?
        var next = 100
        while let action = open.first {
            open.removeFirst()
            // The first probes ask for the health URL and elsewhere; the baseline is asked for later.
            let isFirst = agenda.actions.contains { $0.id == action.id }
            if action.effect.name == leftOpen, !(asked == "baseline" && isFirst) {
                found = action.id
                continue
            }
            // What runs is not healthy: is somebody at work on it?
            let isBad = asked == "holder" && action.effect.name == "probe" && !isFirst
            let bad = isBad ? Answer.probe(result: ProbeResult(status: 503, elapsed: .zero)) : nil
            guard let answer = bad ?? answers[action.effect.name] else {
                throw StageTable.UnknownName(name: action.effect.name)
            }
            var agenda = Agenda(now: Sample.start, nextAction: next)
            // What follows from an answer is left open with everything else once it is found.
            if found != nil, !["only", "baseline", "holder", "checks"].contains(asked) { break }
            try stage.handle(action.id, answer, &agenda)
            next = agenda.nextAction
            open += agenda.actions
        }
        return (stage, found ?? StageTable.stranger)
    }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .asking: "asking"
        case .passed: "passed"
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
