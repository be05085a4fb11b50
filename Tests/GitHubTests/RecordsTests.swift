// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import GitHub
import Model
import Synchronization
import TestSupport
import Testing

/// What is written on GitHub: deployments and issues.
@Suite struct RecordsTests {
    @Test func `a deployment goes through its states`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        let made = try await client.createDeployment(
            of: StandIn.commit, environment: "production", description: "v72", payload: ["run": "01RUN"],
            isProduction: true)
        #expect(made.sha == StandIn.commit.rawValue)
        #expect(made.payload == ["run": "01RUN"])
        for state in [DeploymentState.queued, .inProgress, .success] {
            try await client.setState(
                state, ofDeployment: made.id, description: String(repeating: "ü", count: 300),
                environmentURL: "https://shop.fly.dev", logURL: "https://github.com/acme/shop/actions/runs/1")
        }
        #expect(try await client.states(ofDeployment: made.id) == ["success", "in_progress", "queued"])
        let again = try await client.createDeployment(
            of: StandIn.commit, environment: "production", description: "", isProduction: true)
        _ = try await client.createDeployment(
            of: StandIn.commit, environment: "staging", description: "", isProduction: false)
        #expect(try await client.deployments(to: "production", limit: 10).map(\.id) == [again.id, made.id])
    }

    @Test func `an issue is opened, found by its labels, commented and closed`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        let labels = ["deployment", "critical"]
        let issue = try await client.createIssue(
            title: "Production is down", body: "marker", labels: labels, assignees: ["ada"])
        _ = try await client.createIssue(title: "Other", body: "", labels: ["critical"], assignees: [])
        #expect(try await client.issues(labels: labels).map(\.number) == [issue.number])
        try await client.comment(onIssue: issue.number, "still")
        try await client.closeIssue(issue.number)
        #expect(try await client.issues(labels: labels).isEmpty)
        #expect(try await client.issues(labels: labels, isOpen: false).map(\.isOpen) == [false])
        #expect(github.state.withLock { $0.comments[issue.number]?.map { $0["body"]?.string } } == ["still"])
    }

    @Test func `a change whose answer is lost is not made twice, and says that it may have happened`() async throws {
        for fault in [LoopbackAnswer.closeWithoutAnswer, .html(502), .json(500, "{}"), .json(201, "{\"id\":")] {
            let github = try StandIn()
            defer { github.stop() }
            github.change { $0.faults = [fault] }
            let client = try github.client()
            let error = await #expect(throws: GitHubError.self) {
                _ = try await client.createIssue(title: "x", body: "", labels: [], assignees: [])
            }
            #expect(error?.isAmbiguous == true)
            #expect(client.callCount == 1)
        }
    }

    @Test func `a change that was refused for its pace is made once the pause is over`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { $0.faults = [.json(403, #"{"message":"slow down"}"#, headers: [("retry-after", "7")])] }
        let clock = JumpingClock()
        let client = try github.client(clock: clock)
        _ = try await client.createIssue(title: "x", body: "", labels: [], assignees: [])
        #expect(clock.sleeps == [.seconds(7)])
        #expect(github.state.withLock { $0.issues.count } == 1)
    }
}
