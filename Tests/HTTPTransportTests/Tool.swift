// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Glibc
import HTTPTransport
import Testing

/// A program of the system's that a test runs, ended when it goes away.
///
/// Not Foundation's `Process`: its `waitUntilExit` can wait for ever on a thread of Swift's pool.
final class Tool {
    struct NotReady: Error {
        var output: String
    }

    /// How long a program may take to get ready; it only bounds how long a broken one is waited for.
    private static let patience: Duration = .seconds(20)

    private var process = pid_t()
    private var status: Int32 = 0
    private let log: String

    init(_ name: String, _ arguments: [String], in folder: String) throws {
        let path = try #require(Self.path(name))
        log = folder + "/\(name)-\(UUID().uuidString).log"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let words = ([path] + arguments).map { strdup($0) }
        defer { words.forEach { free($0) } }
        // The path alone: some programs are scripts that look for others.
        let variables = [strdup("PATH=" + (getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"))]
        defer { variables.forEach { free($0) } }
        try #require(posix_spawn(&process, path, &actions, nil, words + [nil], variables + [nil]) == 0)
    }

    deinit {
        stop()
    }

    /// Ends the program, if it has not ended by itself.
    func stop() {
        guard isRunning() else { return }
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
        process = 0
    }

    /// A process that was waited for is gone, and its number may be another's.
    private func isRunning() -> Bool {
        guard process > 0 else { return false }
        if waitpid(process, &status, WNOHANG) != 0 { process = 0 }
        return process > 0
    }

    /// Where a program is, or nil where it is not installed.
    static func path(_ name: String) -> String? {
        let folders = getenv("PATH").map { String(cString: $0).split(separator: ":").map(String.init) } ?? []
        return (folders + ["/usr/sbin"]).map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// `key.pem` and a self-signed `cert.pem` for some names.
    static func makeCertificate(in folder: String, names: String) async throws {
        let arguments =
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
            + " -subj /CN=loopback -addext subjectAltName=\(names)"
        let openssl = try Tool(
            "openssl",
            arguments.split(separator: " ").map(String.init)
                + ["-keyout", folder + "/key.pem", "-out", folder + "/cert.pem"], in: folder)
        while openssl.isRunning() { try await Task.sleep(for: .milliseconds(10)) }
        try #require(openssl.status == 0)
    }

    /// The rest of the line after some words, once the program printed them.
    func output(after words: String) async throws -> String {
        let limit = ContinuousClock.now + Self.patience
        while true {
            let hasEnded = !isRunning()
            let text = FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
            if let range = text.firstRange(of: words), let end = text[range.upperBound...].firstIndex(of: "\n") {
                return String(text[range.upperBound..<end])
            }
            guard !hasEnded, ContinuousClock.now < limit else { throw NotReady(output: text) }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Returns once the program answers at a port of 127.0.0.1.
    func listens(on port: Int) async throws {
        let client = HTTPClient()
        let limit = ContinuousClock.now + Self.patience
        while isRunning(), ContinuousClock.now < limit {
            do throws(HTTPError) {
                _ = try await client.send(HTTPRequest("GET", "http://127.0.0.1:\(port)/"))
                return
            } catch  where error.code != .couldNotConnect {
                return
            } catch {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        throw NotReady(output: "nothing listens on port \(port)")
    }
}
