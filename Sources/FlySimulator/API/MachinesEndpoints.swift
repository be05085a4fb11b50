// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import HTTPTypes
internal import Model

/// The Machines API below `/v1`: paths and bodies into calls. Source: Fly's OpenAPI description.
struct MachinesEndpoints: Sendable {
    /// What an image reference means now; nil where it can't be pulled.
    let digest: @Sendable (_ reference: String) async -> String?

    func call(_ request: APIRequest) async throws -> APICall {
        let path = request.path
        guard path.first == "apps" else { throw request.unknown() }
        switch (request.method, path.count) {
        case (.get, 1):
            return APICall(call: .listApps(organization: request.parameter("org_slug")))
        case (.post, 1):
            let body = try request.object()
            guard let name = body["app_name"]?.string ?? body["name"]?.string, !name.isEmpty else {
                throw WorldFailure(400, "invalid_argument: name is required")
            }
            guard let organization = body["org_slug"]?.string, !organization.isEmpty else {
                throw WorldFailure(400, "invalid_argument: org_slug is required")
            }
            return APICall(app: name, call: .createApp(organization: organization))
        case (.get, 2): return APICall(app: path[1], call: .getApp)
        case (.delete, 2): return APICall(app: path[1], call: .deleteApp)
        default: break
        }
        guard path.count > 2 else { throw request.unknown() }
        switch path[2] {
        case "machines": return try await machines(request)
        case "secrets": return try secrets(request)
        default: throw request.unknown()
        }
    }

    private func machines(_ request: APIRequest) async throws -> APICall {
        let path = request.path
        let app = path[1]
        switch (request.method, path.count) {
        case (.get, 3):
            return APICall(
                app: app, call: .listMachines(MachinesEndpoints.filter(request)), isSummary: request.flag("summary"))
        case (.post, 3):
            return APICall(app: app, call: .createMachine(try await input(request)))
        case (.get, 4):
            return APICall(app: app, machine: path[3], call: .getMachine)
        case (.post, 4):
            return APICall(app: app, machine: path[3], call: .updateMachine(try await input(request)))
        case (.delete, 4):
            return APICall(app: app, machine: path[3], call: .destroyMachine(force: request.flag("force")))
        case (_, 5):
            return APICall(app: app, machine: path[3], call: try action(path[4], request))
        case (_, 6) where path[4] == "metadata":
            return APICall(app: app, machine: path[3], call: try metadataKey(path[5], request))
        default:
            throw request.unknown()
        }
    }

    private static func filter(_ request: APIRequest) -> MachineFilter {
        var filter = MachineFilter()
        filter.includesDestroyed = request.flag("include_deleted")
        filter.region = request.parameter("region")
        filter.states = request.parameters("state").flatMap { $0.split(separator: ",").map(String.init) }
        for (name, value) in request.query where name.hasPrefix("metadata.") {
            filter.metadata[String(name.dropFirst("metadata.".count))] = value
        }
        return filter
    }

    private func input(_ request: APIRequest) async throws -> MachineInput {
        let body = try request.object()
        guard let config = body["config"], config.object != nil else {
            throw WorldFailure(400, "invalid_argument: config is required")
        }
        let image = config["image"]?.string ?? ""
        return MachineInput(
            name: body["name"]?.string.flatMap { $0.isEmpty ? nil : $0 },
            region: body["region"]?.string.flatMap { $0.isEmpty ? nil : $0 },
            config: MachineConfig(config),
            imageDigest: image.isEmpty ? nil : await digest(image),
            skipsLaunch: body["skip_launch"]?.bool ?? false,
            skipsServiceRegistration: body["skip_service_registration"]?.bool ?? false,
            leaseTimeToLive: body["lease_ttl"]?.integer.flatMap { $0 > 0 ? .seconds($0) : nil },
            minimumSecretsVersion: body["min_secrets_version"]?.integer,
            currentVersion: body["current_version"]?.string.flatMap { $0.isEmpty ? nil : $0 })
    }

    private func action(_ name: String, _ request: APIRequest) throws(WorldFailure) -> WorldCall {
        switch (request.method, name) {
        case (.post, "start"): return .startMachine
        case (.post, "stop"):
            let body = try request.object()
            return .stopMachine(
                signal: try MachinesEndpoints.signal(body["signal"]?.string),
                timeout: try MachinesEndpoints.duration(body["timeout"]?.string))
        case (.post, "restart"):
            return .restartMachine(
                signal: try MachinesEndpoints.signal(request.parameter("signal")),
                timeout: try MachinesEndpoints.duration(request.parameter("timeout")),
                forcesStop: request.flag("force_stop"))
        case (.post, "suspend"): return .suspendMachine
        case (.post, "signal"):
            guard let signal = try MachinesEndpoints.signal(try request.object()["signal"]?.string) else {
                throw WorldFailure(400, "invalid_argument: signal is required")
            }
            return .signalMachine(signal)
        case (.post, "cordon"): return .cordonMachine
        case (.post, "uncordon"): return .uncordonMachine
        case (.get, "wait"): return try MachinesEndpoints.wait(request)
        case (.get, "versions"): return .listVersions
        case (.get, "events"): return .listEvents(limit: try request.integer("limit") ?? 100)
        case (.post, "lease"): return try MachinesEndpoints.lease(request)
        case (.get, "lease"): return .getLease
        case (.delete, "lease"): return .releaseLease
        case (.get, "metadata"): return .getMetadata
        case (.put, "metadata"), (.patch, "metadata"): return try MachinesEndpoints.metadata(request)
        default: throw request.unknown()
        }
    }

