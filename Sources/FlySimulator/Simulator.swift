// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
internal import FlyWorld
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import Model
internal import NIOCore
internal import Synchronization

/// A Fly.io on this machine: the APIs, the registry, the app proxy and the machines behind one listen address.
package final class Simulator: Sendable {
    private let configuration: SimulatorConfiguration
    private let onListening: @Sendable (SimulatorAddress) -> Void

    /// `onListening` is called once, when requests are taken.
    package init(
        configuration: SimulatorConfiguration, onListening: @escaping @Sendable (SimulatorAddress) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.onListening = onListening
    }

    /// Runs until its task is cancelled, then ends every guest and keeps the state. Throws an ``AirbossError`` where
    /// the directory is in use or unreadable, or the address can't be listened on.
    package func run() async throws {
        let directory = try StateDirectory(configuration.directory)
        let store = try RegistryStore(directory: directory.registry)
        var world = try directory.load() ?? World(seed: configuration.seed)
        world.settings.isRateLimited = configuration.isRateLimited
        world.settings.autostopsAfter = configuration.autostopsAfter
        world.faults = configuration.faults
        let (guests, checks) = makeGuests(store, directory)
        let host = WorldHost(
            world: world, directory: directory, guests: guests, checks: checks,
            addedBootTime: configuration.guests == .process ? configuration.bootTime : .zero)
        let responder = makeResponder(host: host, guests: guests, store: store)
        var problem: (any Error)?
        do {
            try await serve(responder, host: host)
        } catch is CancellationError {
            // The way a simulator is stopped.
        } catch {
            problem = error
        }
        await host.shutdown()
        directory.release()
        if let problem, !Task.isCancelled { throw explained(problem) }
    }

    private func makeGuests(
        _ store: RegistryStore, _ directory: StateDirectory
    ) -> (any GuestRunning, any CheckRunning) {
        switch configuration.guests {
        case .process:
            let guests = ProcessGuests(
                registry: store, guestExecutable: configuration.guestExecutable, directory: directory.guests)
            let checks = CheckRunner { machine, port in guests.socketPath(machine: machine, port: port) }
            return (guests, checks)
        case .model:
            let guests = ModelGuests(bootTime: configuration.bootTime)
            return (guests, guests)
        }
    }

    private func makeResponder(host: WorldHost, guests: any GuestRunning, store: RegistryStore) -> SimulatorResponder {
        let routes = RouteTable(host: host, guests: guests)
        let isModel = configuration.guests == .model
        let traffic: @Sendable (Request, String) async -> Response
        if isModel {
            let model = ModelTraffic(routing: routes)
            traffic = { request, _ in await model.respond(to: request) }
        } else {
            let proxy = AppProxy(routing: routes)
            host.setDrain { machine, limit in await proxy.drain(machine: machine, upTo: limit) }
            traffic = { request, address in await proxy.respond(to: request, clientAddress: address) }
        }
        let machines = MachinesEndpoints { reference in
            if let digest = await store.digest(of: reference) { return digest }
            return isModel ? Simulator.modelledDigest(of: reference) : nil
        }
        let tokens = TokenBook(configuration.tokens)
        return SimulatorResponder(
            host: host, listenHost: configuration.host, tokens: tokens, latency: Latency(configuration.roundTrip),
            machines: machines,
            registry: RegistryRoutes(store: store) { text in
                // Without credentials one may pull while any token would do.
                text.isEmpty
                    ? tokens.counts.known == nil
                    : tokens.standing(of: text.split(separator: ",").map(String.init)) != .refused
            }, traffic: traffic)
    }

    /// Modelled guests need no image: a reference the registry does not have means a digest made from its own text.
    private static func modelledDigest(of reference: String) -> String? {
        guard let parsed = ImageReference(parsing: reference) else { return nil }
        return parsed.digest?.rawValue ?? "sha256:" + hexadecimal(SHA256.hash(data: Data(reference.utf8)))
    }

    private func serve(_ responder: SimulatorResponder, host: WorldHost) async throws {
        let (onListening, listenHost) = (onListening, configuration.host)
        let application = Application(
            responder: responder,
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port), backlog: 1024, reuseAddress: true),
            onServerRunning: { channel in
                host.apply(.resumed)
                onListening(SimulatorAddress(host: listenHost, port: channel.localAddress?.port ?? 0))
            },
            logger: Logger(label: "airboss.simulator") { _ in SwiftLogNoOpLogHandler() })
        try await application.run()
    }

    private func explained(_ error: any Error) -> AirbossError {
        let address = SimulatorAddress(host: configuration.host, port: configuration.port)
        return AirbossError(
            .unavailable, "the simulator cannot listen on \(address): \(error)",
            hint: "stop what uses the port, or name another address with --listen")
    }
}

/// Answers for modelled guests, in turn, as a healthy service would.
private final class ModelTraffic: Sendable {
    private let routing: RouteTable
    private let turn = Mutex(0)

    init(routing: RouteTable) {
        self.routing = routing
    }

    func respond(to request: Request) async -> Response {
        let host = request.head.authority ?? ""
        var routes = routing.routes(forHost: host)
        let deadline = ContinuousClock.now + AppProxy.maxStartTime
        while routes.isEmpty {
            // A request that is cancelled has nobody waiting for its answer.
            guard ContinuousClock.now < deadline, routing.start(forHost: host),
                (try? await Task.sleep(for: AppProxy.searchPause)) != nil
            else { return Response(status: routing.knowsHost(host) ? .serviceUnavailable : .notFound) }
            routes = routing.routes(forHost: host)
        }
        let turn = turn.withLock { turn in
            turn += 1
            return turn
        }
        let route = routes[turn % routes.count]
        if route.stopsWhenIdle {
            routing.note(machine: route.machine, isBeginning: true)
            routing.note(machine: route.machine, isBeginning: false)
        }
        let body: JSONValue = ["status": "ok", "app": .string(route.app), "machine": .string(route.machine)]
        return Response(
            status: .ok, headers: [.contentType: "application/json", .flyInstanceID: route.machine],
            body: ResponseBody(byteBuffer: ByteBuffer(string: body.text())))
    }
}
