// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import PipelineFiles
package import Rollouts

/// Brings a verified release back, each machine with its whole recorded config, and verifies it in its turn.
package struct Rollback: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `looking`.
        case waiting
        /// Next: `confirming`, `restoring`, `failed`, `stopped`.
        case looking(action: ActionID)
        /// Machines that the run has changed and that the list shows as they shall be are looked at one by one: a list
        /// may be older than the change. Next: `restoring`, `pausing`, `failed`, `stopped`.
        case confirming
        /// Waits before it looks again. Next: `looking`, `stopped`.
        case pausing(action: ActionID)
        /// Next: `removing`, `verifying`, `diagnosing`, `stopped`.
        case restoring
        /// Machines that Airboss made and the release does not have are destroyed. Next: `verifying`, `diagnosing`,
        /// `stopped`.
        case removing
        /// Next: `restored`, `diagnosing`, `stopped`.
        case verifying
        /// What differs, for a person. Next: `failed`.
        case diagnosing(action: ActionID, reason: String)
        case restored
        case failed(reason: String, divergence: [String])
        case stopped(changed: [String])
    }

    /// Looks at the fleet before a rollback gives up on a platform that does not answer.
    package static let maxLooks = 5
    package static let lookPause = Duration.seconds(5)
    /// How soon a list is asked for again that showed an earlier version of a machine than the run had heard of.
    package static let staleListPause = Duration.seconds(1)

    package private(set) var state: State = .waiting
    package private(set) var rollout: RollingRollout?
    package private(set) var removal: FleetRemoval?
    package private(set) var verify: HealthVerify?
    package let target: ReleaseRecord
    private var configs: [MachineID: MachineConfig]
    private var looks = 0
    private var restored: [MachineID: Int] = [:]
    private let request: RunRequest
    /// Leases that the run itself holds.
    private let leases: [MachineID: LeaseNonce]
    /// Sets the operations of one attempt apart from those of an earlier one, which may still be under way.
    private let attempt: Int
    /// Machines that may be on another version than a list shows.
    private let suspects: Set<MachineID>
    /// The newest version of each machine that the run has heard of: a list that shows an earlier one is out of date.
    private let known: [MachineID: InstanceID]
    private var confirmations: [ActionID: MachineID] = [:]
    private var looked: [FleetMachine] = []
    private var isStopping = false
    private var unchanged: Set<MachineID> = []

    /// - Parameters:
    ///   - before: the fleet right before the run's first change. Where a machine then ran the target release, its
    ///     config of that moment is restored, for that is what served.
    ///   - leases: leases that the run itself holds.
    ///   - attempt: how often it was begun before.
    ///   - suspects: machines that may be on another version than a list shows.
    ///   - seen: what the run has heard of the fleet before, in any order.
    package init(
        _ request: RunRequest, to target: ReleaseRecord, before: [FleetMachine], leases: [MachineID: LeaseNonce] = [:],
        attempt: Int = 0, suspects: Set<MachineID> = [], seen: [FleetMachine] = []
    ) {
        // Versions are ULIDs: they sort by their birth.
        known = Dictionary(seen.map { ($0.id, $0.instance) }) { max($0, $1) }
        self.suspects = suspects
        self.request = request
        self.target = target
        self.leases = leases
        self.attempt = attempt
        configs = Dictionary(target.machines.map { ($0.id, $0.config) }) { first, _ in first }
        for machine in before where machine.isManaged && machine.imageDigest == target.digest {
            configs[machine.id] = machine.config
        }
    }

    package func awaits(_ action: ActionID) -> Bool {
        switch state {
        case .looking(action), .pausing(action), .diagnosing(action, _): true
        case .confirming: confirmations[action] != nil
        case .restoring: rollout?.awaits(action) ?? false
        case .removing: removal?.awaits(action) ?? false
        case .verifying: verify?.awaits(action) ?? false
        case .waiting, .looking, .pausing, .diagnosing, .restored, .failed, .stopped: false
        }
    }

    package mutating func begin(_ agenda: inout Agenda) {
        looks += 1
        state = .looking(action: agenda.perform(.platform(call: .machines)))
    }

    package mutating func stop(_ agenda: inout Agenda) throws(IllegalEvent) {
        switch state {
        case .waiting, .looking, .confirming, .pausing: state = .stopped(changed: [])
        case .restoring:
            try rollout?.stop(&agenda)
            try afterRollout(&agenda)
        case .removing:
            removal?.stop(&agenda)
            afterRemoval(&agenda, stops: true)
        case .verifying, .diagnosing:
            verify?.stop()
            state = .stopped(changed: restored.keys.sorted().map(\.rawValue))
        case .restored, .failed, .stopped: break
        }
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard awaits(action) else { throw IllegalEvent(state: "\(state)", event: "an answer to \(action)") }
        switch (state, answer) {
        case (.restoring, _):
            try rollout?.handle(action, answer, &agenda)
            try afterRollout(&agenda)
        case (.removing, _):
            try removal?.handle(action, answer, &agenda)
            afterRemoval(&agenda)
        case (.verifying, _):
            try verify?.handle(action, answer, &agenda)
            afterVerify(&agenda)
        case (.looking, .machines(let fleet)):
            let isOutdated = fleet.contains { machine in known[machine.id].map { $0 > machine.instance } ?? false }
            guard !isOutdated || looks >= Rollback.maxLooks else {
                state = .pausing(action: agenda.perform(.wake(at: agenda.now + Rollback.staleListPause)))
                return
            }
            looked = fleet
            let doubtful = fleet.filter { machine in
                suspects.contains(machine.id) && wantedConfig(for: machine)?.substance == machine.config.substance
            }
            guard !doubtful.isEmpty else {
                try restore(fleet, &agenda)
                return
            }
            state = .confirming
            for machine in doubtful {
                confirmations[agenda.perform(.platform(call: .machine(id: machine.id)))] = machine.id
            }
        case (.confirming, .machine(let machine)):
            confirmations[action] = nil
            if let index = looked.firstIndex(where: { $0.id == machine.id }) { looked[index] = machine }
            if confirmations.isEmpty { try restore(looked, &agenda) }
        case (.looking, .failed(let failure)), (.confirming, .failed(let failure)):
            confirmations = [:]
            if looks < Rollback.maxLooks {
                state = .pausing(action: agenda.perform(.wake(at: agenda.now + Rollback.lookPause)))
            } else {
                state = .failed(
                    reason: "the platform does not answer: \(failure.text)",
                    divergence: ["unknown: the machines could not be listed"])
            }
        case (.pausing, .woke): begin(&agenda)
        case (.diagnosing(_, let reason), .machines(let fleet)):
            state = .failed(reason: reason, divergence: divergence(of: fleet))
        case (.diagnosing(_, let reason), .failed(let failure)):
            state = .failed(reason: reason, divergence: ["unknown: the machines could not be listed (\(failure.text))"])
        default: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    private mutating func restore(_ fleet: [FleetMachine], _ agenda: inout Agenda) throws(IllegalEvent) {
        looked = fleet
        let present = Set(fleet.map(\.id))
        let names = Set(fleet.map(\.name))
        let additions = target.machines.filter { !present.contains($0.id) && !names.contains($0.name) }.map {
            FleetPlan.Addition(name: $0.name, region: $0.region, config: stamped($0.config))
        }
        let plan = FleetPlan.make(
            fleet: fleet, waitTimeout: request.settings.waitTimeout, additions: additions, leases: leases,
            operation: { OperationID("\(request.run)/r\(attempt == 0 ? "" : "\(attempt).")\($0)") },
            wanted: { wantedConfig(for: $0).map(stamped) })
        for item in plan.items { restored[MachineID(item.key)] = item.change.config.checkCount }
        unchanged = Set(plan.unchanged)
        for machine in plan.unchanged {
            restored[machine] = plan.members.first { $0.id == machine }?.expectedChecks ?? 0
        }
        var rollout = RollingRollout(
            plan, view: fleet.map(Observation.init(of:)),
            limits: .init(
                maxUnavailable: request.settings.maxUnavailable,
                // A fleet that may be broken must not be kept as it is by the wish to keep it serving.
                servingFloor: request.settings.servingFloor, alwaysSparesOne: true,
                patience: request.settings.waitTimeout))
        state = .restoring
        try rollout.start(&agenda)
        self.rollout = rollout
        try afterRollout(&agenda)
    }

    /// The machine's own recorded config; for one that is newer than the release, that of a machine of its group.
    private func wantedConfig(for machine: FleetMachine) -> MachineConfig? {
        if let own = configs[machine.id] { return own }
        let group = machine.config.processGroup
        guard let model = target.machines.first(where: { $0.config.processGroup == group }) else { return nil }
        var config = model.config
        // A volume belongs to one machine.
        config.json["mounts"] = machine.config.json["mounts"]
        return config
    }

    private func stamped(_ config: MachineConfig) -> MachineConfig {
        var copy = config
        var metadata = copy.metadata
        metadata[Bookkeeping.run] = request.run.rawValue
        metadata[Bookkeeping.kind] = RunKind.rollback.rawValue
        copy.metadata = metadata
        return copy
    }

    private mutating func afterRollout(_ agenda: inout Agenda) throws(IllegalEvent) {
        guard let outcome = rollout?.outcome, case .restoring = state else { return }
        switch outcome {
        case .succeeded:
            for (name, machine) in rollout?.created ?? [:] {
                restored[machine] = restored.removeValue(forKey: MachineID(name)) ?? 0
            }
            remove(&agenda)
        case .failed(let reason, _): diagnose("the machines could not be restored: \(reason)", &agenda)
        case .stopped(let changed): state = .stopped(changed: changed)
        }
    }

    /// Machines that the release does not have. One of a group that it has is restored with it, but for those that the
    /// run itself made.
    private var surplus: [FleetMachine] {
        let (ids, names) = (Set(target.machines.map(\.id)), Set(target.machines.map(\.name)))
        let groups = Set(target.machines.map(\.config.processGroup))
        return looked.filter { machine in
            guard machine.isManaged, !machine.config.processGroup.rawValue.hasPrefix("fly_app_"),
                !ids.contains(machine.id), !names.contains(machine.name)
            else { return false }
            return !groups.contains(machine.config.processGroup)
        }
    }

    /// Only what Airboss made is destroyed; what somebody else made is left, and told of.
    private mutating func remove(_ agenda: inout Agenda) {
        let targets = surplus.filter { $0.config.metadata(Bookkeeping.created) != nil }.sorted(by: AppClaim.precedes)
            .map {
                FleetRemoval.Target(machine: $0.id, version: $0.instance)
            }
        var removal = FleetRemoval(targets, leases: leases)
        state = .removing
        removal.begin(&agenda)
        self.removal = removal
        afterRemoval(&agenda)
    }

    private mutating func afterRemoval(_ agenda: inout Agenda, stops: Bool = false) {
        isStopping = isStopping || stops
        guard let removal, removal.state == .done else { return }
        guard !isStopping else {
            state = .stopped(changed: removal.remaining.map(\.rawValue))
            return
        }
        let kept = surplus.filter { !removal.removed.contains($0.id) }
        guard kept.isEmpty else {
            let reasons = kept.map { machine in
                "\(machine.id): group \(machine.config.processGroup) is not part of \(target.number)"
                    + (removal.failures[machine.id].map { ", and \($0)" } ?? ", and Airboss did not make it")
            }
            diagnose("machines are left that the release does not have: \(reasons.joined(separator: "; "))", &agenda)
            return
        }
        var verify = HealthVerify(request.settings.verify.withoutSoak, expected: restored, versions: versions)
        verify.begin(&agenda)
        self.verify = verify
        state = .verifying
    }

    /// The version that each restored machine is on.
    private var versions: [MachineID: InstanceID] {
        var result: [MachineID: InstanceID] = [:]
        for machine in looked where unchanged.contains(machine.id) { result[machine.id] = machine.instance }
        for (id, machine) in rollout?.installed ?? [:] { result[id] = machine.instance }
        return result
    }

    /// What it leaves behind where its process ended in the middle of it.
    package var remains: RollingRollout.Remains {
        var remains = rollout?.remains ?? .init()
        remains.leases.merge(removal?.ownLease ?? [:]) { own, _ in own }
        remains.changed = Set(remains.changed).union(restored.keys.map(\.rawValue)).sorted()
        return remains
    }

    private mutating func afterVerify(_ agenda: inout Agenda) {
        switch verify?.state {
        case .healthy: state = .restored
        case .unhealthy(let reason): diagnose("\(target.number) is back and not healthy: \(reason)", &agenda)
        case .waiting, .probing, .inspecting, .smoking, .soaking, .stopped, nil: break
        }
    }

    private mutating func diagnose(_ reason: String, _ agenda: inout Agenda) {
        state = .diagnosing(action: agenda.perform(.platform(call: .machines)), reason: reason)
    }

    /// Machine by machine, what is not as the release recorded it.
    private func divergence(of fleet: [FleetMachine]) -> [String] {
        var lines: [String] = []
        for machine in fleet.filter(\.isManaged).sorted(by: { $0.id < $1.id }) {
            guard let wanted = wantedConfig(for: machine) else {
                lines.append("\(machine.id): group \(machine.config.processGroup) is not part of \(target.number)")
                continue
            }
            if machine.imageDigest != target.digest {
                let runs = machine.imageDigest?.short ?? "an unknown image"
                lines.append("\(machine.id): runs \(runs), wanted \(target.digest.short) (\(target.number))")
            } else if machine.config.substance != wanted.substance {
                lines.append("\(machine.id): runs the right image with another config")
            }
            if machine.state != "started", !FleetPlan.restingStates.contains(machine.state) {
                lines.append("\(machine.id): is \(machine.state)")
            } else if machine.state == "started", !machine.areChecksPassing {
                let failing = machine.checks.first { $0.status != "passing" }
                lines.append(
                    "\(machine.id): \(failing.map { "check \($0.name) is \($0.status)" } ?? "no check result")")
            }
        }
        let present = Set(fleet.map(\.id))
        for machine in target.machines where !present.contains(machine.id) {
            lines.append("\(machine.id): is gone (\(machine.name))")
        }
        return lines
    }
}
