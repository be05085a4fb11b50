// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The gates of pre-validation, by the names that `--skip` and every report use.
package enum GateName: String, Codable, Sendable, CaseIterable {
    case token
    case app
    case commit
    case branch
    case cleanWorktree = "clean-worktree"
    case checks
    case secrets
    case healthyElsewhere = "healthy"
    /// Where a promoted digest comes from: verified, running and healthy there.
    case promotion
    case approvals
    case fleet
    case servingFloor = "serving-floor"
    case wayBack = "way-back"
    case healthURL = "health-url"
    case migrations
    case window

    /// Gates without which the run would not know what to do; they can't be skipped.
    package var canBeSkipped: Bool {
        switch self {
        case .token, .app, .commit, .promotion: false
        case .branch, .cleanWorktree, .checks, .secrets, .healthyElsewhere, .approvals, .fleet, .servingFloor, .wayBack,
            .healthURL, .migrations, .window:
            true
        }
    }
}

/// What one gate said.
package struct GateResult: Hashable, Codable, Sendable {
    package enum Verdict: String, Codable, Sendable, CaseIterable {
        case passed
        case refused
        /// The question could not be asked; never taken for a yes.
        case unanswered
        /// It would have refused, and a person overrode it.
        case overridden
    }

    package var gate: GateName
    package var verdict: Verdict
    package var detail: String
    package var hint: String

    package init(_ gate: GateName, _ verdict: Verdict, _ detail: String, hint: String = "") {
        self.gate = gate
        self.verdict = verdict
        self.detail = detail
        self.hint = hint
    }

    var stageState: StageState {
        switch verdict {
        case .passed: .passed
        case .refused: .refused
        case .unanswered: .failed
        case .overridden: .overridden
        }
    }
}

/// Why a run ends before it changed anything.
package struct Refusal: Hashable, Codable, Sendable {
    /// `refused`, or `unavailable` where the platform could not be asked.
    package var outcome: RunOutcome
    package var reason: String
    package var hints: [String]
    /// Set where people's approval is wanted.
    package var approval: ApprovalWanted?
    /// Set where the window is closed.
    package var opening: WindowOpening?
    /// Whether another run is at work on an app that had no machines a moment ago; nil for no.
    package var isOvertaken: Bool?

    package init(
        _ outcome: RunOutcome, _ reason: String, hints: [String] = [], approval: ApprovalWanted? = nil,
        opening: WindowOpening? = nil
    ) {
        self.approval = approval
        self.opening = opening
        self.outcome = outcome
        self.reason = reason
        self.hints = hints
    }
}
