// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FlySimulator
internal import FoundationEssentials
internal import Model

struct SimulatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulator",
        abstract: "Run a local Fly: Machines API, registry, app traffic, and machines as real processes.",
        discussion: """
            Prints the variables that point Airboss (and flyctl) at it. Apps are reached under \
            http://APP.localhost:PORT. State is kept in the folder; two simulators need two folders. Ctrl-C ends it \
            and every process it started.

            Examples:
              airboss simulator
              airboss simulator --listen 127.0.0.1:4280 --directory /tmp/fly
              airboss simulator --guests model --boot-time 2s --round-trip 50ms   no processes, only state
            """)

    @Option(name: .long, help: ArgumentHelp("Where to listen; port 0 takes a free one.", valueName: "address:port"))
    var listen = "127.0.0.1:4280"

    @Option(name: .long, help: ArgumentHelp("Where state, images and machines are kept.", valueName: "dir"))
    var directory = ".airboss/simulator"

    @Option(name: .long, help: "Machines as real processes, or as state alone (process, model).")
    var guests = "process"

    @Option(name: .customLong("boot-time"), help: ArgumentHelp("Added to every start of a machine.", valueName: "time"))
    var bootTime = "0s"

    @Option(name: .customLong("round-trip"), help: ArgumentHelp("Added to every answer of the API.", valueName: "time"))
    var roundTrip = "0s"

    @Option(
        name: .customLong("autostop-after"),
        help: ArgumentHelp("Stops an idle machine whose service has autostop.", valueName: "time"))
    var autostopAfter = "5m"

    @Option(
        name: .customLong("token"),
        help: ArgumentHelp("Accept this token; may be repeated. Without it any token is good.", valueName: "token"))
    var tokens: [String] = []

    @Flag(name: .customLong("no-rate-limits"), help: "Answer however often it is asked.")
    var noRateLimits = false

    @Option(name: .long, help: "How the address is printed.")
    var output: OutputFormat = .text

    func validate() throws {
        _ = try address()
        _ = try SimulatorCommand.duration(bootTime, "--boot-time")
        _ = try SimulatorCommand.duration(roundTrip, "--round-trip")
        _ = try SimulatorCommand.duration(autostopAfter, "--autostop-after")
        guard !tokens.contains("") else { throw ValidationError("--token is not empty.") }
        guard SimulatorConfiguration.Guests(rawValue: guests) != nil else {
            throw ValidationError("--guests is process or model.")
        }
    }

    func run() async throws {
        let (host, port) = try address()
        let configuration = SimulatorConfiguration(
            host: host, port: port, directory: directory, guests: .init(rawValue: guests) ?? .process,
            roundTrip: try SimulatorCommand.duration(roundTrip, "--round-trip"),
            bootTime: try SimulatorCommand.duration(bootTime, "--boot-time"), isRateLimited: !noRateLimits,
            autostopsAfter: try SimulatorCommand.duration(autostopAfter, "--autostop-after"),
            tokens: tokens.isEmpty ? nil : Dictionary(tokens.map { ($0, []) }) { first, _ in first },
            guestExecutable: SimulatorCommand.ownPath())
        let signals = Signals()
        defer { signals.stop() }
        let simulator = Simulator(configuration: configuration) { announce($0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await simulator.run() }
            group.addTask {
                for await _ in signals.stream { break }
            }
            // Whichever ends first, a failure or a signal, ends the other.
            try await group.next()
            group.cancelAll()
        }
    }

    @Sendable private func announce(_ address: SimulatorAddress) {
        switch output {
        case .json:
            let line: JSONValue = [
                "type": "simulator.listening", "schema": 1, "address": .string(address.description),
                "directory": .string(directory),
            ]
            StandardStreams.output(line.text() + "\n")
        case .text:
            // The tokens are known to whoever started this, and are not repeated.
            let token = tokens.isEmpty ? "local" : "TOKEN"
            StandardStreams.output(
                """
                The local Fly listens on \(address); its state is in \(directory). Point Airboss at it:

                  export FLY_FLAPS_BASE_URL=http://\(address)
                  export FLY_API_BASE_URL=http://\(address)
                  export FLY_REGISTRY_HOST=\(address)
                  export FLY_API_TOKEN=\(token)

                Make an app:

                  curl -H 'Authorization: Bearer \(token)' -H 'Content-Type: application/json' \\
                    -d '{"app_name":"APP","org_slug":"personal"}' http://\(address)/v1/apps

                and reach it under http://APP.localhost:\(address.port) once it is deployed. Ctrl-C ends it.

                """)
        }
    }

    private func address() throws -> (host: String, port: Int) {
        guard let colon = listen.lastIndex(of: ":"), let port = Int(listen[listen.index(after: colon)...]),
            (0...65_535).contains(port)
        else { throw ValidationError("--listen is ADDRESS:PORT, for instance 127.0.0.1:4280.") }
        let host = listen[..<colon].filter { $0 != "[" && $0 != "]" }
        return (host.isEmpty ? "127.0.0.1" : String(host), port)
    }

    /// `2s`, `50ms`, `1m`.
    static func duration(_ text: String, _ flag: String) throws -> Duration {
        let digits = text.prefix { $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard let value = Int64(digits), value >= 0 else {
            throw ValidationError("\(flag) is a time such as 50ms or 2s.")
        }
        switch unit {
        case "ms": return .milliseconds(value)
        case "s": return .seconds(value)
        case "m": return .seconds(value * 60)
        default: throw ValidationError("\(flag) is a time such as 50ms or 2s.")
        }
    }

    /// This very program, for the supervisor of each machine.
    static func ownPath() -> String {
        do {
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        } catch {
            return CommandLine.arguments[0]  // no /proc here: the name this was started by has to do
        }
    }
}

/// The supervisor of one machine of the simulator; started by the simulator, of no use to people.
struct SimulatorGuestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulator-guest", abstract: "Supervise one machine of the simulator.", shouldDisplay: false)

    @Argument(parsing: .captureForPassthrough)
    var arguments: [String] = []

    func run() throws {
        throw ArgumentParser.ExitCode(runGuestSupervisor(arguments: arguments))
    }
}
