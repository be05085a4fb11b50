// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import PipelineFiles
internal import Rollouts

/// Finds out, from the platform alone, what a run left behind whose journal is lost, and what makes the fleet whole.
///
/// It reads what runs write on machines (their run, operation, kind, release and the config they replaced), the
/// platform's releases with their ends, and the configs that machines have had. It changes nothing.
package struct Diagnosis: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `asking`.
        case waiting
        /// Next: `comparing`, `done`, `refused`, `stopped`.
        case asking
        /// The former configs of machines that are not where they shall be. Next: `done`, `refused`, `stopped`.
        case comparing
        case done(finding: Finding)
        case refused(refusal: Refusal)
        case stopped
    }

    /// What is to be done.
    package enum Finding: Hashable, Codable, Sendable {
        /// Every machine is on one release that was verified, and is well.
        case whole(release: String, machines: [MachineID: Int])
        /// All machines are to be brought to one release that was verified before.
        case restore(plan: Restoration)
        /// A first release that nobody has verified: there is nothing older to go back to.
        case verify(record: ReleaseRecord)
        /// Only a person can say what shall be.
        case unclear(reason: String, divergence: [String])
    }

    package struct Restoration: Hashable, Codable, Sendable {
        package var target: ReleaseRecord
        /// The run that was not finished.
        package var run: RunID
        /// Whether that run was itself on its way back.
        package var wasRollback: Bool
        /// What was found, for people.
        package var story: [String]
    }

    private enum Question: Hashable, Codable, Sendable {
        case app, machines, releases, history
        case versions(machine: MachineID)
    }

    /// Releases of the platform that are looked at.
    package static let maxReleases = 25

    package private(set) var state: State = .waiting
    package private(set) var fleet: [FleetMachine] = []
    package private(set) var releases: [PlatformReleaseEntry] = []
    package private(set) var history: ReleaseHistory?
    package private(set) var warnings: [String] = []
    private var versions: [MachineID: [MachineVersionEntry]] = [:]
    private var routes: [ActionID: Question] = [:]
    private let request: RunRequest

    package init(_ request: RunRequest) { self.request = request }

    package func awaits(_ action: ActionID) -> Bool { routes[action] != nil }

    /// Releases whose end nobody told the platform.
    package var openReleases: [PlatformReleaseEntry] { releases.filter(\.isOpen) }

    package var managed: [FleetMachine] {
        fleet.filter { $0.isManaged && !$0.config.processGroup.rawValue.hasPrefix("fly_app_") }.sorted { $0.id < $1.id }
    }

    package mutating func begin(_ agenda: inout Agenda) {
        state = .asking
        (routes, versions) = ([:], [:])
        ask(.app, .platform(call: .app), &agenda)
        ask(.machines, .platform(call: .machines), &agenda)
        ask(.releases, .platform(call: .releases(limit: Diagnosis.maxReleases)), &agenda)
        ask(.history, .ledger(entry: .history), &agenda)
    }

    package mutating func stop() {
        switch state {
        case .waiting, .asking, .comparing:
            routes = [:]
            state = .stopped
        case .done, .refused, .stopped: break
        }
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard let question = routes.removeValue(forKey: action) else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        switch (question, answer) {
        case (.app, .app): break
        case (.machines, .machines(let list)): fleet = list
        case (.releases, .platformReleases(let list)): releases = list
        case (.history, .history(let found)): history = found
        case (.versions(let machine), .versions(let list)): versions[machine] = list
        case (.history, .failed(let failure)):
            // The platform holds what is needed; the ledger only knows it better.
            warnings.append("the ledger could not be read: \(failure.text)")
        case (.versions(let machine), .failed(let failure)):
            warnings.append("the former configs of \(machine) could not be read: \(failure.text)")
        case (_, .failed(let failure)):
            routes = [:]
            let isDown = failure.code == .unavailable || failure.code == .timedOut || failure.code == .rateLimited
            state = .refused(
                refusal: Refusal(
                    isDown ? .unavailable : .refused, failure.text, hints: failure.hint.isEmpty ? [] : [failure.hint]))
            return
        default: throw IllegalEvent(state: "asking \(question)", event: "\(answer)")
        }
        guard routes.isEmpty else { return }
        switch state {
        case .asking:
            state = .comparing
            for machine in machinesToCompare() {
                ask(.versions(machine: machine), .platform(call: .versions(machine: machine)), &agenda)
            }
            if routes.isEmpty { state = .done(finding: judge(agenda.now)) }
        case .comparing: state = .done(finding: judge(agenda.now))
        case .waiting, .done, .refused, .stopped: break
        }
    }

    private mutating func ask(_ question: Question, _ effect: Effect, _ agenda: inout Agenda) {
        routes[agenda.perform(effect)] = question
    }

    // MARK: - Reading marks

    /// What a config says of the release it belongs to.
    private struct Mark: Hashable {
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
    }

    private func mark(_ machine: FleetMachine) -> Mark { Mark(machine.config, digest: machine.imageDigest) }

    /// Whether nobody has said that the release is good: it is open, failed or was broken off.
    private func isUnproven(_ mark: Mark) -> Bool {
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
    private var newestRun: RunID? { managed.compactMap { mark($0).run }.max() }

    private func machinesToCompare() -> [MachineID] {
        let marks = managed.map(mark)
        guard let first = marks.first else { return [] }
        if marks.allSatisfy({ $0.isOfSameRelease(as: first) }), !isUnproven(first) { return [] }
        return managed.map(\.id)
    }

    // MARK: - Judging

    private func judge(_ now: Timestamp) -> Finding {
        let managed = managed
        guard !managed.isEmpty else {
            // A first deploy may have got no further than its release record.
            let wasEverWhole =
                releases.contains { $0.status == "complete" }
                || history?.states.contains { $0.state == .verified || $0.state == .withdrawn } ?? false
            guard !wasEverWhole else {
                return .unclear(
                    reason: "the platform lists no machines, though the app has releases",
                    divergence: ["no machines: an empty list is not taken for a fleet to be made anew"])
            }
            return .whole(release: "nothing was ever deployed", machines: [:])
        }
        let hidden = managed.filter { !$0.isConfigComplete || $0.hostStatus != "ok" }
        guard hidden.isEmpty else {
            return .unclear(
                reason: "the platform can't reach the hosts of some machines, so that what they run can't be read",
                divergence: hidden.map { "\($0.id): its host is \($0.hostStatus)" })
        }
        guard let goal = goal() else { return withoutGoal(now) }
        let marks = managed.map { ($0, mark($0)) }
        let strangers = marks.filter { !$0.1.isOfSameRelease(as: goal) && !isEqual($0.0, to: goal) }
        let isWell = managed.allSatisfy { FleetPlan.restingStates.contains($0.state) || $0.isServing }
        let name = goal.release?.description ?? goal.digest?.short ?? "the release"
        if strangers.isEmpty, isWell {
            return .whole(
                release: name, machines: Dictionary(uniqueKeysWithValues: managed.map { ($0.id, $0.config.checkCount) })
            )
        }
        var recorded: [RecordedMachine] = []
        var lost: [String] = []
        for (machine, mark) in marks {
            if mark.isOfSameRelease(as: goal) || isEqual(machine, to: goal) {
                recorded.append(RecordedMachine(machine))
            } else if let config = formerConfig(of: machine, goal) {
                var copy = RecordedMachine(machine)
                copy.config = config
                recorded.append(copy)
            } else if machine.config.metadata(Bookkeeping.created) == nil {
                lost.append("\(machine.id): it has no config of \(name), and Airboss did not make it")
            }
        }
        guard lost.isEmpty else {
            return .unclear(reason: "not every machine can be brought to \(name)", divergence: lost)
        }
        guard let model = recorded.first, let digest = goal.digest, let image = model.config.image else {
            return .unclear(reason: "no machine shows what \(name) is", divergence: strangers.map { "\($0.0.id)" })
        }
        let wasRollback = marks.contains { $0.1.run == newestRun && $0.1.kind == .rollback }
        let known = (history?.verified ?? []) + (history?.current.map { [$0] } ?? [])
        let former = known.first { $0.number == goal.release }
        let target = ReleaseRecord(
            app: request.app, number: goal.release ?? ReleaseNumber(0),
            platformID: model.config.metadata("fly_release_id") ?? "", commit: former?.commit,
            subject: former?.subject ?? "as the platform shows it", image: former?.image ?? pinned(image, digest),
            digest: digest, machines: recorded, state: .verified, run: former?.run ?? request.run,
            createdAt: former?.createdAt ?? now, verifiedAt: former?.verifiedAt ?? now,
            reason: former?.reason ?? request.reason)
        return .restore(
            plan: Restoration(
                target: target, run: newestRun ?? request.run, wasRollback: wasRollback,
                story: story(
                    goal: name, marks.map { ($0.0, $0.1.isOfSameRelease(as: goal) || isEqual($0.0, to: goal)) })))
    }

    /// The release that all machines shall be on: where a run was on its way back, the one it went to; else the one
    /// that serves and is proven; else the one before.
    private func goal() -> Mark? {
        let marks = managed.map(mark)
        let newest = newestRun
        if let back = marks.first(where: { $0.run == newest && $0.kind == .rollback && !isUnproven($0) }) {
            return back
        }
        // Of two proven ones the newer run's is the one that was meant. An image of which no release is known was
        // verified by nobody.
        let proven = marks.filter { !isUnproven($0) }
        if let best = newestRelease(of: proven) { return best }
        guard proven.count < marks.count else { return proven.first }
        let former = managed.flatMap { versions[$0.id] ?? [] }.map { Mark($0.config) }.filter { !isUnproven($0) }
        return newestRelease(of: former) ?? replaced()
    }

    private func newestRelease(of marks: [Mark]) -> Mark? {
        marks.filter { $0.release != nil }.max {
            ($0.run?.rawValue ?? "", $0.release?.value ?? 0) < ($1.run?.rawValue ?? "", $1.release?.value ?? 0)
        }
    }

    /// What the unfinished run itself says that it replaced: a fleet from before any release.
    private func replaced() -> Mark? {
        for machine in managed where isUnproven(mark(machine)) {
            guard let former = machine.config.metadata(Bookkeeping.replaces) else { continue }
            if let entry = (versions[machine.id] ?? []).first(where: { $0.config.fingerprint == former }) {
                return Mark(entry.config)
            }
        }
        return nil
    }

    /// Whether the machine runs just what a machine of its group runs that is on the release: a deploy leaves a machine
    /// alone on which there is nothing to change, and with it the marks of an earlier run.
    private func isEqual(_ machine: FleetMachine, to goal: Mark) -> Bool {
        guard machine.imageDigest == goal.digest else { return false }
        return managed.contains {
            $0.config.processGroup == machine.config.processGroup && mark($0).isOfSameRelease(as: goal)
                && $0.config.substance == machine.config.substance
        }
    }

    /// The newest config of that release that the machine has had, else that of another machine of its group.
    private func formerConfig(of machine: FleetMachine, _ goal: Mark) -> MachineConfig? {
        func own(_ machine: FleetMachine) -> MachineConfig? {
            let entries = (versions[machine.id] ?? []).filter { Mark($0.config).isOfSameRelease(as: goal) }
            // Fly lists the newest first, and its instance ids sort by their making.
            return entries.max { $0.instance < $1.instance }?.config
        }
        if machine.config.metadata(Bookkeeping.created) == mark(machine).run?.rawValue, mark(machine).run == newestRun,
            own(machine) == nil
        {
            return nil  // made by the run that is undone
        }
        return own(machine)
            ?? managed.first {
                $0.config.processGroup == machine.config.processGroup && mark($0).isOfSameRelease(as: goal)
            }.map { model in
                var config = model.config
                // A volume belongs to one machine.
                config.json["mounts"] = machine.config.json["mounts"]
                return config
            }
    }

    /// Nothing that was ever verified is left: a first deploy.
    private func withoutGoal(_ now: Timestamp) -> Finding {
        let marks = managed.map(mark)
        guard let first = marks.first, let digest = first.digest, let number = first.release,
            let image = managed.first?.config.image, marks.allSatisfy({ $0.isOfSameRelease(as: first) })
        else {
            return .unclear(
                reason: "no release that was ever verified is to be seen",
                divergence: managed.map { "\($0.id): runs \($0.imageDigest?.short ?? "an unknown image")" })
        }
        return .verify(
            record: ReleaseRecord(
                app: request.app, number: number, platformID: managed.first?.config.metadata("fly_release_id") ?? "",
                commit: nil, subject: "as the platform shows it", image: pinned(image, digest), digest: digest,
                machines: managed.map(RecordedMachine.init) + missing(), state: .verified,
                run: first.run ?? request.run,
                createdAt: now, verifiedAt: now, reason: request.reason))
    }

    /// Machines that a first deploy was still to make, as those of their group are; by the names it would give them.
    private func missing() -> [RecordedMachine] {
        let toml = request.settings.flyToml
        let names = Set(managed.map(\.name))
        return toml.groups.flatMap { group -> [RecordedMachine] in
            let members = managed.filter { $0.config.processGroup == group }
            guard var model = members.first.map(RecordedMachine.init) else { return [] }
            let wanted = request.settings.machineCounts[group] ?? toml.defaultMachineCount(for: group)
            model.config.json["mounts"] = nil
            return (0..<wanted).map { "\(group)-\($0 + 1)" }.filter { !names.contains($0) }
                .prefix(max(0, wanted - members.count)).map { name in
                    var machine = model
                    machine.id = MachineID(name)
                    machine.name = name
                    return machine
                }
        }
    }

    private func pinned(_ image: String, _ digest: ImageDigest) -> String {
        ImageReference(parsing: image).map { "\($0.registry)/\($0.repository)@\(digest)" } ?? image
    }

    private func story(goal: String, _ machines: [(FleetMachine, isThere: Bool)]) -> [String] {
        machines.map { machine, isThere in
            let runs = machine.config.metadata("fly_release_version").map { "v\($0)" } ?? "an unknown release"
            let by = machine.config.metadata(Bookkeeping.run).map { ", by run \($0)" } ?? ""
            let next =
                isThere
                ? (machine.isServing ? "stays" : "is brought up again")
                : machine.config.metadata(Bookkeeping.created) == newestRun?.rawValue && newestRun != nil
                    ? "was made by that run" : "goes to \(goal)"
            return "\(machine.id) (\(machine.config.processGroup)) is \(machine.state) on \(runs)\(by): \(next)"
        }
    }
}
