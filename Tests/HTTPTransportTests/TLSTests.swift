// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import TestSupport
import Testing

@testable import HTTPTransport

@Suite struct TLSTests {
    @Test(.enabled(if: Tool.path("openssl") != nil, "openssl is not installed"))
    func `a certificate that nobody vouches for is refused, unless its authority was added`() async throws {
        try await withTemporaryFolder { folder in
            try await Tool.makeCertificate(in: folder, names: "DNS:localhost")
            let server = try Tool(
                "openssl",
                [
                    "s_server", "-accept", "127.0.0.1:0", "-key", folder + "/key.pem", "-cert", folder + "/cert.pem",
                    "-www",
                ], in: folder)
            defer { server.stop() }
            let port = try await server.output(after: "ACCEPT 127.0.0.1:")

            let client = HTTPClient()
            let unknown = await #expect(throws: HTTPError.self) {
                try await client.send(HTTPRequest("POST", "https://localhost:\(port)/"))
            }
            #expect(unknown?.code == .tlsFailed)
            #expect(unknown?.mayHaveBeenProcessed == false)
            #expect(unknown?.message.contains("certificate could not be verified") == true)

            let trusting = HTTPClient(.init(additionalCABundlePath: folder + "/cert.pem"))
            #expect(try await trusting.send(HTTPRequest("GET", "https://localhost:\(port)/")).status == 200)
            let wrongName = await #expect(throws: HTTPError.self) {
                try await trusting.send(HTTPRequest("GET", "https://127.0.0.1:\(port)/"))
            }
            #expect(wrongName?.code == .tlsFailed)

            let mail = await #expect(throws: MailError.self) {
                try await MailTransport().send(
                    MailEnvelope(
                        server: "smtps://localhost:\(port)", from: "a@b.c", recipients: ["b@b.c"], message: Data()))
            }
            #expect(mail?.code == .tlsFailed)
            #expect(mail?.isRetryable == false)
            await client.shutdown()
            await trusting.shutdown()
        }
    }

    @Test func `an additional bundle that cannot be used is reported`() async throws {
        try await withTemporaryFolder { folder in
            try Data("no certificate".utf8).write(to: URL(filePath: folder + "/empty.pem"))
            for file in ["missing.pem", "empty.pem"] {
                let client = HTTPClient(.init(additionalCABundlePath: folder + "/" + file))
                let error = await #expect(throws: HTTPError.self) {
                    try await client.send(HTTPRequest("GET", "https://localhost:1/"))
                }
                #expect(error?.code == .tlsFailed)
                #expect(error?.message.contains("bundle") == true)
            }
        }
    }

    @Test(
        .enabled(
            if: Tool.path("nghttpd") != nil && Tool.path("openssl") != nil,
            "nghttpd (Debian: nghttp2-server) or openssl is not installed"))
    func `HTTP 2 is spoken over TLS, also by 200 requests at once`() async throws {
        try await withTemporaryFolder { folder in
            try await Tool.makeCertificate(in: folder, names: "DNS:localhost,IP:127.0.0.1")
            let content = Data.noise(1_000_000)
            try content.write(to: URL(filePath: folder + "/file"))
            let port = try LoopbackServer.unusedPort()
            let server = try Tool(
                "nghttpd", ["-a", "127.0.0.1", "-d", folder, "\(port)", folder + "/key.pem", folder + "/cert.pem"],
                in: folder)
            defer { server.stop() }
            try await server.listens(on: port)
            let client = HTTPClient(.init(additionalCABundlePath: folder + "/cert.pem"))
            let request = HTTPRequest("GET", "https://127.0.0.1:\(port)/file")
            let first = try await client.send(request)
            #expect(first.version == "2")
            #expect(first.body == content)
            let later = try await withThrowingTaskGroup(of: HTTPResponse.self) { group in
                for _ in 0..<200 { group.addTask { try await client.send(request) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(later.allSatisfy { $0.body == content && $0.version == "2" })
            #expect(later.filter(\.timing.openedConnection).count < 16)
            await client.shutdown()
        }
    }

    @Test(arguments: [
        ("smtp://mail.example.com:587", MailPlan.Security.required),
        ("smtps://mail.example.com", .implicit),
        ("smtps://localhost", .implicit),
        ("smtp://127.0.0.1:2525", .opportunistic),
        ("smtp://[::1]", .opportunistic),
        ("smtp://localhost", .opportunistic),
        ("smtp://LOCALHOST?tls=none", MailPlan.Security.none),
        ("smtp://127.0.0.1.example.com", .required),
        ("smtp://localhost.example.com", .required),
    ])
    func `mail leaves the machine only over TLS`(server: String, security: MailPlan.Security) throws {
        let plan = try MailPlan(MailEnvelope(server: server, from: "a@b.c", recipients: ["b@b.c"], message: Data()))
        #expect(plan.security == security)
    }
}
