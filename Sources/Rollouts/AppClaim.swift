// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A run's hold on an app among machines that share nothing but the platform: leases on the machines that every run
/// must have before it changes anything, taken in one order and kept to the run's end.
///
/// A holder that lives refreshes its leases, and is seen to; one that died does not, and its leases end by themselves.
/// A holder that slept finds them gone. Runs that wait ask for the leases in the order of their ``WaitingLine``; the
/// leases alone say whose the app is.
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

    private enum Step: Hashable, Codable, Sendable {
        case look
        case writeTicket
        case removeTicket
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
    /// Whether the app was not this run's at once, or not all the time: what was known of it may be of the past.
    package private(set) var hasWaited = false
    /// Whether a machine that is no more ends in ``State/gone``.
    private var looksAgain = false
    private var firstTrouble: Timestamp?
    /// Until when a living holder is waited for; nil for not at all.
    private var waitUntil: Timestamp?
    /// Those who wait; nil where no turn has to be waited for, as by a run that has had the app before.
    private var line: WaitingLine?
    /// Where the tickets are.
    private var meeting: MachineID?
    /// The key of the run's own ticket while one may stand.
    private var ownTicket: String?
    private var hasHeld = false
    /// What people were last told about its wait, and for which of those who come before the holder was asked.
    private var told = ""
    private var toldAhead = ""

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
        case .queueing: "its turn"
        case .pausing(let machine):
            line.map(\.aheadText).flatMap { $0.isEmpty ? nil : "its turn: \($0)" }
                ?? "the lease of \(machine), which another run holds"
        case .abandoning: "the leases of the process that ended"
        case .idle, .held, .busy, .queued, .gone, .refused, .lost, .releasing, .released: ""
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
        case .idle, .abandoning, .queueing, .leasing, .asking, .pausing, .busy, .queued, .gone, .refused, .releasing,
            .released:
            false
        }
    }

    /// Keeps a lease that a machine was born with.
    package mutating func adopt(_ machine: MachineID, _ lease: Lease, _ agenda: inout Agenda) {
        leases[machine] = lease
        machines = Set(machines).union([machine]).sorted()
        if state == .idle { state = .held }
        hasHeld = true
        keep(&agenda)
    }

    /// Asks for the leases, one after the other.
    ///
    /// - Parameters:
    ///   - wait: how long a holder that lives is waited for.
    ///   - turn: what is needed to wait in order; nil where nobody else can be waiting. A run that has had the app
    ///     before, and goes on, waits for nobody's turn.
    package mutating func take(_ wanted: [MachineID], wait: Duration?, turn: Turn? = nil, _ agenda: inout Agenda) {
        machines = Set(wanted).union(leases.keys).sorted()
        let since = turn?.since ?? agenda.now
        waitUntil = wait.map { since + $0 }
        firstTrouble = nil
        looksAgain = turn?.looksAgain == true && !hasHeld
        if let turn, !hasHeld, leases.isEmpty {
            meeting = turn.machine
            line = WaitingLine(run: turn.run, who: turn.who, since: since, listed: wait == nil ? turn.tickets : [:])
        }
        next(&agenda)
    }

    /// What was known of the app is asked anew.
    package mutating func forgetWait() { hasWaited = false }

    /// Begins anew for a process that is gone: ends every lease that is known of, the run's own and `others`, and then
    /// takes new ones. What was sent under the old ones and is still on its way can't be done any more.
    package mutating func takeOver(
        _ wanted: [MachineID], others: [MachineID: LeaseNonce], wait: Duration?, _ agenda: inout Agenda
    ) {
        let known = nonces.merging(others) { own, _ in own }
        machines = Set(wanted).union(machines).sorted()
        waitUntil = wait.map { agenda.now + $0 }
        (leases, routes, sightings, firstTrouble) = ([:], [:], [:], nil)
        hasWaited = true
        if hasHeld { line = nil }
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
        // A lease that is asked for at this moment is given back as soon as it is known; a ticket likewise.
        routes = routes.filter {
            switch $0.value {
            case .acquire, .writeTicket, .removeTicket: true
            case .look, .ask, .pause, .refreshDue, .refresh, .release: false
            }
        }
        line = nil
        if !routes.values.contains(.removeTicket) { removeTicket(&agenda) }
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
        case (.writeTicket, .done), (.writeTicket, .failed):
            if line == nil { removeTicket(&agenda) }
            if state == .releasing, routes.isEmpty { state = .released }
        case (.removeTicket, .done), (.removeTicket, .failed):
            let isGone = if case .failed(let failure) = answer { failure.code == .notFound } else { true }
            if isGone, !routes.values.contains(.writeTicket) { ownTicket = nil }
            if state == .releasing, routes.isEmpty { state = .released }
        case (.look, .metadata(let values)):
            line?.look(values, at: agenda.now)
            looked(&agenda)
        case (.look, .failed(let failure)): notLooked(failure, &agenda)
        case (.acquire(let machine), .lease(let lease)):
            leases[machine] = lease
            firstTrouble = nil
            next(&agenda)
            keep(&agenda)
        case (.acquire(let machine), .failed(let failure)): notLeased(machine, failure, &agenda)
        case (.ask(let machine), .leaseHolder(let holder)):
            if isBehind { behind(holder, machine, &agenda) } else { heldBy(holder, machine, &agenda) }
        case (.ask(let machine), .failed) where isBehind && isWaitOver(at: agenda.now) && line?.isAheadLiving == true:
            behind(nil, machine, &agenda)
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
            // An app without machines is nobody's as yet.
            hasHeld = hasHeld || !leases.isEmpty || meeting != nil
            leaveLine(&agenda)
            keep(&agenda)
            return
        }
        // Whoever may wait looks who waits already; whoever may not has the list, and looks where it showed somebody.
        if let meeting, let line, leases.isEmpty, waitUntil != nil || !line.isEmpty {
            state = .queueing(machine: meeting)
            let call = PlatformCall.metadata(machine: meeting, prefix: Bookkeeping.ticketPrefix)
            routes[agenda.perform(.platform(call: call))] = .look
        } else {
            lease(machine, &agenda)
        }
    }

    private mutating func lease(_ machine: MachineID, _ agenda: inout Agenda) {
        state = .leasing(machine: machine)
        let call = PlatformCall.acquireLease(machine: machine, seconds: Int(AppClaim.timeToLive.inSeconds))
        routes[agenda.perform(.platform(call: call))] = .acquire(machine: machine)
    }

    private mutating func notLeased(_ machine: MachineID, _ failure: Failure, _ agenda: inout Agenda) {
        switch failure.code {
        case .leaseHeld:
            hasWaited = true
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
            hasWaited = true
            if looksAgain, leases.isEmpty {
                // Whoever waits there too comes to the machine that is the first one now.
                (line, ownTicket) = (nil, nil)
                state = .gone
            } else {
                next(&agenda)
            }
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
        tell(holder, &agenda)
        let isAlive = sighting.rises >= AppClaim.risesOfTheLiving
        // A lease that outlives every lease of ours is no run's: nobody can wait for its end.
        let isForeign = holder.expiresAt - agenda.now > AppClaim.timeToLive * 2
        if isAlive || isForeign, isWaitOver(at: agenda.now) {
            state = .busy(holder: "\(AppClaim.name(holder)), until \(holder.expiresAt) unless prolonged")
            return
        }
        pause(machine, &agenda)
    }

    /// Who holds a lease, for people.
    package static func name(_ holder: LeaseHolder) -> String {
        holder.description.isEmpty ? "\(holder.owner) holds its lease" : holder.description
    }

    private mutating func pause(_ machine: MachineID, _ agenda: inout Agenda) {
        state = .pausing(machine: machine)
        hasWaited = true
        writeTicket(&agenda)
        routes[agenda.perform(.wake(at: agenda.now + AppClaim.retryPause))] = .pause
    }

    // MARK: - Waiting in line

    private func isWaitOver(at now: Timestamp) -> Bool { waitUntil.map { $0 <= now } ?? true }

    /// Whether somebody comes before.
    private var isBehind: Bool { leases.isEmpty && line?.ahead.isEmpty == false }

    private mutating func looked(_ agenda: inout Agenda) {
        guard let meeting, let machine = machines.first(where: { leases[$0] == nil }) else {
            next(&agenda)
            return
        }
        let isOver = isWaitOver(at: agenda.now)
        // Tickets that nobody is known to renew keep nobody from asking for ever.
        guard isBehind, !isOver || line?.mindsPastWait() == true else {
            lease(machine, &agenda)
            return
        }
        let ahead = line?.aheadText ?? ""
        if isOver ? line?.isAheadLiving == true : toldAhead != ahead {
            toldAhead = ahead
            state = .asking(machine: meeting)
            routes[agenda.perform(.platform(call: .lease(machine: meeting)))] = .ask(machine: meeting)
        } else {
            pause(meeting, &agenda)
        }
    }

    private mutating func notLooked(_ failure: Failure, _ agenda: inout Agenda) {
        // Order is lost where tickets can't be read; who may change the app is not.
        if failure.isPassing {
            line?.lookFailed()
            looked(&agenda)
        } else {
            line = nil
            next(&agenda)
        }
    }

    /// Others wait who came before; somebody may hold the app beside them.
    private mutating func behind(_ holder: LeaseHolder?, _ machine: MachineID, _ agenda: inout Agenda) {
        let ahead = line?.aheadText ?? ""
        tell(holder, &agenda)
        guard isWaitOver(at: agenda.now), line?.isAheadLiving == true else {
            pause(machine, &agenda)
            return
        }
        state =
            holder.map {
                .busy(holder: "\(AppClaim.name($0)), until \($0.expiresAt) unless prolonged; \(ahead)")
            } ?? .queued(ahead: ahead)
    }

    /// Tells people for whom they wait: when it becomes somebody else. Also who may not wait has to see whether whoever
    /// holds the app is alive.
    private mutating func tell(_ holder: LeaseHolder?, _ agenda: inout Agenda) {
        if waitUntil == nil, let holder, told != AppClaim.name(holder) {
            told = AppClaim.name(holder)
            agenda.note(
                .message(
                    text: "\(told); its lease lives until \(holder.expiresAt) unless prolonged: looking whether it is"))
        }
        guard let waitUntil, waitUntil > agenda.now, leases.isEmpty, let line else { return }
        let ahead = line.aheadText
        let who = holder.map(AppClaim.name)
        let place = line.ahead.count + 1
        let text =
            (who ?? "nobody holds the app now") + (ahead.isEmpty ? "" : "; \(ahead)") + "; waiting in place \(place)"
        guard told != text else { return }
        told = text
        agenda.note(.message(text: "\(text) until \(waitUntil)"))
    }

    private mutating func writeTicket(_ agenda: inout Agenda) {
        guard let waitUntil, waitUntil > agenda.now, leases.isEmpty, let meeting, line != nil,
            !routes.values.contains(.writeTicket), let ticket = line?.renew(at: agenda.now), let key = line?.key
        else { return }
        ownTicket = key
        let call = PlatformCall.setMetadata(machine: meeting, key: key, value: ticket.description)
        routes[agenda.perform(.platform(call: call))] = .writeTicket
    }

    /// One that is on its way is removed once more when it has come.
    private mutating func removeTicket(_ agenda: inout Agenda) {
        guard let ownTicket, let meeting else { return }
        routes[agenda.perform(.platform(call: .removeMetadata(machine: meeting, key: ownTicket)))] = .removeTicket
    }

    /// Takes the run's own ticket away, and those of runs that are gone.
    private mutating func leaveLine(_ agenda: inout Agenda) {
        if let meeting, let line {
            for key in line.dead.prefix(AppClaim.maxDeadTickets) {
                agenda.performAndForget(.platform(call: .removeMetadata(machine: meeting, key: key)))
            }
        }
        line = nil
        removeTicket(&agenda)
    }

    /// Tickets of dead runs that are taken away at a time.
    package static let maxDeadTickets = 5

    // MARK: - Keeping

    /// Whether what is held is kept alive: also while the next machine's lease is waited for.
    private var isKeeping: Bool {
        switch state {
        case .queueing, .leasing, .asking, .pausing, .held: true
        case .idle, .abandoning, .busy, .queued, .gone, .refused, .lost, .releasing, .released: false
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
