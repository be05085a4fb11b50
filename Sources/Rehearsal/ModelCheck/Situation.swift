// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Everything there is at one instant: the platform, the participants, and what is under way between them.
struct Situation<D: Decider> {
    var now: Timestamp
    var platform: AbstractPlatform
    var participants: [Participant<D>]
    var messages: [NetworkMessage] = []
    var faultsLeft: Int
    let rules: Rules
    /// Whether the last step had to do with anything beside its own participant; says nothing about the situation.
    var wasShared = false

    /// What may happen at all.
    struct Rules: Sendable {
        var faults: Set<ModelCheck.Fault>
        /// Whether participants may begin at any time, rather than all at once.
        var startsApart: Bool
        /// Whether polls, and tries for a lease that is taken, that would find what they found the last time are left
        /// out: time then passes to the next instant at which a lease, a deadline or a patience ends.
        var hasLongSteps: Bool
        /// Whether undisturbed calls of one participant arrive and are answered in the order in which they were sent,
        /// and its clocks ring in their order; only a slow call (a fault) is overtaken.
        var isOrdered: Bool
        /// Whether a list is read at one instant and heard at a later one.
        var splitsReads: Bool
        /// Whether a crashed participant is gone on with.
        var resumes: Bool
        /// Whether a delivery that is its hearer's own affair comes before everything else (``privateChoices()``).
        var isReduced: Bool
        /// The machine whose lease says whose the app is; nil where nobody asks.
        var guardMachine: MachineID?

        /// Calls of which nothing hangs on when they come, so that they are answered at once.
        func isPlain(_ call: PlatformCall) -> Bool {
            switch call {
            case .app, .secretNames, .createRelease, .finishRelease, .releases: true
            case .machines, .observe, .machine, .acquireLease, .refreshLease, .releaseLease, .update, .create, .wait,
                .destroy, .versions, .lease, .metadata, .setMetadata, .removeMetadata, .cordon, .uncordon:
                false
            }
        }
    }

    enum Choice: Hashable, Sendable {
        case begin(Int)
        /// A call reaches the platform.
        case arrive(Int)
        /// An answer reaches its participant.
        case deliver(Int)
        /// The sender of a slow call waits no longer.
        case giveUp(Int)
        case wake(Int, ActionID)
        /// A machine's start goes one step on.
        case boot(Int)
        case time
        case awaken(Int)
        case resume(Int)
        case delay(Int), unreachable(Int), duplicate(Int), stale(Int)
        case slowBoot(Int), badBoot(Int)
        case sleep(Int), crash(Int), interrupt(Int)

        var fault: ModelCheck.Fault? {
            switch self {
            case .begin, .arrive, .deliver, .giveUp, .wake, .boot, .time, .awaken, .resume: nil
            case .delay: .slowAnswer
            case .unreachable: .unreachable
            case .duplicate: .duplicate
            case .stale: .staleList
            case .slowBoot: .slowStart
            case .badBoot: .failedStart
            case .sleep: .sleep
            case .crash: .crash
            case .interrupt: .interrupt
            }
        }
    }

    init(_ platform: AbstractPlatform, _ participants: [Participant<D>], faults: Int, rules: Rules) {
        now = Timestamp(secondsSinceEpoch: 1_000_000)
        self.platform = platform
        self.participants = participants
        faultsLeft = faults
        self.rules = rules
    }

    /// Nobody does anything any more.
    var isOver: Bool {
        participants.allSatisfy { participant in
            switch participant.condition {
            case .finished: true
            case .running, .asleep: false
            case .crashed: !rules.resumes
            case .waiting: participant.startsAfter.map { participants[$0].condition != .crashed } ?? false
            }
        }
    }

    // MARK: - What can happen next

    /// Every thing that can happen next, always in the same order.
    func choices() -> [Choice] {
        if rules.isReduced, let found = privateChoices() { return found }
        var found = undisturbedChoices()
        if faultsLeft > 0 { addFaults(to: &found) }
        return found
    }

