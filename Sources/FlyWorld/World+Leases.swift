// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Leases: who may change a machine, and until when.
extension World {
    /// A lease may be asked for at most this long.
    package static let longestLease = Duration.seconds(24 * 3600)

    mutating func acquireLease(
        _ id: String, nonce: String?, timeToLive: Duration, note: String, caller: WorldCaller, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id], machine.state != .destroyed else {
            throw WorldFailure(404, "machine not found")
        }
        guard timeToLive > .zero, timeToLive <= World.longestLease else {
            throw WorldFailure(400, "invalid_argument: ttl must be a positive number of seconds")
        }
        if let held = machine.liveLease(at: now) {
            guard held.nonce == nonce else { throw World.leaseConflict(held, machine: id) }
            var refreshed = held
            refreshed.expiresAt = now + timeToLive
            machines[id]?.lease = refreshed
            return .lease(refreshed, isNew: true)
        }
        // A refresh that comes too late is no refresh: the machine may have been changed in between.
        guard nonce == nil else { throw World.leaseLost(machine: id) }
        let lease = WorldLease(
            nonce: ids.nonce(), owner: caller.name, expiresAt: now + timeToLive, note: note,
            version: machine.instance)
        machines[id]?.lease = lease
        return .lease(lease, isNew: true)
    }

    mutating func releaseLease(_ id: String, nonce: String?, at now: Timestamp) throws(WorldFailure) -> WorldAnswer {
        guard let held = machines[id]?.liveLease(at: now) else { throw WorldFailure(404, "lease not found") }
        guard let nonce, !nonce.isEmpty else { throw WorldFailure(400, "lease nonce is required") }
        guard held.nonce == nonce else { throw World.leaseConflict(held, machine: id) }
        machines[id]?.lease = nil
        return .done
    }

    /// Throws unless the call carries the nonce of the live lease, or no lease and no nonce are in play.
    func checkLease(of machine: WorldMachine, nonce: String?, at now: Timestamp) throws(WorldFailure) {
        if let held = machine.liveLease(at: now) {
            guard held.nonce == nonce else { throw World.leaseConflict(held, machine: machine.id) }
        } else if nonce != nil {
            throw World.leaseLost(machine: machine.id)
        }
    }

    mutating func newLease(_ timeToLive: Duration?, version: String, caller: WorldCaller, at now: Timestamp)
        -> WorldLease?
    {
        guard let timeToLive, timeToLive > .zero else { return nil }
        return WorldLease(
            nonce: ids.nonce(), owner: caller.name, expiresAt: now + timeToLive, note: "", version: version)
    }

    private static func leaseConflict(_ lease: WorldLease, machine: String) -> WorldFailure {
        let expiry = Timestamp(secondsSinceEpoch: lease.expiresAt.secondsSinceEpoch)
        return WorldFailure(
            409, "machine ID \(machine) lease currently held by \(lease.owner), expires at \(expiry)")
    }

    private static func leaseLost(machine: String) -> WorldFailure {
        WorldFailure(
            409, "machine ID \(machine) has no lease with the nonce of the request: it expired or was released")
    }
}
