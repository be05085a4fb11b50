// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import Ports
package import Stages
internal import Synchronization

/// Everything a run reaches the world through.
package struct RunPorts: Sendable {
    package var platform: any PlatformPort
    package var source: any SourcePort
    package var github: any GitHubPort
    package var images: any ImagePort
    package var probes: any ProbePort
    package var window: any WindowPort
    package var ledger: any LedgerPort
    package var notices: any NoticePort
    package var approvals: any ApprovalPort
    package var elsewhere: any ElsewherePort

    package init(
        platform: any PlatformPort, source: any SourcePort, github: any GitHubPort, images: any ImagePort,
        probes: any ProbePort, window: any WindowPort, ledger: any LedgerPort, notices: any NoticePort,
        approvals: any ApprovalPort = NoApprovals(), elsewhere: any ElsewherePort = NothingElsewhere()
    ) {
        self.platform = platform
        self.source = source
        self.github = github
        self.images = images
        self.probes = probes
        self.window = window
        self.ledger = ledger
        self.notices = notices
        self.approvals = approvals
        self.elsewhere = elsewhere
    }
}

/// Where nobody can be asked for approvals: they are missing, never assumed.
package struct NoApprovals: ApprovalPort {
    package init() {}

    package func answer(_ query: ApprovalQuery, at now: Timestamp) async -> Answer {
        .failed(failure: Failure(.unavailable, "approvals can't be looked up here"))
    }
}

/// Where no other app can be asked about: it is not known, never assumed to be well.
package struct NothingElsewhere: ElsewherePort {
    package init() {}

    package func answer(about app: AppName) async -> Answer {
        .failed(failure: Failure(.unavailable, "other apps can't be looked at here"))
    }
}

/// What an observer of a run is shown after each event.
package struct RunProgress: Sendable {
    package var at: Timestamp
    package var notes: [RunNote]
    package var stages: [StageReport]
    package var waitingFor: String
}

