// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld

/// The world's routable machines, as the app proxy asks for them.
struct RouteTable: RouteFinding {
    let host: WorldHost
    let guests: any GuestRunning

    /// The app a host names: `app.fly.dev` or `app.localhost`, with or without a port.
    static func app(ofHost host: String) -> String? {
        let name = host.prefix { $0 != ":" }.lowercased()
        for suffix in [".fly.dev", ".localhost"] where name.hasSuffix(suffix) {
            let app = String(name.dropLast(suffix.count))
            return app.isEmpty || app.contains(".") ? nil : app
        }
        return nil
    }

    func routes(forHost host: String) -> [Route] {
        guard let app = RouteTable.app(ofHost: host) else { return [] }
        let machines = self.host.withWorld { $0.routableMachines(of: app) }
        return machines.compactMap { machine in
            guard let service = machine.config.services.first else { return nil }
            return Route(
                app: app, machine: machine.id, internalPort: service.internalPort,
                socketPath: guests.socketPath(machine: machine.id, port: service.internalPort),
                softLimit: service.softLimit, hardLimit: service.hardLimit,
                stopsWhenIdle: machine.config.whenIdle != nil)
        }
    }

    func knowsHost(_ host: String) -> Bool {
        guard let app = RouteTable.app(ofHost: host) else { return false }
        return self.host.withWorld { $0.apps[app] != nil }
    }

    func start(forHost host: String) -> Bool {
        guard let app = RouteTable.app(ofHost: host) else { return false }
        self.host.apply(.visitorWaits(app: app))
        return self.host.withWorld { $0.isMachineComing(for: app) }
    }

    func note(machine: String, isBeginning: Bool) {
        host.apply(isBeginning ? .visitBegan(machine: machine) : .visitEnded(machine: machine))
    }
}
