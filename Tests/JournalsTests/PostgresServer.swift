// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

@testable import Journals

/// A PostgreSQL server of Debian's package in a folder of its own, on a port of its own, ended with this process.
final class PostgresServer: Sendable {
    /// The server that the tests of this process share.
    static let shared = Task { try await PostgresServer() }

    static let password = "correct horse/battery@staple"
    static let user = "airboss_owner"

    private static let programs: String? = {
        let root = "/usr/lib/postgresql"
        // Where nothing is installed there is no such folder.
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return versions.compactMap { Int($0) }.sorted(by: >).map { "\(root)/\($0)/bin" }
            .first { access($0 + "/initdb", X_OK) == 0 }
    }()
    static var isInstalled: Bool { programs != nil }

    let folder: String
    let port: Int
    private let number = Atomic(0)
    private let program = Mutex<Program?>(nil)
    private let settings: [String]
    private let administration = DispatchQueue(label: "airboss.tests.postgres")

    init(settings: [String] = []) async throws {
        folder = "/tmp/airboss-postgres-\(getpid())-\(Int.random(in: 1000...9999))"
        port = try PostgresServer.freePort()
        self.settings = settings
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        if geteuid() == 0, let account = getpwnam("postgres") {
            try #require(chown(folder, account.pointee.pw_uid, account.pointee.pw_gid) == 0)
        }
        PostgresServer.endWithProcess(self)
        let programs = try #require(PostgresServer.programs)
        let password = folder + "/password"
        try Data((PostgresServer.password + "\n").utf8).write(to: URL(filePath: password))
        try await run([
            programs + "/initdb", "-D", folder + "/data", "-U", PostgresServer.user, "-E", "UTF8", "--locale=C.UTF-8",
            "--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile=\(password)", "--no-sync",
        ])
        try await run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
            folder + "/data/server.key", "-out", folder + "/data/server.crt",
        ])
        try await start()
    }

    /// Starts the server, also over the data of one that was killed, and returns when it answers.
    func start() async throws {
        let words =
            [
                try #require(PostgresServer.programs) + "/postgres", "-D", folder + "/data", "-k", folder, "-p",
                "\(port)", "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-c", "max_connections=300", "-c",
                "shared_buffers=32MB",
            ] + settings.flatMap { ["-c", $0] }
        let started = try await Program(asServer(words), log: folder + "/log")
        program.withLock { $0 = started }
        PostgresServer.running.withLock { $0[folder] = started.process }
        for _ in 0..<600 {
            do {
                try await script("SELECT 1")
                return
            } catch {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        let log = try String(contentsOfFile: folder + "/log", encoding: .utf8)
        Issue.record("the server did not start: \(log)")
    }

    /// Ends the server and every process of it as a power cut would: nothing is told, nothing is written any more.
    func killAll() async throws {
        let running = try #require(program.withLock { $0 })
        let children = try PostgresServer.children(of: running.process)
        for process in [running.process] + children { kill(process, SIGKILL) }
        _ = await running.end()
        // Until its processes are gone the memory they share is in use, and no server starts over it.
        while try children.contains(where: { try PostgresServer.parent(of: $0) != nil }) {
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Sends every process of the server a signal: SIGSTOP makes it say nothing any more, SIGCONT go on.
    func signalAll(_ signal: Int32) throws {
        let running = try #require(program.withLock { $0 })
        for process in [running.process] + (try PostgresServer.children(of: running.process)) { kill(process, signal) }
    }

    func stop() async throws {
        guard let running = program.withLock({ $0 }) else { return }
        kill(running.process, SIGINT)
        _ = await running.end()
        try FileManager.default.removeItem(atPath: folder)
        PostgresServer.running.withLock { $0[folder] = nil }
    }

    // MARK: Databases

    /// Makes a database that nobody else uses.
    func makeDatabase() async throws -> String {
        let name = "place_\(number.wrappingAdd(1, ordering: .relaxed).newValue)"
        try await script("CREATE DATABASE \(name)")
        return name
    }

    /// The URL by which the owner reaches a database over the server's socket.
    func url(of database: String) -> String {
        "postgres:///\(database)?host=\(folder)&port=\(port)&user=\(PostgresServer.user)"
    }

    /// The URL by which it is reached over TCP, with a password.
    func networkURL(of database: String, host: String = "localhost", options: String) -> String {
        let password = PostgresServer.password.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        return "postgres://\(PostgresServer.user):\(password)@\(host):\(port)/\(database)?\(options)"
    }

    /// Executes statements in a database; returns the first column of the last one's first row.
    @discardableResult
    func script(_ sql: String, in database: String = "postgres") async throws -> String? {
        let url = try PostgresURL(url(of: database))
        let result: Result<String?, any Error> = await withCheckedContinuation { continuation in
            administration.async {
                continuation.resume(
                    returning: Result {
                        try PostgresConnection(url, patience: .seconds(30)).script(sql)?.text
                    })
            }
        }
        return try result.get()
    }

    // MARK: Processes

    /// The words that run a program as a user whom PostgreSQL accepts, ended with the thread that starts it.
    private func asServer(_ words: [String]) -> [String] {
        let user = geteuid() == 0 ? ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] : []
        return ["setpriv"] + user + ["--pdeathsig", "QUIT", "--"] + words
    }

    private func run(_ words: [String]) async throws {
        let log = folder + "/setup.log"
        let status = try await Program(asServer(words), log: log).end()
        if status != 0 {
            Issue.record("\(words) ended with \(status): \(try String(contentsOfFile: log, encoding: .utf8))")
        }
        try #require(status == 0)
    }

    private static func freePort() throws -> Int {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                try #require(bind(socket, pointer, length) == 0)
                try #require(getsockname(socket, pointer, &length) == 0)
            }
            return Int(UInt16(bigEndian: pointer.pointee.sin_port))
        }
    }

    static func children(of process: pid_t) throws -> [pid_t] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { pid_t($0) }
            .filter { try parent(of: $0) == process }
    }

    /// The parent of a process; nil where the process has ended.
    private static func parent(of process: pid_t) throws -> pid_t? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return nil }
        let text = String(decoding: data, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 1, fields[0] != "Z" else { return nil }
        return pid_t(fields[1])
    }

    /// The servers to end with this process, by their folders.
    private static let running = Mutex<[String: pid_t]>([:])

    private static func endWithProcess(_ server: PostgresServer) {
        let isFirst = running.withLock { running in
            defer { running[server.folder] = 0 }
            return running.isEmpty
        }
        guard isFirst else { return }
        atexit {
            for (folder, process) in PostgresServer.running.withLock({ $0 }) {
                // It goes on writing until it is gone; a second is more than it needs.
                if process > 0, kill(process, SIGQUIT) == 0 {
                    for _ in 0..<200 where kill(process, 0) == 0 { usleep(5_000) }
                }
                // What can't be removed stays in the system's temporary folder.
                try? FileManager.default.removeItem(atPath: folder)
            }
        }
    }
}
