// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Model
import Synchronization
import Testing

@testable import FlyPlatform

/// Which calls are sent again after which failures, all the way through the client.
@Suite struct RepetitionTests {
    enum Trouble: CaseIterable, Sendable {
        case refusedConnection, unresolved, lostConnection, stalled, badGateway, unavailable, serverError, deadline
        case tooMany, badRequest, leaseHeld, webPage, noise, tls

        var step: ScriptedHTTP.Step {
            switch self {
            case .refusedConnection: .failure(HTTPError(.couldNotConnect, "refused", mayHaveBeenProcessed: false))
            case .unresolved: .failure(HTTPError(.couldNotResolve, "no host", mayHaveBeenProcessed: false))
            case .lostConnection: .failure(HTTPError(.connectionLost, "reset", mayHaveBeenProcessed: true))
            case .stalled: .failure(HTTPError(.stalled, "silent", mayHaveBeenProcessed: true))
            case .badGateway: .status(502, FlyErrorTests.html)
            case .unavailable: .status(503, "")
            case .serverError: .status(500)
            case .deadline: .status(408)
            case .tooMany: .answer(429, "{}", ["retry-after": "2", "fly-request-id": "req-429"])
            case .badRequest: .status(400)
            case .leaseHeld: .status(409, #"{"error":"\#(FlyErrorTests.held)"}"#)
            case .webPage: .status(200, FlyErrorTests.html)
            case .noise: .failure(HTTPError(.bodyTooLarge, "too much", mayHaveBeenProcessed: true))
            case .tls: .failure(HTTPError(.tlsFailed, "certificate", mayHaveBeenProcessed: false))
            }
        }

        /// How often a call that always meets this is sent.
        func attempts(_ call: AnyCall) -> Int {
            switch (self, call.repetition) {
            case (.badRequest, _), (.leaseHeld, _), (.webPage, _), (.noise, _), (.tls, _): 1
            case (.deadline, _) where call.name == "wait": 1
            // As often as half a minute allows; a wait has its own time beside it.
            case (.tooMany, _): call.name == "wait" ? 30 : 13
            case (.refusedConnection, .onlyIfUnprocessed), (.unresolved, .onlyIfUnprocessed): 3
            case (_, .onlyIfUnprocessed): 1
            case (_, .safe): 5
            }
        }

        /// Whether a mutation that met it may have happened.
        var isAmbiguous: Bool {
            switch self {
            case .lostConnection, .stalled, .badGateway, .unavailable, .serverError, .deadline, .webPage, .noise: true
            case .refusedConnection, .unresolved, .tooMany, .badRequest, .leaseHeld, .tls: false
            }
        }
    }

    @Test(arguments: AnyCall.all, Trouble.allCases)
    func `a call is sent as often as is safe`(_ call: AnyCall, _ trouble: Trouble) async throws {
        let expected = trouble.attempts(call)
        let http = ScriptedHTTP(Array(repeating: trouble.step, count: 30))
        let client = try makeClient(http)
        if call.name == "wait", trouble == .deadline {
            try await call.run(client)  // an outcome, not an error
        } else {
            let error = try await #require(throws: FlyError.self) { try await call.run(client) }
            #expect(error.attempts == expected)
            #expect(error.isAmbiguous == (call.changes && trouble.isAmbiguous))
        }
        #expect(http.requests.count == expected && client.callCount == expected)
    }

    @Test(arguments: AnyCall.all)
    func `a call that is repeated succeeds in the end, saying the same`(_ call: AnyCall) async throws {
        let http = ScriptedHTTP([Trouble.refusedConnection.step, Trouble.tooMany.step, .ok(call.answer)])
        try await call.run(makeClient(http))
        #expect(http.requests.count == 3)
        #expect(Set(http.requests.map(\.method)).count == 1 && Set(http.requests.map(\.bodyText)).count == 1)
    }

    @Test func `back-off grows, and retry-after is waited out`() async throws {
        let clock = JumpingClock()
        let http = ScriptedHTTP(
            [
                .status(502), .status(503), .answer(503, "", ["retry-after": "4"]),
                .answer(429, "{}", ["Retry-After": "Mon, 23 Nov 2026 09:00:20 GMT"]), .ok("[]"),
            ], time: { clock.now })
        _ = try await makeClient(http, clock: clock.clientClock).machines("a")
        let milliseconds = http.times.map(\.wholeMilliseconds)
        // The fourth call needs a refilled token, which the back-off outlasted.
        #expect(milliseconds == [0, 187, 562, 4562, 20_350])
    }

    @Test func `a 429 without retry-after waits for a token`() async throws {
        let clock = JumpingClock()
        let http = ScriptedHTTP([.status(429), .ok("[]")], time: { clock.now })
        _ = try await makeClient(http, clock: clock.clientClock).machines("a")
        #expect(http.times == [.zero, .milliseconds(1100)])
    }

    @Test func `a retry-after beyond the total time is reported, not slept through`() async throws {
        let clock = JumpingClock()
        let http = ScriptedHTTP([.answer(429, "{}", ["retry-after": "3600"])])
        let client = try makeClient(http, clock: clock.clientClock)
        let error = try await #require(throws: FlyError.self) { _ = try await client.machines("a") }
        #expect(error.code == .rateLimited && error.retryAfter == .seconds(3600))
        #expect(error.hint.contains("3600 s"))
        #expect(clock.sleeps.isEmpty)
    }

