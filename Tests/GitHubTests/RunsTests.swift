// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import GitHub
import Model
import Synchronization
import TestSupport
import Testing

/// What finished runs leave on GitHub.
@Suite struct RunsTests {
    private func report(
        _ run: String, _ outcome: RunOutcome, kind: RunKind = .deploy, app: AppName = "shop", release: Int? = 72
    ) -> RunReport {
        RunReport(
            run: RunID(run), kind: kind, pipeline: "production", app: app, outcome: outcome, exitCode: 0,
            headline: "what \(run) did", actor: "ada", reason: "because", commit: StandIn.commit,
            release: release.map { ReleaseNumber($0) }, startedAt: TestClock.start, finishedAt: TestClock.start,
            url: "https://shop.fly.dev", runURL: "https://github.com/acme/shop/actions/runs/1")
    }

    private func states(_ github: StandIn) -> [[String]] {
        github.state.withLock { state in
            state.deployments.map { deployment in
                (state.deploymentStatuses[deployment["id"]?.integer ?? 0] ?? []).compactMap { $0["state"]?.string }
            }
        }
    }

    @Test func `a verified run is a success, and the one before it becomes inactive`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        try await client.recordDeployment(of: report("01A", .verified))
        try await client.recordDeployment(of: report("01B", .verified))
        #expect(states(github) == [["success", "inactive"], ["success"]])
        let status = try #require(github.state.withLock { $0.deploymentStatuses.values.first?.first })
        #expect(status["environment_url"] == "https://shop.fly.dev")
        #expect(status["log_url"] == "https://github.com/acme/shop/actions/runs/1")
    }

    @Test(arguments: [(RunOutcome.rolledBack, "failure"), (.needsHuman, "error"), (.interrupted, "error")])
    func `a run that failed ends its own deployment and no other`(_ outcome: RunOutcome, _ state: String) async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        try await client.recordDeployment(of: report("01A", .verified))
        try await client.recordDeployment(of: report("01B", outcome))
        #expect(states(github) == [["success"], [state]])
    }

    @Test func `a run that changed nothing leaves nothing`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        for given in [report("01A", .refused), report("01B", .unavailable), report("01C", .interrupted, release: nil)] {
            try await client.recordDeployment(of: given)
            try await client.keepIncident(of: given, title: "t", body: "b", assignees: [])
        }
        #expect(github.requests.isEmpty)
    }

    @Test func `a run that begins is under way until its end, and one that died by the next success`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        for _ in 1...2 { try await client.openDeployment(of: report("01A", .interrupted)) }
        #expect(states(github) == [["in_progress"]])
        try await client.openDeployment(of: report("01B", .interrupted))
        try await client.recordDeployment(of: report("01B", .verified))
        #expect(states(github) == [["in_progress", "inactive"], ["in_progress", "success"]])
        // Too late: the later run stands.
        try await client.openDeployment(of: report("01A0", .interrupted))
        #expect(states(github).count == 2)
    }

    @Test func `a run that was refused after it began ends its deployment`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        try await client.openDeployment(of: report("01A", .interrupted))
        var refused = report("01A", .refused)
        refused.stages = [StageReport(stage: .deploy, state: .refused, startedAt: TestClock.start)]
        try await client.recordDeployment(of: refused)
        #expect(states(github) == [["in_progress", "failure"]])
        // Another, that was never opened, leaves nothing.
        refused.run = "01B"
        try await client.recordDeployment(of: refused)
        #expect(states(github).count == 1)
    }

    @Test func `a run that waits is queued, then under way, then over`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        for _ in 1...2 { try await client.openDeployment(of: report("01A", .interrupted), isQueued: true) }
        #expect(states(github) == [["queued"]])
        for _ in 1...2 { try await client.openDeployment(of: report("01A", .interrupted)) }
        #expect(states(github) == [["queued", "in_progress"]])
        // What is under way does not wait again.
        try await client.openDeployment(of: report("01A", .interrupted), isQueued: true)
        try await client.recordDeployment(of: report("01A", .verified))
        #expect(states(github) == [["queued", "in_progress", "success"]])
        let statuses = github.state.withLock { $0.deploymentStatuses.values.first ?? [] }
        #expect(statuses.allSatisfy { $0["environment_url"] == "https://shop.fly.dev" })
        #expect(statuses.allSatisfy { $0["log_url"] == "https://github.com/acme/shop/actions/runs/1" })
    }

    @Test(arguments: [RunOutcome.refused, .unavailable, .interrupted])
    func `a run that waited and changed nothing ends its deployment`(_ outcome: RunOutcome) async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        try await client.openDeployment(of: report("01A", .interrupted, release: nil), isQueued: true)
        var ended = report("01A", outcome, release: nil)
        ended.wasAnnounced = true
        for _ in 1...2 { try await client.recordDeployment(of: ended) }
        #expect(states(github) == [["queued", "failure"]])
        // Opened by nobody, for GitHub was down then: nothing is made up afterwards.
        ended.run = "01B"
        try await client.recordDeployment(of: ended)
        #expect(states(github).count == 1)
    }

    @Test(arguments: [RunOutcome.verified, .rolledBack, .needsHuman])
    func `a recovery ends what dead runs left open, and touches nothing else`(_ outcome: RunOutcome) async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        try await client.recordDeployment(of: report("01A", .verified))
        try await client.openDeployment(of: report("01B", .interrupted))
        try await client.openDeployment(of: report("01C", .interrupted), isQueued: true)
        var recovery = report("01D", outcome, kind: .recover)
        recovery.commit = nil
        try await client.recordDeployment(of: recovery)
        #expect(states(github) == [["success"], ["in_progress", "error"], ["queued", "error"]])
    }

    @Test func `telling twice leaves one deployment with one state`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        for _ in 1...2 { try await client.recordDeployment(of: report("01A", .verified)) }
        #expect(states(github) == [["success"]])
    }

    @Test func `a run that is told late does not take the place of a later one`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        try await client.recordDeployment(of: report("01B", .verified))
        try await client.recordDeployment(of: report("01A", .verified))
        #expect(states(github) == [["success"], ["inactive"]])
    }

    @Test func `an incident is one issue: opened, commented, closed by the next verified deploy`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        func keep(_ report: RunReport) async throws {
            try await client.keepIncident(of: report, title: "Down", body: "text", assignees: ["ada"])
        }
        try await keep(report("01A", .rolledBack))
        try await keep(report("01A", .rolledBack))
        try await keep(report("01B", .needsHuman))
        try await keep(report("01C", .verified, kind: .rollback))
        try await keep(report("01X", .needsHuman, app: "other"))
        let issues = github.state.withLock { $0.issues }
        #expect(issues.count == 2)
        #expect(
            issues.first?["labels"]?.array?.compactMap { $0["name"]?.string }
                == ["deployment", "rollback", "production", "critical", "automated"])
        #expect(github.state.withLock { $0.comments[1]?.count } == 2)
        try await keep(report("01D", .verified))
        #expect(github.state.withLock { $0.issues.map { $0["state"]?.string } } == ["closed", "open"])
        #expect(github.state.withLock { $0.comments[1]?.count } == 3)
        // The next one is another incident.
        try await keep(report("01E", .needsHuman))
        #expect(github.state.withLock { $0.issues.count } == 3)
        let before = github.requests.count
        try await keep(report("01F", .refused))
        #expect(github.requests.count == before)
    }
}
