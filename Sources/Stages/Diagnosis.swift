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

    // MARK: - Judging

    /// What the answers tell.
    private var past: PlatformPast {
        PlatformPast(fleet: managed, releases: releases, history: history, versions: versions)
    }

    private func machinesToCompare() -> [MachineID] {
        if let served = past.served, !past.isUnproven(served) { return [] }
        return managed.map(\.id)
    }

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
        let past = past
        guard let goal = past.goal else { return withoutGoal(now) }
        let isWell = managed.allSatisfy { FleetPlan.restingStates.contains($0.state) || $0.isServing }
        let name = goal.name
        let strangers = managed.filter { !past.isOn(goal, $0) }
        if strangers.isEmpty, isWell {
            return .whole(
                release: name, machines: Dictionary(uniqueKeysWithValues: managed.map { ($0.id, $0.config.checkCount) })
            )
        }
        var recorded: [RecordedMachine] = []
        var lost: [String] = []
        for machine in managed {
            if past.isOn(goal, machine) {
                recorded.append(RecordedMachine(machine))
            } else if !past.isMadeByNewestRun(machine, after: goal), let config = past.config(of: goal, for: machine) {
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
        guard let target = past.record(of: goal, machines: recorded, for: request, at: now) else {
            return .unclear(reason: "no machine shows what \(name) is", divergence: strangers.map { "\($0.id)" })
        }
        return .restore(
            plan: Restoration(
                target: target, run: past.newestRun ?? request.run, wasRollback: past.isNewestRunRollback,
                story: story(goal: name, managed.map { ($0, past.isOn(goal, $0)) })))
    }

    /// Nothing that was ever verified is left: a first deploy.
    private func withoutGoal(_ now: Timestamp) -> Finding {
        guard let served = past.served, let digest = served.digest, let number = served.release,
            let image = managed.first?.config.image
        else {
            return .unclear(
                reason: "no release that was ever verified is to be seen",
                divergence: managed.map { "\($0.id): runs \($0.imageDigest?.short ?? "an unknown image")" })
        }
        return .verify(
            record: ReleaseRecord(
                app: request.app, number: number, platformID: managed.first?.config.metadata("fly_release_id") ?? "",
                commit: nil, subject: "as the platform shows it", image: PlatformPast.pinned(image, digest),
                digest: digest,
                machines: managed.map(RecordedMachine.init) + missing(), state: .verified,
                run: served.run ?? request.run,
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

    private func story(goal: String, _ machines: [(FleetMachine, isThere: Bool)]) -> [String] {
        let newestRun = past.newestRun
        return machines.map { machine, isThere in
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
