// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import PipelineFiles
package import Rollouts

/// The stage that changes the fleet: a last look at the window, a release record, the rollout, and the record of what
/// then stands on the machines, taken from the answers to the changes.
package struct Deploy: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `rechecking`, `looking`.
        case waiting
        /// The window once more, for a build may take long. Next: `looking`, `refused`, `stopped`.
        case rechecking(action: ActionID)
        /// The fleet as it is now. Next: `surveying`, `numbering`, `refused`, `stopped`.
        case looking(action: ActionID)
        /// What others have opened on the platform while this run waited for the app. Next: `numbering`, `stopped`.
        case surveying(action: ActionID)
        /// The platform's release record. Next: `recording`, `seeking`, `refused`, `stopped`.
        case numbering(action: ActionID)
        /// The answer to it was lost; the platform's list says whether there is one. Next: `recording`, `pausing`,
        /// `refused`, `stopped`.
        case seeking(action: ActionID)
        /// The list was not to be had. Next: `seeking`, `stopped`.
        case pausing(action: ActionID)
        /// The ledger's, durable before the first change. Next: `rolling`, `refused`, `stopped`.
        case recording(action: ActionID)
        /// Next: `completing`, `failed`, `stopped`.
        case rolling
        /// The ledger's record once more, now with what the machines hold. Next: `deployed`, `failed`, `stopped`.
        case completing(action: ActionID)
        case deployed
        /// `changed` names the machines that may run the new release.
        case failed(reason: String, changed: [String])
        case refused(refusal: Refusal)
        case stopped(changed: [String])
    }

    package private(set) var state: State = .waiting
    package private(set) var rollout: RollingRollout?
    package private(set) var release: ReleaseRecord?
    /// Whether the ledger was told of the release.
    package private(set) var isRecorded = false
    /// The fleet right before the first change, with whole configs.
    package private(set) var before: [FleetMachine] = []
    /// A closed window that an emergency overrode on the second look.
    package private(set) var overriddenRule: String?

    private var plan: FleetPlan?
    /// The fleet that the plan was made for.
    private var looked: [FleetMachine] = []
    private var lookedAt: Timestamp?
    /// Whether it was told to stop while an answer is outstanding that opens something elsewhere.
    private var isStopping = false
    private let request: RunRequest
    private let commit: Commit?
    private let image: BuiltImage
    /// Whether this is the app's first deploy.
    let hasNoMachinesYet: Bool
    /// Leases that the run itself holds.
    private var leases: [MachineID: LeaseNonce]
    /// The newest release that the platform knew before this one.
    private var newestRelease: ReleaseNumber?
    /// Whether others were at work on the app between this run's first look and its turn.
    private let hasWaited: Bool
    /// How often a lost release record was looked for.
    private var looks = 0
    /// Whether it comes to its end because its process died or slept: nobody is in a hurry then.
    private var isWithdrawn = false
    /// Whether a release record may stand on the platform that could not be looked for.
    package private(set) var hasLostRelease = false
    /// How often it was begun anew after its process had died.
    private var resumptions = 0

    package init(
        _ request: RunRequest, commit: Commit?, image: BuiltImage, hasNoMachinesYet: Bool,
        leases: [MachineID: LeaseNonce] = [:], newestRelease: ReleaseNumber? = nil, hasWaited: Bool = false
    ) {
        self.request = request
        self.commit = commit
        self.image = image
        self.hasNoMachinesYet = hasNoMachinesYet
        self.leases = leases
        self.newestRelease = newestRelease
        self.hasWaited = hasWaited
    }

    package func awaits(_ action: ActionID) -> Bool {
        switch state {
        case .rechecking(action), .looking(action), .surveying(action), .numbering(action), .seeking(action),
            .pausing(action), .recording(action), .completing(action):
            true
        case .rolling: rollout?.awaits(action) ?? false
        case .waiting, .rechecking, .looking, .surveying, .numbering, .seeking, .pausing, .recording, .completing,
            .deployed, .failed, .refused, .stopped:
            false
        }
    }

    /// The machines of the new release with the checks their configs name.
    package var expectedChecks: [MachineID: Int] {
        var result: [MachineID: Int] = [:]
        for machine in release?.machines ?? [] { result[machine.id] = machine.config.checkCount }
        return result
    }

    /// The version that each machine of the new release is on.
    package var versions: [MachineID: InstanceID] {
        var result: [MachineID: InstanceID] = [:]
        let unchanged = Set(plan?.unchanged ?? [])
        for machine in looked where unchanged.contains(machine.id) { result[machine.id] = machine.instance }
        for (id, machine) in rollout?.installed ?? [:] { result[id] = machine.instance }
        return result
    }

    package mutating func begin(_ agenda: inout Agenda) {
        if request.settings.hasWindow { state = .rechecking(action: agenda.perform(.window)) } else { look(&agenda) }
    }

    package mutating func stop(_ agenda: inout Agenda) throws(IllegalEvent) {
        switch state {
        case .waiting, .rechecking, .looking, .surveying: state = .stopped(changed: [])
        // What is being opened elsewhere can be closed only once its name is known.
        case .pausing:
            hasLostRelease = true
            state = .stopped(changed: [])
        case .numbering, .seeking, .recording:
            isStopping = true
            isWithdrawn = false
        case .rolling:
            try rollout?.stop(&agenda)
            try afterRollout(&agenda)
        case .completing: state = .stopped(changed: rolled)
        case .deployed, .failed, .refused, .stopped: break
        }
    }

    /// Whether machines may have been changed.
    package var hasTouchedFleet: Bool {
        // Whatever it does now, it had begun before its process died.
        if resumptions > 0 { return true }
        return switch state {
        case .rolling, .completing, .deployed, .failed: rollout != nil
        case .stopped(let changed): !changed.isEmpty
        case .waiting, .rechecking, .looking, .surveying, .numbering, .seeking, .pausing, .recording, .refused: false
        }
    }

    /// Whether it only waits to know what it may have opened elsewhere; it changes nothing any more.
    package var isWithdrawing: Bool { isStopping }

    /// What it leaves behind where its process ended in the middle of it.
    package var remains: RollingRollout.Remains {
        var remains = rollout?.remains ?? .init()
        if case .completing = state { remains.changed = rolled }
        return remains
    }

    /// Takes notice of an answer that came when the run no longer held its app: what was opened must be closed.
    package mutating func learn(_ action: ActionID, _ answer: Answer, at now: Timestamp) {
        guard case .numbering(action) = state, case .platformRelease(let id, let number) = answer else { return }
        note(id, number, at: now)
        isRecorded = true
        state = .recording(action: action)
    }

    /// Comes to an end without a change, after its process died before the first one: what it may have opened elsewhere
    /// is found, so that it can be closed.
    package mutating func withdraw(_ agenda: inout Agenda) {
        isStopping = true
        isWithdrawn = true
        looks = 0
        switch state {
        case .numbering, .seeking, .pausing: seek(&agenda)
        case .recording:
            guard let release else { return }
            state = .recording(action: agenda.perform(.ledger(entry: .record(release: release))))
        case .waiting, .rechecking, .looking, .surveying, .rolling, .completing, .deployed, .failed, .refused,
            .stopped:
            state = .stopped(changed: [])
        }
    }

    /// Goes on after its process died, from what the fleet now is.
    package mutating func resume(leases: [MachineID: LeaseNonce], _ agenda: inout Agenda) {
        self.leases = leases
        resumptions += 1
        rollout = nil
        look(&agenda)
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard awaits(action) else { throw IllegalEvent(state: "\(state)", event: "an answer to \(action)") }
        switch (state, answer) {
        case (.rolling, _):
            try rollout?.handle(action, answer, &agenda)
            try afterRollout(&agenda)
        case (.rechecking, .window), (.rechecking, .failed):
            switch WindowGate.verdict(on: answer, from: .deploy, request.overrides, at: agenda.now) {
            case .open: look(&agenda)
            case .overridden(let rule):
                overriddenRule = rule
                look(&agenda)
            case .refused(let refusal): state = .refused(refusal: refusal)
            case nil: throw IllegalEvent(state: "\(state)", event: "\(answer)")
            }
        case (.looking, .machines(let fleet)): try looked(fleet, &agenda)
        case (.surveying, .platformReleases(let list)):
            newestRelease = max(newestRelease ?? ReleaseNumber(0), list.map(\.number).max() ?? ReleaseNumber(0))
            number(&agenda)
        // What was known before has to do.
        case (.surveying, .failed): number(&agenda)
        case (.numbering, .platformRelease(let id, let number)): numbered(id, number, &agenda)
        case (.recording, .done) where isStopping: state = .stopped(changed: [])
        // Nothing is held yet that would tell of a sleep.
        case (.recording, .done) where hasNoMachinesYet && isOutdated(at: agenda.now): look(&agenda)
        case (.recording, .done): try roll(over: before, &agenda)
        case (.completing, .done): state = .deployed
        case (.completing, .failed(let failure)):
            state = .failed(reason: "what was deployed could not be recorded: \(failure.text)", changed: rolled)
        case (.seeking, .platformReleases(let list)): sought(list, &agenda)
        case (.numbering, .failed(let failure)) where failure.isAmbiguous: seek(&agenda)
        case (.pausing, .woke): seek(&agenda)
        case (.seeking, .failed) where isStopping && !(isWithdrawn && looks < Deploy.maxLooks):
            hasLostRelease = true
            state = .stopped(changed: [])
        case (.numbering, .failed) where isStopping, (.recording, .failed) where isStopping:
            state = .stopped(changed: [])
        case (.seeking, .failed) where looks < Deploy.maxLooks:
            state = .pausing(action: agenda.perform(.wake(at: agenda.now + Deploy.lookPause)))
        case (.looking, .failed(let failure)), (.numbering, .failed(let failure)), (.seeking, .failed(let failure)),
            (.recording, .failed(let failure)):
            if case .seeking = state { hasLostRelease = true }
            state = .refused(
                refusal: Refusal(
                    failure.code == .unavailable ? .unavailable : .refused, failure.text,
                    hints: failure.hint.isEmpty ? [] : [failure.hint]))
        default: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    // MARK: - Before the first change

    private mutating func look(_ agenda: inout Agenda) {
        lookedAt = agenda.now
        state = .looking(action: agenda.perform(.platform(call: .machines)))
    }

    /// How old a look at an app without machines may be when the first one is made.
    package static let maxLookAge = Duration.seconds(15)

    private func isOutdated(at now: Timestamp) -> Bool {
        lookedAt.map { now - $0 > Deploy.maxLookAge } ?? true
    }

    private mutating func looked(_ fleet: [FleetMachine], _ agenda: inout Agenda) throws(IllegalEvent) {
        looked = fleet
        // After a resumption the fleet is half-changed; what it was before stays what a rollback goes by.
        if resumptions == 0 { before = fleet }
        let managed = fleet.filter(\.isManaged)
        if managed.isEmpty, !hasNoMachinesYet {
            state = .refused(
                refusal: Refusal(
                    .unavailable, "the platform now lists no machines, though there were some a moment ago",
                    hints: ["an empty list is not taken for a first deploy; try again"]))
            return
        }
        let guards = AppClaim.guards(of: fleet, staying: Set(request.settings.flyToml.groups))
        guard guards.allSatisfy({ leases[$0] != nil }) else {
            var refusal = Refusal(
                .unavailable,
                hasNoMachinesYet
                    ? "somebody else has begun this app's first deploy"
                    : "the app's first machine is another than a moment ago",
                hints: ["somebody else changes the fleet; try again when they are done"])
            // Nothing was opened yet: who is at work can be waited for.
            if release == nil { refusal.isOvertaken = true }
            state = .refused(refusal: refusal)
            return
        }
        guard release == nil else {
            try roll(over: fleet, &agenda)
            return
        }
        if let difference = request.planned?.difference(in: fleet) {
            state = .refused(
                refusal: Refusal(
                    .refused, "the fleet is not the one that was planned for: \(difference)",
                    hints: ["make a new plan: airboss plan \(request.pipeline)"]))
            return
        }
        if hasWaited {
            state = .surveying(action: agenda.perform(.platform(call: .releases(limit: Deploy.maxReleasesSought))))
        } else {
            number(&agenda)
        }
    }

    private mutating func number(_ agenda: inout Agenda) {
        state = .numbering(
            action: agenda.perform(.platform(call: .createRelease(image: image.reference, strategy: "rolling"))))
    }

    /// The leases of machines that it made and that stay leased: from now on they are the run's to keep.
    package mutating func takeKeptLeases() -> [MachineID: Lease] { rollout?.takeKeptLeases() ?? [:] }

    private mutating func seek(_ agenda: inout Agenda) {
        looks += 1
        state = .seeking(action: agenda.perform(.platform(call: .releases(limit: Deploy.maxReleasesSought))))
    }

    /// Looks for a lost release record before a platform that does not answer is given up, and the pause between them.
    package static let maxLooks = 5
    package static let lookPause = Duration.seconds(5)
    /// Releases of the platform among which a lost one is looked for.
    package static let maxReleasesSought = 5

    /// A release that is newer than all that were known, open, and of the same image is the one that was asked for.
    private mutating func sought(_ list: [PlatformReleaseEntry], _ agenda: inout Agenda) {
        let known = newestRelease?.value ?? 0
        let candidates = list.filter {
            $0.isOpen && $0.number.value > known && ($0.image.isEmpty || $0.image == image.reference)
        }
        // Before an app's first machine nobody holds it: which of two is whose, nothing tells.
        if hasNoMachinesYet, !isStopping, candidates.count > 1 {
            state = .refused(
                refusal: Refusal(
                    .unavailable, "somebody else has begun this app's first deploy",
                    hints: ["try again when it is done"]))
            return
        }
        // Who holds the app has opened the newest one; where the app was another's meanwhile, that one's came later.
        let byNumber = candidates.sorted { $0.number < $1.number }
        if let found = isStopping ? byNumber.first : byNumber.last {
            numbered(found.id, found.number, &agenda)
        } else if isStopping {
            state = .stopped(changed: [])
        } else {
            state = .refused(
                refusal: Refusal(
                    .unavailable, "the platform did not take the release record", hints: ["try again in a moment"]))
        }
    }

    private mutating func note(_ id: String, _ number: ReleaseNumber, at now: Timestamp) {
        release = ReleaseRecord(
            app: request.app, number: number, platformID: id, commit: commit?.id, subject: commit?.subject ?? "",
            image: image.reference, digest: image.digest, machines: [], state: .deploying, run: request.run,
            createdAt: now, reason: request.reason)
    }

    private mutating func numbered(_ id: String, _ number: ReleaseNumber, _ agenda: inout Agenda) {
        note(id, number, at: agenda.now)
        guard !isStopping, let record = release else {
            state = .stopped(changed: [])
            return
        }
        isRecorded = true
        state = .recording(action: agenda.perform(.ledger(entry: .record(release: record))))
    }

    private mutating func roll(over fleet: [FleetMachine], _ agenda: inout Agenda) throws(IllegalEvent) {
        let attempt = resumptions == 0 ? "" : "\(resumptions)."
        let plan = FleetPlan.make(
            fleet: fleet, waitTimeout: request.settings.waitTimeout, additions: additions(to: fleet), leases: leases,
            operation: { OperationID("\(request.run)/\(attempt)\($0)") },
            wanted: { machine in
                let group = machine.config.processGroup
                guard request.settings.flyToml.groups.contains(group) else { return nil }
                return config(for: group, onto: machine.config)
            })
        self.plan = plan
        for machine in plan.unchanged {
            guard let member = plan.members.first(where: { $0.id == machine }) else { continue }
            agenda.note(
                .machine(
                    progress: MachineProgress(
                        machine: machine.rawValue, group: member.group, region: member.region, phase: .unchanged)))
        }
        var rollout = RollingRollout(
            plan, view: fleet.map(Observation.init(of:)),
            limits: .init(
                maxUnavailable: request.settings.maxUnavailable,
                servingFloor: request.settings.servingFloor, patience: request.settings.waitTimeout))
        state = .rolling
        try rollout.start(&agenda)
        self.rollout = rollout
        try afterRollout(&agenda)
    }

    private func config(for group: ProcessGroup, onto existing: MachineConfig?) -> MachineConfig {
        var config = request.settings.flyToml.machineConfig(for: group, onto: existing)
        config.image = image.reference
        var metadata = config.metadata
        metadata["fly_release_id"] = release?.platformID ?? ""
        metadata["fly_release_version"] = release.map { String($0.number.value) } ?? ""
        metadata[Bookkeeping.run] = request.run.rawValue
        metadata[Bookkeeping.kind] = RunKind.deploy.rawValue
        metadata[Bookkeeping.release] = release?.number.description ?? ""
        config.metadata = metadata
        return config
    }

    /// Machines for groups that have none but what this run has made.
    private func additions(to fleet: [FleetMachine]) -> [FleetPlan.Addition] {
        let toml = request.settings.flyToml
        let managed = fleet.filter(\.isManaged)
        let present = Set(
            managed.filter { $0.config.metadata(Bookkeeping.created) != request.run.rawValue }.map(
                \.config.processGroup))
        let own = managed.filter { !present.contains($0.config.processGroup) }
        let names = Set(fleet.map(\.name))
        let region = toml.primaryRegion ?? fleet.first?.region ?? "ord"
        // No lease fences a creation: a run that slept after it had decided on one finds the name taken by the run that
        // came after it, for the platform gives a name once only within an app.
        return toml.groups.filter { !present.contains($0) }.flatMap { group in
            let count = request.settings.machineCounts[group] ?? toml.defaultMachineCount(for: group)
            let missing = max(0, count - own.count { $0.config.processGroup == group })
            // Each name that is taken costs one more number at most.
            let free = (1...(missing + names.count + 1)).map { "\(group)-\($0)" }.filter { !names.contains($0) }
            return free.prefix(missing).map {
                FleetPlan.Addition(name: $0, region: region, config: config(for: group, onto: nil))
            }
        }
    }

    // MARK: - After it

    private mutating func afterRollout(_ agenda: inout Agenda) throws(IllegalEvent) {
        guard let outcome = rollout?.outcome, case .rolling = state else { return }
        switch outcome {
        case .succeeded: complete(&agenda)
        case .failed(let reason, let changed): state = .failed(reason: reason, changed: changed)
        case .stopped(let changed): state = .stopped(changed: changed)
        }
    }

    /// The machines that a rollout that went well has changed.
    private var rolled: [String] { (plan?.items ?? []).map(\.key).sorted() }

    /// A way back is only as good as its record: it holds every machine of the release with its whole config.
    private mutating func complete(_ agenda: inout Agenda) {
        guard var record = release else { return }
        let unchanged = Set(plan?.unchanged ?? [])
        let machines = looked.filter { unchanged.contains($0.id) } + (rollout?.installed ?? [:]).values
        record.machines = machines.sorted { $0.id < $1.id }.map(RecordedMachine.init)
        release = record
        state = .completing(action: agenda.perform(.ledger(entry: .record(release: record))))
    }
}
