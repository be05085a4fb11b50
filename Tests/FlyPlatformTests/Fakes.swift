// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Model
import Synchronization
import Testing

@testable import FlyPlatform

/// Answers requests from a list, in order, and remembers them; a request beyond the list fails the test.
final class ScriptedHTTP: HTTPSending {
    enum Step: Sendable {
        case answer(Int, String, HTTPHeaders)
        case failure(HTTPError)

        static func ok(_ body: String) -> Step { .answer(200, body, ["fly-request-id": "req-ok"]) }
        static func status(_ status: Int, _ body: String = #"{"error":"no"}"#) -> Step {
            .answer(status, body, ["fly-request-id": "req-\(status)"])
        }
    }

    private struct State {
        var steps: [Step]
        var requests: [HTTPRequest] = []
        var times: [Duration] = []
    }

    private let state: Mutex<State>
    private let time: @Sendable () -> Duration

    init(_ steps: [Step], time: @escaping @Sendable () -> Duration = { .zero }) {
        state = Mutex(State(steps: steps))
        self.time = time
    }

    var requests: [HTTPRequest] { state.withLock { $0.requests } }
    var times: [Duration] { state.withLock { $0.times } }
    var unused: Int { state.withLock { $0.steps.count } }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let step: Step? = state.withLock {
            $0.requests.append(request)
            $0.times.append(time())
            return $0.steps.isEmpty ? nil : $0.steps.removeFirst()
        }
        switch step {
        case .answer(let status, let body, let headers):
            return HTTPResponse(status: status, headers: headers, body: Data(body.utf8), url: request.url)
        case .failure(let error): throw error
        case nil:
            Issue.record("a request too many: \(request.method) \(request.url)")
            throw HTTPError(.shutDown, "the script is over", mayHaveBeenProcessed: false)
        }
    }
}

/// Time that passes only by sleeping: whoever sleeps moves it.
final class JumpingClock: Sendable {
    private let state = Mutex<(now: Duration, sleeps: [Duration])>((.zero, []))
    /// 09:00 on a Monday.
    static let origin = Timestamp("2026-11-23T09:00:00Z")!

    var now: Duration { state.withLock { $0.now } }
    /// How long each sleep was.
    var sleeps: [Duration] { state.withLock { $0.sleeps } }

    func pass(_ duration: Duration) {
        state.withLock { $0.now += duration }
    }

    var clientClock: ClientClock {
        ClientClock(
            now: { JumpingClock.origin + self.now }, monotonic: { self.now },
            sleepUntil: { instant in
                try Task.checkCancellation()
                self.state.withLock { state in
                    state.sleeps.append(instant - state.now)
                    state.now = max(state.now, instant)
                }
            },
            random: { 0.5 })
    }
}

/// Time that passes only when the test says so; sleepers wake in the order of their instants.
final class SteppedClock: Sendable {
    private struct Sleeper {
        var instant: Duration
        var wake: CheckedContinuation<Void, Never>
    }
    private let state = Mutex<(now: Duration, sleepers: [Sleeper])>((.zero, []))

    var now: Duration { state.withLock { $0.now } }
    var sleeperCount: Int { state.withLock { $0.sleepers.count } }

    /// Moves to the next sleeper's instant and wakes it; false where nobody sleeps.
    func step() -> Bool {
        let next: Sleeper? = state.withLock { state in
            guard
                let index = state.sleepers.indices.min(by: { state.sleepers[$0].instant < state.sleepers[$1].instant })
            else { return nil }
            let sleeper = state.sleepers.remove(at: index)
            state.now = max(state.now, sleeper.instant)
            return sleeper
        }
        next?.wake.resume()
        return next != nil
    }

    var clientClock: ClientClock {
        ClientClock(
            now: { JumpingClock.origin + self.now }, monotonic: { self.now },
            sleepUntil: { instant in
                await withCheckedContinuation { continuation in
                    self.state.withLock { $0.sleepers.append(Sleeper(instant: instant, wake: continuation)) }
                }
                try Task.checkCancellation()
            },
            random: { 0.5 })
    }
}

let testToken = "fm2_lJPECAAAAAAAB1secret"

func makeClient(
    _ http: any HTTPSending, clock: ClientClock = JumpingClock().clientClock, token: String = testToken,
    policy: RetryPolicy = RetryPolicy(), observer: (@Sendable (APICallRecord) -> Void)? = nil
) throws -> FlyClient {
    FlyClient(
        endpoints: try FlyEndpoints(machines: "https://machines.test", platform: "https://platform.test"),
        token: try FlyToken(token), http: http, clock: clock, policy: policy, observer: observer)
}

extension HTTPRequest {
    var bodyText: String? {
        guard case .bytes(let data) = body else { return nil }
        return String(decoding: data, as: UTF8.self)
    }
}

/// Every kind of call, by name, so that a table can run them all.
struct AnyCall: Sendable, CustomTestStringConvertible {
    let name: String
    let repetition: RetryPolicy.Repetition
    /// Whether a lost answer leaves open what is so.
    let changes: Bool
    /// An answer it takes.
    let answer: String
    let run: @Sendable (FlyClient) async throws -> Void
    var testDescription: String { name }

    static let machineJSON = #"{"id":"m1","state":"started","instance_id":"01V","config":{"image":"i"}}"#
    static let leaseJSON = #"{"status":"success","data":{"nonce":"n1","expires_at":1795000000,"owner":"o@x.test"}}"#
    static let config = MachineConfig(["image": "registry.test/a:1"])

