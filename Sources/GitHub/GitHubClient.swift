// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import HTTPTransport
internal import Model
package import Ports
internal import Synchronization

/// One attempt of one call, for verbose output.
package struct GitHubCallRecord: Hashable, Sendable {
    package var method: String
    /// The path as GitHub's documentation writes it, with names in braces.
    package var template: String
    /// Nil where no answer came.
    package var status: Int?
    package var duration: Duration
    /// 1 for the first time.
    package var attempt: Int
}

/// What bounds the client's patience.
package struct GitHubLimits: Hashable, Sendable {
    package var connect = Duration.seconds(5)
    /// One transfer.
    package var transfer = Duration.seconds(15)
    /// No attempt begins later than this after the first one, limits of GitHub's aside.
    package var retrying = Duration.seconds(20)
    /// The longest pause that GitHub asks for and is waited for; a longer one is an error that says how long.
    package var ratePause = Duration.seconds(60)
    /// A whole list, from its first page to its last.
    package var list = Duration.seconds(120)
    /// Pages of one list; 100 entries each.
    package var maxPages = 50
    package var maxAttempts = 3
    package var firstBackoff = Duration.milliseconds(500)

    package init() {}
}

/// GitHub's REST API for one repository, typed. Every method throws ``GitHubError``.
///
/// Calls go one after the other where one thing is asked, as GitHub wants it. Reads are repeated after failures that
/// pass; changes only where they certainly did not happen. Limits that GitHub states are kept by every later call too.
package final class GitHubClient: Sendable {
    package let repository: GitHubRepository
    private let endpoints: GitHubEndpoints
    private let token: GitHubToken
    private let http: any HTTPSending
    private let clock: any DriverClock
    private let limits: GitHubLimits
    private let userAgent: String
    private let observer: (@Sendable (GitHubCallRecord) -> Void)?
    private let calls = Mutex(0)
    private let freeAt = Mutex<Timestamp?>(nil)

    /// The version of the API that answers are read as.
    package static let apiVersion = "2022-11-28"
    /// The most that GitHub puts on one page.
    static let pageSize = 100
    private static let maxPageBytes = 32 * 1024 * 1024
    private static let maxRedirects = 3

    /// `observer` is told of every attempt, on the caller's task: it must be quick.
    package init(
        repository: GitHubRepository, endpoints: GitHubEndpoints, token: GitHubToken, http: any HTTPSending,
        clock: any DriverClock, limits: GitHubLimits = GitHubLimits(), userAgent: String = "airboss",
        observer: (@Sendable (GitHubCallRecord) -> Void)? = nil
    ) {
        self.repository = repository
        self.endpoints = endpoints
        self.token = token
        self.http = http
        self.clock = clock
        self.limits = limits
        self.userAgent = userAgent
        self.observer = observer
    }

    /// How many requests were sent, repeats included.
    package var callCount: Int { calls.withLock { $0 } }

    // MARK: - Answers

    /// Sends a call and reads its answer.
    func perform<Answer: Decodable>(_ call: GitHubRequest, as type: Answer.Type) async throws(GitHubError) -> Answer {
        let response = try await send(call, to: call.url(endpoints.api))
        return try read(response, of: call, as: type)
    }

    /// Sends a call whose answer's body says nothing.
    func perform(_ call: GitHubRequest) async throws(GitHubError) {
        let response = try await send(call, to: call.url(endpoints.api))
        if GitHubErrorTable.isWebPage(response) { throw table(call).malformed(response, "") }
    }

    /// Every page of a list; `take` gets each and says how many entries it had.
    func pages<Page: Decodable>(
        _ call: GitHubRequest, as type: Page.Type, _ take: (Page) -> Void
    ) async throws(GitHubError) {
        let deadline = clock.now + limits.list
        var url = call.url(endpoints.api)
        var seen: Set<String> = [url]
        for _ in 1...limits.maxPages {
            guard clock.now < deadline else {
                throw error(.timedOut, call, "the list was not whole after \(Int(limits.list.inSeconds)) s")
            }
            let response = try await send(call, to: url)
            take(try read(response, of: call, as: type))
            guard let next = LinkHeader.next(in: response.headers.values(of: "link")) else { return }
            // The token goes to nobody but the API.
            guard GitHubClient.origin(next) == GitHubClient.origin(endpoints.api) else {
                throw error(.malformedAnswer, call, "the next page of the list is on another server")
            }
            guard seen.insert(next).inserted else {
                throw error(.endlessPages, call, "a page names itself as the next")
            }
            url = next
        }
        throw error(.endlessPages, call, "it has more than \(limits.maxPages) pages")
    }

    private func read<Answer: Decodable>(
        _ response: HTTPResponse, of call: GitHubRequest, as type: Answer.Type
    ) throws(GitHubError) -> Answer {
        do {
            return try JSONDecoder().decode(type, from: response.body)
        } catch let error as DecodingError {
            throw table(call).malformed(response, error.place)
        } catch {
            throw table(call).malformed(response, "it can't be read")
        }
    }

    // MARK: - Sending

    private func send(_ call: GitHubRequest, to url: String) async throws(GitHubError) -> HTTPResponse {
        let start = clock.now
        var attempt = 0
        var pause = Duration.zero
        while true {
            try await wait(until: max(clock.now + pause, freeAt.withLock { $0 } ?? clock.now), call, attempt)
            attempt += 1
            let begin = clock.now
            let failed: FailedAttempt
            do throws(HTTPError) {
                calls.withLock { $0 += 1 }
                let response = try await http.send(request(call, url))
                note(call, response.status, since: begin, attempt)
                if (200...299).contains(response.status) { return response }
                failed = table(call).failure(response)
            } catch {
                note(call, nil, since: begin, attempt)
                failed = table(call).failure(error)
            }
            var error = failed.error
            error.attempts = attempt
            let mayRepeat =
                switch failed.repetition {
                case .never: false
                case .onlyReading: !call.changesSomething
                case .always: true
                }
            guard mayRepeat, attempt < limits.maxAttempts else { throw error }
            if let asked = error.retryAfter {
                let until = clock.now + asked
                freeAt.withLock { $0 = max($0 ?? until, until) }
                pause = .zero
            } else {
                pause = limits.firstBackoff * (1 << (attempt - 1))
                guard clock.now + pause - start <= limits.retrying else { throw error }
            }
        }
    }

    /// Waits for a limit or a back-off to pass; throws `rateLimited` where that takes longer than anybody waits.
    private func wait(until time: Timestamp, _ call: GitHubRequest, _ attempts: Int) async throws(GitHubError) {
        let pause = time - clock.now
        guard pause > .zero else { return }
        guard pause <= limits.ratePause else {
            var error = error(.rateLimited, call, "it may call again at \(time)")
            error.attempts = attempts
            error.retryAfter = pause
            throw error
        }
        do {
            try await clock.sleep(until: time)
        } catch {
            throw self.error(.cancelled, call, "")
        }
    }

    private func request(_ call: GitHubRequest, _ url: String) -> HTTPRequest {
        var headers: HTTPHeaders = [
            "Authorization": token.authorization, "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": GitHubClient.apiVersion, "User-Agent": userAgent,
        ]
        var body = HTTPBody.none
        if let json = call.body {
            headers["Content-Type"] = "application/json"
            body = .bytes(Data(json.text().utf8))
        }
        return HTTPRequest(
            call.method, url, headers: headers, body: body,
            timeouts: HTTPTimeouts(connect: limits.connect, total: limits.transfer, stall: limits.transfer),
            maxBodyBytes: GitHubClient.maxPageBytes,
            // A repository that was renamed answers with where it is now.
            maxRedirects: call.changesSomething ? 0 : GitHubClient.maxRedirects)
    }

    private func table(_ call: GitHubRequest) -> GitHubErrorTable {
        GitHubErrorTable(
            call: call, now: clock.now, redact: { [token] in Redaction.text(token.redacting($0)) })
    }

    func error(_ code: GitHubError.Code, _ call: GitHubRequest, _ message: String) -> GitHubError {
        GitHubError(code, message: message, method: call.method, path: call.path)
    }

    private func note(_ call: GitHubRequest, _ status: Int?, since begin: Timestamp, _ attempt: Int) {
        observer?(
            GitHubCallRecord(
                method: call.method, template: call.template, status: status, duration: clock.now - begin,
                attempt: attempt))
    }

    /// Scheme, host and port in lower case.
    private static func origin(_ url: String) -> String? {
        guard let separator = url.firstRange(of: "://") else { return nil }
        let authority = url[separator.upperBound...].prefix { !"/?#".contains($0) }
        return (url[..<separator.lowerBound] + "://" + authority).lowercased()
    }
}

extension DecodingError {
    /// Where in a document something is not as promised, without any of its values.
    fileprivate var place: String {
        func name(_ path: [any CodingKey]) -> String {
            path.map { key in key.intValue.map { "[\($0)]" } ?? "." + ShownText.line(key.stringValue, limit: 60) }
                .joined()
        }
        switch self {
        case .keyNotFound(let key, let context): return "“\(name(context.codingPath + [key]))” is missing in it"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "“\(name(context.codingPath))” is of another kind than promised"
        case .dataCorrupted: return "it is not whole JSON"
        @unknown default: return "it can't be read"
        }
    }
}
