// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CIsolation
internal import Dispatch
internal import FoundationEssentials
internal import Glibc

/// Why a guest cannot start; the text goes into the machine's event.
struct GuestProblem: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Starting programs of the host with posix_spawn.
enum Launch {
    static let toolPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    static let maxToolMessageBytes = 4096

    /// A pipe whose ends exec closes: what is read, what is written.
    static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        let problem = isolation_pipe(&ends)
        guard problem == 0 else { throw GuestProblem("pipe: \(describe(problem))") }
        return (ends[0], ends[1])
    }

    /// Starts a program in a session of its own, so that a terminal's signals don't reach it, with this environment
    /// and no descriptors but the three given.
    static func start(_ arguments: [String], input: Int32, output: Int32, errors: Int32) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
        var all = sigset_t()
        var none = sigset_t()
        sigfillset(&all)
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        // glibc's value of POSIX_SPAWN_SETSID, which needs _GNU_SOURCE to be seen.
        let newSession: Int32 = 0x80
        posix_spawnattr_setflags(
            &attributes, Int16(Int32(POSIX_SPAWN_SETSIGDEF) | Int32(POSIX_SPAWN_SETSIGMASK) | newSession))
        let words = arguments.map { strdup($0) } + [nil]
        let environment = [strdup("PATH=\(toolPath)"), strdup("LC_ALL=C"), nil]
        defer { for pointer in words + environment { free(pointer) } }
        var child: pid_t = 0
        let problem = posix_spawnp(&child, arguments[0], &actions, &attributes, words, environment)
        guard problem == 0 else { throw GuestProblem("\(arguments[0]): \(describe(problem))") }
        return child
    }

    /// Runs a tool to its end; nil where it succeeded, else what it said. Blocks.
    static func run(_ arguments: [String]) throws -> String? {
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        let (reader, writer) = try pipe()
        defer {
            close(null)
            close(reader)
        }
        let child: pid_t
        do {
            child = try start(arguments, input: null, output: null, errors: writer)
        } catch {
            close(writer)
            throw error
        }
        close(writer)
        var message: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(reader, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            message.append(
                contentsOf: chunk[..<count].prefix(maxToolMessageBytes - min(message.count, maxToolMessageBytes)))
        }
        let status = wait(for: child)
        if status == 0 { return nil }
        let text = String(decoding: message, as: UTF8.self).trimmingSuffix { $0.isWhitespace }
        return text.isEmpty ? "\(arguments[0]) ended with \(isolation_status_exit_code(status))" : String(text)
    }

    static let threadStackBytes = 512 * 1024

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a thread of its own; false where none can be made.
    static func detach(_ body: @escaping @Sendable () -> Void) -> Bool {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, threadStackBytes)
        let box = Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, box.toOpaque())
        if result != 0 { box.release() }
        return result == 0
    }

    /// The wait status of a child that has ended or is about to. Blocks.
    static func wait(for child: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return status
    }
}

extension String {
    fileprivate func trimmingSuffix(while matches: (Character) -> Bool) -> Substring {
        var rest = self[...]
        while let last = rest.last, matches(last) { rest.removeLast() }
        return rest
    }
}

/// How guests can be kept apart here; found out by trying.
struct Sandbox: Hashable, Sendable {
    /// The words before the program that is to run in new namespaces.
    var wrapper: [String]
    /// Whether roots can be mounted as overlays; else the image is copied.
    var canOverlay: Bool
    /// Whether the guest can become another user than root.
    var canChangeUser: Bool

    /// Tries as root, then with a user namespace. `directory` is where roots will be. Blocks.
    static func probe(in directory: String) throws -> Sandbox {
        let plain = ["unshare", "--net", "--ipc", "--uts"]
        let mapped = ["unshare", "--user", "--map-root-user", "--net", "--ipc", "--uts"]
        var reason = "unshare failed"
        for (wrapper, isRoot) in [(plain, true), (mapped, false)] where !isRoot || geteuid() == 0 {
            if let failure = try Launch.run(wrapper + ["--pid", "--mount", "--fork", "true"]) {
                reason = failure
                continue
            }
            return Sandbox(
                wrapper: wrapper, canOverlay: try canOverlay(wrapper, directory), canChangeUser: isRoot)
        }
        throw GuestProblem(
            "namespaces are not available here (\(reason)); run the simulator as root or allow user namespaces")
    }

    private static func canOverlay(_ wrapper: [String], _ directory: String) throws -> Bool {
        let folder = directory + "/probe-" + UUID().uuidString
        let manager = FileManager.default
        defer { remove(folder) }
        for name in ["lower", "upper", "work", "root"] {
            try manager.createDirectory(atPath: folder + "/" + name, withIntermediateDirectories: true)
        }
        let overlay = GuestPlan.Overlay(lower: folder + "/lower", upper: folder + "/upper", work: folder + "/work")
        let mount = ["mount", "-t", "overlay", "overlay", "-o", overlay.options, folder + "/root"]
        return try Launch.run(wrapper + ["--mount"] + mount) == nil
    }
}