    /// What can happen without a fault. Time passes only where nothing that is quicker is under way.
    func undisturbedChoices() -> [Choice] {
        var found: [Choice] = []
        var isBusy = false
        func urgent(_ choice: Choice) {
            found.append(choice)
            isBusy = true
        }
        var served: Set<Int> = []
        for (index, message) in messages.enumerated() {
            if isQueued(message), !served.insert(message.sender).inserted {
                isBusy = true
                continue
            }
            let isAwake = participants[message.sender].condition == .running
            if isAwake, let patience = message.patience, patience <= now { isBusy = true }
            if message.isGhost {
                found.append(.arrive(index))
            } else if message.answer != nil {
                if message.isSlow {
                    if isAwake { found += [.deliver(index), .giveUp(index)] }
                } else if isAwake {
                    urgent(.deliver(index))
                }
            } else if message.isWait {
                if isDecided(message), isAwake { urgent(.arrive(index)) }
            } else if message.isSlow {
                if message.arrivesBefore.map({ $0 > now }) ?? true { found.append(.arrive(index)) }
                if isAwake { found.append(.giveUp(index)) }
            } else {
                urgent(.arrive(index))
            }
        }
        for (index, participant) in participants.enumerated() {
            switch participant.condition {
            case .waiting:
                if let other = participant.startsAfter {
                    if participants[other].condition == .crashed { found.append(.begin(index)) }
                } else if rules.startsApart {
                    found.append(.begin(index))
                } else {
                    urgent(.begin(index))
                }
            case .running:
                let due = participant.wakes.filter { $0.at <= now }.sorted { ($0.at, $0.action) < ($1.at, $1.action) }
                for wake in rules.isOrdered ? due.prefix(1) : due[...] { urgent(.wake(index, wake.action)) }
            case .asleep: found.append(.awaken(index))
            case .crashed: if rules.resumes { found.append(.resume(index)) }
            case .finished: break
            }
        }
        for (index, machine) in platform.machines.enumerated() {
            switch machine.boot {
            case .starting, .checking: if machine.isSlow { found.append(.boot(index)) } else { urgent(.boot(index)) }
            case .healthy, .broken: break
            }
        }
        if !isBusy, !isOver, nextInstant != nil { found.append(.time) }
        return found
    }

    /// Whether the message arrives and is answered only after those that its sender sent before it.
    private func isQueued(_ message: NetworkMessage) -> Bool {
        rules.isOrdered && !message.isGhost && !message.isWait && !message.isSlow
    }

    /// Where an answer's hearing is its participant's own affair: that it is heard, and the faults that may strike the
    /// hearer first. Nothing is lost by letting these happen before everything else: a partial-order reduction by
    /// persistent sets. Source: P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems",
    /// Springer, 1996.
    ///
    /// Why it is sound:
    /// - **Until it is heard, nothing else can happen to the participant**: it has no wait and no slow call that could
    ///   be answered before it, no clock that rings now; its other calls are behind this one. What may strike it (a
    ///   crash, a sleep, a signal) is in the set. Time stands still as long as an answer is on its way.
    /// - **It has to do with nothing but the participant.** The step is tried, and so is the signal: they neither ask
    ///   nor change the platform, drop no belief in a lease, and end nothing. They read and write only what no other
    ///   step reads or writes, so that every way on which one comes later leads to the same situations as the one on
    ///   which it comes first; the calls that it sends are only there earlier. A crash and a sleep touch nothing but
    ///   the participant and its own calls, which stay behind the answer until then.
    /// - **Faults share a bound**, so that one that strikes somebody else may keep the set's from happening. Then what
    ///   happens to this participant first is that it hears the answer, which commutes with that fault, too.
    /// - **No broken law hides behind it.** Laws on steps are judged in steps of others, which are the same, or in the
    ///   step itself, which is taken. Of the laws on situations the only one that it can touch is `oneHolder`: who
    ///   believes earlier meets more who believe, and what others do before a crash they also do after the answer was
    ///   heard.
    /// - **No step is put off for ever**: every delivery takes an answer away and makes none, and every fault is one of
    ///   a few.
    private func privateChoices() -> [Choice]? {
        guard rules.isOrdered, participants.count > 1 else { return nil }
        for (index, message) in messages.enumerated() where message.answer != nil && !message.isGhost {
            let (number, participant) = (message.sender, participants[message.sender])
            guard participant.condition == .running, !message.isSlow, !message.isWait,
                !participant.wakes.contains(where: { $0.at <= now }),
                !messages.contains(where: { $0.sender == number && !$0.isGhost && ($0.isWait || $0.isSlow) }),
                !messages[..<index].contains(where: { $0.sender == number && !$0.isGhost })
            else { continue }
            var found = [Choice.deliver(index)]
            if faultsLeft > 0 {
                let strikes = [Choice.sleep(number), .crash(number), .interrupt(number)]
                found += strikes.filter { $0.fault.map(rules.faults.contains) ?? false }
            }
            // A law broken by it is broken on a way that there is.
            let areOwn = found.allSatisfy { choice in
                switch choice {
                case .sleep, .crash: true
                default: isPrivate(choice, of: number)
                }
            }
            if areOwn { return found }
        }
        return nil
    }

    /// Whether the choice touches nothing that anybody else reads or writes, or breaks a law.
    private func isPrivate(_ choice: Choice, of number: Int) -> Bool {
        var after = self
        if after.take(choice) != nil { return true }
        let kept = participants[number].beliefs.allSatisfy { belief in
            after.participants[number].beliefs.contains {
                $0.machine == belief.machine && $0.lease.expiresAt >= belief.lease.expiresAt
            }
        }
        return !after.wasShared && kept && after.participants[number].condition == .running
    }

