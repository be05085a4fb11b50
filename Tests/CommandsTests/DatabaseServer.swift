// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Testing

/// A PostgreSQL server of Debian's package on a socket in a folder of its own, that can be stopped and killed.
final class DatabaseServer: Sendable {
    private static let programs: String? = {
        let root = "/usr/lib/postgresql"
        // Where nothing is installed there is no such folder.
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return versions.compactMap { Int($0) }.sorted(by: >).map { "\(root)/\($0)/bin" }
            .first { access($0 + "/initdb", X_OK) == 0 }
    }()

    static let canRun: Bool = {
        if programs != nil { return Surroundings.has("setpriv", for: "tests with PostgreSQL") }
        print("skipped: tests with PostgreSQL: its initdb is not installed")
        return false
    }()

    private let folder: String
    private let program: RunningProgram
    private let isOver: DispatchSemaphore

    /// Runs the body with a server, and ends it, whatever became of it.
    static func open(_ body: (DatabaseServer) async throws -> Void) async throws {
        let server = try await DatabaseServer()
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private init() async throws {
        guard let programs = DatabaseServer.programs else { throw Trouble("there is no initdb") }
        folder = "/tmp/airboss-database-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        if geteuid() == 0, let account = getpwnam("postgres") { chown(folder, account.pointee.pw_uid, gid_t.max) }
        let user = geteuid() == 0 ? ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] : []
        // It ends with the tests, also where they are killed.
        let words = ["setpriv"] + user + ["--pdeathsig", "QUIT", "--"]
        let made = try await RunningProgram.run(
            words + [
                programs + "/initdb", "-D", folder + "/data", "-U", "airboss", "-E", "UTF8", "--locale=C.UTF-8",
                "--auth=trust", "--no-sync",
            ])
        guard made.status == 0 else { throw Trouble("initdb: \(made.everything)") }
        let command =
            words + [
                programs + "/postgres", "-D", folder + "/data", "-k", folder, "-c", "listen_addresses=", "-c",
                "shared_buffers=32MB",
            ]
        let isOver = DispatchSemaphore(value: 0)
        self.isOver = isOver
        program = try await withCheckedThrowingContinuation { continuation in
            // From a thread that lives as long as the server: it ends with the thread that starts it.
            Thread.detachNewThread {
                continuation.resume(
                    with: Result { try RunningProgram(command, environment: Surroundings.environment, in: "/") })
                isOver.wait()
            }
        }
        try await program.wait(until: "the server's start") {
            $0.errorsSoFar.contains("ready to accept connections")
        }
    }

    /// The URL of the store.
    var url: String { url("postgres") }

    /// The URL of a database, by which a user reaches it.
    func url(_ database: String, user: String = "airboss") -> String {
        "postgres:///\(database)?host=\(folder)&user=\(user)"
    }

    /// Makes a database, empty or like another, to which nobody is connected; returns its URL.
    func makeDatabase(_ name: String, like template: String = "template0") async throws -> String {
        try await script("CREATE DATABASE \"\(name)\" TEMPLATE \"\(template)\"", in: "template1")
        return url(name)
    }

    /// Executes statements in a database; returns what they answer, values separated by `|`.
    @discardableResult
    func script(_ sql: String, in database: String) async throws -> String {
        let program = try #require(DatabaseServer.programs) + "/psql"
        let outcome = try await RunningProgram.run([
            program, "-AtXq", "-v", "ON_ERROR_STOP=1", "-c", sql, url(database),
        ])
        guard outcome.status == 0 else { throw Trouble("psql: \(outcome.everything)") }
        return outcome.output
    }

    /// Sends the server and every process of it a signal.
    func send(_ signal: Int32) throws {
        let children = try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { pid_t($0) }
            .filter { DatabaseServer.parent(of: $0) == program.pid }
        for process in [program.pid] + children { kill(process, signal) }
    }

    private func stop() async {
        // Where a process of it is gone meanwhile, nothing has to go on.
        try? send(SIGCONT)
        program.send(SIGQUIT)
        _ = await program.end()
        isOver.signal()
        try? FileManager.default.removeItem(atPath: folder)  // a leftover costs only room
    }

    private static func parent(of process: pid_t) -> pid_t? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return nil }
        let text = String(decoding: data, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 1 ? pid_t(fields[1]) : nil
    }
}
