// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import Stages

/// Processes: how they start, are given events, sleep, die, and are followed by others.
extension Engine {
    mutating func start(_ launch: Launch) {
        launchesAhead -= 1
        switch launch {
        case .run(let kind, let store, let name): startRun(kind, store: store, name)
        case .recover(let dead, .warm): resume(dead)
        case .recover(let dead, .cold): startCold(after: dead)
        }
    }

    private func request(_ kind: RunKind, _ ordinal: Int) -> RunRequest {
        // As long as a ULID; its end is what the names of new machines are made of.
        let number = String(10_000_000 + ordinal)
        var request = RunRequest(
            run: RunID("01REHEARSAL0000000" + number), kind: kind, pipeline: scenario.app.rawValue, app: scenario.app,
            actor: "rehearsal", reason: "rehearsed", settings: scenario.settings)
        saboteur?.change(&request)
        return request
    }

    private mutating func join(_ process: RunProcess) {
        var process = process
        for disturbance in scenario.disturbances + plan.disturbances {
            switch disturbance {
            case .call(process.ordinal, let call, let fault): process.atCall.append((call, fault))
            case .kill(process.ordinal, let effect, _, _), .signal(process.ordinal, let effect, _),
                .sleep(process.ordinal, let effect, _, _), .tokenRevoked(process.ordinal, let effect):
                process.atEffect.append((effect, disturbance))
            case .call, .kill, .signal, .sleep, .tokenRevoked, .hostAway, .machineExit, .machineStop, .outage,
                .registryAway, .badProbes, .slowBoots:
                break
            }
        }
        processes.append(process)
    }

    private mutating func startRun(_ kind: RunKind, store: Int, _ name: String) {
        let ordinal = processes.count
        let request = request(kind, ordinal)
        var process = RunProcess(
            who: Who(ordinal: ordinal, name: name, run: request.run, kind: kind, isRecovery: kind == .recover),
            store: store, machine: RunMachine(request), startedAt: now, knownAt: now)
        if saboteur != .ignoresHold, let hold = takeApp(store, ordinal, process.run) {
            let holder = processes[hold.process].name
            story.tell(.note, name, at: now, "the app is held by \(holder): refused")
            process.life = .ended
            process.endedAt = now
            processes.append(process)
            return
        }
        if let other = unfinished(in: store) {
            // As the command line does: first what was begun is brought to its end.
            stores[store].hold = nil
            story.tell(.note, name, at: now, "the run \(other) was never finished: refused until it is recovered")
            process.life = .ended
            process.endedAt = now
            processes.append(process)
            return
        }
        story.tell(.note, name, at: now, "begins (\(kind.rawValue))")
        join(process)
        checker.started(process.who)
        give(.started, to: ordinal)
    }

    /// A run that began and has no end.
    private func unfinished(in store: Int) -> RunID? {
        guard saboteur != .ignoresHold else { return nil }
        return stores[store].journals.keys.filter { stores[store].ends[$0] == nil }.min()
    }

    /// The holder where it is somebody else.
    private mutating func takeApp(_ store: Int, _ ordinal: Int, _ run: RunID) -> RehearsalStore.Hold? {
        let dead = processes.map { if case .killed = $0.life { true } else { false } }
        return stores[store].acquire(ordinal, run: run, at: now) { dead[$0] }
    }

    /// The journal died with its runner: a new run, with nothing but the platform.
    private mutating func startCold(after dead: Int) {
        recoveries += 1
        stores.append(RehearsalStore(records: []))
        startRun(.recover, store: stores.count - 1, "recovery \(recoveries)")
    }

