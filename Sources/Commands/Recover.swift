// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Model
internal import Stages

struct RecoverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Finish or undo what a run left behind whose process died.",
        discussion: """
            From the run's journal where there is one; else from what stands on the platform: what runs write on \
            machines, their former configs, and the platform's releases. For that, the pipeline and a Fly token are \
            enough.

            What had changed nothing is closed. A deploy that was not verified goes back to the release that served; \
            the very first one, which has nothing to go back to, goes on. A rollback goes on. Nothing is destroyed \
            that Airboss did not create. Where only a person can say what shall be, nothing is changed, and it says so.

            The next deploy or rollback of the app does the same first. Exit codes: 0 nothing to recover, or finished; \
            10 rolled back; 11 a person is needed; 13 a run is at work; 69 the platform is unavailable.

            Examples:
              airboss recover production
              airboss recover production --from-platform     # leave the journal aside
              airboss recover production --wait 5m           # wait for a run that is at work
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Flag(name: .customLong("from-platform"), help: "Go by what the platform shows, whatever the journal says.")
    var fromPlatform = false

    @OptionGroup var waiting: WaitOption
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let context = try options.load(pipeline)
        let session = RunSession(
            context: context, options: options, view: options.makeView(), wait: waiting.duration)
        let report = try await session.recover(ignoringJournal: fromPlatform)
        throw ArgumentParser.ExitCode(report.exitCode)
    }
}
