// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

/// What the program looks like from a shell.
@Suite("The command line", .serialized, .workshop(.model, deployed: true))
struct CommandLineTests {
    private static let verbs = [
        "deploy", "rollback", "validate", "status", "releases", "runs", "show", "window", "simulator",
    ]

    @Test("every verb's help has an example and its options", arguments: verbs)
    func help(_ verb: String) async throws {
        let help = try await RunningProgram.run([Surroundings.airboss, verb, "--help"])
        #expect(help.status == 0)
        #expect(help.errors.isEmpty)
        #expect(help.output.contains("Example") && help.output.contains("airboss \(verb)"), "\(help.output)")
        #expect(help.output.contains("USAGE: airboss \(verb)"))
        #expect(!help.output.contains("\u{1B}"))
        let whole = try await RunningProgram.run([Surroundings.airboss, "--help"])
        #expect(whole.output.contains("  \(verb) "), "\(whole.output)")
    }

    @Test("the version is one line")
    func version() async throws {
        let version = try await RunningProgram.run([Surroundings.airboss, "--version"])
        #expect(version.status == 0)
        #expect(version.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil, "\(version.output)")
    }

    private static let mistakes: [(arguments: [String], says: String)] = [
        (["deplyo"], "deplyo"), (["deploy"], "pipeline"), (["deploy", "production"], "--reason"),
        (["deploy", "production", "--reason", "  "], "--reason is empty"),
        (["deploy", "production", "--reason", "x", "--frobnicate"], "--frobnicate"),
        (["deploy", "production", "--reason", "x", "--emergency"], "--approved-by"),
        (["deploy", "production", "--reason", "x", "--approved-by", "Ana"], "--emergency"),
        (["deploy", "production", "--reason", "x", "--skip", "token", "--approved-by", "Ana"], "token"),
        (["deploy", "production", "--reason", "x", "--skip", "tokn", "--approved-by", "Ana"], "tokn"),
        (["rollback", "production", "--reason", "x", "--to", "seven"], "seven"),
        (["runs", "--limit", "0"], "--limit"), (["releases", "production", "--limit", "x"], "x"),
        (["window", "production", "--at", "yesterday"], "yesterday"),
        (["runs", "--output", "xml"], "xml"), (["show", "01NOSUCHRUN"], "01NOSUCHRUN"),
        (["simulator", "--listen", "nonsense"], "--listen"), (["simulator", "--guests", "wizards"], "--guests"),
        (["simulator", "--boot-time", "soon"], "--boot-time"),
    ]

    @Test("a mistake is 64, and named on standard error", arguments: mistakes)
    func usage(_ mistake: (arguments: [String], says: String)) async throws {
        let workshop = try #require(Workshop.current)
        let outcome = try await workshop.start(mistake.arguments).end()
        #expect(outcome.status == 64, "\(outcome.everything)")
        #expect(outcome.errors.contains(mistake.says), "\(outcome.errors)")
        #expect(outcome.output.isEmpty, "\(outcome.output)")
    }

    @Test("queries print one document of schema 1")
    func queries() async throws {
        let workshop = try #require(Workshop.current)
        let validate = try await workshop.query("validate")
        #expect(validate["schema"]?.integer == 1 && validate["valid"]?.bool == true)
        let window = try await workshop.query("window", "production")
        #expect(window["schema"]?.integer == 1 && window["open"]?.bool == true && window["rule"]?.string != nil)
        #expect(window["next_open"] != nil && window["closes"] != nil)
        let releases = try await workshop.query("releases", "production")
        #expect(releases["schema"]?.integer == 1)
        let release = try #require(releases["releases"]?.array?.last)
        for key in ["release", "commit", "image", "verified_at", "state"] {
            #expect(release[key] != nil && release[key] != .null, "\(key)")
        }
        let status = try await workshop.query("status")
        #expect(status["schema"]?.integer == 1)
        let app = try #require(status["apps"]?[0])
        #expect(app["app"]?.string == Workshop.app && app["pipeline"]?.string == "production")
        let machine = try #require(app["machines"]?[0])
        for key in ["id", "region", "group", "state", "image", "checks"] {
            #expect(machine[key] != nil && machine[key] != .null, "\(key)")
        }
        let runs = try await workshop.query("runs", "production", "--limit", "1")
        #expect(runs["schema"]?.integer == 1 && runs["runs"]?.array?.count == 1)
        let id = try #require(runs["runs"]?[0]?["run"]?.string)
        let shown = try await workshop.query("show", id)
        #expect(shown["schema"]?.integer == 1 && shown["run"]?.string == id)
        #expect(shown["type"]?.string == "run.finished")
    }

