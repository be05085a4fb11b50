// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages

/// A stage's machine as the tables drive it: answers come in under the number of what it asked for.
protocol TabledStage: Hashable, Sendable {
    static var table: TransitionTable { get }
    /// A machine in the state of that name, and the action whose answer it waits for (one never asked where none).
    static func setUp(_ state: String) throws -> (Self, awaited: ActionID)
    var stateName: String { get }
    mutating func take(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws
    mutating func halt(_ agenda: inout Agenda) throws
    /// Begins; `variant` is what follows the state's name in the table.
    mutating func open(_ variant: String, _ agenda: inout Agenda) throws
}

enum StageTable {
    struct UnknownName: Error { var name: String }

    /// An answer under a number that nobody gave out.
    static let stranger = ActionID(9_999)

    /// Every kind of answer to what was asked, an answer nobody asked for, and the order to stop.
    static let events = Answer.samples.map(\.kind) + ["stranger", "stop"]

    /// What the event does to a machine in the state.
    static func step<Stage: TabledStage>(_ stage: inout Stage, _ row: Transition, _ awaited: ActionID) throws
        -> [String]
    {
        var agenda = Agenda(now: Sample.start + .seconds(1), nextAction: 500)
        switch row.event {
        case "begin": try stage.open(String(row.from.drop { $0 != "+" }.dropFirst()), &agenda)
        case "stop": try stage.halt(&agenda)
        case "stranger": try stage.take(stranger, .done, &agenda)
        default: try stage.take(awaited, try answer(row.event), &agenda)
        }
        return agenda.actions.map(\.effect.name)
    }

    static func answer(_ name: String) throws -> Answer {
        let parts = name.split(separator: "/").map(String.init)
        guard parts.count > 1 else { return Answer.sample(name) }
        switch (parts[0], parts[1]) {
        case ("window", "closed"):
            return .window(
                decision: WindowAnswer(
                    isOpen: false, rule: "Mon-Fri 09:00-17:00", nextOpen: Sample.start + .seconds(3600), closes: nil))
        case ("window", "late"), ("window", "fits"):
            // A run that is asked a second after the start is over 2 minutes later.
            let closes = Sample.start + .seconds(parts[1] == "fits" ? 121 : 120)
            let past = FinishForecast.PastDeploy(fromWindow: .seconds(60), fromDeploy: .seconds(60))
            return .window(
                decision: WindowAnswer(
                    isOpen: true, rule: "Mon-Fri 09:00-17:00", closes: closes,
                    forecast: FinishForecast(past: [past], soak: .seconds(60), assumed: .zero, assumption: "")))
        case ("checks", "bad"): return checks([CommitCheck(name: "Tests", state: "failure")])
        case ("checks", "pending"): return checks([CommitCheck(name: "Tests", state: "queued", isComplete: false)])
        case ("checks", "none"): return checks([])
        case ("pullRequests", "merged"):
            return .pullRequests(list: [
                PullRequest(number: 12, head: Sample.commit("d").id, mergeCommit: Sample.commit("c").id)
            ])
        case ("approvals", "good"): return .approvals(list: [Evidence.signature("grace@example.com")])
        case ("reviews", "good"): return .reviews(list: [Evidence.review("grace")])
        case ("approvalCheck", "spent"):
            return .approvalCheck(spentBy: ["github-review/1/demo": "01OTHER"], names: [:])
        case ("commit", "same"):
            var head = Sample.commit("d")
            head.tree = Sample.commit("c").tree
            return .commit(commit: head)
        case ("commit", "other"): return .commit(commit: Sample.commit("d"))
        case ("machines", "empty"): return .machines(list: [])
        case ("machines", "new"): return .machines(list: (1...3).map(deployed))
        case ("machines", "mixed"):
            return .machines(list: [Sample.machine(1, digest: Sample.newDigest), Sample.machine(2), Sample.machine(3)])
        case ("machines", "surplus"):
            var extra = Sample.machine(8)
            extra.config.metadata["fly_process_group"] = "extra"
            extra.config.metadata[Bookkeeping.created] = Sample.run.rawValue
            return .machines(list: Sample.fleet(3) + [extra])
        case ("platformReleases", "open"):
            return .platformReleases(list: [
                .init(
                    id: "rel_72", number: ReleaseNumber(72), status: "running",
                    image: Sample.reference(Sample.newDigest))
            ])
        case ("failed", "ambiguous"): return .failed(failure: Failure(.timedOut, "no answer", isAmbiguous: true))
        case ("failed", "refused"): return .failed(failure: Failure(.refused, "no"))
        case ("failed", "forbidden"): return .failed(failure: Failure(.forbidden, "not yours"))
        case ("failed", "unauthorized"): return .failed(failure: Failure(.unauthorized, "who are you"))
        case ("leaseHolder", "other"):
            return .leaseHolder(
                holder: LeaseHolder(owner: "ben", description: "", expiresAt: Sample.start + .seconds(60)))
        case ("probe", "bad"): return .probe(result: ProbeResult(status: 503, elapsed: .zero))
        case ("probe", "missing"): return .probe(result: ProbeResult(status: 404, elapsed: .zero))
        case ("observations", "sick"):
            return .observations(list: (1...3).map { Observation(of: Sample.machine($0, isHealthy: $0 != 2)) })
        case ("observations", "crashed"):
            var list = Sample.fleet(3).map(Observation.init(of:))
            list[1].exit = .init(code: 1, isOutOfMemory: false, at: Sample.start)
            return .observations(list: list)
        default: throw UnknownName(name: name)
        }
    }

    private static func checks(_ list: [CommitCheck]) -> Answer {
        .checks(found: CommitChecks(list, wanted: ["Tests"], on: Sample.commit("c").id))
    }

    /// A machine as the sample run's first, second … operation leaves it.
    static func deployed(_ number: Int) -> FleetMachine {
        var machine = Sample.machine(number, digest: Sample.newDigest)
        machine.instance = InstanceID("m\(number)-2")
        machine.config.metadata[Bookkeeping.operation] = "\(Sample.run)/\(number)"
        return machine
    }

    /// The number of the first action whose effect has that name.
    static func action(_ name: String, in agenda: Agenda) throws -> ActionID {
        guard let action = agenda.actions.first(where: { $0.effect.name == name }) else {
            throw UnknownName(name: name)
        }
        return action.id
    }

    static func agenda() -> Agenda { Agenda(now: Sample.start, nextAction: 1) }
}
