// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Model
import Testing

@testable import FlyPlatform

@Suite struct FlyErrorTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let status: Int
        let body: String
        let code: FlyError.Code
        /// Whether a mutation may have happened all the same.
        let isAmbiguous: Bool
        var testDescription: String { "\(status) \(body.prefix(80))" }

        init(_ status: Int, _ body: String, _ code: FlyError.Code, ambiguous: Bool = false) {
            self.status = status
            self.body = body
            self.code = code
            isAmbiguous = ambiguous
        }
    }

    static let html = "<!DOCTYPE html>\n<html><body>Bad Gateway</body></html>"
    static let held = "failed to get lease: lease currently held by eve@x.test, expires at 2026-11-21T09:00:13Z"

    static let rows: [Row] = [
        Row(400, #"{"error":"invalid timeout"}"#, .badRequest),
        Row(400, #"{"error":"no capacity"}"#, .insufficientCapacity),
        Row(400, #"{"error":"x","status":"volume_placement_capacity"}"#, .insufficientCapacity),
        Row(401, #"{"error":"unauthenticated"}"#, .unauthorized),
        Row(401, "", .unauthorized),
        Row(403, #"{"error":"unauthorized"}"#, .forbidden),
        Row(404, #"{"error":"app not found"}"#, .appNotFound),
        Row(404, #"{"error":"Could not find App"}"#, .appNotFound),
        Row(404, #"{"error":"machine not found in app x"}"#, .machineNotFound),
        Row(404, #"{"error":"not found"}"#, .machineNotFound),
        Row(404, "", .machineNotFound),
        Row(408, #"{"error":"deadline exceeded"}"#, .deadlineExceeded, ambiguous: true),
        Row(408, html, .deadlineExceeded, ambiguous: true),
        Row(
            409, #"{"error":"\#(held)"}"#, .leaseHeld(owner: "eve@x.test", expiresAt: Timestamp("2026-11-21T09:00:13Z"))
        ),
        Row(
            409, #"{"error":"\#(held)."}"#,
            .leaseHeld(owner: "eve@x.test", expiresAt: Timestamp("2026-11-21T09:00:13Z"))),
        Row(
            409, #"{"error":"lease currently held by a,b@x, expires at 2026-11-21T10:00:13+01:00 (try later)"}"#,
            .leaseHeld(owner: "a,b@x", expiresAt: Timestamp("2026-11-21T09:00:13Z"))),
        Row(409, #"{"error":"lease currently held by eve@x.test"}"#, .leaseHeld(owner: "eve@x.test", expiresAt: nil)),
        Row(
            409, #"{"error":"lease currently held by eve, expires at x"}"#, .leaseHeld(owner: "eve", expiresAt: nil)),
        Row(409, #"{"error":"concurrent update in progress"}"#, .conflict),
        Row(409, #"{"error":"no capacity on host"}"#, .insufficientCapacity),
        Row(409, #"{"error":"unique-name violation"}"#, .nameTaken),
        Row(409, "", .conflict),
        Row(412, #"{"error":"machine is being replaced"}"#, .precondition),
        Row(412, #"{"error":"volume host is full: insufficient resources"}"#, .insufficientCapacity),
        Row(422, #"{"error":"x","status":"name_taken"}"#, .nameTaken),
        Row(422, #"{"error":"x","status":"insufficient_capacity"}"#, .insufficientCapacity),
        Row(422, #"{"error":"bad config","status":"unknown"}"#, .badRequest),
        Row(418, "teapot", .badRequest),
        Row(429, #"{"error":"rate limit exceeded"}"#, .rateLimited),
        Row(429, html, .rateLimited),
        Row(500, #"{"error":"internal"}"#, .serverError, ambiguous: true),
        Row(500, #"{"error":"x","status":"insufficient_capacity"}"#, .insufficientCapacity),
        Row(502, html, .serverError, ambiguous: true),
        Row(503, "", .serverError, ambiguous: true),
        Row(504, "upstream timeout", .serverError, ambiguous: true),
        // A page is never the platform's word, whatever its status.
        Row(404, html, .malformedAnswer, ambiguous: true),
        Row(403, html, .malformedAnswer, ambiguous: true),
        Row(200, html, .malformedAnswer, ambiguous: true),
        Row(302, "", .malformedAnswer, ambiguous: true),
        Row(200, #"{"id":"m1","state":"sta"#, .malformedAnswer, ambiguous: true),
        Row(200, "", .malformedAnswer, ambiguous: true),
        Row(200, String(repeating: "noise ", count: 1_700_000), .malformedAnswer, ambiguous: true),
    ]

    @Test(arguments: rows)
    func `what answers mean`(_ row: Row) async throws {
        let http = ScriptedHTTP([.answer(row.status, row.body, ["fly-request-id": "01ABC-ord"])])
        let client = try makeClient(http, policy: .never)
        let error = try await #require(throws: FlyError.self) {
            _ = try await client.updateMachine(
                "shop", "m1", config: AnyCall.config, currentVersion: "v", leaseNonce: "n")
        }
        #expect(error.code == row.code)
        #expect(error.isAmbiguous == row.isAmbiguous && error.isDefinite != row.isAmbiguous)
        #expect(error.status == row.status && error.requestID == "01ABC-ord" && error.attempts == 1)
        #expect(error.method == "POST" && error.path == "/v1/apps/shop/machines/m1")
        #expect(error.description.contains("01ABC-ord") && error.description.contains("HTTP \(row.status)"))
        #expect(!error.description.contains("\n") && error.description.count < 800)
        #expect(error.hint.contains("look before repeating") == row.isAmbiguous)
        #expect(!error.hint.isEmpty)

        let reading = try makeClient(
            ScriptedHTTP([.answer(row.status, row.body, [:])]), policy: .never)
        let read = try await #require(throws: FlyError.self) { _ = try await reading.machine("shop", "m1") }
        #expect(read.code == row.code && !read.isAmbiguous, "a read changes nothing")
    }

    @Test(arguments: [
        (HTTPError.Code.couldNotConnect, false, FlyError.Code.unreachable), (.couldNotResolve, false, .unreachable),
        (.timedOut, true, .unreachable), (.timedOut, false, .unreachable), (.stalled, true, .unreachable),
        (.connectionLost, true, .unreachable), (.tlsFailed, false, .unreachable),
        (.bodyTooLarge, true, .malformedAnswer),
        (.malformedAnswer, true, .malformedAnswer), (.tooManyRedirects, true, .malformedAnswer),
        (.invalidRequest, false, .badRequest), (.cancelled, true, .cancelled), (.cancelled, false, .cancelled),
        (.shutDown, false, .unreachable), (.fileFailed, false, .unreachable),
    ])
    func `what silence means`(_ code: HTTPError.Code, _ mayHaveHappened: Bool, _ expected: FlyError.Code) async throws {
        let failure = HTTPError(code, "it broke", mayHaveBeenProcessed: mayHaveHappened)
        let client = try makeClient(ScriptedHTTP([.failure(failure)]), policy: .never)
        let error = try await #require(throws: FlyError.self) {
            _ = try await client.createMachine("a", region: "ord", config: AnyCall.config)
        }
        #expect(error.code == expected && error.isAmbiguous == mayHaveHappened && error.status == nil)
        #expect(error.message == "it broke")
        let reading = try makeClient(ScriptedHTTP([.failure(failure)]), policy: .never)
        let read = try await #require(throws: FlyError.self) { _ = try await reading.app("a") }
        #expect(read.code == expected && !read.isAmbiguous)
    }

    @Test(
        arguments: [
            (401, AppAccess.tokenRejected), (403, AppAccess.otherOrganization), (404, AppAccess.appMissing),
        ] as [(Int, @Sendable (FlyError) -> AppAccess)])
    func `a look at the app tells tokens from organisations from missing apps`(
        _ status: Int, _ expected: @Sendable (FlyError) -> AppAccess
    ) async throws {
        let access = try await makeClient(ScriptedHTTP([.status(status)])).access(to: "a")
        let error = try #require(access.error)
        #expect(access == expected(error) && error.requestID == "req-\(status)")
    }

    @Test func `a look at the app grants, or fails where the platform says nothing`() async throws {
        #expect(
            try await makeClient(ScriptedHTTP([.ok(#"{"name":"a"}"#)])).access(to: "a")
                == .granted(AppInfo(name: "a", organization: "", status: "")))
        let client = try makeClient(ScriptedHTTP([.status(403, Self.html)]))
        let error = try await #require(throws: FlyError.self) { _ = try await client.access(to: "a") }
        #expect(error.code == .malformedAnswer)
    }

    @Test(arguments: AnyCall.all)
    func `every call's error carries the request id and no token`(_ call: AnyCall) async throws {
        let echo = #"{"error":"bad header Authorization: FlyV1 \#(testToken) in \u001b[31mrequest\n\t twice"}"#
        let client = try makeClient(ScriptedHTTP([.status(400, echo)]))
        let error = try await #require(throws: FlyError.self) { try await call.run(client) }
        #expect(error.requestID == "req-400" && error.code == .badRequest)
        var dumped = ""
        dump(error, to: &dumped)
        dump(client, to: &dumped)
        for text in [error.description, error.hint, error.message, "\(error)", "\(client)", dumped] {
            #expect(!text.contains("1secret") && !text.contains("fm2_") && !text.contains("\u{1b}"), "\(text)")
        }
    }

    @Test func `a message is one bounded line`() {
        #expect(FlyError.oneLine("  a\u{0}\u{1b}[1m\r\n b\u{202e}\u{2028}c  ") == "a [1m b c")
        #expect(FlyError.oneLine(String(repeating: "x", count: 9999)).count == FlyError.maxMessageLength)
        #expect(FlyError.oneLine("\n\t ").isEmpty)
    }

    @Test func `a hostile request id is tamed`() async throws {
        let id = "a\u{1b}[2Jb c" + String(repeating: "d", count: 999)
        let client = try makeClient(ScriptedHTTP([.answer(400, "{}", ["fly-request-id": id])]))
        let error = try await #require(throws: FlyError.self) { _ = try await client.app("a") }
        #expect(error.requestID.count == FlyError.maxRequestIDLength && error.requestID.hasPrefix("a[2Jbcd"))
    }

    @Test func `an error survives a journal`() throws {
        let error = FlyError(
            .leaseHeld(owner: "o", expiresAt: Timestamp(secondsSinceEpoch: 1)), status: 409, message: "m",
            requestID: "r", method: "POST", path: "/x", isAmbiguous: true, attempts: 2, retryAfter: .seconds(3))
        let data = try JSONEncoder().encode(error)
        #expect(try JSONDecoder().decode(FlyError.self, from: data) == error)
    }

    @Test func `a description says who holds the lease`() {
        let error = FlyError(
            .leaseHeld(owner: "eve@x.test", expiresAt: Timestamp("2026-11-21T09:00:13Z")), status: 409, message: "held",
            requestID: "01A", method: "POST", path: "/v1/apps/a/machines/m/lease", attempts: 3)
        #expect(
            error.description
                == "the machine is leased to eve@x.test until 2026-11-21T09:00:13Z: held "
                + "(POST /v1/apps/a/machines/m/lease, HTTP 409, 3 attempts, fly-request-id 01A)")
    }
}

extension AppAccess {
    fileprivate var error: FlyError? {
        switch self {
        case .granted: nil
        case .tokenRejected(let error), .otherOrganization(let error), .appMissing(let error): error
        }
    }
}
