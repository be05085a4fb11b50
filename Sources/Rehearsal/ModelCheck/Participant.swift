// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Stages

/// One run, rollout or change with what it waits for and what it believes.
struct Participant<D: Decider> {
    enum Condition: Int, Sendable {
        /// Not begun.
        case waiting
        case running
        /// Suspended, with its laptop or by SIGSTOP: what comes in waits.
        case asleep
        case crashed
        case finished
    }

    struct Wake: Sendable {
        var action: ActionID
        var at: Timestamp
        /// A poll, or a pause until a lease is asked for again.
        var isShort: Bool
    }

    /// A lease that it was told is its own.
    struct Belief: Sendable {
        var machine: MachineID
        var lease: Lease
    }

    /// The machine itself, with the last form in which it was written: most steps change one participant or none, and
    /// a situation shares the others with the one it came from.
    private final class Kept {
        var decider: D
        /// Holds at one instant, and for one numbering of what is open.
        var form: (at: Timestamp, open: [ActionID: Int], block: CanonicalForm.Block)?

        init(_ decider: D) { self.decider = decider }
    }

    private var kept: Kept
    var decider: D {
        get { kept.decider }
        _modify {
            if isKnownUniquelyReferenced(&kept) { kept.form = nil } else { kept = Kept(kept.decider) }
            yield &kept.decider
        }
    }
    /// A bug put between the machine and the world, to see whether the check finds it.
    var flaw: SeededFlaw?
    /// The participant whose crash it begins after; nil where it needs none.
    var startsAfter: Int?
    var condition = Condition.waiting
    var wakes: [Wake] = []
    var beliefs: [Belief] = []
    /// The platform has changed since it last polled or tried again.
    var hasNews = false
    /// The versions that stood there when it gave its app back.
    var left: [MachineID: InstanceID]?
    /// Nonces it was told are worth nothing any more.
    var lost: [LeaseNonce] = []

    init(_ decider: D, flaw: SeededFlaw? = nil, startsAfter: Int? = nil) {
        kept = Kept(decider)
        self.flaw = flaw
        self.startsAfter = startsAfter
    }

    /// Writes the machine; `open` numbers the actions that may still be answered.
    func writeDecider(open: [ActionID: Int], to form: CanonicalForm) {
        if let known = kept.form, known.at == form.now, known.open == open { return form.write(known.block) }
        let block = form.block { form.write(kept.decider) }
        kept.form = (form.now, open, block)
        form.write(block)
    }

    /// Something may still come from it.
    var isUnderWay: Bool { condition == .waiting || condition == .running || condition == .asleep }

    func holds(_ machine: MachineID, at now: Timestamp) -> Bool {
        beliefs.contains { $0.machine == machine && $0.lease.expiresAt > now }
    }
}

/// A call on its way to the platform, or its answer on the way back.
struct NetworkMessage: Sendable {
    var sender: Int
    /// Nil where nobody waits for the answer any more: the call may still arrive, or never.
    var action: ActionID?
    var call: PlatformCall
    var answer: Answer?
    /// Takes any time (a fault); an undisturbed message is quicker than every clock.
    var isSlow = false
    /// When it can't arrive any more: nothing is carried out that was sent so long ago.
    var arrivesBefore: Timestamp?
    /// A copy of it was delivered, so that it can't be said not to have been sent.
    var isDuplicated = false
    /// When the platform ends a wait.
    var deadline: Timestamp?
    /// When the sender of a slow call waits no longer, if it is awake then.
    var patience: Timestamp?

    /// Longer than a lease lives, so that everything can happen while a call hangs.
    static let longestPatience = Duration.seconds(65)
    /// How long a call that changes something can be under way.
    static let latestArrival = RunMachine.latestArrival

    var isGhost: Bool { action == nil }

    var isWait: Bool { deadline != nil }

    func write(to form: CanonicalForm) {
        form.write(sender)
        form.write(isGhost)
        form.write(call)
        form.write(isSlow)
        form.write(isDuplicated)
        if let deadline { form.write(deadline) }
        if let patience, !isGhost { form.write(patience) }
        if let arrivesBefore, isGhost || isSlow { form.write(arrivesBefore) }
        form.write(answer != nil)
        if let answer { form.write(answer) }
    }
}
