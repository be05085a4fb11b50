// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import TestSupport
import Testing

/// One secret that somebody committed: it is told to nobody, by the real program and to real servers.
@Suite("A secret in a commit message", .serialized, .workshop(.model, deployed: true))
struct SecretsTests {
    // Put together here so that no scanner takes this file for a leak.
    private static let token = "ghp" + "_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3h"
    private static let password = "Tr0ub4dor-and-3"
    /// What only these users know for a secret.
    private static let own = "hd-live-kestrel-4711"
    /// What only looks like one.
    private static let allowed = "Qx7Lw2Zp9Rt4Vb6Nm1Kc8Hd3Jf5Gs0Ay"
    private static let secrets = [token, password, own]

    @Test("reaches nowhere: neither people, nor GitHub, nor a file that is kept")
    func nowhere() async throws {
        let workshop = try #require(Workshop.current)
        let records = GitHubRecords()
        let github = try LoopbackServer { records.answer($0) }
        let hooks = try LoopbackServer { _ in .status(200, "ok") }
        let mail = try LoopbackMailServer(.init(credentials: ("deploys", "the-mail-password")))
        defer {
            github.stop()
            hooks.stop()
            mail.stop()
        }
        // Never healthy: so that there is an incident, with everything that is told of one.
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline().replacing("path: /health, status: [200]", with: "path: /health, status: [418]")
                + """
                notify:
                  email: { to: [ops@example.com], smtp: "${MAIL_URL}", from: airboss@example.com }
                  slack: { webhook: "${SLACK}" }
                  webhook: { url: "${HOOK}", secret: "${HOOK_SECRET}" }
                  github: { deployment: true, issue_on_failure: true }
                  redact: { patterns: ["hd-live-[a-z]+-[0-9]{4}"], allow: [\(Self.allowed)] }

                """)
        try await workshop.commit(
            """
            Use \(Self.token) and \(Self.own) for \(Self.allowed)

            DATABASE_URL=postgres://app:\(Self.password)@db.internal:5432/app
            """, ["message=worse"])
        let summary = workshop.folder + "/summary.md"
        let output = workshop.folder + "/outputs"
        let environment = GitHubRecords.environment(github.url).merging([
            "MAIL_URL": mail.url.replacing("//", with: "//deploys:the-mail-password@"), "SLACK": hooks.url + "/slack",
            "HOOK": hooks.url + "/hook", "HOOK_SECRET": "the-webhook-secret-of-the-test",
            "GITHUB_STEP_SUMMARY": summary, "GITHUB_OUTPUT": output, "GITHUB_ACTIONS": "true",
        ]) { $1 }
        func airboss(_ arguments: String...) async throws -> Outcome {
            try await workshop.start(arguments, environment).end()
        }
        let reason = "Since \(Self.token), --password=\(Self.password), and \(Self.own)"
        let json = try await airboss("deploy", "bad", "--reason", reason, "--verbose", "--output", "json")
        #expect(json.status == 10 || json.status == 11, "\(json.everything)")
        let text = try await airboss(
            "deploy", "bad", "--reason", reason, "--skip", "fleet", "--approved-by", "Ana \(Self.own)")
        #expect(text.status == 10 || text.status == 11, "\(text.everything)")
        let run = try #require(try JSONRun(json).last["run"]?.string)

        var said: [String: String] = ["JSON": json.everything, "text": text.everything]
        said["step summary"] = try String(contentsOfFile: summary, encoding: .utf8)
        said["outputs"] = try String(contentsOfFile: output, encoding: .utf8)
        said["mail"] = mail.messages.map(\.text).joined() + (try await decoded(mail.messages))
        for path in ["/slack", "/hook"] {
            let posted = hooks.requests.filter { $0.path == path }
            #expect(posted.count == 2, "\(path)")
            said[path] = posted.map { String(decoding: $0.body, as: UTF8.self) }.joined()
        }
        said["GitHub"] = records.everything
        #expect(!records.list("issues").isEmpty && !records.list("deployments").isEmpty)
        for arguments in [
            ["show", run, "--output", "json", "--events"], ["show", run, "--events"], ["runs", "bad"],
            ["runs", "bad", "--output", "json"], ["releases", "bad"], ["releases", "bad", "--output", "json"],
            ["notices", "list", "bad", "--output", "json"], ["notices", "list"], ["audit", "list", "bad"],
            ["audit", "list", "bad", "--output", "json"], ["audit", "export"], ["status", "bad"],
        ] {
            let outcome = try await workshop.start(arguments, environment).end()
            #expect(outcome.status == 0, "\(arguments): \(outcome.everything)")
            said[arguments.joined(separator: " ")] = outcome.everything
        }
        let evidence = workshop.folder + "/evidence"
        try FileManager.default.createDirectory(atPath: evidence, withIntermediateDirectories: true)
        let export = try await airboss(
            "incident", "export", "bad", "--type", "outage", "--severity", "SEV-1", "--details", reason, "--to",
            evidence)
        #expect(export.status == 0, "\(export.everything)")
        for file in FileManager.default.enumerator(atPath: evidence)?.allObjects as? [String] ?? [] {
            said["evidence/" + file] = FileManager.default.contents(atPath: evidence + "/" + file).map {
                String(decoding: $0, as: UTF8.self)
            }
        }
        #expect(said.keys.count { $0.hasPrefix("evidence/") } > 5)
        // The journal, the ledger, the outbox and the audit record, to the last byte of their file.
        for suffix in ["", "-wal"] {
            guard let data = FileManager.default.contents(atPath: workshop.folder + "/state.sqlite" + suffix) else {
                continue
            }
            said["state" + suffix] = String(decoding: data, as: UTF8.self)
        }
        said["machines"] = try await workshop.fly.machines(Workshop.app).map { $0.text() }.joined()
        for (place, text) in said {
            #expect(!text.isEmpty, "\(place) is empty")
            for secret in Self.secrets + ["the-mail-password", "the-webhook-secret-of-the-test", GitHubRecords.token] {
                let found = text.firstRange(of: secret).map { text[..<$0.lowerBound].suffix(120) }
                #expect(found == nil, "\(place) tells \(secret.prefix(4))…, after: \(found ?? "")")
            }
        }
        // What is left of the message is told, and so is what is allowed.
        for place in ["JSON", "mail", "/slack", "/hook", "step summary", "GitHub"] {
            #expect(said[place]?.contains(Self.allowed) == true, "\(place) lacks the rest of the message")
            #expect(said[place]?.contains("redacted") == true, "\(place)")
        }
    }

    /// The texts of mails, whose transfer encoding would hide a secret from a search.
    private func decoded(_ messages: [LoopbackMailServer.Message]) async throws -> String {
        let script = """
            import email, email.policy, sys
            for name in sys.argv[1:]:
                message = email.message_from_bytes(open(name, "rb").read(), policy=email.policy.default)
                print(message["subject"])
                for part in message.walk():
                    if not part.is_multipart():
                        print(part.get_content())
            """
        let folder = try #require(Workshop.current).folder
        var names: [String] = []
        for (index, message) in messages.enumerated() {
            names.append("\(folder)/mail-\(index).eml")
            try message.data.write(to: URL(filePath: names[index]))
        }
        let outcome = try await RunningProgram.run(["python3", "-c", script] + names)
        guard outcome.status == 0 else { throw Trouble(outcome.errors) }
        return outcome.output
    }
}
