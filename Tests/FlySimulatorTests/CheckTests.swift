// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Synchronization
import Testing

@testable import FlySimulator

struct CheckScheduleTests {
    private func schedule(interval: Int = 10, grace: Int = 5) -> CheckSchedule {
        CheckSchedule(
            CheckSchedule.Timing(interval: .seconds(interval), timeout: .seconds(1), grace: .seconds(grace)))
    }

    @Test func `The first check comes as soon as the guest listens, then each interval`() {
        var schedule = schedule()
        #expect(schedule.due == .init(at: .zero, step: .knock))
        #expect(schedule.knocked(isListening: false, at: .zero) == false)
        #expect(schedule.due == .init(at: CheckSchedule.knockInterval, step: .knock))
        #expect(schedule.knocked(isListening: true, at: .milliseconds(50)) == false)
        #expect(schedule.due == .init(at: .milliseconds(50), step: .check))
        #expect(schedule.checked(isPassing: true, begun: .milliseconds(50), at: .milliseconds(60)) == true)
        #expect(schedule.due == .init(at: .milliseconds(10_050), step: .check))
        #expect(schedule.checked(isPassing: false, begun: .milliseconds(10_050), at: .milliseconds(10_100)) == true)
        #expect(schedule.due == .init(at: .milliseconds(20_050), step: .check))
    }

    @Test func `Failures within the grace period are not told`() {
        var schedule = schedule()
        _ = schedule.knocked(isListening: true, at: .zero)
        #expect(schedule.checked(isPassing: false, begun: .zero, at: .milliseconds(10)) == false)
        #expect(schedule.due == .init(at: .seconds(1), step: .check))
        #expect(schedule.checked(isPassing: false, begun: .milliseconds(4500), at: .milliseconds(4510)) == false)
        #expect(schedule.due == .init(at: .seconds(5), step: .check))
        #expect(schedule.checked(isPassing: false, begun: .seconds(5), at: .milliseconds(5010)) == true)
        #expect(schedule.due == .init(at: .seconds(15), step: .check))
    }

    @Test func `A guest that never listens is critical at the grace's end, then each interval`() {
        var schedule = schedule()
        var told: [Duration] = []
        while schedule.due.at < .seconds(26) {
            let now = schedule.due.at
            if schedule.knocked(isListening: false, at: now) { told.append(now) }
        }
        #expect(told == [.seconds(5), .seconds(15), .seconds(25)])
    }

    @Test func `A check that takes longer than the interval is followed at once`() {
        var schedule = schedule(interval: 1, grace: 0)
        _ = schedule.knocked(isListening: true, at: .zero)
        #expect(schedule.checked(isPassing: true, begun: .zero, at: .seconds(3)) == true)
        #expect(schedule.due == .init(at: .seconds(3), step: .check))
    }

    @Test(
        arguments: [
            ("10s", Duration.seconds(10)), ("1m30s", .seconds(90)), ("1.5s", .milliseconds(1500)),
            ("250ms", .milliseconds(250)),
            ("0", .zero), ("", nil), ("10", nil), ("s", nil), ("1d", nil), ("1e99h", nil),
        ] as [(String, Duration?)])
    func `Durations are read as Go writes them`(_ text: String, _ duration: Duration?) {
        #expect(GoDuration.parse(text) == duration)
    }

    @Test func `Timing has Fly's defaults and a smallest interval`() {
        let timing = CheckSchedule.Timing(["interval": "1ms", "timeout": 3_000_000_000])
        #expect(timing.interval == CheckSchedule.Timing.minInterval)
        #expect(timing.timeout == .seconds(3))
        #expect(timing.grace == CheckSchedule.Timing.defaultGrace)
    }

    @Test func `Headers are read in both forms`() {
        let list = CheckProbe.headers(["headers": [["name": "A", "values": ["1", "2"]]]])
        #expect(list.map { "\($0.0)=\($0.1)" } == ["A=1", "A=2"])
        let map = CheckProbe.headers(["headers": ["B": "3"]])
        #expect(map.map { "\($0.0)=\($0.1)" } == ["B=3"])
    }
}

@Suite("Checks of real guests", .enabled(if: GuestLab.canRun, "a static C compiler and namespaces are needed"))
struct CheckRunnerTests {
    /// Results by check, in order; a test waits for the next that matches.
    private final class Results: Sendable {
        private let stream: AsyncStream<(String, CheckStanding, String)>
        private let continuation: AsyncStream<(String, CheckStanding, String)>.Continuation

        init() { (stream, continuation) = AsyncStream.makeStream() }

        func add(_ check: String, _ standing: CheckStanding, _ output: String) {
            continuation.yield((check, standing, output))
        }

        func next(_ check: String, _ standing: CheckStanding, containing text: String = "") async -> String? {
            for await result in stream where result.0 == check && result.1 == standing {
                if text.isEmpty || result.2.contains(text) { return result.2 }
            }
            return nil
        }
    }

    private static let checks = [
        CheckSpec(
            name: "servicecheck-00-http-8080", type: "http", port: 8080,
            definition: ["path": "/health", "interval": "100ms", "timeout": "2s", "grace_period": "1s"]),
        CheckSpec(
            name: "alive", type: "tcp", port: 8080,
            definition: ["interval": "100ms", "timeout": "2s", "grace_period": "0s"]),
    ]

    @Test func `Checks follow a guest through starting, sickness, recovery and death`() async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let guests = lab.guests
        let runner = CheckRunner { guests.socketPath(machine: $0, port: $1) }
        let results = Results()
        runner.begin(machine: "m1", checks: Self.checks, report: results.add)
        #expect(await results.next("alive", .critical) == "connect: connection refused")
        _ = lab.start(lab.spec("m1", environment: ["DELAY_MS": "100"]))
        let first = await results.next("servicecheck-00-http-8080", .passing)
        #expect(first == "HTTP GET http://127.0.0.1:8080/health: 200 OK Output: ok")
        #expect(await results.next("alive", .passing) == "Success")
        _ = try await lab.get("m1", "/sick")
        let sick = await results.next("servicecheck-00-http-8080", .critical)
        #expect(sick?.hasSuffix("503 Service Unavailable Output: sick") == true)
        _ = try await lab.get("m1", "/well")
        #expect(await results.next("servicecheck-00-http-8080", .passing) != nil)
        guests.kill(machine: "m1")
        // A check that is under way may see the connection closed; the next is refused.
        #expect(await results.next("servicecheck-00-http-8080", .critical, containing: "refused") != nil)
        await runner.shutdown()
        await lab.close()
    }

    @Test func `An answer that is too late is critical`() async throws {
        let lab = try GuestLab()
        try lab.image("one")
        _ = try await lab.startListening(lab.spec("m1"))
        let probe = CheckProbe(
            spec: CheckSpec(name: "slow", type: "http", port: 8080, definition: ["path": "/slow/5000"]),
            timeout: .milliseconds(200))
        let result = await probe.run(lab.guests.socketPath(machine: "m1", port: 8080))
        #expect(result.standing == .critical)
        #expect(result.output.contains("no answer within"))
        await lab.close()
    }
}
