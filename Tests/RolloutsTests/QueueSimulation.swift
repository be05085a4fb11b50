// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts

/// Runs that share nothing but the platform, and want one app: each takes it, changes the machine they meet at, keeps
/// it for a while, and leaves. Every one has a clock of its own.
struct QueueSimulation {
    struct Actor {
        var claim = AppClaim()
        var nextAction = 1
        /// What its clock is ahead of the platform's.
        var clock: Duration
        var keeps: Duration
        var began: Timestamp?
        var held: Timestamp?
        var ended: Timestamp?
        var isDead = false
        var calls: [String] = []
        var notes: [String] = []
    }

    private enum Due {
        case begin(Int, wait: Duration?)
        case arrive(Int, ActionID, PlatformCall)
        case deliver(Int, ActionID, Answer)
        case update(Int)
        case leave(Int)
        case die(Int)
        case forge(String, String)
    }

    static let machine = MachineID("m1")
    static let maxSteps = 60_000

    var fly = SimulatedFly(Sample.fleet(1))
    var actors: [Actor] = []
    /// In the order in which they got the app.
    private(set) var holders: [Int] = []
    private(set) var troubles: [String] = []
    /// One in so many calls about tickets is lost, or its answer is; 0 for none.
    var oneLostIn = 0
    private(set) var now = Sample.start
    private var random: SeededRandom
    private var queue: [(at: Timestamp, order: Int, due: Due)] = []
    private var order = 0

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    mutating func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    func run(_ index: Int) -> RunID { RunID("RUN\((index * 7) % 10)X\(index)") }

    /// Adds a run that begins after so many seconds; its clock may be an hour off.
    mutating func add(after seconds: Int, keeps: Duration, wait: Duration? = .seconds(7200)) {
        actors.append(Actor(clock: .seconds(pick(-3600...3600)), keeps: keeps))
        schedule(.begin(actors.count - 1, wait: wait), .seconds(seconds))
    }

    mutating func kill(_ index: Int, after seconds: Int) { schedule(.die(index), .seconds(seconds)) }

    /// The run is told to stop.
    mutating func interrupt(_ index: Int, after seconds: Int) { schedule(.leave(index), .seconds(seconds)) }

    mutating func forge(_ key: String, _ value: String, after seconds: Int) {
        schedule(.forge(Bookkeeping.ticketPrefix + key, value), .seconds(seconds))
    }

    /// Until nobody who lives wants anything any more.
    mutating func play() throws {
        for _ in 0..<QueueSimulation.maxSteps {
            guard actors.contains(where: { $0.ended == nil && !$0.isDead }) else {
                try drain()
                return
            }
            guard
                let index = queue.indices.min(by: { (queue[$0].at, queue[$0].order) < (queue[$1].at, queue[$1].order) })
            else { break }
            let (at, _, due) = queue.remove(at: index)
            now = max(now, at)
            fly.advance(to: now)
            try step(due)
        }
        troubles.append("somebody waits for ever: \(actors.map(\.claim.state))")
    }

    /// Lets everything happen that is still under way.
    private mutating func drain() throws {
        for _ in 0..<1000 {
            guard
                let index = queue.indices.min(by: { (queue[$0].at, queue[$0].order) < (queue[$1].at, queue[$1].order) })
            else { return }
            let (at, _, due) = queue.remove(at: index)
            now = max(now, at)
            fly.advance(to: now)
            try step(due)
        }
    }

    private mutating func schedule(_ due: Due, _ pause: Duration) {
        order += 1
        queue.append((now + pause, order, due))
    }

    private mutating func step(_ due: Due) throws {
        switch due {
        case .begin(let index, let wait):
            guard !actors[index].isDead else { return }
            actors[index].began = now
            let turn = AppClaim.Turn(run(index), by: "ada", in: fly.fleet)
            try decide(index) { claim, agenda throws(IllegalEvent) in
                claim.take([QueueSimulation.machine], wait: wait, turn: turn, &agenda)
            }
        case .arrive(let index, let action, let call): arrive(index, action, call)
        case .deliver(let index, let action, let answer):
            guard !actors[index].isDead, actors[index].claim.awaits(action) else { return }
            try decide(index) { claim, agenda throws(IllegalEvent) in try claim.handle(action, answer, &agenda) }
        case .update(let index):
            guard !actors[index].isDead, let nonce = actors[index].claim.nonces[QueueSimulation.machine] else { return }
            let machine = fly.fleet[0]
            _ = fly.answer(
                .update(
                    machine: machine.id, config: machine.config, currentVersion: machine.instance, nonce: nonce,
                    skipLaunch: false))
        case .leave(let index):
            guard !actors[index].isDead else { return }
            try decide(index) { claim, agenda throws(IllegalEvent) in claim.release(&agenda) }
        case .die(let index): actors[index].isDead = true
        case .forge(let key, let value):
            _ = fly.answer(.setMetadata(machine: QueueSimulation.machine, key: key, value: value))
        }
    }

    private mutating func decide(
        _ index: Int, _ body: (inout AppClaim, inout Agenda) throws(IllegalEvent) -> Void
    ) throws {
        let clock = actors[index].clock
        var agenda = Agenda(now: now + clock, nextAction: actors[index].nextAction)
        try body(&actors[index].claim, &agenda)
        actors[index].nextAction = agenda.nextAction
        for note in agenda.notes { if case .message(let text) = note { actors[index].notes.append(text) } }
        for action in agenda.actions {
            switch action.effect {
            case .wake(let time):
                schedule(.deliver(index, action.id, .woke), max(.milliseconds(1), (time - clock) - now))
            case .platform(let call):
                actors[index].calls.append(call.name)
                schedule(.arrive(index, action.id, call), random.milliseconds(10...400))
            default: troubles.append("\(action.effect) was not expected")
            }
        }
        switch actors[index].claim.state {
        case .held where actors[index].held == nil:
            actors[index].held = now
            holders.append(index)
            let others = actors.indices.filter { $0 != index && actors[$0].held != nil && actors[$0].ended == nil }
            if others.contains(where: { !actors[$0].isDead }) {
                troubles.append("two hold the app: \(index), \(others)")
            }
            // The update comes first, and its checks take their time.
            schedule(.update(index), .milliseconds(pick(100...3000)))
            schedule(.leave(index), .seconds(20) + actors[index].keeps)
        case .busy, .queued, .refused:
            if actors[index].ended == nil { schedule(.leave(index), .zero) }
            actors[index].ended = actors[index].ended ?? now
        case .releasing, .released: actors[index].ended = actors[index].ended ?? now
        default: break
        }
    }

    private mutating func arrive(_ index: Int, _ action: ActionID, _ call: PlatformCall) {
        let back = random.milliseconds(10...400)
        let isAboutTickets =
            switch call {
            case .metadata, .setMetadata, .removeMetadata: true
            default: false
            }
        let isLost = isAboutTickets && oneLostIn > 0 && random.oneIn(oneLostIn)
        if isLost, random.oneIn(2) {
            let failure = Failure(.unavailable, "no answer", isAmbiguous: true)
            schedule(.deliver(index, action, .failed(failure: failure)), back)
            return
        }
        guard var answer = fly.answer(call) else { return }
        // A lease's end is reckoned by the clock of whoever asked for it.
        if case .lease(var lease) = answer {
            lease.expiresAt = lease.expiresAt + actors[index].clock
            answer = .lease(lease: lease)
        }
        if isLost { answer = .failed(failure: Failure(.timedOut, "the answer was lost", isAmbiguous: true)) }
        schedule(.deliver(index, action, answer), back)
    }
}
