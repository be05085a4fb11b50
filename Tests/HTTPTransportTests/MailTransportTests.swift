// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import TestSupport
import Testing

@Suite struct MailTransportTests {
    static let text = "Subject: released\n\nline one\n.\n..dots\nend\n"
    static let onWire = "Subject: released\r\n\r\nline one\r\n.\r\n..dots\r\nend\r\n"

    private func envelope(_ server: String, to recipients: [String] = ["b@example.com"]) -> MailEnvelope {
        MailEnvelope(server: server, from: "a@example.com", recipients: recipients, message: Data(Self.text.utf8))
    }

    @Test func `a message arrives as it was, dots and line ends included`() async throws {
        let server = try LoopbackMailServer()
        let mail = MailTransport()
        let receipt = try await mail.send(envelope(server.url, to: ["b@example.com", "c@example.com"]))
        #expect(receipt.accepted == ["b@example.com", "c@example.com"])
        #expect(receipt.refused == [])
        #expect(receipt.reply == "250 2.0.0 queued as 2")
        let message = try #require(server.messages.first)
        #expect(message.from == "a@example.com")
        #expect(message.recipients == receipt.accepted)
        #expect(message.text == Self.onWire)
        #expect(server.commands.last == "QUIT")
        await mail.shutdown()
    }

    @Test func `the login is taken from the URL`() async throws {
        let server = try LoopbackMailServer(.init(credentials: ("air@boss", "p@ss:w/rd")))
        let mail = MailTransport()
        let url = server.url.replacing("//", with: "//air%40boss:p%40ss%3Aw%2Frd@") + "?tls=none"
        _ = try await mail.send(envelope(url))
        #expect(server.messages.first?.user == "air@boss")

        let wrong = server.url.replacing("//", with: "//air%40boss:hunter2@")
        let error = await #expect(throws: MailError.self) { try await mail.send(envelope(wrong)) }
        #expect(error?.code == .loginRefused)
        #expect(error?.isRetryable == false)
        #expect(error?.message.contains("535 5.7.8") == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("hunter2") == false)
        #expect(!"\(envelope(wrong))".contains("hunter2"))

        let none = await #expect(throws: MailError.self) { try await mail.send(envelope(server.url)) }
        #expect(none?.code == .senderRefused)
        await mail.shutdown()
    }

    @Test func `refused recipients are reported one by one`() async throws {
        let server = try LoopbackMailServer(
            .init(replies: [
                "RCPT TO:<x@example.com>": "550 5.1.1 no such user", "RCPT TO:<y@example.com>": "450 4.2.1 later",
            ]))
        let mail = MailTransport()
        let receipt = try await mail.send(
            envelope(server.url, to: ["x@example.com", "b@example.com", "y@example.com"]))
        #expect(receipt.accepted == ["b@example.com"])
        #expect(receipt.refused.map(\.recipient) == ["x@example.com", "y@example.com"])
        #expect(receipt.refused.map(\.status) == [550, 450])
        #expect(receipt.refused.map(\.isRetryable) == [false, true])
        #expect(receipt.refused.first?.reply == "550 5.1.1 no such user")
        #expect(server.messages.first?.recipients == ["b@example.com"])
        await mail.shutdown()
    }

    @Test(arguments: [
        ("CONNECT", "554 5.3.2 go away", MailError.Code.serverRefused, false),
        ("CONNECT", "421 4.3.2 busy", .serverRefused, true),
        ("MAIL", "550 5.7.1 not you", .senderRefused, false),
        ("MAIL", "451 4.3.0 later", .senderRefused, true),
        ("RCPT", "550 5.1.1 no such user", .recipientsRefused, false),
        ("RCPT", "450 4.2.0 greylisted", .recipientsRefused, true),
        ("DATA", "554 5.6.0 no", .messageRefused, false),
        (".", "552 5.3.4 too big", .messageRefused, false),
        (".", "451 4.3.0 disk full", .messageRefused, true),
        ("RCPT", "421 4.7.0 closing", .recipientsRefused, true),
    ])
    func `a refusal says by whom, of what and whether for good`(
        step: String, reply: String, code: MailError.Code, isRetryable: Bool
    ) async throws {
        let server = try LoopbackMailServer(.init(replies: [step: reply]))
        let mail = MailTransport()
        let error = await #expect(throws: MailError.self) { try await mail.send(envelope(server.url)) }
        #expect(error?.code == code, "\(error?.message ?? "")")
        #expect(error?.isRetryable == isRetryable)
        #expect(error?.message.contains(reply) == true, "\(error?.message ?? "")")
        #expect(server.messages.isEmpty)
        await mail.shutdown()
    }

