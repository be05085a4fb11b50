// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import GitHub
import Model
import Synchronization
import TestSupport
import Testing

/// What GitHub knows of a commit, asked over real sockets.
@Suite struct ChecksTests {
    private let sha = StandIn.commit.rawValue
    private let head = String(repeating: "d", count: 40)

    @Test func `check runs and statuses of a commit become checks`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[sha] = [
                Shapes.checkRun("Danger", id: 1), Shapes.checkRun("🐳 build", id: 2, conclusion: "skipped"),
                Shapes.checkRun("Tests", id: 3, status: "in_progress", conclusion: nil),
                Shapes.checkRun("Lint", id: 4, status: "queued", conclusion: nil, app: nil, startedAt: nil),
            ]
            state.statuses[sha] = [
                Shapes.status("ci/deploy", id: 9), Shapes.status("ci/slow", id: 10, state: "pending"),
                Shapes.status("ci/bad", id: 11, state: "error"),
            ]
        }
        let found = try await github.client().checks(of: StandIn.commit).sorted { $0.id < $1.id }
        #expect(found.map(\.name) == ["Danger", "🐳 build", "Tests", "Lint", "ci/deploy", "ci/slow", "ci/bad"])
        #expect(found.map(\.state) == ["success", "skipped", "in_progress", "queued", "success", "pending", "error"])
        #expect(found.map(\.isComplete) == [true, true, false, false, true, false, true])
        #expect(found.map(\.app) == ["github-actions", "github-actions", "github-actions", "", "", "", ""])
        #expect(found.map(\.kind) == [.run, .run, .run, .run, .status, .status, .status])
        #expect(found[0].since == Timestamp(Shapes.time))
        #expect(found[3].since == nil)
        #expect(found[0].url == "https://github.com/acme/shop/runs/1")
    }

    @Test func `a commit with 30 checks is asked for in two calls, and with its pull request in five`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            for commit in [sha, head] {
                state.checkRuns[commit] = (1...20).map { Shapes.checkRun("run \($0)", id: $0) }
                state.statuses[commit] = (21...30).map { Shapes.status("status \($0)", id: $0) }
            }
            state.pulls[sha] = [Shapes.pullRequest(12, head: head, merge: sha)]
        }
        let client = try github.client()
        let begin = ContinuousClock.now
        #expect(try await client.checks(of: StandIn.commit).count == 30)
        #expect(client.callCount == 2)
        #expect(
            try await client.pullRequests(of: StandIn.commit) == [
                PullRequest(number: 12, head: CommitID(head), mergeCommit: StandIn.commit, author: "ada")
            ])
        #expect(try await client.checks(of: CommitID(head)).count == 30)
        #expect(client.callCount == 5)
        #expect(github.requests.count == 5)
        // Told, not held: other tests may have the machine's cores meanwhile.
        print("30 checks, their pull request and its head over loopback: \(ContinuousClock.now - begin), 5 calls")
    }

    @Test func `3,000 check runs come on 30 pages, each once`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[sha] = (1...3000).map { Shapes.checkRun("shard \($0)", id: $0) }
            state.statuses[sha] = []
        }
        let client = try github.client()
        let begin = ContinuousClock.now
        let found = try await client.checks(of: StandIn.commit)
        print("3,000 check runs over loopback: \(ContinuousClock.now - begin), \(client.callCount) calls")
        #expect(Set(found.map(\.name)) == Set((1...3000).map { "shard \($0)" }))
        #expect(client.callCount == 31)
    }

    @Test func `of attempts in one check suite GitHub sends the latest`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[sha] = [
                Shapes.checkRun("Danger", id: 1, conclusion: "failure"), Shapes.checkRun("Danger", id: 2),
            ]
            state.statuses[sha] = []
        }
        #expect(try await github.client().checkRuns(of: StandIn.commit).map(\.id) == [2])
        #expect(github.requests.first?.target.contains("filter=latest") == true)
        #expect(github.requests.first?.target.contains("per_page=100") == true)
    }

    @Test func `the trial merge of an open pull request is nobody's commit`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { $0.pulls[sha] = [Shapes.pullRequest(3, head: head, merge: sha, isMerged: false)] }
        #expect(try await github.client().pullRequests(of: StandIn.commit).map(\.mergeCommit) == [nil])
    }

    @Test func `reviews and approvals say who, what and when`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.reviews[12] = [
                Shapes.review(1, by: "grace", state: "CHANGES_REQUESTED", commit: head),
                Shapes.review(2, by: "grace", state: "APPROVED", commit: head),
            ]
            state.approvals["77"] = [Shapes.approval("production", by: "grace")]
        }
        let client = try github.client()
        let reviews = try await client.reviews(of: 12)
        #expect(reviews.map(\.state) == ["CHANGES_REQUESTED", "APPROVED"])
        #expect(reviews.map(\.user) == ["grace", "grace"])
        #expect(reviews.map(\.commit) == [CommitID(head), CommitID(head)])
        #expect(reviews.map(\.submittedAt) == [Timestamp(Shapes.time), Timestamp(Shapes.time)])
        let approvals = try await client.approvals(ofWorkflowRun: "77")
        #expect(approvals.map(\.environments) == [["production"]])
        #expect(approvals.map(\.state) == ["approved"])
        #expect(approvals.map(\.user) == ["grace"])
    }

    @Test func `everything that gates ask of a commit with 30 checks takes six calls`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[sha] = (1...20).map { Shapes.checkRun("run \($0)", id: $0) }
            state.statuses[sha] = (21...30).map { Shapes.status("status \($0)", id: $0) }
            state.pulls[sha] = [Shapes.pullRequest(12, head: head, merge: sha)]
            state.reviews[12] = [Shapes.review(1, by: "grace", state: "APPROVED", commit: head)]
            state.approvals["77"] = [Shapes.approval("production", by: "linus")]
            state.workflowRuns["77"] = Shapes.workflowRun(77, commit: sha)
        }
        let client = try github.client()
        let begin = ContinuousClock.now
        #expect(try await client.checks(of: StandIn.commit).count == 30)
        #expect(try await client.pullRequests(of: StandIn.commit).map(\.number) == [12])
        #expect(try await client.reviews(of: 12).map(\.association) == ["MEMBER"])
        let run = try await client.workflowRun("77")
        #expect(run.commit == StandIn.commit && run.status == "in_progress")
        #expect(run.startedAt == Timestamp(Shapes.time))
        #expect(run.approvals.map(\.user) == ["linus"])
        #expect(client.callCount == 6)
        print("checks, pull request, reviews and workflow run over loopback: \(ContinuousClock.now - begin), 6 calls")
    }

    @Test func `a run that nobody has let through is asked about once`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let client = try github.client()
        #expect(try await client.workflowRun("78").approvals.isEmpty)
        #expect(client.callCount == 1)
        // Another run of another repository than this one is none of ours.
        github.change { $0.approvals["79"] = [Shapes.approval("production", by: "linus")] }
        let missing = await #expect(throws: GitHubError.self) { _ = try await client.workflowRun("79") }
        #expect(missing?.code == .notFound)
        github.change { $0.workflowRuns["79"] = Shapes.workflowRun(80, commit: sha) }
        let other = await #expect(throws: GitHubError.self) { _ = try await client.workflowRun("79") }
        #expect(other?.code == .malformedAnswer)
    }

    @Test func `pull requests of other repositories are none of this one`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change {
            $0.pulls[sha] = [
                Shapes.pullRequest(3, head: head, merge: sha, of: "mallory/shop"),
                Shapes.pullRequest(4, head: head, merge: sha, of: "Acme/Shop"),
            ]
        }
        #expect(try await github.client().pullRequests(of: StandIn.commit).map(\.number) == [4])
    }

    @Test func `150 reviews come on two pages, and the last decision of each reviewer stands`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.reviews[12] =
                (1...147).map {
                    Shapes.review($0, by: "r\($0 % 7)", state: "COMMENTED", commit: head)
                } + [
                    Shapes.review(200, by: "grace", state: "APPROVED", commit: head),
                    Shapes.review(201, by: "Grace", state: "COMMENTED", commit: head),
                    Shapes.review(202, by: "ken", state: "APPROVED", commit: head),
                    Shapes.review(203, by: "ken", state: "CHANGES_REQUESTED", commit: head),
                ]
        }
        let client = try github.client()
        let all = try await client.reviews(of: 12)
        #expect(all.count == 151 && client.callCount == 2)
        #expect(PullRequestReview.latestDecisions(all).map(\.id) == [200, 203])
    }

    @Test func `every attempt is told to the observer, by the documentation's path`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { $0.faults = [.json(502, "{}")] }
        let told = Mutex<[GitHubCallRecord]>([])
        let client = try github.client(clock: JumpingClock()) { record in told.withLock { $0.append(record) } }
        _ = try await client.pullRequests(of: StandIn.commit)
        #expect(told.withLock { $0.map(\.status) } == [502, 200])
        #expect(told.withLock { $0.map(\.attempt) } == [1, 2])
        #expect(told.withLock { $0.last?.template } == "/repos/{owner}/{repo}/commits/{commit_sha}/pulls")
    }
}