    private func addFaults(to found: inout [Choice]) {
        func add(_ choice: Choice) {
            if let fault = choice.fault, rules.faults.contains(fault) { found.append(choice) }
        }
        var served: Set<Int> = []
        for (index, message) in messages.enumerated() where !message.isGhost {
            if rules.isOrdered, !message.isWait, !message.isSlow, !served.insert(message.sender).inserted { continue }
            guard message.answer == nil else { continue }
            if !message.isDuplicated { add(.unreachable(index)) }
            guard !message.isWait, !message.isSlow else { continue }
            add(.delay(index))
            if message.call.isMutation, !message.isDuplicated { add(.duplicate(index)) }
            switch message.call {
            case .observe, .machines: if platform.hasEarlierFleet { add(.stale(index)) }
            default: break
            }
        }
        for (index, machine) in platform.machines.enumerated() where !machine.isSlow {
            switch machine.boot {
            case .starting:
                add(.slowBoot(index))
                add(.badBoot(index))
            case .checking: add(.slowBoot(index))
            case .healthy, .broken: break
            }
        }
        for (index, participant) in participants.enumerated() where participant.condition == .running {
            add(.sleep(index))
            add(.crash(index))
            add(.interrupt(index))
        }
    }

    /// Whether the platform can answer a wait now.
    private func isDecided(_ message: NetworkMessage) -> Bool {
        guard case .wait(let id, let version, let state, _) = message.call, let deadline = message.deadline else {
            return true
        }
        guard now < deadline, let index = platform.index(of: id) else { return true }
        let shown = platform.machines[index].shown
        return shown.instance != version || shown.state == state
    }

    /// The next instant at which something changes by the clock alone.
    var nextInstant: Timestamp? {
        var next: Timestamp?
        var nextShort: Timestamp?
        func earlier(_ time: Timestamp, _ known: Timestamp?) -> Timestamp? {
            time > now ? known.map { min($0, time) } ?? time : known
        }
        for participant in participants where participant.isUnderWay {
            for wake in participant.wakes {
                if rules.hasLongSteps, wake.isShort, !participant.hasNews {
                    nextShort = earlier(wake.at, nextShort)
                } else {
                    next = earlier(wake.at, next)
                }
            }
        }
        for message in messages where !message.isGhost {
            if let deadline = message.deadline { next = earlier(deadline, next) }
            if let patience = message.patience { next = earlier(patience, next) }
        }
        for machine in platform.machines { if let held = machine.lease { next = earlier(held.lease.expiresAt, next) } }
        return next ?? nextShort
    }

    // MARK: - Canonical form

    /// The fingerprint of everything that decides what can happen from here on.
    func fingerprint(_ form: CanonicalForm) -> SituationFingerprint {
        form.begin(at: now)
        form.masksNonces = true
        let keys = messages.map { message in form.separately { message.write(to: form) } }
        let order = messages.indices.sorted { left, right in
            // Those that stand in a queue in its order, which decides what arrives first.
            let areQueued = (isQueued(messages[left]), isQueued(messages[right]))
            if areQueued.0 != areQueued.1 { return areQueued.0 }
            if areQueued.0 { return (messages[left].sender, left) < (messages[right].sender, right) }
            if keys[left] == keys[right] { return left < right }
            return keys[left].lexicographicallyPrecedes(keys[right])
        }
        form.masksNonces = false
        form.write(faultsLeft)
        platform.write(to: form)
        for (index, participant) in participants.enumerated() {
            write(participant, index, order, to: form)
        }
        form.actions = [:]
        form.write(order.count)
        for index in order { messages[index].write(to: form) }
        return SituationFingerprint(of: form.bytes)
    }

    private func write(_ participant: Participant<D>, _ number: Int, _ order: [Int], to form: CanonicalForm) {
        // In the order in which they ring, those too that are late: a sleeper's ring one after the other.
        let wakes = participant.wakes.sorted { ($0.at, $0.action) < ($1.at, $1.action) }
        var open: [ActionID: Int] = [:]
        for wake in wakes { open[wake.action] = open.count }
        for index in order where messages[index].sender == number {
            if let action = messages[index].action { open[action] = open.count }
        }
        form.actions = open
        form.write(participant.condition.rawValue)
        form.write(rules.hasLongSteps && participant.hasNews)
        if let left = participant.left, participant.condition != .finished { form.write(left) }
        form.write(wakes.count)
        for wake in wakes {
            form.write(wake.at)
            form.write(rules.hasLongSteps && wake.isShort)
        }
        // What comes after the end concerns only what was claimed.
        if participant.condition == .finished, let claim = participant.decider.claim {
            claim.write(to: form)
        } else {
            participant.writeDecider(open: open, to: form)
        }
        let beliefs = participant.beliefs.filter { $0.lease.expiresAt > now }
        form.write(beliefs.count)
        for belief in beliefs {
            form.write(belief.machine.rawValue)
            form.write(belief.lease.nonce)
            form.write(belief.lease.expiresAt)
        }
        let lost = participant.lost.filter(form.knows)
        form.write(lost.count)
        for nonce in lost { form.write(nonce) }
    }
}
