// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// A real machine as the model check drives it: told what came in, it says what it wants done.
protocol Decider: Encodable, Sendable {
    mutating func begin(at now: Timestamp) throws(IllegalEvent) -> [Action]
    mutating func hear(_ answer: Answer, to action: ActionID, at now: Timestamp) throws(IllegalEvent) -> [Action]
    /// A signal: stop, make safe, end.
    mutating func interrupt(at now: Timestamp) throws(IllegalEvent) -> [Action]
    /// Another process goes on from the journal.
    mutating func resume(at now: Timestamp) throws(IllegalEvent) -> [Action]
    /// A call that the world beside the platform answers at once and in the same way each time; nil for all others.
    mutating func knownAnswer(to effect: Effect) -> Answer?
    /// Whether it ends, some time after it was told to, without an answer to what it still asks for.
    static var leavesWithoutAnswers: Bool { get }
    /// What it claims, once it has finished.
    var claim: Claim? { get }
    /// What it does now, for people.
    var doing: String { get }
}

/// What a participant says at its end.
struct Claim: Sendable {
    var isSuccess: Bool
    /// Machines, by id or by the name they were to be created with, that may have been changed; of a change or rollout
    /// that succeeded, those that run what was wanted. Nil where it claims nothing about single machines.
    var changed: Set<String>?
    /// What the whole fleet runs, healthy; nil where that is not claimed.
    var image: ImageDigest?
    var text: String

    init(isSuccess: Bool, changed: Set<String>?, image: ImageDigest? = nil, text: String) {
        self.isSuccess = isSuccess
        self.changed = changed
        self.image = image
        self.text = text
    }

    func write(to form: CanonicalForm) {
        form.write(isSuccess)
        form.write(changed == nil)
        form.write(changed ?? [])
    }
}

extension Decider {
    mutating func knownAnswer(to effect: Effect) -> Answer? { nil }
    static var leavesWithoutAnswers: Bool { false }
}

// MARK: - One machine's change

/// ``MachineChange`` with the little that a rollout does for it: numbering its calls, polling, and calling its turn.
struct ChangeDecider: Decider {
    private enum Purpose: Hashable, Codable {
        case step(step: MachineChange.Step)
        case wake, turn, poll, pollDue
    }

    private var change: MachineChange
    private var routes: [ActionID: Purpose] = [:]
    private var nextAction = 1
    /// When its turn comes, counted from its beginning; until then it only holds its lease.
    private let turn: Duration

    /// Rare enough to keep the search small; a poll is only ever an earlier or later look at the same machine.
    private static let pollInterval = Duration.seconds(10)

    init(_ plan: MachineChange.Plan, turn: Duration) {
        change = MachineChange(plan)
        self.turn = turn
    }

    private enum CodingKeys: CodingKey { case change, routes }

    mutating func begin(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        var agenda = Agenda(now: now, nextAction: nextAction)
        if turn == .zero {
            try give(.proceed, &agenda)
        } else {
            routes[agenda.perform(.wake(at: now + turn))] = .turn
        }
        try give(.begin, &agenda)
        return finish(&agenda)
    }

    mutating func hear(
        _ answer: Answer, to action: ActionID, at now: Timestamp
    ) throws(IllegalEvent) -> [Action] {
        guard let purpose = routes.removeValue(forKey: action) else { return [] }
        var agenda = Agenda(now: now, nextAction: nextAction)
        switch (purpose, answer) {
        case (.wake, _):
            try give(.woke, &agenda)
            // One that pauses gives its turn back; nobody else is in its way here.
            if change.isHeld, !routes.values.contains(.turn) { try give(.proceed, &agenda) }
        case (.turn, _): try give(.proceed, &agenda)
        case (.pollDue, _):
            if isWatching { routes[agenda.perform(.platform(call: .observe))] = .poll }
        case (.poll, .observations(let list)):
            if let seen = list.first(where: { $0.id == machine }) { try give(.observed(observation: seen), &agenda) }
        case (.poll, _): break
        case (.step(let step), _): try give(try event(answer, to: step), &agenda)
        }
        return finish(&agenda)
    }

    mutating func interrupt(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        var agenda = Agenda(now: now, nextAction: nextAction)
        try give(.abandon, &agenda)
        return finish(&agenda)
    }

    mutating func resume(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        throw IllegalEvent(state: "a single change", event: "resumed")
    }

    /// A change looks at polls only while its machine starts.
    private var isWatching: Bool {
        switch change.state {
        case .starting, .checking, .securing: true
        case .ready, .leasing, .leaseTaken, .held, .updating, .looking, .creating, .seeking, .pausing, .releasing,
            .finished:
            false
        }
    }

    private mutating func finish(_ agenda: inout Agenda) -> [Action] {
        if isWatching, !routes.values.contains(where: { $0 == .poll || $0 == .pollDue }) {
            routes[agenda.perform(.wake(at: agenda.now + ChangeDecider.pollInterval))] = .pollDue
        }
        nextAction = agenda.nextAction
        return agenda.actions
    }

    private var machine: MachineID { change.machine ?? "" }

