// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import FlySimulator

/// A running `airboss simulator`.
struct LocalFly: Sendable {
    let program: RunningProgram
    let address: String
    let port: Int

    static func start(in directory: String, _ arguments: [String] = []) async throws -> LocalFly {
        let program = try RunningProgram(
            [
                Surroundings.airboss, "simulator", "--listen", "127.0.0.1:0", "--directory", directory, "--output",
                "json",
            ]
                + arguments, environment: Surroundings.environment, in: "/")
        try await program.wait(until: "the simulator's start") { $0.outputSoFar.contains("\n") }
        guard let address = try JSONValue(parsing: program.outputSoFar)["address"]?.string,
            let port = address.split(separator: ":").last.flatMap({ Int($0) })
        else { throw Trouble("the simulator says no address: \(program.outputSoFar)") }
        return LocalFly(program: program, address: address, port: port)
    }

    /// A call of its APIs; `body` makes it a POST where `method` is left out.
    @discardableResult
    func call(_ path: String, _ method: String? = nil, _ body: JSONValue? = nil) async throws -> PlainHTTP.Answer {
        let headers = ["Authorization": "Bearer \(Workshop.token)", "Content-Type": "application/json"]
        while true {
            let answer = try await onThread { [port, address] in
                try PlainHTTP.send(
                    method ?? (body == nil ? "GET" : "POST"), path, port: port, host: address, headers: headers,
                    body: body?.text() ?? "")
            }
            // It keeps Fly's rate limits, which a test's own looks count against as well.
            guard answer.status == 429 else { return answer }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    /// A request to an app, through the proxy.
    func visit(_ app: String, _ path: String = "/") async throws -> PlainHTTP.Answer {
        try await onThread { [port] in try PlainHTTP.send("GET", path, port: port, host: "\(app).localhost:\(port)") }
    }

    func makeApp(_ name: String) async throws {
        let answer = try await call("/v1/apps", nil, ["app_name": .string(name), "org_slug": "personal"])
        guard answer.status == 201 || answer.status == 200 else { throw Trouble("no app: \(answer.text)") }
    }

    /// Every machine of the app as the API shows it, by id.
    func machines(_ app: String) async throws -> [JSONValue] {
        let answer = try await call("/v1/apps/\(app)/machines")
        guard let list = answer.json?.array else { throw Trouble("no machines: \(answer.text)") }
        return list.sorted { ($0["id"]?.string ?? "") < ($1["id"]?.string ?? "") }
    }

    /// Ids of machines that somebody holds a lease of.
    func leased(_ app: String) async throws -> [String] {
        var leased: [String] = []
        for id in try await machines(app).compactMap({ $0["id"]?.string }) {
            let answer = try await call("/v1/apps/\(app)/machines/\(id)/lease")
            if answer.status != 404 { leased.append(id) }
        }
        return leased
    }

    /// Answers every call that fits `rule` wrongly, until ``heal()``.
    func breakDown(_ rule: JSONValue) async throws {
        let answer = try await call("/_simulator/faults", "PUT", rule)
        guard answer.status == 204 else { throw Trouble("no fault: \(answer.status) \(answer.text)") }
    }

    func heal() async throws {
        try await call("/_simulator/faults", "DELETE")
    }

    /// Ends it, which no test wants it to have done by itself.
    func stop() async {
        let endedByItself = !program.isRunning
        program.send(SIGTERM)
        let outcome = await program.end()
        if endedByItself, outcome.status != 0, outcome.signal != SIGKILL {
            Issue.record("the simulator ended with \(outcome.status): \(outcome.errors.suffix(4000))")
        }
    }
}

/// What the simulator's machines are.
enum Guests: String, Sendable {
    /// Real processes.
    case process
    /// State alone.
    case model
}

/// A folder with a git repository, a pipeline, a state store and a local Fly, and the real program to use them.
final class Workshop: Sendable {
    @TaskLocal static var current: Workshop?

    static let app = "harbour"
    static let token = "test-token"

    let folder: String
    let fly: LocalFly
    let repository: String
    let guests: Guests

    private init(folder: String, fly: LocalFly, guests: Guests) {
        self.folder = folder
        self.fly = fly
        self.guests = guests
        repository = folder + "/harbour"
    }

    /// Makes one, hands it to `body`, and leaves nothing of it behind.
    static func open(
        _ guests: Guests, _ arguments: [String] = [],
        _ body: (Workshop) async throws -> Void
    ) async throws {
        let folder = NSTemporaryDirectory() + "airboss-workshop-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // A leftover costs only room.
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let fly = try await LocalFly.start(in: folder + "/fly", ["--guests", guests.rawValue] + arguments)
        do {
            let workshop = Workshop(folder: folder, fly: fly, guests: guests)
            try await fly.makeApp(app)
            try await workshop.fill()
            try await body(workshop)
        } catch {
            await fly.stop()
            throw error
        }
        await fly.stop()
    }

    private func fill() async throws {
        for folder in ["/app", "/pipelines"] {
            try FileManager.default.createDirectory(atPath: repository + folder, withIntermediateDirectories: true)
        }
        switch guests {
        case .process:
            try FileManager.default.copyItem(atPath: DemoService.path.get(), toPath: repository + "/app/server")
        case .model:
            try write("app/server", "#!/bin/sh\n", mode: 0o755)
        }
        try write("fly.toml", Workshop.flyToml)
        try write("pipelines/production.yml", pipeline())
        try await git("init", "-q", "-b", "main")
        // What a test writes for itself is no change that a deploy would have to refuse.
        try write(
            ".git/info/exclude",
            ["pipelines/bad.yml", "pipelines/production-notices.yml", "bad.toml", ""].joined(separator: "\n"))
        try await git("config", "user.name", "Tess Tester")
        try await git("config", "user.email", "tess@example.invalid")
        try await commit("Greet people", ["message=hello"])
    }

    static let flyToml = """
        app = "harbour"
        primary_region = "ord"
        kill_signal = "SIGTERM"
        kill_timeout = "5s"

        [[services]]
          protocol = "tcp"
          internal_port = 8080

          [[services.ports]]
            port = 80
            handlers = ["http"]

          [[services.tcp_checks]]
            interval = "1s"
            timeout = "1s"
            grace_period = "1s"

        [[vm]]
          size = "shared-cpu-1x"

        """

    /// The pipeline of three machines that a test may then change; patient where a busy test machine is slow.
    func pipeline() -> String {
        """
        version: 1
        app: harbour
        fly_toml: ../fly.toml
        source: { repository: .., branch: main }
        build:
          layers:
            base: scratch
            copy: [{ from: app, to: /app }]
            entrypoint: [/app/server]
        deploy:
          strategy: rolling
          machines: 3
          max_unavailable: 1
          serving_floor: 2
          wait_timeout: 120s
        verify:
          url: "http://harbour.localhost:\(fly.port)"
          health: { path: /health, status: [200], body: { status: [ok] }, timeout: 20s }
          attempts: 3
          interval: 50ms
          consecutive: 2
          smoke: [{ path: /, status: [200] }]

        """
    }

    // MARK: - Its files

    /// Writes a file of the repository.
    func write(_ path: String, _ text: String, mode: Int = 0o644) throws {
        let place = repository + "/" + path
        try Data(text.utf8).write(to: URL(filePath: place))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: place)
    }

    func remove(_ path: String) throws {
        try FileManager.default.removeItem(atPath: repository + "/" + path)
    }

    @discardableResult
    func git(_ arguments: String..., in directory: String? = nil) async throws -> String {
        let outcome = try await RunningProgram.run(["git"] + arguments, in: directory ?? repository)
        guard outcome.status == 0 else { throw Trouble("git \(arguments): \(outcome.errors)") }
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Commits everything, with a service that behaves like this; returns the commit's id.
    @discardableResult
    func commit(_ message: String, _ behaviour: [String]) async throws -> String {
        try write("app/service.conf", behaviour.map { $0 + "\n" }.joined())
        try await git("add", "-A")
        try await git("commit", "-q", "--allow-empty", "-m", message)
        return try await git("rev-parse", "HEAD")
    }

    // MARK: - The program

    var environment: [String: String] {
        var environment = Surroundings.environment
        environment["FLY_FLAPS_BASE_URL"] = "http://\(fly.address)"
        environment["FLY_API_BASE_URL"] = "http://\(fly.address)"
        environment["FLY_REGISTRY_HOST"] = fly.address
        environment["FLY_API_TOKEN"] = Workshop.token
        environment["AIRBOSS_STATE"] = "sqlite:\(folder)/state.sqlite"
        return environment
    }

    /// Starts the program in the repository; a nil value takes a variable away.
    func start(
        _ arguments: [String], _ changes: [String: String?] = [:], in directory: String? = nil,
        wrapper: [String] = [], terminal: String? = nil
    ) throws -> RunningProgram {
        let environment = environment.merging(changes.compactMapValues { $0 }) { $1 }
            .filter { changes[$0.key] != .some(nil) }
        return try RunningProgram(
            wrapper + [Surroundings.airboss] + arguments, environment: environment, in: directory ?? repository,
            terminal: terminal)
    }

    /// Runs the program to its end.
    func airboss(
        _ arguments: String..., with changes: [String: String?] = [:], in directory: String? = nil
    ) async throws -> Outcome {
        try await start(arguments, changes, in: directory).end()
    }

    /// Runs a deploy or a rollback with `--output json` and checks its lines against the contract.
    func run(
        _ arguments: String..., with changes: [String: String?] = [:],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> JSONRun {
        let outcome = try await start(arguments + ["--output", "json"], changes).end()
        return try JSONRun(outcome, sourceLocation: sourceLocation)
    }

    /// One document of a query.
    func query(_ arguments: String...) async throws -> JSONValue {
        let outcome = try await start(arguments + ["--output", "json"]).end()
        guard outcome.status == 0 else { throw Trouble("\(arguments): \(outcome.status) \(outcome.everything)") }
        return try JSONValue(parsing: outcome.output)
    }

    // MARK: - What there is

    /// What may not change: every machine's config and version, and the ledger.
    struct Standing: Hashable, Sendable {
        var machines: [String: [String]]
        var releases: String
    }

    func standing() async throws -> Standing {
        var machines: [String: [String]] = [:]
        for machine in try await fly.machines(Workshop.app) {
            machines[machine["id"]?.string ?? ""] = [
                machine["instance_id"]?.string ?? "", machine["state"]?.string ?? "",
                machine["config"]?.text() ?? "",
            ]
        }
        return Standing(
            machines: machines, releases: try await query("releases", "production")["releases"]?.text() ?? "")
    }

    /// Runs that were begun and never ended.
    func unfinishedRuns() async throws -> [String] {
        let runs = try await query("runs", "--limit", "1000")["runs"]?.array ?? []
        return runs.filter { $0["outcome"] == .null }.compactMap { $0["run"]?.string }
    }
}

/// The service of the demo, compiled once.
enum DemoService {
    static let path: Result<String, Trouble> = {
        let binary = NSTemporaryDirectory() + "airboss-demo-service-\(getpid())"
        do {
            let source = Surroundings.root + "/scripts/demo-service/server.c"
            if let problem = try Launch.run(["cc", "-O1", "-static", "-o", binary, source]) {
                return .failure(Trouble("cc -static: \(problem)"))
            }
            atexit { unlink(NSTemporaryDirectory() + "airboss-demo-service-\(getpid())") }
            return .success(binary)
        } catch {
            return .failure(Trouble("\(error)"))
        }
    }()

    /// Whether machines can be real processes here; prints why not.
    static let canRun: Bool = {
        do {
            _ = try path.get()
            _ = try Sandbox.probe(in: NSTemporaryDirectory())
            return true
        } catch {
            print("skipped: tests with real machines: \(error)")
            return false
        }
    }()
}

/// Gives a suite one workshop, with a first release deployed where wanted.
struct WorkshopTrait: SuiteTrait, TestScoping {
    var guests: Guests
    var isDeployed: Bool

    @concurrent
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await Workshop.open(guests, ["--no-rate-limits"]) { workshop in
            if isDeployed {
                let first = try await workshop.run("deploy", "production", "--reason", "First deploy")
                guard first.status == 0 else { throw Trouble("the first deploy failed: \(first.outcome.everything)") }
            }
            try await Workshop.$current.withValue(workshop) { try await function() }
        }
    }
}

extension Trait where Self == WorkshopTrait {
    static func workshop(_ guests: Guests, deployed: Bool = false) -> WorkshopTrait {
        WorkshopTrait(guests: guests, isDeployed: deployed)
    }
}
