// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Machines that visitors start, and their absence stops. Source: Fly's "Autostop/autostart Machines". That a lease
/// keeps the proxy from starting or stopping a machine is inferred from its guarding both calls of the API.
extension World {
    /// Whether a machine that visitors start is on its way to serve them.
    package func isMachineComing(for app: String) -> Bool {
        machinesForVisitors(of: app).contains { machine in
            switch machine.state {
            // One that is stopping can be started once it has stopped.
            case .starting, .stopping: true
            case .started: machine.checks.count < machine.config.checkCount
            case .created, .stopped, .suspended, .restarting, .replacing, .failed, .destroying, .destroyed:
                false
            }
        }
    }

    private func machinesForVisitors(of app: String) -> [WorldMachine] {
        (apps[app]?.machines ?? []).compactMap { machines[$0] }.filter { machine in
            !machine.isCordoned && machine.hostStatus == "ok"
                && machine.config.services.contains(where: \.isStartedByVisitors)
        }
    }

    /// Starts the first machine that a visitor may start, unless one is coming already.
    mutating func startForVisitor(of app: String, at now: Timestamp) {
        guard !isMachineComing(for: app) else { return }
        let asleep = machinesForVisitors(of: app).first { machine in
            (machine.state == .stopped || machine.state == .suspended) && machine.liveLease(at: now) == nil
        }
        guard let asleep else { return }
        do {
            _ = try startMachine(asleep.id, source: "proxy", at: now)
        } catch {
            preconditionFailure("a stopped machine that does not start: \(error.message)")
        }
    }

    mutating func visitEnded(_ id: String, at now: Timestamp) {
        // Visits of before a restart of the platform are forgotten.
        guard let count = visits[id] else { return }
        visits[id] = count > 1 ? count - 1 : nil
        if count <= 1 { beginIdling(id, at: now) }
    }

    /// Notes that nobody visits the machine from now on.
    mutating func beginIdling(_ id: String, at now: Timestamp) {
        guard let limit = settings.autostopsAfter, machines[id]?.config.whenIdle != nil else { return }
        machines[id]?.idleSince = now
        // One look per machine is under way at most: visits come more often than looks.
        if idleLooks[id] == nil { look(at: id, on: now + limit) }
    }

    private mutating func look(at id: String, on time: Timestamp) {
        idleLooks[id] = time
        effects.append(.wakeAt(time))
    }

    /// Stops or suspends the machines that nobody visited for as long as the settings say.
    mutating func stopIdleMachines(at now: Timestamp) {
        guard let limit = settings.autostopsAfter, !idleLooks.isEmpty else { return }
        for id in idleLooks.filter({ $0.value <= now }).keys.sorted() {
            idleLooks[id] = nil
            guard let machine = machines[id], machine.state == .started, let action = machine.config.whenIdle,
                let since = machine.idleSince
            else { continue }
            guard visits[id] == nil else { continue }  // the visit's end begins anew
            guard since + limit <= now else {
                look(at: id, on: since + limit)
                continue
            }
            guard machine.liveLease(at: now) == nil, isSpare(machine) else {
                look(at: id, on: now + limit)
                continue
            }
            do {
                switch action {
                case .stop: _ = try stopMachine(id, signal: nil, timeout: nil, source: "proxy", at: now)
                case .suspend: _ = try suspendMachine(id, source: "proxy", at: now)
                }
            } catch {
                look(at: id, on: now + limit)  // its host is away
            }
        }
    }

    /// Whether enough others of its process group run.
    private func isSpare(_ machine: WorldMachine) -> Bool {
        let least = machine.config.services.map(\.leastRunning).max() ?? 0
        let running = (apps[machine.app]?.machines ?? []).compactMap { machines[$0] }.filter {
            $0.state == .started && $0.config.processGroup == machine.config.processGroup
        }
        return running.count > least
    }
}
