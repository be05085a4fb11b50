// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Guests: how machines boot, end and are started again, and who waits for it.
extension World {
    // MARK: Steps

    /// Starts a guest of the machine's present version.
    mutating func boot(_ id: String, at now: Timestamp) {
        guard var machine = machines[id] else { return }
        machine.boot += 1
        machine.guest = .booting
        machine.afterExit = .followPolicy
        machine.restartAt = nil
        machines[id] = machine
        effects.append(
            .startGuest(
                GuestOrder(
                    app: machine.app, machine: id, instance: machine.instance, boot: machine.boot,
                    image: machine.config.image ?? "", imageDigest: machine.imageDigest, config: machine.config,
                    environment: environment(of: machine))))
        transition(id, to: .starting, at: now)
    }

    mutating func endGuest(_ id: String, _ policy: StopPolicy, then next: WorldMachine.AfterExit) {
        guard let boot = machines[id]?.boot else { return }
        machines[id]?.guest = .ending
        machines[id]?.afterExit = next
        effects.append(.stopGuest(machine: id, boot: boot, signal: policy.signal, timeout: policy.timeout))
    }

    mutating func beginChecks(_ id: String) {
        guard let machine = machines[id] else { return }
        machines[id]?.checks = []
        let definitions = machine.config.checkDefinitions
        guard !definitions.isEmpty else { return }
        effects.append(.beginChecks(machine: id, boot: machine.boot, definitions))
    }

    mutating func endChecks(_ id: String) {
        machines[id]?.checks = []
        effects.append(.endChecks(machine: id))
    }

    mutating func record(
        _ type: String, status: String, source: String, on id: String, exit: MachineEvent.Exit? = nil, at now: Timestamp
    ) {
        let event = MachineEvent(
            id: ids.ulid(at: now), type: type, status: status, source: source, at: now, exit: exit)
        machines[id]?.events.insert(event, at: 0)
        if let count = machines[id]?.events.count, count > WorldMachine.maxRetainedEvents {
            machines[id]?.events.removeLast()
        }
    }

    /// Sets the state and answers the callers who waited for it.
    mutating func transition(_ id: String, to state: MachineState, at now: Timestamp) {
        machines[id]?.state = state
        machines[id]?.updatedAt = now
        guard !waiters.isEmpty, let waiting = waiters[id], let machine = machines[id] else { return }
        var left: [Waiter] = []
        for waiter in waiting {
            if let answer = World.answer(to: waiter, of: machine) {
                effects.append(.respond(to: waiter.request, World.response(answer, under: waiter.fault)))
            } else {
                left.append(waiter)
            }
        }
        waiters[id] = left.isEmpty ? nil : left
    }

    mutating func destroyed(_ id: String, at now: Timestamp) {
        machines[id]?.guest = .none
        machines[id]?.lease = nil
        record("destroy", status: "destroyed", source: "flyd", on: id, at: now)
        effects.append(.forgetMachine(id))
        transition(id, to: .destroyed, at: now)
        guard let app = machines[id]?.app, let all = apps[app]?.machines else { return }
        let gone = all.filter { machines[$0]?.state == .destroyed }
        for old in gone.dropLast(WorldApp.maxRetainedDestroyedMachines) {
            machines[old] = nil
            apps[app]?.machines.removeAll { $0 == old }
        }
    }

    /// What the guest sees: the config's own variables, over them secrets, over them the platform's.
    /// Source: Fly's "The Machine runtime environment"; a secret beats an entry of `[env]` of the same name.
    private func environment(of machine: WorldMachine) -> [String: String] {
        var all = machine.config.environment
        all.merge(apps[machine.app]?.secretValues(version: machine.secretsVersion) ?? [:]) { _, secret in secret }
        var platform = [
            "FLY_APP_NAME": machine.app,
            "FLY_MACHINE_ID": machine.id,
            "FLY_ALLOC_ID": machine.id,
            "FLY_MACHINE_VERSION": machine.instance,
            "FLY_PRIVATE_IP": machine.privateAddress,
            "FLY_PROCESS_GROUP": machine.config.processGroup.rawValue,
            "FLY_REGION": machine.region,
            "FLY_IMAGE_REF": machine.config.image ?? "",
        ]
        if let memory = machine.config.json["guest"]?["memory_mb"]?.integer {
            platform["FLY_VM_MEMORY_MB"] = String(memory)
        }
        return all.merging(platform) { _, fly in fly }
    }

