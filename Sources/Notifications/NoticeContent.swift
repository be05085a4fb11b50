// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// What a notice says, in words, the same for every channel; already on single lines and without secrets.
package struct NoticeContent: Hashable, Sendable {
    /// The mood of a notice, from which its symbol and colours follow.
    package enum Tone: String, Sendable {
        case good, warning, bad, neutral
    }

    /// What a notice tells, in a word that programs may rely on (docs/notices.md).
    package enum Kind: String, Sendable, CaseIterable {
        case success
        case failure
        case refused
        /// Refused by the deployment window; it says when that opens.
        case windowClosed = "window_closed"
        case approvalWanted = "approval_wanted"
        /// A deployment failed, and Airboss went back by itself.
        case rolledBack = "rolled_back"
        /// A person went back.
        case rollback
        case rollbackFailed = "rollback_failed"
        case notStarted = "not_started"
        case interrupted
        case maintenanceAnnounced = "maintenance_announced"
        case maintenanceWithdrawn = "maintenance_withdrawn"
        case maintenanceClosed = "maintenance_closed"
    }

    package struct Fact: Hashable, Sendable {
        package var label: String
        package var value: String
        /// A second, quieter part of the value.
        package var note: String?
        package var link: String?
        /// Whether the value is an id, better set in a fixed width.
        package var isCode: Bool
    }

    package struct Stage: Hashable, Sendable {
        package var stageName: String
        package var symbol: String
        package var word: String
        package var tone: Tone
        package var elapsed: String?
        package var detail: String?
    }

    package struct OverrideLine: Hashable, Sendable {
        package var gate: String
        package var who: String
        package var why: String
        package var instead: String?
    }

    package struct Step: Hashable, Sendable {
        package var text: String
        package var isCommand: Bool
    }

    package var kind: Kind
    package var tone: Tone
    package var symbol: String
    /// `Production Deployment Failed`.
    package var title: String
    package var headline: String
    package var app: String
    package var environment: String
    package var facts: [Fact]
    package var stages: [Stage]
    package var overrides: [OverrideLine]
    package var divergence: [String]
    package var nextSteps: [Step]
    package var warnings: [String]
    package var appURL: String?
    package var runURL: String?
    package var run: String
    /// What it is about, for the small print: `run 01K…`.
    package var about: String
    package var finished: String

    /// The subject of an e-mail: `🚨 Production Deployment Failed`.
    package var subject: String { symbol + " " + title }
}

extension NoticeContent {
    package init(_ subject: NoticeOrder.Subject) {
        switch subject {
        case .run(let report): self.init(report)
        case .maintenance(let notice): self.init(notice)
        }
    }

    /// Puts a report into words. Secrets are removed first, whatever their source.
    package init(_ original: RunReport) {
        let report = Redactor.redact(original)
        let environment = NoticeContent.environment(pipeline: report.pipeline, app: report.app)
        let title = NoticeContent.title(report)
        let runURL = NoticeText.link(report.runURL)
        let run = NoticeText.line(report.run.rawValue)
        self.init(
            kind: title.kind, tone: title.tone, symbol: title.symbol, title: environment + " " + title.words,
            headline: NoticeText.line(report.headline), app: NoticeText.line(report.app.rawValue),
            environment: environment, facts: NoticeContent.facts(report),
            stages: report.stages.filter { $0.stage != .notify || $0.state == .failed }.map(NoticeContent.stage),
            overrides: report.overrides.map { override in
                OverrideLine(
                    gate: NoticeText.line(override.gate), who: NoticeText.line(override.who),
                    why: NoticeText.line(override.reason), instead: NoticeText.optionalLine(override.wouldHaveSaid))
            },
            divergence: report.divergence.compactMap { NoticeText.optionalLine($0) },
            nextSteps: report.nextSteps.flatMap(NoticeContent.steps),
            warnings: report.warnings.compactMap { NoticeText.optionalLine($0) },
            appURL: NoticeText.link(report.url), runURL: runURL, run: run, about: "run " + run,
            finished: NoticeText.time(report.finishedAt))
    }

    /// The word for where the app runs: `Production`, `Staging`, …; the pipeline's own name where it tells neither.
    package static func environment(pipeline: String, app: AppName) -> String {
        let known = [
            ("production", "Production"), ("prod", "Production"), ("staging", "Staging"), ("stage", "Staging"),
            ("preview", "Preview"), ("development", "Development"), ("dev", "Development"), ("test", "Test"),
        ]
        for name in [pipeline, app.rawValue] {
            let words = name.lowercased().split { !$0.isLetter && !$0.isNumber }
            if let found = known.first(where: { words.contains($0.0[...]) }) { return found.1 }
        }
        let words = NoticeText.line(pipeline, maxCharacters: 60).split { $0 == "-" || $0 == "_" || $0 == " " }
        return words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(separator: " ")
    }

    private struct Title {
        var kind: Kind
        var tone: Tone
        var symbol: String
        var words: String

        init(_ kind: Kind, _ tone: Tone, _ symbol: String, _ words: String) {
            (self.kind, self.tone, self.symbol, self.words) = (kind, tone, symbol, words)
        }
    }

