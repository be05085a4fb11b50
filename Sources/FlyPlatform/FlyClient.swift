// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import HTTPTransport
package import Model
internal import Synchronization

/// One attempt of one call, for verbose output and plans.
package struct APICallRecord: Hashable, Sendable {
    package var action: APIAction
    package var method: String
    /// The path with `{app}`, `{machine}` and `{key}` in place of names.
    package var pathTemplate: String
    /// Nil where no answer came.
    package var status: Int?
    package var duration: Duration
    /// Empty where no answer carried one.
    package var requestID: String
    /// 1 for the first time.
    package var attempt: Int
}

/// The client's time and randomness, so that tests can choose both.
package struct ClientClock: Sendable {
    /// The time of day.
    package var now: @Sendable () -> Timestamp
    /// Time since any fixed origin, never going back.
    package var monotonic: @Sendable () -> Duration
    /// Sleeps until the monotonic instant; throws only where the task is cancelled.
    package var sleepUntil: @Sendable (Duration) async throws -> Void
    /// A number in [0, 1).
    package var random: @Sendable () -> Double

    package init(
        now: @escaping @Sendable () -> Timestamp, monotonic: @escaping @Sendable () -> Duration,
        sleepUntil: @escaping @Sendable (Duration) async throws -> Void, random: @escaping @Sendable () -> Double
    ) {
        self.now = now
        self.monotonic = monotonic
        self.sleepUntil = sleepUntil
        self.random = random
    }

    /// The machine's own clocks.
    package static var system: ClientClock {
        let origin = ContinuousClock.now
        return ClientClock(
            now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) },
            monotonic: { ContinuousClock.now - origin },
            sleepUntil: { try await Task.sleep(until: origin + $0, clock: .continuous) },
            random: { Double.random(in: 0..<1) })
    }
}

