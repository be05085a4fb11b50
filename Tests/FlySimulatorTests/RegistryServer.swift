// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Model
import NIOCore
import Testing

@testable import FlySimulator

/// A registry on a port of its own.
struct RegistryServer {
    let directory: String
    let store: RegistryStore

    /// Runs `body` with the server's port.
    static func with<Value: Sendable>(
        token: String? = nil, _ body: (RegistryServer, Int) async throws -> Value
    ) async throws -> Value {
        let directory = NSTemporaryDirectory() + "airboss-registry-" + UUID().uuidString
        let store = try RegistryStore(directory: directory)
        let router = Router()
        if let token {
            RegistryRoutes.add(to: router, store: store) { $0 == token }
        } else {
            RegistryRoutes.add(to: router, store: store)
        }
        let value = try await HTTPServerUnderTest.run(router) { port in
            try await body(RegistryServer(directory: directory, store: store), port)
        }
        try FileManager.default.removeItem(atPath: directory)
        return value
    }
}

/// Serves a responder on a free port of the loopback interface.
enum HTTPServerUnderTest {
    static func run<Value: Sendable>(
        _ router: Router<BasicRequestContext>, _ body: (Int) async throws -> Value
    ) async throws -> Value {
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                continuation.yield(channel.localAddress?.port ?? 0)
                continuation.finish()
            },
            logger: logger)
        let server = Task { try await application.run() }
        var iterator = ports.makeAsyncIterator()
        guard let port = await iterator.next() else { throw LabProblem("the server did not start") }
        let result: Result<Value, any Error>
        do {
            result = .success(try await body(port))
        } catch {
            result = .failure(error)
        }
        server.cancel()
        _ = await server.result
        return try result.get()
    }
}

/// An answer as curl shows it: a client with an HTTP of its own.
struct Answer: Sendable {
    var status: Int
    var headers: [String: String]
    var body: Data

    var error: String? { (try? JSONValue(parsing: body))?["errors"]?[0]?["code"]?.string }

    static func of(
        _ method: String, _ port: Int, _ path: String, headers: [String: String] = [:], body: [UInt8]? = nil
    ) async throws -> Answer {
        let verb = method == "HEAD" ? ["--head"] : ["-i", "-X", method]
        let request = ["curl", "-sS", "--max-time", "120"] + verb + ["http://127.0.0.1:\(port)\(path)"]
        return try await Command.answer(request, headers: headers, body: body)
    }
}

/// Programs of the host, run without blocking the cooperative pool.
enum Command {
    static func run(_ words: [String], input: [UInt8]? = nil) async throws -> (status: Int32, output: Data) {
        try await withCheckedThrowingContinuation { continuation in
            // Not a global queue: its threads are those that the cooperative pool needs.
            _ = Launch.detach {
                let process = Process()
                process.executableURL = URL(filePath: "/usr/bin/env")
                process.arguments = words
                let output = Pipe()
                process.standardOutput = output
                process.standardError = output
                let feed = Pipe()
                process.standardInput = feed
                do {
                    try process.run()
                    try feed.fileHandleForWriting.write(contentsOf: Data(input ?? []))
                    try feed.fileHandleForWriting.close()
                    let data = output.fileHandleForReading.readDataToEndOfFile()
                    process.waitUntilExit()
                    continuation.resume(returning: (process.terminationStatus, data))
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }

    static func answer(_ words: [String], headers: [String: String], body: [UInt8]?) async throws -> Answer {
        var words = words
        for (name, value) in headers { words += ["-H", "\(name): \(value)"] }
        if body != nil { words += ["-H", "Expect:", "--data-binary", "@-"] }
        let result = try await run(words, input: body)
        guard result.status == 0, let end = result.output.range(of: Data("\r\n\r\n".utf8)) else {
            throw LabProblem("curl ended with \(result.status): \(String(decoding: result.output, as: UTF8.self))")
        }
        let lines = String(decoding: result.output[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return Answer(
            status: Int(lines[0].split(separator: " ")[1]) ?? 0, headers: fields,
            body: Data(result.output[end.upperBound...]))
    }

    static func has(_ program: String) -> Bool {
        let found = ["/usr/bin/", "/usr/local/bin/", "/bin/"].contains { access($0 + program, X_OK) == 0 }
        if !found { print("tests with \(program) are skipped: it is not installed") }
        return found
    }
}
