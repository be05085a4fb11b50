// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Model
internal import Stages

struct RollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Go back to a verified release: image, and each machine's whole recorded config.",
        discussion: """
            Without --to it goes to the last verified release before the current one; a release that failed since it \
            was verified is never chosen. The deployment window does not hold for a rollback. The restored release is \
            verified in its turn.

            From a machine whose state store knows no way back, it is read from the platform: which releases were \
            verified, and which configs the machines had.

            The database is left as it is. Where newer releases brought migrations (rollback.migrations of the \
            pipeline) that no commit declares reversible, a person must say that the old code can run on them: \
            --skip migrations --approved-by WHO.

            Examples:
              airboss rollback production --reason "Checkout is broken since v73"
              airboss rollback production --to v71 --reason "Last good before the migration"
              airboss rollback production --reason "Payments are down" --skip migrations --approved-by "Ana Lima"
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: "Why; it stands in every notice and record.")
    var reason: String

    @Option(name: .long, help: ArgumentHelp("The release to go back to, as 71 or v71.", valueName: "release"))
    var to: String?

    @Option(name: .customLong("approved-by"), help: ArgumentHelp("Who approved what is skipped.", valueName: "who"))
    var approvedBy: String?

    @Option(
        name: .long, parsing: .singleValue,
        help: ArgumentHelp("Skip one gate by its name; needs --approved-by. May be repeated.", valueName: "gate"))
    var skip: [String] = []

    @OptionGroup var waiting: WaitOption
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        try Checks.reason(reason)
        try Checks.overrides(emergency: false, approvedBy: approvedBy, skip: skip)
        if let to, ReleaseNumber(parsing: to) == nil {
            throw ValidationError("“\(to)” is no release: write 71 or v71. `airboss releases \(pipeline)` lists them.")
        }
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let session = RunSession(
            context: context, options: options, view: options.makeView(), wait: waiting.duration)
        let report = try await session.run(.rollback) { run, actor, channels throws(AirbossError) in
            try context.request(
                .rollback, run: run, actor: actor, reason: reason, target: to.flatMap(ReleaseNumber.init(parsing:)),
                overrides: .init(approvedBy: approvedBy ?? "", skippedGates: skip), wait: waiting.duration,
                channels: channels)
        }
        throw ArgumentParser.ExitCode(report.exitCode)
    }
}
