// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// One event's worth of decisions: the time it came, the actions it leads to, and what people should hear of it.
package struct Agenda: Hashable, Sendable {
    package let now: Timestamp
    package private(set) var actions: [Action] = []
    package private(set) var notes: [RunNote] = []
    /// The number the next action gets.
    package private(set) var nextAction: Int

    package init(now: Timestamp, nextAction: Int) {
        self.now = now
        self.nextAction = nextAction
    }

    /// Asks for an effect; its answer comes under the returned id.
    package mutating func perform(_ effect: Effect) -> ActionID {
        let id = ActionID(nextAction)
        nextAction += 1
        actions.append(Action(id: id, effect: effect))
        return id
    }

    /// Asks for an effect whose answer nobody waits for.
    package mutating func performAndForget(_ effect: Effect) {
        _ = perform(effect)
    }

    /// Lets no lease that is asked for here outlive `end`, but for those of the machines excepted. No lease is shorter
    /// than a second.
    package mutating func shortenLeases(to end: Timestamp, except: [MachineID]) {
        let left = max(1, Int((end - now).inSeconds))
        for index in actions.indices {
            guard case .platform(let call) = actions[index].effect else { continue }
            switch call {
            case .acquireLease(let machine, let seconds) where seconds > left && !except.contains(machine):
                actions[index].effect = .platform(call: .acquireLease(machine: machine, seconds: left))
            case .refreshLease(let machine, let nonce, let seconds) where seconds > left && !except.contains(machine):
                actions[index].effect = .platform(call: .refreshLease(machine: machine, nonce: nonce, seconds: left))
            default: break
            }
        }
    }

    package mutating func note(_ note: RunNote) {
        notes.append(note)
    }
}

/// Something for a person who watches; never read by a machine and never replayed.
package enum RunNote: Hashable, Codable, Sendable {
    case stage(report: StageReport)
    case gate(name: String, state: StageState, detail: String)
    case machine(progress: MachineProgress)
    case message(text: String)
    case warning(text: String)
}

/// Where one machine stands in a rollout.
package struct MachineProgress: Hashable, Codable, Sendable {
    /// The machine's id, or the name it will be created with.
    package var machine: String
    package var group: ProcessGroup
    package var region: String
    package var phase: Phase
    package var detail: String

    package enum Phase: String, Codable, Sendable, CaseIterable {
        case waiting, leasing, updating, creating, starting, checking, done, unchanged, failed
    }

    package init(machine: String, group: ProcessGroup, region: String, phase: Phase, detail: String = "") {
        self.machine = machine
        self.group = group
        self.region = region
        self.phase = phase
        self.detail = detail
    }
}

/// An event that cannot happen in the state a machine is in: a damaged journal, or a defect.
package struct IllegalEvent: Error, Hashable, Sendable, CustomStringConvertible {
    package var state: String
    package var event: String

    package init(state: String, event: String) {
        self.state = state
        self.event = event
    }

    package var description: String { "the event \(event) is not possible in the state \(state)" }
}
