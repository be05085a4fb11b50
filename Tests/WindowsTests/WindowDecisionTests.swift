// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Windows

@Suite struct `Window decisions` {
    static func office(closed: [ClosedPeriod] = []) throws -> DeploymentWindow {
        try DeploymentWindow(
            timeZone: "America/Los_Angeles", open: ["Mon-Fri 09:00-17:00"], closed: closed, holidays: ["us-federal"])
    }

    private static let open = "Mon-Fri 09:00-17:00 America/Los_Angeles"
    private static let outside = "outside the open ranges"

    @Test(
        arguments: [
            // Monday 23 November 2026, UTC-8.
            ("2026-11-23T16:59:59.999Z", outside, "2026-11-23T17:00:00Z", nil),
            ("2026-11-23T17:00:00Z", open, nil, "2026-11-24T01:00:00Z"),
            ("2026-11-24T00:59:59.999Z", open, nil, "2026-11-24T01:00:00Z"),
            ("2026-11-24T01:00:00Z", outside, "2026-11-24T17:00:00Z", nil),
            // Saturday and Sunday.
            ("2026-11-21T20:00:00Z", outside, "2026-11-23T17:00:00Z", nil),
            ("2026-11-22T20:00:00Z", outside, "2026-11-23T17:00:00Z", nil),
            // Thanksgiving, from its local midnight.
            ("2026-11-26T07:59:59Z", outside, "2026-11-27T17:00:00Z", nil),
            ("2026-11-26T08:00:00Z", "holiday: Thanksgiving Day", "2026-11-27T17:00:00Z", nil),
            ("2026-11-27T07:59:59.999Z", "holiday: Thanksgiving Day", "2026-11-27T17:00:00Z", nil),
            // Observed on the Friday before.
            ("2026-07-03T17:00:00Z", "holiday: Independence Day (observed)", "2026-07-06T16:00:00Z", nil),
            // The freeze beats Christmas Day, and ends with the end of 2 January, a Saturday.
            ("2026-12-24T07:59:59.999Z", outside, "2027-01-04T17:00:00Z", nil),
            ("2026-12-24T08:00:00Z", "closed: Holidays", "2027-01-04T17:00:00Z", nil),
            ("2026-12-25T20:00:00Z", "closed: Holidays", "2027-01-04T17:00:00Z", nil),
            ("2027-01-03T07:59:59.999Z", "closed: Holidays", "2027-01-04T17:00:00Z", nil),
            ("2027-01-03T08:00:00Z", outside, "2027-01-04T17:00:00Z", nil),
            // The Monday after each change of the clocks.
            ("2026-03-09T16:00:00Z", open, nil, "2026-03-10T00:00:00Z"),
            ("2026-11-02T16:30:00Z", outside, "2026-11-02T17:00:00Z", nil),
            // After the data's last listed change.
            ("2045-07-05T16:00:00Z", open, nil, "2045-07-06T00:00:00Z"),
        ] as [(String, String, String?, String?)])
    func `office hours`(at: String, rule: String, opens: String?, closes: String?) throws {
        let freeze = try ClosedPeriod(from: "2026-12-24", to: "2027-01-02", reason: "Holidays")
        let decision = try Self.office(closed: [freeze]).decide(at: instant(at), rules: zone("America/Los_Angeles"))
        #expect(decision.rule == rule)
        #expect(decision.isOpen == (closes != nil))
        #expect(decision.nextOpen?.description == opens)
        #expect(decision.closes?.description == closes)
    }

