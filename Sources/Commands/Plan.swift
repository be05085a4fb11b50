// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Model
internal import Rehearsal
internal import Stages

struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what a deploy or a rollback would do, and change nothing.",
        discussion: """
            Asks every gate, and then plays the run on a model of the fleet as it is now: gates with their present \
            answers, the window, commits and paths since the verified release, config by config what changes, \
            machine by machine the steps with the serving floor, the calls of Fly's API, how long such runs took, the \
            way back, the price, and a hash. No app is taken, no image pushed, no approval used, no record kept.

            Examples:
              airboss plan production
              airboss plan production --commit v1.8.0 --format markdown
              airboss plan production --emergency --approved-by "Ana Lima"
              airboss plan production --rollback --to v71
              airboss deploy production --plan HASH --reason "As planned"

            Exit codes: 0 it could go, 12 a gate or the window would refuse, 69 platform unavailable, 78 invalid \
            pipeline or fly.toml.
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Flag(name: .long, help: "Plan a rollback instead of a deploy.")
    var rollback = false

    @Option(
        name: .long,
        help: ArgumentHelp("With --rollback: the release to go back to, as 71 or v71.", valueName: "release"))
    var to: String?

    @Option(name: .long, help: "Why; as of deploy, and not kept.")
    var reason: String?

    @Option(name: .long, help: ArgumentHelp("The commit: any revision git understands.", valueName: "rev"))
    var commit: String?

    @Option(name: .long, help: ArgumentHelp("Plan with this image instead of building.", valueName: "ref"))
    var image: String?

    @OptionGroup var gates: GateOptions
    @Option(name: .long, help: "How text is written: text, or markdown for a pull request or a job's summary.")
    var format: PlanFormat = .text

    @OptionGroup var options: GlobalOptions

    enum PlanFormat: String, ExpressibleByArgument, CaseIterable {
        case text, markdown
    }

    func validate() throws {
        if rollback {
            guard commit == nil, image == nil, gates.approval.isEmpty, !gates.emergency,
                gates.skip.isEmpty
            else {
                throw ValidationError(
                    "A rollback takes no --commit, --image, --approval, --emergency or --skip: it goes to a release.")
            }
        } else if to != nil {
            throw ValidationError("--to goes with --rollback.")
        }
        if let to, ReleaseNumber(parsing: to) == nil {
            throw ValidationError("“\(to)” is no release: write 71 or v71. `airboss releases \(pipeline)` lists them.")
        }
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let session = RunSession(
            context: context, options: options, view: SilentRunView(), approvalFiles: gates.approval)
        let plan: DeploymentPlan
        if rollback {
            plan = try await session.plan(.rollback) { run, actor, channels throws(AirbossError) in
                try context.request(
                    .rollback, run: run, actor: actor, reason: reason ?? "a plan",
                    target: to.flatMap(ReleaseNumber.init(parsing:)), channels: channels)
            }
        } else {
            let wanted = DeployCommand.revision(commit, context.environment)
            plan = try await session.plan(.deploy) { run, actor, channels throws(AirbossError) in
                try context.request(
                    .deploy, run: run, actor: actor, reason: reason ?? "a plan", revision: wanted, image: image,
                    overrides: gates.overrides,
                    channels: channels)
            }
        }
        let view = PlanView(plan)
        switch (options.output, format) {
        case (.json, _): StandardStreams.output(view.json.text(pretty: true) + "\n")
        case (.text, .text): StandardStreams.output(view.text(usesColor: options.usesColor))
        case (.text, .markdown): StandardStreams.output(view.markdown)
        }
        throw ArgumentParser.ExitCode(plan.exitCode.rawValue)
    }
}