    private static let signals: Set<String> = [
        "SIGABRT", "SIGALRM", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSEGV",
        "SIGTERM", "SIGTRAP", "SIGUSR1", "SIGUSR2",
    ]

    private static func signal(_ name: String?) throws(WorldFailure) -> String? {
        guard let name, !name.isEmpty else { return nil }
        guard signals.contains(name) else { throw WorldFailure(400, "invalid_argument: unknown signal \(name)") }
        return name
    }

    private static func duration(_ text: String?) throws(WorldFailure) -> Duration? {
        guard let text, !text.isEmpty else { return nil }
        guard let duration = Duration(goText: text) else {
            throw WorldFailure(400, "invalid_argument: timeout must be a duration such as 10s")
        }
        return duration
    }

    private static func wait(_ request: APIRequest) throws(WorldFailure) -> WorldCall {
        let seconds = try request.integer("timeout") ?? 60
        guard (1...60).contains(seconds) else {
            throw WorldFailure(400, "invalid_argument: timeout must be between 1 and 60 seconds")
        }
        var targets: [WaitTarget] = []
        for name in request.parameters("state").flatMap({ $0.split(separator: ",").map(String.init) }) {
            switch name {
            case "settled": targets.append(.settled)
            case "started", "stopped", "suspended", "destroyed", "failed":
                if let state = MachineState(rawValue: name) { targets.append(.state(state)) }
            default: throw WorldFailure(400, "invalid_argument: can't wait for the state \(name)")
            }
        }
        let version = request.parameter("version") ?? request.parameter("instance_id")
        return .waitMachine(
            targets: targets.isEmpty ? [.state(.started)] : targets, version: version.flatMap { $0.isEmpty ? nil : $0 },
            timeout: .seconds(seconds))
    }

    private static func lease(_ request: APIRequest) throws(WorldFailure) -> WorldCall {
        let seconds = try request.integer("ttl") ?? request.body?["ttl"]?.integer ?? 120
        return .acquireLease(
            timeToLive: .seconds(min(max(seconds, 0), 1 << 40)), note: request.body?["description"]?.string ?? "")
    }

    private static func metadata(_ request: APIRequest) throws(WorldFailure) -> WorldCall {
        let body = try request.object()
        guard let metadata = body["metadata"]?.object else {
            throw WorldFailure(400, "invalid_argument: metadata is required")
        }
        var values: [String: String?] = [:]
        for (key, value) in metadata {
            guard value == .null || value.string != nil else {
                throw WorldFailure(400, "invalid_argument: the value of \(key) must be a string")
            }
            values.updateValue(value.string, forKey: key)
        }
        return .setMetadata(values: values, machineVersion: body["machine_version"]?.string)
    }

    private func metadataKey(_ key: String, _ request: APIRequest) throws(WorldFailure) -> WorldCall {
        switch request.method {
        case .post:
            guard let value = try request.object()["value"]?.string else {
                throw WorldFailure(400, "invalid_argument: value is required")
            }
            return .setMetadata(values: [key: value], machineVersion: nil)
        case .delete:
            return .setMetadata(values: [key: nil], machineVersion: nil)
        case .get:
            return .getMetadata
        default:
            throw request.unknown()
        }
    }

    private func secrets(_ request: APIRequest) throws(WorldFailure) -> APICall {
        let app = request.path[1]
        switch (request.method, request.path.count) {
        case (.get, 3):
            return APICall(app: app, call: .listSecrets(showsValues: request.flag("show_secrets")))
        case (.post, 3):
            guard let given = try request.object()["values"]?.object else {
                throw WorldFailure(400, "invalid_argument: values is required")
            }
            var values: [String: String?] = [:]
            for (name, value) in given {
                guard value == .null || value.string != nil else {
                    throw WorldFailure(400, "invalid_argument: the value of \(name) must be a string or null")
                }
                values.updateValue(value.string, forKey: name)
            }
            return APICall(app: app, call: .setSecrets(values))
        default:
            throw request.unknown()
        }
    }
}