    static let all: [AnyCall] = [
        .init(name: "app", repetition: .safe, changes: false, answer: #"{"name":"a"}"#) { _ = try await $0.app("a") },
        .init(name: "machines", repetition: .safe, changes: false, answer: "[]") { _ = try await $0.machines("a") },
        .init(name: "machine", repetition: .safe, changes: false, answer: machineJSON) {
            _ = try await $0.machine("a", "m1")
        },
        .init(name: "createMachine", repetition: .onlyIfUnprocessed, changes: true, answer: machineJSON) {
            _ = try await $0.createMachine("a", region: "ord", config: config)
        },
        .init(name: "updateMachine", repetition: .onlyIfUnprocessed, changes: true, answer: machineJSON) {
            _ = try await $0.updateMachine("a", "m1", config: config, currentVersion: "01V", leaseNonce: "n1")
        },
        .init(name: "wait", repetition: .safe, changes: false, answer: #"{"ok":true}"#) {
            _ = try await $0.waitFor("a", "m1", states: [.started], version: "01V", timeout: .seconds(60))
        },
        .init(name: "acquireLease", repetition: .safe, changes: true, answer: leaseJSON) {
            _ = try await $0.acquireLease("a", "m1", ttl: .seconds(13), description: "d")
        },
        .init(name: "refreshLease", repetition: .safe, changes: true, answer: leaseJSON) {
            _ = try await $0.refreshLease("a", "m1", nonce: "n1", ttl: .seconds(13))
        },
        .init(name: "releaseLease", repetition: .safe, changes: true, answer: "") {
            try await $0.releaseLease("a", "m1", nonce: "n1")
        },
        .init(name: "leaseHolder", repetition: .safe, changes: false, answer: leaseJSON) {
            _ = try await $0.leaseHolder("a", "m1")
        },
        .init(name: "cordon", repetition: .onlyIfUnprocessed, changes: true, answer: "") {
            try await $0.cordon("a", "m1")
        },
        .init(name: "uncordon", repetition: .onlyIfUnprocessed, changes: true, answer: "") {
            try await $0.uncordon("a", "m1")
        },
        .init(name: "start", repetition: .onlyIfUnprocessed, changes: true, answer: "{}") {
            try await $0.start("a", "m1")
        },
        .init(name: "stop", repetition: .onlyIfUnprocessed, changes: true, answer: "{}") {
            try await $0.stop("a", "m1")
        },
        .init(name: "restart", repetition: .onlyIfUnprocessed, changes: true, answer: "{}") {
            try await $0.restart("a", "m1")
        },
        .init(name: "destroy", repetition: .onlyIfUnprocessed, changes: true, answer: #"{"ok":true}"#) {
            try await $0.destroy("a", "m1", force: true)
        },
        .init(name: "versions", repetition: .safe, changes: false, answer: "[]") {
            _ = try await $0.versions("a", "m1")
        },
        .init(name: "metadata", repetition: .safe, changes: false, answer: "{}") {
            _ = try await $0.metadata("a", "m1")
        },
        .init(name: "setMetadata", repetition: .onlyIfUnprocessed, changes: true, answer: "") {
            try await $0.setMetadata("a", "m1", key: "k", value: "v")
        },
        .init(name: "patchMetadata", repetition: .onlyIfUnprocessed, changes: true, answer: "") {
            try await $0.patchMetadata("a", "m1", ["k": "v"])
        },
        .init(name: "deleteMetadata", repetition: .onlyIfUnprocessed, changes: true, answer: "") {
            try await $0.deleteMetadata("a", "m1", key: "k")
        },
        .init(name: "secrets", repetition: .safe, changes: false, answer: #"{"secrets":[]}"#) {
            _ = try await $0.secrets("a")
        },
        .init(name: "regions", repetition: .safe, changes: false, answer: #"{"regions":[]}"#) {
            _ = try await $0.regions()
        },
        .init(name: "placements", repetition: .safe, changes: false, answer: #"{"regions":[]}"#) {
            _ = try await $0.placements(organization: "o", region: "ord", count: 1)
        },
        .init(
            name: "createRelease", repetition: .onlyIfUnprocessed, changes: true,
            answer: #"{"release":{"id":"r1","version":7}}"#
        ) { _ = try await $0.createRelease("a", image: "i", strategy: .rolling, definition: [:]) },
        .init(name: "finishRelease", repetition: .onlyIfUnprocessed, changes: true, answer: "{}") {
            try await $0.finishRelease("r1", status: .complete)
        },
        .init(name: "releases", repetition: .safe, changes: false, answer: #"{"releases":[]}"#) {
            _ = try await $0.releases("a")
        },
        .init(name: "currentRelease", repetition: .safe, changes: false, answer: #"{"id":1,"version":7}"#) {
            _ = try await $0.currentRelease("a")
        },
        .init(name: "logs", repetition: .safe, changes: false, answer: #"{"data":[]}"#) { _ = try await $0.logs("a") },
        .init(name: "deleteApp", repetition: .onlyIfUnprocessed, changes: true, answer: "") {
            try await $0.deleteApp("a")
        },
    ]

    init(
        name: String, repetition: RetryPolicy.Repetition, changes: Bool, answer: String,
        run: @escaping @Sendable (FlyClient) async throws -> Void
    ) {
        self.name = name
        self.repetition = repetition
        self.changes = changes
        self.answer = answer
        self.run = run
    }
}
