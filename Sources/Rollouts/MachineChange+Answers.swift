// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension MachineChange.Target { var isNew: Bool { if case .new = self { true } else { false } } }

extension MachineChange.Event {
    /// Reads an answer as what it means to one machine's change.
    init(_ answer: Answer, to step: MachineChange.Step, named name: String) throws(IllegalEvent) {
        switch (step, answer) {
        case (_, .failed(let failure)): self = .failed(step: step, failure: failure)
        case (.lease, .lease(let lease)), (.refresh, .lease(let lease)): self = .leased(lease: lease)
        case (.update, .machine(let machine)), (.look, .machine(let machine)): self = .changed(machine: machine)
        case (.create, .created(let machine, let lease)): self = .created(machine: machine, lease: lease)
        case (.seek, .machines(let list)):
            self = list.first { $0.name == name }.map { .changed(machine: $0) } ?? .absent
        case (.wait, .done): self = .reached
        case (.wait, .waitTimedOut): self = .waitTimedOut
        case (.release, .done): self = .released
        default: throw IllegalEvent(state: "waiting for \(step.rawValue)", event: "\(answer)")
        }
    }
}