    // MARK: News from guests

    mutating func guestStarted(_ id: String, boot: Int, digest: String?, at now: Timestamp) {
        guard let machine = machines[id], machine.boot == boot, machine.state == .starting else { return }
        machines[id]?.guest = .running
        machines[id]?.guestStartedAt = now
        if let digest { machines[id]?.imageDigest = digest }
        record("start", status: "started", source: "flyd", on: id, at: now)
        beginChecks(id)
        beginIdling(id, at: now)
        transition(id, to: .started, at: now)
    }

    mutating func guestFailedToStart(_ id: String, boot: Int, reason: String, at now: Timestamp) {
        guard let machine = machines[id], machine.boot == boot, machine.guest != .none else { return }
        log(reason, isError: true, machine: id, at: now)
        guard machine.state == .starting else {
            guestExited(id, boot: boot, code: 1, signal: nil, isOutOfMemory: false, at: now)
            return
        }
        machines[id]?.guest = .none
        record("launch", status: "failed", source: "flyd", on: id, at: now)
        transition(id, to: .failed, at: now)
    }

    mutating func guestExited(
        _ id: String, boot: Int, code: Int32, signal: Int32?, isOutOfMemory: Bool, at now: Timestamp
    ) {
        guard let machine = machines[id], machine.boot == boot, machine.guest != .none else { return }
        machines[id]?.guest = .none
        if machine.state != .replacing { endChecks(id) }
        let policy = machine.config.restartPolicy
        let lived = machine.guestStartedAt.map { now - $0 } ?? .zero
        let restarts = lived >= settings.restartCountResetsAfter ? 0 : machine.restarts
        let restartsNow =
            machine.afterExit == .followPolicy && policy.restarts(afterExit: code, restartsSoFar: restarts)
        machines[id]?.guestStartedAt = nil
        // The guest of a replaced version ends outside the new version's history.
        if machine.state != .replacing {
            let exit = MachineEvent.Exit(
                code: code, signal: signal, isOutOfMemory: isOutOfMemory,
                wasRequested: machine.afterExit != .followPolicy, isRestarting: restartsNow, restarts: restarts)
            record("exit", status: "stopped", source: "flyd", on: id, exit: exit, at: now)
        }
        switch machine.afterExit {
        case .destroy:
            destroyed(id, at: now)
        case .bootAgain:
            self.boot(id, at: now)
        case .stay:
            transition(id, to: .stopped, at: now)
        case .followPolicy where restartsNow:
            let pause = restartPause(after: restarts)
            machines[id]?.restarts = restarts + 1
            machines[id]?.restartAt = now + pause
            effects.append(.wakeAt(now + pause))
            transition(id, to: .restarting, at: now)
        case .followPolicy:
            transition(id, to: .stopped, at: now)
            if machine.config.destroysItself { destroyed(id, at: now) }
        }
    }

    private func restartPause(after restarts: Int) -> Duration {
        min(settings.firstRestartPause * (1 << min(restarts, 16)), settings.longestRestartPause)
    }

    mutating func checkReported(
        _ id: String, boot: Int, name: String, standing: CheckResult.Standing, output: String, at now: Timestamp
    ) {
        guard let machine = machines[id], machine.boot == boot, machine.state == .started else { return }
        let order = machine.config.checkDefinitions.map(\.name)
        guard order.contains(name) else { return }
        let result = CheckResult(name: name, standing: standing, output: output, updatedAt: now)
        if let index = machine.checks.firstIndex(where: { $0.name == name }) {
            machines[id]?.checks[index] = result
        } else {
            let checks = machine.checks + [result]
            machines[id]?.checks = order.compactMap { known in checks.first { $0.name == known } }
        }
    }

