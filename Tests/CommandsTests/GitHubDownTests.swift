// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Synchronization
import TestSupport
import Testing

/// Somebody at a shell, in an emergency, while GitHub is down: what can't be told waits.
@Suite("An emergency without GitHub", .serialized, .workshop(.model, deployed: true))
struct GitHubDownTests {
    enum Down: String, CaseIterable, Sendable {
        case unreachable, hanging, failing
    }

    @Test(
        "is deployed, tells of its overrides, and the next run tells GitHub",
        arguments: [(Down.unreachable, false), (.failing, true), (.failing, false), (.hanging, false)])
    func emergency(_ down: Down, _ isImage: Bool) async throws {
        let workshop = try #require(Workshop.current)
        let records = GitHubRecords()
        let isDown = Mutex(true)
        let server = try LoopbackServer { request in
            guard isDown.withLock({ $0 }) else { return records.answer(request) }
            return down == .hanging ? .stall : .json(503, #"{"message":"Unicorn!"}"#)
        }
        defer { server.stop() }
        let gone = "http://127.0.0.1:\(try LoopbackServer.unusedPort())"
        let name = "harbour-\(down.rawValue)-\(isImage)"
        let whole =
            workshop.pipeline() + ClosedWindow.yaml() + """
                gates: { checks: [Danger], wait_for_checks: 20s, clean_worktree: false }
                notify: { github: { deployment: true, issue_on_failure: true } }

                """
        try workshop.write("pipelines/\(name).yml", whole)
        let summary = workshop.folder + "/summary-\(name).md"
        let environment = GitHubRecords.environment(down == .unreachable ? gone : server.url)
            .merging(["GITHUB_STEP_SUMMARY": summary]) { $1 }
        let image = try await workshop.query("releases", "production")["releases"]?.array?.first?["image"]?.string
        let build = isImage ? ["--image", try #require(image)] : []

        // The window alone is not enough: what GitHub would say of the checks is not known, and that is no yes.
        let refused = try await workshop.start(
            [
                "deploy", name, "--reason", "Payments are down", "--emergency", "--approved-by", "Ana Lima", "--output",
                "json",
            ] + build, environment
        ).end()
        #expect(refused.status == 12, "\(refused.everything)")
        #expect(refused.output.contains("--skip checks --approved-by WHO"), "\(refused.output)")

        let outcome = try await workshop.start(
            [
                "deploy", name, "--reason", "Payments are down", "--emergency", "--skip", "checks", "--approved-by",
                "Ana Lima", "--output", "json",
            ] + build, environment
        ).end()
        let run = try JSONRun(outcome)
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect(outcome.took < .seconds(240), "\(outcome.took)")
        print("GitHub \(down.rawValue): deployed in \(outcome.took)")
        let overrides = run.last["overrides"]?.array ?? []
        #expect(Set(overrides.compactMap { $0["gate"]?.string }) == ["window", "checks"], "\(overrides)")
        #expect(
            overrides.allSatisfy { $0["approved_by"] == "Ana Lima" && $0["would_have_said"]?.string?.isEmpty == false })
        let id = try #require(run.last["run"]?.string)
        let unsent = try await workshop.start(["notices", "list", name, "--unsent", "--output", "json"], environment)
            .end()
        let waiting = try JSONValue(parsing: unsent.output)["notices"]?.array?.filter { $0["run"]?.string == id } ?? []
        #expect(Set(waiting.compactMap { $0["channel"]?.string }) == ["deployment", "issue"], "\(waiting)")
        #expect(waiting.allSatisfy { $0["state"] == "to be tried again" }, "\(waiting)")

        // GitHub is back, and a minute has gone by, for which the test does not wait.
        isDown.withLock { $0 = false }
        try await SQLiteFile.run(
            workshop.folder + "/state.sqlite", "UPDATE notice SET next_attempt_at = 1 WHERE sent_at IS NULL")
        let next = try await workshop.start(
            [
                "deploy", name, "--reason", "Again", "--emergency", "--skip", "checks", "--approved-by", "Ana Lima",
                "--output", "json",
            ] + build,
            GitHubRecords.environment(server.url).merging(["GITHUB_STEP_SUMMARY": summary]) { $1 }
        ).end()
        #expect(next.status == 0, "\(next.everything)")
        let left = try await workshop.start(["notices", "list", name, "--unsent", "--output", "json"], environment)
            .end()
        #expect(try JSONValue(parsing: left.output)["notices"]?.array == [], "\(left.output)")
        let told = records.list("deployments").filter { $0.text().contains(id) }
        #expect(told.count == 1, "\(records.everything)")
    }
}
