// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CIsolation
internal import FoundationEssentials
internal import Glibc

/// Runs one guest until it ends or the simulator does: the body of the hidden subcommand `simulator-guest`.
///
/// It is started inside a new network namespace with its end of a socket as standard input, reads a ``GuestPlan``
/// (one line of JSON) and then ``SupervisorCommand``s from it, and answers with ``SupervisorReport``s. The end of the
/// socket is the end of the guest: a simulator that was killed leaves nothing behind. Returns the process's exit code.
package func runGuestSupervisor(arguments: [String]) -> Int32 {
    var supervisor = GuestSupervisor()
    return supervisor.run()
}

/// Single-threaded: one poll loop over the simulator's socket, the guest's reports and the relay.
private struct GuestSupervisor {
    static let maxPlanBytes = 64 * 1024 * 1024
    static let maxOpenFiles: rlim_t = 16_384

    private let control: Int32 = STDIN_FILENO
    private var received: [UInt8] = []
    private var relay = GuestRelay()
    private var guest: pid_t = 0
    private var guestReports: Int32 = -1
    private var guestCommands: Int32 = -1
    /// When SIGKILL follows, in milliseconds of the monotonic clock.
    private var killAt: Int64?
    private var isSimulatorGone = false
    private let origin = ContinuousClock.now

    mutating func run() -> Int32 {
        _ = isolation_close_from(3)
        signal(SIGPIPE, SIG_IGN)
        raiseFileLimit()
        guard let line = readPlan() else { return 1 }
        let plan: GuestPlan
        do {
            plan = try JSONDecoder().decode(GuestPlan.self, from: Data(line))
        } catch {
            return fail("the plan cannot be read")
        }
        defer { removeDoors(plan.doors) }
        let loopback = isolation_loopback_up()
        if loopback != 0 { return fail("loopback interface: \(describe(loopback))") }
        if let problem = relay.open(plan.doors) { return fail(problem) }
        if let problem = start(plan) { return fail(problem) }
        // The guest holds the log pipes now; this process must not keep them open.
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        if null >= 0 {
            dup2(null, STDOUT_FILENO)
            dup2(null, STDERR_FILENO)
        }
        return watch()
    }

    private mutating func readPlan() -> [UInt8]? {
        while received.count < GuestSupervisor.maxPlanBytes {
            if let end = received.firstIndex(of: 0x0A) {
                let line = Array(received[..<end])
                received.removeSubrange(...end)
                return line
            }
            guard receive(), !isSimulatorGone else { return nil }
        }
        return nil
    }

