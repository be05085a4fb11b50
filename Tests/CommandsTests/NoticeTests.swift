// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Synchronization
import TestSupport
import Testing

/// Notices of real runs, sent to real servers; where they fail, the run's outcome stays.
@Suite("Notices of runs", .serialized, .workshop(.model, deployed: true), .enabled(if: SQLiteFile.canBeUsed))
struct NoticeTests {
    private func writePipeline(_ notify: String, url: String? = nil) throws {
        let workshop = try #require(Workshop.current)
        var text = workshop.pipeline()
        if let url { text = text.replacing("http://harbour.localhost:\(workshop.fly.port)", with: url) }
        try workshop.write("pipelines/production-notices.yml", text + "notify: \(notify)\n")
    }

    private static let email = #"{ email: { to: ["${MAIL_TO}"], smtp: "${MAIL_URL}", from: "airboss@example.com" } }"#

    /// The message as Python's mail library reads it: its subject, and its text and HTML parts.
    private func read(_ message: LoopbackMailServer.Message) async throws -> JSONValue {
        let script = """
            import email, email.policy, json, sys
            message = email.message_from_bytes(open(sys.argv[1], "rb").read(), policy=email.policy.default)
            body = lambda kind: message.get_body((kind,)).get_content()
            print(json.dumps({"subject": message["subject"], "from": message["from"], "to": message["to"],
                              "text": body("plain"), "html": body("html"), "defects": len(message.defects)}))
            """
        let path = try #require(Workshop.current).folder + "/message.eml"
        try message.data.write(to: URL(filePath: path))
        let outcome = try await RunningProgram.run(["python3", "-c", script, path])
        guard outcome.status == 0 else { throw Trouble(outcome.errors) }
        return try JSONValue(parsing: outcome.output)
    }

    @Test("what could not be sent is listed with its reason, and goes out when asked for")
    func resent() async throws {
        let workshop = try #require(Workshop.current)
        try writePipeline(Self.email)
        // A port that nobody listens at: that of a server that has gone.
        let gone = try LoopbackMailServer(.init())
        let dead = gone.url
        gone.stop()
        let run = try await workshop.run(
            "deploy", "production-notices", "--reason", "Nobody hears",
            with: ["MAIL_URL": dead, "MAIL_TO": "ops@example.com"])
        #expect(run.status == 0, "\(run.outcome.everything)")
        let id = try #require(run.last["run"]?.string)
        func notices(_ arguments: String...) async throws -> [JSONValue] {
            let outcome = try await workshop.start(
                ["notices", "list", "production-notices", "--output", "json"] + arguments,
                ["MAIL_URL": dead, "MAIL_TO": "ops@example.com"]
            ).end()
            #expect(outcome.status == 0, "\(outcome.everything)")
            return try JSONValue(parsing: outcome.output)["notices"]?.array ?? []
        }
        let waiting = try await notices("--unsent").filter { $0["run"]?.string == id }
        #expect(waiting.map { $0["channel"]?.string } == ["email"], "\(waiting)")
        #expect(waiting.first?["error"]?.string?.isEmpty == false, "\(waiting)")

        let still = try await workshop.airboss(
            "notices", "resend", "production-notices", "--run", id,
            with: ["MAIL_URL": dead, "MAIL_TO": "ops@example.com"])
        #expect(still.status == 69 && still.output.contains("not sent"), "\(still.everything)")

        let server = try LoopbackMailServer(.init())
        defer { server.stop() }
        let sent = try await workshop.airboss(
            "notices", "resend", "production-notices", "--run", id,
            with: ["MAIL_URL": server.url, "MAIL_TO": "ops@example.com"])
        #expect(sent.status == 0 && sent.output.contains("sent: \(id)/email"), "\(sent.everything)")
        #expect(server.messages.count == 1)
        #expect(try await notices("--unsent").filter { $0["run"]?.string == id }.isEmpty)
        let nothing = try await workshop.airboss(
            "notices", "resend", "production-notices", "--run", id,
            with: ["MAIL_URL": server.url, "MAIL_TO": "ops@example.com"])
        #expect(nothing.status == 0 && nothing.output.contains("nothing to send"), "\(nothing.everything)")
        #expect(server.messages.count == 1)
        let again = try await workshop.airboss(
            "notices", "resend", "production-notices", "--run", id, "--again",
            with: ["MAIL_URL": server.url, "MAIL_TO": "ops@example.com"])
        #expect(again.status == 0 && server.messages.count == 2, "\(again.everything)")
        let audit = try await workshop.query("audit", "list", "--run", id)
        let kinds = audit["records"]?.array?.compactMap { $0["kind"]?.string } ?? []
        #expect(kinds.count { $0 == "notice.resent" } == 3, "\(kinds)")
    }

