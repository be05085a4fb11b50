// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import GitHistory
internal import Journals
package import Model
internal import Notifications

extension AuditOrigin {
    /// The longest command line that is recorded, in characters.
    static let maxCommandLength = 2_000

    /// Who runs this process, by everything that says so, and how it was called.
    ///
    /// - Parameter repository: where git's user is read; nil where there is none.
    static func process(
        environment: [String: String], repository: GitRepository?, at now: Timestamp,
        arguments: [String] = CommandLine.arguments
    ) async -> AuditOrigin {
        var identities: [String: String] = [:]
        func name(_ variable: String) -> String? { environment[variable].flatMap { $0.isEmpty ? nil : $0 } }
        identities["github"] = name("GITHUB_ACTOR")
        identities["shell"] = name("USER") ?? name("LOGNAME")
        // A repository whose config can't be read names nobody.
        if let user = try? await repository?.user, !user.name.isEmpty {
            identities["git"] = user.email.isEmpty ? user.name : "\(user.name) <\(user.email)>"
            // Who acts is the name alone, as notices say it.
            identities["git_name"] = user.name
        }
        let actor = identities["github"] ?? identities["git_name"] ?? identities["shell"] ?? "unknown"
        identities["git_name"] = nil
        let words = ["airboss"] + arguments.dropFirst().map(ShellWord.quoted)
        return AuditOrigin(
            actor: actor, identities: identities, host: Holder.process(at: now).host,
            entryPoint: environment["GITHUB_ACTIONS"] == "true" ? "github-actions" : "shell",
            command: String(words.joined(separator: " ").prefix(maxCommandLength)))
    }
}

/// What every record of one run says.
package struct AuditedRun: Sendable {
    var origin: AuditOrigin
    var pipeline: String
    var app: AppName
    var run: RunID
    var reason: String

    package init(origin: AuditOrigin, pipeline: String, app: AppName, run: RunID, reason: String) {
        self.origin = origin
        self.pipeline = pipeline
        self.app = app
        self.run = run
        self.reason = reason
    }

    /// The record of an entry, without secrets.
    func record(_ entry: AuditEntry) -> AuditRecord {
        AuditRecord(entry, by: origin, pipeline: pipeline, app: app, run: run, reason: reason).redacted
    }
}

extension AuditRecord {
    /// The record without secrets: everything in it may have come from git, a person or the platform.
    var redacted: AuditRecord {
        var copy = self
        copy.entry.subject = Redactor.redact(entry.subject)
        copy.entry.detail = Redactor.redact(entry.detail)
        copy.entry.before = entry.before.redacted
        copy.entry.after = entry.after.redacted
        copy.reason = Redactor.redact(reason)
        copy.origin.actor = Redactor.redact(origin.actor)
        copy.origin.command = Redactor.redact(origin.command)
        copy.origin.identities = origin.identities.mapValues(Redactor.redact)
        return copy
    }
}

extension JSONValue {
    /// The document with secrets removed from its texts.
    var redacted: JSONValue {
        switch self {
        case .string(let text): .string(Redactor.redact(text))
        case .array(let elements): .array(elements.map(\.redacted))
        case .object(let members): .object(members.mapValues(\.redacted))
        case .null, .bool, .integer, .number: self
        }
    }

    /// The document on one line, in which no runner of GitHub Actions finds a command of the old kind.
    var lineText: String { text().replacing("##[", with: "#\\u0023[") }
}
