// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// One machine's change, from lease to healthy. Pure: time comes in with events.
package struct MachineChange: Hashable, Codable, Sendable {
    /// A lease lives this long unless refreshed; a dead run's leases are gone after it.
    package static let leaseTimeToLive = Duration.seconds(60)
    /// How long before its end a lease is refreshed.
    package static let leaseRefreshMargin = Duration.seconds(20)
    /// How soon a lease is prolonged again that could not be prolonged by much, because the app's own lease ends soon.
    package static let leaseRefreshPause = Duration.seconds(3)
    /// How long to wait before asking again for a lease somebody else holds.
    package static let leaseRetryPause = Duration.seconds(2)
    /// How often one change is sent, where looking showed each time that it had not happened.
    package static let maxChangeAttempts = 5
    /// How long to wait before a change is sent for the second time; every further wait is twice as long.
    package static let firstChangePause = Duration.seconds(1)
    /// The longest wait the platform takes.
    package static let maxWaitSeconds = 60

    package let plan: Plan
    package internal(set) var state: State = .ready
    /// Whether its turn has come before its lease did.
    package internal(set) var mayProceed = false
    /// Whether it has been told to stop while an answer is outstanding that may hold a lease.
    package internal(set) var isAbandoned = false
    /// Whether a call that changes the machine got no answer: no look proves that it will not happen yet.
    package internal(set) var isUncertain = false
    /// How often its update was sent so far and had not happened.
    private var attemptsMade = 0
    /// Whether a refresh is under way: several wakes may ask for one, and one is enough.
    private var isRefreshing = false

    /// The machine; nil for one that is to be created until an answer tells of it.
    package internal(set) var machine: MachineID?

    package init(_ plan: Plan) {
        self.plan = plan
        if case .existing(let machine, _) = plan.target { self.machine = machine }
    }

    package var result: Result? {
        switch state {
        case .finished(let result), .releasing(_, let result): result
        case .ready, .leasing, .leaseTaken, .held, .updating, .looking, .creating, .seeking, .pausing, .starting,
            .checking, .securing:
            nil
        }
    }

    /// Whether it is leased and waits for its turn.
    package var isHeld: Bool { if case .held = state { true } else { false } }

    /// Whether a call may be under way that changes the machine, sent by this change and not answered.
    package var isMutationOpen: Bool {
        switch state {
        case .leasing, .updating, .looking, .creating, .seeking: true
        case .ready, .leaseTaken, .held, .pausing, .starting, .checking, .securing, .releasing, .finished: false
        }
    }

    /// Whether an update that it sent may still reach the machine: nobody has answered it, and nothing shows that it
    /// has happened.
    var mayStillArrive: Bool {
        switch result {
        case .succeeded: false
        case .failed: isUncertain
        case nil: isUncertain && !isBroughtUp || mayProceed && isMutationOpen
        }
    }

    /// Whether what it sent was seen to have happened.
    private var isBroughtUp: Bool {
        switch state {
        case .starting, .checking, .securing: true
        case .ready, .leasing, .leaseTaken, .held, .updating, .looking, .creating, .seeking, .pausing, .releasing,
            .finished:
            false
        }
    }

    /// The lease of a machine that it made, which is the run's to keep from the beginning and outlives the change.
    package internal(set) var keptLease: Lease?

    /// The machine that it made and is to keep leased, before it has come to its end.
    package var guarded: MachineID? { plan.keepsLease && !isFinished ? machine : nil }

    /// Its own lease, as far as an answer has told of one.
    package var ownLease: LeaseNonce? {
        guard plan.borrowedLease == nil else { return nil }
        return switch state {
        case .held(let lease), .updating(let lease, _), .looking(let lease, _), .releasing(let lease, _): lease.nonce
        case .pausing(let lease, _, _): lease?.nonce
        case .starting(let hold), .checking(let hold), .securing(let hold, _, _): hold.lease?.nonce
        case .ready, .leasing, .leaseTaken, .creating, .seeking, .finished: nil
        }
    }

    /// After a success a late copy of its call finds another version than it was meant for.
    var hasNotSucceeded: Bool { if case .succeeded = result { false } else { true } }

    package var isFinished: Bool { if case .finished = state { true } else { false } }

    /// Whether the machine may be away because of this change: its update was sent and it is not healthy yet.
    package var isDisturbing: Bool {
        switch state {
        case .updating, .looking, .starting, .checking, .securing: true
        case .ready, .leasing, .leaseTaken, .held, .creating, .seeking, .pausing, .releasing, .finished: false
        }
    }

    /// What people see.
    package var phase: MachineProgress.Phase {
        switch state {
        case .ready: .waiting
        case .leasing, .leaseTaken, .held: .leasing
        case .updating, .looking: .updating
        case .creating, .seeking: .creating
        case .pausing(let lease, _, _): lease == nil ? .creating : .updating
        case .starting: .starting
        case .checking, .securing: .checking
        case .releasing(_, .succeeded), .finished(.succeeded): .done
        case .releasing(_, .failed), .finished(.failed): .failed
        }
    }

    /// One decision. Throws where the event can't follow.
    package mutating func apply(_ event: Event, at now: Timestamp) throws(IllegalEvent) -> [Action] {
        if case .leased = event { isRefreshing = false }
        if case .failed(.refresh, _) = event { isRefreshing = false }
        switch event {
        case .failed(.update, let failure), .failed(.create, let failure): if failure.isAmbiguous { isUncertain = true }
        case .begin, .proceed, .leased, .changed, .created, .absent, .reached, .waitTimedOut, .observed, .released,
            .failed, .woke, .abandon:
            break
        }
        return switch state {
        case .ready: try whenReady(event, at: now)
        case .leasing(let until): try whenLeasing(until, event, at: now)
        case .leaseTaken(let until): try whenLeaseTaken(until, event, at: now)
        case .held(let lease): try whenHeld(lease, event, at: now)
        case .updating(let lease, let attempt): try whenUpdating(lease, attempt, event, at: now)
        case .looking(let lease, let attempt): try whenLooking(lease, attempt, event, at: now)
        case .creating(let attempt): try whenCreating(attempt, event, at: now)
        case .seeking(let attempt): try whenSeeking(attempt, event, at: now)
        case .pausing(let lease, let attempt, let until): try whenPausing(lease, attempt, until, event, at: now)
        case .starting(let hold): try whenStarting(hold, event, at: now)
        case .checking(let hold): try whenChecking(hold, event, at: now)
        case .securing(let hold, let until, let isAsking): try whenSecuring(hold, until, isAsking, event, at: now)
        case .releasing(let lease, let result): try whenReleasing(lease, result, event)
        // Answers that were under way when the change ended change nothing any more.
        case .finished: []
        }
    }

    func illegal(_ event: Event) -> IllegalEvent { IllegalEvent(state: "\(state)", event: "\(event)") }
}

