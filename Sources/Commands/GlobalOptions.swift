// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FlyPlatform
internal import FoundationEssentials
internal import GitHub
internal import Journals
internal import Model
internal import PipelineFiles

/// How results are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

/// What every command understands.
struct GlobalOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where runs are kept: sqlite:PATH or postgres://…. Beats AIRBOSS_STATE, which beats the pipeline.",
            valueName: "url"))
    var state: String?

    @Option(name: .long, help: ArgumentHelp("The folder of the pipeline files.", valueName: "dir"))
    var pipelines: String?

    @Option(name: .long, help: "Print for people, or for programs.")
    var output: OutputFormat = .text

    @Flag(name: .customLong("no-color"), help: "No colour and no live view. NO_COLOR does the same.")
    var noColor = false

    @Flag(name: .long, help: "Also print every call of the platform's API, on standard error.")
    var verbose = false

    var environment: [String: String] { ProcessInfo.processInfo.environment }

    var pipelinesFolder: String { pipelines ?? environment["AIRBOSS_PIPELINES"] ?? "pipelines" }

    /// Prints every call of the platform's API, for `--verbose`; nil without it.
    var callObserver: (@Sendable (APICallRecord) -> Void)? {
        guard verbose else { return nil }
        return { call in
            let status = call.status.map(String.init) ?? "no answer"
            let took = TerminalText.duration(call.duration)
            StandardStreams.error("  fly: \(call.method) \(call.pathTemplate) \(status) in \(took) \(call.requestID)\n")
        }
    }

    /// Where calls of GitHub are told with `--verbose`.
    var githubObserver: (@Sendable (GitHubCallRecord) -> Void)? {
        guard verbose else { return nil }
        return { call in
            let status = call.status.map(String.init) ?? "no answer"
            let took = TerminalText.duration(call.duration)
            StandardStreams.error("  github: \(call.method) \(call.template) \(status) in \(took)\n")
        }
    }

    func load(_ pipeline: String) throws(AirbossError) -> PipelineContext {
        let context = try PipelineContext(named: pipeline, in: pipelinesFolder, environment: environment)
        job?.mask(context.knownSecrets)
        return context
    }

    /// Opens the store that the flag, the environment, or the pipeline names, in this order.
    func openStore(for context: PipelineContext?) async throws -> any StateStore {
        let place = try storePlace(for: context)
        do throws(StateError) {
            let store = try await StateStores.open(place.url, relativeTo: place.folder)
            if let former = store.migratedFrom { try await recordMigration(of: store, from: former) }
            return store
        } catch {
            throw error.asAirbossError
        }
    }

    /// The store's URL, and where a relative path in it starts: it belongs to the project, not to the folder somebody
    /// happens to stand in.
    func storePlace(for context: PipelineContext?) throws(AirbossError) -> (url: String, folder: String) {
        let folder = projectFolder(context)
        if let state { return (state, folder) }
        if let variable = environment["AIRBOSS_STATE"], !variable.isEmpty { return (variable, folder) }
        guard let context else { return ("sqlite:.airboss/state.sqlite", folder) }
        return (try context.resolve(context.pipeline.state.url), folder)
    }

    private func projectFolder(_ context: PipelineContext?) -> String {
        let folder = context?.folder ?? pipelinesFolder
        return folder == "." ? "." : folder + "/.."
    }
}

/// Text that may hold a password, for messages.
enum Redacted {
    /// The URL with what stands before its `@` removed.
    static func url(_ text: String) -> String {
        guard let scheme = text.firstRange(of: "://"), let at = text[scheme.upperBound...].lastIndex(of: "@") else {
            return text
        }
        return text[..<scheme.upperBound] + "…@" + text[text.index(after: at)...]
    }
}

extension Timestamp {
    /// The wall clock; only the composition root reads it.
    static func fromSystemClock() -> Timestamp {
        Timestamp(milliseconds: Int64((Date().timeIntervalSince1970 * 1000).rounded(.down)))
    }
}

extension GlobalOptions {
    /// Colour only on a terminal, and never against NO_COLOR.
    var usesColor: Bool {
        !noColor && environment["NO_COLOR"]?.isEmpty ?? true && StandardStreams.isOutputTerminal
    }

    /// What shows a run: redrawn in place on a terminal, lines elsewhere, JSON on request.
    func makeView() -> any RunView {
        switch output {
        case .json:
            if let job { return ActionsRunView(job, document: JSONRunView()) }
            return JSONRunView()
        case .text:
            if let job { return ActionsRunView(job) }
            let isPlain = noColor || environment["TERM"] == "dumb" || verbose || !StandardStreams.isErrorTerminal
            return isPlain ? PlainRunView() : LiveRunView(usesColor: usesColor)
        }
    }
}
