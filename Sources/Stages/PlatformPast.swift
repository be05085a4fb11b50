// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What the platform itself tells of an app's past, for whoever has no ledger that knows it: the marks that runs leave
/// on machines, the configs that machines have had, and the platform's releases with their ends.
struct PlatformPast {
    /// What a config says of the release it belongs to.
    struct Mark: Hashable {
        var release: ReleaseNumber?
        var run: RunID?
        var kind: RunKind?
        var digest: ImageDigest?

        init(_ config: MachineConfig, digest: ImageDigest? = nil) {
            let metadata = config.metadata
            release = metadata["fly_release_version"].flatMap(ReleaseNumber.init(parsing:))
            run = metadata[Bookkeeping.run].flatMap { $0.isEmpty ? nil : RunID($0) }
            kind = metadata[Bookkeeping.kind].flatMap(RunKind.init(rawValue:))
            self.digest = digest ?? config.image.flatMap(ImageReference.init(parsing:))?.digest
        }

        /// Of one release: the same number where both have one, else the same image.
        func isOfSameRelease(as other: Mark) -> Bool {
            if let release, let theirs = other.release { return release == theirs }
            return digest != nil && digest == other.digest
        }

        /// For people.
        var name: String { release?.description ?? digest?.short ?? "the release" }
    }

    /// The machines that Airboss manages.
    let fleet: [FleetMachine]
    let releases: [PlatformReleaseEntry]
    /// Nil where there is no ledger to be read.
    let history: ReleaseHistory?
    let versions: [MachineID: [MachineVersionEntry]]

    func mark(_ machine: FleetMachine) -> Mark { Mark(machine.config, digest: machine.imageDigest) }

    /// Whether nobody has said that the release is good: it is open, failed or was broken off.
    func isUnproven(_ mark: Mark) -> Bool {
        guard let number = mark.release else { return false }
        if let state = history?.states.first(where: { $0.number == number })?.state {
            return state == .failed || state == .deploying && !isComplete(number)
        }
        guard let entry = releases.first(where: { $0.number == number }) else { return false }
        return entry.status != "complete"
    }

    private func isComplete(_ number: ReleaseNumber) -> Bool {
        releases.first { $0.number == number }?.status == "complete"
    }

    /// The newest run that left its mark; runs sort by their start.
    var newestRun: RunID? { fleet.compactMap { mark($0).run }.max() }

    var isNewestRunRollback: Bool {
        let newest = newestRun
        return fleet.map(mark).contains { $0.run == newest && $0.kind == .rollback }
    }

    /// What all machines are on; nil where they are on different releases.
    var served: Mark? {
        let marks = fleet.map(mark)
        guard let first = marks.first, marks.allSatisfy({ $0.isOfSameRelease(as: first) }) else { return nil }
        return first
    }

    // MARK: - Which release

    /// The release that all machines shall be on: where a run was on its way back, the one it went to; else the one
    /// that serves and is proven; else the one before.
    var goal: Mark? {
        let marks = fleet.map(mark)
        let newest = newestRun
        if let back = marks.first(where: { $0.run == newest && $0.kind == .rollback && !isUnproven($0) }) {
            return back
        }
        // Of two proven ones the newer run's is the one that was meant. An image of which no release is known was
        // verified by nobody.
        let proven = marks.filter { !isUnproven($0) }
        if let best = newestRelease(of: proven) { return best }
        guard proven.count < marks.count else { return proven.first }
        return newestRelease(of: former.filter { !isUnproven($0) }) ?? replaced()
    }

    /// What configs of old say, of all machines.
    private var former: [Mark] { fleet.flatMap { versions[$0.id] ?? [] }.map { Mark($0.config) } }

    private func newestRelease(of marks: [Mark]) -> Mark? {
        marks.filter { $0.release != nil }.max {
            ($0.run?.rawValue ?? "", $0.release?.value ?? 0) < ($1.run?.rawValue ?? "", $1.release?.value ?? 0)
        }
    }

    /// What the unfinished run itself says that it replaced: a fleet from before any release.
    private func replaced() -> Mark? {
        for machine in fleet where isUnproven(mark(machine)) {
            guard let former = machine.config.metadata(Bookkeeping.replaces) else { continue }
            if let entry = (versions[machine.id] ?? []).first(where: { $0.config.fingerprint == former }) {
                return Mark(entry.config)
            }
        }
        return nil
    }

