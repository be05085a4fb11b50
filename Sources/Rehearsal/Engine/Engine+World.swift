// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model

/// The platform's own life: guests, checks, hosts and clocks.
extension Engine {
    /// From a signal to a guest's exit.
    static let exitMilliseconds = 100

    /// Tells the world what happened outside its API.
    mutating func apply(_ event: WorldEvent) {
        let effects = world.apply(event, at: now)
        switch event {
        case .guestStarted(let machine, _, _), .guestFailedToStart(let machine, _, _),
            .guestExited(let machine, _, _, _, _), .checkReported(let machine, _, _, _, _),
            .hostChanged(let machine, _):
            checker.changed(machine, world)
            if keepsLists { rememberList() }
            if story.isTold { tell(event, machine) }
        case .woke, .visitorWaits: checker.changedAnywhere(world)
        case .guestLogged, .callerLeft, .visitBegan, .visitEnded, .resumed: break
        }
        for effect in effects { perform(effect) }
    }

    private mutating func tell(_ event: WorldEvent, _ id: String) {
        guard let machine = world.machines[id] else { return }
        switch event {
        case .checkReported(_, _, _, let standing, _):
            story.tell(.world, at: now, "\(machine.name): check \(standing.rawValue)")
        case .hostChanged(_, let status): story.tell(.world, at: now, "\(machine.name): its host is \(status)")
        case .guestStarted, .guestFailedToStart, .guestExited:
            story.tell(.world, at: now, "\(machine.name): \(machine.state.rawValue)")
        case .guestLogged, .callerLeft, .woke, .resumed, .visitorWaits, .visitBegan, .visitEnded: break
        }
    }

    private func behaviour(of digest: String?) -> GuestBehaviour {
        switch digest {
        case Scenario.newDigest.rawValue: newImage
        case Scenario.oldDigest.rawValue: scenario.oldImage
        default: GuestBehaviour()
        }
    }

    private func bootTime(_ behaviour: GuestBehaviour) -> Duration {
        let time = now.milliseconds
        let extra = slowBoots.isEmpty ? 0 : slowBoots.first { $0.range.contains(time) }?.extra ?? 0
        return .milliseconds(behaviour.bootMilliseconds + extra)
    }

    mutating func perform(_ effect: WorldEffect) {
        switch effect {
        case .respond(let caller, let response):
            give(response.answer, of: Int(caller))
        case .startGuest(let order):
            let behaviour = behaviour(of: order.imageDigest)
            let start = now + bootTime(behaviour)
            if case .failsToBoot = behaviour.health {
                schedule(
                    .world(.guestFailedToStart(machine: order.machine, boot: order.boot, reason: "no such command")),
                    at: start)
                return
            }
            schedule(.world(.guestStarted(machine: order.machine, boot: order.boot, imageDigest: nil)), at: start)
            if case .exits(let after) = behaviour.health {
                exit(order.machine, order.boot, code: 1, at: start + .milliseconds(after))
            }
        case .stopGuest(let machine, let boot, _, _):
            exit(machine, boot, code: 0, at: now + .milliseconds(Engine.exitMilliseconds))
        case .killGuest(let machine):
            exit(machine, world.machines[machine]?.boot ?? 0, code: 137, at: now + .milliseconds(10))
        case .signalGuest(let machine, let signal):
            guard signal == "SIGKILL" else { return }
            exit(machine, world.machines[machine]?.boot ?? 0, code: 137, at: now + .milliseconds(10))
        case .beginChecks(let machine, let boot, let definitions):
            beginChecks(machine, boot, definitions)
        case .wakeAt(let time):
            schedule(.world(.woke), at: time)
        case .endChecks, .forgetMachine:
            // News of a guest that is no more is dropped by the world itself.
            break
        }
    }

    private mutating func exit(_ machine: String, _ boot: Int, code: Int32, at time: Timestamp) {
        schedule(
            .world(.guestExited(machine: machine, boot: boot, code: code, signal: nil, isOutOfMemory: false)), at: time)
    }

