// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import FoundationEssentials
internal import HTTPTypes
internal import Model

/// The simulator's own endpoints below `/_simulator`, for tests, benchmarks and people:
/// `GET state`; `GET|PUT|POST|DELETE faults` (all of them; replace, add, remove); `DELETE statistics`;
/// `PUT latency {"milliseconds"}`; `POST hosts {"machine","status"}`; `GET tokens` (counts only), `PUT tokens
/// {"tokens"}` (exactly these, null for any), `POST tokens {"token"}` (accept one more), `DELETE tokens {"token"}`
/// (revoke one).
struct ControlEndpoints: Sendable {
    let host: WorldHost
    let latency: Latency
    let tokens: TokenBook

    func answer(_ request: APIRequest) throws -> (Int, JSONValue?) {
        switch (request.method, request.path) {
        case (.get, ["state"]):
            let now = WorldHost.now()
            return (200, host.withWorld { ControlEndpoints.state(of: $0, at: now) })
        case (.delete, ["statistics"]):
            host.withWorld { $0.resetStatistics() }
            return (204, nil)
        case (.get, ["faults"]):
            return (200, try ControlEndpoints.json(host.withWorld(\.faults)))
        case (.put, ["faults"]):
            let faults = try faults(request)
            host.withWorld { $0.faults = faults }
            return (204, nil)
        case (.post, ["faults"]):
            let faults = try faults(request)
            host.withWorld { $0.faults.rules += faults.rules }
            return (204, nil)
        case (.delete, ["faults"]):
            host.withWorld { $0.faults = WorldFaults() }
            return (204, nil)
        case (.get, ["latency"]):
            return (200, ["milliseconds": .integer(latency.roundTrip.wholeMilliseconds)])
        case (.put, ["latency"]):
            guard let milliseconds = try request.object()["milliseconds"]?.integer, (0...600_000).contains(milliseconds)
            else { throw WorldFailure(400, "milliseconds must be between 0 and 600000") }
            latency.roundTrip = .milliseconds(milliseconds)
            return (204, nil)
        case (.post, ["hosts"]):
            let body = try request.object()
            guard let machine = body["machine"]?.string, let status = body["status"]?.string,
                ["ok", "unknown", "unreachable"].contains(status)
            else { throw WorldFailure(400, "machine, and status ok, unknown or unreachable, are required") }
            host.apply(.hostChanged(machine: machine, status: status))
            return (204, nil)
        case (_, ["tokens"]):
            return try changeTokens(request)
        default:
            throw request.unknown()
        }
    }

    private func changeTokens(_ request: APIRequest) throws -> (Int, JSONValue?) {
        switch request.method {
        case .get:
            let counts = tokens.counts
            return (
                200,
                [
                    "known": counts.known.map { .integer(Int64($0)) } ?? .null,
                    "revoked": .integer(Int64(counts.revoked)),
                ]
            )
        case .put:
            let given = try request.object()["tokens"]
            guard given == .null || given?.array != nil else {
                throw WorldFailure(400, "tokens must be a list of tokens, or null for any token")
            }
            let list = given?.array.map { $0.compactMap(\.string) }
            tokens.replace(list.map { Dictionary($0.map { ($0, []) }) { first, _ in first } })
            return (204, nil)
        case .post, .delete:
            let body = try request.object()
            guard let token = body["token"]?.string, !token.isEmpty else {
                throw WorldFailure(400, "token is required")
            }
            if request.method == .delete {
                tokens.revoke(token)
            } else {
                tokens.add(token, organizations: Set((body["organizations"]?.array ?? []).compactMap(\.string)))
            }
            return (204, nil)
        default:
            throw request.unknown()
        }
    }

    private func faults(_ request: APIRequest) throws -> WorldFaults {
        let body = try request.object()
        let rules = body["rules"]?.array ?? [.object(body)]
        do {
            return WorldFaults(rules: try rules.map(ControlEndpoints.rule))
        } catch let error as DecodingError {
            throw WorldFailure(400, "that is no fault: \(error)")
        }
    }

    /// A rule as JSON: `{"call","app","machine","skip","count","effect":{"refuse":{"status","message"}}}`; what is left
    /// out fits every call, and the count is then 1 (null: without end).
    private static func rule(_ json: JSONValue) throws -> FaultRule {
        var whole = json
        if whole["skip"] == nil { whole["skip"] = 0 }
        if whole["count"] == nil { whole["count"] = 1 }
        if whole["effect"]?["refuse"] != nil, whole["effect"]?["refuse"]?["message"] == nil {
            whole["effect"]?["refuse"]?["message"] = "a fault was asked for"
        }
        return try JSONDecoder().decode(FaultRule.self, from: Data(whole.text().utf8))
    }

    private static func json(_ value: some Encodable) throws -> JSONValue {
        try JSONValue(parsing: JSONEncoder().encode(value))
    }

    private static func state(of world: World, at now: Timestamp) -> JSONValue {
        var apps: [String: JSONValue] = [:]
        for name in Set(world.apps.keys).union(world.statistics.calls.keys) {
            let calls = world.statistics.calls[name] ?? [:]
            let machines = (world.apps[name]?.machines ?? []).compactMap { world.machines[$0] }
            let counts = Dictionary(
                uniqueKeysWithValues: calls.map { ($0.key.rawValue, JSONValue.integer(Int64($0.value))) })
            apps[name] = [
                "calls": .object(counts),
                "calls_total": .integer(Int64(calls.values.reduce(0, +))),
                "throttled": .integer(Int64(world.statistics.throttled[name] ?? 0)),
                "machines": .array(machines.filter { $0.state != .destroyed }.map { machine($0, at: now) }),
                "releases": .array((world.apps[name]?.releases ?? []).map(release)),
            ]
        }
        let throttled = world.statistics.throttled.values.reduce(0, +)
        return ["schema": 1, "apps": .object(apps), "throttled": .integer(Int64(throttled))]
    }

    private static func machine(_ machine: WorldMachine, at now: Timestamp) -> JSONValue {
        let lease = machine.liveLease(at: now)
        return [
            "id": .string(machine.id), "name": .string(machine.name), "state": .string(machine.state.rawValue),
            "instance_id": .string(machine.instance), "image": .string(machine.config.image ?? ""),
            "digest": machine.imageDigest.map(JSONValue.string) ?? .null, "routable": .bool(machine.isRoutable),
            "cordoned": .bool(machine.isCordoned), "host_status": .string(machine.hostStatus),
            "metadata": .object(machine.config.metadata.mapValues(JSONValue.string)), "leased": .bool(lease != nil),
            // An expired lease is none.
            "lease": lease.map { lease in
                [
                    "owner": .string(lease.owner), "description": .string(lease.note),
                    "expires_at": .string(lease.expiresAt.description),
                ]
            } ?? .null,
        ]
    }

    private static func release(_ release: WorldRelease) -> JSONValue {
        [
            "id": .string(release.id), "version": .integer(Int64(release.version)), "status": .string(release.status),
            "image": .string(release.image),
        ]
    }
}
