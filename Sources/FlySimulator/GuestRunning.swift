// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What to run: one version of one machine.
struct GuestSpec: Hashable, Sendable {
    var app: String
    var machine: String
    var instance: String
    /// The image reference as the machine config names it.
    var image: String
    /// The whole machine config.
    var config: JSONValue
    /// Secrets, `FLY_*` and config env, already merged.
    var environment: [String: String]
    /// This machine's own folder.
    var directory: String
}

/// What became of a guest.
enum GuestEvent: Hashable, Sendable {
    case started(imageDigest: String)
    /// The image is not pullable, there is no entrypoint, or exec failed.
    case failedToStart(reason: String)
    case exited(code: Int32, signal: Int32?, isOutOfMemory: Bool)
    case log(line: String, isError: Bool)
}

/// Runs the guests of machines: real processes, or none at all (`ModelGuests`).
protocol GuestRunning: Sendable {
    /// Pulls, unpacks and starts; every later fact comes through `events` (in order, from any thread). Returns at once.
    func start(_ spec: GuestSpec, events: @escaping @Sendable (GuestEvent) -> Void)
    /// Sends the stop signal, then SIGKILL after the timeout; the exit arrives as an event.
    func stop(machine: String, signal: String, timeout: Duration)
    /// Sends a signal by its name (`SIGHUP`, `SIGSTOP`…) and nothing else; no effect where the machine does not run.
    func signal(machine: String, signal: String)
    /// Sends SIGKILL; the exit arrives as an event.
    func kill(machine: String)
    /// The path of a Unix socket that reaches `port` inside the machine, or nil where it does not run.
    func socketPath(machine: String, port: Int) -> String?
    /// Ends every guest and waits until none is left.
    func shutdown() async
}

/// Resolves an image reference to its digest in the simulator's own registry.
protocol ImageResolving: Sendable {
    /// The digest (`sha256:…`) of the manifest, or nil where the registry does not have it.
    func digest(of reference: String) async -> String?
}

/// One machine that may take app traffic: healthy, started, not cordoned, with a service on `internalPort`.
struct Route: Hashable, Sendable {
    var app: String
    var machine: String
    /// The port inside the machine that the service names.
    var internalPort: Int
    /// The Unix socket that reaches `internalPort` inside the machine; nil for guests that are only modelled.
    var socketPath: String?
    var softLimit: Int?
    var hardLimit: Int?
    /// Whether the machine is stopped once nobody visits it, so that its visits have to be told.
    var stopsWhenIdle = false
}

/// Which machines an app's traffic may go to at this instant. The Simulator answers it from FlyWorld.
protocol RouteFinding: Sendable {
    /// The routable machines of the app that `host` (`app.fly.dev`, `app.localhost`, with or without a port) names.
    func routes(forHost host: String) -> [Route]
    /// Whether an app of that host name exists at all (404 against 503 in the proxy).
    func knowsHost(_ host: String) -> Bool
    /// Starts a machine that visitors may start; false where none is coming, and waiting is in vain.
    func start(forHost host: String) -> Bool
    /// A request began or ended on a machine that stops when idle.
    func note(machine: String, isBeginning: Bool)
}

/// The standing of one check, named as Fly names it.
enum CheckStanding: String, Hashable, Sendable {
    case passing
    case warning
    case critical
}

/// One check as the machine's config asks for it; the name is what the machine object shows.
struct CheckSpec: Hashable, Sendable {
    /// `servicecheck-00-http-8080` for service checks, the map's key for top-level ones.
    var name: String
    /// `http` or `tcp`.
    var type: String
    var port: Int
    /// The check's own object in the config: interval, timeout, grace_period, method, path, headers, protocol….
    var definition: JSONValue
}

/// Makes checks on their schedule. `begin` replaces earlier checks of that machine.
protocol CheckRunning: Sendable {
    func begin(
        machine: String,
        checks: [CheckSpec],
        report: @escaping @Sendable (_ check: String, _ standing: CheckStanding, _ output: String) -> Void
    )
    func end(machine: String)
    func shutdown() async
}