// MARK: - Getting hold of the machine

extension MachineChange {
    private mutating func whenReady(_ event: Event, at now: Timestamp) throws(IllegalEvent) -> [Action] {
        switch event {
        case .begin:
            switch plan.target {
            case .existing:
                if let nonce = plan.borrowedLease {
                    let lease = Lease(nonce: nonce, expiresAt: .distantFuture)
                    guard mayProceed else {
                        state = .held(lease: lease)
                        return []
                    }
                    state = .updating(lease: lease, attempt: 1)
                    return [.update(lease)]
                }
                // Long enough for the lease of a run that died a moment ago to end by itself.
                let patience = max(plan.waitTimeout, MachineChange.leaseTimeToLive + MachineChange.leaseRefreshMargin)
                state = .leasing(until: now + patience)
                return [.acquireLease]
            case .new:
                state = .creating(attempt: 1)
                return [.create]
            }
        case .proceed:
            mayProceed = true
            return []
        case .abandon:
            state = .finished(result: .failed(reason: "not started", mayHaveChanged: false))
            return []
        case .observed, .woke: return []
        case .leased, .changed, .absent, .reached, .waitTimedOut, .released, .failed, .created: throw illegal(event)
        }
    }

    private mutating func whenLeasing(_ until: Timestamp, _ event: Event, at now: Timestamp) throws(IllegalEvent)
        -> [Action]
    {
        switch event {
        case .leased(let lease):
            if isAbandoned {
                return release(lease, .failed(reason: "stopped before its update", mayHaveChanged: false))
            }
            guard mayProceed else {
                state = .held(lease: lease)
                return [.wake(at: refreshTime(lease, at: now))]
            }
            state = .updating(lease: lease, attempt: 1)
            return [.update(lease), .wake(at: refreshTime(lease, at: now))]
        case .failed(.lease, let failure):
            if isAbandoned { return finish(.failed(reason: "stopped before its update", mayHaveChanged: false)) }
            switch failure.code {
            case .leaseHeld, .timedOut, .unavailable, .rateLimited:
                guard now + MachineChange.leaseRetryPause < until else {
                    return finish(.failed(reason: "no lease: \(failure.text)", mayHaveChanged: false))
                }
                state = .leaseTaken(until: until)
                return [.wake(at: now + MachineChange.leaseRetryPause)]
            case .unauthorized, .forbidden, .notFound, .conflict, .capacity, .invalid, .refused, .cancelled:
                return finish(.failed(reason: "no lease: \(failure.text)", mayHaveChanged: false))
            }
        case .proceed:
            mayProceed = true
            return []
        case .abandon:
            isAbandoned = true
            return []
        case .observed, .woke: return []
        case .begin, .changed, .absent, .reached, .waitTimedOut, .released, .failed, .created: throw illegal(event)
        }
    }

