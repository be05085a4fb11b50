// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import Rollouts
internal import Stages

/// One process that drives a run: the machine, what it knows of its store, and what the client of the API keeps.
struct RunProcess: Sendable {
    enum Life: Sendable {
        case running
        /// Stopped, until this time.
        case asleep(until: Timestamp)
        case ended
        case killed
    }

    /// The place of one effect of a process, for those who want to kill it there.
    struct EffectMark: Sendable {
        /// What a story calls the effect.
        var name: String
        /// Where in it a death makes a difference.
        var points: [KillPoint]
    }

    let who: Who
    let store: Int
    var machine: RunMachine
    var life = Life.running
    var startedAt: Timestamp
    /// When it ended or died.
    var endedAt: Timestamp?
    /// Events its machine was given, by this process or the one whose journal it replayed.
    var applied = 0
    private(set) var isFinished = false
    private(set) var isReported = false
    /// Whether how the run ends is known to the checks.
    var hasReported = false
    private(set) var isRollingBack = false
    /// Whether it has the app, as far as it knows.
    private(set) var isHolding = false
    /// What came while it slept.
    var inbox: [RunEvent.Kind] = []
    /// What it was about to do when it was stopped.
    var unperformed: [Action] = []
    /// Effects begun so far.
    var effects = 0
    /// Platform calls begun so far.
    var calls = 0
    /// The answer at whose arrival it dies.
    var killsAtAnswer: ActionID?
    var isRevoked = false
    /// Whether its store has told it that another goes on with its run.
    var isFenced = false
    /// Whether a signal was sent to it.
    var isSignalled = false
    /// What it left behind to be taken up; the recovery begins once it died or fell asleep.
    var recovery: Recovery?
    /// When the client lets the next call of a kind go, as the platform's limits allow.
    var limits: [CallKey: CallPace] = [:]
    /// The instant that the last list of machines showed.
    var knownAt: Timestamp
    /// Calls under way, by the action that asked.
    var openCalls: [ActionID: Int] = [:]
    var marks: [EffectMark] = []
    /// What goes wrong in it, by the number of the effect or the call.
    var atEffect: [(effect: Int, what: Disturbance)] = []
    var atCall: [(call: Int, fault: CallFault)] = []

    /// One event's decisions. In place: a machine is large, and a copy of it costs more than most decisions.
    mutating func decide(_ event: RunEvent) throws(IllegalEvent) -> Agenda {
        let agenda = try machine.apply(event)
        applied += 1
        isFinished = machine.isFinished
        isReported = machine.report != nil
        isRollingBack = machine.state == .rollback
        isHolding = machine.claim.state == .held
        return agenda
    }

    /// Whether the last decision was how the run ends; true once.
    mutating func takeNewReport() -> Bool {
        guard !hasReported, isReported else { return false }
        hasReported = true
        return true
    }

    var isRunning: Bool { if case .running = life { true } else { false } }
    var isAlive: Bool {
        switch life {
        case .running, .asleep: true
        case .ended, .killed: false
        }
    }
    var ordinal: Int { who.ordinal }
    var name: String { who.name }
    var run: RunID { who.run }
}

/// What the checks must know of a process.
struct Who: Sendable {
    let ordinal: Int
    /// What a story calls it.
    let name: String
    let run: RunID
    let kind: RunKind
    /// Whether it goes on with what another left.
    let isRecovery: Bool
}

/// What the platform counts calls by.
struct CallKey: Hashable, Sendable {
    var kind: WorldCall.Kind
    var machine: MachineID?
}

/// How the client spaces its calls so that the platform never has to refuse one. Source: the generic cell rate
/// algorithm (ITU-T I.371), which equals a token bucket that begins full.
struct CallPace: Sendable {
    /// When the next call would be due if none had been saved up.
    private var due = Int64.min

    /// When a call that wants to leave at `now` may leave; counts it.
    mutating func leave(at now: Timestamp, rate: TokenBucket.Rate) -> Timestamp {
        let interval = Int64((1000 + rate.perSecond - 1) / rate.perSecond)
        let saved = Int64(rate.burst - 1) * interval
        let time = due == .min ? now.milliseconds : max(now.milliseconds, due - saved)
        due = max(due, time) + interval
        return Timestamp(milliseconds: time)
    }
}
