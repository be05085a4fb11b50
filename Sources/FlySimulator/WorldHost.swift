// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import FlyWorld
internal import FoundationEssentials
internal import Model
internal import Synchronization

/// Drives the world: gives it requests, news and time, does what it asks for, and keeps its state on disk.
final class WorldHost: Sendable {
    /// The longest time between a change and its being on disk.
    static let snapshotDelay = DispatchTimeInterval.milliseconds(200)
    /// How long requests in flight may go on before the machine they are at is signalled.
    static let longestDrain = Duration.seconds(5)

    private struct State {
        var world: World
        var callers: [UInt64: CheckedContinuation<WorldResponse, Never>] = [:]
        var nextCaller: UInt64 = 1
        var isSaving = false
        var isStopped = false
    }

    private let state: Mutex<State>
    private let directory: StateDirectory
    private let guests: any GuestRunning
    private let checks: any CheckRunning
    /// Added to a started guest's news; zero where the guests take their own time.
    private let addedBootTime: Duration
    /// Effects are put here while the world is locked, so that they are done in the order the world asked for them.
    private let queue = DispatchQueue(label: "airboss.simulator.effects")
    private let disk = DispatchQueue(label: "airboss.simulator.snapshot")
    private let drain: Mutex<(@Sendable (String, Duration) async -> Void)?> = Mutex(nil)

    init(
        world: World, directory: StateDirectory, guests: any GuestRunning, checks: any CheckRunning,
        addedBootTime: Duration
    ) {
        state = Mutex(State(world: world))
        self.directory = directory
        self.guests = guests
        self.checks = checks
        self.addedBootTime = addedBootTime
    }

    /// Called before a machine is signalled, to let its requests end.
    func setDrain(_ drain: @escaping @Sendable (_ machine: String, _ limit: Duration) async -> Void) {
        self.drain.withLock { $0 = drain }
    }

    static func now() -> Timestamp {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    // MARK: In

    /// Makes one call and waits for its answer; a cancelled wait gives its place up.
    func call(_ make: (_ id: UInt64) -> WorldRequest) async -> WorldResponse {
        let request = state.withLock { state in
            defer { state.nextCaller += 1 }
            return make(state.nextCaller)
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let response = state.withLock { state -> WorldResponse? in
                    guard !state.isStopped else { return WorldHost.stopping }
                    let outcome = state.world.handle(request, at: WorldHost.now())
                    if outcome.response == nil { state.callers[request.id] = continuation }
                    enqueue(outcome.effects)
                    if request.call.kind.changesWorld { scheduleSave(&state) }
                    return outcome.response
                }
                if let response { continuation.resume(returning: response) }
                // The cancellation may have come before there was a caller to take away.
                if Task.isCancelled { leave(request.id) }
            }
        } onCancel: {
            leave(request.id)
        }
    }

    private func leave(_ caller: UInt64) {
        let continuation = state.withLock { state -> CheckedContinuation<WorldResponse, Never>? in
            guard let continuation = state.callers.removeValue(forKey: caller) else { return nil }
            enqueue(state.world.apply(.callerLeft(caller), at: WorldHost.now()))
            return continuation
        }
        continuation?.resume(returning: WorldHost.stopping)
    }

    /// Tells the world what happened.
    func apply(_ event: WorldEvent) {
        state.withLock { state in
            guard !state.isStopped else { return }
            enqueue(state.world.apply(event, at: WorldHost.now()))
            switch event {
            case .guestLogged, .checkReported, .callerLeft, .woke, .visitBegan, .visitEnded: break
            case .visitorWaits, .guestStarted, .guestFailedToStart, .guestExited, .hostChanged, .resumed:
                scheduleSave(&state)
            }
        }
    }

    /// Reads or changes the world between two events.
    func withWorld<Value: Sendable>(_ body: (inout World) -> Value) -> Value {
        state.withLock { body(&$0.world) }
    }

    private static var stopping: WorldResponse {
        WorldResponse(.failure(WorldFailure(503, "the simulator is shutting down")))
    }

    // MARK: Out

    private func enqueue(_ effects: [WorldEffect]) {
        guard !effects.isEmpty else { return }
        queue.async { for effect in effects { self.perform(effect) } }
    }

    private func perform(_ effect: WorldEffect) {
        switch effect {
        case .respond(let caller, let response):
            let continuation = state.withLock { $0.callers.removeValue(forKey: caller) }
            continuation?.resume(returning: response)
        case .startGuest(let order):
            start(order)
        case .stopGuest(let machine, let boot, let signal, let timeout):
            stop(machine, boot: boot, signal: signal, timeout: timeout)
        case .signalGuest(let machine, let signal):
            guests.signal(machine: machine, signal: signal)
        case .killGuest(let machine):
            guests.kill(machine: machine)
        case .beginChecks(let machine, let boot, let definitions):
            let specs = definitions.map {
                CheckSpec(name: $0.name, type: $0.type, port: $0.port, definition: $0.definition)
            }
            checks.begin(machine: machine, checks: specs) { [weak self] name, standing, output in
                self?.apply(
                    .checkReported(
                        machine: machine, boot: boot, name: name, standing: standing.asResult, output: output))
            }
        case .endChecks(let machine):
            checks.end(machine: machine)
        case .forgetMachine(let machine):
            forget(machine)
        case .wakeAt(let time):
            let delay = max(0, time.milliseconds - WorldHost.now().milliseconds)
            // One millisecond more: a timer that fires early would find nothing due.
            queue.asyncAfter(deadline: .now() + .milliseconds(Int(delay) + 1)) { [weak self] in self?.apply(.woke) }
        }
    }

