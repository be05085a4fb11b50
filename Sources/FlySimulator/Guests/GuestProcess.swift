// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CIsolation
internal import FoundationEssentials
internal import Glibc
internal import Model
internal import Synchronization

/// One start of one machine: its supervisor process, its logs, its end.
final class GuestProcess: Sendable {
    static let maxLogLineBytes = 16 * 1024
    static let readChunkBytes = 64 * 1024
    static let maxQueuedCommands = 64
    static let maxEarlyLines = 4096

    private enum Control {
        /// Commands wait for the supervisor.
        case preparing([SupervisorCommand])
        case connected(Int32)
        case ended
    }

    let spec: GuestSpec
    private let doors: [GuestPlan.Door]
    private let doorFolder: String
    private let events: @Sendable (GuestEvent) -> Void
    private let control = Mutex(Control.preparing([]))

    init(spec: GuestSpec, doorFolder: String, events: @escaping @Sendable (GuestEvent) -> Void) {
        self.spec = spec
        self.doorFolder = doorFolder
        self.events = events
        doors = GuestRecipe.ports(of: spec.config).map { GuestPlan.Door(port: $0, path: "\(doorFolder)/\($0)") }
    }

    /// The socket that leads to a port of the guest, once it has been launched.
    func doorPath(port: Int) -> String? {
        guard control.withLock({ if case .connected = $0 { true } else { false } }) else { return nil }
        return doors.first { $0.port == port }?.path
    }

    /// Passes a command to the supervisor, now or once there is one.
    func send(_ command: SupervisorCommand) {
        control.withLock { control in
            switch control {
            case .preparing(var commands):
                guard commands.count < GuestProcess.maxQueuedCommands else { return }
                commands.append(command)
                control = .preparing(commands)
            case .connected(let handle):
                // A line is far shorter than the socket's buffer; one that finds it full finds a supervisor that
                // does not read, and the end of the socket is the guest's end.
                if !GuestProcess.write(Array(command.line.utf8), to: handle, isWaiting: false) {
                    Glibc.shutdown(handle, Int32(SHUT_RDWR))
                }
            case .ended:
                break
            }
        }
    }

    /// Lives the guest's life on a thread of its own; `ended` is called after the last event.
    ///
    /// A thread and poll(2), because a dispatch source of a pipe can miss the pipe's end on Linux.
    func run(
        acquire: @escaping @Sendable () throws -> UnpackedImage,
        release: @escaping @Sendable (UnpackedImage) -> Void,
        sandbox: @escaping @Sendable () throws -> Sandbox,
        executable: String, volumes: String,
        ended: @escaping @Sendable () -> Void
    ) {
        let isStarted = Launch.detach { [self] in
            do {
                let image = try acquire()
                defer { release(image) }
                try live(image, try sandbox(), executable, volumes)
            } catch {
                control.withLock { $0 = .ended }
                events(.failedToStart(reason: "\(error)"))
            }
            ended()
        }
        if !isStarted {
            control.withLock { $0 = .ended }
            events(.failedToStart(reason: "no further thread can be made"))
            ended()
        }
    }

    private func live(_ image: UnpackedImage, _ sandbox: Sandbox, _ executable: String, _ volumes: String) throws {
        let base = try makeRoot()
        defer {
            remove(base)
            remove(doorFolder)
        }
        let streams = try launch(try plan(image, sandbox, base, volumes), sandbox.wrapper, executable)
        watch(streams, imageDigest: image.digest)
    }

    private func makeRoot() throws -> String {
        let manager = FileManager.default
        try manager.createDirectory(atPath: spec.directory, withIntermediateDirectories: true)
        // A simulator that was killed leaves its roots; those of this one belong to guests that may still be ending.
        let words = doorFolder.split(separator: "/").suffix(2)
        let own = "root-" + (words.first ?? "")
        for name in try manager.contentsOfDirectory(atPath: spec.directory) {
            if name.hasPrefix("root-"), !name.hasPrefix(own + "-") { remove(spec.directory + "/" + name) }
        }
        let base = "\(spec.directory)/\(own)-\(words.last ?? "")"
        try manager.createDirectory(atPath: doorFolder, withIntermediateDirectories: true)
        try manager.createDirectory(atPath: base, withIntermediateDirectories: true)
        return base
    }

    private func plan(_ image: UnpackedImage, _ sandbox: Sandbox, _ base: String, _ volumes: String) throws -> GuestPlan
    {
        let recipe = GuestRecipe(image: image, spec: spec, canChangeUser: sandbox.canChangeUser)
        let manager = FileManager.default
        var plan = GuestPlan(
            root: base + "/root", overlay: nil, hostname: String(spec.machine.prefix(63)),
            workingDirectory: image.workingDirectory.isEmpty ? "/" : image.workingDirectory,
            arguments: try recipe.arguments(), environment: recipe.environment(), files: try recipe.files(),
            volumes: try recipe.volumes(in: volumes), user: nil, group: 0, doors: doors)
        if let user = try recipe.user() { (plan.user, plan.group) = (user.user, user.group) }
        for volume in plan.volumes {
            try manager.createDirectory(atPath: volume.source, withIntermediateDirectories: true)
        }
        if sandbox.canOverlay {
            for name in ["root", "upper", "work"] {
                try manager.createDirectory(atPath: base + "/" + name, withIntermediateDirectories: true)
            }
            plan.overlay = GuestPlan.Overlay(lower: image.root, upper: base + "/upper", work: base + "/work")
        } else {
            if let problem = try Launch.run(["cp", "-a", "--reflink=auto", image.root, plan.root]) {
                throw GuestProblem("the image cannot be copied: \(problem)")
            }
        }
        return plan
    }

