// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import Rollouts

/// A run that is taken to the brink of its first change with true answers, and no further: the same machine that a run
/// is driven by asks the same questions, and what would change something is held back.
package struct RunPreview: Sendable {
    package private(set) var machine: RunMachine
    /// What the run would do next, in its order.
    package private(set) var heldBack: [Action] = []
    /// What was asked, with its answer; a question that comes again is not asked again.
    package private(set) var answers: [Effect: Answer]
    /// Questions of the platform, in their order, asked here or before.
    package private(set) var platformCalls: [PlatformCall] = []
    private var open: [ActionID: Effect] = [:]

    /// - Parameter answers: what is known already.
    package init(_ request: RunRequest, knowing answers: [Effect: Answer] = [:]) {
        machine = RunMachine(request)
        self.answers = answers
    }

    /// Whether nothing is left to be asked before something would have to change.
    package var isOver: Bool { open.isEmpty }

    /// Begins, and returns the questions to ask.
    package mutating func begin(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        try take(RunEvent(at: now, kind: .started))
    }

    /// Takes the answer to a question, and returns what is to be asked next.
    package mutating func answer(
        _ action: ActionID, _ answer: Answer, at now: Timestamp
    ) throws(IllegalEvent) -> [Action] {
        guard let effect = open.removeValue(forKey: action) else {
            throw IllegalEvent(state: "previewing", event: "an answer to \(action), which was not asked")
        }
        answers[effect] = answer
        return try take(RunEvent(at: now, kind: .answered(action: action, answer: answer)))
    }

    private mutating func take(_ first: RunEvent) throws(IllegalEvent) -> [Action] {
        var events = [first]
        var asked: [Action] = []
        while !events.isEmpty {
            let event = events.removeFirst()
            for action in try machine.apply(event).actions {
                if case .platform(let call) = action.effect, !call.isMutation { platformCalls.append(call) }
                switch RunPreview.treatment(of: action.effect) {
                case .ask(let effect):
                    if let known = answers[effect] {
                        events.append(RunEvent(at: event.at, kind: .answered(action: action.id, answer: known)))
                    } else {
                        open[action.id] = effect
                        asked.append(Action(id: action.id, effect: effect))
                    }
                case .takeForDone:
                    events.append(RunEvent(at: event.at, kind: .answered(action: action.id, answer: .done)))
                case .holdBack: heldBack.append(action)
                }
            }
        }
        return asked
    }

    private enum Treatment {
        /// A question, put so that it changes nothing.
        case ask(Effect)
        /// It changes something, and later questions hang on it.
        case takeForDone
        case holdBack
    }

    private static func treatment(of effect: Effect) -> Treatment {
        switch effect {
        case .platform(let call): call.isMutation ? .holdBack : .ask(effect)
        // What would be built is assembled and not pushed: its digest is the same.
        case .image(.build(let commit, _)): .ask(.image(task: .assemble(commit: commit)))
        // Equal digests stand for equal images, wherever they are.
        case .image(.copy(let reference)): .ask(.image(task: .resolve(reference: reference)))
        case .image(.resolve), .image(.provePullable), .image(.assemble): .ask(effect)
        case .git, .github, .probe, .window, .ledger(.history), .approvals(.find), .approvals(.check), .elsewhere:
            .ask(effect)
        case .approvals(.spend): .takeForDone
        case .ledger(.record), .ledger(.mark), .notify, .wake, .cancel: .holdBack
        }
    }
}

extension RunRequest {
    /// The same without any wait: what is under way when somebody plans is told as it is.
    package var impatient: RunRequest {
        var copy = self
        copy.settings.checks?.patience = .zero
        copy.settings.approvals?.patience = .zero
        return copy
    }

    /// The same with every gate overridden that can be: what would be done if somebody went on against them all.
    package var overridingAll: RunRequest {
        var copy = self
        copy.overrides = Overrides(
            isEmergency: true, approvedBy: overrides.approvedBy,
            skippedGates: GateName.allCases.filter(\.canBeSkipped).map(\.rawValue))
        return copy
    }
}

/// What a run was planned for; it refuses where it finds something else before its first change.
package struct PlannedStart: Hashable, Codable, Sendable {
    package var image: ImageDigest?
    /// By machine, what ``standing(of:)`` said.
    package var fleet: [MachineID: String]

    package init(image: ImageDigest?, fleet: [FleetMachine]) {
        self.image = image
        self.fleet = PlannedStart.standings(of: fleet)
    }

    /// What a plan takes for granted of a machine: its version, config, image, and whether it rests.
    package static func standing(of machine: FleetMachine) -> String {
        let rests = FleetPlan.restingStates.contains(machine.state)
        return "version \(machine.instance), config \(machine.config.fingerprint), "
            + "\(machine.imageDigest?.short ?? "no image"), \(rests ? "at rest" : "running")"
            + (machine.isCordoned ? ", cordoned" : "")
    }

    package static func standings(of fleet: [FleetMachine]) -> [MachineID: String] {
        Dictionary(fleet.filter(\.isManaged).map { ($0.id, standing(of: $0)) }) { first, _ in first }
    }

    /// How a fleet differs from the one that was planned for, machine by machine; nil where it does not.
    package func difference(in fleet: [FleetMachine]) -> String? {
        let now = PlannedStart.standings(of: fleet)
        let lines = Set(now.keys).union(self.fleet.keys).sorted().compactMap { machine -> String? in
            switch (self.fleet[machine], now[machine]) {
            case (let planned?, let found?) where planned != found: "\(machine) was \(planned); it is \(found)"
            case (nil, .some): "\(machine) is new"
            case (.some, nil): "\(machine) is gone"
            default: nil
            }
        }
        return lines.isEmpty ? nil : lines.joined(separator: "; ")
    }
}