    @Test("a window's answer depends on the instant asked for")
    func window() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline() + "window: { time_zone: America/Los_Angeles, open: [\"Mon-Fri 09:00-17:00\"] }\n")
        let open = try await workshop.query("window", "bad", "--at", "2026-11-23T17:00:00Z")
        #expect(open["open"]?.bool == true)
        #expect(open["closes"]?.string == "2026-11-24T01:00:00Z", "\(open)")
        let closed = try await workshop.query("window", "bad", "--at", "2026-11-23T16:59:59Z")
        #expect(closed["open"]?.bool == false)
        #expect(closed["next_open"]?.string == "2026-11-23T17:00:00Z", "\(closed)")
    }

    @Test("commands work from another folder, by path and by --pipelines")
    func elsewhere() async throws {
        let workshop = try #require(Workshop.current)
        let path = workshop.repository + "/pipelines/production.yml"
        let byPath = try await workshop.airboss("validate", path, in: "/")
        #expect(byPath.status == 0, "\(byPath.everything)")
        let byFolder = try await workshop.airboss(
            "releases", "production", "--pipelines", workshop.repository + "/pipelines", in: "/")
        #expect(byFolder.status == 0 && byFolder.output.contains("v1"), "\(byFolder.everything)")
        let byVariable = try await workshop.airboss(
            "validate", with: ["AIRBOSS_PIPELINES": workshop.repository + "/pipelines"], in: "/")
        #expect(byVariable.status == 0, "\(byVariable.everything)")
        let none = try await workshop.airboss("validate", in: "/")
        #expect(none.status == 78 && none.errors.contains("--pipelines"), "\(none.everything)")
    }

    @Test("without a terminal nothing is coloured or redrawn, with or without NO_COLOR", arguments: [nil, "1"])
    func plain(_ noColor: String?) async throws {
        let workshop = try #require(Workshop.current)
        let run = try await workshop.airboss(
            "deploy", "production", "--reason", "Plainly", with: ["NO_COLOR": noColor, "TERM": "xterm-256color"])
        #expect(run.status == 0, "\(run.everything)")
        #expect(!run.everything.contains("\u{1B}"))
        #expect(run.output.contains("Deployment Successful"))
        #expect(run.errors.contains("health-verify passed"))
        let id = try await workshop.query("runs", "--limit", "1")["runs"]?[0]?["run"]?.string ?? "-"
        for arguments in [["status"], ["releases", "production"], ["runs"], ["show", id], ["window", "production"]] {
            let outcome = try await workshop.start(arguments, ["NO_COLOR": noColor]).end()
            #expect(outcome.status == 0 && !outcome.everything.contains("\u{1B}"), "\(outcome.everything)")
            #expect(!outcome.output.isEmpty)
        }
    }

    @Test("a reader that goes away is no crash")
    func closedPipe() async throws {
        let workshop = try #require(Workshop.current)
        let outcome = try await RunningProgram(
            ["sh", "-c", "\"$0\" deploy production --reason Piped --output json | head -n 1", Surroundings.airboss],
            environment: workshop.environment, in: workshop.repository
        ).end()
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("run.started"))
        #expect(try await workshop.unfinishedRuns() == [])
    }

    // MARK: - On a terminal

    private func onTerminal(
        _ arguments: [String], _ changes: [String: String?] = [:], interrupting: Bool = false
    ) async throws -> (screen: String, status: Int32) {
        let workshop = try #require(Workshop.current)
        let terminal = try PseudoTerminal(columns: 60, rows: 40)
        let program = try workshop.start(
            arguments, ["TERM": "xterm-256color"].merging(changes) { $1 }, terminal: terminal.path)
        let outcome = await program.end()
        return (try await terminal.everything(), outcome.status)
    }

    @Test("on a terminal the view is redrawn in place, within its width, and ends in the summary")
    func live() async throws {
        let workshop = try #require(Workshop.current)
        try await workshop.commit("A subject line that is far longer than this terminal is wide, on purpose", [])
        let (screen, status) = try await onTerminal(["deploy", "production", "--reason", "Watched"])
        #expect(status == 0, "\(screen)")
        #expect(screen.contains("\u{1B}[2K"), "no line is redrawn")
        #expect(screen.firstMatch(of: /\x1B\[\d+A/) != nil, "the cursor never goes up")
        #expect(screen.contains("\u{1B}[32m"))
        // A cursor that is hidden, and a second screen, are given back.
        #expect(
            screen.components(separatedBy: "\u{1B}[?25l").count == screen.components(separatedBy: "\u{1B}[?25h").count)
        #expect(
            screen.components(separatedBy: "\u{1B}[?1049h").count
                == screen.components(separatedBy: "\u{1B}[?1049l").count)
        let last = try #require(screen.components(separatedBy: "\u{1B}[2K").last)
        #expect(last.contains("Deployment Successful"))
        let colours = screen.matches(of: /\x1B\[(\d*)m/)
        #expect(colours.last.map { String($0.1) } == "0", "the last colour is not taken back")
        for line in screen.components(separatedBy: "\u{1B}[2K").dropFirst().dropLast() {
            let shown = line.prefix { $0 != "\r" && $0 != "\n" && $0 != "\r\n" }.replacing(
                /\x1B\[[0-9;]*[mA]/, with: "")
            #expect(shown.count <= 60, "\(shown)")
        }
    }

    @Test("NO_COLOR and --no-color hold on a terminal too")
    func colourless() async throws {
        let (noColor, status) = try await onTerminal(["deploy", "production", "--reason", "Grey"], ["NO_COLOR": "1"])
        #expect(status == 0)
        #expect(noColor.firstMatch(of: /\x1B\[[0-9;]*m/) == nil)
        let (flagged, _) = try await onTerminal(["deploy", "production", "--reason", "Grey", "--no-color"])
        #expect(!flagged.contains("\u{1B}"))
        let (dumb, _) = try await onTerminal(["deploy", "production", "--reason", "Grey"], ["TERM": "dumb"])
        #expect(!dumb.contains("\u{1B}"))
        let (json, _) = try await onTerminal(["deploy", "production", "--reason", "Grey", "--output", "json"])
        #expect(!json.contains("\u{1B}"))
    }
}
