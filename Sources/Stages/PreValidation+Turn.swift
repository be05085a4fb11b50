// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// A fleet that somebody else is at work on, and what is asked anew once the app is this run's.
extension PreValidation {
    /// Asks everything again for a run whose turn it is, or that has to look where its turn is waited for.
    ///
    /// - Parameters:
    ///   - isHolding: whether the app is this run's, so that nobody else is at work on it.
    ///   - isBuilt: whether the image is there: what the work tree looks like since then means nothing for it.
    mutating func askAgain(because reason: String, isHolding: Bool, isBuilt: Bool, _ agenda: inout Agenda) {
        // Who says “back” means back from what ran then; a fleet that was on its way somewhere is chosen from anew.
        if request.kind == .rollback, chosenTarget == nil, !isSecondTime, contention == nil,
            hasAskedPast || runsWholly(facts.history?.current)
        {
            chosenTarget = facts.wayBack?.number
        }
        self.isHolding = isHolding
        isSecondTime = true
        askEverythingAgain(because: reason, keepsWorktree: isBuilt, &agenda)
    }

    /// Refuses a fleet for what it looks like now, unless somebody is at work on it: then that is told instead, and it
    /// is judged when they are done.
    mutating func refuseAsItIs(_ gate: GateName, _ detail: String, hint: String = "", _ agenda: inout Agenda) {
        guard request.settings.judgesAgain == true, !isHolding,
            !request.overrides.skippedGates.contains(gate.rawValue),
            let meeting = AppClaim.meetingPoint(of: facts.fleet)
        else {
            set(gate, .refused, detail, hint: hint, &agenda)
            return
        }
        withheld[gate] = GateResult(gate, .refused, detail, hint: hint)
        guard contention == nil, !routes.values.contains(.holder(machine: meeting.id)) else { return }
        ask(.holder(machine: meeting.id), .platform(call: .lease(machine: meeting.id)), &agenda)
    }

    mutating func keepWayBack(to current: ReleaseRecord, _ agenda: inout Agenda) {
        facts.wayBack = current
        if current.commit == nil { migrationsUnknown(since: current, &agenda) }
        ask(.pullable, .image(task: .provePullable(reference: current.image)), &agenda)
    }

    /// Where the ledger knows an older release, that is the way back; else there is none.
    mutating func notAdopted(_ reason: String, _ agenda: inout Agenda) {
        if let current = facts.history?.current {
            warn(
                "another run has released since \(current.number), and \(reason): the way back is \(current.number)",
                &agenda)
            keepWayBack(to: current, &agenda)
            return
        }
        let skip = "--skip way-back deploys without a way back"
        let left = brokenOff
        refuseAsItIs(
            .wayBack, "no verified release is known, and \(left ?? reason)",
            hint: left == nil ? skip : "bring it to one release first: airboss recover \(request.pipeline)", &agenda)
    }

    /// Somebody who holds the app, or waits for it, explains a fleet that is not of one piece.
    mutating func learn(_ holder: LeaseHolder?, of machine: MachineID, _ agenda: inout Agenda) {
        let isWaitedFor = facts.fleet.contains { $0.id == machine && !($0.tickets ?? [:]).isEmpty }
        guard holder != nil || isWaitedFor else {
            tellWithheld(&agenda)
            return
        }
        let who = holder.map(AppClaim.name) ?? "runs wait for \(request.app)"
        contention = who
        agenda.note(.message(text: "\(who): the fleet is judged when this run has the app"))
    }

    /// Nobody is at work: the fleet is as it looks.
    mutating func tellWithheld(_ agenda: inout Agenda) {
        for (_, result) in withheld.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            set(result.gate, result.verdict, result.detail, hint: result.hint, &agenda)
        }
        withheld = [:]
    }

    /// What a run that is gone has left half-way or unverified, for people; nil where the fleet bears no marks of one.
    var brokenOff: String? {
        let past = PlatformPast(
            fleet: facts.fleet.filter(\.isManaged), releases: facts.platformReleases, history: facts.history,
            versions: versions)
        guard past.newestRun != nil, past.served.map(past.isUnproven) ?? true else { return nil }
        return unfinished(past)
    }

    /// The release to which another run has gone back while this one, which was to go back as well, waited for it; nil
    /// where there is none.
    func goneBackMeanwhile(_ history: ReleaseHistory) -> ReleaseNumber? {
        guard isSecondTime, request.target == nil, chosenTarget == nil, let current = history.current,
            !runsWholly(current)
        else { return nil }
        return history.verified.first { $0.number < current.number && runsWholly($0) }?.number
    }

    /// Whether every machine runs one release that another run has verified since the ledger's last one.
    func isNewer(_ managed: [FleetMachine], than current: ReleaseRecord) -> Bool {
        let numbers = Set(managed.map { $0.config.metadata("fly_release_version").flatMap { Int($0) } })
        guard numbers.count == 1, let number = numbers.first ?? nil, number > current.number.value else { return false }
        return facts.platformReleases.contains { $0.number.value == number && $0.status == "complete" }
    }
}