    @Test("an e-mail arrives with its subject and fields")
    func delivered() async throws {
        let workshop = try #require(Workshop.current)
        let server = try LoopbackMailServer(.init(credentials: ("deploys", "pa55word")))
        defer { server.stop() }
        try writePipeline(Self.email)
        let url = server.url.replacing("smtp://", with: "smtp://deploys:pa55word@")
        let run = try await workshop.run(
            "deploy", "production-notices", "--reason", "Tell <them> & us",
            with: ["MAIL_URL": url, "MAIL_TO": "ops@example.com,ana@example.com"])
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect(run.stage("notify")?["state"]?.string == "passed", "\(run.stage("notify") ?? .null)")
        let message = try #require(server.messages.first)
        #expect(server.messages.count == 1)
        #expect(message.user == "deploys")
        #expect(Set(message.recipients) == ["ops@example.com", "ana@example.com"])
        let mail = try await read(message)
        #expect(mail["defects"]?.integer == 0)
        let subject = mail["subject"]?.string ?? ""
        #expect(subject.hasPrefix("✅ ") && subject.hasSuffix("Deployment Successful"), "\(subject)")
        let commit = run.last["commit"]?.string ?? "-"
        for part in ["text", "html"] {
            let text = mail[part]?.string ?? ""
            for field in [
                String(commit.prefix(10)), "Tess Tester", "v\(run.last["release"]?.integer ?? -1)", "healthy",
            ] {
                #expect(text.contains(field), "\(part) without \(field)")
            }
        }
        #expect(mail["text"]?.string?.contains("Tell <them> & us") == true)
        #expect(mail["html"]?.string?.contains("Tell &lt;them&gt; &amp; us") == true)
        #expect(!run.outcome.everything.contains("pa55word"))
    }

