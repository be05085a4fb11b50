// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// How a run ended. Part of the contract's JSON.
package enum RunOutcome: String, Codable, Sendable, CaseIterable {
    case verified
    case rolledBack = "rolled_back"
    case refused
    case unavailable
    case needsHuman = "needs_human"
    case interrupted

    /// The exit code the outcome stands for; an interrupted run's depends on its signal (130, 143).
    package func exitCode(signal: Int32 = 2) -> ExitCode {
        switch self {
        case .verified: .verified
        case .rolledBack: .rolledBack
        case .refused: .refused
        case .unavailable: .unavailable
        case .needsHuman: .needsHuman
        case .interrupted: signal == 15 ? .terminated : .interrupted
        }
    }
}

package enum RunKind: String, Codable, Sendable, CaseIterable {
    case deploy, rollback, promote, recover
}

package enum StageName: String, Codable, Sendable, CaseIterable {
    case preValidation = "pre-validation"
    case window
    case build
    case deploy
    case verify = "health-verify"
    case rollback
    case notify
}

package enum StageState: String, Codable, Sendable, CaseIterable {
    case waiting, running, passed, failed, refused, skipped, overridden
}

/// What one stage did, as every notice and the contract's JSON tell it.
package struct StageReport: Hashable, Codable, Sendable {
    package var stage: StageName
    package var state: StageState
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    package var detail: String

    package init(
        stage: StageName, state: StageState = .waiting, startedAt: Timestamp? = nil, finishedAt: Timestamp? = nil,
        detail: String = ""
    ) {
        self.stage = stage
        self.state = state
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.detail = detail
    }
}

/// A gate that a person overrode, and what it would have said.
package struct Override: Hashable, Codable, Sendable {
    package var gate: String
    package var who: String
    package var reason: String
    package var wouldHaveSaid: String

    package init(gate: String, who: String, reason: String, wouldHaveSaid: String) {
        self.gate = gate
        self.who = who
        self.reason = reason
        self.wouldHaveSaid = wouldHaveSaid
    }
}

/// Everything people are told of a finished run; made by the run's machine, rendered by whoever shows it.
package struct RunReport: Hashable, Codable, Sendable {
    package var run: RunID
    package var kind: RunKind
    package var pipeline: String
    package var app: AppName
    package var outcome: RunOutcome
    package var exitCode: Int32
    /// One sentence: what happened.
    package var headline: String
    package var actor: String
    package var reason: String
    package var commit: CommitID?
    package var subject: String
    package var image: String
    package var release: ReleaseNumber?
    package var previousRelease: ReleaseNumber?
    package var startedAt: Timestamp
    package var finishedAt: Timestamp
    package var stages: [StageReport]
    package var overrides: [Override]
    package var healthStatus: String
    /// From the first sign of trouble to verified healthy, where there was trouble.
    package var timeToRestore: Duration?
    /// What differs from the wanted fleet, for a person to mend; empty unless the outcome is `needs_human`.
    package var divergence: [String]
    /// What to do next, as sentences or commands.
    package var nextSteps: [String]
    package var warnings: [String]
    package var url: String
    package var runURL: String
    /// Set where people's approval is wanted.
    package var approval: ApprovalWanted?
    /// Set where the window refused the run.
    package var opening: WindowOpening?
    /// Whose approvals it went by; nil of a run of an earlier version.
    package var approvals: [CountedApproval]?
    /// Whether a record of it was opened elsewhere before it ended, which its end must close; nil is no.
    package var wasAnnounced: Bool?

    /// Whether the run goes on: it waits for people. Then the outcome means nothing yet.
    package var isUnderWay: Bool { approval?.until != nil }

    package init(
        run: RunID, kind: RunKind, pipeline: String, app: AppName, outcome: RunOutcome, exitCode: Int32,
        headline: String, actor: String, reason: String, commit: CommitID? = nil, subject: String = "",
        image: String = "", release: ReleaseNumber? = nil, previousRelease: ReleaseNumber? = nil,
        startedAt: Timestamp, finishedAt: Timestamp, stages: [StageReport] = [], overrides: [Override] = [],
        healthStatus: String = "", timeToRestore: Duration? = nil, divergence: [String] = [],
        nextSteps: [String] = [], warnings: [String] = [], url: String = "", runURL: String = "",
        approval: ApprovalWanted? = nil, opening: WindowOpening? = nil, approvals: [CountedApproval]? = nil,
        wasAnnounced: Bool? = nil
    ) {
        self.approval = approval
        self.opening = opening
        self.run = run
        self.kind = kind
        self.pipeline = pipeline
        self.app = app
        self.outcome = outcome
        self.exitCode = exitCode
        self.headline = headline
        self.actor = actor
        self.reason = reason
        self.commit = commit
        self.subject = subject
        self.image = image
        self.release = release
        self.previousRelease = previousRelease
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.stages = stages
        self.overrides = overrides
        self.healthStatus = healthStatus
        self.timeToRestore = timeToRestore
        self.divergence = divergence
        self.nextSteps = nextSteps
        self.warnings = warnings
        self.url = url
        self.runURL = runURL
        self.approvals = approvals
        self.wasAnnounced = wasAnnounced
    }
}
