// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import Rollouts

/// Destroys what a finished run leaves over: machines of process groups that the verified release no longer has, and
/// machines whose creation was given up and happened all the same.
package struct Reaping: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `pausing`, `looking`.
        case waiting
        /// Until nothing that was sent can still arrive, or before the next look. Next: `looking`, `done`.
        case pausing(action: ActionID)
        /// Next: `removing`, `pausing`, `done`.
        case looking(action: ActionID)
        /// Next: `done`.
        case removing
        case done
    }

    /// What may go. A machine that fits nothing here stays.
    package struct Scope: Hashable, Codable, Sendable {
        /// Process groups that are no more, and the machines of them that a release recorded.
        package var goneGroups: Set<ProcessGroup>
        package var recorded: Set<MachineID>
        /// Runs whose creations go, but for the machines kept.
        package var runs: Set<RunID>
        package var kept: Set<MachineID>

        package init(
            goneGroups: Set<ProcessGroup> = [], recorded: Set<MachineID> = [], runs: Set<RunID> = [],
            kept: Set<MachineID> = []
        ) {
            self.goneGroups = goneGroups
            self.recorded = recorded
            self.runs = runs
            self.kept = kept
        }

        func covers(_ machine: FleetMachine) -> Bool {
            guard machine.isManaged, !kept.contains(machine.id) else { return false }
            let creator = machine.config.metadata(Bookkeeping.created).map { RunID($0) }
            if let creator, runs.contains(creator) { return true }
            return goneGroups.contains(machine.config.processGroup) && (recorded.contains(machine.id) || creator != nil)
        }
    }

    /// Looks before a platform that does not answer is given up.
    package static let maxLooks = 5
    package static let lookPause = Duration.seconds(5)

    package private(set) var state: State = .waiting
    package private(set) var removal: FleetRemoval?
    /// Why what was to go could not be looked for; empty where it could.
    package private(set) var blindness = ""
    /// Machines of groups that are no more, which no release recorded and no run made.
    private var strangers: [FleetMachine] = []
    private let scope: Scope
    private let leases: [MachineID: LeaseNonce]
    private var looks = 0
    private var isStopped = false

    package init(_ scope: Scope, leases: [MachineID: LeaseNonce]) {
        self.scope = scope
        self.leases = leases
    }

    /// Machines that are still there, with the reason where there is one.
    package var leftovers: [String] {
        guard let removal else { return blindness.isEmpty ? [] : ["unknown: \(blindness)"] }
        let remaining = removal.remaining.map { machine in
            "\(machine): is left over" + (removal.failures[machine].map { ", \($0)" } ?? "")
        }
        let group = { (machine: FleetMachine) in machine.config.processGroup }
        return remaining
            + strangers.map { "\($0.id): is of \(group($0)), which is no more; no release recorded the machine" }
    }

    package func awaits(_ action: ActionID) -> Bool {
        switch state {
        case .pausing(action), .looking(action): true
        case .removing: removal?.awaits(action) ?? false
        case .waiting, .pausing, .looking, .done: false
        }
    }

    /// - Parameter earliest: when nothing that was sent can still arrive; nil where nothing is on its way.
    package mutating func begin(notBefore earliest: Timestamp?, _ agenda: inout Agenda) {
        if let earliest, earliest > agenda.now {
            state = .pausing(action: agenda.perform(.wake(at: earliest)))
        } else {
            look(&agenda)
        }
    }

    package mutating func stop(_ agenda: inout Agenda) {
        isStopped = true
        switch state {
        case .waiting, .pausing, .looking:
            blindness = "interrupted before the machines were looked at once more"
            state = .done
        case .removing:
            removal?.stop(&agenda)
            settle()
        case .done: break
        }
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard awaits(action) else { throw IllegalEvent(state: "\(state)", event: "an answer to \(action)") }
        switch (state, answer) {
        case (.pausing, .woke): look(&agenda)
        case (.looking, .machines(let fleet)):
            let targets = fleet.filter(scope.covers).sorted(by: AppClaim.precedes).map {
                FleetRemoval.Target(machine: $0.id, version: $0.instance)
            }
            strangers = fleet.filter {
                $0.isManaged && scope.goneGroups.contains($0.config.processGroup) && !scope.covers($0)
            }
            var removal = FleetRemoval(targets, leases: leases)
            state = .removing
            removal.begin(&agenda)
            self.removal = removal
            settle()
        case (.looking, .failed(let failure)):
            if looks < Reaping.maxLooks {
                state = .pausing(action: agenda.perform(.wake(at: agenda.now + Reaping.lookPause)))
            } else {
                blindness = "the machines could not be listed: \(failure.text)"
                state = .done
            }
        case (.removing, _):
            try removal?.handle(action, answer, &agenda)
            settle()
        default: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    private mutating func look(_ agenda: inout Agenda) {
        looks += 1
        state = .looking(action: agenda.perform(.platform(call: .machines)))
    }

    private mutating func settle() { if removal?.state == .done { state = .done } }
}
