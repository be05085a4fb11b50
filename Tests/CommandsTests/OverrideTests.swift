// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import TestSupport
import Testing

/// A gate that was overridden shows wherever the run is told of.
@Suite("Overrides", .serialized, .workshop(.model, deployed: true))
struct OverrideTests {
    @Test("show in every notice, listing and record")
    func everywhere() async throws {
        let workshop = try #require(Workshop.current)
        let records = GitHubRecords()
        let github = try LoopbackServer { records.answer($0) }
        let hooks = try LoopbackServer { _ in .status(200, "ok") }
        let mail = try LoopbackMailServer()
        defer {
            github.stop()
            hooks.stop()
            mail.stop()
        }
        // Never healthy, so that there is an issue too.
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline().replacing("path: /health, status: [200]", with: "path: /health, status: [418]")
                + ClosedWindow.yaml() + """
                    notify:
                      email: { to: [ops@example.com], smtp: "${MAIL_URL}", from: airboss@example.com }
                      slack: { webhook: "${SLACK}" }
                      webhook: { url: "${HOOK}", secret: "${HOOK_SECRET}" }
                      github: { deployment: true, issue_on_failure: true }

                    """)
        let summary = workshop.folder + "/summary-overrides.md"
        let environment = GitHubRecords.environment(github.url).merging([
            "MAIL_URL": mail.url, "SLACK": hooks.url + "/slack", "HOOK": hooks.url + "/hook",
            "HOOK_SECRET": "the-webhook-secret-of-the-test", "GITHUB_STEP_SUMMARY": summary,
        ]) { $1 }
        let arguments = ["deploy", "bad", "--reason", "Payments are down", "--emergency", "--approved-by", "Ana Lima"]
        let outcome = try await workshop.start(arguments + ["--output", "json"], environment).end()
        let run = try #require(try JSONRun(outcome).last["run"]?.string)
        let again = try await workshop.start(arguments, environment).end()
        var said = ["JSON": outcome.output, "terminal": again.output]
        said["step summary"] = try String(contentsOfFile: summary, encoding: .utf8)
        said["mail"] = try await text(of: try #require(mail.messages.first))
        said["Slack"] = String(decoding: try #require(hooks.requests.first { $0.path == "/slack" }).body, as: UTF8.self)
        let posted = try #require(hooks.requests.first { $0.path == "/hook" })
        said["webhook"] = String(decoding: posted.body, as: UTF8.self)
        said["issue"] = records.list("issues").first?["body"]?.string
        said["deployment"] = records.list("deployments").first?.text()
        let listings = [
            ["show", run], ["show", run, "--output", "json"], ["runs", "bad"], ["runs", "bad", "--output", "json"],
            ["releases", "bad"], ["releases", "bad", "--output", "json"], ["audit", "list", "--run", run],
            ["audit", "list", "--run", run, "--output", "json"],
        ]
        for arguments in listings {
            said[arguments.filter { $0 != run }.joined(separator: " ")] =
                try await workshop.start(arguments, environment).end().output
        }
        for (place, text) in said {
            let plain = text.replacing("\\", with: "")
            #expect(plain.contains("window"), "\(place) does not name the gate: \(plain.suffix(1500))")
            if place.hasPrefix("runs") || place.hasPrefix("releases") { continue }
            #expect(plain.contains("Ana Lima"), "\(place) does not name who: \(plain.suffix(1500))")
        }
        for (place, words) in [
            ("webhook", "would_have_said"), ("mail", "It would have said: closed"), ("issue", "It would have said"),
        ] {
            #expect(said[place]?.contains(words) == true, "\(place)")
        }
    }

    private func text(of message: LoopbackMailServer.Message) async throws -> String {
        let script = """
            import email, email.policy, sys
            message = email.message_from_bytes(open(sys.argv[1], "rb").read(), policy=email.policy.default)
            print(message.get_body(("plain",)).get_content())
            """
        let path = try #require(Workshop.current).folder + "/overrides.eml"
        try message.data.write(to: URL(filePath: path))
        let outcome = try await RunningProgram.run(["python3", "-c", script, path])
        guard outcome.status == 0 else { throw Trouble(outcome.errors) }
        return outcome.output
    }
}
