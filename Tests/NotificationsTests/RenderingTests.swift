// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Notifications

@Suite struct NoticeContentTests {
    @Test(
        arguments: [
            (.verified, .deploy, "✅ Production Deployment Successful"),
            (.verified, .promote, "✅ Production Deployment Successful"),
            (.rolledBack, .deploy, "🚨 Production Deployment Failed"),
            (.needsHuman, .deploy, "🚨 Production Deployment Failed"),
            (.verified, .rollback, "⚠️ Production Rollback Executed"),
            (.needsHuman, .rollback, "🚨 Production Rollback Failed"),
            (.rolledBack, .recover, "⚠️ Production Rollback Executed"),
            (.verified, .recover, "✅ Production Recovery Successful"),
            (.refused, .deploy, "⛔ Production Deployment Refused"),
            (.unavailable, .deploy, "⚠️ Production Deployment Not Started"),
            (.interrupted, .rollback, "⚠️ Production Rollback Interrupted"),
        ] as [(RunOutcome, RunKind, String)])
    func `subjects are those the team filters by`(outcome: RunOutcome, kind: RunKind, subject: String) {
        var report = Samples.deployed
        report.outcome = outcome
        report.kind = kind
        #expect(NoticeContent(report).subject == subject)
    }

    @Test(
        arguments: [
            ("production", "hotdash-production", "Production"), ("staging", "hotdash-staging", "Staging"),
            ("web", "hotdash-staging", "Staging"), ("eu-prod", "x", "Production"), ("PRODUCTION", "x", "Production"),
            ("agent-service", "hotdash-agent-service", "Agent Service"), ("reproduction", "x", "Reproduction"),
            ("staging", "hotdash-production", "Staging"),
        ])
    func `the environment follows from the names`(pipeline: String, app: String, word: String) {
        #expect(NoticeContent.environment(pipeline: pipeline, app: AppName(app)) == word)
    }

    @Test func `the fields the team asked for are there, and no empty ones`() {
        let labels = NoticeContent(Samples.rolledBack).facts.map(\.label)
        #expect(
            labels == [
                "Commit", "Reason", "Deployed by", "Version", "Time", "Health", "Time to restore", "Image", "Run",
            ])
        var bare = Samples.deployed
        bare.commit = nil
        bare.image = ""
        bare.healthStatus = " \n"
        bare.release = nil
        bare.previousRelease = nil
        #expect(NoticeContent(bare).facts.map(\.label) == ["Reason", "Deployed by", "Time", "Run"])
    }

    @Test(
        arguments: [
            (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (2140, "2.1 s"), (48_300, "48 s"), (60_000, "1 min"),
            (238_000, "3 min 58 s"), (3_600_000, "1 h"), (24_900_000, "6 h 55 min"), (-5, "0 ms"),
        ])
    func `durations read well`(milliseconds: Int, text: String) {
        #expect(NoticeText.duration(.milliseconds(milliseconds)) == text)
    }

    @Test(
        arguments: [
            ("a\r\nb\tc", "a b c"), ("  x \u{2028} y\u{85}", "x y"), ("\u{1B}[31mred\u{1B}[0m", "red"),
            ("a\u{1B}]0;title\u{7}b", "ab"), ("\u{1B}]8;;http://x\u{1B}\\link", "\\link"),
            ("\u{202E}abc\u{2066}", "abc"),
            ("nul\u{0}l", "null"), ("👩‍🚀 ok", "👩‍🚀 ok"),
            ("zero\u{200B}width\u{FEFF}", "zerowidth"), ("\u{9B}31mx", "31mx"),
        ])
    func `a line is one line of visible text`(text: String, line: String) {
        #expect(NoticeText.line(text) == line)
    }

    @Test func `what is too long ends in an ellipsis`() {
        #expect(NoticeText.line(String(repeating: "x", count: 501)).count == 500)
        #expect(NoticeText.line(String(repeating: "x", count: 501)).hasSuffix("x…"))
    }

    @Test(
        arguments: [
            ("https://x.dev/a?b=c#d", true), ("http://127.0.0.1:8080/", true), ("javascript:alert(1)", false),
            ("https://u:p@x/", false), ("https://x/\"><b>", false), ("https://x/ y", false), ("https://", false),
            ("https://x/(y)", false), ("ftp://x/", false), ("", false), ("https://ü.de/", false),
        ])
    func `only plain web addresses become links`(url: String, isLink: Bool) {
        #expect((NoticeText.link(url) != nil) == isLink)
    }

    @Test func `steps that are commands are told from sentences`() {
        var report = Samples.needsHuman
        report.nextSteps = [
            "airboss recover production", "$ make fix", "Call somebody.", "fly to the moon.", "airboss", " ",
            "see what runs: airboss status production", "note: fly to the moon.",
        ]
        let steps = NoticeContent(report).nextSteps
        #expect(steps.map(\.isCommand) == [true, true, false, false, false, false, true, false])
        #expect(steps[1].text == "make fix")
        #expect(steps[5].text == "see what runs:" && steps[6].text == "airboss status production")
    }
}

