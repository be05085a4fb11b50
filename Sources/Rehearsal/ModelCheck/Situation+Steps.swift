// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// What a choice does.
extension Situation {
    /// Lets the choice happen, and says which law that broke.
    mutating func take(_ choice: Choice) -> BrokenLaw? {
        var broken: BrokenLaw?
        wasShared = false
        if choice.fault != nil { faultsLeft -= 1 }
        let changes = platform.changes
        switch choice {
        case .begin(let index):
            participants[index].condition = .running
            let now = now
            decide(index, &broken) { decider throws(IllegalEvent) in try decider.begin(at: now) }
        case .arrive(let index): arrive(index, &broken)
        case .deliver(let index):
            let message = messages.remove(at: index)
            if let action = message.action, let answer = message.answer {
                hear(answer, to: action, message.call, by: message.sender, &broken)
            }
        case .giveUp(let index): giveUp(index, &broken)
        case .unreachable(let index):
            answer(
                index, .failed(failure: Failure(.unavailable, "the platform can't be reached")), isAtOnce: true, &broken
            )
        case .wake(let index, let action):
            if participants[index].wakes.contains(where: { $0.action == action && $0.isShort }) {
                participants[index].hasNews = false
            }
            participants[index].wakes.removeAll { $0.action == action }
            let now = now
            decide(index, &broken) { decider throws(IllegalEvent) in
                try decider.hear(.woke, to: action, at: now)
            }
        case .boot(let index): platform.bootOn(index)
        case .time:
            if let next = nextInstant {
                now = next
                platform.endLeases(at: now)
            }
        case .awaken(let index): participants[index].condition = .running
        case .resume(let index):
            participants[index].condition = .running
            let now = now
            decide(index, &broken) { decider throws(IllegalEvent) in try decider.resume(at: now) }
        case .delay(let index):
            messages[index].isSlow = true
            messages[index].patience = now + NetworkMessage.longestPatience
        case .duplicate(let index):
            messages[index].isDuplicated = true
            var copy = messages[index]
            copy.action = nil
            messages.append(copy)
        case .stale(let index):
            switch messages[index].call {
            case .observe:
                answer(index, .observations(list: platform.earlierFleet.map(Observation.init(of:))), &broken)
            default: answer(index, .machines(list: platform.earlierFleet), &broken)
            }
        case .slowBoot(let index): platform.slowDown(index)
        case .badBoot(let index): platform.breakDown(index, at: now)
        case .sleep(let index): participants[index].condition = .asleep
        case .crash(let index): crash(index)
        case .interrupt(let index):
            let now = now
            decide(index, &broken) { decider throws(IllegalEvent) in try decider.interrupt(at: now) }
        }
        if platform.changes != changes {
            for index in participants.indices { participants[index].hasNews = true }
        }
        dropDeadGhosts()
        return broken ?? brokenNow()
    }

    // MARK: - The network

    private mutating func arrive(_ index: Int, _ broken: inout BrokenLaw?) {
        let message = messages[index]
        let reply: Answer
        if message.isWait, let deadline = message.deadline {
            let decided = platform.answer(message.call, from: message.sender, at: now, broken: &broken)
            reply = decided ?? .waitTimedOut
            precondition(decided != nil || now >= deadline, "a wait was answered before anything was decided")
        } else if let answer = platform.answer(
            message.call, from: message.sender, isLate: message.isGhost, at: now, broken: &broken)
        {
            reply = answer
        } else {
            preconditionFailure("the platform has no answer to \(message.call)")
        }
        if message.isGhost {
            messages.remove(at: index)
        } else {
            answer(index, reply, &broken)
        }
    }

