// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// When a machine whose process ended is started again.
struct RestartPolicy: Hashable, Codable, Sendable {
    enum Kind: String, Hashable, Codable, Sendable {
        case no
        case always
        case onFailure = "on-failure"
    }

    var kind: Kind
    /// Restarts in a row before the machine stays stopped; nil is no bound.
    var maxRetries: Int?

    init(kind: Kind, maxRetries: Int?) {
        self.kind = kind
        self.maxRetries = maxRetries
    }

    /// What Fly does where a config names no policy: on-failure, ten times.
    static let platformDefault = RestartPolicy(kind: .onFailure, maxRetries: 10)

    /// Whether an exit with `code` is followed by restart number `restarts + 1`.
    func restarts(afterExit code: Int32, restartsSoFar restarts: Int) -> Bool {
        switch kind {
        case .no: false
        case .always: true
        case .onFailure: code != 0 && restarts < (maxRetries ?? 10)
        }
    }
}

/// One check a config asks for, named as the machine object shows it.
package struct CheckDefinition: Hashable, Codable, Sendable {
    package var name: String
    /// `http` or `tcp`.
    package var type: String
    package var port: Int
    /// The check's own object in the config.
    package var definition: JSONValue
}

/// One service of a machine, as far as routing needs it.
package struct ServiceDefinition: Hashable, Codable, Sendable {
    package var internalPort: Int
    package var softLimit: Int?
    package var hardLimit: Int?
    /// Whether a request starts the machine.
    package var isStartedByVisitors: Bool
    /// What becomes of the machine once nobody visits it; nil leaves it running.
    package var whenIdle: IdleAction?
    /// Machines of the process group that run even when idle.
    package var leastRunning: Int

    /// What Fly's `autostop` asks for.
    package enum IdleAction: String, Hashable, Codable, Sendable {
        case stop, suspend

        /// Reads `"off"`, `"stop"`, `"suspend"`, and the booleans they read back as.
        init?(autostop: JSONValue?) {
            switch (autostop?.string, autostop?.bool) {
            case ("stop", _), (_, true): self = .stop
            case ("suspend", _): self = .suspend
            default: return nil
            }
        }
    }
}

/// How a machine is asked to stop.
struct StopPolicy: Hashable, Codable, Sendable {
    var signal: String
    var timeout: Duration

    /// Fly's default: SIGINT, then SIGKILL after five seconds.
    static let platformDefault = StopPolicy(signal: "SIGINT", timeout: .seconds(5))
}

extension MachineConfig {
    var restartPolicy: RestartPolicy {
        guard let restart = json["restart"]?.object, let name = restart["policy"]?.string, !name.isEmpty else {
            return .platformDefault
        }
        guard let kind = RestartPolicy.Kind(rawValue: name) else { return .platformDefault }
        return RestartPolicy(kind: kind, maxRetries: restart["max_retries"]?.integer)
    }

    var stopPolicy: StopPolicy {
        var policy = StopPolicy.platformDefault
        if let signal = json["stop_config"]?["signal"]?.string, !signal.isEmpty { policy.signal = signal }
        if let timeout = json["stop_config"]?["timeout"].flatMap(Duration.init(asFlyWrites:)) {
            policy.timeout = timeout
        }
        return policy
    }

    var destroysItself: Bool {
        json["auto_destroy"]?.bool ?? false
    }

    var environment: [String: String] {
        (json["env"]?.object ?? [:]).compactMapValues(\.string)
    }

    package var services: [ServiceDefinition] {
        (json["services"]?.array ?? []).compactMap { service in
            guard let port = service["internal_port"]?.integer else { return nil }
            return ServiceDefinition(
                internalPort: port,
                softLimit: service["concurrency"]?["soft_limit"]?.integer,
                hardLimit: service["concurrency"]?["hard_limit"]?.integer,
                isStartedByVisitors: service["autostart"]?.bool ?? false,
                whenIdle: ServiceDefinition.IdleAction(autostop: service["autostop"]),
                leastRunning: service["min_machines_running"]?.integer ?? 0
            )
        }
    }

    /// What becomes of the machine once nobody visits any of its services; nil leaves it running.
    package var whenIdle: ServiceDefinition.IdleAction? {
        // Most configs of a rehearsal ask for none: the services are not read for nothing.
        guard let services = json["services"]?.array else { return nil }
        let actions = services.map { ServiceDefinition.IdleAction(autostop: $0["autostop"]) }
        guard !actions.contains(nil), let first = actions.first ?? nil else { return nil }
        return actions.contains(.stop) ? .stop : first
    }

    /// Every check, service checks first, named like `servicecheck-00-http-8080`; the count runs through all services,
    /// because two services may share a port and no two checks may share a name.
    package var checkDefinitions: [CheckDefinition] {
        var found: [CheckDefinition] = []
        for service in json["services"]?.array ?? [] {
            let servicePort = service["internal_port"]?.integer ?? 0
            for check in service["checks"]?.array ?? [] {
                let index = found.count
                let type = check["type"]?.string ?? "tcp"
                let port = check["port"]?.integer ?? servicePort
                let name = "servicecheck-\(index < 10 ? "0" : "")\(index)-\(type)-\(port)"
                found.append(CheckDefinition(name: name, type: type, port: port, definition: check))
            }
        }
        for (name, check) in (json["checks"]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
            let port = check["port"]?.integer ?? json["services"]?[0]?["internal_port"]?.integer ?? 8080
            let type = check["type"]?.string ?? "tcp"
            found.append(CheckDefinition(name: name, type: type, port: port, definition: check))
        }
        return found
    }
}

extension Duration {
    /// Reads Go's duration text (`10s`, `1m30s`, `250ms`), which Fly's API writes, or a number of nanoseconds.
    init?(asFlyWrites value: JSONValue) {
        if let nanoseconds = value.integer {
            self = .nanoseconds(Int64(nanoseconds))
            return
        }
        guard let text = value.string, let duration = Duration(goText: text) else { return nil }
        self = duration
    }

    /// Reads Go's duration text. Source: the documentation of Go's `time.ParseDuration`; no sign is taken.
    package init?(goText text: String) {
        var rest = text.utf8[...]
        guard !rest.isEmpty else { return nil }
        var total = 0.0
        while !rest.isEmpty {
            let number = rest.prefix { ($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: ".") }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { !(($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: ".")) }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(String(decoding: number, as: UTF8.self)) else { return nil }
            switch String(decoding: unit, as: UTF8.self) {
            case "h": total += value * 3600
            case "m": total += value * 60
            case "s": total += value
            case "ms": total += value / 1e3
            case "us", "µs": total += value / 1e6
            case "ns": total += value / 1e9
            case "" where text == "0": break
            default: return nil
            }
        }
        guard total < 1e9 else { return nil }
        self = .nanoseconds(Int64((total * 1e9).rounded()))
    }
}