    private mutating func whenLeaseTaken(_ until: Timestamp, _ event: Event, at now: Timestamp) throws(IllegalEvent)
        -> [Action]
    {
        switch event {
        case .woke:
            state = .leasing(until: until)
            return [.acquireLease]
        case .proceed:
            mayProceed = true
            return []
        case .abandon: return finish(.failed(reason: "stopped before its update", mayHaveChanged: false))
        case .observed: return []
        case .begin, .leased, .changed, .absent, .reached, .waitTimedOut, .released, .failed, .created:
            throw illegal(event)
        }
    }

    private mutating func whenHeld(_ lease: Lease, _ event: Event, at now: Timestamp) throws(IllegalEvent) -> [Action] {
        switch event {
        case .proceed:
            mayProceed = true
            state = .updating(lease: lease, attempt: attemptsMade + 1)
            return [.update(lease)]
        case .woke: return refreshIfDue(lease, at: now)
        case .leased(let refreshed):
            state = .held(lease: refreshed)
            return [.wake(at: refreshTime(refreshed, at: now))]
        case .failed(.refresh, let failure):
            return release(lease, .failed(reason: "the lease was lost: \(failure.text)", mayHaveChanged: isUncertain))
        case .abandon: return release(lease, .failed(reason: "stopped before its update", mayHaveChanged: isUncertain))
        case .observed: return []
        case .begin, .changed, .absent, .reached, .waitTimedOut, .released, .failed, .created: throw illegal(event)
        }
    }
}

// MARK: - Changing it

extension MachineChange {
    private mutating func whenUpdating(_ lease: Lease, _ attempt: Int, _ event: Event, at now: Timestamp)
        throws(IllegalEvent) -> [Action]
    {
        switch event {
        case .changed(let machine):
            if isAbandoned { return release(lease, .failed(reason: "stopped after its update", mayHaveChanged: true)) }
            return bringUp(machine.id, machine.instance, under: lease, at: now)
        case .failed(.update, let failure):
            if failure.isAmbiguous || failure.code == .conflict {
                state = .looking(lease: lease, attempt: attempt)
                return [.look]
            }
            return release(
                lease, .failed(reason: "the update was refused: \(failure.text)", mayHaveChanged: isUncertain))
        case .woke: return refreshIfDue(lease, at: now)
        case .leased(let refreshed):
            state = .updating(lease: refreshed, attempt: attempt)
            return [.wake(at: refreshTime(refreshed, at: now))]
        case .failed(.refresh, _): return []  // the update itself tells whether the lease still held
        case .abandon:
            isAbandoned = true
            return []
        case .proceed, .observed: return []
        case .begin, .absent, .reached, .waitTimedOut, .released, .failed, .created: throw illegal(event)
        }
    }

