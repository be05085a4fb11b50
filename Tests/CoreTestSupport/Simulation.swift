// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import Stages

/// Drives a run against the simulated platform in virtual time. With the same seed it does the same again.
package struct Simulation: Sendable {
    /// What goes wrong on the way to the platform and back.
    package struct Faults: Sendable {
        /// One in so many calls; 0 for none.
        package var oneCallIn = 0
        /// From here on nothing goes wrong any more.
        package var end = Sample.start + .seconds(600)
        package var latency: ClosedRange<Int> = 50...50
        /// Whether lists may show the fleet as it was a moment ago.
        package var hasStaleLists = false

        package init() {}
    }

    /// What the rest of the world answers.
    package struct World: Sendable {
        package var commit = Sample.commit("c")
        package var image = Sample.image(Sample.newDigest)
        package var changes = ChangeSet(commits: [], paths: [], isTruncated: false, goesBack: false)
        package var dirtyPaths: [String] = []
        package var isOnBranch = true
        /// The window's answers, one after the other; the last one stays.
        package var windows = [WindowAnswer(isOpen: true, rule: "open", nextOpen: nil, closes: nil)]
        package var records: [ReleaseRecord] = []
        package var noticeFailure: Failure?
        package var approvals: [FoundApproval] = []
        /// The approvals that runs used up.
        package var spent: [Approval] = []
        package var pullRequests: [PullRequest] = []
        package var reviews: [PullRequestReview] = []
        package var workflowRun = WorkflowRun(
            id: "77", commit: Sample.commit("c").id, status: "in_progress", startedAt: Sample.start, approvals: [])
        /// Which nonces are used up, and by what names people are known.
        package var spentBy: [String: RunID] = [:]
        package var names: [String: [String]] = [:]
        package var migrations = MigrationChanges(paths: [], commits: [])
        /// Answers given instead of the platform's and the world's own, by the effect's name; each is used up.
        package var scripted: [String: [Answer]] = [:]
        package var probes: [ProbeResult] = []
        package var elsewhere: [AppName: ElsewhereStanding] = [:]

        package init() {}

        package var history: ReleaseHistory {
            let newest = records.sorted { $0.number > $1.number }
            let verified = newest.filter { $0.state == .verified }
            return ReleaseHistory(
                current: verified.first, verified: Array(verified.dropFirst()),
                states: newest.map { .init(number: $0.number, state: $0.state, commit: $0.commit) })
        }
    }

    private enum Due: Sendable {
        case event(RunEvent.Kind)
        /// A call arrives at the platform; its answer goes back unless its sender has given it up.
        case arrival(ActionID, PlatformCall, isAnswered: Bool)
        /// A wait that the platform looks at again, until its end.
        case wait(ActionID, PlatformCall, until: Timestamp)
    }

    package var fly: SimulatedFly
    package var world = World()
    package var faults = Faults()
    package private(set) var run: RunMachine
    package private(set) var now = Sample.start
    /// Every event the run was given, and the actions it answered with.
    package private(set) var history: [(event: RunEvent, actions: [Action])] = []
    package private(set) var notes: [RunNote] = []
    private var random: SeededRandom
    private var queue: [(at: Timestamp, order: Int, due: Due)] = []
    private var order = 0
    private var earlierFleets: [(at: Timestamp, list: [Observation])] = []

    package init(_ request: RunRequest, on fly: SimulatedFly, seed: UInt64 = 0) {
        run = RunMachine(request)
        self.fly = fly
        random = SeededRandom(seed: seed)
        world.records = [Sample.release(71)]
        schedule(.event(.started), at: now)
    }

    package mutating func interrupt(at time: Timestamp, signal: Int32 = 2) {
        schedule(.event(.interrupted(signal: signal)), at: time)
    }

    /// The process ends: what it asked for may still happen, and nobody hears of it.
    ///
    /// What it had journaled is all that is left of it.
    package mutating func crash() throws {
        var remaining: [(at: Timestamp, order: Int, due: Due)] = []
        for entry in queue {
            guard case .arrival(let id, let call, _) = entry.due, call.isMutation, random.oneIn(2) else { continue }
            // On its way when its sender died: it may come at once or much later.
            let at = random.oneIn(2) ? entry.at : now + random.milliseconds(100...40_000)
            remaining.append((at, entry.order, .arrival(id, call, isAnswered: false)))
        }
        queue = remaining
        for lease in fly.liveLeases { fly.orphanedLeases.insert(lease) }
        var again = RunMachine(run.request)
        for entry in history { _ = try again.apply(entry.event) }
        run = again
    }

    /// Draws what follows anew.
    package mutating func reseed(_ seed: UInt64) { random = SeededRandom(seed: seed) }

    /// Lets everything arrive that is still on its way.
    package mutating func settle() throws {
        while let next = queue.map(\.at).min(), next <= now + .seconds(120) {
            guard queue.contains(where: { if case .arrival = $0.due { true } else { false } }) else { return }
            try step()
        }
    }

    /// Another process goes on with the run's journal.
    package mutating func recoverWarm(after pause: Duration = .seconds(3)) throws {
        schedule(.event(.resumed), at: now + pause)
    }

    /// Another process recovers the app of which it knows only what the platform shows.
    package mutating func recoverCold(_ request: RunRequest, after pause: Duration = .seconds(3)) {
        run = RunMachine(request)
        history = []
        schedule(.event(.started), at: now + pause)
    }

    /// Every call of the platform's API in the order in which the run asked for it, as `name` or `name machine`.
    package var calls: [String] {
        history.flatMap(\.actions).compactMap { action in
            guard case .platform(let call) = action.effect else { return nil }
            return call.machineName.isEmpty ? call.name : "\(call.name) \(call.machineName)"
        }
    }

    package var effects: [Effect] { history.flatMap(\.actions).map(\.effect) }

    /// Steps that a run may take before it counts as one that never ends.
    package static let maxSteps = 20_000

    /// Goes on until the run is finished, or until the condition holds after an event.
    package mutating func go(until condition: (Simulation) -> Bool = { _ in false }) throws {
        for _ in 0..<Simulation.maxSteps {
            guard !run.isFinished else { return }
            try step()
            if condition(self) { return }
        }
        throw Stuck(reason: "the run took \(Simulation.maxSteps) steps without an end, it waits for \(run.waitingFor)")
    }

    package struct Stuck: Error { package var reason: String }

    /// The next thing that happens.
    package mutating func step() throws {
        guard let index = queue.indices.min(by: { (queue[$0].at, queue[$0].order) < (queue[$1].at, queue[$1].order) })
        else { throw Stuck(reason: "nothing is under way and the run is not finished: \(run.state)") }
        let (at, _, due) = queue.remove(at: index)
        now = max(now, at)
        fly.advance(to: now)
        switch due {
        case .event(let kind): try give(kind)
        case .arrival(let id, let call, let isAnswered): arrive(id, call, isAnswered)
        case .wait(let id, let call, let until): arriveAgain(id, call, until)
        }
    }

    /// Gives the run an event now, whoever sends it.
    package mutating func give(_ kind: RunEvent.Kind) throws {
        let event = RunEvent(at: now, kind: kind)
        let agenda = try run.apply(event)
        history.append((event, agenda.actions))
        notes += agenda.notes
        for action in agenda.actions { perform(action) }
    }

    // MARK: - Performing

    private mutating func perform(_ action: Action) {
        if var scripted = world.scripted[action.effect.name], !scripted.isEmpty {
            let answer = scripted.removeFirst()
            world.scripted[action.effect.name] = scripted
            reply(answer, to: action.id)
            return
        }
        switch action.effect {
        case .wake(let time): schedule(.event(.answered(action: action.id, answer: .woke)), at: max(time, now))
        case .cancel(let earlier): cancel(earlier)
        case .platform(let call): send(call, action.id)
        case .git(.commit): reply(.commit(commit: world.commit), to: action.id)
        case .git(.isOnBranch): reply(.onBranch(isOn: world.isOnBranch, reference: "refs/heads/main"), to: action.id)
        case .git(.isClean): reply(.dirtyPaths(paths: world.dirtyPaths), to: action.id)
        case .git(.changes): reply(.changes(changes: world.changes), to: action.id)
        case .github(.checks(let commit, let names)):
            reply(.checks(found: .allSuccessful(names, on: commit)), to: action.id)
        case .git(.migrations): reply(.migrations(found: world.migrations), to: action.id)
        case .github(.pullRequests): reply(.pullRequests(list: world.pullRequests), to: action.id)
        case .github(.reviews): reply(.reviews(list: world.reviews), to: action.id)
        case .github(.workflowRun): reply(.workflowRun(run: world.workflowRun), to: action.id)
        case .image(.resolve), .image(.build), .image(.assemble), .image(.copy), .image(.provePullable):
            reply(.image(image: world.image), to: action.id)
        case .probe:
            let result = world.probes.isEmpty ? fly.probe() : world.probes.removeFirst()
            reply(.probe(result: result), to: action.id)
        case .window:
            let answer = world.windows.count > 1 ? world.windows.removeFirst() : world.windows[0]
            reply(.window(decision: answer), to: action.id)
        case .ledger(.history): reply(.history(history: world.history), to: action.id)
        case .ledger(.record(let record)):
            world.records.removeAll { $0.number == record.number }
            world.records.append(record)
            reply(.done, to: action.id)
        case .ledger(.mark(let number, let state)):
            for index in world.records.indices where world.records[index].number == number {
                world.records[index].state = state
            }
            reply(.done, to: action.id)
        case .approvals(.find): reply(.approvals(list: world.approvals), to: action.id)
        case .approvals(.check): reply(.approvalCheck(spentBy: world.spentBy, names: world.names), to: action.id)
        case .approvals(.spend(let approvals)):
            world.spent += approvals
            reply(.done, to: action.id)
        case .elsewhere(let app):
            reply(
                world.elsewhere[app].map { .elsewhere(standing: $0) }
                    ?? .failed(failure: Failure(.unavailable, "nobody knows \(app)")), to: action.id)
        case .notify: reply(world.noticeFailure.map { .failed(failure: $0) } ?? .done, to: action.id)
        }
    }

    private mutating func reply(_ answer: Answer, to id: ActionID) {
        schedule(.event(.answered(action: id, answer: answer)), at: now + latency())
    }

    /// Half of the answers of cancelled actions come all the same: they were under way.
    private mutating func cancel(_ id: ActionID) {
        guard random.oneIn(2) else { return }
        queue.removeAll { entry in
            switch entry.due {
            case .event(.answered(id, _)), .wait(id, _, _): true
            case .arrival(id, .wait, _): true
            case .event, .wait, .arrival: false
            }
        }
    }

    // MARK: - The way to the platform and back

    private mutating func send(_ call: PlatformCall, _ id: ActionID) {
        let arrival = now + latency()
        guard faults.oneCallIn > 0, now < faults.end, random.oneIn(faults.oneCallIn) else {
            schedule(.arrival(id, call, isAnswered: true), at: arrival)
            return
        }
        let gaveUp = now + random.milliseconds(200...12_000)
        var failure = Failure(.unavailable, "no answer")
        guard call.isMutation else {
            schedule(.event(.answered(action: id, answer: .failed(failure: failure))), at: gaveUp)
            return
        }
        switch random.next() % 4 {
        case 0: break  // it never arrived, and that is known
        case 1: failure.isAmbiguous = true  // it never arrived, and nobody knows
        case 2:
            failure.isAmbiguous = true
            schedule(.arrival(id, call, isAnswered: false), at: arrival)
        default:
            failure.isAmbiguous = true
            // Still under way long after its sender gave it up.
            schedule(.arrival(id, call, isAnswered: false), at: now + random.milliseconds(100...40_000))
        }
        if case .releaseLease(_, let nonce) = call { fly.orphanedLeases.insert(nonce) }
        schedule(.event(.answered(action: id, answer: .failed(failure: failure))), at: gaveUp)
    }

    private mutating func arrive(_ id: ActionID, _ call: PlatformCall, _ isAnswered: Bool) {
        if case .wait(_, _, _, let seconds) = call {
            arriveAgain(id, call, now + .seconds(seconds))
            return
        }
        guard var answer = fly.answer(call, isLate: !isAnswered) else { return }
        if case .observations(let list) = answer {
            earlierFleets = earlierFleets.suffix(3) + [(now, list)]
            if faults.hasStaleLists, random.oneIn(3), let old = earlierFleets.first, now - old.at < .seconds(3) {
                answer = .observations(list: old.list)
            }
        }
        if isAnswered {
            reply(answer, to: id)
        } else if case .lease(let lease) = answer, case .acquireLease = call {
            fly.orphanedLeases.insert(lease.nonce)
        }
    }

    private mutating func arriveAgain(_ id: ActionID, _ call: PlatformCall, _ until: Timestamp) {
        if let answer = fly.answer(call) {
            reply(answer, to: id)
        } else if now >= until {
            reply(.waitTimedOut, to: id)
        } else {
            let next = fly.nextChange ?? until
            schedule(.wait(id, call, until: until), at: min(until, max(next, now + .milliseconds(1))))
        }
    }

    private mutating func latency() -> Duration { random.milliseconds(faults.latency) }

    private mutating func schedule(_ due: Due, at time: Timestamp) {
        order += 1
        queue.append((time, order, due))
    }
}
