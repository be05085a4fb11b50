// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Journals
internal import Model
internal import PipelineFiles
internal import Stages

struct PromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote",
        abstract: "Deploy exactly the image that another pipeline's verified release runs, without building.",
        discussion: """
            FROM's release must be verified, every machine of FROM must run exactly its digest, and FROM must be \
            healthy now. Of TO hold the branch, the window, the approvals and all other gates, for the commit of the \
            release. The image is brought into TO's own repository under the same digest.

            Examples:
              airboss promote staging production --reason "Release 1.8.0"
              airboss promote staging production --approval ana.json --reason "1.8.0"

            Exit codes: as of deploy; 12 where FROM is not verified, runs something else, or is not healthy.
            """)

    @Argument(help: "The pipeline whose verified release is taken.")
    var from: String

    @Argument(help: "The pipeline it is deployed to.")
    var to: String

    @Option(name: .long, help: "Why; it stands in every notice and record.")
    var reason: String

    @OptionGroup var gates: GateOptions
    @OptionGroup var waiting: WaitOption
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        try Checks.reason(reason)
    }

    func run() async throws {
        let source = try options.load(from)
        let context = try options.load(to)
        guard source.pipeline.app != context.pipeline.app else {
            throw AirbossError(
                .usage, "“\(from)” and “\(to)” are the same app, \(source.pipeline.app)",
                hint: "to go back to an earlier release: airboss rollback \(to) --reason TEXT")
        }
        let (release, commit) = try await verifiedRelease(of: source, for: context)
        let promotion = RunRequest.Promotion(
            release: release.number, digest: release.digest,
            source: try source.elsewhere(running: release.digest))
        let session = RunSession(
            context: context, options: options, view: options.makeView(), wait: waiting.duration,
            approvalFiles: gates.approval)
        let report = try await session.run(.promote) { run, actor, channels throws(AirbossError) in
            var request = try context.request(
                .promote, run: run, actor: actor, reason: reason, revision: commit.rawValue,
                overrides: gates.overrides,
                wait: waiting.duration, channels: channels)
            request.settings.build = .promoted(reference: release.image)
            request.promotion = promotion
            return request
        }
        throw ArgumentParser.ExitCode(report.exitCode)
    }

    /// The release that FROM's ledger holds for verified; whether it still runs and is healthy, the run asks.
    private func verifiedRelease(
        of source: PipelineContext, for context: PipelineContext
    ) async throws -> (ReleaseRecord, CommitID) {
        let history: ReleaseHistory
        let store = try await options.openStore(for: context)
        do throws(StateError) {
            history = try await store.history(source.pipeline.app, limit: LiveLedger.maxReleases)
        } catch {
            throw error.asAirbossError
        }
        guard let release = history.current else {
            let isKnown = !history.states.isEmpty
            throw AirbossError(
                .refused,
                isKnown
                    ? "\(from) has no verified release now; nothing changed"
                    : "the state store knows no release of \(from); nothing changed",
                hint: isKnown
                    ? "deploy it first: airboss deploy \(from) --reason TEXT"
                    : "\(from) must be deployed with the store that \(to) uses: --state, or state.url in both pipelines"
            )
        }
        guard let commit = release.commit else {
            throw AirbossError(
                .refused, "\(from) \(release.number) has no commit on record, so that no gate of \(to) can be asked",
                hint: "deploy its image: airboss deploy \(to) --image \(release.image) --reason TEXT")
        }
        return (release, commit)
    }
}