    private mutating func whenLooking(_ lease: Lease, _ attempt: Int, _ event: Event, at now: Timestamp)
        throws(IllegalEvent) -> [Action]
    {
        switch event {
        case .changed(let machine):
            let isOurs = machine.config.metadata(Bookkeeping.operation) == plan.operation.rawValue
            if isAbandoned {
                return release(
                    lease, .failed(reason: "stopped during its update", mayHaveChanged: isOurs || isUncertain))
            }
            if isOurs { return bringUp(machine.id, machine.instance, under: lease, at: now) }
            guard case .existing(_, machine.instance) = plan.target else {
                return release(
                    lease, .failed(reason: "something else changed the machine meanwhile", mayHaveChanged: true))
            }
            guard attempt < MachineChange.maxChangeAttempts else {
                return release(
                    lease,
                    .failed(
                        reason: "the platform took the update \(attempt) times and never applied it",
                        mayHaveChanged: isUncertain))
            }
            return pause(under: lease, after: attempt, at: now)
        case .failed(.look, let failure):
            return release(
                lease,
                .failed(reason: "whether the update happened could not be seen: \(failure.text)", mayHaveChanged: true))
        case .woke: return refreshIfDue(lease, at: now)
        case .leased(let refreshed):
            state = .looking(lease: refreshed, attempt: attempt)
            return [.wake(at: refreshTime(refreshed, at: now))]
        case .failed(.refresh, _): return []
        case .abandon:
            isAbandoned = true
            return []
        case .proceed, .observed: return []
        case .begin, .absent, .reached, .waitTimedOut, .released, .failed, .created: throw illegal(event)
        }
    }

    /// A machine that is busy refuses every change until it is not: sent again at once, all attempts would fail.
    mutating func pause(under lease: Lease?, after attempt: Int, at now: Timestamp) -> [Action] {
        let until = now + MachineChange.firstChangePause * (1 << (attempt - 1))
        state = .pausing(lease: lease, attempt: attempt, until: until)
        // A refresh that failed while the change was under way left nobody to wake for the next one.
        return [.wake(at: until)] + refreshIfDue(lease, at: now)
    }

    private mutating func whenPausing(
        _ lease: Lease?, _ attempt: Int, _ until: Timestamp, _ event: Event, at now: Timestamp
    ) throws(IllegalEvent) -> [Action] {
        switch (event, lease) {
        case (.woke, _) where now < until: return refreshIfDue(lease, at: now)
        case (.woke, let lease?):
            // Whether the machine may be taken away is asked anew: the others may be worse off by now.
            attemptsMade = attempt
            mayProceed = false
            state = .held(lease: lease)
            return refreshIfDue(lease, at: now)
        case (.woke, nil):
            state = .creating(attempt: attempt + 1)
            return [.create]
        case (.leased(let refreshed), .some):
            state = .pausing(lease: refreshed, attempt: attempt, until: until)
            return [.wake(at: refreshTime(refreshed, at: now))]
        case (.failed(.refresh, let failure), let lease?):
            return release(lease, .failed(reason: "the lease was lost: \(failure.text)", mayHaveChanged: isUncertain))
        case (.abandon, let lease?):
            return release(lease, .failed(reason: "stopped before its update", mayHaveChanged: isUncertain))
        case (.abandon, nil): return finish(MachineChange.uncreated)
        case (.proceed, _), (.observed, _): return []
        case (.begin, _), (.leased, nil), (.changed, _), (.absent, _), (.reached, _), (.waitTimedOut, _),
            (.released, _), (.failed, _), (.created, _):
            throw illegal(event)
        }
    }
}

