// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import FoundationEssentials
internal import Glibc
internal import Model
internal import Synchronization

/// The folder a simulator keeps its state in, held by one simulator at a time. The lock ends with the process, however
/// it ends.
final class StateDirectory: Sendable {
    let path: String
    /// The open lock file; nil once it is given back.
    private let lock: Mutex<Int32?>

    /// Makes the folder where it is missing and locks it; throws `unavailable` where another simulator has it.
    init(_ path: String) throws {
        self.path = path
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw AirbossError(
                .unavailable, "the simulator's directory \(path) cannot be made: \(error)",
                hint: "name another one with --directory")
        }
        let handle = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard handle >= 0 else {
            throw AirbossError(
                .unavailable, "the simulator's directory \(path) is not writable: \(StateDirectory.problem(errno))",
                hint: "name another one with --directory")
        }
        guard flock(handle, LOCK_EX | LOCK_NB) == 0 else {
            close(handle)
            throw AirbossError(
                .unavailable, "another simulator uses the directory \(path)",
                hint: "stop that one, or name another directory with --directory")
        }
        lock = Mutex(handle)
    }

    deinit {
        release()
    }

    /// Lets another simulator have the folder; nothing may be saved afterwards.
    func release() {
        lock.withLock { handle in
            if let handle { close(handle) }
            handle = nil
        }
    }

    var registry: String { path + "/registry" }
    var guests: String { path + "/guests" }
    private var snapshot: String { path + "/world.json" }

    /// The world as it was left; nil where this is a new directory. Throws `configuration` where it can't be read.
    func load() throws -> World? {
        guard FileManager.default.fileExists(atPath: snapshot) else { return nil }
        do {
            return try JSONDecoder().decode(World.self, from: Data(contentsOf: URL(filePath: snapshot)))
        } catch {
            throw AirbossError(
                .configuration, "the simulator's state cannot be read: \(error)",
                hint: "move the file away to start with an empty platform", location: snapshot)
        }
    }

    /// Replaces the kept world as a whole: a crash leaves the old one or the new one. It holds secrets, so that only
    /// its owner may read it.
    func save(_ world: World) throws {
        let data = try JSONEncoder().encode(world)
        let fresh = snapshot + ".new"
        let handle = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard handle >= 0 else { throw SystemError("the simulator's state cannot be written", errno) }
        defer { close(handle) }
        var offset = 0
        while offset < data.count {
            let written = data.withUnsafeBytes { bytes in
                write(handle, bytes.baseAddress.map { $0 + offset }, bytes.count - offset)
            }
            guard written > 0 else { throw SystemError("the simulator's state cannot be written", errno) }
            offset += written
        }
        guard rename(fresh, snapshot) == 0 else {
            throw SystemError("the simulator's state cannot be written", errno)
        }
    }

    private static func problem(_ number: Int32) -> String {
        String(cString: strerror(number))
    }
}
