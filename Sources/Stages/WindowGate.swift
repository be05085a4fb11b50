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
        switch WindowGate.verdict(on: answer, from: .window, overrides, at: agenda.now) {
        case .open(let rule): state = .passed(rule: rule)
        case .overridden(let rule): state = .overridden(rule: rule)
        case .refused(let refusal): state = .refused(refusal: refusal)
        case nil: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }

    enum Verdict: Hashable {
        case open(rule: String)
        /// With what the window would have said.
        case overridden(rule: String)
        case refused(Refusal)
    }

    /// What follows from the window's answer for a run that stands before `part`; nil where it is no answer to this.
    static func verdict(
        on answer: Answer, from part: FinishForecast.Part, _ overrides: RunRequest.Overrides, at now: Timestamp
    ) -> Verdict? {
        let rule: String
        let refusal: Refusal
        switch answer {
        case .window(let decision):
            if !decision.isOpen {
                (rule, refusal) = (decision.rule, closed(decision))
            } else if let late = tooLate(decision, from: part, at: now) {
                (rule, refusal) = late
            } else {
                return .open(rule: decision.rule)
            }
        case .failed(let failure):
            rule = "it could not be read: \(failure.text)"
            refusal = Refusal(
                .refused, "the deployment window could not be read: \(failure.text)",
                hints: (failure.hint.isEmpty ? [] : [failure.hint]) + [emergency])
        default: return nil
        }
        let isOverridden = overrides.isEmergency || overrides.skippedGates.contains(GateName.window.rawValue)
        return isOverridden ? .overridden(rule: rule) : .refused(refusal)
    }

    /// What is said of a rollback that begins now: it is always allowed; nil while the window is open.
    package static func exemption(_ decision: WindowAnswer) -> String? {
        guard !decision.isOpen else { return nil }
        return "outside the deployment window (\(decision.rule)); a rollback is always allowed"
    }

    private static let emergency = "in an emergency: --emergency --approved-by WHO"

    private static func closed(_ decision: WindowAnswer) -> Refusal {
        let local = decision.nextOpenWords.map { ", which is \($0)" } ?? ""
        let next = decision.nextOpen.map { "; it opens next at \($0)\(local)" } ?? "; it never opens again"
        return Refusal(
            .refused, "the deployment window is closed (\(decision.rule))\(next)",
            hints: ["wait for it, or " + emergency],
            opening: WindowOpening(
                rule: decision.rule, opensAt: decision.nextOpen, words: decision.nextOpenWords))
    }

    /// A release whose soak ends after the close is watched by nobody who may still deploy.
    private static func tooLate(
        _ decision: WindowAnswer, from part: FinishForecast.Part, at now: Timestamp
    ) -> (rule: String, refusal: Refusal)? {
        guard let forecast = decision.forecast, let closes = decision.closes else { return nil }
        let expected = forecast.expected(from: part)
        guard now + expected > closes else { return nil }
        let rule =
            "too late to finish: \(forecast.grounds(from: part)); the window closes in \((closes - now).words), "
            + "at \(closes)"
        let refusal = Refusal(
            .refused,
            "it is too late to finish before the deployment window closes: "
                + "\(forecast.grounds(from: part)), which is until \(now + expected); it closes at \(closes) "
                + "(\(decision.rule))",
            hints: ["begin \(expected.words) before a close (window.must_finish asks for it)", emergency])
        return (rule, refusal)
    }
}