    // MARK: Waiting

    /// Nil where the answer has to wait.
    mutating func wait(_ machine: WorldMachine, _ waiter: Waiter) throws(WorldFailure) -> WorldAnswer? {
        if let version = waiter.version, !machine.versions.contains(where: { $0.instance == version }) {
            throw WorldFailure(404, "machine version \(version) not found")
        }
        if let answer = World.answer(to: waiter, of: machine) { return answer }
        waiters[machine.id, default: []].append(waiter)
        effects.append(.wakeAt(waiter.deadline))
        return nil
    }

    private static func answer(to waiter: Waiter, of machine: WorldMachine) -> WorldAnswer? {
        let isVersion = waiter.version == nil || waiter.version == machine.instance
        let isReached = waiter.targets.contains { target in
            switch target {
            case .state(let state): state == machine.state
            case .settled: machine.state.isResting
            }
        }
        if isVersion && isReached {
            return .reached(state: machine.state, version: machine.instance, event: machine.events.first?.id ?? "")
        }
        return machine.state == .destroyed ? .failure(WorldFailure(404, "machine not found")) : nil
    }

    mutating func dropWaiter(of request: UInt64) {
        for machine in waiters.keys {
            waiters[machine]?.removeAll { $0.request == request }
            if waiters[machine]?.isEmpty ?? false { waiters[machine] = nil }
        }
    }

    // MARK: Time

    /// Does what has become due: waits that ran out, restarts after their pause.
    mutating func wake(at now: Timestamp) {
        for id in waiters.keys.sorted() {
            let (due, left) = (waiters[id] ?? []).parted(where: { $0.deadline <= now })
            guard !due.isEmpty else { continue }
            waiters[id] = left.isEmpty ? nil : left
            for waiter in due {
                let failure = WorldFailure(
                    408,
                    "deadline_exceeded: machine failed to reach desired state, currently in "
                        + (machines[id]?.state.rawValue ?? "destroyed"))
                effects.append(
                    .respond(to: waiter.request, World.response(.failure(failure), under: waiter.fault)))
            }
        }
        let due = machines.values.filter { $0.restartAt.map { $0 <= now } ?? false }
        for machine in due.sorted(by: { $0.id < $1.id }) {
            record("restart", status: "starting", source: "flyd", on: machine.id, at: now)
            boot(machine.id, at: now)
        }
        stopIdleMachines(at: now)
    }

    /// After the platform itself was started again: what ran runs again, what was ending has ended.
    mutating func resume(at now: Timestamp) {
        waiters = [:]
        visits = [:]
        idleLooks = [:]
        for id in machines.keys.sorted() {
            guard let machine = machines[id] else { continue }
            machines[id]?.guest = .none
            machines[id]?.checks = []
            machines[id]?.guestStartedAt = nil
            switch machine.state {
            case .starting, .started, .restarting:
                record("start", status: "starting", source: "flyd", on: id, at: now)
                boot(id, at: now)
            case .replacing:
                if machine.afterExit == .bootAgain { boot(id, at: now) } else { transition(id, to: .stopped, at: now) }
            case .stopping:
                transition(id, to: .stopped, at: now)
            case .destroying:
                destroyed(id, at: now)
            case .created, .stopped, .suspended, .failed, .destroyed:
                break
            }
        }
    }
}

extension Array {
    /// The elements that match, and the others, both in their order.
    func parted(where matches: (Element) -> Bool) -> (matching: [Element], others: [Element]) {
        var parts: ([Element], [Element]) = ([], [])
        for element in self {
            if matches(element) { parts.0.append(element) } else { parts.1.append(element) }
        }
        return parts
    }
}
