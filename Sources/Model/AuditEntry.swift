// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// One thing that was decided or done, as the audit record tells it; who did it and from where is added outside.
package struct AuditEntry: Hashable, Sendable {
    /// What kinds of things are recorded. A later version may add some; readers keep those they do not know.
    package enum Kind: String, Sendable, CaseIterable {
        case runStarted = "run.started"
        /// Another process goes on with a run.
        case runResumed = "run.resumed"
        /// A signal was obeyed.
        case runInterrupted = "run.interrupted"
        case runFinished = "run.finished"
        case gateDecided = "gate.decided"
        /// A gate or the window was overridden by a named person.
        case gateOverridden = "gate.overridden"
        /// A stage began or came to an end.
        case stageChanged = "stage.changed"
        /// A call that changes the platform is about to be sent: recorded before it is.
        case mutationAsked = "mutation.asked"
        /// What the platform said to such a call.
        case mutationAnswered = "mutation.answered"
        case imageAsked = "image.asked"
        case imageAnswered = "image.answered"
        case releaseRecorded = "release.recorded"
        case releaseMarked = "release.marked"
        case approvalGranted = "approval.granted"
        /// A run counted an approval, and used it up.
        case approvalUsed = "approval.used"
        case stateMigrated = "state.migrated"
        case stateCopied = "state.copied"
        case noticeResent = "notice.resent"
        case incidentExported = "incident.exported"
    }

    package var at: Timestamp
    /// One of ``Kind``, or of a later version.
    package var kind: String
    /// What it is about: a gate, a stage, a machine, a release.
    package var subject: String
    /// For people, without a full stop.
    package var detail: String
    package var before: JSONValue
    package var after: JSONValue

    package init(
        _ kind: Kind, of subject: String, _ detail: String = "", before: JSONValue = .null, after: JSONValue = .null,
        at time: Timestamp
    ) {
        at = time
        self.kind = kind.rawValue
        self.subject = subject
        self.detail = detail
        self.before = before
        self.after = after
    }
}
