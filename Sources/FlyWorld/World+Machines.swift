// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Machines as the API makes, changes and ends them.
extension World {
    func list(_ app: WorldApp, _ filter: MachineFilter) -> [WorldMachine] {
        app.machines.compactMap { machines[$0] }.filter { machine in
            (filter.includesDestroyed || machine.state != .destroyed)
                && (filter.region == nil || filter.region == machine.region)
                && (filter.states.isEmpty || filter.states.contains(machine.state.rawValue))
                && filter.metadata.allSatisfy { machine.config.metadata[$0.key] == $0.value }
        }
    }

    mutating func createMachine(
        in app: WorldApp, _ input: MachineInput, caller: WorldCaller, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        try check(input, for: app)
        let id = ids.machine()
        let name = input.name ?? ids.machineName()
        guard !liveMachines(of: app).contains(where: { $0.name == name }) else {
            throw WorldFailure(409, "unique machine name violation, machine ID already exists with name \"\(name)\"")
        }
        let instance = ids.ulid(at: now)
        var machine = WorldMachine(
            id: id, app: app.name, name: name, region: input.region ?? settings.defaultRegion, createdAt: now,
            updatedAt: now, state: .created, instance: instance, config: input.config, imageDigest: input.imageDigest,
            secretsVersion: app.secretsVersion,
            versions: [MachineVersion(instance: instance, config: input.config)],
            isCordoned: input.skipsServiceRegistration,
            privateAddress: World.privateAddress(of: id)
        )
        machine.lease = newLease(input.leaseTimeToLive, version: instance, caller: caller, at: now)
        machines[id] = machine
        apps[app.name]?.machines.append(id)
        record("launch", status: "created", source: "user", on: id, at: now)
        if !input.skipsLaunch { boot(id, at: now) }
        return .machine(machines[id] ?? machine, nonce: machine.lease?.nonce)
    }

    mutating func updateMachine(
        _ id: String, _ input: MachineInput, caller: WorldCaller, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        guard var machine = machines[id], let app = apps[machine.app] else {
            throw WorldFailure(404, "machine not found")
        }
        try checkAlive(machine)
        guard machine.state != .replacing else {
            throw WorldFailure(409, "machine \(id) has a concurrent update in progress")
        }
        if let expected = input.currentVersion, expected != machine.instance {
            throw WorldFailure(
                412, "failed_precondition: current version is \(machine.instance), the request expects \(expected)")
        }
        try check(input, for: app)
        let stopPolicy = machine.config.stopPolicy
        let wasWanted = machine.restartAt != nil || machine.state == .failed
        machine.instance = ids.ulid(at: now)
        machine.config = input.config
        machine.imageDigest = input.imageDigest
        machine.secretsVersion = app.secretsVersion
        machine.versions.insert(MachineVersion(instance: machine.instance, config: input.config), at: 0)
        if machine.versions.count > WorldMachine.maxRetainedVersions { machine.versions.removeLast() }
        machine.events = []
        machine.restarts = 0
        machine.restartAt = nil
        if input.skipsServiceRegistration { machine.isCordoned = true }
        if let lease = newLease(input.leaseTimeToLive, version: machine.instance, caller: caller, at: now) {
            machine.lease = lease
        }
        machine.updatedAt = now
        machines[id] = machine
        endChecks(id)
        record("update", status: "replacing", source: "user", on: id, at: now)
        let launches = !input.skipsLaunch
        switch (machine.state, machine.guest) {
        case (.started, _), (.starting, _), (.restarting, .booting), (.restarting, .running), (.restarting, .ending):
            endGuest(id, stopPolicy, then: launches ? .bootAgain : .stay)
            transition(id, to: .replacing, at: now)
        case (.suspended, .booting), (.suspended, .running), (.suspended, .ending):
            // A suspended machine is updated without being launched.
            machines[id]?.guest = .ending
            machines[id]?.afterExit = .stay
            effects.append(.killGuest(machine: id))
            transition(id, to: .replacing, at: now)
        case (.suspended, .none):
            transition(id, to: .stopped, at: now)
        case (.failed, _), (.restarting, .none):
            // It was to run, and only its last version kept it from running.
            if launches && wasWanted { boot(id, at: now) } else { transition(id, to: .stopped, at: now) }
        case (.created, _), (.stopped, _), (.stopping, _):
            transition(id, to: machine.state, at: now)
        case (.replacing, _), (.destroying, _), (.destroyed, _):
            preconditionFailure("refused above")
        }
        return .machine(machines[id] ?? machine, nonce: input.leaseTimeToLive == nil ? nil : machine.lease?.nonce)
    }

