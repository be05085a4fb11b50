// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What happened, in lines; nothing is written, and no text made, unless somebody wants to be told.
struct Chronicle: Sendable {
    let isTold: Bool
    private(set) var lines: [TraceLine] = []
    private(set) var violationsTold = 0

    init(isTold: Bool) { self.isTold = isTold }

    mutating func tell(
        _ kind: TraceLine.Kind, _ actor: String = "", at now: Timestamp, _ text: @autoclosure () -> String
    ) {
        guard isTold else { return }
        lines.append(TraceLine(at: now - Scenario.start, kind: kind, actor: actor, text: text()))
    }

    /// Tells of a violation where it happened.
    mutating func violated(_ violation: Violation) {
        violationsTold += 1
        guard isTold else { return }
        lines.append(
            TraceLine(at: violation.at, kind: .violation, text: "\(violation.name): \(violation.message)"))
    }
}
