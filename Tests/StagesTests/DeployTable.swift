// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages

extension Deploy: TabledStage {
    static let table = TransitionTable(
        "Deploy",
        states: [
            "waiting", "rechecking", "looking", "surveying", "numbering", "seeking", "pausing", "recording", "rolling",
            "completing", "deployed", "failed", "refused", "stopped",
        ], events: StageTable.events, opening: "begin",
        """
        waiting | begin | rechecking | window
        waiting+windowless | begin | looking | machines
        waiting | stop | stopped
        waiting | others | !
        rechecking | window | looking | machines
        rechecking | window/fits | looking | machines
        rechecking+emergency | window/closed, window/late, failed | looking | machines
        rechecking | window/closed, window/late, failed | refused
        rechecking | stop | stopped
        rechecking | others | !
        looking | machines | numbering | createRelease
        looking+first | machines/empty | numbering | createRelease
        looking+waited | machines | surveying | releases
        looking | machines/empty, failed | refused
        looking | stop | stopped
        looking | others | !
        surveying | platformReleases/open, platformReleases, failed | numbering | createRelease
        surveying | stop | stopped
        surveying | others | !
        numbering | platformRelease | recording | record
        numbering | failed | refused
        numbering | failed/ambiguous | seeking | releases
        numbering+stopping | platformRelease, failed | stopped
        numbering | stop | =
        numbering | others | !
        seeking | platformReleases/open | recording | record
        seeking | platformReleases | refused
        seeking | failed | pausing | wake
        seeking+last | failed | refused
        seeking+stopping | platformReleases/open, platformReleases, failed | stopped
        seeking+withdrawn | failed | pausing | wake
        seeking+withdrawn | platformReleases/open, platformReleases | stopped
        seeking | stop | =
        seeking | others | !
        pausing | woke | seeking | releases
        pausing | stop | stopped
        pausing | others | !
        recording | done | rolling | acquireLease update wake
        recording+equal | done | completing | record
        recording | failed | refused
        recording+stopping | done, failed | stopped
        recording | stop | =
        recording | others | !
        rolling | lease | = | wake
        rolling | failed | = | wake
        rolling | failed/forbidden | =
        rolling+only | failed/forbidden | failed
        rolling | stop | =
        rolling+only | stop | =
        rolling | others | !
        rolling+last | done | completing | record
        completing | done | deployed
        completing | failed | failed
        completing | stop | stopped
        completing | others | !
        deployed | stop | =
        deployed | others | !
        failed | stop | =
        failed | others | !
        refused | stop | =
        refused | others | !
        stopped | stop | =
        stopped | others | !
        """)

    /// The states in the order in which a good deploy passes them, each with the answer that leads on.
    private static let path: [(state: String, awaits: String, answer: String)] = [
        ("rechecking", "window", "window"), ("looking", "machines", "machines"),
        ("numbering", "createRelease", "platformRelease"), ("recording", "record", "done"),
    ]

    /// The lease of m1 that the run holds, by the name that the sample platform gives its first lease.
    private static let held: [MachineID: LeaseNonce] = ["m1": "nonce-1"]

