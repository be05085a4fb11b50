// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Synchronization

/// A program that a test starts, from a thread that lives as long as the program: a program may ask to be ended with
/// the thread that started it (prctl(2), PR_SET_PDEATHSIG).
final class Program: Sendable {
    private struct State {
        var process: pid_t = 0
        var status: Int32?
        var waiting: [CheckedContinuation<Int32, Never>] = []
    }

    struct CannotStart: Error {
        var words: [String]
    }

    private let state = Mutex(State())

    /// Starts the program; what it prints goes to a file.
    init(_ words: [String], log: String) async throws {
        let process = await withCheckedContinuation { (continuation: CheckedContinuation<pid_t, Never>) in
            Thread.detachNewThread { [self] in
                let process = Program.spawn(words, log)
                state.withLock { $0.process = process }
                continuation.resume(returning: process)
                guard process > 0 else { return }
                var status: Int32 = 0
                while waitpid(process, &status, 0) < 0, errno == EINTR {}
                let waiting = state.withLock { state in
                    state.status = status
                    return state.waiting
                }
                for one in waiting { one.resume(returning: status) }
            }
        }
        guard process > 0 else { throw CannotStart(words: words) }
    }

    var process: pid_t { state.withLock { $0.process } }

    /// The status of waitpid(2), once the program has ended.
    func end() async -> Int32 {
        await withCheckedContinuation { continuation in
            let status = state.withLock { state in
                if state.status == nil { state.waiting.append(continuation) }
                return state.status
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    private static func spawn(_ words: [String], _ log: String) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Signals that a thread of this process blocks would stay blocked in the program.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let arguments = words.map { strdup($0) }
        let variables: [String] = ["PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "HOME=/tmp"]
        let environment = variables.map { strdup($0) }
        defer { (arguments + environment).forEach { free($0) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, words[0], &actions, &attributes, arguments + [nil], environment + [nil])
        return code == 0 ? process : 0
    }
}
