// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FlyPlatform
internal import HTTPTransport
internal import Journals
internal import Model
internal import PipelineFiles

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what runs now: the release and every machine with its state and checks.",
        discussion: """
            Without PIPELINE all of the folder are shown. Asks the platform; needs FLY_API_TOKEN.

            Examples:
              airboss status
              airboss status production --output json
            """)

    @Argument(help: "Pipelines to show; all of them where none is named.")
    var names: [String] = []

    @OptionGroup var options: GlobalOptions

    private struct AppStatus {
        var pipeline: String
        var app: AppName
        var release: ReleaseNumber?
        var machines: [FleetMachine]
        var unfinished: RunRecord?
    }

    func run() async throws {
        let names = names.isEmpty ? PipelineLoader.names(in: options.pipelinesFolder) : names
        guard !names.isEmpty else {
            throw AirbossError(
                .configuration, "\(options.pipelinesFolder) holds no pipelines", hint: "name a folder with --pipelines")
        }
        var contexts: [PipelineContext] = []
        for name in names { contexts.append(try options.load(name)) }
        let http = HTTPClient(.init(userAgent: "airboss/\(Version.current)"))
        let client = FlyClient(
            endpoints: try FlyEndpoints(environment: options.environment),
            token: try FlyToken(environment: options.environment), http: http,
            userAgent: "airboss/\(Version.current)")
        var apps: [AppStatus] = []
        for context in contexts { apps.append(try await status(of: context, client)) }
        await http.shutdown()
        switch options.output {
        case .json: printJSON(apps)
        case .text: printText(apps)
        }
    }

    private func status(of context: PipelineContext, _ client: FlyClient) async throws -> AppStatus {
        let app = context.pipeline.app
        let store = try await options.openStore(for: context)
        let machines: [FleetMachine]
        do {
            machines = try await client.machines(app)
        } catch {
            let code: AirbossError.Code =
                switch Failure(error).code {
                case .unauthorized, .forbidden, .notFound: .refused
                default: .unavailable
                }
            throw AirbossError(code, error.description, hint: error.hint)
        }
        return AppStatus(
            pipeline: context.pipeline.name, app: app,
            release: try await store.history(app, limit: 1).current?.number,
            machines: machines.sorted { $0.id < $1.id }, unfinished: try await store.unfinishedRun(app))
    }

    private func printJSON(_ apps: [AppStatus]) {
        let list = apps.map { app -> JSONValue in
            [
                "app": .string(app.app.rawValue), "pipeline": .string(app.pipeline),
                "release": app.release.map { .integer(Int64($0.value)) } ?? .null,
                "unfinished_run": RunFinished.optional(app.unfinished?.header.run.rawValue),
                "machines": .array(app.machines.map(StatusCommand.json)),
            ]
        }
        let document: JSONValue = ["schema": 1, "apps": .array(list)]
        StandardStreams.output(document.text(pretty: true) + "\n")
    }

    private static func json(_ machine: FleetMachine) -> JSONValue {
        [
            "id": .string(machine.id.rawValue), "name": .string(machine.name), "region": .string(machine.region),
            "group": .string(machine.config.processGroup.rawValue), "state": .string(machine.state),
            "image": RunFinished.optional(machine.imageDigest?.rawValue ?? machine.config.image),
            "release": RunFinished.optional(machine.config.metadata["fly_release_version"]),
            "managed": .bool(machine.isManaged), "cordoned": .bool(machine.isCordoned),
            "host": .string(machine.hostStatus),
            "checks": .array(
                machine.checks.map {
                    ["name": .string($0.name), "status": .string($0.status), "output": .string($0.output)]
                }),
        ]
    }

    private func printText(_ apps: [AppStatus]) {
        for (index, app) in apps.enumerated() {
            if index > 0 { StandardStreams.output("\n") }
            let release = app.release.map { "\($0), verified" } ?? "no verified release"
            StandardStreams.output("\(app.app) (\(app.pipeline)): \(release)\n")
            if let run = app.unfinished {
                StandardStreams.output("  run \(run.header.run) has not ended (\(run.header.kind))\n")
            }
            guard !app.machines.isEmpty else {
                StandardStreams.output("  no machines\n")
                continue
            }
            var table = Table(["  MACHINE", "GROUP", "REGION", "STATE", "RELEASE", "IMAGE", "CHECKS"])
            for machine in app.machines {
                let passing = machine.checks.count { $0.status == "passing" }
                var state = machine.state
                if machine.isCordoned { state += ", cordoned" }
                if machine.hostStatus != "ok" { state += ", host \(machine.hostStatus)" }
                if !machine.isManaged { state += ", not managed" }
                table.add([
                    "  \(machine.id)", machine.config.processGroup.rawValue, machine.region, state,
                    machine.config.metadata["fly_release_version"].map { "v\($0)" } ?? "-",
                    machine.imageDigest?.short ?? "-",
                    machine.config.checkCount == 0 ? "none" : "\(passing)/\(machine.config.checkCount) passing",
                ])
            }
            StandardStreams.output(table.text)
        }
    }
}