    /// The supervisor and the ends of what connects it to this process.
    private struct Streams {
        var supervisor: pid_t
        var control: Int32
        var output: Int32
        var errors: Int32
    }

    private func launch(_ plan: GuestPlan, _ wrapper: [String], _ executable: String) throws -> Streams {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw GuestProblem("socketpair: \(describe(errno))") }
        var ours = [ends[0]]
        var theirs = [ends[1]]
        var isLaunched = false
        defer {
            for handle in theirs + (isLaunched ? [] : ours) { close(handle) }
        }
        for _ in 0..<2 {
            let pipe = try Launch.pipe()
            ours.append(pipe.read)
            theirs.append(pipe.write)
        }
        let supervisor = try Launch.start(
            wrapper + [executable, "simulator-guest"], input: theirs[0], output: theirs[1], errors: theirs[2])
        isLaunched = true
        // A supervisor that is gone already shows as the end of the streams.
        _ = GuestProcess.write(Array(GuestProcess.encode(plan) + [0x0A]), to: ours[0])
        control.withLock { control in
            guard case .preparing(let commands) = control else { return }
            for command in commands { _ = GuestProcess.write(Array(command.line.utf8), to: ours[0]) }
            control = .connected(ours[0])
        }
        return Streams(supervisor: supervisor, control: ours[0], output: ours[1], errors: ours[2])
    }

    private static func encode(_ plan: GuestPlan) -> Data {
        do {
            return try JSONEncoder().encode(plan)
        } catch {
            preconditionFailure("a plan is only strings and numbers: \(error)")
        }
    }

    /// Tells what comes over the streams, in order, until all have ended: then every process of the guest has.
    private func watch(_ streams: Streams, imageDigest: String) {
        var open = [streams.control, streams.output, streams.errors]
        var splitters = open.map { _ in LineSplitter(maxLineBytes: GuestProcess.maxLogLineBytes) }
        var hasStarted = false
        var outcome: SupervisorReport?
        /// Lines that came before the word that the program runs.
        var early: [GuestEvent] = []
        func heard(_ line: String, from index: Int) {
            if index > 0 {
                let event = GuestEvent.log(line: line, isError: index == 2)
                if hasStarted {
                    events(event)
                } else if early.count < GuestProcess.maxEarlyLines {
                    early.append(event)
                }
                return
            }
            switch SupervisorReport(line) {
            case .started:
                hasStarted = true
                events(.started(imageDigest: imageDigest))
                for event in early { events(event) }
                early = []
            case .failed(let reason):
                outcome = .failed(reason)
            case .exited(let code, let signal):
                outcome = .exited(code: code, signal: signal)
            case nil:
                break
            }
        }
        var chunk = [UInt8](repeating: 0, count: GuestProcess.readChunkBytes)
        while open.contains(where: { $0 >= 0 }) {
            var entries = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&entries, nfds_t(entries.count), -1) > 0 else { continue }
            for index in open.indices where entries[index].revents != 0 {
                let count = chunk.withUnsafeMutableBytes { read(open[index], $0.baseAddress, $0.count) }
                if count > 0 {
                    for line in splitters[index].add(chunk[..<count]) { heard(line, from: index) }
                } else if count == 0 || errno != EINTR {
                    if let rest = splitters[index].finish() { heard(rest, from: index) }
                    // Nobody may write a command to a descriptor that is closed, and perhaps another's by then.
                    if index == 0 { control.withLock { $0 = .ended } }
                    close(open[index])
                    open[index] = -1
                }
            }
        }
        _ = Launch.wait(for: streams.supervisor)
        events(GuestProcess.end(outcome, hasStarted: hasStarted, lastWords: early.last))
    }

    /// How a guest ended whose supervisor said so, or said nothing.
    private static func end(_ outcome: SupervisorReport?, hasStarted: Bool, lastWords: GuestEvent?) -> GuestEvent {
        switch outcome {
        case .exited(let code, let signal):  // also of a guest that was killed before its program ran
            return .exited(code: code, signal: signal == 0 ? nil : signal, isOutOfMemory: false)
        case .failed(let reason):
            return .failedToStart(reason: reason)
        case .started, nil:
            // The supervisor itself was killed; the kernel then kills the guest.
            if hasStarted { return .exited(code: 128 + SIGKILL, signal: SIGKILL, isOutOfMemory: false) }
            if case .log(let line, _) = lastWords { return .failedToStart(reason: line) }
            return .failedToStart(reason: "its supervisor was killed")
        }
    }

    private static func write(_ bytes: [UInt8], to handle: Int32, isWaiting: Bool = true) -> Bool {
        let flags = Int32(MSG_NOSIGNAL) | (isWaiting ? 0 : Int32(MSG_DONTWAIT))
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(handle, $0.baseAddress! + start, $0.count - start, flags) }
            if count >= 0 {
                start += count
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}

/// Cuts a stream of bytes into lines.
struct LineSplitter {
    let maxLineBytes: Int
    private var pending: [UInt8] = []

    init(maxLineBytes: Int) {
        self.maxLineBytes = maxLineBytes
    }

    /// The lines that these bytes complete; one that is too long comes in pieces.
    mutating func add(_ bytes: some Sequence<UInt8>) -> [String] {
        var lines: [String] = []
        for byte in bytes {
            if byte == 0x0A {
                if pending.last == 0x0D { pending.removeLast() }
                lines.append(take())
            } else {
                pending.append(byte)
                if pending.count == maxLineBytes { lines.append(take()) }
            }
        }
        return lines
    }

    /// What came after the last line end, or nil.
    mutating func finish() -> String? {
        pending.isEmpty ? nil : take()
    }

    private mutating func take() -> String {
        defer { pending.removeAll(keepingCapacity: true) }
        return String(decoding: pending, as: UTF8.self)
    }
}