// MARK: - Bringing it up

extension MachineChange {
    private mutating func whenStarting(_ hold: Hold, _ event: Event, at now: Timestamp) throws(IllegalEvent) -> [Action]
    {
        switch event {
        case .reached:
            guard plan.config.checkCount > 0 else { return succeed(hold, at: now) }
            state = .checking(hold: hold)
            return [.look]
        case .waitTimedOut:
            guard now < hold.deadline else {
                return fail(hold, "it did not start within \(MachineChange.text(plan.waitTimeout))")
            }
            return [.wait(hold.machine, hold.version, seconds: waitSeconds(hold, at: now))]
        case .failed(.wait, let failure):
            guard now < hold.deadline else {
                return fail(hold, "it did not start within \(MachineChange.text(plan.waitTimeout)): \(failure.text)")
            }
            // The shared poll tells how it goes on; the wait is only quicker.
            return [.look]
        case .observed(let observation):
            if let reason = ruin(of: observation, under: hold) { return [.cancelWait] + fail(hold, reason) }
            guard observation.instance == hold.version, observation.state == "started" else { return [] }
            if observation.isRunningHealthily(expectedChecks: plan.config.checkCount) {
                return [.cancelWait] + succeed(hold, at: now)
            }
            return []
        case .changed(let machine):
            return try whenStarting(hold, .observed(observation: Observation(of: machine)), at: now)
        case .woke:
            if now >= hold.deadline {
                return [.cancelWait] + fail(hold, "it did not start within \(MachineChange.text(plan.waitTimeout))")
            }
            return refreshIfDue(hold.lease, at: now)
        case .leased(let refreshed):
            state = .starting(hold: renewed(hold, refreshed))
            return [.wake(at: min(refreshTime(refreshed, at: now), hold.deadline))]
        case .failed(.refresh, let failure): return [.cancelWait] + fail(hold, "the lease was lost: \(failure.text)")
        case .failed(.look, _), .proceed: return []
        case .abandon: return [.cancelWait] + fail(hold, "stopped while it started")
        case .begin, .absent, .released, .failed, .created: throw illegal(event)
        }
    }

    private mutating func whenChecking(_ hold: Hold, _ event: Event, at now: Timestamp) throws(IllegalEvent) -> [Action]
    {
        switch event {
        case .observed(let observation):
            if let reason = ruin(of: observation, under: hold) { return fail(hold, reason) }
            if observation.instance == hold.version,
                observation.isRunningHealthily(expectedChecks: plan.config.checkCount)
            {
                return succeed(hold, at: now)
            }
            guard now < hold.deadline else {
                let check = observation.failingCheck.isEmpty ? "no result yet" : observation.failingCheck
                return fail(hold, "its checks did not pass within \(MachineChange.text(plan.waitTimeout)) (\(check))")
            }
            return []
        case .changed(let machine):
            return try whenChecking(hold, .observed(observation: Observation(of: machine)), at: now)
        case .woke:
            if now >= hold.deadline {
                return fail(hold, "its checks did not pass within \(MachineChange.text(plan.waitTimeout))")
            }
            return refreshIfDue(hold.lease, at: now)
        case .leased(let refreshed):
            state = .checking(hold: renewed(hold, refreshed))
            return [.wake(at: min(refreshTime(refreshed, at: now), hold.deadline))]
        case .failed(.refresh, let failure): return fail(hold, "the lease was lost: \(failure.text)")
        case .failed(.look, _), .failed(.wait, _), .reached, .waitTimedOut, .proceed: return []
        case .abandon: return fail(hold, "stopped while its checks ran")
        case .begin, .absent, .released, .failed, .created: throw illegal(event)
        }
    }

