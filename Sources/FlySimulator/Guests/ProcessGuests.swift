// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CIsolation
internal import Dispatch
internal import FoundationEssentials
internal import Glibc
internal import Model
internal import Synchronization

/// Machines as real processes: each in network, pid, mount, ipc and host name namespaces of its own, on its own copy
/// of the image's files. Everything they start ends with them, and they end with this process.
final class ProcessGuests: GuestRunning {
    private struct State {
        var current: [String: GuestProcess] = [:]
        var running: [ObjectIdentifier: GuestProcess] = [:]
        var count = 0
        var isShutDown = false
        var waiting: [CheckedContinuation<Void, Never>] = []
        var sandbox: Sandbox?
    }

    private let images: UnpackedImages
    private let guestExecutable: String
    private let directory: String
    private let doorFolder: String
    private let state = Mutex(State())

    /// `guestExecutable` is a program whose `simulator-guest` subcommand calls ``runGuestSupervisor(arguments:)``;
    /// images, roots and volumes go below `directory`.
    init(registry: RegistryStore, guestExecutable: String, directory: String) {
        images = UnpackedImages(registry: registry, directory: directory + "/images")
        self.guestExecutable = guestExecutable
        self.directory = directory
        doorFolder = ProcessGuests.makeDoorFolder()
    }

    /// A short path: a Unix socket's address holds 107 bytes, whatever folder the simulator keeps its state in.
    private static func makeDoorFolder() -> String {
        let base = FileManager.default.temporaryDirectory.path
        for parent in base.utf8.count <= 60 ? [base, "/tmp"] : ["/tmp"] {
            var template = Array((parent + "/airboss-XXXXXX").utf8CString)
            let isMade = template.withUnsafeMutableBufferPointer { buffer in
                buffer.baseAddress.map { mkdtemp($0) != nil } ?? false
            }
            if isMade { return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self) }
        }
        return "/tmp/airboss-\(getpid())"  // Starting a guest will say that it cannot be made.
    }

    func start(_ spec: GuestSpec, events: @escaping @Sendable (GuestEvent) -> Void) {
        let (guest, earlier) = state.withLock { state -> (GuestProcess?, GuestProcess?) in
            guard !state.isShutDown else { return (nil, nil) }
            state.count += 1
            let guest = GuestProcess(spec: spec, doorFolder: doorFolder + "/\(state.count)", events: events)
            state.running[ObjectIdentifier(guest)] = guest
            return (guest, state.current.updateValue(guest, forKey: spec.machine))
        }
        guard let guest else { return events(.failedToStart(reason: "the simulator is shutting down")) }
        earlier?.send(.kill)
        let images = images
        guest.run(
            acquire: { try images.acquire(spec.image) }, release: images.release, sandbox: findSandbox,
            executable: guestExecutable, volumes: directory + "/volumes",
            ended: { [weak self] in self?.forget(guest) })
    }

    func stop(machine: String, signal: String, timeout: Duration) {
        guest(machine)?.send(
            .stop(SignalName.number(signal) ?? SIGINT, milliseconds: timeout.wholeMilliseconds))
    }

    func signal(machine: String, signal: String) {
        guard let number = SignalName.number(signal) else { return }
        guest(machine)?.send(.signal(number))
    }

    func kill(machine: String) {
        guest(machine)?.send(.kill)
    }

    func socketPath(machine: String, port: Int) -> String? {
        guest(machine)?.doorPath(port: port)
    }

    func shutdown() async {
        let running = state.withLock { state in
            state.isShutDown = true
            return Array(state.running.values)
        }
        for guest in running { guest.send(.kill) }
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if !state.running.isEmpty { state.waiting.append(continuation) }
                return state.running.isEmpty
            }
            if isDone { continuation.resume() }
        }
        remove(doorFolder)
    }

    private func guest(_ machine: String) -> GuestProcess? {
        state.withLock { $0.current[machine] }
    }

    private func forget(_ guest: GuestProcess) {
        let waiting = state.withLock { state in
            state.running[ObjectIdentifier(guest)] = nil
            if state.current[guest.spec.machine] === guest { state.current[guest.spec.machine] = nil }
            guard state.isShutDown, state.running.isEmpty else { return [CheckedContinuation<Void, Never>]() }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Found out once; blocks a guest's own thread only.
    @Sendable private func findSandbox() throws -> Sandbox {
        if let known = state.withLock({ $0.sandbox }) { return known }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let found = try Sandbox.probe(in: directory)
        state.withLock { $0.sandbox = found }
        return found
    }
}