    /// The same run again, from its journal.
    private mutating func resume(_ dead: Int) {
        let old = processes[dead]
        // Somebody else has brought the run to its end: there is nothing to recover.
        guard stores[old.store].ends[old.run] == nil else { return }
        let ordinal = processes.count
        recoveries += 1
        let name = "recovery \(recoveries)"
        if takeApp(old.store, ordinal, old.run) != nil {
            // Whoever held the app was heard of not long ago: tried again once that silence is long enough.
            recoveries -= 1
            launch(.recover(after: dead, kind: .warm), at: now + .seconds(15))
            return
        }
        var events = stores[old.store].journals[old.run] ?? []
        saboteur?.changeReplay(&events, stores[old.store], old.run)
        var machine = RunMachine(old.machine.request)
        do {
            for event in events { _ = try machine.apply(event) }
        } catch {
            complain(.replay, "the journal of \(old.name) can't be replayed: \(error)")
            return
        }
        checker.replayed(machine, of: old, events: events.count)
        story.tell(.note, name, at: now, "goes on with the run of \(old.name) from \(events.count) events")
        var process = RunProcess(
            who: Who(
                ordinal: ordinal, name: name, run: old.run, kind: old.machine.request.kind, isRecovery: true),
            store: old.store, machine: machine, startedAt: now, knownAt: old.knownAt)
        process.applied = events.count
        process.hasReported = machine.report != nil
        join(process)
        checker.started(process.who)
        guard !machine.isFinished else {
            finish(ordinal)
            return
        }
        // A run whose first event was never kept has not begun.
        give(events.isEmpty ? .started : .resumed, to: ordinal)
    }

    // MARK: - Events

    /// Something comes in for a process.
    mutating func deliver(_ kind: RunEvent.Kind, to index: Int) {
        switch processes[index].life {
        case .ended, .killed: return
        case .asleep:
            processes[index].inbox.append(kind)
            return
        case .running: break
        }
        if case .answered(let action, _) = kind {
            if processes[index].killsAtAnswer == action {
                kill(index, KillPoint.beforeJournaled.rawValue)
                return
            }
            if let call = processes[index].openCalls.removeValue(forKey: action) { hears(call, kind, index) }
        }
        give(kind, to: index)
    }

    private mutating func hears(_ call: Int, _ kind: RunEvent.Kind, _ index: Int) {
        calls[call].isAwaited = false
        if case .answered(_, .failed) = kind { return }
        // Once a run has its end, a late answer to a poll tells it nothing any more.
        switch processes[index].machine.state {
        case .settling, .leaving, .notify, .finished: return
        case .waiting, .preValidation, .diagnosing, .window, .build, .claiming, .confirming, .deploy, .verify,
            .rollback,
            .reaping:
            break
        }
        switch calls[call].call {
        case .machines, .observe:
            if let time = calls[call].doneAt { processes[index].knownAt = time }
        default: break
        }
    }

    /// Kept, then decided, then performed.
    mutating func give(_ original: RunEvent.Kind, to index: Int) {
        var kind = original
        if let saboteur {
            var call: PlatformCall?
            if case .answered(let action, _) = kind { call = sabotagedCalls[action] }
            if let instead = saboteur.change(&kind, call, processes[index].who, &sabotage, world) {
                for action in instead { perform(action, index) }
                return
            }
        }
        let event = RunEvent(at: now, kind: kind)
        let run = processes[index].run
        let store = processes[index].store
        if processes[index].isFenced {
            // Its journal is another's now; what it still does is let go.
        } else {
            if stores[store].hold?.process == index { stores[store].hold?.seenAt = now }
            if saboteur != .actsBeforeKeeping { stores[store].journals[run, default: []].append(event) }
        }
        checker.heard(kind, processes[index].who)
        let agenda: Agenda
        do throws(IllegalEvent) {
            agenda = try processes[index].decide(event)
        } catch {
            complain(.legalEvents, "\(processes[index].name): \(error)")
            kill(index, "an event its machine does not take")
            return
        }
        if processes[index].isHolding { checker.tookApp(processes[index].who) }
        if story.isTold { for note in agenda.notes { tell(note, processes[index].name) } }
        if processes[index].isRollingBack, !checker.isRollingBack(processes[index].who),
            // A first release that is finished is gone on with, and not gone back to.
            processes[index].machine.adopted == nil, let target = processes[index].machine.rollback?.target
        {
            checker.rollsBack(to: target, processes[index].who, stores[store])
        }
        if processes[index].takeNewReport(), let report = processes[index].machine.report, !processes[index].isFenced {
            let knownAt = processes[index].knownAt
            checker.reported(report, processes[index].who, knownAt: knownAt, world)
        }
        var actions = agenda.actions
        if let saboteur {
            saboteur.change(&actions, &sabotage, at: now)
            for action in actions {
                if case .platform(let call) = action.effect { sabotagedCalls[action.id] = call }
            }
        }
        performAll(actions, index)
        if saboteur == .actsBeforeKeeping { stores[store].journals[run, default: []].append(event) }
        if processes[index].isFinished { finish(index) }
    }

