// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import Journals
internal import Model
internal import Notifications

struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show one run: its stages, how it ended, and on request every event.",
        discussion: """
            RUN is a run's id or the beginning of one.

            Examples:
              airboss show 01KAJ3
              airboss show 01KAJ3 --events
            """)

    @Argument(help: "The run's id, or its beginning.")
    var run: String

    @Flag(name: .long, help: "Also print every event of the run's journal, one JSON document a line.")
    var events = false

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let store = try await options.openStore(for: nil)
        guard let record = try await store.run(run) else {
            throw AirbossError(.usage, "there is no run “\(run)”", hint: "list them with: airboss runs")
        }
        let finished = record.end.flatMap { end -> RunFinished? in
            // A run that was ended by another has an empty summary.
            try? JSONDecoder().decode(RunFinished.self, from: end.summary)
        }
        let journal = try await store.events(record.header.run)
        switch options.output {
        case .json:
            var document = finished?.json ?? RunsCommand.json(record)
            document["schema"] = 1
            if events {
                var list: [JSONValue] = []
                for entry in journal.entries { list.append(try JSONValue(parsing: entry.payload)) }
                document["events"] = .array(list)
            }
            StandardStreams.output(document.redacted.text(pretty: true) + "\n")
        case .text:
            if let finished {
                StandardStreams.output(
                    NoticeRenderer.terminal(NoticeContent(finished.report), color: options.usesColor))
            } else {
                let header = record.header
                StandardStreams.output(
                    """
                    Run \(header.run): \(header.kind) of \(header.pipeline) (\(header.app)), \
                    \(record.end?.outcome ?? "not finished")
                    started \(header.startedAt) by \(TerminalText.line(header.actor)) on \(header.host), \
                    process \(header.processID)
                    reason: \(TerminalText.line(header.reason))
                    \(record.lastSequence) events in its journal

                    """)
            }
            if let torn = journal.tornTail {
                StandardStreams.error("airboss: the journal's last entries are torn and left out: \(torn.detail)\n")
            }
            if events {
                for entry in journal.entries {
                    StandardStreams.output(try JSONValue(parsing: entry.payload).redacted.lineText + "\n")
                }
            }
        }
    }
}