    @Test(
        arguments: [
            // Over midnight: Friday's night reaches into Saturday; Sunday's does not exist.
            ("UTC", "Fri 22:00-02:00", "2026-11-21T01:59:59Z", true, "2026-11-21T02:00:00Z"),
            ("UTC", "Fri 22:00-02:00", "2026-11-20T01:00:00Z", false, "2026-11-20T22:00:00Z"),
            // An opening in the gap opens after it, a closing in the gap closes after it.
            ("America/Los_Angeles", "daily 02:30-05:00", "2026-03-08T09:59:59Z", false, "2026-03-08T10:00:00Z"),
            ("America/Los_Angeles", "daily 00:00-02:30", "2026-03-08T09:59:59Z", true, "2026-03-08T10:00:00Z"),
            // Wholly in the gap: not on that day.
            ("America/Los_Angeles", "daily 02:15-02:45", "2026-03-08T09:00:00Z", false, "2026-03-09T09:15:00Z"),
            // The repeated hour: one period, first time to first time.
            ("America/Los_Angeles", "daily 01:00-01:30", "2026-11-01T08:00:00Z", true, "2026-11-01T08:30:00Z"),
            ("America/Los_Angeles", "daily 01:00-01:30", "2026-11-01T09:00:00Z", false, "2026-11-02T09:00:00Z"),
            ("America/Los_Angeles", "daily 01:30-04:00", "2026-11-01T09:10:00Z", true, "2026-11-01T12:00:00Z"),
            ("Europe/London", "daily 00:00-24:00", "2026-10-25T01:30:00Z", true, nil),
            ("Australia/Lord_Howe", "Sun 01:45-03:00", "2026-04-04T15:00:00Z", true, "2026-04-04T16:30:00Z"),
            // Apia had no 30 December 2011, a Friday.
            ("Pacific/Apia", "Fri 00:00-24:00", "2011-12-30T09:59:59Z", false, "2012-01-05T10:00:00Z"),
            ("Pacific/Apia", "Fri 22:00-02:00", "2011-12-30T10:00:00Z", false, "2012-01-06T08:00:00Z"),
            ("Pacific/Apia", "Thu 22:00-02:00", "2011-12-30T09:00:00Z", true, "2011-12-30T10:00:00Z"),
            // Ranges that touch or overlap are one opening.
            (
                "UTC", "daily 09:00-12:00;daily 12:00-14:00;Fri 13:00-18:00", "2026-11-20T10:00:00Z", true,
                "2026-11-20T18:00:00Z"
            ),
        ] as [(String, String, String, Bool, String?)])
    func `clock changes, midnight and neighbours`(
        name: String, ranges: String, at: String, isOpen: Bool, changes: String?
    ) throws {
        let window = try DeploymentWindow(timeZone: name, open: ranges.split(separator: ";").map(String.init))
        let decision = try window.decide(at: instant(at), rules: zone(name))
        #expect(decision.isOpen == isOpen)
        #expect((isOpen ? decision.closes : decision.nextOpen)?.description == changes)
    }

    @Test func `a holiday cuts the night before short`() throws {
        let window = try DeploymentWindow(
            timeZone: "UTC", open: ["daily 22:00-02:00"], holidays: ["2026-11-27 Day after Thanksgiving"])
        let decision = try window.decide(at: instant("2026-11-26T23:00:00Z"), rules: .utc)
        #expect(decision.closes?.description == "2026-11-27T00:00:00Z")
        let next = try window.decide(at: instant("2026-11-27T00:00:00Z"), rules: .utc)
        #expect(next.rule == "holiday: Day after Thanksgiving")
        #expect(next.nextOpen?.description == "2026-11-28T00:00:00Z")
        #expect(next.localDescription == "Fri 2026-11-27 00:00 UTC")
    }

    @Test func `a closed period's end that comes twice is the last one`() throws {
        let window = try DeploymentWindow(
            timeZone: "America/Los_Angeles", open: ["daily 00:00-24:00"],
            closed: [ClosedPeriod(from: "2026-11-01T00:30", to: "2026-11-01T01:30")])
        let rules = try zone("America/Los_Angeles")
        let decision = try window.decide(at: instant("2026-11-01T09:00:00Z"), rules: rules)
        #expect(decision.rule == "closed from 2026-11-01T00:30:00 to 2026-11-01T01:30:00")
        #expect(decision.nextOpen?.description == "2026-11-01T09:30:00Z")
    }

