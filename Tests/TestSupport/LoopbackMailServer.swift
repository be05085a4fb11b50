// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
internal import Synchronization

/// A small real SMTP server on 127.0.0.1 that records what it is sent (RFC 5321, AUTH PLAIN of RFC 4954; no TLS).
package final class LoopbackMailServer: Sendable {
    /// What it does other than accept everything.
    ///
    /// A step is named by how the client's line begins, in any case: `EHLO`, `AUTH`, `MAIL`, `RCPT TO:<a@b>`, `DATA`,
    /// `QUIT`; by `CONNECT` for the greeting and `.` for the end of a message.
    package struct Script: Sendable {
        /// The reply to a step in place of the good one, such as `550 5.1.1 no such user`; 421 ends the connection.
        package var replies: [String: String]
        /// Steps that get no reply at all.
        package var stalls: Set<String>
        /// How long it reads nothing after the reply to a step.
        package var pauses: [String: Duration]
        /// Where it is set, mail is taken only after AUTH PLAIN with these.
        package var credentials: (user: String, password: String)?
        /// Announced besides AUTH.
        package var extensions: [String]

        package init(
            replies: [String: String] = [:], stalls: Set<String> = [], pauses: [String: Duration] = [:],
            credentials: (user: String, password: String)? = nil, extensions: [String] = ["8BITMIME", "SIZE 26214400"]
        ) {
            self.replies = replies
            self.stalls = stalls
            self.pauses = pauses
            self.credentials = credentials
            self.extensions = extensions
        }
    }

    /// A message that was accepted.
    package struct Message: Sendable {
        package var from: String
        /// The accepted ones.
        package var recipients: [String]
        /// As sent, with its CRLFs, without the dots added for the transfer.
        package var data: Data
        /// Who was logged in.
        package var user: String?

        package var text: String { String(decoding: data, as: UTF8.self) }
    }

    private let listener: LoopbackListener
    private let log = MailLog()

    /// Starts at once.
    package init(_ script: Script = Script()) throws {
        listener = try LoopbackListener()
        listener.start { [log] connection in
            var session = MailSession(connection: connection, script: script, log: log)
            session.run()
        }
    }

    deinit {
        stop()
    }

    package var port: Int { listener.port }

    /// `smtp://127.0.0.1:PORT`.
    package var url: String { "smtp://127.0.0.1:\(port)" }

    package var messages: [Message] { log.state.withLock { $0.messages } }

    /// Every line the client sent outside of messages.
    package var commands: [String] { log.state.withLock { $0.commands } }

    package var acceptedConnections: Int { listener.accepted }

    /// Connections that are open now.
    package var openConnections: Int { listener.open }

    /// Ends every connection and the server; may be called more than once.
    package func stop() {
        listener.stop()
    }
}

private final class MailLog: Sendable {
    struct State {
        var messages: [LoopbackMailServer.Message] = []
        var commands: [String] = []
    }

    let state = Mutex(State())
}

private struct MailSession {
    let connection: LoopbackConnection
    let script: LoopbackMailServer.Script
    let log: MailLog
    var buffer: [UInt8] = []
    var message = LoopbackMailServer.Message(from: "", recipients: [], data: Data())

    mutating func run() {
        guard reply(to: "CONNECT", "220 loopback ESMTP") else { return }
        while let line = line() {
            let command = String(decoding: line, as: UTF8.self)
            log.state.withLock { $0.commands.append(command) }
            guard handle(command) else { return }
        }
    }

    /// False where the connection ends.
    private mutating func handle(_ command: String) -> Bool {
        switch command.split(separator: " ").first?.uppercased() {
        case "EHLO":
            let extensions = script.extensions + (script.credentials == nil ? [] : ["AUTH PLAIN"])
            let lines = ["loopback"] + extensions
            let last = lines.count - 1
            return reply(
                to: command,
                lines.enumerated().map { "250\($0.offset == last ? " " : "-")\($0.element)" }.joined(separator: "\r\n"))
        case "HELO": return reply(to: command, "250 loopback")
        case "AUTH": return authenticate(command)
        case "MAIL":
            guard script.credentials == nil || message.user != nil else { return send("530 5.7.0 log in first") }
            let user = message.user
            message = LoopbackMailServer.Message(from: address(in: command), recipients: [], data: Data(), user: user)
            return reply(to: command, "250 2.1.0 fine")
        case "RCPT":
            return reply(to: command, "250 2.1.5 fine") { $0.message.recipients.append($0.address(in: command)) }
        case "DATA":
            guard !message.recipients.isEmpty else { return send("503 5.5.1 no recipients") }
            var isAccepted = false
            guard reply(to: command, "354 go on", { _ in isAccepted = true }) else { return false }
            return isAccepted ? receiveMessage() : true
        case "RSET", "NOOP": return reply(to: command, "250 2.0.0 fine")
        case "QUIT":
            _ = reply(to: command, "221 2.0.0 bye")
            return false
        default: return reply(to: command, "502 5.5.1 unknown")
        }
    }

    private mutating func authenticate(_ command: String) -> Bool {
        var words = command.split(separator: " ").map(String.init)
        if words.count == 2 {
            guard send("334 "), let line = line() else { return false }
            words.append(String(decoding: line, as: UTF8.self))
        }
        let parts = Data(base64Encoded: words.last ?? "")?.split(separator: 0, omittingEmptySubsequences: false)
        let given = (parts ?? []).map { String(decoding: $0, as: UTF8.self) }
        guard let expected = script.credentials, given.count == 3, given[1] == expected.user,
            given[2] == expected.password
        else { return send("535 5.7.8 wrong credentials") }
        return reply(to: command, "235 2.7.0 welcome") { $0.message.user = expected.user }
    }

    private mutating func receiveMessage() -> Bool {
        var data = Data()
        while let line = line() {
            if line == [UInt8(ascii: ".")] {
                message.data = data
                return reply(to: ".", "250 2.0.0 queued as \(message.recipients.count)") { session in
                    session.log.state.withLock { $0.messages.append(session.message) }
                }
            }
            data.append(contentsOf: line.first == UInt8(ascii: ".") ? line.dropFirst() : line[...])
            data.append(contentsOf: "\r\n".utf8)
        }
        return false
    }

    /// Replies as the script says or else well, and then does what follows from a good reply.
    private mutating func reply(
        to command: String, _ good: String, _ whenGood: (inout MailSession) -> Void = { _ in }
    ) -> Bool {
        let isThis = { (step: String) in command.uppercased().hasPrefix(step.uppercased()) }
        if script.stalls.contains(where: isThis) {
            connection.pause(nil)
            return false
        }
        if let scripted = script.replies.first(where: { isThis($0.key) })?.value {
            return send(scripted) && !scripted.hasPrefix("421")
        }
        whenGood(&self)
        guard send(good) else { return false }
        if let pause = script.pauses.first(where: { isThis($0.key) })?.value { connection.pause(pause) }
        return true
    }

    private func send(_ line: String) -> Bool {
        connection.write((line + "\r\n").utf8)
    }

    private func address(in command: String) -> String {
        String(command.drop { $0 != "<" }.dropFirst().prefix { $0 != ">" })
    }

    /// Without its CRLF; a line that ends with a bare LF is no line, as RFC 5321 section 2.3.8 has it.
    private mutating func line() -> [UInt8]? {
        while true {
            if let end = buffer.firstRange(of: Array("\r\n".utf8)) {
                defer { buffer.removeFirst(end.upperBound) }
                return Array(buffer[..<end.lowerBound])
            }
            let more = connection.read()
            guard !more.isEmpty else { return nil }
            buffer += more
        }
    }
}
