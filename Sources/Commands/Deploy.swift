// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Model
internal import Stages

struct DeployCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        abstract: "Take a commit to a verified, serving release.",
        discussion: """
            Runs the pipeline's stages: pre-validation, deployment window, build, deploy, health verify; where the \
            new release is not healthy, it goes back to the last verified one by itself.

            Examples:
              airboss deploy production --reason "Checkout fix, #512"
              airboss deploy production --commit v1.8.0 --reason "Release 1.8.0"
              airboss deploy production --image registry.fly.io/shop:deployment-01J --reason "Without a build"
              airboss deploy production --emergency --approved-by "Ana Lima" --reason "Payments are down"

            Exit codes: 0 verified, 10 failed and rolled back, 11 a person is needed, 12 refused, 13 another run holds \
            the app, 69 platform unavailable and nothing changed, 78 invalid pipeline or fly.toml.
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: "Why; it stands in every notice and record.")
    var reason: String

    @Option(name: .long, help: ArgumentHelp("The commit: any revision git understands.", valueName: "rev"))
    var commit: String?

    @Option(name: .long, help: ArgumentHelp("Deploy this image instead of building.", valueName: "ref"))
    var image: String?

    @Flag(name: .long, help: "An emergency: the deployment window does not hold. Needs --approved-by.")
    var emergency = false

    @Option(name: .customLong("approved-by"), help: ArgumentHelp("Who approved the overrides.", valueName: "who"))
    var approvedBy: String?

    @Option(
        name: .long, parsing: .singleValue,
        help: ArgumentHelp("Skip one gate by its name; needs --approved-by. May be repeated.", valueName: "gate"))
    var skip: [String] = []

    @Option(
        name: .long, parsing: .singleValue,
        help: ArgumentHelp("An approval, as airboss approve --to wrote it. May be repeated.", valueName: "file"))
    var approval: [String] = []

    @OptionGroup var waiting: WaitOption
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        try Checks.reason(reason)
        try Checks.overrides(emergency: emergency, approvedBy: approvedBy, skip: skip)
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let session = RunSession(
            context: context, options: options, view: options.makeView(), wait: waiting.duration,
            approvalFiles: approval)
        let environment = context.environment
        // In GitHub Actions the commit is the one the workflow runs for, whatever else is checked out.
        let actionsCommit = environment["GITHUB_ACTIONS"] == "true" ? environment["GITHUB_SHA"] : nil
        let report = try await session.run(.deploy) { run, actor, channels throws(AirbossError) in
            try context.request(
                .deploy, run: run, actor: actor, reason: reason, revision: commit ?? actionsCommit ?? "HEAD",
                image: image,
                overrides: .init(
                    isEmergency: emergency, approvedBy: approvedBy ?? "", skippedGates: skip),
                wait: waiting.duration, channels: channels)
        }
        throw ArgumentParser.ExitCode(report.exitCode)
    }
}

/// What more than one command checks of its flags.
enum Checks {
    static func reason(_ text: String) throws {
        guard text.contains(where: { !$0.isWhitespace }) else {
            throw ValidationError("--reason is empty: say why, for whoever reads the record later.")
        }
    }

    static func overrides(emergency: Bool, approvedBy: String?, skip: [String]) throws {
        for name in skip {
            guard let gate = GateName(rawValue: name) else {
                let names = GateName.allCases.filter(\.canBeSkipped).map(\.rawValue).joined(separator: ", ")
                throw ValidationError("There is no gate “\(name)”. Gates that can be skipped: \(names).")
            }
            guard gate.canBeSkipped else {
                throw ValidationError("The gate “\(name)” can't be skipped: without it there is nothing to deploy.")
            }
        }
        let isOverriding = emergency || !skip.isEmpty
        guard !isOverriding || approvedBy?.contains(where: { !$0.isWhitespace }) == true else {
            throw ValidationError("An override needs --approved-by WHO: it stands in every notice and record.")
        }
        guard isOverriding || approvedBy == nil else {
            throw ValidationError("--approved-by goes with --emergency or --skip GATE.")
        }
    }
}
