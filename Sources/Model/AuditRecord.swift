// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Who acts, from where and by which command: what every record of one process has in common.
package struct AuditOrigin: Hashable, Sendable {
    /// Who runs the command: GitHub's actor, else git's user, else the shell's.
    package var actor: String
    /// What each source says of who it is: `github`, `shell`, `git`.
    package var identities: [String: String]
    package var host: String
    /// `github-actions`, or `shell`.
    package var entryPoint: String
    /// The command line without secrets.
    package var command: String

    package init(
        actor: String, identities: [String: String], host: String, entryPoint: String, command: String
    ) {
        self.actor = actor
        self.identities = identities
        self.host = host
        self.entryPoint = entryPoint
        self.command = command
    }
}

/// One record of the audit: what was decided or done, by whom, from where and why. It holds no secret.
package struct AuditRecord: Hashable, Sendable {
    package var entry: AuditEntry
    package var origin: AuditOrigin
    /// Empty where it is about no pipeline.
    package var pipeline: String
    package var app: AppName?
    package var run: RunID?
    package var reason: String

    package init(
        _ entry: AuditEntry, by origin: AuditOrigin, pipeline: String = "", app: AppName? = nil, run: RunID? = nil,
        reason: String = ""
    ) {
        self.entry = entry
        self.origin = origin
        self.pipeline = pipeline
        self.app = app
        self.run = run
        self.reason = reason
    }

    /// The version of ``json``.
    package static let schema = 1

    /// The record as it is kept and exported, without its place in a chain.
    package var json: JSONValue {
        [
            "schema": .integer(Int64(AuditRecord.schema)), "at": .string(entry.at.description),
            "kind": .string(entry.kind), "subject": .string(entry.subject), "detail": .string(entry.detail),
            "before": entry.before, "after": entry.after, "actor": .string(origin.actor),
            "identities": .object(origin.identities.mapValues(JSONValue.string)), "host": .string(origin.host),
            "entry_point": .string(origin.entryPoint), "command": .string(origin.command),
            "pipeline": .string(pipeline), "app": app.map { .string($0.rawValue) } ?? .null,
            "run": run.map { .string($0.rawValue) } ?? .null, "reason": .string(reason),
        ]
    }
}
