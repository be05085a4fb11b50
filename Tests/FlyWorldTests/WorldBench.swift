// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

/// A world with one app, a clock that is turned by hand, and guests that do as they are told.
struct WorldBench {
    static let digest = "sha256:" + String(repeating: "a", count: 64)

    var world: World
    var now = Timestamp(secondsSinceEpoch: 1_800_000_000)
    var effects: [WorldEffect] = []
    private var requests: UInt64 = 0

    init(seed: UInt64 = 7, isRateLimited: Bool = false) {
        world = World(seed: seed)
        world.settings.isRateLimited = isRateLimited
        call(.createApp(organization: "hot"))
    }

    @discardableResult
    mutating func call(
        _ call: WorldCall, machine: String? = nil, nonce: String? = nil, app: String = "web",
        caller: WorldCaller = WorldCaller()
    ) -> WorldAnswer? {
        requests += 1
        let outcome = world.handle(
            WorldRequest(id: requests, app: app, machine: machine, nonce: nonce, caller: caller, call: call), at: now)
        effects = outcome.effects
        return outcome.response?.answer
    }

    mutating func apply(_ event: WorldEvent) {
        effects = world.apply(event, at: now)
    }

    mutating func pass(_ duration: Duration) {
        now = now + duration
        apply(.woke)
    }

    /// Answers that were deferred and came with the last step.
    var answers: [WorldAnswer] {
        effects.compactMap { effect in
            guard case .respond(_, let response) = effect else { return nil }
            return response.answer
        }
    }

    var startedGuests: [GuestOrder] {
        effects.compactMap { effect in
            guard case .startGuest(let order) = effect else { return nil }
            return order
        }
    }

    static func input(
        _ config: JSONValue = [:], image: String = "registry.fly.io/web:1", skipsLaunch: Bool = false,
        currentVersion: String? = nil, digest: String? = WorldBench.digest
    ) -> MachineInput {
        var config = config
        config["image"] = .string(image)
        return MachineInput(
            config: MachineConfig(config), imageDigest: digest, skipsLaunch: skipsLaunch,
            currentVersion: currentVersion)
    }

    /// Makes a machine and brings it into `state`.
    mutating func machine(in state: MachineState = .started, config: JSONValue = [:]) throws -> String {
        let skips = state == .created
        let answer = call(.createMachine(WorldBench.input(config, skipsLaunch: skips)))
        guard case .machine(let machine, _) = answer else { throw Unexpected(answer: answer) }
        let id = machine.id
        if state == .failed { apply(.guestFailedToStart(machine: id, boot: 1, reason: "no entrypoint")) }
        let needsGuest: Set<MachineState> = [
            .started, .stopping, .stopped, .suspended, .restarting, .replacing, .destroying, .destroyed,
        ]
        if needsGuest.contains(state) { apply(.guestStarted(machine: id, boot: 1, imageDigest: nil)) }
        switch state {
        case .created, .starting, .started, .failed: break
        case .stopping: call(.stopMachine(signal: nil, timeout: nil), machine: id)
        case .stopped:
            call(.stopMachine(signal: nil, timeout: nil), machine: id)
            exit(id)
        case .suspended: call(.suspendMachine, machine: id)
        case .restarting: call(.restartMachine(signal: nil, timeout: nil, forcesStop: false), machine: id)
        case .replacing: call(.updateMachine(WorldBench.input(config)), machine: id)
        case .destroying: call(.destroyMachine(force: true), machine: id)
        case .destroyed:
            call(.destroyMachine(force: true), machine: id)
            exit(id, code: 137)
        }
        guard self.state(id) == state else { throw Unexpected(answer: nil) }
        return id
    }

    mutating func exit(_ id: String, code: Int32 = 0) {
        let boot = world.machines[id]?.boot ?? 0
        apply(.guestExited(machine: id, boot: boot, code: code, signal: nil, isOutOfMemory: false))
    }

    mutating func start(_ id: String) {
        apply(.guestStarted(machine: id, boot: world.machines[id]?.boot ?? 0, imageDigest: nil))
    }

    func state(_ id: String) -> MachineState? {
        world.machines[id]?.state
    }

    struct Unexpected: Error {
        var answer: WorldAnswer?
    }
}

extension WorldAnswer {
    /// 200 for every success.
    var status: Int {
        guard case .failure(let failure) = self else { return 200 }
        return failure.status
    }
}