    mutating func destroyMachine(_ id: String, force: Bool, at now: Timestamp) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id], machine.state != .destroyed else {
            throw WorldFailure(404, "machine not found")
        }
        guard machine.state != .destroying else { return .done }
        guard force || machine.guest == .none && machine.restartAt == nil else {
            throw WorldFailure(
                412, "failed_precondition: unable to destroy machine, not currently stopped, suspended, or failed")
        }
        record("destroy", status: "destroying", source: "user", on: id, at: now)
        endChecks(id)
        machines[id]?.restartAt = nil
        guard machine.guest != .none else {
            destroyed(id, at: now)
            return .done
        }
        machines[id]?.guest = .ending
        machines[id]?.afterExit = .destroy
        effects.append(.killGuest(machine: id))
        transition(id, to: .destroying, at: now)
        return .done
    }

    // MARK: Starting and stopping

    /// `source` is who asked: `user`, or `proxy` for a visitor's sake.
    mutating func startMachine(
        _ id: String, source: String = "user", at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id] else { throw WorldFailure(404, "machine not found") }
        try checkAlive(machine)
        switch machine.state {
        case .created, .stopped, .failed:
            machines[id]?.restarts = 0
            record("start", status: "starting", source: source, on: id, at: now)
            boot(id, at: now)
        case .suspended:
            record("start", status: "starting", source: source, on: id, at: now)
            if machine.guest == .none {
                boot(id, at: now)
            } else {
                effects.append(.signalGuest(machine: id, signal: "SIGCONT"))
                record("start", status: "started", source: "flyd", on: id, at: now)
                beginChecks(id)
                beginIdling(id, at: now)
                transition(id, to: .started, at: now)
            }
        case .starting, .started, .stopping, .restarting, .replacing:
            throw WorldFailure(412, "failed_precondition: machine still active, refusing to start")
        case .destroying, .destroyed:
            preconditionFailure("refused above")
        }
        return .started(previous: machine.state)
    }

    mutating func stopMachine(
        _ id: String, signal: String?, timeout: Duration?, source: String = "user", at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id] else { throw WorldFailure(404, "machine not found") }
        try checkAlive(machine)
        var policy = machine.config.stopPolicy
        if let signal { policy.signal = signal }
        if let timeout { policy.timeout = timeout }
        switch machine.state {
        case .starting, .started, .restarting, .suspended:
            record("stop", status: "stopping", source: source, on: id, at: now)
            machines[id]?.restartAt = nil
            endChecks(id)
            guard machine.guest != .none else {
                transition(id, to: .stopped, at: now)
                return .done
            }
            if machine.state == .suspended {
                machines[id]?.guest = .ending
                machines[id]?.afterExit = .stay
                effects.append(.killGuest(machine: id))
            } else {
                endGuest(id, policy, then: .stay)
            }
            transition(id, to: .stopping, at: now)
        case .created, .stopping, .stopped, .failed:
            break
        case .replacing:
            throw WorldFailure(412, "failed_precondition: machine is being replaced")
        case .destroying, .destroyed:
            preconditionFailure("refused above")
        }
        return .done
    }

    mutating func restartMachine(
        _ id: String, signal: String?, timeout: Duration?, forces: Bool, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id] else { throw WorldFailure(404, "machine not found") }
        try checkAlive(machine)
        var policy = machine.config.stopPolicy
        if let signal { policy.signal = signal }
        if let timeout { policy.timeout = timeout }
        if forces { policy = StopPolicy(signal: "SIGKILL", timeout: .zero) }
        switch machine.state {
        case .started:
            record("restart", status: "restarting", source: "user", on: id, at: now)
            machines[id]?.restarts = 0
            endChecks(id)
            endGuest(id, policy, then: .bootAgain)
            transition(id, to: .restarting, at: now)
        case .created, .stopped, .failed:
            record("restart", status: "restarting", source: "user", on: id, at: now)
            machines[id]?.restarts = 0
            boot(id, at: now)
        case .starting, .stopping, .suspended, .restarting, .replacing:
            throw WorldFailure(412, "failed_precondition: machine is \(machine.state.rawValue), refusing to restart")
        case .destroying, .destroyed:
            preconditionFailure("refused above")
        }
        return .done
    }

    mutating func suspendMachine(
        _ id: String, source: String = "user", at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id] else { throw WorldFailure(404, "machine not found") }
        try checkAlive(machine)
        switch machine.state {
        case .started:
            record("suspend", status: "suspended", source: source, on: id, at: now)
            endChecks(id)
            effects.append(.signalGuest(machine: id, signal: "SIGSTOP"))
            transition(id, to: .suspended, at: now)
        case .suspended:
            break
        case .created, .starting, .stopping, .stopped, .restarting, .replacing, .failed:
            throw WorldFailure(412, "failed_precondition: machine is \(machine.state.rawValue), unable to suspend")
        case .destroying, .destroyed:
            preconditionFailure("refused above")
        }
        return .done
    }

    mutating func signalMachine(_ id: String, signal: String) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id], machine.state == .started else {
            throw WorldFailure(412, "failed_precondition: machine is not started")
        }
        effects.append(.signalGuest(machine: id, signal: signal))
        return .done
    }

    mutating func setCordon(_ id: String, to isCordoned: Bool, at now: Timestamp) -> WorldAnswer {
        machines[id]?.isCordoned = isCordoned
        machines[id]?.updatedAt = now
        return .done
    }

    // MARK: Metadata

    mutating func setMetadata(
        _ id: String, _ values: [String: String?], machineVersion: String?, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        guard let machine = machines[id] else { throw WorldFailure(404, "machine not found") }
        try checkAlive(machine)
        if let machineVersion, machineVersion != machine.instance {
            throw WorldFailure(412, "failed_precondition: machine version is \(machine.instance)")
        }
        if settings.losesMetadataWritesDuringUpdates && machine.state == .replacing { return .done }
        var metadata = machine.config.metadata
        for (key, value) in values {
            metadata[key] = value.flatMap { $0.isEmpty ? nil : $0 }
        }
        machines[id]?.config.metadata = metadata
        machines[id]?.updatedAt = now
        return .done
    }

    // MARK: What may be asked

    private func check(_ input: MachineInput, for app: WorldApp) throws(WorldFailure) {
        guard input.config.json.object != nil else { throw WorldFailure(400, "invalid_argument: config is required") }
        guard let image = input.config.image, !image.isEmpty else {
            throw WorldFailure(400, "invalid_argument: config.image is required")
        }
        guard (input.config.json["mounts"]?.array ?? []).count <= 1 else {
            throw WorldFailure(400, "invalid_argument: at most one mount is allowed")
        }
        if let minimum = input.minimumSecretsVersion, minimum > app.secretsVersion {
            throw WorldFailure(
                412, "failed_precondition: secrets version is \(app.secretsVersion), the request needs \(minimum)")
        }
        guard input.imageDigest != nil else {
            throw WorldFailure(400, "failed to get manifest \(image): request returned non-ok status: 404")
        }
    }

    private func checkAlive(_ machine: WorldMachine) throws(WorldFailure) {
        guard machine.state != .destroyed else { throw WorldFailure(404, "machine not found") }
        guard machine.state != .destroying else {
            throw WorldFailure(412, "failed_precondition: machine is being destroyed")
        }
        guard machine.hostStatus == "ok" else {
            throw WorldFailure(412, "failed_precondition: the machine's host is \(machine.hostStatus)")
        }
    }

    /// A made-up address of Fly's private network, different for each machine.
    private static func privateAddress(of id: String) -> String {
        let digits = Array(id)
        let groups = stride(from: 0, to: 12, by: 4).map { String(digits[$0..<$0 + 4]) }
        return "fdaa:0:" + groups.joined(separator: ":") + ":0:2"
    }
}