    private func event(_ answer: Answer, to step: MachineChange.Step) throws(IllegalEvent) -> MachineChange.Event {
        switch (step, answer) {
        case (_, .failed(let failure)): return .failed(step: step, failure: failure)
        case (.lease, .lease(let lease)), (.refresh, .lease(let lease)): return .leased(lease: lease)
        case (.create, .created(let machine, let lease)): return .created(machine: machine, lease: lease)
        case (_, .machine(let machine)): return .changed(machine: machine)
        case (.seek, .machines(let list)):
            guard case .new(let name, _) = change.plan.target, let found = list.first(where: { $0.name == name })
            else { return .absent }
            return .changed(machine: found)
        case (.wait, .done): return .reached
        case (.wait, .waitTimedOut): return .waitTimedOut
        case (.release, .done): return .released
        default: throw IllegalEvent(state: "waiting for \(step.rawValue)", event: "\(answer)")
        }
    }

    private mutating func give(_ event: MachineChange.Event, _ agenda: inout Agenda) throws(IllegalEvent) {
        for action in try change.apply(event, at: agenda.now) { perform(action, &agenda) }
    }

    private mutating func perform(_ action: MachineChange.Action, _ agenda: inout Agenda) {
        let seconds = Int(MachineChange.leaseTimeToLive.inSeconds)
        let plan = change.plan
        switch (action, plan.target) {
        case (.acquireLease, _): ask(.acquireLease(machine: machine, seconds: seconds), .lease, &agenda)
        case (.refreshLease(let lease), _):
            ask(.refreshLease(machine: machine, nonce: lease.nonce, seconds: seconds), .refresh, &agenda)
        case (.releaseLease(let lease), _):
            ask(.releaseLease(machine: machine, nonce: lease.nonce), .release, &agenda)
        case (.update(let lease), .existing(let id, let version)):
            ask(
                .update(
                    machine: id, config: plan.config, currentVersion: version, nonce: lease.nonce,
                    skipLaunch: plan.skipLaunch), .update, &agenda)
        case (.create, .new(let name, let region)):
            ask(
                .create(
                    name: name, region: region, config: plan.config, skipLaunch: plan.skipLaunch,
                    leaseSeconds: plan.keepsLease ? seconds : nil), .create, &agenda)
        case (.update, .new), (.create, .existing): break
        case (.look, _): ask(.machine(id: machine), .look, &agenda)
        case (.seek, _): ask(.machines, .seek, &agenda)
        case (.wait(let id, let version, let seconds), _):
            ask(.wait(machine: id, version: version, state: "started", seconds: seconds), .wait, &agenda)
        case (.cancelWait, _):
            for (id, purpose) in routes where purpose == .step(step: .wait) {
                routes[id] = nil
                agenda.performAndForget(.cancel(action: id))
            }
        case (.wake(let time), _): routes[agenda.perform(.wake(at: time))] = .wake
        }
    }

    private mutating func ask(_ call: PlatformCall, _ step: MachineChange.Step, _ agenda: inout Agenda) {
        routes[agenda.perform(.platform(call: call))] = .step(step: step)
    }

    var claim: Claim? {
        guard change.isFinished, let result = change.result else { return nil }
        let subject: String =
            switch change.plan.target {
            case .existing(let id, _): id.rawValue
            case .new(let name, _): name
            }
        switch result {
        case .succeeded:
            return Claim(isSuccess: true, changed: [subject], text: "that \(subject) is changed and healthy")
        case .failed(let reason, let mayHaveChanged):
            return Claim(
                isSuccess: false, changed: mayHaveChanged ? [subject] : [],
                text: "that it failed (\(reason)) and that \(subject) "
                    + (mayHaveChanged ? "may have changed" : "runs what it ran before"))
        }
    }

    var doing: String { change.phase.rawValue }
}

// MARK: - A rollout

/// ``RollingRollout`` with its calls numbered.
struct RolloutDecider: Decider {
    private var rollout: RollingRollout
    private var nextAction = 1
    private let targets: Set<String>

    init(_ rollout: RollingRollout, targets: Set<String>) {
        self.rollout = rollout
        self.targets = targets
    }

    private enum CodingKeys: CodingKey { case rollout }

    mutating func begin(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        var agenda = Agenda(now: now, nextAction: nextAction)
        try rollout.start(&agenda)
        return finish(agenda)
    }

    mutating func hear(
        _ answer: Answer, to action: ActionID, at now: Timestamp
    ) throws(IllegalEvent) -> [Action] {
        guard rollout.awaits(action) else { return [] }
        var agenda = Agenda(now: now, nextAction: nextAction)
        try rollout.handle(action, answer, &agenda)
        return finish(agenda)
    }

    mutating func interrupt(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        var agenda = Agenda(now: now, nextAction: nextAction)
        try rollout.stop(&agenda)
        return finish(agenda)
    }

    mutating func resume(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        throw IllegalEvent(state: "a rollout by itself", event: "resumed")
    }

    private mutating func finish(_ agenda: Agenda) -> [Action] {
        nextAction = agenda.nextAction
        return agenda.actions
    }

    var claim: Claim? {
        switch rollout.outcome {
        case nil: nil
        case .succeeded: Claim(isSuccess: true, changed: targets, text: "that the whole fleet is changed and healthy")
        case .failed(let reason, let changed):
            Claim(
                isSuccess: false, changed: Set(changed),
                text: "that it failed (\(reason)); changed may be: \(RolloutDecider.list(changed))")
        case .stopped(let changed):
            Claim(
                isSuccess: false, changed: Set(changed),
                text: "that it was stopped; changed may be: \(RolloutDecider.list(changed))")
        }
    }

    private static func list(_ names: [String]) -> String {
        names.isEmpty ? "nothing" : names.joined(separator: ", ")
    }

    var doing: String { rollout.waitingFor }
}