    @Test func `a repeated wait asks only for the time that is left`() async throws {
        let clock = JumpingClock()
        let http = PassingHTTP(clock: clock, takes: .seconds(20), steps: 2)
        let outcome = try await makeClient(http, clock: clock.clientClock).waitFor(
            "a", "m", states: [.started], version: "v", timeout: .seconds(60))
        #expect(outcome == .reached(state: "started"))
        let timeouts = http.urls.map { $0.split(separator: "timeout=").last.map(String.init) }
        #expect(timeouts == ["60", "39", "19"])
    }

    @Test func `a lease that may be ours is said to be`() async throws {
        let http = ScriptedHTTP([Trouble.lostConnection.step, Trouble.leaseHeld.step])
        let client = try makeClient(http)
        let error = try await #require(throws: FlyError.self) {
            _ = try await client.acquireLease("a", "m", ttl: .seconds(13), description: "")
        }
        #expect(error.isAmbiguous && error.attempts == 2)
        guard case .leaseHeld = error.code else {
            Issue.record("\(error)")
            return
        }
    }

    @Test func `releasing a lease that has ended is no error; a machine that is gone is`() async throws {
        try await makeClient(ScriptedHTTP([.status(404, #"{"error":"lease not found"}"#)]))
            .releaseLease("a", "m", nonce: "n")
        let client = try makeClient(ScriptedHTTP([.status(404, #"{"error":"machine not found"}"#)]))
        let error = try await #require(throws: FlyError.self) { try await client.releaseLease("a", "m", nonce: "n") }
        #expect(error.code == .machineNotFound)
    }

    @Test func `callers of one limit go first come, first served`() async throws {
        let clock = SteppedClock()
        let http = ScriptedHTTP(Array(repeating: .ok(AnyCall.machineJSON), count: 7), time: { clock.now })
        let client = try makeClient(http, clock: clock.clientClock)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<7 {
                group.addTask {
                    let config = MachineConfig(["image": .string("\(number)")])
                    _ = try await client.createMachine("a", region: "ord", config: config)
                }
                while http.requests.count + clock.sleeperCount <= number { await Task.yield() }
            }
            for gone in 4...7 {
                #expect(clock.step())
                while http.requests.count < gone { await Task.yield() }
            }
            try await group.waitForAll()
        }
        let images = try http.requests.map { try JSONValue(parsing: $0.bodyText ?? "")["config"]?["image"]?.string }
        #expect(images == ["0", "1", "2", "3", "4", "5", "6"])
        #expect(http.times.map(\.wholeMilliseconds) == [0, 0, 0, 1100, 2100, 3100, 4100])
    }

    @Test func `a cancelled caller leaves the queue, and has sent nothing`() async throws {
        let clock = SteppedClock()
        let http = ScriptedHTTP(Array(repeating: .ok("[]"), count: 3))
        let client = try makeClient(http, clock: clock.clientClock)
        for _ in 0..<3 { _ = try await client.machines("a") }
        let task = Task { try await client.machines("a") }
        while clock.sleeperCount == 0 { await Task.yield() }
        task.cancel()
        #expect(clock.step())
        let error = await #expect(throws: FlyError.self) { _ = try await task.value }
        #expect(error?.code == .cancelled && error?.isDefinite == true && client.callCount == 3)
    }

    @Test func `an observer sees every attempt`() async throws {
        let records = Mutex<[APICallRecord]>([])
        let http = ScriptedHTTP([.status(503), Trouble.lostConnection.step, .ok(AnyCall.machineJSON)])
        let client = try makeClient(http) { record in records.withLock { $0.append(record) } }
        _ = try await client.machine("shop", "m1")
        let seen = records.withLock { $0 }
        #expect(seen.map(\.status) == [503, nil, 200] && seen.map(\.attempt) == [1, 2, 3])
        #expect(seen.map(\.requestID) == ["req-503", "", "req-ok"])
        #expect(seen.allSatisfy { $0.pathTemplate == "/v1/apps/{app}/machines/{machine}" && $0.method == "GET" })
        #expect(client.callCount == 3)
    }
}

/// Loses the connection after a while, several times, and then answers.
private final class PassingHTTP: HTTPSending {
    private let clock: JumpingClock
    private let duration: Duration
    private let state: Mutex<(left: Int, urls: [String])>

    init(clock: JumpingClock, takes duration: Duration, steps: Int) {
        self.clock = clock
        self.duration = duration
        state = Mutex((steps, []))
    }

    var urls: [String] { state.withLock { $0.urls } }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        clock.pass(duration)
        let isLost = state.withLock { state in
            state.urls.append(request.url)
            state.left -= 1
            return state.left >= 0
        }
        if isLost { throw HTTPError(.connectionLost, "reset", mayHaveBeenProcessed: true) }
        return HTTPResponse(status: 200, body: Data(#"{"ok":true}"#.utf8))
    }
}