    @Test("a failed deploy's e-mail, webhook and step summary say so, and those of a rollback by hand")
    func rolledBack() async throws {
        let workshop = try #require(Workshop.current)
        // Unhealthy as long as the new release is asked for, healthy afterwards.
        let asked = Mutex(0)
        let app = try LoopbackServer { _ in
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            return count <= 3 ? .json(503, #"{"status":"down"}"#) : .json(200, #"{"status":"ok"}"#)
        }
        let slack = try LoopbackServer { _ in .status(200, "ok") }
        let mail = try LoopbackMailServer()
        defer {
            app.stop()
            slack.stop()
            mail.stop()
        }
        let both = Self.email.dropLast() + #", slack: { webhook: "${HOOK}" } }"#
        try writePipeline(String(both), url: app.url)
        try await workshop.commit("Something worse", ["message=worse"])
        let summary = workshop.folder + "/summary.md"
        let run = try await workshop.run(
            "deploy", "production-notices", "--reason", "Try",
            with: [
                "MAIL_URL": mail.url, "MAIL_TO": "ops@example.com", "HOOK": slack.url + "/hook/s3cr3t-path",
                "GITHUB_STEP_SUMMARY": summary,
            ])
        #expect(run.status == 10, "\(run.outcome.everything)")
        let message = try await read(try #require(mail.messages.first))
        let subject = message["subject"]?.string ?? ""
        #expect(subject.hasPrefix("🚨 ") && subject.hasSuffix("Deployment Failed"), "\(subject)")
        #expect(message["text"]?.string?.contains("503") == true)
        let posted = try #require(slack.requests.first)
        #expect(posted.path == "/hook/s3cr3t-path")
        #expect(try JSONValue(parsing: posted.body)["text"]?.string?.contains("Deployment Failed") == true)
        let markdown = String(decoding: FileManager.default.contents(atPath: summary) ?? Data(), as: UTF8.self)
        #expect(markdown.contains("Deployment Failed") && markdown.contains("| Stage |"), "\(markdown)")
        #expect(!run.outcome.everything.contains("s3cr3t-path"))
        let shown = try await workshop.airboss("show", run.last["run"]?.string ?? "", "--events")
        #expect(!shown.everything.contains("s3cr3t-path"))

        let back = try await workshop.run(
            "rollback", "production-notices", "--to", "v1", "--reason", "By hand",
            with: ["MAIL_URL": mail.url, "MAIL_TO": "ops@example.com", "HOOK": slack.url])
        #expect(back.status == 0, "\(back.outcome.everything)")
        let second = try await read(try #require(mail.messages.last))["subject"]?.string ?? ""
        #expect(second.hasPrefix("⚠️ ") && second.hasSuffix("Rollback Executed"), "\(second)")
    }

    @Test("a server that refuses changes nothing about the run; the next run sends the notice")
    func refused() async throws {
        let workshop = try #require(Workshop.current)
        let state = workshop.folder + "/state.sqlite"
        try writePipeline(Self.email)
        let refusing = try LoopbackMailServer(.init(replies: ["MAIL": "451 4.3.0 try again later"]))
        defer { refusing.stop() }
        let url = refusing.url.replacing("smtp://", with: "smtp://deploys:pa55word@")
        let run = try await workshop.run(
            "deploy", "production-notices", "--reason", "Nobody hears",
            with: ["MAIL_URL": url, "MAIL_TO": "ops@example.com"])
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect(run.last["outcome"]?.string == "verified")
        #expect(run.stage("notify")?["state"]?.string == "failed", "\(run.stage("notify") ?? .null)")
        #expect(!run.outcome.everything.contains("pa55word"))
        let id = try #require(run.last["run"]?.string)
        let kept = try await SQLiteFile.run(
            state,
            """
            SELECT channel, attempts > 0, sent_at IS NULL, next_attempt_at > 0, last_error
            FROM notice WHERE run = '\(id)'
            """
        )
        #expect(kept.hasPrefix("email|1|1|1|"), "\(kept)")
        #expect(!kept.contains("pa55word"), "\(kept)")

        // A minute later, for which the test does not wait.
        try await SQLiteFile.run(state, "UPDATE notice SET next_attempt_at = 1 WHERE run = '\(id)'")
        let working = try LoopbackMailServer()
        defer { working.stop() }
        let next = try await workshop.run(
            "deploy", "production-notices", "--reason", "Heard",
            with: ["MAIL_URL": working.url, "MAIL_TO": "ops@example.com"])
        #expect(next.status == 0)
        var texts: [String] = []
        for message in working.messages { texts.append(try await read(message)["text"]?.string ?? "") }
        #expect(texts.count == 2)
        #expect(texts.contains { $0.contains("Nobody hears") } && texts.contains { $0.contains("Heard") })
        let sent = try await SQLiteFile.run(
            state, "SELECT sent_at > 0, next_attempt_at IS NULL FROM notice WHERE run = '\(id)'")
        #expect(sent == "1|1")
    }

    @Test("a server that is down, or takes no password", arguments: ["down", "535"])
    func unreachable(_ kind: String) async throws {
        let workshop = try #require(Workshop.current)
        try writePipeline(Self.email)
        let server = try LoopbackMailServer(.init(credentials: ("deploys", "right")))
        if kind == "down" { server.stop() }
        defer { server.stop() }
        let url = server.url.replacing("smtp://", with: "smtp://deploys:wr0ng@")
        let run = try await workshop.run(
            "deploy", "production-notices", "--reason", "Try", with: ["MAIL_URL": url, "MAIL_TO": "ops@example.com"])
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect(run.stage("notify")?["state"]?.string == "failed")
        #expect(
            run.last["warnings"]?.text().contains("127.0.0.1") == true
                || run.stage("notify")?["detail"]?.string?.isEmpty == false)
        #expect(!run.outcome.everything.contains("wr0ng"))
    }
}