    /// Sends an answer on its way; what reads only is heard at once, unless reads are split.
    private mutating func answer(_ index: Int, _ answer: Answer, isAtOnce: Bool = false, _ broken: inout BrokenLaw?) {
        let message = messages[index]
        let isRead = !message.call.isMutation && !rules.splitsReads && !message.isSlow
        guard isAtOnce || message.isWait || isRead, let action = message.action,
            participants[message.sender].condition == .running
        else {
            messages[index].answer = answer
            return
        }
        messages.remove(at: index)
        hear(answer, to: action, message.call, by: message.sender, &broken)
    }

    /// The sender stops waiting. What changes something may still be under way, or have happened.
    private mutating func giveUp(_ index: Int, _ broken: inout BrokenLaw?) {
        let message = messages[index]
        guard let action = message.action else { return }
        if message.answer == nil, message.call.isMutation {
            messages[index].action = nil
        } else {
            messages.remove(at: index)
        }
        let failure = Failure(
            .unavailable, "no answer came in time", isAmbiguous: message.call.isMutation)
        hear(.failed(failure: failure), to: action, message.call, by: message.sender, &broken)
    }

    private mutating func crash(_ index: Int) {
        participants[index].condition = .crashed
        orphan(index)
    }

    /// Nobody waits for anything any more; what has not arrived and changes something may still arrive.
    private mutating func orphan(_ index: Int) {
        participants[index].wakes = []
        messages.removeAll { $0.sender == index && ($0.answer != nil || !$0.call.isMutation) }
        for other in messages.indices where messages[other].sender == index { messages[other].action = nil }
    }

    /// A nonce or version that is past never becomes current again: calls that show one can't do anything any more.
    private mutating func dropDeadGhosts() {
        guard messages.contains(where: \.isGhost) else { return }
        messages = messages.filter { !($0.isGhost && isDead($0)) }
    }

    private func isDead(_ message: NetworkMessage) -> Bool {
        if let end = message.arrivesBefore, end <= now { return true }
        switch message.call {
        case .refreshLease(let id, let nonce, _), .releaseLease(let id, let nonce), .destroy(let id, let nonce):
            return isDead(nonce, of: id)
        case .update(let id, _, let version, let nonce, _):
            guard let index = platform.index(of: id) else { return true }
            let isOver = !version.rawValue.isEmpty && platform.machines[index].shown.instance != version
            return isOver || isDead(nonce, of: id)
        case .create(let name, _, _, _, _): return platform.machines.contains { $0.shown.name == name }
        case .acquireLease, .setMetadata, .removeMetadata, .cordon, .uncordon, .createRelease, .finishRelease:
            return false
        case .app, .machines, .observe, .machine, .wait, .versions, .lease, .metadata, .secretNames, .releases:
            return true
        }
    }

    private func isDead(_ nonce: LeaseNonce, of id: MachineID) -> Bool {
        guard !nonce.rawValue.isEmpty else { return false }
        guard let index = platform.index(of: id), let held = platform.live(index, at: now) else { return true }
        return held.lease.nonce != nonce
    }

    // MARK: - The participants

    private mutating func hear(
        _ answer: Answer, to action: ActionID, _ call: PlatformCall, by index: Int, _ broken: inout BrokenLaw?
    ) {
        remember(answer, to: call, by: index, &broken)
        guard participants[index].isUnderWay else { return }
        var heard = answer
        if let flaw = participants[index].flaw {
            switch flaw.heard(answer, to: call, at: now) {
            case .answer(let other): heard = other
            case .instead(let other):
                messages.append(NetworkMessage(sender: index, action: action, call: other))
                return
            }
        }
        let now = now
        decide(index, &broken) { decider throws(IllegalEvent) in try decider.hear(heard, to: action, at: now) }
    }