    private mutating func whenReleasing(_ lease: Lease, _ result: Result, _ event: Event) throws(IllegalEvent)
        -> [Action]
    {
        switch event {
        case .released, .failed(.release, _):
            // A lease whose release failed ends by itself after its time to live.
            return finish(result)
        case .leased, .failed, .observed, .changed, .created, .reached, .waitTimedOut, .proceed, .abandon, .woke:
            return []
        case .begin, .absent: throw illegal(event)
        }
    }

    mutating func bringUp(_ machine: MachineID, _ version: InstanceID, under lease: Lease?, at now: Timestamp)
        -> [Action]
    {
        self.machine = machine
        let hold = Hold(machine: machine, version: version, lease: lease, deadline: now + plan.waitTimeout)
        guard !plan.skipLaunch else { return succeed(hold, at: now) }
        state = .starting(hold: hold)
        let wake = lease.map { min(refreshTime($0, at: now), hold.deadline) } ?? hold.deadline
        return [.wait(machine, version, seconds: waitSeconds(hold, at: now)), .wake(at: wake)]
    }

    private func waitSeconds(_ hold: Hold, at now: Timestamp) -> Int {
        let left = Int((hold.deadline - now).inSeconds.rounded(.up))
        return min(max(left, 1), MachineChange.maxWaitSeconds)
    }

    /// Why the version can't become healthy any more, or nil while it can.
    private func ruin(of observation: Observation, under hold: Hold) -> String? {
        guard observation.instance == hold.version else {
            // A list read before the update is answered with the version that was there before.
            if case .existing(_, observation.instance) = plan.target { return nil }
            return "something else changed the machine meanwhile"
        }
        return observation.ruin
    }

    mutating func succeed(_ hold: Hold, at now: Timestamp) -> [Action] {
        let result = Result.succeeded(machine: hold.machine, version: hold.version)
        if plan.keepsLease, keptLease == nil { return secure(hold, at: now) }
        return hold.lease.map { release($0, result) } ?? finish(result)
    }

    mutating func fail(_ hold: Hold, _ reason: String) -> [Action] {
        let result = Result.failed(reason: reason, mayHaveChanged: true)
        return hold.lease.map { release($0, result) } ?? finish(result)
    }

    mutating func release(_ lease: Lease, _ result: Result) -> [Action] {
        guard plan.borrowedLease == nil else { return finish(result) }
        state = .releasing(lease: lease, result: result)
        return [.releaseLease(lease)]
    }

    mutating func finish(_ result: Result) -> [Action] {
        state = .finished(result: result)
        return []
    }

    private mutating func refreshIfDue(_ lease: Lease?, at now: Timestamp) -> [Action] {
        guard let lease, !isRefreshing, now >= lease.expiresAt - MachineChange.leaseRefreshMargin else { return [] }
        isRefreshing = true
        return [.refreshLease(lease)]
    }

    private func refreshTime(_ lease: Lease, at now: Timestamp) -> Timestamp {
        max(lease.expiresAt - MachineChange.leaseRefreshMargin, now + MachineChange.leaseRefreshPause)
    }

    private func renewed(_ hold: Hold, _ lease: Lease) -> Hold {
        var copy = hold
        copy.lease = lease
        return copy
    }

    static func text(_ duration: Duration) -> String {
        let seconds = Int(duration.inSeconds)
        return seconds >= 120 && seconds % 60 == 0 ? "\(seconds / 60) min" : "\(seconds) s"
    }
}

extension Observation {
    /// Why this version can't be well any more, or nil while it can.
    var ruin: String? {
        if let exit {
            let cause = exit.isOutOfMemory ? "ran out of memory" : "exited with code \(exit.code)"
            return "the process \(cause) soon after its start"
        }
        switch state {
        case "failed", "launch_failed": return "the machine failed to start"
        case "destroyed", "destroying": return "the machine was destroyed"
        default: return nil
        }
    }

    /// Runs with all its checks passing, cordoned or not.
    func isRunningHealthily(expectedChecks: Int) -> Bool {
        state == "started" && isHostReachable && checksReported >= expectedChecks && checksPassing == checksReported
    }
}