    private func start(_ order: GuestOrder) {
        var image = order.image
        // The tag may have moved since the machine got this version; the digest has not.
        if let digest = order.imageDigest, let reference = ImageReference(parsing: image) {
            image = reference.pinned(to: ImageDigest(digest)).description
        }
        let spec = GuestSpec(
            app: order.app, machine: order.machine, instance: order.instance, image: image, config: order.config.json,
            environment: order.environment, directory: directory.guests + "/machines/" + order.machine)
        let (machine, boot) = (order.machine, order.boot)
        guests.start(spec) { [weak self] event in self?.hear(event, of: machine, boot: boot) }
    }

    private func hear(_ event: GuestEvent, of machine: String, boot: Int) {
        switch event {
        case .started(let digest):
            let news = WorldEvent.guestStarted(
                machine: machine, boot: boot, imageDigest: digest.isEmpty ? nil : digest)
            guard addedBootTime > .zero else { return apply(news) }
            queue.asyncAfter(deadline: .now() + addedBootTime.inSeconds) { [weak self] in self?.apply(news) }
        case .failedToStart(let reason):
            apply(.guestFailedToStart(machine: machine, boot: boot, reason: reason))
        case .exited(let code, let signal, let isOutOfMemory):
            apply(
                .guestExited(machine: machine, boot: boot, code: code, signal: signal, isOutOfMemory: isOutOfMemory))
        case .log(let line, let isError):
            apply(.guestLogged(machine: machine, line: line, isError: isError))
        }
    }

    /// The machine has left the routes; its requests may end before it is signalled.
    private func stop(_ machine: String, boot: Int, signal: String, timeout: Duration) {
        guard let drain = drain.withLock({ $0 }) else {
            return guests.stop(machine: machine, signal: signal, timeout: timeout)
        }
        Task {
            await drain(machine, WorldHost.longestDrain)
            queue.async {
                // It may have ended meanwhile, and a later guest must not be hit.
                let isSame = self.state.withLock { $0.world.machines[machine]?.boot == boot }
                if isSame { self.guests.stop(machine: machine, signal: signal, timeout: timeout) }
            }
        }
    }

    private func forget(_ machine: String) {
        let folder = directory.guests + "/machines/" + machine
        disk.async {
            guard FileManager.default.fileExists(atPath: folder) else { return }
            // What cannot be removed only takes room: the machine's id is never used again.
            try? FileManager.default.removeItem(atPath: folder)
        }
    }

    // MARK: Disk

    private func scheduleSave(_ state: inout State) {
        guard !state.isSaving else { return }
        state.isSaving = true
        disk.asyncAfter(deadline: .now() + WorldHost.snapshotDelay) { [weak self] in self?.save() }
    }

    private func save() {
        let world = state.withLock { state -> World? in
            state.isSaving = false
            return state.isStopped ? nil : state.world
        }
        guard let world else { return }
        // A full disk must not end the platform: the next change tries again.
        try? directory.save(world)
    }

    // MARK: End

    /// Keeps the state as it is, answers whoever waits, and ends every guest.
    func shutdown() async {
        let (world, callers) = state.withLock { state in
            state.isStopped = true
            defer { state.callers = [:] }
            return (state.world, state.callers.values)
        }
        for caller in callers { caller.resume(returning: WorldHost.stopping) }
        await checks.shutdown()
        await guests.shutdown()
        await withCheckedContinuation { continuation in
            disk.async {
                // Nobody is left to tell; the last snapshot is at most `snapshotDelay` old.
                try? self.directory.save(world)
                continuation.resume()
            }
        }
    }
}

extension CheckStanding {
    fileprivate var asResult: CheckResult.Standing {
        switch self {
        case .passing: .passing
        case .warning: .warning
        case .critical: .critical
        }
    }
}

extension WorldCall.Kind {
    /// Whether the call can leave the world different from before.
    fileprivate var changesWorld: Bool {
        switch self {
        case .getApp, .listApps, .listMachines, .getMachine, .waitMachine, .listVersions, .listEvents, .getLease,
            .getMetadata, .listSecrets, .listReleases, .currentRelease, .readLogs:
            false
        case .createApp, .deleteApp, .createMachine, .updateMachine, .destroyMachine, .startMachine, .stopMachine,
            .restartMachine, .suspendMachine, .signalMachine, .cordonMachine, .uncordonMachine, .acquireLease,
            .releaseLease, .setMetadata, .setSecrets, .createRelease, .updateRelease:
            true
        }
    }
}