    /// Keeps what the participant was told of leases.
    private mutating func remember(
        _ answer: Answer, to call: PlatformCall, by index: Int, _ broken: inout BrokenLaw?
    ) {
        switch (call, answer) {
        case (.create, .created(let machine, let lease?)):
            participants[index].beliefs.append(.init(machine: machine.id, lease: lease))
            participants[index].beliefs.sort { $0.machine < $1.machine }
        case (.acquireLease(let id, _), .lease(let lease)):
            participants[index].beliefs.removeAll { $0.machine == id }
            participants[index].beliefs.append(.init(machine: id, lease: lease))
            participants[index].beliefs.sort { $0.machine < $1.machine }
            if id == rules.guardMachine { participants[index].left = nil }
        case (.refreshLease, .lease(let lease)):
            // One that has been given back in the meantime is not taken again by this.
            for other in participants[index].beliefs.indices
            where participants[index].beliefs[other].lease.nonce == lease.nonce {
                participants[index].beliefs[other].lease = lease
            }
        case (.refreshLease(let id, let nonce, _), .failed(let failure)) where failure.code == .leaseHeld:
            participants[index].beliefs.removeAll { $0.machine == id && $0.lease.nonce == nonce }
            participants[index].lost.append(nonce)
        default: break
        }
    }

    private mutating func decide(
        _ index: Int, _ broken: inout BrokenLaw?,
        _ body: (inout D) throws(IllegalEvent) -> [Action]
    ) {
        do throws(IllegalEvent) {
            var pending = try body(&participants[index].decider)[...]
            while let action = pending.popFirst() {
                if let answer = participants[index].decider.knownAnswer(to: action.effect) {
                    pending += try participants[index].decider.hear(answer, to: action.id, at: now)
                } else {
                    perform(action, by: index, &broken)
                }
            }
        } catch {
            broken = broken ?? BrokenLaw(.everyAnswerFits, "\(name(index)) can't go on: \(error)")
        }
        guard participants[index].condition == .running, participants[index].decider.claim != nil else { return }
        participants[index].condition = .finished
        finish(index, &broken)
    }

    private mutating func perform(_ action: Action, by index: Int, _ broken: inout BrokenLaw?) {
        switch action.effect {
        case .wake(let time):
            let isShort = [RollingRollout.pollInterval, MachineChange.leaseRetryPause, AppClaim.retryPause].contains(
                time - now)
            participants[index].wakes.append(.init(action: action.id, at: time, isShort: isShort))
        case .cancel(let earlier):
            participants[index].wakes.removeAll { $0.action == earlier }
            messages.removeAll { $0.sender == index && $0.action == earlier }
        case .platform(let wanted):
            var call = wanted
            if let flaw = participants[index].flaw {
                guard let sent = flaw.sent(wanted) else {
                    hear(.done, to: action.id, wanted, by: index, &broken)
                    return
                }
                call = sent
            }
            checkSending(call, by: index, &broken)
            if rules.isPlain(call) {
                wasShared = true
                if let answer = platform.answer(call, from: index, at: now, broken: &broken) {
                    hear(answer, to: action.id, call, by: index, &broken)
                }
                return
            }
            var message = NetworkMessage(sender: index, action: action.id, call: call)
            if case .wait(_, _, _, let seconds) = call { message.deadline = now + .seconds(seconds) }
            if call.isMutation { message.arrivesBefore = now + NetworkMessage.latestArrival }
            messages.append(message)
        case .git, .github, .image, .probe, .window, .ledger, .notify, .approvals, .elsewhere:
            preconditionFailure("nobody answers \(action.effect)")
        }
    }

    private mutating func checkSending(_ call: PlatformCall, by index: Int, _ broken: inout BrokenLaw?) {
        switch call {
        case .releaseLease(let id, let nonce):
            participants[index].beliefs.removeAll { $0.machine == id && $0.lease.nonce == nonce }
            wasShared = true
            if id == rules.guardMachine, participants[index].left == nil {
                participants[index].left = Dictionary(
                    uniqueKeysWithValues: platform.machines.map { ($0.shown.id, $0.shown.instance) })
            }
        case .update(let id, _, _, let nonce, _):
            if let guarding = rules.guardMachine.flatMap(platform.index(of:)) {
                wasShared = true
                let holder = platform.live(guarding, at: now)?.holder
                if holder != index {
                    broken = BrokenLaw(
                        .oneRunPerApp,
                        "\(name(index)) sends an update of \(id) while "
                            + (holder.map { "\(name($0)) holds the app" } ?? "it does not hold the app"))
                }
            }
            if participants[index].lost.contains(nonce) {
                broken = BrokenLaw(
                    .lostMeansLost,
                    "\(name(index)) sends an update of \(id) under a lease that it was told is lost")
            }
        default: break
        }
    }

