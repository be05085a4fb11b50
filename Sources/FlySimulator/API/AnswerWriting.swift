// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model

/// Answers in Fly's JSON. Source: Fly's OpenAPI description and flyctl's types.
enum AnswerWriting {
    /// The status and the body, nil for none.
    static func write(_ answer: WorldAnswer, to call: APICall, metadataKey: String? = nil) -> (Int, JSONValue?) {
        switch answer {
        case .done:
            return done(call.call.kind)
        case .app(let app, let machineCount):
            if case .createApp = call.call {
                let createdAt = app.createdAt.milliseconds
                return (201, ["id": .string(app.id), "created_at": .integer(createdAt)])
            }
            return (200, self.app(app, machineCount: machineCount))
        case .apps(let apps):
            let list = apps.map { app($0, machineCount: $0.machines.count) }
            return (200, ["total_apps": .integer(Int64(list.count)), "apps": .array(list)])
        case .machine(let machine, let nonce):
            return (200, self.machine(machine, nonce: nonce))
        case .machines(let machines):
            return (200, .array(machines.map { machine($0, isSummary: call.isSummary) }))
        case .started(let previous):
            return (200, ["previous_state": .string(previous.rawValue), "migrated": false, "new_host": ""])
        case .reached(let state, let version, let event):
            return (
                200,
                [
                    "ok": true, "state": .string(state.rawValue), "version": .string(version),
                    "event_id": .string(event),
                ]
            )
        case .versions(let versions):
            return (200, .array(versions.map { ["version": .string($0.instance), "user_config": $0.config.json] }))
        case .events(let events):
            return (200, .array(events.map(event)))
        case .lease(let lease, let isNew):
            return (isNew ? 201 : 200, ["status": "success", "data": self.lease(lease)])
        case .metadata(let values):
            return metadata(values, key: metadataKey)
        case .secrets(let secrets, let values, let version):
            return self.secrets(secrets, values: values, version: version, call: call)
        case .release(let release, let isNew):
            return isNew ? (201, ["release": self.release(release)]) : (200, self.release(release))
        case .releases(let releases):
            return (200, ["releases": .array(releases.map(release))])
        case .logs(let lines, let next):
            return (200, ["data": .array(lines.map(line)), "meta": ["next_token": .string(String(next))]])
        case .failure(let failure):
            return (failure.status, self.failure(failure))
        }
    }

    static func failure(_ failure: WorldFailure) -> JSONValue {
        var body: JSONValue = ["error": .string(failure.message)]
        if let code = failure.code { body["status"] = .string(code) }
        return body
    }

    private static func done(_ kind: WorldCall.Kind) -> (Int, JSONValue?) {
        switch kind {
        case .setMetadata: (204, nil)
        case .deleteApp: (202, nil)
        case .releaseLease: (200, ["status": "success"])
        default: (200, ["ok": true])
        }
    }

    private static func app(_ app: WorldApp, machineCount: Int) -> JSONValue {
        [
            "id": .string(app.id), "name": .string(app.name), "status": machineCount == 0 ? "pending" : "deployed",
            "machine_count": .integer(Int64(machineCount)), "network": "default", "volume_count": 0,
            "organization": ["name": .string(app.organization), "slug": .string(app.organization)],
        ]
    }

    static func machine(_ machine: WorldMachine, isSummary: Bool = false, nonce: String? = nil) -> JSONValue {
        var body: JSONValue = [
            "id": .string(machine.id), "name": .string(machine.name), "state": .string(machine.state.rawValue),
            "region": .string(machine.region), "instance_id": .string(machine.instance),
            "private_ip": .string(machine.privateAddress), "created_at": .string(machine.createdAt.description),
            "updated_at": .string(machine.updatedAt.description), "host_status": .string(machine.hostStatus),
            "cordoned": .bool(machine.isCordoned), "image_ref": imageReference(machine),
        ]
        guard !isSummary else { return body }
        body[machine.hostStatus == "ok" ? "config" : "incomplete_config"] = readBack(machine.config)
        body["events"] = .array(machine.events.map(event))
        if machine.config.checkCount > 0 { body["checks"] = .array(machine.checks.map(check)) }
        if let nonce { body["nonce"] = .string(nonce) }
        return body
    }