    /// Blocks until something arrives; false where the socket is broken.
    private mutating func receive() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        let count = chunk.withUnsafeMutableBytes { read(control, $0.baseAddress, $0.count) }
        if count > 0 {
            received.append(contentsOf: chunk[..<count])
        } else if count == 0 || (errno != EINTR && errno != EAGAIN) {
            isSimulatorGone = true
        }
        return !isSimulatorGone
    }

    private mutating func start(_ plan: GuestPlan) -> String? {
        var kept: [UnsafeMutablePointer<CChar>] = []
        func text(_ string: String) -> UnsafeMutablePointer<CChar>? {
            guard let copy = strdup(string) else { return nil }
            kept.append(copy)
            return copy
        }
        defer { for pointer in kept { free(pointer) } }
        var arguments = plan.arguments.map(text) + [nil]
        var environment = plan.environment.map(text) + [nil]
        // One block for all contents: the pointers into it must outlive this closure-free construction.
        let contents = plan.files.map { file in
            let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, file.contents.count))
            file.contents.copyBytes(to: bytes, count: file.contents.count)
            return bytes
        }
        defer { for bytes in contents { bytes.deallocate() } }
        let files = zip(plan.files, contents).map { file, bytes in
            isolation_file(path: text(file.path), bytes: bytes, length: file.contents.count, mode: file.mode)
        }
        let volumes = plan.volumes.map { isolation_volume(source: text($0.source), target: text($0.target)) }
        let overlay = plan.overlay.flatMap { text($0.options) }
        let root = text(plan.root)
        let hostname = text(plan.hostname)
        let workingDirectory = text(plan.workingDirectory)
        let result = arguments.withUnsafeMutableBufferPointer { arguments in
            environment.withUnsafeMutableBufferPointer { environment in
                files.withUnsafeBufferPointer { files in
                    volumes.withUnsafeBufferPointer { volumes in
                        var description = isolation_plan(
                            root: root, overlay: overlay, hostname: hostname, working_directory: workingDirectory,
                            arguments: arguments.baseAddress, environment: environment.baseAddress,
                            files: files.baseAddress, file_count: files.count,
                            volumes: volumes.baseAddress, volume_count: volumes.count,
                            user: plan.user.map(Int64.init) ?? -1, group: Int64(plan.group))
                        return isolation_start(&description, &guestReports, &guestCommands)
                    }
                }
            }
        }
        if result < 0 { return "namespaces: \(describe(-result))" }
        guest = result
        return nil
    }

    private mutating func watch() -> Int32 {
        while true {
            // First, because commands may have come together with the plan.
            while let end = received.firstIndex(of: 0x0A) {
                let line = String(decoding: received[..<end], as: UTF8.self)
                received.removeSubrange(...end)
                if let command = SupervisorCommand(line), !obey(command) { return finish() }
            }
            let relayed = relay.interests()
            var entries = [
                pollfd(fd: control, events: Int16(POLLIN), revents: 0),
                pollfd(fd: guestReports, events: Int16(POLLIN), revents: 0),
            ]
            entries.append(contentsOf: relayed)
            let ready = poll(&entries, nfds_t(entries.count), pollTimeout())
            if let killAt, killAt <= now() { return finish() }
            guard ready > 0 else { continue }
            if entries[1].revents != 0, let code = readReport() { return code }
            if entries[0].revents != 0 {
                guard receive() else { return finish() }
            }
            relay.handle(entries[2...])
        }
    }

    /// False asks for the guest's end.
    private mutating func obey(_ command: SupervisorCommand) -> Bool {
        switch command {
        case .kill:
            return false
        case .signal(let number):
            send(number)
        case .stop(let number, let milliseconds):
            send(number)
            // A second stop may bring the end nearer, never put it off.
            killAt = min(killAt ?? .max, now() + max(0, milliseconds))
        }
        return true
    }

    private func send(_ number: Int32) {
        guard var byte = UInt8(exactly: number), byte > 0 else { return }
        write(guestCommands, &byte, 1)
    }

    /// The exit code of this process once the guest has ended, or nil.
    private mutating func readReport() -> Int32? {
        var report = isolation_report()
        let size = MemoryLayout<isolation_report>.size
        let count = read(guestReports, &report, size)
        if count < 0 && errno == EINTR { return nil }
        guard count == size else { return finish() }
        switch UInt32(report.kind) {
        case ISOLATION_STARTED.rawValue:
            say(.started)
            return nil
        case ISOLATION_EXITED.rawValue:
            let code = isolation_status_exit_code(report.value)
            let signal = isolation_status_signal(report.value)
            reap()
            say(.exited(code: code, signal: signal))
            return 0
        default:
            let stage = String(cString: isolation_stage_name(report.stage))
            reap()
            return fail("\(stage): \(describe(report.value))")
        }
    }

    /// Ends the guest by SIGKILL, unless it has just ended by itself: then its own exit is what is told.
    private mutating func finish() -> Int32 {
        var pending = pollfd(fd: guestReports, events: Int16(POLLIN), revents: 0)
        while poll(&pending, 1, 0) > 0, pending.revents & Int16(POLLIN) != 0 {
            if let code = readReport() { return code }
        }
        kill(guest, SIGKILL)
        reap()
        say(.exited(code: 128 + SIGKILL, signal: SIGKILL))
        return 0
    }

    /// The kernel lets a namespace's first process be reaped only when every other one in it is gone.
    private func reap() {
        var status: Int32 = 0
        while waitpid(guest, &status, 0) < 0 && errno == EINTR {}
    }

    private func say(_ report: SupervisorReport) {
        let bytes = Array(report.line.utf8)
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(control, $0.baseAddress! + start, $0.count - start, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                return  // nobody is left to tell
            }
            start += count
        }
    }

    private func fail(_ reason: String) -> Int32 {
        say(.failed(reason))
        return 1
    }

    private func removeDoors(_ doors: [GuestPlan.Door]) {
        for door in doors { unlink(door.path) }
        guard let first = doors.first else { return }
        // The folder of this guest's doors, and the simulator's once the last guest has left it.
        let folder = first.path.split(separator: "/").dropLast()
        rmdir("/" + folder.joined(separator: "/"))
        rmdir("/" + folder.dropLast().joined(separator: "/"))
    }

    private func raiseFileLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, GuestSupervisor.maxOpenFiles)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    private func now() -> Int64 {
        Int64((ContinuousClock.now - origin) / .milliseconds(1))
    }

    private func pollTimeout() -> Int32 {
        guard let killAt else { return -1 }
        return Int32(clamping: max(0, killAt - now()) + 1)
    }
}
