// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The second stage: may a deploy begin now? Asked again by ``Deploy`` right before the first change.
package struct WindowGate: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `asking`, `passed`, `stopped`.
        case waiting
        /// Next: `passed`, `overridden`, `refused`, `stopped`.
        case asking(action: ActionID)
        case passed(rule: String)
        /// Closed, and a person said that it is an emergency.
        case overridden(rule: String)
        case refused(refusal: Refusal)
        case stopped
    }

    package private(set) var state: State = .waiting
    private let hasWindow: Bool
    private let isExempt: Bool
    private let overrides: RunRequest.Overrides

    package init(_ request: RunRequest) {
        hasWindow = request.settings.hasWindow
        isExempt = request.kind == .rollback
        overrides = request.overrides
    }

    package func awaits(_ action: ActionID) -> Bool {
        state == .asking(action: action)
    }

    package mutating func begin(_ agenda: inout Agenda) {
        guard hasWindow, !isExempt else {
            state = .passed(rule: isExempt ? "a rollback is always allowed" : "the pipeline has no window")
            return
        }
        state = .asking(action: agenda.perform(.window))
    }

    package mutating func stop() {
        switch state {
        case .waiting, .asking: state = .stopped
        case .passed, .overridden, .refused, .stopped: break
        }
    }

    package mutating func handle(
        _ action: ActionID, _ answer: Answer, _ agenda: inout Agenda
    ) throws(IllegalEvent) {
        guard awaits(action) else { throw IllegalEvent(state: "\(state)", event: "an answer to \(action)") }
        switch answer {
        case .window(let decision):
            if decision.isOpen {
                state = .passed(rule: decision.rule)
            } else if overrides.isEmergency || overrides.skippedGates.contains(GateName.window.rawValue) {
                state = .overridden(rule: decision.rule)
            } else {
                state = .refused(refusal: WindowGate.refusal(decision))
            }
        case .failed(let failure):
            state = .refused(
                refusal: Refusal(.refused, "the deployment window could not be read: \(failure.text)"))
        default:
            throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    static func refusal(_ decision: WindowAnswer) -> Refusal {
        let next = decision.nextOpen.map { "; it opens next at \($0)" } ?? "; it never opens again"
        return Refusal(
            .refused, "the deployment window is closed (\(decision.rule))\(next)",
            hints: ["wait for it, or in an emergency: --emergency --approved-by WHO"])
    }
}
