// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials

/// What a ``LoopbackServer`` does about one request.
package struct LoopbackAnswer: Sendable {
    /// One thing after the other that happens on the connection.
    package enum Step: Sendable {
        case send(Data)
        case pause(Duration)
        /// Nothing more, until the client gives up or the server is stopped.
        case stall
        /// A TCP reset.
        case reset
        case close
    }

    package var head: [Step]
    /// Left out for a HEAD request.
    package var body: [Step]

    package init(head: [Step], body: [Step] = []) {
        self.head = head
        self.body = body
    }

    /// A status with a body and its length.
    package static func status(
        _ status: Int, _ body: String = "", type: String = "text/plain", headers: [(String, String)] = []
    ) -> LoopbackAnswer {
        bytes(status, Data(body.utf8), headers: [("Content-Type", type)] + headers)
    }

    package static func json(_ status: Int, _ body: String, headers: [(String, String)] = []) -> LoopbackAnswer {
        self.status(status, body, type: "application/json", headers: headers)
    }

    /// An error page as a proxy in between would send it.
    package static func html(_ status: Int) -> LoopbackAnswer {
        self.status(status, "<!DOCTYPE html><html><body><h1>\(status)</h1></body></html>", type: "text/html")
    }

    package static func bytes(_ status: Int, _ body: Data, headers: [(String, String)] = []) -> LoopbackAnswer {
        // 204 and 304 have no body, and 204 no length either.
        let length = status == 204 ? [] : [("Content-Length", "\(body.count)")]
        return LoopbackAnswer(head: [.head(status, headers + length)], body: body.isEmpty ? [] : [.send(body)])
    }

    package static func chunked(_ status: Int, _ chunks: [String]) -> LoopbackAnswer {
        let body = chunks.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }.joined() + "0\r\n\r\n"
        return LoopbackAnswer(
            head: [.head(status, [("Transfer-Encoding", "chunked")])], body: [.send(Data(body.utf8))])
    }

    package static func redirect(_ status: Int = 302, to location: String) -> LoopbackAnswer {
        self.status(status, "moved", headers: [("Location", location)])
    }

    /// 200 with so many bytes that mean nothing, always the same ones.
    package static func noise(bytes count: Int) -> LoopbackAnswer {
        bytes(200, Data.noise(count))
    }

    /// 200 whose body comes one byte at a time, with a pause before each.
    package static func slow(_ body: String, every pause: Duration) -> LoopbackAnswer {
        LoopbackAnswer(
            head: [.head(200, [("Content-Length", "\(body.utf8.count)")])],
            body: body.utf8.flatMap { [.pause(pause), .send(Data([$0]))] })
    }

    /// 200 that announces more than it sends, and then closes the connection or does what `ending` says.
    package static func truncated(
        _ body: String, announcing length: Int, ending: Step = .close
    ) -> LoopbackAnswer {
        LoopbackAnswer(
            head: [.head(200, [("Content-Length", "\(length)")])], body: [.send(Data(body.utf8)), ending])
    }

    /// These very bytes, and then the connection is closed.
    package static func raw(_ text: String) -> LoopbackAnswer {
        LoopbackAnswer(head: [.send(Data(text.utf8)), .close])
    }

    package static let stall = LoopbackAnswer(head: [.stall])
    package static let reset = LoopbackAnswer(head: [.reset])
    package static let closeWithoutAnswer = LoopbackAnswer(head: [.close])

    /// The same answer, later.
    package func after(_ delay: Duration) -> LoopbackAnswer {
        LoopbackAnswer(head: [.pause(delay)] + head, body: body)
    }

    /// The same answer, after which the connection is closed.
    package var closing: LoopbackAnswer { LoopbackAnswer(head: head, body: body + [.close]) }

    /// False where the connection has ended.
    func send(over connection: LoopbackConnection, isHead: Bool) -> Bool {
        for step in isHead ? head : head + body {
            switch step {
            case .send(let data): if !connection.write(data) { return false }
            case .pause(let duration): if !connection.pause(duration) { return false }
            case .stall:
                connection.pause(nil)
                return false
            case .reset:
                connection.reset()
                return false
            case .close: return false
            }
        }
        return true
    }
}

extension LoopbackAnswer.Step {
    /// A status line and header fields.
    package static func head(_ status: Int, _ headers: [(String, String)]) -> LoopbackAnswer.Step {
        let fields = headers.map { "\($0.0): \($0.1)\r\n" }.joined()
        return .send(Data("HTTP/1.1 \(status) Scripted\r\n\(fields)\r\n".utf8))
    }
}

extension Data {
    /// So many bytes that look random and are always the same (a linear congruential generator).
    package static func noise(_ count: Int) -> Data {
        // One block, repeated; its length is a prime, so that no buffer's size divides it.
        var block = [UInt8](repeating: 0, count: Swift.min(count, 65_521))
        var state: UInt32 = 0x2545_F491
        for index in block.indices {
            state = state &* 747_796_405 &+ 2_891_336_453
            block[index] = UInt8(truncatingIfNeeded: state >> 24)
        }
        var noise = Data(capacity: count)
        while noise.count < count { noise.append(contentsOf: block.prefix(count - noise.count)) }
        return noise
    }
}
