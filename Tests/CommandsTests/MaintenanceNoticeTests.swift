// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import TestSupport
import Testing

/// People are told of maintenance over the channels of the pipeline, by the real program.
@Suite("Notices of maintenance", .serialized, .workshop(.model, deployed: false))
struct MaintenanceNoticeTests {
    private static func instant(in seconds: Int) -> String {
        (Timestamp(milliseconds: Int64(Date().timeIntervalSince1970) * 1000) + .seconds(seconds)).description
    }

    private static func announce(_ name: String = "bad") -> [String] {
        [
            "window", "announce", name, "--from", instant(in: 90_000), "--to", instant(in: 93_600), "--reason",
            "New database, PASSWORD=hunter2hunter2",
        ]
    }

    private func prepare() throws -> Workshop {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline() + """
                window: { time_zone: America/Los_Angeles, open: ["Mon 09:00-09:01"], maintenance: { notice: 24h } }
                notify:
                  email: { to: [ops@example.com], smtp: "${MAIL_URL}", from: airboss@example.com }
                  webhook: { url: "${HOOK}", secret: "${HOOK_SECRET}" }
                  github: { deployment: true, issue_on_failure: true }

                """)
        return workshop
    }

    @Test("say when, in the window's zone and in UTC, and why; GitHub keeps no record of them")
    func told() async throws {
        let workshop = try prepare()
        let hooks = try LoopbackServer { _ in .status(200, "ok") }
        let mail = try LoopbackMailServer()
        defer {
            hooks.stop()
            mail.stop()
        }
        let environment: [String: String?] = [
            "MAIL_URL": mail.url, "HOOK": hooks.url, "HOOK_SECRET": "the-webhook-secret-of-the-test",
        ]
        let announced = try await workshop.start(Self.announce(), environment).end()
        #expect(
            announced.status == 0 && announced.output.contains("Told by email, webhook."), "\(announced.everything)")
        let first = try JSONValue(parsing: try #require(hooks.requests.first).body)
        #expect(first["kind"] == "maintenance_announced")
        #expect(first["maintenance"]?["from_local"]?.string?.contains(":") == true)
        #expect(first["maintenance"]?["opens_window"] == true)
        #expect(first["reason"] == "New database, PASSWORD=[redacted]")
        #expect(mail.messages.count == 1 && !announced.everything.contains("hunter2"))
        let text = try #require(mail.messages.first).text
        #expect(
            text.contains("Message-ID: <\(first["maintenance"]?["id"]?.string ?? "-").email.announced@example.com>"))

        let withdrawn = try await workshop.start(["window", "withdraw", "bad", "--output", "json"], environment).end()
        #expect(withdrawn.status == 0)
        let document = try JSONValue(parsing: withdrawn.output)
        #expect(document["notices"]?.array?.map { $0["channel"]?.string } == ["email", "webhook"])
        #expect(document["notices"]?.array?.allSatisfy { $0["sent"] == true } == true)
        #expect(try JSONValue(parsing: try #require(hooks.requests.last).body)["kind"] == "maintenance_withdrawn")
        #expect(mail.messages.count == 2)
    }

    @Test("that can't be sent, or whose channel is not set here, keep nothing from being announced")
    func waiting() async throws {
        let workshop = try prepare()
        let gone = "http://127.0.0.1:\(try LoopbackServer.unusedPort())/"
        let environment: [String: String?] = ["HOOK": gone, "HOOK_SECRET": "the-webhook-secret-of-the-test"]
        let announced = try await workshop.start(Self.announce(), environment).end()
        #expect(announced.status == 0, "\(announced.everything)")
        #expect(announced.output.contains("Not told by webhook: The webhook could not be reached"))
        #expect(announced.errors.contains("no e-mail will be sent"), "\(announced.errors)")
        func unsent() async throws -> [JSONValue] {
            let outcome = try await workshop.start(
                ["notices", "list", "bad", "--unsent", "--output", "json"], environment
            ).end()
            return try JSONValue(parsing: outcome.output)["notices"]?.array ?? []
        }
        let waiting = try await unsent()
        #expect(waiting.map { $0["tells"] } == ["maintenance_announced"] && waiting.first?["outcome"] == .null)
        let hooks = try LoopbackServer { _ in .status(200, "ok") }
        defer { hooks.stop() }
        let resent = try await workshop.start(
            ["notices", "resend", "bad"],
            environment.merging(["HOOK": hooks.url, "MAIL_URL": "smtp://127.0.0.1:1"]) { $1 }
        ).end()
        #expect(resent.status == 0, "\(resent.everything)")
        #expect(hooks.requests.count == 1)
        #expect(try await unsent().isEmpty)
        let withdrawn = try await workshop.start(["window", "withdraw", "bad"], environment).end()
        #expect(withdrawn.status == 0)
    }
}
