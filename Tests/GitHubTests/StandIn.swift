// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import GitHub
import HTTPTransport
import Model
import Ports
import Synchronization
import TestSupport

/// A GitHub of one repository, over real sockets, that keeps what it is told and answers in GitHub's shapes. Source:
/// github/rest-api-description, version 2022-11-28.
final class StandIn: Sendable {
    struct State: Sendable {
        var checkRuns: [String: [JSONValue]] = [:]
        var statuses: [String: [JSONValue]] = [:]
        var pulls: [String: [JSONValue]] = [:]
        var reviews: [Int: [JSONValue]] = [:]
        var approvals: [String: [JSONValue]] = [:]
        var workflowRuns: [String: JSONValue] = [:]
        var deployments: [JSONValue] = []
        var deploymentStatuses: [Int: [JSONValue]] = [:]
        var issues: [JSONValue] = []
        var comments: [Int: [JSONValue]] = [:]
        /// Answers that come before its own, each used up.
        var faults: [LoopbackAnswer] = []
        /// Every list names a next page, for ever.
        var isEndless = false
        /// The next page is always the first.
        var isCircular = false
        /// Where pages say that the next one is, instead of here.
        var nextServer: String?
        var nextID = 1000
    }

    static let repository = "acme/shop"
    static let token = "ghp_verysecrettokenverysecrettoken1234"
    static let commit = CommitID(String(repeating: "c", count: 40))

    let state = Mutex(State())
    private let server: Mutex<LoopbackServer?> = Mutex(nil)

    init() throws {
        let server = try LoopbackServer { [weak self] request in self?.answer(request) ?? .closeWithoutAnswer }
        self.server.withLock { $0 = server }
    }

    deinit { stop() }

    func stop() { server.withLock { $0?.stop() } }

    var url: String { server.withLock { $0?.url ?? "" } }
    var requests: [LoopbackServer.Request] { server.withLock { $0?.requests ?? [] } }

    func change(_ body: (inout sending State) -> Void) { state.withLock { body(&$0) } }

    /// A client of this GitHub; real time, unless a clock is given.
    func client(
        token: String = StandIn.token, clock: any DriverClock = TestClock(), limits: GitHubLimits = GitHubLimits(),
        observer: (@Sendable (GitHubCallRecord) -> Void)? = nil
    ) throws -> GitHubClient {
        guard let repository = GitHubRepository(StandIn.repository) else { throw Unusable() }
        return GitHubClient(
            repository: repository, endpoints: try GitHubEndpoints(api: url), token: try GitHubToken(token),
            http: HTTPClient(), clock: clock, limits: limits, observer: observer)
    }

    struct Unusable: Error {}

    // MARK: - Answering

    private func answer(_ request: LoopbackServer.Request) -> LoopbackAnswer {
        let fault: LoopbackAnswer? = state.withLock { $0.faults.isEmpty ? nil : $0.faults.removeFirst() }
        if let fault { return fault }
        guard request.header("authorization") == "Bearer \(StandIn.token)" else {
            return problem(401, "Bad credentials")
        }
        guard request.header("user-agent")?.isEmpty == false, request.header("x-github-api-version") == "2022-11-28"
        else { return problem(403, "Request forbidden by administrative rules") }
        let parts = request.path.split(separator: "/").map(String.init)
        guard parts.count > 3, parts[0] == "repos", parts[1] + "/" + parts[2] == StandIn.repository else {
            return problem(404, "Not Found")
        }
        let body = try? JSONValue(parsing: request.body)
        return state.withLock { state in
            route(request, Array(parts[3...]), body ?? .null, &state)
        }
    }