    private static func imageReference(_ machine: WorldMachine) -> JSONValue {
        guard let reference = machine.config.image.flatMap({ ImageReference(parsing: $0) }) else { return [:] }
        var body: JSONValue = [
            "registry": .string(reference.registry), "repository": .string(reference.repository), "labels": [:],
        ]
        if let tag = reference.tag { body["tag"] = .string(tag) }
        if let digest = machine.imageDigest ?? reference.digest?.rawValue { body["digest"] = .string(digest) }
        return body
    }

    /// The config as the API shows it: `autostop` of a service reads back as a boolean for `off` and `stop`.
    private static func readBack(_ config: MachineConfig) -> JSONValue {
        guard var services = config.json["services"]?.array else { return config.json }
        for index in services.indices {
            switch services[index]["autostop"]?.string {
            case "off": services[index]["autostop"] = false
            case "stop": services[index]["autostop"] = true
            default: break
            }
        }
        var json = config.json
        json["services"] = .array(services)
        return json
    }

    private static func check(_ check: CheckResult) -> JSONValue {
        [
            "name": .string(check.name), "status": .string(check.standing.rawValue), "output": .string(check.output),
            "updated_at": .string(check.updatedAt.description),
        ]
    }

    private static func event(_ event: MachineEvent) -> JSONValue {
        var body: JSONValue = [
            "id": .string(event.id), "type": .string(event.type), "status": .string(event.status),
            "source": .string(event.source), "timestamp": .integer(event.at.milliseconds),
        ]
        if let exit = event.exit {
            let signal = exit.signal.map(Int64.init) ?? -1
            body["request"] = [
                "exit_event": [
                    "exit_code": .integer(Int64(exit.code)), "signal": .integer(signal),
                    "guest_exit_code": .integer(Int64(exit.code)), "guest_signal": .integer(signal),
                    "requested_stop": .bool(exit.wasRequested), "oom_killed": .bool(exit.isOutOfMemory),
                    "restarting": .bool(exit.isRestarting), "exited_at": .string(event.at.description),
                ],
                "restart_count": .integer(Int64(exit.restarts)),
            ]
        }
        return body
    }

    private static func lease(_ lease: WorldLease) -> JSONValue {
        [
            "nonce": .string(lease.nonce), "expires_at": .integer(lease.expiresAt.secondsSinceEpoch),
            "owner": .string(lease.owner), "description": .string(lease.note), "version": .string(lease.version),
        ]
    }

    private static func metadata(_ values: [String: String], key: String?) -> (Int, JSONValue?) {
        guard let key else { return (200, .object(values.mapValues(JSONValue.string))) }
        guard let value = values[key] else { return (404, ["error": "metadata key not found"]) }
        return (200, ["value": .string(value)])
    }

    private static func secrets(
        _ secrets: [String: WorldApp.Secret], values: [String: String]?, version: Int, call: APICall
    ) -> (Int, JSONValue?) {
        let list = secrets.sorted { $0.key < $1.key }.map { name, secret -> JSONValue in
            var body: JSONValue = [
                "name": .string(name), "digest": .string(secret.digest),
                "created_at": .string(secret.createdAt.description),
                "updated_at": .string(secret.updatedAt.description),
            ]
            if let value = values?[name] { body["value"] = .string(value) }
            return body
        }
        var body: JSONValue = ["secrets": .array(list)]
        if case .setSecrets = call.call {
            body["version"] = .integer(Int64(version))
            body["Version"] = .integer(Int64(version))
        }
        return (200, body)
    }

    private static func release(_ release: WorldRelease) -> JSONValue {
        var body: JSONValue = [
            "id": .string(release.id), "version": .integer(Int64(release.version)),
            "status": .string(release.status), "stable": .bool(release.status == "complete"),
            "in_progress": .bool(release.status == "running" || release.status == "pending"),
            "strategy": .string(release.strategy), "image_ref": .string(release.image), "user": .string(release.user),
            "created_at": .string(release.createdAt.description),
        ]
        if let metadata = release.metadata { body["metadata"] = metadata }
        return body
    }

    private static func line(_ line: LogRing.Line) -> JSONValue {
        [
            "id": .string(String(line.number)), "type": "log",
            "attributes": [
                "timestamp": .string(line.at.description), "message": .string(line.text),
                "level": .string(line.level), "instance": .string(line.machine), "region": .string(line.region),
                "meta": ["instance": .string(line.machine), "region": .string(line.region)],
            ],
        ]
    }
}