    private mutating func performAll(_ actions: [Action], _ index: Int) {
        for (place, action) in actions.enumerated() {
            switch processes[index].life {
            case .running: perform(action, index)
            case .asleep:
                processes[index].unperformed = Array(actions[place...])
                return
            case .ended, .killed: return
            }
        }
    }

    private mutating func tell(_ note: RunNote, _ name: String) {
        switch note {
        case .stage(let report):
            let detail = report.detail.isEmpty ? "" : ": \(report.detail)"
            story.tell(.note, name, at: now, "\(report.stage.rawValue) \(report.state.rawValue)\(detail)")
        case .gate(let gate, let state, let detail):
            guard state != .passed else { return }
            story.tell(.note, name, at: now, "gate \(gate) \(state.rawValue): \(detail)")
        case .machine(let progress):
            guard progress.phase == .done || progress.phase == .failed else { return }
            let machine = world.machines[progress.machine]?.name ?? progress.machine
            let detail = progress.detail.isEmpty ? "" : ": \(progress.detail)"
            story.tell(.note, name, at: now, "\(machine) \(progress.phase.rawValue)\(detail)")
        case .message(let text), .warning(let text):
            story.tell(.note, name, at: now, text)
        }
    }

    // MARK: - Ends

    private mutating func finish(_ index: Int) {
        let run = processes[index].run
        let store = processes[index].store
        processes[index].life = .ended
        processes[index].endedAt = now
        if !processes[index].isFenced {
            stores[store].ends[run, default: 0] += 1
            if saboteur == .endsTwice { stores[store].ends[run, default: 0] += 1 }
            if stores[store].hold?.process == index { stores[store].hold = nil }
        }
        let report = processes[index].machine.report
        tell(.note, index) { _ in
            "ends: \(report?.outcome.rawValue ?? "?") (\(report?.exitCode ?? -1)), \(report?.headline ?? "")"
        }
        checker.finished(
            processes[index].who, report, isFenced: processes[index].isFenced, isCutOff: processes[index].isRevoked,
            world)
        repeatIfNeeded(index, report)
    }

    /// A recovery that could not begin its work is started again by whoever wanted it.
    private mutating func repeatIfNeeded(_ index: Int, _ report: RunReport?) {
        guard processes[index].machine.request.kind == .recover, let report,
            report.outcome == .unavailable || report.exitCode == ExitCode.busy.rawValue,
            repeatedRecoveries < Engine.maxRepeatedRecoveries
        else { return }
        repeatedRecoveries += 1
        launch(.recover(after: index, kind: .cold), at: now + Engine.repeatPause)
    }

    mutating func kill(_ index: Int, _ how: String) {
        tell(.fault, index) { _ in "dies: \(how)" }
        processes[index].life = .killed
        processes[index].endedAt = now
        for call in processes[index].openCalls.values { calls[call].isAwaited = false }
        if checker.isFleetChanged, troubleAt == nil { troubleAt = now }
        checker.died(processes[index].who)
        if let recovery = processes[index].recovery {
            launch(.recover(after: index, kind: recovery.kind), at: now + .milliseconds(recovery.pauseMilliseconds))
        }
    }

    private mutating func sleep(_ index: Int, _ milliseconds: Int, _ recovery: Recovery?) {
        let until = now + .milliseconds(milliseconds)
        tell(.fault, index) { _ in "is stopped for \(milliseconds) ms" }
        processes[index].life = .asleep(until: until)
        schedule(.wakeUp(process: index), at: until)
        if let recovery {
            launch(.recover(after: index, kind: recovery.kind), at: now + .milliseconds(recovery.pauseMilliseconds))
        }
    }

    mutating func wakeUp(_ index: Int) {
        guard case .asleep = processes[index].life else { return }
        tell(.note, index) { _ in "goes on after its sleep" }
        processes[index].life = .running
        let store = processes[index].store
        // The first thing it does is to write to its journal, and its store tells it whose that is now.
        if let hold = stores[store].hold, hold.process != index {
            processes[index].isFenced = true
            processes[index].inbox = []
            processes[index].unperformed = []
            let other = processes[hold.process].name
            if processes[index].run == processes[hold.process].run || hold.run != processes[index].run {
                give(.fenced(by: other), to: index)
            }
            return
        }
        if stores[store].ends[processes[index].run] != nil {
            processes[index].isFenced = true
            processes[index].inbox = []
            processes[index].unperformed = []
            give(.fenced(by: "another process that ended the run"), to: index)
            return
        }
        let actions = processes[index].unperformed
        processes[index].unperformed = []
        performAll(actions, index)
        let waiting = processes[index].inbox
        processes[index].inbox = []
        for kind in waiting { deliver(kind, to: index) }
    }