    private func route(
        _ request: LoopbackServer.Request, _ parts: [String], _ body: JSONValue, _ state: inout State
    ) -> LoopbackAnswer {
        switch (request.method, parts.count, parts[0], parts.count > 1 ? parts[1] : "", parts.last ?? "") {
        case ("GET", 3, "commits", let sha, "check-runs"):
            guard let runs = state.checkRuns[sha] else { return problem(422, "No commit found for SHA: \(sha)") }
            let latest = query(request, "filter") == "latest" ? StandIn.latest(runs) : runs
            return page(request, latest, state) { Shapes.checkRunPage($0, total: latest.count) }
        case ("GET", 3, "commits", let sha, "status"):
            guard let all = state.statuses[sha] else { return problem(422, "No commit found for SHA: \(sha)") }
            return page(request, all, state) { Shapes.combinedStatus($0, total: all.count, sha: sha) }
        case ("GET", 3, "commits", let sha, "pulls"): return page(request, state.pulls[sha] ?? [], state) { $0 }
        case ("GET", 3, "pulls", let number, "reviews"):
            return page(request, state.reviews[Int(number) ?? 0] ?? [], state) { $0 }
        case ("GET", 4, "actions", "runs", "approvals"):
            return page(request, state.approvals[parts[2]] ?? [], state) { $0 }
        case ("GET", 3, "actions", "runs", let id):
            return state.workflowRuns[id].map { .json(200, $0.text()) } ?? problem(404, "Not Found")
        case ("GET", 1, "deployments", _, _):
            let wanted = query(request, "environment")
            let list = state.deployments.filter { wanted == nil || $0["environment"]?.string == wanted }
            return page(request, list.reversed(), state) { $0 }
        case ("POST", 1, "deployments", _, _): return createDeployment(body, &state)
        case ("GET", 3, "deployments", let id, "statuses"):
            return page(request, (state.deploymentStatuses[Int(id) ?? 0] ?? []).reversed(), state) { $0 }
        case ("POST", 3, "deployments", let id, "statuses"): return addStatus(Int(id) ?? 0, body, &state)
        case ("GET", 1, "issues", _, _): return listIssues(request, state)
        case ("POST", 1, "issues", _, _): return createIssue(body, &state)
        case ("POST", 3, "issues", let number, "comments"):
            guard let text = body["body"]?.string else { return problem(422, "Validation Failed") }
            let comment = Shapes.comment(id: state.nextID, body: text)
            state.nextID += 1
            state.comments[Int(number) ?? 0, default: []].append(comment)
            return .json(201, comment.text())
        case ("PATCH", 2, "issues", let number, _):
            guard let index = state.issues.firstIndex(where: { $0["number"]?.integer == Int(number) }) else {
                return problem(404, "Not Found")
            }
            if let wanted = body["state"] { state.issues[index]["state"] = wanted }
            return .json(200, state.issues[index].text())
        default: return problem(404, "Not Found")
        }
    }

    /// What GitHub keeps of attempts of one name in one check suite.
    private static func latest(_ runs: [JSONValue]) -> [JSONValue] {
        struct Identity: Hashable { var name: String?, suite: Int?, app: String? }
        var seen: Set<Identity> = []
        return runs.reversed().filter {
            let identity = Identity(
                name: $0["name"]?.string, suite: $0["check_suite"]?["id"]?.integer, app: $0["app"]?["slug"]?.string)
            return seen.insert(identity).inserted
        }
    }

    private func page(
        _ request: LoopbackServer.Request, _ all: [JSONValue], _ state: State, _ wrap: (JSONValue) -> JSONValue
    ) -> LoopbackAnswer {
        let size = min(100, query(request, "per_page").flatMap { Int($0) } ?? 30)
        let number = query(request, "page").flatMap { Int($0) } ?? 1
        let start = min(all.count, (number - 1) * size)
        let part = all[start..<min(all.count, start + size)]
        var headers: [(String, String)] = [("x-github-request-id", "F00D:1")]
        if start + size < all.count || state.isEndless || state.isCircular {
            let rest = request.target.split(separator: "&").filter { !$0.hasPrefix("page=") }.joined(separator: "&")
            let next = state.isCircular ? rest : "\(rest)\(rest.contains("?") ? "&" : "?")page=\(number + 1)"
            headers.append(
                ("Link", "<\(state.nextServer ?? url)\(next)>; rel=\"next\", <\(url)\(rest)&page=99>; rel=\"last\""))
        }
        return .json(200, wrap(.array(Array(part))).text(), headers: headers)
    }

