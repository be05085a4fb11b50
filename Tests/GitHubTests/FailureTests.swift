// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import GitHub
import HTTPTransport
import Model
import TestSupport
import Testing

/// Everything that can go wrong on the way to GitHub and back.
@Suite struct FailureTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var answer: LoopbackAnswer
        var code: GitHubError.Code
        var failure: Failure.Code
        var says: [String]
        var calls = 1
        var testDescription: String { name }
    }

    static let cases = [
        Case(
            name: "401", answer: .json(401, #"{"message":"Bad credentials"}"#), code: .unauthorized,
            failure: .unauthorized, says: ["Bad credentials", "GITHUB_TOKEN", "HTTP 401"]),
        Case(
            name: "403 of a workflow's token without the permission",
            answer: .json(
                403, #"{"message":"Resource not accessible by integration"}"#,
                headers: [("x-accepted-github-permissions", "checks=read")]), code: .forbidden, failure: .forbidden,
            says: ["Resource not accessible by integration", "the permission checks: read", "permissions:"]),
        Case(
            name: "403 of a classic token without the scope",
            answer: .json(
                403, #"{"message":"Must have admin rights"}"#,
                headers: [("x-accepted-oauth-scopes", "repo"), ("x-oauth-scopes", "gist, user")]), code: .forbidden,
            failure: .forbidden, says: ["one of the scopes repo", "it has gist, user"]),
        Case(
            name: "403 of single sign-on",
            answer: .json(
                403, #"{"message":"Resource protected by organization SAML enforcement."}"#,
                headers: [("x-github-sso", "required; url=https://github.com/orgs/acme/sso")]), code: .forbidden,
            failure: .forbidden, says: ["single sign-on"]),
        Case(
            name: "404", answer: .json(404, #"{"message":"Not Found"}"#), code: .notFound, failure: .notFound,
            says: ["Not Found", "GITHUB_REPOSITORY"]),
        Case(
            name: "422", answer: .json(422, #"{"message":"No commit found for SHA: cc"}"#), code: .unprocessable,
            failure: .invalid, says: ["No commit found", "pushed"]),
        Case(
            name: "422 with particulars",
            answer: .json(
                422, #"{"message":"Validation Failed","errors":[{"resource":"Label","field":"name","code":"invalid"}]}"#
            ),
            code: .unprocessable, failure: .invalid, says: ["Validation Failed: Label name invalid"]),
        Case(
            name: "a limit that ends in an hour",
            answer: .json(
                403, #"{"message":"API rate limit exceeded for installation"}"#,
                headers: [
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "\(TestClock.start.secondsSinceEpoch + 3600)"),
                ]), code: .rateLimited, failure: .rateLimited, says: ["Try again in 36"]),
        Case(
            name: "429 that asks for ten minutes",
            answer: .json(429, #"{"message":"Too many"}"#, headers: [("retry-after", "600")]), code: .rateLimited,
            failure: .rateLimited, says: ["600 s"]),
        Case(
            name: "an HTML page with status 200", answer: .html(200), code: .malformedAnswer, failure: .unavailable,
            says: ["a web page came instead of JSON", "GITHUB_API_URL"]),
        Case(
            name: "an HTML page with status 403", answer: .html(403), code: .malformedAnswer, failure: .unavailable,
            says: ["a web page came instead of JSON"]),
        Case(
            name: "JSON of another shape", answer: .json(200, #"{"total_count":1,"check_runs":[{"id":"x"}]}"#),
            code: .malformedAnswer, failure: .unavailable, says: ["“.check_runs[0].id” is of another kind"]),
        Case(
            name: "a member that is missing", answer: .json(200, #"{"total_count":1,"check_runs":[{"id":1}]}"#),
            code: .malformedAnswer, failure: .unavailable, says: ["“.check_runs[0].name” is missing"]),
        Case(
            name: "half of an answer", answer: .json(200, #"{"total_count":1,"check_ru"#), code: .malformedAnswer,
            failure: .unavailable, says: ["not whole JSON"]),
        Case(
            name: "a redirect to nowhere", answer: .status(302, "moved"), code: .notFound, failure: .notFound,
            says: ["has moved"]),
        Case(
            name: "500, again and again", answer: .json(500, #"{"message":"Server Error"}"#), code: .serverError,
            failure: .unavailable, says: ["Server Error", "3 attempts", "githubstatus.com"], calls: 3),
        Case(
            name: "a page of a proxy with status 502", answer: .html(502), code: .serverError, failure: .unavailable,
            says: ["HTTP 502", "3 attempts"], calls: 3),
        Case(
            name: "no answer at all", answer: .closeWithoutAnswer, code: .unreachable, failure: .unavailable,
            says: ["could not be reached"], calls: 3),
    ]

    @Test(arguments: cases) func `what GitHub answers is told, with what to do`(_ given: Case) async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { $0.faults = [LoopbackAnswer](repeating: given.answer, count: 5) }
        let client = try github.client(clock: JumpingClock())
        let error = try #require(
            await #expect(throws: GitHubError.self) { _ = try await client.checks(of: StandIn.commit) })
        #expect(error.code == given.code)
        #expect(client.callCount == given.calls)
        let failure = Failure(error)
        #expect(failure.code == given.failure)
        let text = failure.text + " " + failure.hint
        for wanted in given.says { #expect(text.contains(wanted), "\(text)") }
        #expect(!failure.isAmbiguous)
        #expect(!text.contains(StandIn.token))
    }

    /// The questions that approvals hang on, beside those of checks.
    private static let questions: [@Sendable (GitHubClient) async throws -> Void] = [
        { _ = try await $0.pullRequests(of: StandIn.commit) }, { _ = try await $0.reviews(of: 12) },
        { _ = try await $0.workflowRun("77") },
    ]

    @Test(arguments: questions.indices) func `no question about approvals takes a failure for an answer`(
        _ index: Int
    ) async throws {
        for given in Self.cases where !given.name.hasPrefix("JSON of another") && !given.name.hasPrefix("a member") {
            let github = try StandIn()
            defer { github.stop() }
            github.change { $0.faults = [LoopbackAnswer](repeating: given.answer, count: 5) }
            let client = try github.client(clock: JumpingClock())
            let error = await #expect(throws: GitHubError.self, "\(given.name)") {
                try await Self.questions[index](client)
            }
            #expect(error?.code == given.code, "\(given.name)")
        }
        let github = try StandIn()
        defer { github.stop() }
        github.change { $0.isEndless = true }
        let error = await #expect(throws: GitHubError.self) { try await Self.questions[index](github.client()) }
        #expect(error?.code == .endlessPages)
    }

    @Test func `what passes is tried again, and its answer is used`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[StandIn.commit.rawValue] = [Shapes.checkRun("Danger", id: 1)]
            state.faults = [.json(502, "{}").closing, .closeWithoutAnswer]
        }
        let client = try github.client(clock: JumpingClock())
        #expect(try await client.checkRuns(of: StandIn.commit).map(\.name) == ["Danger"])
        #expect(client.callCount == 3)
    }

    @Test(arguments: [
        (("retry-after", "3"), 403, Duration.seconds(3)), (("retry-after", "0"), 429, .zero),
        (("x-ratelimit-reset", "\(TestClock.start.secondsSinceEpoch + 20)"), 403, .seconds(20)),
    ]) func `a limit is waited for where that is soon`(
        _ field: (String, String), _ status: Int, _ pause: Duration
    ) async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[StandIn.commit.rawValue] = []
            state.faults = [
                .json(status, #"{"message":"rate limit"}"#, headers: [field, ("x-ratelimit-remaining", "0")])
            ]
        }
        let clock = JumpingClock()
        let client = try github.client(clock: clock)
        #expect(try await client.checkRuns(of: StandIn.commit).isEmpty)
        #expect(clock.sleeps.reduce(.zero, +) == pause)
        #expect(client.callCount == 2)
    }

    @Test func `a secondary limit without a word about its end lasts a minute`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[StandIn.commit.rawValue] = []
            state.faults = [.json(403, #"{"message":"You have exceeded a secondary rate limit."}"#)]
        }
        let clock = JumpingClock()
        #expect(try await github.client(clock: clock).checkRuns(of: StandIn.commit).isEmpty)
        #expect(clock.sleeps == [.seconds(60)])
    }

    @Test func `while a limit holds nothing is sent`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { $0.faults = [.json(429, "{}", headers: [("retry-after", "600")])] }
        let client = try github.client(clock: JumpingClock())
        for _ in 1...3 {
            let error = await #expect(throws: GitHubError.self) {
                _ = try await client.pullRequests(of: StandIn.commit)
            }
            #expect(error?.code == .rateLimited)
        }
        #expect(client.callCount == 1)
    }

    @Test func `a list without an end is given up`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[StandIn.commit.rawValue] = [Shapes.checkRun("Danger", id: 1)]
            state.isEndless = true
        }
        let client = try github.client()
        let error = try #require(
            await #expect(throws: GitHubError.self) { _ = try await client.checks(of: StandIn.commit) })
        #expect(error.code == .endlessPages)
        #expect(error.message == "it has more than 50 pages")
        #expect(Failure(error).code == .unavailable)
        #expect(client.callCount == 50)
    }

    @Test func `a page that names itself as the next is given up at once`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { state in
            state.checkRuns[StandIn.commit.rawValue] = [Shapes.checkRun("Danger", id: 1)]
            state.isCircular = true
        }
        let client = try github.client()
        let error = await #expect(throws: GitHubError.self) { _ = try await client.checks(of: StandIn.commit) }
        #expect(error?.code == .endlessPages)
        #expect(client.callCount == 1)
    }

    @Test func `the token follows no page to another server`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        let other = try LoopbackServer { _ in .json(200, "{}") }
        defer { other.stop() }
        github.change { state in
            state.checkRuns[StandIn.commit.rawValue] = [Shapes.checkRun("Danger", id: 1)]
            state.isEndless = true
            state.nextServer = other.url
        }
        let client = try github.client()
        let error = await #expect(throws: GitHubError.self) { _ = try await client.checks(of: StandIn.commit) }
        #expect(error?.code == .malformedAnswer)
        #expect(other.requests.isEmpty)
    }

    @Test func `a GitHub that hangs is given up in time`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        github.change { $0.faults = [.stall, .stall, .stall] }
        var limits = GitHubLimits()
        limits.transfer = .seconds(1)
        limits.retrying = .seconds(2)
        let client = try github.client(limits: limits)
        let error = await #expect(throws: GitHubError.self) { _ = try await client.checks(of: StandIn.commit) }
        #expect(error?.code == .timedOut)
        #expect(error.map { Failure($0).code } == .timedOut)
        // Once more after the first second, and not again after the second.
        #expect((1...2).contains(client.callCount))
    }

    @Test func `nothing listens: unreachable`() async throws {
        let port = try LoopbackServer.unusedPort()
        let client = GitHubClient(
            repository: try #require(GitHubRepository("acme/shop")),
            endpoints: try GitHubEndpoints(api: "http://127.0.0.1:\(port)"), token: try GitHubToken(StandIn.token),
            http: HTTPClient(), clock: JumpingClock())
        let error = await #expect(throws: GitHubError.self) { _ = try await client.checks(of: StandIn.commit) }
        #expect(error?.code == .unreachable)
    }

    @Test func `a token that comes back in a message is not shown`() async throws {
        let github = try StandIn()
        defer { github.stop() }
        // Of no known shape, so that only the client can know it.
        let token = "plainlookingtoken42"
        let echo = LoopbackAnswer.json(
            400, #"{"message":"bad header Bearer \#(token)\n::set-output name=x::y\u001b[31m"}"#,
            headers: [("x-github-request-id", token), ("x-accepted-github-permissions", token)])
        github.change { $0.faults = [echo] }
        let client = try github.client(token: token)
        let error = try #require(
            await #expect(throws: GitHubError.self) { _ = try await client.checks(of: StandIn.commit) })
        let text = "\(error) \(error.hint) \(Failure(error))"
        #expect(!text.contains(token), "\(text)")
        #expect(!error.description.contains("\n") && !error.description.contains("\u{1B}"))
    }
}