    private static func title(_ report: RunReport) -> Title {
        let noun =
            switch report.kind {
            case .deploy, .promote: "Deployment"
            case .rollback: "Rollback"
            case .recover: "Recovery"
            }
        if report.isUnderWay || report.outcome == .refused && report.approval?.isAllThatLacks == true {
            return Title(.approvalWanted, .warning, "✋", noun + " Needs Approval")
        }
        let wentBack = report.stages.contains { $0.stage == .rollback && $0.state == .failed }
        return switch (report.outcome, report.kind) {
        case (.verified, .rollback): Title(.rollback, .warning, "⚠️", "Rollback Executed")
        case (.verified, .deploy), (.verified, .promote), (.verified, .recover):
            Title(.success, .good, "✅", noun + " Successful")
        case (.rolledBack, .recover): Title(.rolledBack, .warning, "⚠️", "Rollback Executed")
        case (.rolledBack, .deploy), (.rolledBack, .promote), (.rolledBack, .rollback):
            Title(.rolledBack, .bad, "🚨", noun + " Failed")
        case (.needsHuman, _) where wentBack || report.kind == .rollback:
            Title(.rollbackFailed, .bad, "🚨", "Rollback Failed")
        case (.needsHuman, _): Title(.failure, .bad, "🚨", noun + " Failed")
        case (.refused, _):
            Title(report.opening == nil ? .refused : .windowClosed, .neutral, "⛔", noun + " Refused")
        case (.unavailable, _): Title(.notStarted, .warning, "⚠️", noun + " Not Started")
        case (.interrupted, _): Title(.interrupted, .warning, "⚠️", noun + " Interrupted")
        }
    }

    private static func facts(_ report: RunReport) -> [Fact] {
        var facts: [Fact] = []
        func add(_ label: String, _ value: String, note: String? = nil, link: String? = nil, isCode: Bool = false) {
            guard let value = NoticeText.optionalLine(value) else { return }
            let note = note.flatMap { NoticeText.optionalLine($0) }
            facts.append(Fact(label: label, value: value, note: note, link: link, isCode: isCode))
        }
        if let commit = report.commit { add("Commit", commit.short, note: report.subject, isCode: true) }
        add("Reason", report.reason)
        let hasDeployed = report.outcome != .refused && report.outcome != .unavailable
        add(!hasDeployed ? "Asked by" : report.kind == .rollback ? "Rolled back by" : "Deployed by", report.actor)
        if let approvals = report.approvals, !approvals.isEmpty {
            add(
                "Approved by", approvals.map(\.approver).joined(separator: ", "),
                note: approvals.map(\.source).joined(separator: "; "))
        }
        if let wanted = report.approval {
            add("Approvals", wanted.found)
            if let until = wanted.until { add("Waits until", NoticeText.time(until)) }
        }
        if let opening = report.opening {
            let time = opening.opensAt.map(NoticeText.time)
            add("Window opens", opening.words ?? time ?? "never again", note: opening.words == nil ? nil : time)
        }
        if let release = report.release {
            add("Version", release.description, note: report.previousRelease.map { "before: \($0)" })
        } else if let previous = report.previousRelease {
            let isUntouched = report.outcome == .refused || report.outcome == .unavailable
            if isUntouched {
                add("Version", previous.description, note: "unchanged")
            } else {
                add("Version", "not settled", note: "before: \(previous)")
            }
        }
        let elapsed = NoticeText.duration(report.finishedAt - report.startedAt)
        add("Time", NoticeText.time(report.startedAt), note: "took \(elapsed)")
        add("Health", report.healthStatus)
        if let restore = report.timeToRestore { add("Time to restore", NoticeText.duration(restore)) }
        add("Image", report.image, isCode: true)
        add("Run", report.run.rawValue, link: NoticeText.link(report.runURL), isCode: true)
        return facts
    }

    private static func stage(_ report: StageReport) -> Stage {
        let name =
            switch report.stage {
            case .preValidation: "Pre-validation"
            case .window: "Window"
            case .build: "Build"
            case .deploy: "Deploy"
            case .verify: "Health verify"
            case .rollback: "Rollback"
            case .notify: "Notify"
            }
        let (symbol, word, tone): (String, String, Tone) =
            switch report.state {
            case .passed: ("✅", "passed", .good)
            case .failed: ("❌", "failed", .bad)
            case .refused: ("⛔", "refused", .bad)
            case .overridden: ("⚠️", "overridden", .warning)
            case .skipped: ("➖", "skipped", .neutral)
            case .waiting: ("➖", "not reached", .neutral)
            case .running: ("⏳", "not finished", .warning)
            }
        var elapsed: String?
        if let started = report.startedAt, let finished = report.finishedAt {
            elapsed = NoticeText.duration(finished - started)
        }
        return Stage(
            stageName: name, symbol: symbol, word: word, tone: tone, elapsed: elapsed,
            detail: NoticeText.optionalLine(report.detail))
    }

    /// A step is a command where it begins with a program's name; it is then shown to be copied. One that ends in a
    /// command, behind a colon, is two.
    private static func steps(_ text: String) -> [Step] {
        guard let line = NoticeText.optionalLine(text) else { return [] }
        if line.hasPrefix("$ ") { return [Step(text: String(line.dropFirst(2)), isCommand: true)] }
        if isCommand(line[...]) { return [Step(text: line, isCommand: true)] }
        guard let colon = line.firstRange(of: ": "), isCommand(line[colon.upperBound...]) else {
            return [Step(text: line, isCommand: false)]
        }
        return [
            Step(text: line[..<colon.lowerBound] + ":", isCommand: false),
            Step(text: String(line[colon.upperBound...]), isCommand: true),
        ]
    }

    private static func isCommand(_ line: Substring) -> Bool {
        let programs: Set<Substring> = ["airboss", "fly", "flyctl", "git", "curl"]
        // A sentence may begin with such a word ("fly to the moon."); it ends in a full stop, which no command does.
        return programs.contains(line.prefix { $0 != " " }) && line.contains(" ") && !line.hasSuffix(".")
    }
}