    // MARK: - Effects

    /// Does what a machine asked for, unless the plan has something against it.
    mutating func perform(_ action: Action, _ index: Int) {
        if case .cancel(let earlier) = action.effect {
            cancel(earlier, index)
            return
        }
        let effect = processes[index].effects
        processes[index].effects += 1
        if !processes[index].isFenced {
            let kept = stores[processes[index].store].journals[processes[index].run]?.count ?? 0
            checker.performs(action.id, processes[index].who, kept: kept, applied: processes[index].applied)
        }
        if keepsMarks { mark(action.effect, index) }
        var killsWhenApplied = false
        if !processes[index].atEffect.isEmpty {
            for entry in processes[index].atEffect where entry.effect == effect {
                guard processes[index].isRunning else { return }
                switch entry.what {
                case .kill(_, _, let point, let recovery):
                    processes[index].recovery = recovery
                    note(.crash) { "\($0.processes[index].name), effect \(effect), \(point.rawValue)" }
                    if point == .beforeSent {
                        kill(index, "before \(describe(action.effect))")
                        return
                    }
                    processes[index].killsAtAnswer = action.id
                    killsWhenApplied = point == .afterApplied
                case .signal(_, _, let number):
                    note(.signal) { "signal \(number) to \($0.processes[index].name)" }
                    schedule(.deliver(process: index, kind: .interrupted(signal: number)), at: now)
                    processes[index].isSignalled = true
                case .sleep(_, _, let milliseconds, let recovery):
                    note(.leaseExpiry) { "\($0.processes[index].name) sleeps for \(milliseconds) ms" }
                    sleep(index, milliseconds, recovery)
                case .tokenRevoked:
                    note(.apiErrors) { "the token of \($0.processes[index].name) is revoked" }
                    processes[index].isRevoked = true
                case .call, .hostAway, .machineExit, .machineStop, .outage, .registryAway, .badProbes, .slowBoots: break
                }
            }
        }
        switch action.effect {
        case .platform(let call): send(call, action.id, index, killsWhenApplied: killsWhenApplied)
        case .wake(let time):
            schedule(.deliver(process: index, kind: .answered(action: action.id, answer: .woke)), at: max(time, now))
        case .git, .github, .image, .probe, .window, .ledger, .notify, .approvals, .elsewhere:
            // The outbox has the notice as soon as it is asked for.
            if case .notify(let order) = action.effect {
                checker.notified(order, processes[index].who, stores[processes[index].store].records)
            }
            let pause = localLatency(of: action.effect)
            schedule(.local(process: index, action: action), at: now + .milliseconds(pause))
        case .cancel: break
        }
    }

    private mutating func mark(_ effect: Effect, _ index: Int) {
        let points: [KillPoint] =
            switch effect {
            case .platform: KillPoint.allCases
            case .wake: [.beforeSent, .beforeJournaled]
            // Done and answered in one step.
            case .git, .github, .image, .probe, .window, .ledger, .notify, .approvals, .elsewhere, .cancel:
                [.beforeSent, .afterApplied]
            }
        processes[index].marks.append(RunProcess.EffectMark(name: describe(effect), points: points))
    }

    /// Half of the answers of cancelled calls come all the same: they were under way.
    private mutating func cancel(_ action: ActionID, _ index: Int) {
        guard let call = processes[index].openCalls[action] else { return }
        let isUnderWay = SeededDraws.number(0...1, seed: plan.seed, 7_000 + index, action.value) == 1
        guard !isUnderWay else { return }
        processes[index].openCalls[action] = nil
        calls[call].isAwaited = false
        apply(.callerLeft(UInt64(call)))
    }

    /// Notes down what was made to go wrong.
    mutating func note(_ kind: FaultKind, _ detail: (Engine) -> String) {
        faults.append(InjectedFault(kind, at: now - Scenario.start, detail: story.isTold ? detail(self) : ""))
    }

    mutating func tell(_ kind: TraceLine.Kind, _ process: Int, _ text: (Engine) -> String) {
        guard story.isTold else { return }
        let text = text(self)
        story.tell(kind, processes[process].name, at: now, text)
    }
}