    private func createDeployment(_ body: JSONValue, _ state: inout State) -> LoopbackAnswer {
        guard let ref = body["ref"]?.string else { return problem(422, "Validation Failed") }
        // GitHub merges the default branch and waits for every check unless told not to.
        guard body["auto_merge"]?.bool == false, body["required_contexts"]?.array?.isEmpty == true else {
            return problem(409, "Conflict: Commit status checks failed for \(ref).")
        }
        let made = Shapes.deployment(
            id: state.nextID, sha: ref, environment: body["environment"]?.string ?? "production",
            description: body["description"] ?? .null, payload: body["payload"] ?? [:])
        state.nextID += 1
        state.deployments.append(made)
        return .json(201, made.text())
    }

    private func addStatus(_ id: Int, _ body: JSONValue, _ state: inout State) -> LoopbackAnswer {
        guard state.deployments.contains(where: { $0["id"]?.integer == id }) else { return problem(404, "Not Found") }
        let states = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]
        guard let wanted = body["state"]?.string, states.contains(wanted),
            (body["description"]?.string?.unicodeScalars.count ?? 0) <= 140
        else { return problem(422, "Validation Failed") }
        let status = Shapes.deploymentStatus(id: state.nextID, state: wanted, of: body)
        state.nextID += 1
        state.deploymentStatuses[id, default: []].append(status)
        return .json(201, status.text())
    }

    private func listIssues(_ request: LoopbackServer.Request, _ state: State) -> LoopbackAnswer {
        let labels = (query(request, "labels") ?? "").split(separator: ",").map(String.init)
        let wanted = query(request, "state") ?? "open"
        let list = state.issues.filter { issue in
            let own = (issue["labels"]?.array ?? []).compactMap { $0["name"]?.string }
            return labels.allSatisfy(own.contains) && (wanted == "all" || issue["state"]?.string == wanted)
        }
        return page(request, list.reversed(), state) { $0 }
    }

    private func createIssue(_ body: JSONValue, _ state: inout State) -> LoopbackAnswer {
        guard let title = body["title"]?.string, !title.isEmpty else { return problem(422, "Validation Failed") }
        let issue = Shapes.issue(
            number: state.issues.count + 1, title: title, body: body["body"] ?? .null,
            labels: (body["labels"]?.array ?? []).compactMap(\.string))
        state.issues.append(issue)
        return .json(201, issue.text())
    }

    private func problem(_ status: Int, _ message: String) -> LoopbackAnswer {
        let body: JSONValue = [
            "message": .string(message), "documentation_url": "https://docs.github.com/rest",
            "status": .string(String(status)),
        ]
        return .json(status, body.text(), headers: [("x-github-request-id", "F00D:\(status)")])
    }

    private func query(_ request: LoopbackServer.Request, _ name: String) -> String? {
        guard let start = request.target.firstIndex(of: "?") else { return nil }
        for pair in request.target[request.target.index(after: start)...].split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            if parts.first.map(String.init) == name { return parts.last.map { String($0).replacing("%2C", with: ",") } }
        }
        return nil
    }
}

/// The system's time, or a time that passes by sleeping only.
struct TestClock: DriverClock {
    private let origin = ContinuousClock.now
    static let start = Timestamp(secondsSinceEpoch: 1_795_435_200)

    var now: Timestamp { TestClock.start + (ContinuousClock.now - origin) }
    func sleep(until time: Timestamp) async throws {
        let pause = time - now
        if pause > .zero { try await Task.sleep(for: pause) }
    }
}

/// Time that passes only by sleeping.
final class JumpingClock: DriverClock {
    private let state = Mutex<(now: Timestamp, sleeps: [Duration])>((TestClock.start, []))

    var now: Timestamp { state.withLock { $0.now } }
    var sleeps: [Duration] { state.withLock { $0.sleeps } }
    func sleep(until time: Timestamp) async throws {
        try Task.checkCancellation()
        state.withLock { state in
            state.sleeps.append(time - state.now)
            state.now = max(state.now, time)
        }
    }
}
