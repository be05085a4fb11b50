// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import Journals
internal import Model
internal import PipelineFiles

struct RunsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs",
        abstract: "List runs, newest first.",
        discussion: """
            Examples:
              airboss runs
              airboss runs production --limit 3 --output json
            """)

    /// The most runs that are listed.
    static let maxLimit = 1_000

    @Argument(help: "Only runs of this pipeline.")
    var pipeline: String?

    @Option(name: .long, help: "How many at most.")
    var limit = 20

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        guard (1...RunsCommand.maxLimit).contains(limit) else {
            throw ValidationError("--limit is from 1 to \(RunsCommand.maxLimit).")
        }
    }

    func run() async throws {
        let context: PipelineContext? =
            if let pipeline { try options.load(pipeline) } else { nil }
        let store = try await options.openStore(for: context)
        let runs = try await store.runs(RunFilter(pipeline: context?.pipeline.name), limit: limit)
        switch options.output {
        case .json:
            let document: JSONValue = ["schema": 1, "runs": .array(runs.map(RunsCommand.json))]
            StandardStreams.output(document.redacted.text(pretty: true) + "\n")
        case .text:
            guard !runs.isEmpty else {
                StandardStreams.output("No runs yet.\n")
                return
            }
            var table = Table(["RUN", "PIPELINE", "KIND", "OUTCOME", "STARTED", "TOOK", "BY", "OVERRIDES", "REASON"])
            for run in runs {
                let header = run.header
                table.add([
                    header.run.rawValue, header.pipeline, header.kind, run.end?.outcome ?? "unfinished",
                    header.startedAt.description,
                    run.end.map { TerminalText.duration($0.finishedAt - header.startedAt) } ?? "-",
                    TerminalText.line(header.actor), run.overriddenGates, TerminalText.line(header.reason),
                ])
            }
            StandardStreams.output(table.text)
        }
    }

    static func json(_ run: RunRecord) -> JSONValue {
        let header = run.header
        return [
            "run": .string(header.run.rawValue), "pipeline": .string(header.pipeline),
            "app": .string(header.app.rawValue), "kind": .string(header.kind), "actor": .string(header.actor),
            "reason": .string(header.reason), "host": .string(header.host),
            "started_at": .string(header.startedAt.description),
            "finished_at": RunFinished.optional(run.end?.finishedAt.description),
            "outcome": RunFinished.optional(run.end?.outcome),
            "exit_code": run.end.map { .integer(Int64($0.exitCode)) } ?? .null,
            "events": .integer(run.lastSequence),
            "overrides": .array(run.overrides.map(RunFinished.override)),
        ]
    }
}

extension RunRecord {
    /// Gates that were overridden; empty for a run that has not ended.
    var overrides: [Override] {
        guard let end else { return [] }
        // A run that was ended by another has an empty summary.
        return (try? JSONDecoder().decode(RunFinished.self, from: end.summary))?.report.overrides ?? []
    }

    /// Their names, for a table.
    var overriddenGates: String {
        overrides.isEmpty ? "-" : overrides.map { TerminalText.line($0.gate) }.joined(separator: ",")
    }
}
