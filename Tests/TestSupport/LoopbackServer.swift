// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
internal import Synchronization

/// A small real HTTP/1.1 server on 127.0.0.1 whose answers a test scripts, down to the bytes.
///
///     let server = try LoopbackServer { request in request.path == "/slow" ? .stall : .status(200, "fine") }
///     defer { server.stop() }
package final class LoopbackServer: Sendable {
    /// A request as it arrived.
    package struct Request: Sendable {
        package var method: String
        /// Path and query.
        package var target: String
        package var headers: [(name: String, value: String)]
        package var body: Data
        /// The number of its connection, from 1.
        package var connection: Int

        /// The target without its query.
        package var path: String { String(target.prefix { $0 != "?" }) }

        /// The first value of a header field, by its name in any case.
        package func header(_ name: String) -> String? {
            headers.first { $0.name.lowercased() == name.lowercased() }?.value
        }
    }

    private let listener: LoopbackListener
    private let received = RequestLog()

    /// Starts at once; `answer` is called on the connection's thread, for several connections at the same time.
    package init(_ answer: @escaping @Sendable (Request) -> LoopbackAnswer) throws {
        listener = try LoopbackListener()
        listener.start { [received] connection in
            var reader = RequestReader(connection: connection)
            while let request = reader.next() {
                received.append(request)
                guard answer(request).send(over: connection, isHead: request.method == "HEAD") else { return }
            }
        }
    }

    deinit {
        stop()
    }

    package var port: Int { listener.port }

    /// `http://127.0.0.1:PORT`, without a slash at its end.
    package var url: String { "http://127.0.0.1:\(port)" }

    /// Every request received so far, in the order of their arrival.
    package var requests: [Request] { received.all }

    /// Connections accepted so far.
    package var acceptedConnections: Int { listener.accepted }

    /// Connections that are open now.
    package var openConnections: Int { listener.open }

    /// Ends every connection and the server; may be called more than once.
    package func stop() {
        listener.stop()
    }

    /// A port of 127.0.0.1 at which nothing listens, for refused connections.
    package static func unusedPort() throws -> Int {
        try LoopbackListener().port
    }
}

private final class RequestLog: Sendable {
    private let requests = Mutex<[LoopbackServer.Request]>([])

    var all: [LoopbackServer.Request] { requests.withLock { $0 } }

    func append(_ request: LoopbackServer.Request) {
        requests.withLock { $0.append(request) }
    }
}

private struct RequestReader {
    let connection: LoopbackConnection
    var buffer: [UInt8] = []

    /// Nil where the connection ended, or something came that is not HTTP/1.
    mutating func next() -> LoopbackServer.Request? {
        guard let head = take(through: Array("\r\n\r\n".utf8)) else { return nil }
        var lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        guard !lines.isEmpty else { return nil }
        let start = lines.removeFirst().split(separator: " ")
        guard start.count == 3 else { return nil }
        var request = LoopbackServer.Request(
            method: String(start[0]), target: String(start[1]), headers: [], body: Data(),
            connection: connection.number)
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            request.headers.append((String(line[..<colon]), String(value)))
        }
        if request.header("expect") != nil { connection.write("HTTP/1.1 100 Continue\r\n\r\n".utf8) }
        if request.header("transfer-encoding")?.lowercased() == "chunked" {
            guard let body = takeChunks() else { return nil }
            request.body = body
        } else if let length = request.header("content-length").flatMap({ Int($0) }) {
            guard let body = take(length) else { return nil }
            request.body = Data(body)
        }
        return request
    }

    private mutating func takeChunks() -> Data? {
        var body = Data()
        while let line = take(through: Array("\r\n".utf8)) {
            let digits = String(decoding: line.prefix { $0 != UInt8(ascii: ";") }, as: UTF8.self)
            guard let size = Int(digits.filter(\.isHexDigit), radix: 16), let chunk = take(size + 2) else { return nil }
            body.append(contentsOf: chunk.prefix(size))
            if size == 0 { return body }
        }
        return nil
    }

    private mutating func take(_ count: Int) -> [UInt8]? {
        while buffer.count < count {
            let more = connection.read()
            guard !more.isEmpty else { return nil }
            buffer += more
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    private mutating func take(through end: [UInt8]) -> [UInt8]? {
        while true {
            if let range = buffer.firstRange(of: end) { return take(range.upperBound) }
            let more = connection.read()
            guard !more.isEmpty else { return nil }
            buffer += more
        }
    }
}