    // MARK: - Laws

    func name(_ index: Int) -> String { "run \(["A", "B", "C"][index])" }

    private mutating func finish(_ index: Int, _ broken: inout BrokenLaw?) {
        let held = participants[index].beliefs.filter { belief in
            belief.lease.expiresAt > now && platform.index(of: belief.machine) != nil
        }
        if let belief = held.first {
            broken =
                broken
                ?? BrokenLaw(
                    .finishedHoldsNothing, "\(name(index)) has finished and still holds the lease of \(belief.machine)")
        }
        let asked = messages.first { message in
            guard message.sender == index, !message.isGhost, !message.isSlow, case .acquireLease = message.call else {
                return false
            }
            return true
        }
        if !D.leavesWithoutAnswers, let asked, case .acquireLease(let id, _) = asked.call {
            broken =
                broken
                ?? BrokenLaw(
                    .finishedHoldsNothing,
                    "\(name(index)) has finished while its request for the lease of \(id) is still under way")
        }
        orphan(index)
        if let claim = participants[index].decider.claim, claim.isSuccess {
            broken = broken ?? falseSuccess(claim, of: index)
        }
    }

    /// A machine that a success names must run what the participant put there, healthy, or what somebody else put
    /// there later.
    private func falseSuccess(_ claim: Claim, of index: Int) -> BrokenLaw? {
        func lie(_ what: String) -> BrokenLaw {
            BrokenLaw(.honestEnd, "\(name(index)) claims \(claim.text), but \(what)")
        }
        for subject in (claim.changed ?? []).sorted() {
            let found = platform.machines.first { $0.shown.id.rawValue == subject || $0.shown.name == subject }
            guard let machine = found, machine.makers.contains(index) else {
                return lie("\(subject) was never changed by it")
            }
            if machine.maker == index, !machine.isHealthy { return lie("\(subject) is not healthy") }
        }
        guard let image = claim.image else { return nil }
        let left = participants[index].left
        for machine in platform.machines where !machine.isUnseen {
            // What was changed after it had gone is somebody else's.
            if let left, left[machine.shown.id] != machine.shown.instance { continue }
            if machine.shown.imageDigest != image { return lie("\(machine.shown.id) runs something else") }
            if !machine.isHealthy { return lie("\(machine.shown.id) is not healthy") }
        }
        return nil
    }

    /// Laws on situations rather than on steps.
    private func brokenNow() -> BrokenLaw? {
        for (index, participant) in participants.enumerated() {
            for belief in participant.beliefs where participant.condition != .crashed && belief.lease.expiresAt > now {
                for other in participants[(index + 1)...] where other.condition != .crashed {
                    if other.holds(belief.machine, at: now) {
                        return BrokenLaw(.oneHolder, "two runs believe that they hold the lease of \(belief.machine)")
                    }
                }
            }
            guard participant.condition == .finished, let claim = participant.decider.claim,
                let changed = claim.changed
            else { continue }
            for machine in platform.machines where machine.makers.contains(index) {
                if !changed.contains(machine.shown.id.rawValue), !changed.contains(machine.shown.name) {
                    return BrokenLaw(
                        .honestEnd,
                        "\(name(index)) claimed \(claim.text), and yet \(machine.shown.id) was changed by it")
                }
            }
        }
        return nil
    }
}