    static func setUp(_ state: String) throws -> (Deploy, awaited: ActionID) {
        let base = TransitionTable.base(state)
        let overrides = RunRequest.Overrides(isEmergency: state == "rechecking+emergency", approvedBy: "Grace")
        let request = Sample.request(overrides: overrides) { $0.hasWindow = state != "waiting+windowless" }
        var deploy = Deploy(
            request, commit: Sample.commit("c"), image: Sample.image(Sample.newDigest),
            hasNoMachinesYet: state == "looking+first", leases: held,
            hasWaited: base == "surveying" || state == "looking+waited")
        var agenda = StageTable.agenda()
        if state.hasPrefix("waiting") { return (deploy, StageTable.stranger) }
        deploy.begin(&agenda)
        var action = try StageTable.action("window", in: agenda)
        if base == "refused" {
            try deploy.handle(action, try StageTable.answer("failed"), &agenda)
            return (deploy, StageTable.stranger)
        }
        if base == "stopped" {
            try deploy.stop(&agenda)
            return (deploy, StageTable.stranger)
        }
        var next = agenda.nextAction
        var last: [Action] = []
        for (index, step) in path.enumerated() {
            if ["seeking", "pausing"].contains(base), step.state == "numbering" {
                var agenda = Agenda(now: Sample.start, nextAction: next)
                try deploy.handle(action, try StageTable.answer("failed/ambiguous"), &agenda)
                if state.hasSuffix("+stopping") { try deploy.stop(&agenda) }
                if state.hasSuffix("+withdrawn") {
                    agenda = Agenda(now: Sample.start, nextAction: agenda.nextAction)
                    deploy.withdraw(&agenda)
                }
                let failures = base == "pausing" ? 1 : state == "seeking+last" ? Deploy.maxLooks - 1 : 0
                for count in 0..<failures {
                    let look = try StageTable.action("releases", in: agenda)
                    agenda = Agenda(now: Sample.start, nextAction: agenda.nextAction)
                    try deploy.handle(look, try StageTable.answer("failed"), &agenda)
                    let pause = try StageTable.action("wake", in: agenda)
                    if base == "pausing", count == failures - 1 { return (deploy, pause) }
                    agenda = Agenda(now: Sample.start, nextAction: agenda.nextAction)
                    try deploy.handle(pause, .woke, &agenda)
                }
                return (deploy, try StageTable.action("releases", in: agenda))
            }
            if step.state == base {
                if state.hasSuffix("+stopping") { try deploy.stop(&agenda) }
                return (deploy, action)
            }
            var agenda = Agenda(now: Sample.start, nextAction: next)
            var answer = try StageTable.answer(step.answer)
            if step.state == "looking" {
                if state == "recording+equal" {
                    answer = .machines(list: (1...3).map { Sample.machine($0, digest: Sample.newDigest) })
                }
                if state == "rolling+only" { answer = .machines(list: [Sample.machine(1)]) }
            }
            try deploy.handle(action, answer, &agenda)
            next = agenda.nextAction
            last = agenda.actions
            if base == "surveying", step.state == "looking" {
                return (deploy, try StageTable.action("releases", in: agenda))
            }
            let begun = state == "rolling+only" ? "update" : "acquireLease"
            let awaited = index + 1 < path.count ? path[index + 1].awaits : begun
            if awaited == "acquireLease", base != "rolling" || state == "rolling+last" { break }
            action = try StageTable.action(awaited, in: agenda)
        }
        if base == "rolling", state != "rolling+last" { return (deploy, action) }
        if let last = try finish(&deploy, state, last, next) { return (deploy, last) }
        return (deploy, deploy.isOver ? StageTable.stranger : try awaited(by: deploy))
    }

    /// Lets the rollout end, and goes on from there; for `rolling+last` it stops at the call that ends the rollout.
    private static func finish(_ deploy: inout Deploy, _ state: String, _ begun: [Action], _ nextAction: Int) throws
        -> ActionID?
    {
        var fly = SimulatedFly(Sample.fleet(3))
        _ = fly.answer(.acquireLease(machine: "m1", seconds: 3600))
        var now = Sample.start
        var open = begun.map(\.id)
        var calls = Dictionary(uniqueKeysWithValues: begun.map { ($0.id, $0.effect) })
        var next = nextAction
        while case .rolling = deploy.state {
            guard let id = open.first(where: { deploy.awaits($0) }) else { throw StageTable.UnknownName(name: state) }
            open.removeAll { $0 == id }
            now = now + .milliseconds(200)
            fly.advance(to: now)
            var answer = Answer.woke
            if case .platform(let call) = calls[id] { answer = fly.answer(call) ?? .waitTimedOut }
            var agenda = Agenda(now: now, nextAction: next)
            try deploy.handle(id, answer, &agenda)
            next = agenda.nextAction
            for action in agenda.actions {
                calls[action.id] = action.effect
                open.append(action.id)
                if state == "rolling+last", case .platform(.releaseLease("m3", _)) = action.effect { return action.id }
            }
        }
        if state == "completing" { return nil }
        var agenda = Agenda(now: now, nextAction: next)
        let answer = state == "failed" ? Answer.sample("failed") : .done
        try deploy.handle(try awaited(by: deploy), answer, &agenda)
        return nil
    }

    private static func awaited(by deploy: Deploy) throws -> ActionID {
        guard let id = (0..<5000).map({ ActionID($0) }).first(where: { deploy.awaits($0) }) else {
            throw StageTable.UnknownName(name: deploy.stateName)
        }
        return id
    }

    private var isOver: Bool { ["deployed", "failed", "refused", "stopped"].contains(stateName) }

    var stateName: String {
        switch state {
        case .waiting: "waiting"
        case .rechecking: "rechecking"
        case .looking: "looking"
        case .surveying: "surveying"
        case .numbering: "numbering"
        case .seeking: "seeking"
        case .pausing: "pausing"
        case .recording: "recording"
        case .rolling: "rolling"
        case .completing: "completing"
        case .deployed: "deployed"
        case .failed: "failed"
        case .refused: "refused"
        case .stopped: "stopped"
        }
    }

    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws {
        try handle(action, answer, &agenda)
    }
    mutating func halt(_ agenda: inout Agenda) throws { try stop(&agenda) }
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws { begin(&agenda) }
}
