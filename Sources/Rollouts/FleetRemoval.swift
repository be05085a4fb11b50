// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Destroys machines one after the other, each under its lease and only where it still is what it was when that was
/// decided.
package struct FleetRemoval: Hashable, Codable, Sendable {
    /// A machine to destroy, in the version that was looked at.
    package struct Target: Hashable, Codable, Sendable {
        package var machine: MachineID
        package var version: InstanceID

        package init(machine: MachineID, version: InstanceID) {
            self.machine = machine
            self.version = version
        }
    }

    package enum State: Hashable, Codable, Sendable {
        /// Next: `leasing`, `checking`, `done`.
        case waiting
        /// Next: `checking`, `leaseTaken`, `leasing` (the next machine), `done`.
        case leasing(until: Timestamp)
        /// Next: `leasing`.
        case leaseTaken(until: Timestamp)
        /// Is it still the machine that was meant? Next: `destroying`, `releasing`, `leasing` (the next), `done`.
        case checking(lease: Lease, attempt: Int)
        /// Next: `leasing` (the next), `pausing`, `done`.
        case destroying(lease: Lease, attempt: Int)
        /// Whether it happened is not known, or it did not. Next: `checking`.
        case pausing(lease: Lease, attempt: Int)
        /// Next: `leasing` (the next), `done`.
        case releasing
        case done
    }

    /// How often one machine is tried to be destroyed.
    package static let maxAttempts = 5

    package private(set) var state: State = .waiting
    package private(set) var removed: [MachineID] = []
    /// Machines that are still there, with the reason.
    package private(set) var failures: [MachineID: String] = [:]
    private var pending: [Target]
    private let borrowed: [MachineID: LeaseNonce]
    private var awaited: ActionID?
    private var isStopped = false

    /// - Parameters:
    ///   - targets: the one by which runs meet comes first (``AppClaim/precedes(_:_:)``): it is destroyed last.
    ///   - leases: leases that the run itself holds; those are used, and not released.
    package init(_ targets: [Target], leases: [MachineID: LeaseNonce]) {
        // Taken from its end.
        pending = targets
        borrowed = leases
    }

    package func awaits(_ action: ActionID) -> Bool { awaited == action }

    /// The lease that it holds itself at this moment.
    package var ownLease: [MachineID: LeaseNonce] {
        guard let machine = pending.last?.machine, borrowed[machine] == nil else { return [:] }
        return switch state {
        case .checking(let lease, _), .destroying(let lease, _), .pausing(let lease, _): [machine: lease.nonce]
        case .waiting, .leasing, .leaseTaken, .releasing, .done: [:]
        }
    }

    /// Machines that were to be destroyed and are not.
    package var remaining: [MachineID] { (pending.map(\.machine) + failures.keys).sorted() }

    package mutating func begin(_ agenda: inout Agenda) { next(&agenda) }

    /// Begins nothing more; what is under way comes to its end.
    package mutating func stop(_ agenda: inout Agenda) {
        isStopped = true
        switch state {
        case .waiting, .leaseTaken: state = .done
        case .pausing(let lease, _): release(lease, &agenda)
        case .leasing, .checking, .destroying, .releasing, .done: break
        }
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard awaits(action), let target = pending.last else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        awaited = nil
        switch (state, answer) {
        case (.leasing, .lease(let lease)): check(target, lease, 1, &agenda)
        case (.leasing(let until), .failed(let failure)): notLeased(target, failure, until, &agenda)
        case (.leaseTaken(let until), .woke): lease(target, until, &agenda)
        case (.checking(let lease, let attempt), .machine(let machine)):
            checked(machine, target, lease, attempt, &agenda)
        case (.checking(let lease, let attempt), .failed(let failure)):
            if failure.code == .notFound {
                gone(target, &agenda)
            } else if attempt < FleetRemoval.maxAttempts, !isStopped {
                pause(lease, attempt, &agenda)
            } else {
                fail(target, "it could not be looked at: \(failure.text)", lease, &agenda)
            }
        case (.destroying, .done): gone(target, &agenda)
        case (.destroying(let lease, let attempt), .failed(let failure)):
            if failure.code == .notFound {
                gone(target, &agenda)
            } else if attempt < FleetRemoval.maxAttempts {
                pause(lease, attempt, &agenda)
            } else {
                fail(target, "it could not be destroyed: \(failure.text)", lease, &agenda)
            }
        case (.pausing(let lease, let attempt), .woke): check(target, lease, attempt + 1, &agenda)
        case (.releasing, _):
            // One that a stop left alone stays among what remains.
            if failures[target.machine] != nil { pending.removeLast() }
            next(&agenda)
        default: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    private mutating func next(_ agenda: inout Agenda) {
        guard let target = pending.last, !isStopped else {
            state = .done
            return
        }
        if let nonce = borrowed[target.machine] {
            check(target, Lease(nonce: nonce, expiresAt: .distantFuture), 1, &agenda)
        } else {
            let patience = MachineChange.leaseTimeToLive + MachineChange.leaseRefreshMargin
            lease(target, agenda.now + patience, &agenda)
        }
    }

    private mutating func lease(_ target: Target, _ until: Timestamp, _ agenda: inout Agenda) {
        state = .leasing(until: until)
        let seconds = Int(MachineChange.leaseTimeToLive.inSeconds)
        awaited = agenda.perform(.platform(call: .acquireLease(machine: target.machine, seconds: seconds)))
    }

    private mutating func notLeased(_ target: Target, _ failure: Failure, _ until: Timestamp, _ agenda: inout Agenda) {
        switch failure.code {
        case .notFound: gone(target, &agenda)
        case .leaseHeld, .timedOut, .unavailable, .rateLimited:
            guard !isStopped, agenda.now + MachineChange.leaseRetryPause < until else {
                fail(target, "no lease: \(failure.text)", nil, &agenda)
                return
            }
            state = .leaseTaken(until: until)
            awaited = agenda.perform(.wake(at: agenda.now + MachineChange.leaseRetryPause))
        case .unauthorized, .forbidden, .conflict, .capacity, .invalid, .refused, .cancelled:
            fail(target, "no lease: \(failure.text)", nil, &agenda)
        }
    }

    private mutating func check(_ target: Target, _ lease: Lease, _ attempt: Int, _ agenda: inout Agenda) {
        state = .checking(lease: lease, attempt: attempt)
        awaited = agenda.perform(.platform(call: .machine(id: target.machine)))
    }

    private mutating func checked(
        _ machine: FleetMachine, _ target: Target, _ lease: Lease, _ attempt: Int, _ agenda: inout Agenda
    ) {
        if machine.state == "destroyed" || machine.state == "destroying" {
            gone(target, &agenda)
        } else if isStopped {
            release(lease, &agenda)
        } else if machine.instance != target.version {
            fail(target, "something else changed it meanwhile", lease, &agenda)
        } else {
            state = .destroying(lease: lease, attempt: attempt)
            let call = PlatformCall.destroy(machine: target.machine, nonce: lease.nonce)
            awaited = agenda.perform(.platform(call: call))
        }
    }

    private mutating func pause(_ lease: Lease, _ attempt: Int, _ agenda: inout Agenda) {
        if isStopped {
            release(lease, &agenda)
            return
        }
        state = .pausing(lease: lease, attempt: attempt)
        let pause = MachineChange.firstChangePause * (1 << (attempt - 1))
        awaited = agenda.perform(.wake(at: agenda.now + pause))
    }

    private mutating func gone(_ target: Target, _ agenda: inout Agenda) {
        removed.append(target.machine)
        pending.removeLast()
        next(&agenda)
    }

    private mutating func fail(_ target: Target, _ reason: String, _ lease: Lease?, _ agenda: inout Agenda) {
        failures[target.machine] = reason
        guard let lease else {
            pending.removeLast()
            next(&agenda)
            return
        }
        release(lease, &agenda)
    }

    /// Gives the current machine's lease back and goes on with the next; a borrowed one is not ours to give.
    private mutating func release(_ lease: Lease, _ agenda: inout Agenda) {
        guard let target = pending.last else { return }
        guard borrowed[target.machine] == nil else {
            if failures[target.machine] != nil { pending.removeLast() }
            next(&agenda)
            return
        }
        state = .releasing
        awaited = agenda.perform(.platform(call: .releaseLease(machine: target.machine, nonce: lease.nonce)))
    }
}