/// The Machines API and the platform API, typed. Every method throws ``FlyError``.
///
/// The client keeps the platform's rate limits (callers wait their turn), repeats only what may be repeated
/// (see ``RetryPolicy``), and never decides what to do about an ambiguous answer: it says so in the error.
package final class FlyClient: Sendable {
    private let endpoints: FlyEndpoints
    private let token: FlyToken
    private let http: any HTTPSending
    private let clock: ClientClock
    private let policy: RetryPolicy
    private let userAgent: String
    private let observer: (@Sendable (APICallRecord) -> Void)?
    private let limits = Mutex(RateLimits())
    private let calls = Mutex(0)

    /// `observer` is told of every attempt, on the caller's task: it must be quick.
    package init(
        endpoints: FlyEndpoints, token: FlyToken, http: any HTTPSending, clock: ClientClock = .system,
        policy: RetryPolicy = RetryPolicy(), userAgent: String = "airboss",
        observer: (@Sendable (APICallRecord) -> Void)? = nil
    ) {
        self.endpoints = endpoints
        self.token = token
        self.http = http
        self.clock = clock
        self.policy = policy
        self.userAgent = userAgent
        self.observer = observer
    }

    /// How many requests were sent, repeats included.
    package var callCount: Int { calls.withLock { $0 } }

    /// Sends a call until it succeeds or may not be repeated, and reads its answer.
    func perform<Answer>(
        _ call: APICall, reading read: (JSONValue) throws(UnexpectedShape) -> Answer
    ) async throws(FlyError) -> Answer {
        try await attempts(of: call) { response, table in
            guard !response.body.isEmpty else { return .failure(table.malformed(response, "the answer is empty")) }
            let json: JSONValue
            do {
                json = try JSONValue(parsing: response.body)
            } catch {
                return .failure(table.malformed(response, FlyClient.describeNoise(response)))
            }
            do throws(UnexpectedShape) {
                return .success(try read(json))
            } catch {
                return .failure(table.malformed(response, error.message))
            }
        }
    }

    /// Sends a call whose answer's body says nothing.
    func perform(_ call: APICall) async throws(FlyError) {
        try await attempts(of: call) { response, table in
            // A page with status 200 is a proxy's, and the call has not reached the platform.
            FlyErrorTable.isWebPage(response)
                ? .failure(table.malformed(response, FlyClient.describeNoise(response))) : .success(())
        }
    }

    private enum Reading<Answer> {
        case success(Answer)
        case failure(FailedAttempt)
    }

    private func attempts<Answer>(
        of call: APICall, reading read: (HTTPResponse, FlyErrorTable) -> Reading<Answer>
    ) async throws(FlyError) -> Answer {
        let path = try call.path()
        let cancelled = FlyError(.cancelled, method: call.method, path: path)
        var start: Duration?
        var attempt = 0
        var isRejoining = false
        var mayHaveHappened = false
        while true {
            do {
                try await takeTurn(call, path: path, atFront: isRejoining)
            } catch {
                throw mark(error, attempts: attempt, mayHaveHappened: mayHaveHappened)
            }
            attempt += 1
            let begin = clock.monotonic()
            let elapsed = begin - (start ?? begin)
            start = start ?? begin
            let remaining = call.wait.map { max($0 - elapsed, FlyTimeouts.waitRange.lowerBound) }
            let request = call.request(
                path: path, endpoints: endpoints, token: token, userAgent: userAgent, wait: remaining)
            let table = FlyErrorTable(
                call: call, path: path, now: clock.now(), redact: { [token] in Redaction.text(token.redacting($0)) })
            calls.withLock { $0 += 1 }

            let failed: FailedAttempt
            do throws(HTTPError) {
                let response = try await http.send(request)
                note(call, response, since: begin, attempt: attempt)
                if (200...299).contains(response.status) {
                    switch read(response, table) {
                    case .success(let answer): return answer
                    case .failure(let failure): failed = failure
                    }
                } else {
                    failed = table.failure(response)
                }
            } catch {
                note(call, nil, since: begin, attempt: attempt)
                failed = table.failure(error)
            }

            let now = clock.monotonic()
            let decision = policy.decision(
                after: failed.failure, repetition: call.repetition, attempt: attempt, elapsed: now - (start ?? now),
                retryAfter: failed.error.retryAfter, random: clock.random(), extraTime: call.wait ?? .zero)
            guard case .repeatAfter(let delay) = decision else {
                throw mark(failed.error, attempts: attempt, mayHaveHappened: mayHaveHappened)
            }
            mayHaveHappened = mayHaveHappened || (failed.failure == .transient && call.changesSomething)
            isRejoining = failed.failure == .rateLimited
            if isRejoining {
                let pause = max(delay, call.action.rateLimit.interval)
                limits.withLock { $0.drain(call.rateLimitKey, until: now + pause, now: now) }
            } else {
                do {
                    try await clock.sleepUntil(now + delay)
                } catch {
                    throw mark(cancelled, attempts: attempt, mayHaveHappened: mayHaveHappened)
                }
            }
        }
    }

    /// What the error of the last attempt does not know: how many there were, and what became of those before it.
    private func mark(_ error: FlyError, attempts: Int, mayHaveHappened: Bool) -> FlyError {
        var error = error
        error.attempts = attempts
        error.isAmbiguous = error.isAmbiguous || mayHaveHappened
        return error
    }

    /// Waits until the platform's limits let the call through.
    private func takeTurn(_ call: APICall, path: String, atFront: Bool) async throws(FlyError) {
        let cancelled = FlyError(.cancelled, method: call.method, path: path)
        guard !Task.isCancelled else { throw cancelled }
        let joined = limits.withLock { $0.join(call.rateLimitKey, now: clock.monotonic(), atFront: atFront) }
        guard let ticket = joined else {
            throw FlyError(
                .rateLimited, message: "\(RateLimits.maxQueuedCalls) calls are waiting already", method: call.method,
                path: path)
        }
        while true {
            let turn = limits.withLock { $0.turn(of: ticket, now: clock.monotonic()) }
            guard case .wait(let instant) = turn else { return }
            do {
                try await clock.sleepUntil(instant)
            } catch {
                limits.withLock { $0.leave(ticket) }
                throw cancelled
            }
        }
    }

    private func note(_ call: APICall, _ response: HTTPResponse?, since begin: Duration, attempt: Int) {
        observer?(
            APICallRecord(
                action: call.action, method: call.method, pathTemplate: call.template, status: response?.status,
                duration: clock.monotonic() - begin, requestID: response.map(FlyErrorTable.requestID) ?? "",
                attempt: attempt))
    }

    /// What an unreadable body looks like, without quoting it: it may hold anything.
    private static func describeNoise(_ response: HTTPResponse) -> String {
        if FlyErrorTable.isWebPage(response) { return "a web page came instead of JSON" }
        return "\(response.body.count) bytes came that are not whole JSON"
    }
}