    @Test func `a window that never opens`() throws {
        let none = try #require(throws: WindowError.self) {
            try DeploymentWindow(timeZone: "UTC", open: [String]())
        }
        #expect(none.code == .neverOpens)
        #expect(throws: WindowError.self) {
            try DeploymentWindow(timeZone: "UTC", open: [OpenRange(weekdays: [.monday], fromMinute: 60, toMinute: 60)])
        }
        let now = try instant("2026-11-21T00:00:00Z")
        let forever = try DeploymentWindow(
            timeZone: "UTC", open: ["daily 00:00-24:00"], closed: [ClosedPeriod(from: "2026-01-01", to: nil)])
        let error = try #require(throws: WindowError.self) { try forever.validate(at: now, rules: .utc) }
        #expect(error.code == .neverOpens)
        #expect(forever.decide(at: now, rules: .utc).nextOpen == nil)
        let mixed = try DeploymentWindow(
            timeZone: "UTC", open: ["daily 00:00-24:00"],
            closed: [ClosedPeriod(from: "2026-12-24T12:00", to: "2026-12-24T11:00:00Z")])
        #expect(throws: WindowError.self) { try mixed.validate(at: now, rules: .utc) }
        try Self.office().validate(at: now, rules: zone("America/Los_Angeles"))
    }

    @Test func `survives encoding`() throws {
        let window = try Self.office(closed: [
            ClosedPeriod(from: "2026-12-24", to: "2027-01-02", reason: "Holidays"),
            ClosedPeriod(from: "2026-12-24T12:00", to: "2028-01-01T00:00:00Z"),
        ])
        #expect(try JSONDecoder().decode(DeploymentWindow.self, from: JSONEncoder().encode(window)) == window)
        let decision = try window.decide(at: instant("2026-11-23T17:00:00Z"), rules: zone("America/Los_Angeles"))
        #expect(try JSONDecoder().decode(WindowDecision.self, from: JSONEncoder().encode(decision)) == decision)
    }

    @Test func `a month's timeline`() throws {
        let segments = try Self.office().timeline(
            from: instant("2026-11-01T00:00:00Z"), to: instant("2026-12-01T00:00:00Z"),
            rules: zone("America/Los_Angeles"))
        // 21 weekdays less Veterans Day and Thanksgiving; the last one is cut off before its close.
        #expect(segments.count { $0.isOpen } == 19)
        #expect(
            segments.filter { $0.rule.hasPrefix("holiday") }.map(\.rule) == [
                "holiday: Veterans Day", "holiday: Thanksgiving Day",
            ])
        #expect(zip(segments, segments.dropFirst()).allSatisfy { $0.end == $1.start })
    }

    /// `nextOpen` is open, nothing before it is, and a timeline agrees with single decisions.
    @Test func `next openings hold`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        for _ in 0..<150 {
            let name = try #require(`Time zone rules`.zones.randomElement(using: &generator))
            let rules = try zone(name)
            let window = try randomWindow(in: name, using: &generator)
            let at = Timestamp(milliseconds: Int64.random(in: 1_200_000_000_000...2_600_000_000_000, using: &generator))
            let decision = window.decide(at: at, rules: rules)
            let context = Comment(rawValue: "seed \(seed): \(window) at \(at)")
            let change = decision.isOpen ? decision.closes : decision.nextOpen
            guard let change else {
                Issue.record("no change of a window with hours; \(context)")
                continue
            }
            #expect(change > at, context)
            #expect(window.decide(at: change, rules: rules).isOpen != decision.isOpen, context)
            #expect(window.decide(at: change - .milliseconds(1), rules: rules).isOpen == decision.isOpen, context)
            for _ in 0..<5 {
                let between = Timestamp(
                    milliseconds: Int64.random(in: at.milliseconds..<change.milliseconds, using: &generator))
                #expect(window.decide(at: between, rules: rules).isOpen == decision.isOpen, context)
            }
            let end = at + .seconds(10 * 86_400)
            let segments = window.timeline(from: at, to: end, rules: rules)
            #expect(segments.first?.start == at && segments.last?.end == end, context)
            for segment in segments {
                let middle = Timestamp(
                    milliseconds: Int64.random(
                        in: segment.start.milliseconds..<segment.end.milliseconds, using: &generator))
                let single = window.decide(at: middle, rules: rules)
                #expect(single.isOpen == segment.isOpen && single.rule == segment.rule, context)
            }
        }
    }

    /// Away from clock changes a window is what its wall clock reads.
    @Test func `agrees with the wall clock`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        let rules = try zone("Asia/Kolkata")
        for _ in 0..<50 {
            let window = try randomWindow(in: "Asia/Kolkata", using: &generator)
            for _ in 0..<20 {
                let at = Timestamp(
                    milliseconds: Int64.random(in: 1_200_000_000_000...2_600_000_000_000, using: &generator))
                let local = rules.localTime(at: at)
                let minute = local.hour * 60 + local.minute
                let today = CivilDate(local)
                let expected = window.open.contains { range in
                    (range.weekdays.contains(today.weekday) && range.fromMinute <= minute && minute < range.toMinute)
                        || (range.weekdays.contains(today.adding(days: -1).weekday) && minute + 1440 < range.toMinute)
                }
                #expect(window.decide(at: at, rules: rules).isOpen == expected, "seed \(seed): \(window) at \(at)")
            }
        }
    }

    private func randomWindow(in zone: String, using generator: inout SplitMix) throws -> DeploymentWindow {
        let ranges = (0..<Int.random(in: 1...3, using: &generator)).map { _ in
            let days = Weekday.allCases.filter { _ in Bool.random(using: &generator) }
            let from = Int.random(in: 0..<1440, using: &generator)
            return OpenRange(
                weekdays: days.isEmpty ? [.friday] : Set(days), fromMinute: from,
                toMinute: from + Int.random(in: 1...1439, using: &generator))
        }
        return try DeploymentWindow(timeZone: zone, open: ranges)
    }
}
