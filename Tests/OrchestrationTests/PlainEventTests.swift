// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import FoundationEssentials
import Model
import Orchestration
import Testing

/// What the quick reader answers is what `JSONDecoder` answers; what it does not take, it leaves to it.
@Suite struct PlainEventTests {
    private static func encode(_ event: RunEvent) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(event)
    }

    private static func slowly(_ payload: Data) -> RunEvent? {
        try? JSONDecoder().decode(RunEvent.self, from: payload)  // nil is an answer here
    }

    private struct Draws {
        var random: SeededRandom

        mutating func number() -> Int {
            [0, 1, -1, 7, 200, 99_999, 999_999_999_999_999_999, Int.max, Int.min].randomElement(using: &random) ?? 0
        }

        mutating func text() -> String {
            let texts = [
                "", "started", "01TESTRUN0000000ABCDEFGH/1", "a/b", "tab\t", "\"quoted\"", "back\\slash", "line\n", "ü",
                "\u{7F}", "🚢", "null", String(repeating: "x", count: 300),
            ]
            return random.oneIn(4) ? texts.randomElement(using: &random) ?? "" : "plain-\(random.next() % 1000)"
        }

        mutating func time() -> Timestamp {
            let milliseconds: [Int64] = [0, 1, -1, 1_795_219_200_000, 1_795_219_200_050, -62_135_596_800_000]
            return Timestamp(
                milliseconds: random.oneIn(3)
                    ? milliseconds.randomElement(using: &random) ?? 0
                    : Int64.random(in: 0..<4_000_000_000_000, using: &random))
        }

        mutating func duration() -> Duration {
            let durations: [Duration] = [
                .zero, .nanoseconds(1), .seconds(9), .seconds(10), .seconds(18), .seconds(19), .seconds(-1),
                .seconds(3600),
            ]
            return random.oneIn(2)
                ? durations.randomElement(using: &random) ?? .zero : random.milliseconds(0...5000)
        }

        mutating func observation() -> Observation {
            Observation(
                id: MachineID(text()), state: text(), instance: InstanceID(text()), operation: OperationID(text()),
                checksPassing: number(), checksReported: number(), failingCheck: text(),
                isCordoned: random.oneIn(2), isHostReachable: random.oneIn(2),
                exit: random.oneIn(3)
                    ? .init(code: number(), isOutOfMemory: random.oneIn(2), at: time()) : nil,
                restarts: number())
        }

        mutating func answer() -> Answer {
            switch random.next() % 8 {
            case 0: return .woke
            case 1: return .done
            case 2: return .waitTimedOut
            case 3: return .lease(lease: Lease(nonce: LeaseNonce(text()), expiresAt: time()))
            case 4, 5:
                var fields: [String: String] = [:]
                for _ in 0..<random.next() % 4 { fields[text()] = text() }
                return .probe(
                    result: ProbeResult(
                        status: random.oneIn(4) ? nil : number(), elapsed: duration(), fields: fields,
                        failure: random.oneIn(2) ? "" : text(), isUnresolvable: random.oneIn(2)))
            case 6: return .names(list: [text()])
            default:
                let count = random.next() % 4
                return .observations(list: (0..<count).map { _ in observation() })
            }
        }

        mutating func event() -> RunEvent {
            let kind: RunEvent.Kind =
                random.oneIn(10)
                ? [.started, .resumed, .interrupted(signal: 2), .fenced(by: text())].randomElement(using: &random)
                    ?? .started
                : .answered(action: ActionID(number()), answer: answer())
            return RunEvent(at: time(), kind: kind)
        }
    }

    @Test func `events drawn at random are read as the decoder reads them, or left to it`() throws {
        var draws = Draws(random: SeededRandom(seed: 4))
        var taken = 0
        let count = 20_000
        for _ in 0..<count {
            let event = draws.event()
            let payload = try PlainEventTests.encode(event)
            guard let read = PlainEvent.read(payload) else { continue }
            taken += 1
            #expect(read == event, "\(String(decoding: payload, as: UTF8.self))")
            #expect(PlainEventTests.slowly(payload) == event)
        }
        print("plain events: \(taken) of \(count) drawn with seed 4 were taken")
        // Most that were drawn have something that is not plain in one of their texts or numbers.
        #expect(taken > count / 10)
    }

    /// The kinds that make up a long journal: leaving one of them to the decoder would go unseen but for the time.
    @Test func `what a soak consists of is taken`() throws {
        let observation = Observation(
            id: "m1", state: "started", instance: "m1-2", operation: "01TESTRUN/1", checksPassing: 1, checksReported: 1)
        var exited = observation
        exited.exit = .init(code: 137, isOutOfMemory: true, at: Sample.start)
        let answers: [Answer] = [
            .woke, .done, .waitTimedOut, .observations(list: []), .observations(list: [observation, exited]),
            .probe(result: ProbeResult(status: 200, elapsed: .milliseconds(25), fields: ["status": "ok", "db": "up"])),
            .probe(result: ProbeResult(status: nil, elapsed: .seconds(5), failure: "no answer within 5 s")),
            .lease(lease: Lease(nonce: "n1", expiresAt: Sample.start + .milliseconds(50))),
        ]
        for answer in answers {
            let event = RunEvent(at: Sample.start, kind: .answered(action: ActionID(12), answer: answer))
            #expect(PlainEvent.read(try PlainEventTests.encode(event)) == event)
        }
    }

    /// Journals of this version stay as they are, whatever members later ones add: never edit these lines.
    @Test(
        arguments: [
            "{\"woke\":{}}", "{\"done\":{}}", "{\"waitTimedOut\":{}}",
            "{\"lease\":{\"lease\":{\"expiresAt\":\"2026-11-23T17:07:32.400Z\",\"nonce\":\"n1\"}}}",
            """
            {"probe":{"result":{"elapsed":[0,25000000000000000],"failure":"","fields":{"status":"ok"},\
            "isUnresolvable":false,"status":200}}}
            """,
            """
            {"observations":{"list":[{"checksPassing":1,"checksReported":1,"failingCheck":"","id":"m1",\
            "instance":"m1-2","isCordoned":false,"isHostReachable":true,"operation":"01RUN/1","restarts":0,\
            "state":"started"},{"checksPassing":0,"checksReported":1,"exit":{"at":"2026-11-23T17:07:32Z","code":137,\
            "isOutOfMemory":true},"failingCheck":"web: refused","id":"m2","instance":"m2-2","isCordoned":true,\
            "isHostReachable":false,"operation":"","restarts":3,"state":"stopped"}]}}
            """,
        ])
    func `what this version wrote is read by both, and as the same`(answer: String) {
        let payload = Data(
            "{\"at\":\"2026-11-23T17:07:33.050Z\",\"kind\":{\"answered\":{\"action\":49999,\"answer\":\(answer)}}}".utf8
        )
        let read = PlainEvent.read(payload)
        #expect(read != nil && read == PlainEventTests.slowly(payload))
    }

    @Test func `with any byte changed, left out, doubled or put in, an event is read as the decoder reads it`() throws {
        var draws = Draws(random: SeededRandom(seed: 5))
        var payloads: [Data] = []
        while payloads.count < 12 {
            let payload = try PlainEventTests.encode(draws.event())
            if PlainEvent.read(payload) != nil, payload.count < 1000 { payloads.append(payload) }
        }
        let bytes = Array("\"\\{}[],:-+.019eEtfnu \u{0}/".utf8) + [0x7F, 0x80, 0xC3, 0xFF]
        var (tried, taken) = (0, 0)
        func check(_ payload: Data) {
            tried += 1
            guard let read = PlainEvent.read(payload) else { return }
            taken += 1
            if PlainEventTests.slowly(payload) != read { Issue.record("\(String(decoding: payload, as: UTF8.self))") }
        }
        for payload in payloads {
            for index in payload.indices {
                check(payload.prefix(index))
                var less = payload
                less.remove(at: index)
                check(less)
                var doubled = payload
                doubled.insert(payload[index], at: index)
                check(doubled)
                for byte in bytes {
                    var changed = payload
                    changed[index] = byte
                    check(changed)
                    var more = payload
                    more.insert(byte, at: index)
                    check(more)
                }
            }
            check(payload + Data(" ".utf8))
        }
        print("damaged plain events: \(tried) tried, \(taken) taken, each as the decoder reads it")
        #expect(taken > 0 && taken < tried / 2)
    }
}
