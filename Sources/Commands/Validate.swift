// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import Model
internal import PipelineFiles

struct ValidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Check pipeline files and the fly.toml files they name.",
        discussion: """
            Without PIPELINE all of the folder are checked. Nothing is asked of the platform.

            Examples:
              airboss validate
              airboss validate production staging
              airboss validate --schema > pipeline.schema.json   the JSON Schema for editors
            """)

    @Argument(help: "Pipelines to check; all of them where none is named.")
    var names: [String] = []

    @Flag(name: .long, help: "Print the JSON Schema of pipeline files instead.")
    var schema = false

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        if schema {
            StandardStreams.output(PipelineSchema.text())
            return
        }
        let folder = options.pipelinesFolder
        let names = names.isEmpty ? PipelineLoader.names(in: folder) : names
        guard !names.isEmpty else {
            throw AirbossError(
                .configuration, "\(folder) holds no pipelines",
                hint: "write one (docs/pipelines.md), or name another folder with --pipelines")
        }
        var results: [(name: String, diagnostics: [Diagnostic])] = []
        for name in names { results.append((name, try check(name))) }
        let isValid = results.allSatisfy { result in result.diagnostics.allSatisfy { $0.severity != .error } }
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1, "valid": .bool(isValid),
                "pipelines": .array(results.map { ValidateCommand.json($0.name, $0.diagnostics) }),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            for result in results {
                for diagnostic in result.diagnostics { StandardStreams.output("\(diagnostic)\n") }
                let errors = result.diagnostics.count { $0.severity == .error }
                StandardStreams.output(
                    errors == 0
                        ? "\(result.name): valid\n" : "\(result.name): \(errors) error\(errors == 1 ? "" : "s")\n")
            }
        }
        if !isValid { throw ArgumentParser.ExitCode(Model.ExitCode.invalidConfiguration.rawValue) }
    }

    private func check(_ name: String) throws(AirbossError) -> [Diagnostic] {
        let path = try PipelineLoader.find(name: name, in: options.pipelinesFolder)
        do throws(PipelineFileErrors) {
            let loaded = try PipelineLoader.load(path: path, environment: options.environment)
            var diagnostics = loaded.diagnostics
            diagnostics +=
                LiveWindow.read(
                    loaded.pipeline, environment: options.environment, now: Timestamp.fromSystemClock()
                ).diagnostics
            return diagnostics
        } catch {
            return error.diagnostics
        }
    }

    private static func json(_ name: String, _ diagnostics: [Diagnostic]) -> JSONValue {
        [
            "pipeline": .string(name),
            "diagnostics": .array(
                diagnostics.map {
                    [
                        "path": .string($0.path), "line": .integer(Int64($0.line)),
                        "column": .integer(Int64($0.column)), "severity": .string($0.severity.rawValue),
                        "message": .string($0.message), "suggestion": .string($0.suggestion),
                    ]
                }),
        ]
    }
}
