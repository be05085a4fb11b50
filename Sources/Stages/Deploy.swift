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
        /// The fleet as it is now. Next: `numbering`, `refused`, `stopped`.
        case looking(action: ActionID)
        /// The platform's release record. Next: `recording`, `refused`, `stopped`.
        case numbering(action: ActionID)
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
    /// Whether it was told to stop while an answer is outstanding that opens something elsewhere.
    private var isStopping = false
    private let request: RunRequest
    private let commit: Commit?
    private let image: BuiltImage
    private let hasNoMachinesYet: Bool

    package init(_ request: RunRequest, commit: Commit?, image: BuiltImage, hasNoMachinesYet: Bool) {
        self.request = request
        self.commit = commit
        self.image = image
        self.hasNoMachinesYet = hasNoMachinesYet
    }

    package func awaits(_ action: ActionID) -> Bool {
        switch state {
        case .rechecking(action), .looking(action), .numbering(action), .recording(action), .completing(action): true
        case .rolling: rollout?.awaits(action) ?? false
        case .waiting, .rechecking, .looking, .numbering, .recording, .completing, .deployed, .failed, .refused,
            .stopped:
            false
        }
    }

    /// The machines of the new release with the checks their configs name.
    package var expectedChecks: [MachineID: Int] {
        var result: [MachineID: Int] = [:]
        for machine in release?.machines ?? [] { result[machine.id] = machine.config.checkCount }
        return result
    }

    package mutating func begin(_ agenda: inout Agenda) {
        if request.settings.hasWindow {
            state = .rechecking(action: agenda.perform(.window))
        } else {
            look(&agenda)
        }
    }

    package mutating func stop(_ agenda: inout Agenda) throws(IllegalEvent) {
        switch state {
        case .waiting, .rechecking, .looking: state = .stopped(changed: [])
        // What is being opened elsewhere can be closed only once its name is known.
        case .numbering, .recording: isStopping = true
        case .rolling:
            try rollout?.stop(&agenda)
            try afterRollout(&agenda)
        case .completing: state = .stopped(changed: rolled)
        case .deployed, .failed, .refused, .stopped: break
        }
    }

    package mutating func handle(
        _ action: ActionID, _ answer: Answer, _ agenda: inout Agenda
    ) throws(IllegalEvent) {
        guard awaits(action) else { throw IllegalEvent(state: "\(state)", event: "an answer to \(action)") }
        switch (state, answer) {
        case (.rolling, _):
            try rollout?.handle(action, answer, &agenda)
            try afterRollout(&agenda)
        case (.rechecking, .window(let decision)):
            let isOverridden =
                request.overrides.isEmergency || request.overrides.skippedGates.contains(GateName.window.rawValue)
            if !decision.isOpen, !isOverridden {
                state = .refused(refusal: WindowGate.refusal(decision))
            } else {
                if !decision.isOpen { overriddenRule = decision.rule }
                look(&agenda)
            }
        case (.looking, .machines(let fleet)):
            try looked(fleet, &agenda)
        case (.numbering, .platformRelease(let id, let number)):
            numbered(id, number, &agenda)
        case (.recording, .done):
            if isStopping { state = .stopped(changed: []) } else { try roll(&agenda) }
        case (.completing, .done):
            state = .deployed
        case (.completing, .failed(let failure)):
            state = .failed(reason: "what was deployed could not be recorded: \(failure.text)", changed: rolled)
        case (.numbering, .failed) where isStopping, (.recording, .failed) where isStopping:
            state = .stopped(changed: [])
        case (.rechecking, .failed(let failure)), (.looking, .failed(let failure)),
            (.numbering, .failed(let failure)), (.recording, .failed(let failure)):
            state = .refused(
                refusal: Refusal(
                    failure.code == .unavailable ? .unavailable : .refused, failure.text,
                    hints: failure.hint.isEmpty ? [] : [failure.hint]))
        default:
            throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    // MARK: - Before the first change

    private mutating func look(_ agenda: inout Agenda) {
        state = .looking(action: agenda.perform(.platform(call: .machines)))
    }

    private mutating func looked(_ fleet: [FleetMachine], _ agenda: inout Agenda) throws(IllegalEvent) {
        before = fleet
        let managed = fleet.filter(\.isManaged)
        if managed.isEmpty, !hasNoMachinesYet {
            state = .refused(
                refusal: Refusal(
                    .unavailable, "the platform now lists no machines, though there were some a moment ago",
                    hints: ["an empty list is not taken for a first deploy; try again"]))
            return
        }
        state = .numbering(
            action: agenda.perform(.platform(call: .createRelease(image: image.reference, strategy: "rolling"))))
    }

    private mutating func numbered(_ id: String, _ number: ReleaseNumber, _ agenda: inout Agenda) {
        let record = ReleaseRecord(
            app: request.app, number: number, platformID: id, commit: commit?.id, subject: commit?.subject ?? "",
            image: image.reference, digest: image.digest, machines: [], state: .deploying, run: request.run,
            createdAt: agenda.now, reason: request.reason)
        release = record
        guard !isStopping else {
            state = .stopped(changed: [])
            return
        }
        isRecorded = true
        state = .recording(action: agenda.perform(.ledger(entry: .record(release: record))))
    }

    private mutating func roll(_ agenda: inout Agenda) throws(IllegalEvent) {
        let plan = FleetPlan.make(
            fleet: before, waitTimeout: request.settings.waitTimeout, additions: additions(),
            operation: { OperationID("\(request.run)/\($0)") },
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
            plan, view: before.map(Observation.init(of:)),
            limits: .init(
                maxUnavailable: request.settings.maxUnavailable,
                servingFloor: request.servingFloor(over: plan.members.count),
                patience: request.settings.waitTimeout))
        state = .rolling
        try rollout.start(&agenda)
        self.rollout = rollout
        try afterRollout(&agenda)
    }

    private func config(for group: ProcessGroup, onto existing: MachineConfig?) -> MachineConfig {
        var config = request.settings.flyToml.machineConfig(for: group, onto: existing)
        config.image = image.reference
        config.metadata["fly_release_id"] = release?.platformID ?? ""
        config.metadata["fly_release_version"] = release.map { String($0.number.value) } ?? ""
        config.metadata[Bookkeeping.run] = request.run.rawValue
        config.metadata[Bookkeeping.release] = release?.number.description ?? ""
        return config
    }

    /// Machines for groups that have none.
    private func additions() -> [FleetPlan.Addition] {
        let toml = request.settings.flyToml
        let present = Set(before.filter(\.isManaged).map(\.config.processGroup))
        let region = toml.primaryRegion ?? before.first?.region ?? "ord"
        // The last characters of a ULID are its random part; a name is unique within its app.
        let mark = request.run.rawValue.suffix(8).lowercased()
        return toml.groups.filter { !present.contains($0) }.flatMap { group in
            let count = request.settings.machineCounts[group] ?? toml.defaultMachineCount(for: group)
            return (0..<count).map { index in
                FleetPlan.Addition(
                    name: "\(group)-\(mark)-\(index + 1)", region: region, config: config(for: group, onto: nil))
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
        let machines = before.filter { unchanged.contains($0.id) } + (rollout?.installed ?? [:]).values
        record.machines = machines.sorted { $0.id < $1.id }.map(RecordedMachine.init)
        release = record
        state = .completing(action: agenda.perform(.ledger(entry: .record(release: record))))
    }
}