@Suite struct RenderingTests {
    private static func outputs(_ content: NoticeContent) -> [String] {
        [
            NoticeRenderer.terminal(content, color: false), NoticeRenderer.markdown(content),
            NoticeRenderer.emailText(content), NoticeRenderer.emailHTML(content), SlackMessage.json(content).text(),
        ]
    }

    @Test(arguments: Samples.all)
    func `every channel tells the same`(report: RunReport) {
        let content = NoticeContent(report)
        for output in RenderingTests.outputs(content) {
            #expect(output.contains(content.title))
            #expect(output.contains(report.run.rawValue) && output.contains(content.app.split(separator: "-")[0]))
            #expect(!output.contains("{{") || report == Samples.hostile)
            #expect(!output.contains("Optional("))
        }
        for stage in content.stages {
            #expect(
                RenderingTests.outputs(content).allSatisfy { $0.contains(stage.stageName.split(separator: "-")[0]) })
        }
    }

    @Test(arguments: MaintenanceNotice.Deed.allCases)
    func `every channel tells of maintenance`(deed: MaintenanceNotice.Deed) {
        let notice = Samples.maintenance(deed)
        let content = NoticeContent(.maintenance(notice: notice))
        #expect(content.subject.hasSuffix("Production Maintenance \(deed.rawValue.capitalized)"))
        for output in RenderingTests.outputs(content) {
            for word in [content.title, notice.id.rawValue, "22:00 PST", "06:00:00 UTC", "dana", "1 h 30 min"] {
                let escaped = [word, word.replacing("-", with: "\\-"), word.replacing(":", with: "\\:")]
                #expect(escaped.contains { output.contains($0) }, "\(word) is not in \(output)")
            }
            #expect(!output.contains("Deployed by") && !output.contains("Health"))
        }
        #expect(content.facts.contains { $0.label == "Deployments" } == (deed == .announced))
    }

    @Test func `a closed window tells when it opens, and a lack of approvals how to give one`() {
        let closed = NoticeContent(Samples.windowClosed)
        #expect(closed.kind == .windowClosed && closed.subject == "⛔ Production Deployment Refused")
        let opens = closed.facts.first { $0.label == "Window opens" }
        #expect(opens?.value == "Mon 2026-11-23 09:00 PST" && opens?.note == "2026-11-23 17:00:00 UTC")
        #expect(closed.facts.contains { $0.label == "Asked by" && $0.value == "dana" })
        for report in [Samples.approvalWanted, Samples.waiting] {
            let wanted = NoticeContent(report)
            #expect(wanted.kind == .approvalWanted && wanted.subject == "✋ Production Deployment Needs Approval")
            #expect(wanted.nextSteps.contains { $0.text.contains("airboss approve production") })
            #expect(wanted.facts.contains { $0.label == "Waits until" } == (report == Samples.waiting))
        }
        // With something else in the way as well, an approval would not help yet.
        var both = Samples.approvalWanted
        both.approval?.isAllThatLacks = false
        #expect(NoticeContent(both).kind == .refused)
        #expect(NoticeContent(Samples.needsHuman).subject == "🚨 Production Rollback Failed")
    }

    @Test func `the terminal gets no commands and no control characters but its own`() {
        let text = NoticeRenderer.terminal(NoticeContent(Samples.hostile), color: false)
        #expect(!text.contains("##["))
        for line in text.split(whereSeparator: \.isNewline) {
            #expect(!line.drop { $0 == " " }.hasPrefix("::"))
        }
        let allowed = text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control }
        #expect(allowed)
        let colored = NoticeRenderer.terminal(NoticeContent(Samples.deployed), color: true)
        #expect(colored.contains("\u{1B}[1mProduction Deployment Successful\u{1B}[0m"))
    }

    @Test func `Markdown in a commit message stays text`() {
        let text = NoticeRenderer.markdown(NoticeContent(Samples.hostile))
        #expect(!text.contains("<script") && !text.contains("<img") && !text.contains("](https://evil"))
        #expect(!text.contains("**bold**") && !text.contains("@channel") && !text.contains("\n## line two"))
        #expect(!text.contains("javascript:") && !text.contains("hunter2"))
        // Every table row has as many cells as its head: no bar of a value begins another.
        for line in text.split(separator: "\n") where line.hasPrefix("| **") {
            #expect(line.replacing("\\|", with: "").count { $0 == "|" } == 3)
        }
    }

    @Test func `HTML in a commit message stays text, also behind combining marks`() {
        let html = NoticeRenderer.emailHTML(NoticeContent(Samples.hostile))
        #expect(!html.contains("<script") && !html.contains("<img") && !html.contains("javascript:"))
        #expect(html.contains("&lt;script&gt;"))
        let scalars = Array(html.unicodeScalars)
        for index in scalars.indices.dropLast() where "<\"".unicodeScalars.contains(scalars[index]) {
            #expect(scalars[index + 1] != "\u{338}" && scalars[index + 1] != "\u{301}")
        }
        #expect(html.contains("{{headline}}"))  // a template within a value is text
    }

    @Test(arguments: Samples.all)
    func `the HTML is well formed and loads nothing`(report: RunReport) throws {
        let html = NoticeRenderer.emailHTML(NoticeContent(report))
        let script = """
            import sys
            from html.parser import HTMLParser
            VOID = {'meta', 'br', 'hr', 'img', 'link'}
            class Check(HTMLParser):
                stack = []
                def handle_starttag(self, tag, attributes):
                    assert tag not in {'img', 'script', 'link', 'iframe', 'object', 'form'}, tag
                    for name, value in attributes:
                        assert not name.startswith('on'), name
                        if name == 'href': assert value.startswith(('https://', 'http://')), value
                        if name == 'style': assert 'url(' not in value, value
                    if tag not in VOID: self.stack.append(tag)
                def handle_endtag(self, tag):
                    assert self.stack and self.stack[-1] == tag, (tag, self.stack[-3:])
                    self.stack.pop()
            check = Check()
            check.feed(sys.stdin.read())
            assert not check.stack, check.stack
            """
        let result = try python(script, input: Data(html.utf8))
        #expect(result.status == 0, "\(result.errors)")
        #expect(html.utf8.count < 90_000)  // Gmail clips what is longer than 102 KB
    }

    @Test func `Slack calls nobody, and gets no block larger than it takes`() throws {
        var report = Samples.hostile
        report.divergence = Array(repeating: String(repeating: "&<>@ ü🚀 ", count: 60), count: 40)
        report.warnings = Array(repeating: "careful", count: 80)
        report.stages = Array(repeating: report.stages[0], count: 30)
        for report in Samples.all + [report] {
            let message = SlackMessage.json(NoticeContent(report))
            let blocks = try #require(message["blocks"]?.array)
            #expect(blocks.count <= 50)
            func check(_ value: JSONValue, limit: Int) {
                let text = value["text"]?.string ?? ""
                #expect(!text.isEmpty && text.utf16.count <= limit)
                #expect(!text.contains("<") && !text.contains(">") && !text.contains("@channel"))
                #expect(!text.hasSuffix("&…"))
            }
            for block in blocks {
                if let text = block["text"] { check(text, limit: block["type"]?.string == "header" ? 150 : 3000) }
                let fields = block["fields"]?.array ?? []
                #expect(fields.count <= 10)
                for field in fields { check(field, limit: 2000) }
                for element in block["elements"]?.array ?? [] {
                    check(element["text"]?.object == nil ? element : element["text"]!, limit: 2000)
                    if let url = element["url"]?.string { #expect(url.hasPrefix("https://")) }
                }
            }
            #expect(
                message["text"]?.string?.hasPrefix("🚨") == true || report.outcome == .verified
                    || report.outcome == .refused)
        }
    }

    /// For people: writes every notice to the folder that AIRBOSS_NOTICE_PREVIEWS names, to be looked at.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["AIRBOSS_NOTICE_PREVIEWS"] != nil))
    func previews() throws {
        let folder = URL(filePath: ProcessInfo.processInfo.environment["AIRBOSS_NOTICE_PREVIEWS"]!)
        for (name, subject) in Samples.subjects {
            let content = NoticeContent(subject)
            let outputs = RenderingTests.outputs(content)
            for (suffix, output) in zip(["terminal.txt", "summary.md", "mail.txt", "mail.html", "slack.json"], outputs)
            {
                try Data(output.utf8).write(to: folder.appending(path: name + "." + suffix))
            }
        }
    }
}

/// Runs a Python script with `input` on its standard input.
func python(_ script: String, input: Data = Data()) throws -> (status: Int32, output: String, errors: String) {
    let folder = FileManager.default.temporaryDirectory.appending(path: "airboss-python-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }  // the system clears its temporary folder anyway
    let files = ["script.py", "in", "out", "errors"].map { folder.appending(path: $0) }
    try Data(script.utf8).write(to: files[0])
    try input.write(to: files[1])
    for file in files[2...] { try Data().write(to: file) }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", files[0].path]
    process.standardInput = try FileHandle(forReadingFrom: files[1])
    process.standardOutput = try FileHandle(forWritingTo: files[2])
    process.standardError = try FileHandle(forWritingTo: files[3])
    try process.run()
    process.waitUntilExit()
    return (
        process.terminationStatus, String(decoding: try Data(contentsOf: files[2]), as: UTF8.self),
        String(decoding: try Data(contentsOf: files[3]), as: UTF8.self)
    )
}