    private mutating func beginChecks(_ machine: String, _ boot: Int, _ definitions: [CheckDefinition]) {
        let behaviour = behaviour(of: world.machines[machine]?.imageDigest)
        let first = now + .milliseconds(behaviour.checkMilliseconds)
        let standing: CheckResult.Standing
        switch behaviour.health {
        case .neverPasses: standing = .critical
        case .good, .exits, .failsProbes, .failsToBoot: standing = .passing
        case .flaps(let every):
            standing = .passing
            schedule(
                .flap(machine: machine, boot: boot, isPassing: false), at: first + .milliseconds(max(every, 50)))
        }
        for definition in definitions {
            schedule(
                .world(
                    .checkReported(
                        machine: machine, boot: boot, name: definition.name, standing: standing,
                        output: standing == .passing ? "" : "503")), at: first)
        }
    }

    /// A machine whose checks change their minds does so until it is replaced.
    mutating func flap(_ id: String, _ boot: Int, _ isPassing: Bool) {
        guard let machine = world.machines[id], machine.boot == boot, machine.state == .started, !isOver,
            case .flaps(let every) = behaviour(of: machine.imageDigest).health
        else { return }
        for check in machine.config.checkDefinitions {
            apply(
                .checkReported(
                    machine: id, boot: boot, name: check.name, standing: isPassing ? .passing : .critical,
                    output: isPassing ? "" : "503"))
        }
        schedule(.flap(machine: id, boot: boot, isPassing: !isPassing), at: now + .milliseconds(max(every, 50)))
    }

    // MARK: - What goes wrong by the clock

    /// Puts a disturbance that hangs on the time into it.
    mutating func place(_ disturbance: Disturbance) {
        func time(_ milliseconds: Int) -> Timestamp { Scenario.start + .milliseconds(milliseconds) }
        func range(_ from: Int, _ length: Int) -> ClosedRange<Int64> {
            time(from).milliseconds...time(from + max(length, 0)).milliseconds
        }
        switch disturbance {
        case .call, .kill, .signal, .sleep, .tokenRevoked: break
        case .hostAway(_, let from, _): schedule(.disturb(disturbance), at: time(from))
        case .machineExit(_, let at), .machineStop(_, let at): schedule(.disturb(disturbance), at: time(at))
        case .outage(let from, let length): outages.append(range(from, length))
        case .registryAway(let from, let length): registryOutages.append(range(from, length))
        case .badProbes(let from, let length): badProbes.append(range(from, length))
        case .slowBoots(let from, let length, let extra): slowBoots.append((range(from, length), extra))
        }
    }

    mutating func disturb(_ disturbance: Disturbance) {
        switch disturbance {
        case .hostAway(let index, _, let length):
            guard prepared.machines.indices.contains(index) else { return }
            let machine = prepared.machines[index]
            note(.hostDown) { "the host of \($0.world.machines[machine]?.name ?? machine)" }
            apply(.hostChanged(machine: machine, status: "unreachable"))
            schedule(.world(.hostChanged(machine: machine, status: "ok")), at: now + .milliseconds(length))
        case .machineExit(let index, _):
            guard prepared.machines.indices.contains(index) else { return }
            let machine = prepared.machines[index]
            guard let boot = world.machines[machine]?.boot else { return }
            note(.badRelease) { "\($0.world.machines[machine]?.name ?? machine) exits" }
            apply(.guestExited(machine: machine, boot: boot, code: 1, signal: nil, isOutOfMemory: false))
        case .machineStop(let index, _):
            guard prepared.machines.indices.contains(index) else { return }
            stopForWantOfTraffic(prepared.machines[index])
        case .call, .kill, .signal, .sleep, .tokenRevoked, .outage, .registryAway, .badProbes, .slowBoots: break
        }
    }

    /// What Fly's autostop does: never to a leased machine, and never to the last that runs.
    private mutating func stopForWantOfTraffic(_ id: String) {
        guard let machine = world.machines[id], machine.state == .started, machine.liveLease(at: now) == nil,
            world.routableMachines(of: scenario.app.rawValue).count > 1
        else { return }
        story.tell(.world, at: now, "\(machine.name): stopped for want of traffic")
        let request = WorldRequest(
            id: 1 << 50, app: scenario.app.rawValue, machine: id, caller: WorldCaller(name: "proxy"),
            call: .stopMachine(signal: nil, timeout: nil))
        let outcome = world.handle(request, at: now)
        checker.changed(id, world)
        for effect in outcome.effects { perform(effect) }
    }
}