    @Test(arguments: ["CONNECT", "EHLO", "RCPT", "DATA", "."])
    func `a server that falls silent is given up`(step: String) async throws {
        let server = try LoopbackMailServer(.init(stalls: [step]))
        let mail = MailTransport(timeouts: HTTPTimeouts(connect: .seconds(5), total: .milliseconds(400)))
        let error = await #expect(throws: MailError.self) { try await mail.send(envelope(server.url)) }
        #expect(error?.code == .timedOut, "\(error?.message ?? "")")
        #expect(error?.isRetryable == true)
        #expect(error?.message.contains("may have taken") == (step == "."))
        await mail.shutdown()
    }

    @Test func `a goodbye that is not answered does not undo the message`() async throws {
        let server = try LoopbackMailServer(.init(stalls: ["QUIT"]))
        let mail = MailTransport(timeouts: HTTPTimeouts(total: .seconds(20), stall: .seconds(20)))
        #expect(try await mail.send(envelope(server.url)).accepted.count == 1)
        await mail.shutdown()
    }

    @Test func `no connection, and no SMTP`() async throws {
        let mail = MailTransport(timeouts: HTTPTimeouts(connect: .seconds(5), total: .seconds(5)))
        let closed = try LoopbackServer.unusedPort()
        let refused = await #expect(throws: MailError.self) {
            try await mail.send(envelope("smtp://127.0.0.1:\(closed)"))
        }
        #expect(refused?.code == .couldNotConnect)
        #expect(refused?.isRetryable == true)
        let unknown = await #expect(throws: MailError.self) {
            try await mail.send(envelope("smtp://does-not-exist.invalid"))
        }
        #expect(unknown?.code == .couldNotResolve)
        let plain = try LoopbackMailServer()
        let noTLS = await #expect(throws: MailError.self) {
            try await mail.send(envelope("smtps://127.0.0.1:\(plain.port)"))
        }
        #expect(noTLS?.code == .tlsFailed)
        await mail.shutdown()
    }

    @Test(arguments: [
        ("http://127.0.0.1", "a@b.c", "b@b.c", MailError.Code.invalidServer),
        ("smtp://mail.example.com?tls=none", "a@b.c", "b@b.c", .invalidServer),
        ("smtps://127.0.0.1?tls=none", "a@b.c", "b@b.c", .invalidServer),
        ("smtp://127.0.0.1?tls=maybe", "a@b.c", "b@b.c", .invalidServer),
        ("", "a@b.c", "b@b.c", .invalidServer),
        ("smtp://127.0.0.1", "a@b.c\r\nRCPT TO:<x@y.z>", "b@b.c", .invalidAddress),
        ("smtp://127.0.0.1", "a@b.c", "Bob <b@b.c>", .invalidAddress),
        ("smtp://127.0.0.1", "a@b.c", "nobody", .invalidAddress),
    ])
    func `a wrong envelope is refused before anything is sent`(
        server: String, from: String, to: String, code: MailError.Code
    ) async throws {
        let error = await #expect(throws: MailError.self) {
            try await MailTransport().send(
                MailEnvelope(server: server, from: from, recipients: [to], message: Data("x".utf8)))
        }
        #expect(error?.code == code)
        #expect(error?.isRetryable == false)
    }

    @Test func `mail can be cancelled`() async throws {
        let server = try LoopbackMailServer(.init(stalls: ["DATA"]))
        let mail = MailTransport()
        let task = Task { try await mail.send(envelope(server.url)) }
        while server.commands.last != "DATA" { try await Task.sleep(for: .milliseconds(2)) }
        task.cancel()
        let error = await #expect(throws: MailError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        await mail.shutdown()
    }

    @Test func `a mail that is cancelled on its way does not arrive as half a mail`() async throws {
        // It reads nothing for a while, so that most of the message still waits at our end.
        let server = try LoopbackMailServer(.init(pauses: ["DATA": .seconds(3)]))
        let mail = MailTransport()
        var envelope = envelope(server.url)
        envelope.message = Data(String(repeating: "a line of the message\n", count: 900_000).utf8)
        let whole = envelope
        let task = Task { try await mail.send(whole) }
        while server.commands.last != "DATA" { try await Task.sleep(for: .milliseconds(2)) }
        try await Task.sleep(for: .milliseconds(100))
        task.cancel()
        let error = await #expect(throws: MailError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        await mail.shutdown()
        while server.openConnections > 0 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(server.messages.isEmpty)
    }
}
