// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import Journals
internal import Model

/// The command line.
package struct AirbossCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "airboss",
        abstract: "Takes a commit to a verified, serving release on Fly.io, or takes it back.",
        discussion: """
            PIPELINE is the NAME of pipelines/NAME.yml, or a path. The token is read from FLY_API_TOKEN.

            Start with:
              airboss validate                        check the pipeline files
              airboss plan staging                    what would a deploy do?
              airboss deploy staging --reason TEXT    deploy the commit you stand on
              airboss rollback staging --reason TEXT  and go back
            """,
        version: Version.current,
        subcommands: [
            DeployCommand.self, PlanCommand.self, ApproveCommand.self, RollbackCommand.self, PromoteCommand.self,
            RecoverCommand.self,
            ValidateCommand.self,
            RehearseCommand.self,
            StatusCommand.self, ReleasesCommand.self, RunsCommand.self, ShowCommand.self, WindowCommand.self,
            NoticesCommand.self, AuditCommand.self, IncidentCommand.self, StateCommand.self, SimulatorCommand.self,
            SimulatorGuestCommand.self,
        ])

    package init() {}

    /// Parses the command line, runs the command, and exits with the contract's exit code.
    package static func start() async -> Never {
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            Glibc.exit(0)
        } catch let code as ArgumentParser.ExitCode {
            Glibc.exit(code.rawValue)
        } catch let error as AirbossError {
            report(error)
        } catch let error as StateError {
            report(error.asAirbossError)
        } catch {
            if exitCode(for: error) != .success {
                job?.annotate(.error, title: "Airboss was not started", [message(for: error)])
            }
            exit(withError: error)
        }
    }

    private static var job: ActionsJob? { ActionsJob(ProcessInfo.processInfo.environment) }

    private static func report(_ error: AirbossError) -> Never {
        let wantsJSON =
            zip(CommandLine.arguments, CommandLine.arguments.dropFirst())
            .contains { $0 == "--output" && $1 == "json" } || CommandLine.arguments.contains("--output=json")
        if wantsJSON {
            let document: JSONValue = [
                "type": "error", "schema": 1, "code": .string(error.code.rawValue), "message": .string(error.message),
                "hint": .string(error.hint), "location": .string(error.location),
                "exit_code": .integer(Int64(error.code.exitCode.rawValue)),
            ]
            StandardStreams.output(document.redacted.lineText + "\n")
        }
        let place = error.location.isEmpty ? "" : error.location + ": "
        let lines = "\(place)\(error.message)".split(whereSeparator: \.isNewline).map { TerminalText.line(String($0)) }
        StandardStreams.error("airboss: \(lines.joined(separator: "\n"))\n")
        for line in error.hint.split(separator: "\n") {
            StandardStreams.error("  \(TerminalText.line(String(line)))\n")
        }
        job?.annotate(.error, title: "Airboss did not begin", lines + [error.hint])
        Glibc.exit(error.code.exitCode.rawValue)
    }
}
