// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Where a rollback goes.
extension PreValidation {
    /// A rollback goes to a verified release that has not failed since: the one asked for; else, from a fleet that runs
    /// the current one, the last before it, and from any other fleet the current one.
    mutating func chooseTarget(_ history: ReleaseHistory, _ agenda: inout Agenda) {
        if let done = goneBackMeanwhile(history) {
            set(
                .wayBack, .refused, "while this run waited, another has gone back to \(done)",
                hint: "it runs now; to go back further, name the release with --to", &agenda)
            return
        }
        guard let release = ledgerTarget(history) else {
            refuseTarget(known: history.verified.map(\.number), in: history, &agenda)
            return
        }
        goBack(to: release, &agenda)
    }

    mutating func goBack(to release: ReleaseRecord, _ agenda: inout Agenda) {
        facts.wayBack = release
        askForUndoneMigrations(to: release, &agenda)
        ask(.pullable, .image(task: .provePullable(reference: release.image)), &agenda)
    }

    /// The release that somebody has named, or that was chosen before the app was waited for.
    private var wantedTarget: ReleaseNumber? { request.target ?? chosenTarget }

    /// The release that the ledger alone would go back to.
    func ledgerTarget(_ history: ReleaseHistory) -> ReleaseRecord? {
        let candidates = history.verified + (history.current.map { [$0] } ?? [])
        if let wanted = wantedTarget { return candidates.first { $0.number == wanted } }
        return runsWholly(history.current)
            ? history.verified.first { release in history.current.map { release.number < $0.number } ?? true }
            : history.current ?? history.verified.first
    }

    mutating func refuseTarget(known: [ReleaseNumber], in history: ReleaseHistory, _ agenda: inout Agenda) {
        let known = known.map(\.description).joined(separator: ", ")
        guard let wanted = request.target else {
            set(
                .wayBack, .refused, "there is no earlier verified release to go back to",
                hint: known.isEmpty ? PreValidation.otherStore : "name one of \(known) with --to", &agenda)
            return
        }
        let state = history.states.first { $0.number == wanted }?.state
        let why = state.map { "\(wanted) is \($0.rawValue), not verified" } ?? "there is no verified \(wanted)"
        set(
            .wayBack, .refused, why,
            hint: known.isEmpty ? PreValidation.otherStore : "verified releases: \(known)", &agenda)
    }

    static let otherStore =
        "use the state store of the deploys (--state or AIRBOSS_STATE), or deploy an earlier commit with --commit"

    /// Whether every managed machine runs a release; one that does not is on its way from it, or broken off.
    func runsWholly(_ release: ReleaseRecord?) -> Bool {
        guard let release else { return true }
        return facts.fleet.filter(\.isManaged).allSatisfy { $0.imageDigest == release.digest }
    }
}

/// A rollback whose state store knows no way back: it was begun elsewhere than the deploys, by a person at another
/// machine or on a fresh runner. The platform knows its releases and the configs that machines have had.
extension PreValidation {
    var isAskingPast: Bool {
        routes.values.contains { if case .versions = $0 { true } else { false } }
    }

    /// Asks, once, for what the platform knows of the past; false where the ledger is enough.
    mutating func askForPast(of managed: [FleetMachine], _ agenda: inout Agenda) -> Bool {
        guard request.kind == .rollback, !hasAskedPast, !managed.isEmpty, let history = facts.history else {
            return false
        }
        let serving = managed.compactMap { PlatformPast.Mark($0.config).release }.max()
        let isBehind = serving.map { serving in history.states.allSatisfy { $0.number < serving } } ?? false
        guard isBehind || ledgerTarget(history) == nil else { return false }
        hasAskedPast = true
        facts.servedByMarks = serving ?? ReleaseNumber(0)
        ask(.releases, .platform(call: .releases(limit: Diagnosis.maxReleases)), &agenda)
        for machine in managed {
            ask(.versions(machine: machine.id), .platform(call: .versions(machine: machine.id)), &agenda)
        }
        return true
    }

    /// The release asked for; else, where every machine is on one, the newest before it that was verified. A fleet on
    /// several is what a run left behind, which `recover` knows how to undo.
    mutating func chooseTargetFromPast(_ managed: [FleetMachine], _ agenda: inout Agenda) {
        let past = PlatformPast(
            fleet: managed, releases: facts.platformReleases, history: facts.history, versions: versions)
        let verified = past.verified
        if wantedTarget == nil, past.served.map(past.isUnproven) ?? true {
            refuseAsItIs(
                .wayBack, unfinished(past),
                hint: "finish or undo it: airboss recover \(request.pipeline)", &agenda)
            return
        }
        let goal = verified.first { mark in
            wantedTarget.map { mark.release == $0 } ?? past.served.map { isEarlier(mark, than: $0) } ?? false
        }
        guard let goal else {
            refuseTarget(
                known: verified.compactMap(\.release),
                in: facts.history ?? ReleaseHistory(current: nil, verified: [], states: []), &agenda)
            return
        }
        restore(goal, past, &agenda)
    }

    /// Where nothing tells of the served release's number, it is from before every release that Airboss made.
    private func isEarlier(_ mark: PlatformPast.Mark, than served: PlatformPast.Mark) -> Bool {
        guard let number = mark.release, let current = served.release else { return false }
        return number < current && mark.digest != nil
    }

    private mutating func restore(_ goal: PlatformPast.Mark, _ past: PlatformPast, _ agenda: inout Agenda) {
        var machines: [RecordedMachine] = []
        var lost: [String] = []
        for machine in past.fleet {
            guard
                let config = past.isOn(goal, machine)
                    ? machine.config : past.config(of: goal, for: machine, asOthersHad: true)
            else {
                lost.append("\(machine.id) (\(machine.config.processGroup))")
                continue
            }
            var recorded = RecordedMachine(machine)
            recorded.config = config
            machines.append(recorded)
        }
        guard lost.isEmpty, let record = past.record(of: goal, machines: machines, for: request, at: agenda.now) else {
            let which = lost.isEmpty ? "its machines" : lost.joined(separator: ", ")
            set(
                .wayBack, .refused, "the platform does not show how \(goal.name) ran on \(which)",
                hint: PreValidation.otherStore, &agenda)
            return
        }
        warn(
            "the state store does not know all releases of the app: \(goal.name) is restored as the platform shows it",
            &agenda)
        goBack(to: record, &agenda)
    }

    /// What a run left behind, for people.
    func unfinished(_ past: PlatformPast) -> String {
        let counts = Dictionary(grouping: past.fleet.map { past.mark($0).name }) { $0 }.mapValues(\.count)
        let spread = counts.sorted { $0.key < $1.key }.map { "\($0.value) on \($0.key)" }.joined(separator: ", ")
        let run = past.newestRun?.rawValue ?? "of somebody"
        // Its lease, while it lived, said more of it.
        let who = formerHolder.flatMap { $0.contains(run) ? $0 : nil } ?? "run \(run)"
        return "\(who) has not ended: of \(past.fleet.count) machines, \(spread)"
    }
}
