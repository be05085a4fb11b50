// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A run's hold on an app among machines that share nothing but the platform: leases on the machines that every run
/// must have before it changes anything, taken in one order and kept to the run's end.
///
/// A holder that lives refreshes its leases, and is seen to; one that died does not, and its leases end by themselves.
/// A holder that slept finds them gone.
package struct AppClaim: Hashable, Codable, Sendable {
    /// A lease lives this long unless refreshed.
    package static let timeToLive = MachineChange.leaseTimeToLive
    /// How long before its end a lease is refreshed: well before those of the other machines, which end before it.
    package static let refreshMargin = Duration.seconds(40)
    /// How much earlier than the app's the leases of all other machines end.
    package static let innerMargin = Duration.seconds(5)
    /// How often a lease is asked for that somebody else holds.
    package static let retryPause = Duration.seconds(5)
    /// How soon a refresh is tried again that got no answer.
    package static let refreshRetryPause = Duration.seconds(3)
    /// How long a platform that does not answer is asked for a lease.
    package static let patience = Duration.seconds(90)

    package enum State: Hashable, Codable, Sendable {
        /// Next: `leasing`, `held`.
        case idle
        /// Leases of a process that is gone are ended, so that nothing it sent can still be done under them. Next:
        /// `leasing`, `held`.
        case abandoning
        /// Next: `leasing` (the next machine), `asking`, `pausing`, `held`, `refused`.
        case leasing(machine: MachineID)
        /// Somebody holds the lease: who? Next: `pausing`, `refused`.
        case asking(machine: MachineID)
        /// Next: `leasing`.
        case pausing(machine: MachineID)
        /// Next: `lost`, `releasing`.
        case held
        /// Another run works on the app. Next: `releasing`.
        case busy(holder: String)
        /// Next: `releasing`.
        case refused(failure: Failure)
        /// A lease ended before it could be refreshed: the app may be another's by now. Next: `releasing`.
        case lost(reason: String)
        /// Next: `released`.
        case releasing
        case released
    }

    private enum Step: Hashable, Codable, Sendable {
        case acquire(machine: MachineID)
        case ask(machine: MachineID)
        case pause
        case refreshDue
        case refresh(machine: MachineID)
        case release(machine: MachineID)
    }

    package private(set) var state: State = .idle
    /// The machines to hold, in the order in which they are leased.
    package private(set) var machines: [MachineID] = []
    private var leases: [MachineID: Lease] = [:]
    private var routes: [ActionID: Step] = [:]
    /// What was seen of a lease that somebody else holds.
    private struct Sighting: Hashable, Codable, Sendable {
        /// When it would have ended, as it was seen last.
        var expiry: Timestamp
        /// How often it was seen to have been prolonged.
        var rises = 0
    }

    private var sightings: [MachineID: Sighting] = [:]
    /// Whether somebody else held one of the machines when it was asked for.
    package var hasMetOthers: Bool { !sightings.isEmpty }
    private var firstTrouble: Timestamp?
    /// Until when a living holder is waited for; nil for not at all.
    private var waitUntil: Timestamp?

    package init() {}

    package func awaits(_ action: ActionID) -> Bool { routes[action] != nil }

    /// The nonces to change the held machines with.
    package var nonces: [MachineID: LeaseNonce] { leases.mapValues(\.nonce) }

    /// Whether it waits for another run to be done with the app.
    package var isQueueing: Bool {
        if case .pausing = state { true } else { false }
    }

    /// What it waits for, for people; empty where it does not.
    package var waitingFor: String {
        switch state {
        case .leasing(let machine), .asking(let machine): "the lease of \(machine)"
        case .pausing(let machine): "the lease of \(machine), which another run holds"
        case .abandoning: "the leases of the process that ended"
        case .idle, .held, .busy, .refused, .lost, .releasing, .released: ""
        }
    }

    package func holds(_ machine: MachineID) -> Bool { leases[machine] != nil }

    /// Whether every lease is known to live at that time.
    package func isLive(at now: Timestamp) -> Bool {
        guard case .held = state else { return false }
        return leases.values.allSatisfy { $0.expiresAt > now }
    }

    /// When the leases of all other machines must have ended: whoever takes the app over after a holder that sleeps
    /// must not meet one of its changes. Nil where the app is not held.
    package var innerEnd: Timestamp? { leases.values.map(\.expiresAt).min().map { $0 - AppClaim.innerMargin } }

    /// Whether what was held has ended by itself, or is another's.
    package func isGone(at now: Timestamp) -> Bool {
        switch state {
        case .lost: true
        case .held: !isLive(at: now)
        case .idle, .abandoning, .leasing, .asking, .pausing, .busy, .refused, .releasing, .released: false
        }
    }

    /// The machines that a run must hold before it changes a fleet: the first one, by which all runs meet; and the
    /// first
    /// of those that stay, for the run that destroys the others.
    package static func guards(of fleet: [FleetMachine], staying: Set<ProcessGroup>) -> [MachineID] {
        let candidates = fleet.filter { $0.isManaged && !$0.config.processGroup.rawValue.hasPrefix("fly_app_") }
        let first = candidates.min(by: precedes)?.id
        let stays = candidates.filter { staying.contains($0.config.processGroup) }.min(by: precedes)?.id
        return Set([first, stays].compactMap(\.self)).sorted()
    }

    /// The order of machines by which all runs agree on the first one: the oldest, by the platform's clock, which all
    /// runs share. What a run makes while another looks never comes before what was there. The platform tells whole
    /// seconds: among the machines of one second a run makes the one with the first name first.
    package static func precedes(_ left: FleetMachine, _ right: FleetMachine) -> Bool {
        let (since, sinceRight) = (seconds(left), seconds(right))
        return since == sinceRight ? (left.name, left.id) < (right.name, right.id) : since < sinceRight
    }

    private static func seconds(_ machine: FleetMachine) -> Int64 { machine.createdAt?.secondsSinceEpoch ?? 0 }

    /// Keeps a lease that a machine was born with.
    package mutating func adopt(_ machine: MachineID, _ lease: Lease, _ agenda: inout Agenda) {
        leases[machine] = lease
        machines = Set(machines).union([machine]).sorted()
        if state == .idle { state = .held }
        keep(&agenda)
    }

    /// Asks for the leases, one after the other.
    ///
    /// - Parameter wait: how long a holder that lives is waited for.
    package mutating func take(_ wanted: [MachineID], wait: Duration?, _ agenda: inout Agenda) {
        machines = Set(wanted).union(leases.keys).sorted()
        waitUntil = wait.map { agenda.now + $0 }
        firstTrouble = nil
        next(&agenda)
    }

    /// Begins anew for a process that is gone: ends every lease that is known of, the run's own and `others`, and then
    /// takes new ones. What was sent under the old ones and is still on its way can't be done any more.
    package mutating func takeOver(
        _ wanted: [MachineID], others: [MachineID: LeaseNonce], wait: Duration?, _ agenda: inout Agenda
    ) {
        let known = nonces.merging(others) { own, _ in own }
        machines = Set(wanted).union(machines).sorted()
        waitUntil = wait.map { agenda.now + $0 }
        (leases, routes, sightings, firstTrouble) = ([:], [:], [:], nil)
        state = .abandoning
        for (machine, nonce) in known.sorted(by: { $0.key < $1.key }) {
            let call = PlatformCall.releaseLease(machine: machine, nonce: nonce)
            routes[agenda.perform(.platform(call: call))] = .release(machine: machine)
        }
        if routes.isEmpty { next(&agenda) }
    }

    /// Drops a machine that is no more.
    package mutating func forget(_ machine: MachineID) {
        leases[machine] = nil
        machines.removeAll { $0 == machine }
    }

    /// Gives back the leases of all other machines; nothing waits for it.
    package mutating func keep(only kept: [MachineID], _ agenda: inout Agenda) {
        for machine in leases.keys.sorted() where !kept.contains(machine) {
            guard let lease = leases[machine] else { continue }
            agenda.performAndForget(.platform(call: .releaseLease(machine: machine, nonce: lease.nonce)))
            forget(machine)
        }
    }

    /// Gives back what is held, and `others` that a stage held beside it.
    package mutating func release(others: [MachineID: LeaseNonce] = [:], _ agenda: inout Agenda) {
        // A lease that is asked for at this moment is given back as soon as it is known.
        routes = routes.filter { if case .acquire = $0.value { true } else { false } }
        let known = nonces.merging(others) { own, _ in own }
        for (machine, nonce) in known.sorted(by: { $0.key < $1.key }) {
            let call = PlatformCall.releaseLease(machine: machine, nonce: nonce)
            routes[agenda.perform(.platform(call: call))] = .release(machine: machine)
        }
        state = routes.isEmpty ? .released : .releasing
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard let step = routes.removeValue(forKey: action) else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        switch (step, answer) {
        case (.acquire(let machine), .lease(let lease)) where state == .releasing:
            let call = PlatformCall.releaseLease(machine: machine, nonce: lease.nonce)
            routes[agenda.perform(.platform(call: call))] = .release(machine: machine)
        case (.acquire, .failed) where state == .releasing: if routes.isEmpty { state = .released }
        case (.acquire(let machine), .lease(let lease)):
            leases[machine] = lease
            firstTrouble = nil
            next(&agenda)
            keep(&agenda)
        case (.acquire(let machine), .failed(let failure)): notLeased(machine, failure, &agenda)
        case (.ask(let machine), .leaseHolder(let holder)): heldBy(holder, machine, &agenda)
        case (.ask(let machine), .failed):
            // Who it is can't be read; that somebody has it is known.
            pause(machine, &agenda)
        case (.pause, .woke): next(&agenda)
        case (.refreshDue, .woke): refresh(&agenda)
        case (.refresh(let machine), .lease(let lease)):
            guard leases[machine] != nil else { return }
            leases[machine] = lease
            keep(&agenda)
        case (.refresh(let machine), .failed(let failure)): notRefreshed(machine, failure, &agenda)
        case (.release(let machine), _):
            leases[machine] = nil
            guard routes.isEmpty else { return }
            if state == .abandoning { next(&agenda) } else { state = .released }
        default: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    // MARK: - Taking

    private mutating func next(_ agenda: inout Agenda) {
        guard let machine = machines.first(where: { leases[$0] == nil }) else {
            state = .held
            keep(&agenda)
            return
        }
        state = .leasing(machine: machine)
        let call = PlatformCall.acquireLease(machine: machine, seconds: Int(AppClaim.timeToLive.inSeconds))
        routes[agenda.perform(.platform(call: call))] = .acquire(machine: machine)
    }

    private mutating func notLeased(_ machine: MachineID, _ failure: Failure, _ agenda: inout Agenda) {
        switch failure.code {
        case .leaseHeld:
            state = .asking(machine: machine)
            routes[agenda.perform(.platform(call: .lease(machine: machine)))] = .ask(machine: machine)
        case .timedOut, .unavailable, .rateLimited:
            let since = firstTrouble ?? agenda.now
            firstTrouble = since
            if agenda.now - since < AppClaim.patience {
                pause(machine, &agenda)
            } else {
                state = .refused(failure: failure)
            }
        case .notFound:
            // A machine that is no more need not be held.
            forget(machine)
            next(&agenda)
        case .unauthorized, .forbidden, .conflict, .capacity, .invalid, .refused, .cancelled:
            state = .refused(failure: failure)
        }
    }

    /// How often a lease must have been seen prolonged before its holder counts as alive: one prolongation may have
    /// been under way when its sender died.
    package static let risesOfTheLiving = 2

    /// A lease that goes on being prolonged has a holder who lives.
    private mutating func heldBy(_ holder: LeaseHolder?, _ machine: MachineID, _ agenda: inout Agenda) {
        guard let holder else {
            next(&agenda)
            return
        }
        var sighting = sightings[machine] ?? Sighting(expiry: holder.expiresAt)
        if holder.expiresAt > sighting.expiry {
            sighting = Sighting(expiry: holder.expiresAt, rises: sighting.rises + 1)
        }
        sightings[machine] = sighting
        let isAlive = sighting.rises >= AppClaim.risesOfTheLiving
        // A lease that outlives every lease of ours is no run's: nobody can wait for its end.
        let isForeign = holder.expiresAt - agenda.now > AppClaim.timeToLive * 2
        if isAlive || isForeign, waitUntil.map({ $0 <= agenda.now }) ?? true {
            let who = holder.description.isEmpty ? "\(holder.owner) holds its lease" : holder.description
            state = .busy(holder: "\(who), until \(holder.expiresAt) unless prolonged")
            return
        }
        pause(machine, &agenda)
    }

    private mutating func pause(_ machine: MachineID, _ agenda: inout Agenda) {
        state = .pausing(machine: machine)
        routes[agenda.perform(.wake(at: agenda.now + AppClaim.retryPause))] = .pause
    }

    // MARK: - Keeping

    /// Whether what is held is kept alive: also while the next machine's lease is waited for.
    private var isKeeping: Bool {
        switch state {
        case .leasing, .asking, .pausing, .held: true
        case .idle, .abandoning, .busy, .refused, .lost, .releasing, .released: false
        }
    }

    /// One wake for all leases: they are taken, and so refreshed, together.
    private mutating func keep(_ agenda: inout Agenda) {
        guard isKeeping, let soonest = leases.values.map(\.expiresAt).min(),
            !routes.values.contains(.refreshDue)
        else { return }
        routes[agenda.perform(.wake(at: soonest - AppClaim.refreshMargin))] = .refreshDue
    }

    private mutating func refresh(_ agenda: inout Agenda) {
        guard isKeeping else { return }
        let seconds = Int(AppClaim.timeToLive.inSeconds)
        for machine in leases.keys.sorted() {
            guard let lease = leases[machine], agenda.now >= lease.expiresAt - AppClaim.refreshMargin,
                !routes.values.contains(.refresh(machine: machine))
            else { continue }
            let call = PlatformCall.refreshLease(machine: machine, nonce: lease.nonce, seconds: seconds)
            routes[agenda.perform(.platform(call: call))] = .refresh(machine: machine)
        }
        if !routes.values.contains(where: { if case .refresh = $0 { true } else { false } }) { keep(&agenda) }
    }

    private mutating func notRefreshed(_ machine: MachineID, _ failure: Failure, _ agenda: inout Agenda) {
        guard let lease = leases[machine], isKeeping else { return }
        guard case .held = state else {
            // It is taken once more when the others are there.
            if agenda.now + AppClaim.refreshRetryPause >= lease.expiresAt || !failure.isPassing {
                leases[machine] = nil
            }
            keep(&agenda)
            return
        }
        switch failure.code {
        case .timedOut, .unavailable, .rateLimited, .cancelled:
            guard agenda.now + AppClaim.refreshRetryPause < lease.expiresAt else {
                state = .lost(reason: "the lease of \(machine) could not be prolonged: \(failure.text)")
                return
            }
            routes[agenda.perform(.wake(at: agenda.now + AppClaim.refreshRetryPause))] = .refreshDue
        case .leaseHeld, .unauthorized, .forbidden, .notFound, .conflict, .capacity, .invalid, .refused:
            let mayBeLive = failure.code == .unauthorized || failure.code == .forbidden
            leases[machine] = nil
            state = .lost(
                reason: mayBeLive
                    ? "the lease of \(machine) could not be prolonged: \(failure.text)"
                    : "the lease of \(machine) is another's: \(failure.text)")
        }
    }
}

extension Failure {
    /// Whether the same call may succeed a moment later.
    var isPassing: Bool {
        switch code {
        case .timedOut, .unavailable, .rateLimited, .cancelled: true
        case .leaseHeld, .unauthorized, .forbidden, .notFound, .conflict, .capacity, .invalid, .refused: false
        }
    }
}
