// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import TestSupport
import Testing

@testable import HTTPTransport

/// Mail over TLS, to a real SMTP server: from the first byte (`smtps://`), and after STARTTLS.
@Suite(
    .serialized,
    .enabled(
        if: Tool.path("openssl") != nil && Tool.path("python3") != nil, "openssl or python3 is not installed"))
struct SecureMailTests {
    /// RFC 5321 with AUTH PLAIN, as far as a client that sends mail needs it, over TLS by Python's `ssl`. What the
    /// client said, and whether it was in the clear, is in `heard`.
    private static let script = #"""
        import base64, json, os, socket, ssl, sys, threading
        mode, folder, stall = sys.argv[1:4]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
        heard = open(folder + "/heard", "w", buffering=1)

        def serve(connection):
            secure = False
            def wrap():
                nonlocal connection, secure, stream
                connection = context.wrap_socket(connection, server_side=True)
                secure = True
                stream = connection.makefile("rb")
            stream = connection.makefile("rb")
            try:
                if mode == "smtps":
                    wrap()
                say = lambda *lines: connection.sendall("".join(line + "\r\n" for line in lines).encode())
                say("220 localhost ready")
                user, sender, to = None, None, []
                while line := stream.readline():
                    text = line.decode().strip()
                    word = text.split(" ")[0].upper()
                    heard.write(("tls " if secure else "clear ") + text + "\n")
                    if word == stall:
                        threading.Event().wait()
                    if word == "EHLO":
                        more = ["250-STARTTLS"] if mode == "starttls" and not secure else ["250-AUTH PLAIN"]
                        say("250-localhost", *more, "250 8BITMIME")
                    elif word == "STARTTLS":
                        say("220 go ahead")
                        wrap()
                    elif word == "AUTH":
                        if len(text.split(" ")) < 3:
                            say("334 ")
                            text += " " + stream.readline().decode().strip()
                        user = base64.b64decode(text.split(" ")[2]).decode().split("\0")[1:] if secure else None
                        say("235 welcome" if user == ["deploys", "pa55/word"] else "535 5.7.8 no")
                    elif word == "MAIL":
                        sender = text
                        say("250 ok" if user else "530 5.7.0 log in first")
                    elif word == "RCPT":
                        isKnown = "nobody@" not in text
                        if isKnown: to.append(text.split("<")[1].split(">")[0])
                        say("250 ok" if isKnown else "550 5.1.1 no such user")
                    elif word == "DATA":
                        say("354 go on")
                        body = b""
                        while (part := stream.readline()) not in (b".\r\n", b""):
                            body += part[1:] if part.startswith(b".") else part
                        with open(folder + "/mail.part", "w") as file:
                            json.dump({"tls": connection.version(), "to": to, "body": body.decode()}, file)
                        os.rename(folder + "/mail.part", folder + "/mail.json")
                        say("250 taken")
                    elif word == "QUIT":
                        say("221 bye")
                        return
                    else:
                        say("502 what?")
            except (OSError, ssl.SSLError) as error:
                heard.write("ended " + type(error).__name__ + "\n")

        listener = socket.create_server(("127.0.0.1", 0))
        print("PORT", listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        """#

    private struct Server {
        var folder: String
        var tool: Tool
        var url: String

        var heard: [Substring] {
            let data = FileManager.default.contents(atPath: folder + "/heard") ?? Data()
            return String(decoding: data, as: UTF8.self).split(separator: "\n")
        }
    }

    private func withServer(
        _ mode: String, stalling: String = "-", _ body: (Server) async throws -> Void
    ) async throws {
        try await withTemporaryFolder { folder in
            try await Tool.makeCertificate(in: folder, names: "DNS:localhost")
            try Data(SecureMailTests.script.utf8).write(to: URL(filePath: folder + "/server.py"))
            let tool = try Tool("python3", [folder + "/server.py", mode, folder, stalling], in: folder)
            defer { tool.stop() }
            let port = try await tool.output(after: "PORT ")
            let scheme = mode == "smtps" ? "smtps" : "smtp"
            try await body(
                Server(folder: folder, tool: tool, url: "\(scheme)://deploys:pa55%2Fword@localhost:\(port)"))
        }
    }

    private func envelope(_ server: Server, to: [String] = ["ops@example.com"]) -> MailEnvelope {
        MailEnvelope(
            server: server.url, from: "airboss@example.com", recipients: to,
            message: Data("Subject: x\r\n\r\nGrüße\r\n.\r\n..dots\r\n".utf8))
    }

    @Test(arguments: ["smtps", "starttls"])
    func `a mail arrives whole, and neither it nor the login was in the clear`(mode: String) async throws {
        try await withServer(mode) { server in
            let mail = MailTransport(additionalCABundlePath: server.folder + "/cert.pem")
            let receipt = try await mail.send(envelope(server, to: ["ops@example.com", "ana@example.com"]))
            await mail.shutdown()
            #expect(receipt.accepted == ["ops@example.com", "ana@example.com"] && receipt.refused.isEmpty)
            let data = try Data(contentsOf: URL(filePath: server.folder + "/mail.json"))
            struct Taken: Decodable {
                var tls: String
                var to: [String]
                var body: String
            }
            let taken = try JSONDecoder().decode(Taken.self, from: data)
            #expect(taken.tls.hasPrefix("TLSv1."))
            #expect(taken.to == ["ops@example.com", "ana@example.com"])
            #expect(taken.body == "Subject: x\r\n\r\nGrüße\r\n.\r\n..dots\r\n")
            let clear = server.heard.filter { $0.hasPrefix("clear") }.map { $0.split(separator: " ")[1] }
            #expect(clear == (mode == "smtps" ? [] : ["EHLO", "STARTTLS"]), "\(server.heard)")
        }
    }

    @Test(arguments: ["smtps", "starttls"])
    func `one recipient of two that is refused keeps nothing from the other`(mode: String) async throws {
        try await withServer(mode) { server in
            let mail = MailTransport(additionalCABundlePath: server.folder + "/cert.pem")
            let receipt = try await mail.send(envelope(server, to: ["nobody@example.com", "ana@example.com"]))
            await mail.shutdown()
            #expect(receipt.accepted == ["ana@example.com"])
            #expect(receipt.refused.map(\.recipient) == ["nobody@example.com"])
            #expect(receipt.refused.first?.isRetryable == false)
        }
    }

    @Test(arguments: ["smtps", "starttls"])
    func `a certificate that nobody vouches for gets neither the login nor the mail`(mode: String) async throws {
        try await withServer(mode) { server in
            let mail = MailTransport()
            let error = await #expect(throws: MailError.self) { try await mail.send(envelope(server)) }
            await mail.shutdown()
            #expect(error?.code == .tlsFailed && error?.isRetryable == false, "\(error?.message ?? "")")
            #expect(!server.heard.contains { $0.contains("AUTH") || $0.contains("MAIL") }, "\(server.heard)")
        }
    }

    @Test(arguments: [("smtps", "EHLO"), ("smtps", "DATA"), ("starttls", "STARTTLS"), ("starttls", "AUTH")])
    func `a server that stalls is given up`(mode: String, step: String) async throws {
        try await withServer(mode, stalling: step) { server in
            let mail = MailTransport(
                timeouts: HTTPTimeouts(connect: .seconds(5), total: .milliseconds(800)),
                additionalCABundlePath: server.folder + "/cert.pem")
            let error = await #expect(throws: MailError.self) { try await mail.send(envelope(server)) }
            await mail.shutdown()
            #expect(error?.code == .timedOut && error?.isRetryable == true, "\(error?.message ?? "")")
        }
    }
}
