// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Foundation
import Glibc
import Model
import Synchronization

@testable import FlySimulator

/// A simulator with modelled guests in a folder of its own, and a client that knows nothing but sockets.
struct APIBench: Sendable {
    let address: SimulatorAddress

    /// Runs `body` against a simulator, and ends it.
    static func with(
        directory: String? = nil, change: (inout SimulatorConfiguration) -> Void = { _ in },
        _ body: @Sendable (APIBench) async throws -> Void
    ) async throws {
        let folder = directory ?? newFolder()
        defer { if directory == nil { remove(folder) } }
        var configuration = SimulatorConfiguration(directory: folder, guests: .model, isRateLimited: false, seed: 1)
        change(&configuration)
        let (addresses, feed) = AsyncStream.makeStream(of: SimulatorAddress.self)
        let simulator = Simulator(configuration: configuration) { feed.yield($0) }
        let running = Task {
            defer { feed.finish() }
            try await simulator.run()
        }
        var iterator = addresses.makeAsyncIterator()
        guard let address = await iterator.next() else {
            try await running.value
            throw Problem(text: "the simulator ended before it listened")
        }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(APIBench(address: address)))
        } catch {
            result = .failure(error)
        }
        running.cancel()
        try await running.value
        try result.get()
    }

    static func newFolder() -> String {
        FileManager.default.temporaryDirectory.path + "/airboss-simulator-\(UUID().uuidString)"
    }

    static func remove(_ folder: String) {
        // A folder that is not there needs no removing.
        try? FileManager.default.removeItem(atPath: folder)
    }

    struct Problem: Error {
        var text: String
    }

    struct Answer: Sendable {
        var status: Int
        /// Names in lower case.
        var headers: [String: String]
        var body: Data

        var json: JSONValue {
            get throws { try JSONValue(parsing: body) }
        }
    }

    // MARK: Calls

    /// The same question many times at once.
    func ask(_ count: Int, for path: String) async throws -> [Answer] {
        try await withThrowingTaskGroup(of: Answer.self) { group in
            for _ in 0..<count { group.addTask { try await call("GET", path) } }
            var answers: [Answer] = []
            for try await answer in group { answers.append(answer) }
            return answers
        }
    }

    @discardableResult
    func call(
        _ method: String, _ path: String, _ body: JSONValue? = nil, nonce: String? = nil, token: String? = "secret",
        host: String? = nil, headers: [String: String] = [:]
    ) async throws -> Answer {
        var all = headers
        all["Host"] = host ?? address.description
        all["Connection"] = "close"
        if let token { all["Authorization"] = "Bearer " + token }
        if let nonce { all["fly-machine-lease-nonce"] = nonce }
        return try await send(method, path, headers: all, body: body.map { Data($0.text().utf8) })
    }

    func send(_ method: String, _ path: String, headers: [String: String], body: Data?) async throws -> Answer {
        var text = "\(method) \(path) HTTP/1.1\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n" }
        let request = Data((text + "\r\n").utf8) + (body ?? Data())
        let port = address.port
        let bytes = try await withCheckedThrowingContinuation { continuation in
            // A thread of its own: blocked threads of Dispatch's pool would starve the simulator's queues.
            Thread.detachNewThread {
                continuation.resume(with: Result { try APIBench.exchange(request, port: port) })
            }
        }
        return try APIBench.parse(bytes)
    }

    private static func exchange(_ request: Data, port: Int) throws -> Data {
        let handle = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(handle) }
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = UInt16(port).bigEndian
        target.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(handle, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw Problem(text: "cannot connect: \(errno)") }
        var sent = 0
        while sent < request.count {
            let count = request.withUnsafeBytes { bytes in
                Glibc.send(handle, bytes.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { break }
            sent += count
        }
        var answer = Data()
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(handle, &buffer, buffer.count, 0)
            guard count > 0 else { return answer }
            answer.append(contentsOf: buffer[..<count])
        }
    }

    private static func parse(_ bytes: Data) throws -> Answer {
        guard let end = bytes.range(of: Data("\r\n\r\n".utf8)) else {
            throw Problem(text: "no whole answer, \(bytes.count) bytes")
        }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        let status = Int(lines[0].split(separator: " ")[1]) ?? 0
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
        }
        return Answer(status: status, headers: headers, body: Data(bytes[end.upperBound...]))
    }

    // MARK: Short cuts

    static func config(_ change: JSONValue = [:], image: String = "registry.fly.io/web:1") -> JSONValue {
        var config: JSONValue = [
            "image": .string(image), "metadata": ["fly_platform_version": "v2", "fly_process_group": "app"],
            "services": [
                [
                    "internal_port": 8080, "protocol": "tcp", "autostop": "off",
                    "checks": [["type": "http", "path": "/health", "interval": "15s"]],
                ]
            ],
        ]
        for (key, value) in change.object ?? [:] { config[key] = value }
        return config
    }

    func makeApp(_ name: String = "web") async throws {
        try await call("POST", "/v1/apps", ["name": .string(name), "org_slug": "hot"])
    }

    /// Makes a machine and waits until it has started.
    func makeMachine(_ change: JSONValue = [:]) async throws -> (id: String, instance: String) {
        let made = try await call("POST", "/v1/apps/web/machines", ["config": APIBench.config(change)])
        guard made.status == 200, let id = try made.json["id"]?.string,
            let instance = try made.json["instance_id"]?.string
        else { throw Problem(text: "no machine: \(made)") }
        let waited = try await call("GET", "/v1/apps/web/machines/\(id)/wait?state=started&timeout=10")
        guard waited.status == 200 else { throw Problem(text: "not started: \(waited)") }
        return (id, instance)
    }
}
