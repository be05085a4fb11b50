// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Making a machine, and keeping the first one of an app leased.
extension MachineChange {
    mutating func whenCreating(_ attempt: Int, _ event: Event, at now: Timestamp) throws(IllegalEvent)
        -> [Action]
    {
        switch event {
        case .created(let machine, var lease):
            self.machine = machine.id
            if plan.keepsLease {
                keptLease = lease
                lease = nil
            }
            guard isAbandoned else { return bringUp(machine.id, machine.instance, under: lease, at: now) }
            let result = Result.failed(reason: "stopped after it was created", mayHaveChanged: true)
            return lease.map { release($0, result) } ?? finish(result)
        case .failed(.create, let failure):
            // A name can be taken once only: a conflict means that an earlier, lost create did happen.
            if failure.isAmbiguous || failure.code == .conflict {
                state = .seeking(attempt: attempt)
                return [.seek]
            }
            return finish(
                .failed(reason: "the machine could not be created: \(failure.text)", mayHaveChanged: isUncertain))
        case .abandon:
            isAbandoned = true
            return []
        case .proceed, .observed, .woke: return []
        case .begin, .leased, .changed, .absent, .reached, .waitTimedOut, .released, .failed: throw illegal(event)
        }
    }

    mutating func whenSeeking(_ attempt: Int, _ event: Event, at now: Timestamp) throws(IllegalEvent)
        -> [Action]
    {
        switch event {
        case .changed(let machine):
            // An earlier attempt of the same run may have been answered by nobody, and made the very machine.
            let isOwn =
                machine.config.metadata(Bookkeeping.operation) == plan.operation.rawValue
                || machine.config.metadata(Bookkeeping.run) == plan.config.metadata(Bookkeeping.run)
                    && machine.config.substance == plan.config.substance
            guard isOwn else {
                return finish(
                    .failed(reason: "another run has made a machine of this name", mayHaveChanged: isUncertain))
            }
            if isAbandoned { return finish(.failed(reason: "stopped after it was created", mayHaveChanged: true)) }
            return bringUp(machine.id, machine.instance, under: nil, at: now)
        case .absent:
            if isAbandoned { return finish(MachineChange.uncreated) }
            guard attempt < MachineChange.maxChangeAttempts else {
                return finish(
                    .failed(
                        reason: "the platform took the create \(attempt) times and never made the machine",
                        mayHaveChanged: true))
            }
            return pause(under: nil, after: attempt, at: now)
        case .failed(.seek, let failure):
            return finish(
                .failed(
                    reason: "whether the machine was created could not be seen: \(failure.text)", mayHaveChanged: true))
        case .abandon:
            isAbandoned = true
            return []
        case .proceed, .observed, .woke: return []
        case .begin, .leased, .reached, .waitTimedOut, .released, .failed, .created: throw illegal(event)
        }
    }

    /// A create that got no answer may still be under way, and no lease keeps it from happening late.
    static let uncreated = Result.failed(reason: "stopped before it was created", mayHaveChanged: true)

    /// The answer to the create was lost, and with it the lease that the machine was born with: once that has ended by
    /// itself, another is taken.
    mutating func secure(_ hold: Hold, at now: Timestamp) -> [Action] {
        let patience = MachineChange.leaseTimeToLive + MachineChange.leaseRefreshMargin
        state = .securing(hold: hold, until: now + patience, isAsking: true)
        return [.acquireLease]
    }

    mutating func whenSecuring(
        _ hold: Hold, _ until: Timestamp, _ isAsking: Bool, _ event: Event, at now: Timestamp
    ) throws(IllegalEvent) -> [Action] {
        switch event {
        case .leased(let lease) where isAsking:
            keptLease = lease
            guard !isAbandoned else { return fail(hold, "stopped before it was held") }
            // While nobody held it, somebody else may have changed it.
            state = .checking(hold: hold)
            return [.look]
        case .failed(.lease, let failure) where isAsking:
            switch failure.code {
            case .leaseHeld, .timedOut, .unavailable, .rateLimited:
                guard !isAbandoned, now + MachineChange.leaseRetryPause < until else {
                    return fail(hold, "no lease: \(failure.text)")
                }
                state = .securing(hold: hold, until: until, isAsking: false)
                return [.wake(at: now + MachineChange.leaseRetryPause)]
            case .unauthorized, .forbidden, .notFound, .conflict, .capacity, .invalid, .refused, .cancelled:
                return fail(hold, "no lease: \(failure.text)")
            }
        case .woke where !isAsking:
            state = .securing(hold: hold, until: until, isAsking: true)
            return [.acquireLease]
        case .abandon:
            isAbandoned = true
            return isAsking ? [] : fail(hold, "stopped before it was held")
        case .woke, .proceed, .observed, .changed, .reached, .waitTimedOut, .failed(.wait, _), .failed(.look, _):
            return []
        case .begin, .leased, .created, .absent, .released, .failed: throw illegal(event)
        }
    }
}
