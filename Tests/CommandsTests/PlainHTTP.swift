// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Synchronization

/// One HTTP/1.1 request over a socket of its own: a client that shares nothing with Airboss's.
enum PlainHTTP {
    struct Answer: Sendable {
        var status: Int
        var head: String
        var body: Data

        var text: String { String(decoding: body, as: UTF8.self) }
        var json: JSONValue? { try? JSONValue(parsing: body) }  // a body may be no JSON
    }

    /// Longer than anything a test does, so that a hang ends.
    private static let timeoutSeconds = 60

    /// Blocks; `Host` is `host`, whatever the port's address is.
    static func send(
        _ method: String, _ path: String, port: Int, host: String, headers: [String: String] = [:], body: String = ""
    ) throws -> Answer {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Trouble("no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var patience = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw Trouble("cannot connect to port \(port): \(String(cString: strerror(errno)))") }
        var request = "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n"
        for (name, value) in headers { request += "\(name): \(value)\r\n" }
        request += "Content-Length: \(body.utf8.count)\r\n\r\n" + body
        var rest = Array(request.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw Trouble("the connection broke while sending") }
            rest = rest.dropFirst(count)
        }
        var received = Data()
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count >= 0 else { throw Trouble("no answer: \(String(cString: strerror(errno)))") }
            if count == 0 { break }
            received.append(contentsOf: buffer[..<count])
        }
        return try parse(received)
    }

    private static func parse(_ bytes: Data) throws -> Answer {
        guard let end = bytes.firstRange(of: Data("\r\n\r\n".utf8)) else { throw Trouble("the answer has no head") }
        let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
        let words = head.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, let status = Int(words[1].prefix(3)) else { throw Trouble("no status: \(head)") }
        var body = Data(bytes[end.upperBound...])
        let lowered = head.lowercased()
        if lowered.contains("transfer-encoding: chunked") {
            body = try unchunk(body)
        } else if let length = lowered.split(separator: "\r\n").first(where: { $0.hasPrefix("content-length:") }) {
            let expected = Int(length.dropFirst("content-length:".count).filter(\.isNumber)) ?? 0
            guard body.count == expected else { throw Trouble("\(body.count) bytes of \(expected) came") }
        }
        return Answer(status: status, head: head, body: body)
    }

    private static func unchunk(_ bytes: Data) throws -> Data {
        var rest = bytes
        var body = Data()
        while let line = rest.firstRange(of: Data("\r\n".utf8)) {
            let digits = String(decoding: rest[rest.startIndex..<line.lowerBound], as: UTF8.self)
            guard let size = Int(digits, radix: 16), rest.endIndex - line.upperBound >= size + 2 else { break }
            if size == 0 { return body }
            body.append(rest[line.upperBound..<line.upperBound + size])
            rest = rest[(line.upperBound + size + 2)...]
        }
        throw Trouble("the chunks break off")
    }
}

/// Requests one after the other, without pause, on a thread of its own.
final class Load: Sendable {
    struct Report: Sendable {
        var requests = 0
        var failures: [String] = []
    }

    private struct State {
        var report = Report()
        var isOver = false
        var hasEnded = false
    }

    private let state = Mutex(State())

    init(port: Int, host: String, path: String = "/") {
        Thread.detachNewThread { [self] in
            while !state.withLock({ $0.isOver }) {
                var failure: String?
                do {
                    let answer = try PlainHTTP.send("GET", path, port: port, host: host)
                    if answer.status != 200 { failure = "\(answer.status) \(answer.text)" }
                } catch {
                    failure = "\(error)"
                }
                state.withLock { state in
                    state.report.requests += 1
                    if let failure { state.report.failures.append(failure) }
                }
            }
            state.withLock { $0.hasEnded = true }
        }
    }

    /// What happened since the last call.
    func take() -> Report {
        state.withLock { state in
            defer { state.report = Report() }
            return state.report
        }
    }

    /// Ends it, with its last answer read.
    func stop() async throws -> Report {
        state.withLock { $0.isOver = true }
        while !state.withLock({ $0.hasEnded }) { try await Task.sleep(for: .milliseconds(5)) }
        return take()
    }
}