/// Performs a run: keeps each event, lets the machine decide, does what it says.
///
/// It decides nothing: which call comes next, what a failure means and when the run is over are the machine's.
package struct RunDriver: Sendable {
    /// What the machine is told where the journal is lost: as to a process that is about to be ended (SIGTERM).
    private static let lostJournalSignal: Int32 = 15

    private let ports: RunPorts
    private let journal: any JournalPort
    private let clock: any DriverClock
    private let observe: @Sendable (RunProgress) -> Void

    package init(
        ports: RunPorts, journal: any JournalPort, clock: any DriverClock,
        observe: @escaping @Sendable (RunProgress) -> Void = { _ in }
    ) {
        self.ports = ports
        self.journal = journal
        self.clock = clock
        self.observe = observe
    }

    /// Runs to the end and returns the finished machine.
    ///
    /// - Parameter signals: signals that ask the run to make safe and end.
    /// - Throws: ``AirbossError`` where an event could not be kept: `busy` where somebody else has taken the run over,
    ///   and what this process held was let go; `interrupted` or `terminated` where a signal had come by then, after
    ///   making safe; as the journal says it where nothing was touched yet; else, after making safe, `needsHuman`.
    ///   ``IllegalEvent`` where the machine and its answers do not fit together; then nothing more is done.
    package func run(_ request: RunRequest, signals: AsyncStream<Int32>) async throws -> RunMachine {
        try await drive(RunMachine(request), from: .started, signals: signals)
    }

    /// Goes on with a run whose process is gone, and returns the finished machine.
    ///
    /// - Parameter machine: the run as its journal leads to it; see ``RunReplay``.
    /// - Throws: as ``run(_:signals:)``.
    package func resume(_ machine: RunMachine, signals: AsyncStream<Int32>) async throws -> RunMachine {
        try await drive(machine, from: .resumed, signals: signals)
    }

    private func drive(
        _ begun: RunMachine, from opening: RunEvent.Kind, signals: AsyncStream<Int32>
    ) async throws -> RunMachine {
        let (inbox, post) = AsyncStream.makeStream(of: RunEvent.Kind.self)
        var machine = begun
        var trail = AuditTrail()
        var tasks: [ActionID: Task<Void, Never>] = [:]
        defer { for task in tasks.values { task.cancel() } }
        // First of all events, also of a signal that came in the same moment.
        post.yield(opening)
        var lostJournal: AirbossError?
        var signalBefore: Int32?
        func start(_ actions: [Action]) {
            for action in actions {
                if case .cancel(let earlier) = action.effect {
                    tasks.removeValue(forKey: earlier)?.cancel()
                } else {
                    tasks[action.id] = Task { [self] in
                        let answer = await ports.perform(action.effect, clock)
                        if !Task.isCancelled { post.yield(.answered(action: action.id, answer: answer)) }
                    }
                }
            }
        }
        let cancelled = Cancellation()
        let listener = Task {
            for await signal in signals {
                cancelled.note(signal)
                post.yield(.interrupted(signal: signal))
            }
        }
        defer { listener.cancel() }
        for await kind in inbox {
            if case .answered(let action, _) = kind { tasks[action] = nil }
            let event = RunEvent(at: clock.now, kind: kind)
            var agenda: Agenda
            do {
                // Decided on a copy first: what the audit record tells of the decision is kept with the event.
                var decided = machine
                agenda = try decided.apply(event)
                if lostJournal == nil {
                    let entries = trail.entries(for: event, agenda, before: machine, after: decided)
                    try await journal.append(event, audit: entries)
                    await journal.reached(decided)
                }
                machine = decided
            } catch let error as AirbossError where error.code == .busy {
                // Somebody else goes on with the run: what follows from this event is theirs to decide.
                lostJournal = error
                agenda = try machine.apply(RunEvent(at: event.at, kind: .fenced(by: error.message)))
            } catch let error as AirbossError {
                signalBefore = cancelled.signal
                guard machine.hasTouchedFleet else {
                    throw signalBefore.map { RunDriver.interrupted(by: $0, before: error) } ?? error
                }
                // Nothing may be begun that is not kept; what is held must be let go all the same. The machine is told
                // to stop before it hears of the event, so that nothing new follows from it.
                lostJournal = error
                agenda = try machine.apply(
                    RunEvent(
                        at: event.at, kind: .interrupted(signal: signalBefore ?? RunDriver.lostJournalSignal)))
                start(agenda.actions)
                if !machine.isFinished { agenda = try machine.apply(event) }
            }
            observe(
                RunProgress(
                    at: event.at, notes: agenda.notes, stages: machine.reports, waitingFor: machine.waitingFor))
            if machine.isFinished { break }
            start(agenda.actions)
        }
        if let lostJournal, lostJournal.code == .busy { throw lostJournal }
        if let lostJournal {
            let report = machine.report
            let headline = report?.headline ?? "its end is not known"
            guard let signal = signalBefore else {
                throw AirbossError(
                    .needsHuman, "\(lostJournal.message); the run was stopped: \(headline)",
                    hint: ([lostJournal.hint] + (report?.nextSteps ?? [])).filter { !$0.isEmpty }
                        .joined(separator: "\n"))
            }
            throw AirbossError(
                RunDriver.code(of: signal), "\(headline); how it ended is not recorded: \(lostJournal.message)",
                hint: ([RunDriver.leftToRecovery(request: machine.request)] + (report?.nextSteps ?? []))
                    .joined(separator: "\n"))
        }
        return machine
    }

    /// A run that was told to stop while its first events could not be kept.
    private static func interrupted(by signal: Int32, before error: AirbossError) -> AirbossError {
        AirbossError(
            code(of: signal), "interrupted before anything was changed; that is not recorded: \(error.message)",
            hint: "the run's record stays open until the next run of the app, or airboss recover, closes it")
    }

    private static func code(of signal: Int32) -> AirbossError.Code {
        signal == lostJournalSignal ? .terminated : .interrupted
    }

    private static func leftToRecovery(request: RunRequest) -> String {
        "once the state store answers again: airboss recover \(request.pipeline); the next run of the app does the"
            + " same first"
    }
}

/// The signal by which a run was told to stop, as soon as it came: the events before it may still wait to be kept.
private final class Cancellation: Sendable {
    private let first = Atomic<Int32>(0)

    func note(_ signal: Int32) {
        _ = first.compareExchange(expected: 0, desired: signal, ordering: .relaxed)
    }

    /// Nil where none came.
    var signal: Int32? {
        let number = first.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }
}

extension RunPorts {
    /// Does what a machine asks for; `cancel` is the driver's own.
    func perform(_ effect: Effect, _ clock: any DriverClock) async -> Answer {
        switch effect {
        case .platform(let call): return await platform.answer(call)
        case .git(let query): return await source.answer(query)
        case .github(let call): return await github.answer(call)
        case .image(let task): return await images.answer(task)
        case .probe(let probe): return await probes.answer(probe)
        case .window: return await window.answer(at: clock.now)
        case .ledger(let entry): return await ledger.answer(entry, at: clock.now)
        case .notify(let order): return await notices.answer(order, at: clock.now)
        case .elsewhere(let app): return await elsewhere.answer(about: app)
        case .approvals(let query): return await approvals.answer(query, at: clock.now)
        case .wake(let time):
            do {
                try await clock.sleep(until: time)
            } catch {
                // Cancelled: nobody waits for this any more.
                return .failed(failure: Failure(.cancelled, "the wait was cancelled"))
            }
            return .woke
        case .cancel:
            return .done
        }
    }
}