    /// Releases that machines have been on and that a rollback may go to: those that the ledger knows as verified, and
    /// of those it does not know the ones that the platform knows as complete. Newest first.
    var verified: [Mark] {
        let known = former.filter { mark in
            guard let number = mark.release else { return false }
            guard let state = history?.states.first(where: { $0.number == number })?.state else {
                return isComplete(number)
            }
            return state == .verified
        }
        return Dictionary(known.map { ($0.release, $0) }) { first, _ in first }.values.sorted {
            ($0.release?.value ?? 0) > ($1.release?.value ?? 0)
        }
    }

    // MARK: - Which configs

    /// Whether the machine needs no change to be on a release.
    func isOn(_ goal: Mark, _ machine: FleetMachine) -> Bool {
        mark(machine).isOfSameRelease(as: goal) || isEqual(machine, to: goal)
    }

    /// Whether the machine runs just what a machine of its group runs that is on the release: a deploy leaves a machine
    /// alone on which there is nothing to change, and with it the marks of an earlier run.
    private func isEqual(_ machine: FleetMachine, to goal: Mark) -> Bool {
        guard machine.imageDigest == goal.digest else { return false }
        return fleet.contains {
            $0.config.processGroup == machine.config.processGroup && mark($0).isOfSameRelease(as: goal)
                && $0.config.substance == machine.config.substance
        }
    }

    /// Whether the newest run made the machine, which was never on the release.
    func isMadeByNewestRun(_ machine: FleetMachine, after goal: Mark) -> Bool {
        let own = mark(machine)
        return machine.config.metadata(Bookkeeping.created) == own.run?.rawValue && own.run == newestRun
            && newest(of: goal, machine) == nil
    }

    /// The newest config of that release that the machine has had, else that of another machine of its group which is
    /// on it; with `asOthersHad`, else one that another machine of its group has had.
    func config(of goal: Mark, for machine: FleetMachine, asOthersHad: Bool = false) -> MachineConfig? {
        if let own = newest(of: goal, machine) { return own }
        let others = fleet.filter { $0.config.processGroup == machine.config.processGroup }
        let model =
            others.first { mark($0).isOfSameRelease(as: goal) }?.config
            ?? (asOthersHad ? others.lazy.compactMap { newest(of: goal, $0) }.first : nil)
        return model.map { model in
            var config = model
            // A volume belongs to one machine.
            config.json["mounts"] = machine.config.json["mounts"]
            return config
        }
    }

    private func newest(of goal: Mark, _ machine: FleetMachine) -> MachineConfig? {
        let entries = (versions[machine.id] ?? []).filter { Mark($0.config).isOfSameRelease(as: goal) }
        // Fly lists the newest first, and its instance ids sort by their making.
        return entries.max { $0.instance < $1.instance }?.config
    }

    /// The record of a release, as far as the ledger knows it, with the configs found; nil where none shows its image.
    func record(
        of goal: Mark, machines: [RecordedMachine], for request: RunRequest, at now: Timestamp
    ) -> ReleaseRecord? {
        guard let model = machines.first, let digest = goal.digest, let image = model.config.image else { return nil }
        let known = (history?.verified ?? []) + (history?.current.map { [$0] } ?? [])
        let former = known.first { $0.number == goal.release }
        return ReleaseRecord(
            app: request.app, number: goal.release ?? ReleaseNumber(0),
            platformID: model.config.metadata("fly_release_id") ?? "", commit: former?.commit,
            subject: former?.subject ?? "as the platform shows it",
            image: former?.image ?? PlatformPast.pinned(image, digest),
            digest: digest, machines: machines, state: .verified, run: former?.run ?? request.run,
            createdAt: former?.createdAt ?? now, verifiedAt: former?.verifiedAt ?? now,
            reason: former?.reason ?? request.reason)
    }

    static func pinned(_ image: String, _ digest: ImageDigest) -> String {
        ImageReference(parsing: image).map { "\($0.registry)/\($0.repository)@\(digest)" } ?? image
    }
}
