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

            Examples:
              airboss rollback production --reason "Checkout is broken since v73"
              airboss rollback production --to v71 --reason "Last good before the migration"
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: "Why; it stands in every notice and record.")
    var reason: String

    @Option(name: .long, help: ArgumentHelp("The release to go back to, as 71 or v71.", valueName: "release"))
    var to: String?

    @OptionGroup var waiting: WaitOption
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        try Checks.reason(reason)
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
                wait: waiting.duration, channels: channels)
        }
        throw ArgumentParser.ExitCode(report.exitCode)
    }
}
