// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Model
internal import PipelineFiles
internal import Windows

struct WindowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "window",
        abstract: "Say whether the deployment window is open, by which rule, and when it opens next.",
        discussion: """
            Examples:
              airboss window production
              airboss window production --at 2026-12-24T18:00:00Z
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: ArgumentHelp("Ask for this instant (RFC 3339) instead of now.", valueName: "instant"))
    var at: String?

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        if let at, Timestamp(at) == nil {
            throw ValidationError("“\(at)” is no instant: write 2026-12-24T18:00:00Z or 2026-12-24T10:00:00-08:00.")
        }
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let now = at.flatMap { Timestamp($0) } ?? Timestamp.fromSystemClock()
        guard let description = context.pipeline.window else {
            print(isOpen: true, rule: "the pipeline has no window", nextOpen: nil, closes: nil, local: nil)
            return
        }
        let window = try LiveWindow(description, environment: context.environment, now: now)
        let decision = window.window.decide(at: now, rules: window.rules)
        print(
            isOpen: decision.isOpen, rule: decision.rule, nextOpen: decision.nextOpen, closes: decision.closes,
            local: decision.localDescription)
    }

    private func print(isOpen: Bool, rule: String, nextOpen: Timestamp?, closes: Timestamp?, local: String?) {
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1, "open": .bool(isOpen), "rule": .string(rule),
                "next_open": RunFinished.optional(nextOpen?.description),
                "closes": RunFinished.optional(closes?.description),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            var lines = ["\(isOpen ? "Open" : "Closed"): \(rule)"]
            if let local { lines.append("There it is \(local).") }
            if let closes { lines.append("Closes at \(closes).") }
            if !isOpen { lines.append(nextOpen.map { "Opens next at \($0)." } ?? "It does not open again.") }
            StandardStreams.output(lines.joined(separator: "\n") + "\n")
        }
    }
}
