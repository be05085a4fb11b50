// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Journals
internal import Model
internal import PipelineFiles

struct ReleasesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "releases",
        abstract: "List the releases of a pipeline's app, newest first.",
        discussion: """
            Example:
              airboss releases production --limit 5
            """)

    /// The most releases that are listed.
    static let maxLimit = 1_000

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: "How many at most.")
    var limit = 20

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        guard (1...ReleasesCommand.maxLimit).contains(limit) else {
            throw ValidationError("--limit is from 1 to \(ReleasesCommand.maxLimit).")
        }
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let store = try await options.openStore(for: context)
        let releases = try await store.releases(context.pipeline.app, limit: limit)
        let current = try await store.history(context.pipeline.app, limit: 1).current?.number
        var runs: [RunID: RunRecord] = [:]
        for release in releases where runs[release.run] == nil && !release.run.rawValue.isEmpty {
            runs[release.run] = try await store.run(release.run.rawValue)
        }
        switch options.output {
        case .json:
            let list = releases.map { release -> JSONValue in
                [
                    "release": .integer(Int64(release.number.value)),
                    "commit": RunFinished.optional(release.commit?.rawValue),
                    "subject": .string(release.subject),
                    "image": .string(release.image),
                    "created_at": .string(release.createdAt.description),
                    "verified_at": RunFinished.optional(release.verifiedAt?.description),
                    "state": .string(release.state.rawValue),
                    "current": .bool(release.number == current),
                    "run": .string(release.run.rawValue),
                    "reason": .string(release.reason),
                    "overrides": .array((runs[release.run]?.overrides ?? []).map(RunFinished.override)),
                ]
            }
            let document: JSONValue = ["schema": 1, "releases": .array(list)]
            StandardStreams.output(document.redacted.text(pretty: true) + "\n")
        case .text:
            guard !releases.isEmpty else {
                StandardStreams.output("No releases of \(context.pipeline.app) yet.\n")
                return
            }
            var table = Table(["RELEASE", "STATE", "COMMIT", "IMAGE", "CREATED", "OVERRIDES", "SUBJECT"])
            for release in releases {
                table.add([
                    release.number.description + (release.number == current ? " *" : ""), release.state.rawValue,
                    release.commit?.short ?? "-", release.digest.short, release.createdAt.description,
                    runs[release.run]?.overriddenGates ?? "-", TerminalText.line(release.subject),
                ])
            }
            StandardStreams.output(table.text)
            if current != nil { StandardStreams.output("* serves now\n") }
        }
    }
}
