// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Windows

/// Every zone of the machine, 2000 to 2037, against Foundation, whose code is not ours.
@Suite struct `Every zone` {
    private static let start: Int64 = 946_684_800  // 2000-01-01
    private static let end: Int64 = 2_145_916_800  // 2038-01-01

    /// The zones that Foundation has as well.
    private static let zones: [(name: String, rules: TimeZoneRules, foundation: TimeZone)] = {
        let database = TimeZoneDatabase()
        return database.names().compactMap { name in
            guard let foundation = TimeZone(identifier: name) else { return nil }
            // A zone that can't be read fails `every zone of the system is read`.
            return (try? database.rules(for: name)).map { (name, $0, foundation) }
        }
    }()

    /// The instants from 2000 to 2037 at which a zone's offset changes.
    private static func changes(_ rules: TimeZoneRules) -> [Int64] {
        var found: [Int64] = []
        var at = Timestamp(secondsSinceEpoch: start)
        while at.secondsSinceEpoch < end {
            let (type, ends) = rules.period(at: at)
            if ends.secondsSinceEpoch < end, rules.offset(at: ends).offset != type.offset {
                found.append(ends.secondsSinceEpoch)
            }
            at = ends
        }
        return found
    }

    private static func offset(_ zone: TimeZone, _ second: Int64) -> Int {
        zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(second)))
    }

    /// Zones for which Foundation's data and the system's are of different releases: where the two differ, the system's
    /// own `date` is asked, and must be of our mind.
    private static func excused(
        _ differences: [String: [Int64]], _ rules: [String: TimeZoneRules]
    ) throws -> Set<String> {
        for (name, seconds) in differences {
            let file = FileManager.default.temporaryDirectory.appending(path: "airboss-zone-\(UUID().uuidString)")
            try seconds.map { "@\($0)\n" }.joined().write(to: file, atomically: true, encoding: .utf8)
            defer { try? FileManager.default.removeItem(at: file) }  // best effort: the system clears this folder
            let lines = try output(
                of: "/usr/bin/date", ["-f", file.path, "+%Y-%m-%dT%H:%M:%SZ"], environment: ["TZ": name]
            ).split(separator: "\n")
            try #require(lines.count == seconds.count)
            for (second, line) in zip(seconds, lines) {
                let local = try #require(rules[name]).localTime(at: Timestamp(secondsSinceEpoch: second))
                #expect(try instant(String(line)).secondsSinceEpoch == local.secondsAsUTC, "\(name) at \(second)")
            }
        }
        return Set(differences.keys)
    }

    @Test func `has the offsets that Foundation has`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        var differences: [String: [Int64]] = [:]
        var compared = 0
        var changed = 0
        for (name, rules, foundation) in Self.zones {
            let changes = Self.changes(rules)
            changed += changes.count
            let random = (0..<40).map { _ in Int64.random(in: Self.start..<Self.end, using: &generator) }
            for second in changes.flatMap({ [$0 - 1, $0] }) + random {
                compared += 1
                let ours = rules.offset(at: Timestamp(secondsSinceEpoch: second)).offset
                if ours != Self.offset(foundation, second) { differences[name, default: []].append(second) }
            }
        }
        let excused = try Self.excused(
            differences, Dictionary(Self.zones.map { ($0.name, $0.rules) }) { first, _ in first })
        print(
            "\(Self.zones.count) zones, \(changed) changes, \(compared) instants compared with Foundation,",
            "seed \(seed); \(excused.count) zones with other data there \(excused.sorted())")
        #expect(Self.zones.count > 400 && changed > 10_000)
        #expect(excused.count * 20 <= Self.zones.count, "more than a twentieth of all zones differ: \(excused)")
    }

    /// A window by brute force: the wall clock, read from Foundation every quarter of an hour.
    private struct Oracle {
        /// Instants and what the wall clock shows at them, as if it were UTC.
        let readings: [(at: Int64, wall: Int64)]

        init(around second: Int64, _ zone: TimeZone) {
            readings = stride(from: second - 100 * 3600, through: second + 60 * 3600, by: 900).map {
                ($0, $0 + Int64(offset(zone, $0)))
            }
        }

        /// The first reading that shows `wall` or later.
        func first(_ wall: Int64) -> Int64 { readings.first { $0.wall >= wall }?.at ?? .max }
        /// The last reading that shows `wall`; where none does, the one after the last that shows less.
        func last(_ wall: Int64) -> Int64 {
            readings.last { $0.wall == wall }?.at ?? (readings.last { $0.wall < wall }?.at ?? .min + 900) + 900
        }

        /// Whether one of the range's days has the instant between its opening and its closing.
        func contains(_ range: OpenRange, _ second: Int64, isClosure: Bool) -> Bool {
            let today = (readings.first { $0.at == second }?.wall ?? 0) / 86_400
            return (today - 3...today + 1).contains { day in
                let weekday = Int((day + 3) % 7) + 1  // 1970-01-01 was a Thursday
                guard range.weekdays.contains(where: { $0.rawValue == weekday }),
                    readings.contains(where: { $0.wall / 86_400 == day })
                else { return false }
                let from = first(day * 86_400 + Int64(range.fromMinute) * 60)
                let until = day * 86_400 + Int64(range.toMinute) * 60
                return from <= second && second < (isClosure ? last(until) : first(until))
            }
        }
    }

    @Test func `opens and closes as a wall clock read every quarter of an hour does`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        func range() -> OpenRange {
            let days = Weekday.allCases.filter { _ in Bool.random(using: &generator) }
            let from = Int.random(in: 0..<96, using: &generator) * 15
            return OpenRange(
                weekdays: days.isEmpty ? [.sunday] : Set(days), fromMinute: from,
                toMinute: from + Int.random(in: 1..<96, using: &generator) * 15)
        }
        var asked = 0
        var opened = 0
        for (name, rules, foundation) in Self.zones {
            let changes = Self.changes(rules)
            var instants = (0..<2).map { _ in Int64.random(in: Self.start..<Self.end, using: &generator) }
            for _ in 0..<3 {
                guard let change = changes.randomElement(using: &generator) else { break }
                instants.append(change + Int64.random(in: -93_600...93_600, using: &generator))
            }
            for second in instants.map({ $0 / 900 * 900 }) {
                let oracle = Oracle(around: second, foundation)
                // Where Foundation has other data, the comparison above has asked a third party.
                let isSame = oracle.readings.allSatisfy {
                    rules.localTime(at: Timestamp(secondsSinceEpoch: $0.at)).secondsAsUTC == $0.wall
                }
                guard isSame else { continue }
                let open = [range(), range()]
                let freeze = range()
                let window = try DeploymentWindow(
                    timeZone: name, open: open,
                    closed: [ClosedPeriod(span: .every(range: freeze), reason: "freeze")])
                let expected =
                    open.contains { oracle.contains($0, second, isClosure: false) }
                    && !oracle.contains(freeze, second, isClosure: true)
                let decision = window.decide(at: Timestamp(secondsSinceEpoch: second), rules: rules)
                #expect(decision.isOpen == expected, "seed \(seed): \(window) at \(decision.at)")
                asked += 1
                if expected { opened += 1 }
            }
        }
        print("\(asked) decisions in \(Self.zones.count) zones, \(opened) of them open (seed \(seed))")
        #expect(asked > 1500 && opened > 100 && asked - opened > 100)
    }

    /// One timeline for all, or one search for each: the same decisions.
    @Test func `a stretch of decisions is the decisions of its instants`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        for _ in 0..<12 {
            let (name, rules, _) = try #require(Self.zones.randomElement(using: &generator))
            var window = try DeploymentWindow(
                timeZone: name, open: ["Mon-Fri 09:00-17:00", "2nd Sat 22:00-02:00"],
                closed: [ClosedPeriod(from: "12-20", to: "01-05"), ClosedPeriod(every: "Fri 15:00-24:00")],
                holidays: ["us-federal"])
            let from = Timestamp(
                milliseconds: Int64.random(in: Self.start..<Self.end, using: &generator) * 1000 + 250)
            window.maintenance = [
                MaintenanceWindow(
                    id: RunID("M"), from: from + .seconds(86_400 * 2), to: from + .seconds(86_400 * 2 + 7_000),
                    reason: "", announcedAt: from, announcedBy: "")
            ]
            let decisions = Array(
                window.decisions(from: from, to: from + .seconds(20 * 86_400), every: .seconds(4711), rules: rules))
            #expect(decisions.count == (20 * 86_400 + 4710) / 4711)
            for decision in decisions {
                #expect(decision == window.decide(at: decision.at, rules: rules), "seed \(seed): \(name)")
            }
        }
    }
}
