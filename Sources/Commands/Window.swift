// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Journals
internal import Model
internal import PipelineFiles
internal import Windows

struct WindowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "window",
        abstract: "Say whether the deployment window is open, by which rule, and when it opens next.",
        usage: """
            airboss window <pipeline> [--at <instant>]
            airboss window announce|withdraw|close <pipeline> …
            """,
        discussion: """
            Examples:
              airboss window production
              airboss window production --at 2026-12-24T10:00      by the clocks of the window's zone
              airboss window production --at 2026-12-24T18:00:00Z
            """,
        subcommands: [
            WindowShowCommand.self, WindowAnnounceCommand.self, WindowWithdrawCommand.self, WindowCloseCommand.self,
        ],
        defaultSubcommand: WindowShowCommand.self)
}

struct WindowShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Explain the window at an instant, and draw the coming two weeks (the default).")

    /// How many days are drawn.
    private static let daysShown = 14

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Ask for this instant instead of now: RFC 3339, or a time on the clocks of the window's zone.",
            valueName: "instant"))
    var at: String?

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        // A local time is read in the window's zone, which is known later; what is no time in any zone is told now.
        if let at { try WindowTime.check(at) }
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let clock = Timestamp.fromSystemClock()
        guard var live = try LiveWindow(context.pipeline, environment: context.environment, now: clock) else {
            // Without a zone a local time means nothing.
            if let at { _ = try WindowTime.instant(at, in: .utc) }
            return printWindowless()
        }
        let now = try at.map { text throws(AirbossError) in try WindowTime.instant(text, in: live.rules) } ?? clock
        if live.needsStore { live.store = try await options.openStore(for: context) }
        let view: WindowView
        do throws(StateError) {
            view = try await WindowView(live, at: now, isNow: at == nil, days: WindowShowCommand.daysShown)
        } catch {
            throw error.asAirbossError
        }
        switch options.output {
        case .json: StandardStreams.output(view.json.text(pretty: true) + "\n")
        case .text: StandardStreams.output(view.text(usesColor: options.usesColor))
        }
    }

    private func printWindowless() {
        let rule = "the pipeline has no window"
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1, "open": true, "rule": .string(rule), "next_open": .null, "closes": .null,
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text: StandardStreams.output("Open: \(rule)\n")
        }
    }
}

/// Instants as people give them on the command line.
enum WindowTime {
    /// Throws a ``ValidationError`` for what is no time in any zone.
    static func check(_ text: String) throws {
        do {
            _ = try TimeZoneRules.utc.instant(parsing: text)
        } catch {
            let hint = error.hint.replacing(" in UTC", with: " in the window's zone")
            throw ValidationError("\(error.message): \(hint).")
        }
    }

    /// Throws a usage error for what is no time in this zone.
    static func instant(_ text: String, in rules: TimeZoneRules) throws(AirbossError) -> Timestamp {
        do throws(WindowError) {
            return try rules.instant(parsing: text)
        } catch {
            throw AirbossError(.usage, error.message, hint: error.hint)
        }
    }
}
