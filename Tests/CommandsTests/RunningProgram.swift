// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Synchronization

/// How a program ended and what it said.
struct Outcome: Sendable {
    /// The exit code, or 128 and the signal that ended it, as a shell has it.
    var status: Int32
    /// The signal that ended it; 0 where it exited by itself.
    var signal: Int32
    var output: String
    var errors: String
    var took: Duration

    /// Both streams, for messages that may be on either.
    var everything: String { output + "\n" + errors }
}

/// A problem of the test's own surroundings.
struct Trouble: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

/// A program as a child process, with its streams in files.
///
/// A thread of its own waits for it: `Process.waitUntilExit` would block a thread of the cooperative pool.
final class RunningProgram: Sendable {
    private struct State {
        var ended: (status: Int32, took: Duration)?
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    let pid: pid_t
    private let folder: String
    private let state = Mutex(State())

    /// Starts `command` (its first word found in the path) with exactly this environment. `terminal` takes the place
    /// of both streams where it is given.
    init(
        _ command: [String], environment: [String: String], in directory: String, input: String = "/dev/null",
        terminal: String? = nil
    ) throws {
        folder = NSTemporaryDirectory() + "airboss-program-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, terminal ?? input, O_RDWR, 0)
        let streams = terminal.map { ($0, $0) } ?? (folder + "/output", folder + "/errors")
        posix_spawn_file_actions_addopen(&actions, 1, streams.0, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, streams.1, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The runner of the tests may ignore or block signals; its children begin as from a shell.
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        // The shell's `cd`: env takes the place of itself by the program, which keeps its process id.
        let whole = ["env", "-C", directory] + command
        var arguments: [UnsafeMutablePointer<CChar>?] = whole.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var child: pid_t = 0
        let result = posix_spawnp(&child, whole[0], &actions, &attributes, &arguments, &variables)
        guard result == 0 else {
            throw Trouble("\(command[0]) cannot be started: \(String(cString: strerror(result)))")
        }
        let pid = child
        self.pid = pid
        let begin = ContinuousClock.now
        Thread.detachNewThread { [self] in
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0, errno == EINTR {}
            let waiting = state.withLock { state in
                state.ended = (status, ContinuousClock.now - begin)
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }
    }

    deinit {
        try? FileManager.default.removeItem(atPath: folder)  // a leftover costs only room
    }

    var isRunning: Bool { state.withLock { $0.ended == nil } }

    var outputSoFar: String { read("output") }
    var errorsSoFar: String { read("errors") }

    /// Sends a signal, unless it has ended.
    func send(_ signal: Int32) {
        state.withLock { state in
            if state.ended == nil { kill(pid, signal) }
        }
    }

    /// Waits for its end.
    func end() async -> Outcome {
        await withCheckedContinuation { continuation in
            let hasEnded = state.withLock { state in
                if state.ended == nil { state.waiting.append(continuation) }
                return state.ended != nil
            }
            if hasEnded { continuation.resume() }
        }
        let (status, took) = state.withLock { $0.ended } ?? (0, .zero)
        let signal = status & 0x7F
        return Outcome(
            status: signal == 0 ? (status >> 8) & 0xFF : 128 + signal, signal: signal, output: outputSoFar,
            errors: errorsSoFar, took: took)
    }

    /// Waits until `condition` holds; throws where the program ends before, or three minutes go by.
    func wait(until what: String, _ condition: @Sendable (RunningProgram) async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(180)
        while true {
            if try await condition(self) { return }
            guard isRunning, ContinuousClock.now < deadline else {
                throw Trouble("\(what) did not happen:\n\(outputSoFar)\n\(errorsSoFar)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func read(_ name: String) -> String {
        // Not there where the streams go to a terminal.
        guard let data = FileManager.default.contents(atPath: folder + "/" + name) else { return "" }
        return String(decoding: data, as: UTF8.self)
    }

    /// Starts a program and waits for its end.
    static func run(
        _ command: [String], environment: [String: String] = Surroundings.environment, in directory: String = "/"
    ) async throws -> Outcome {
        try await RunningProgram(command, environment: environment, in: directory).end()
    }
}

/// What this machine has.
enum Surroundings {
    /// Enough for tools to work, and nothing of whoever runs the tests.
    static let environment: [String: String] = [
        "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": NSTemporaryDirectory(),
        "LC_ALL": "C.UTF-8", "TMPDIR": NSTemporaryDirectory(), "USER": "tester",
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
    ]

    /// Where the program lies: beside the tests.
    static let airboss: String = {
        let bundle = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let candidates = [bundle] + CommandLine.arguments.map { URL(filePath: $0).deletingLastPathComponent() }
        let paths = candidates.map { $0.appending(path: "airboss").path }
        return paths.first { FileManager.default.isExecutableFile(atPath: $0) } ?? paths[0]
    }()

    static let root: String = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// The tool's path, or nil where it is not installed.
    static func tool(_ name: String) -> String? {
        (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Whether a tool is there; prints what is skipped without it.
    static func has(_ name: String, for what: String) -> Bool {
        if tool(name) != nil { return true }
        print("skipped: \(what): \(name) is not installed")
        return false
    }
}

/// Runs blocking work on a thread of its own.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
    }
}
