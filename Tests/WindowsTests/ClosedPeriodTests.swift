// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Windows

@Suite struct `Freezes that come again` {
    /// Whether a window that is open otherwise is open at a local time.
    private static func isOpen(_ period: ClosedPeriod, at local: String, in name: String = "UTC") throws -> Bool {
        let rules = try zone(name)
        let window = try DeploymentWindow(timeZone: name, open: ["daily 00:00-24:00"], closed: [period])
        return window.decide(at: try rules.instant(parsing: local), rules: rules).isOpen
    }

    @Test(arguments: [
        // Every year, both days closed.
        ("11-25", "12-02", "2026-11-24T23:59:59", true), ("11-25", "12-02", "2026-11-25T00:00", false),
        ("11-25", "12-02", "2031-12-02T23:59:59", false), ("11-25", "12-02", "2026-12-03T00:00", true),
        // Over the end of the year, seen from both sides.
        ("12-20", "01-05", "2026-12-31T12:00", false), ("12-20", "01-05", "2027-01-05T23:59", false),
        ("12-20", "01-05", "2027-01-06T00:00", true), ("12-20", "01-05", "2026-12-19T23:59:59", true),
        // With hours, the end excluded.
        ("12-24T15:00", "12-26T09:00", "2026-12-24T14:59:59", true),
        ("12-24T15:00", "12-26T09:00", "2026-12-26T08:59:59", false),
        ("12-24T15:00", "12-26T09:00", "2026-12-26T09:00", true),
        // One day; 29 February is an empty day where there is none.
        ("02-29", "02-29", "2028-02-29T12:00", false), ("02-29", "02-29", "2027-02-28T12:00", true),
        ("02-29", "02-29", "2027-03-01T00:00", true), ("02-20", "02-29", "2027-02-28T23:59", false),
        ("02-20", "02-29", "2027-03-01T00:00", true), ("02-29", "03-02", "2027-02-28T23:59", true),
        ("02-29", "03-02", "2027-03-01T00:00", false),
    ])
    func `every year`(from: String, to: String, at: String, isOpen: Bool) throws {
        #expect(try Self.isOpen(ClosedPeriod(from: from, to: to), at: at) == isOpen)
    }

    @Test(arguments: [
        ("Fri 15:00-24:00", "2026-11-20T14:59:59", true), ("Fri 15:00-24:00", "2026-11-20T15:00", false),
        ("Fri 15:00-24:00", "2026-11-21T00:00", true), ("Fri 22:00-02:00", "2026-11-21T01:59", false),
        ("Fri", "2026-11-20T00:00", false), ("Fri", "2026-11-21T00:00", true),
        // The second Tuesday of November 2026 is the 10th; Monday the 30th is its fifth and its last.
        ("2nd Tue", "2026-11-10T12:00", false), ("2nd Tue", "2026-11-17T12:00", true),
        ("2nd Tue 22:00-03:00", "2026-11-11T02:59", false), ("2nd Tue 22:00-03:00", "2026-11-11T03:00", true),
        ("last Mon", "2026-11-30T12:00", false), ("last Mon", "2026-11-23T12:00", true),
        ("5th Mon", "2026-11-30T12:00", false), ("4th Mon", "2026-11-23T12:00", false),
        ("last Sat", "2026-11-28T12:00", false), ("1st,last Sat", "2026-11-07T12:00", false),
    ])
    func `every week and month`(every: String, at: String, isOpen: Bool) throws {
        #expect(try Self.isOpen(ClosedPeriod(every: every), at: at) == isOpen)
    }

    @Test func `by the clocks of another zone`() throws {
        let newYork = try zone("America/New_York")
        let lunch = try ClosedPeriod(
            kind: .highTraffic(name: "Lunch"), every: "Mon-Fri 12:00-13:00", reason: "orders", zone: newYork)
        let rules = try zone("America/Los_Angeles")
        let window = try DeploymentWindow(
            timeZone: "America/Los_Angeles", open: ["Mon-Fri 08:00-17:00"], closed: [lunch])
        let decision = window.decide(at: try instant("2026-11-23T17:30:00Z"), rules: rules)
        #expect(decision.rule == "high traffic: Lunch (orders)" && decision.kind == .highTraffic)
        #expect(decision.nextOpen?.description == "2026-11-23T18:00:00Z")
        // A day in Kiritimati is over before it begins in Los Angeles.
        let day = try ClosedPeriod(from: "2026-11-24", to: "2026-11-24", zone: zone("Pacific/Kiritimati"))
        let other = try DeploymentWindow(timeZone: "America/Los_Angeles", open: ["daily 00:00-24:00"], closed: [day])
        let closed = other.timeline(
            from: try instant("2026-11-22T00:00:00Z"), to: try instant("2026-11-26T00:00:00Z"), rules: rules
        ).filter { !$0.isOpen }
        #expect(closed.map(\.start.description) == ["2026-11-23T10:00:00Z"])
        #expect(closed.map(\.end.description) == ["2026-11-24T10:00:00Z"])
    }

    @Test(arguments: [
        ("daily 01:15-01:45", "2026-11-01T08:15:00Z", "2026-11-01T09:45:00Z"),  // shown twice: first to last
        ("daily 02:15-02:45", "", ""),  // left out by the clocks
        ("daily 02:30-04:00", "2026-03-08T10:00:00Z", "2026-03-08T11:00:00Z"),
    ])
    func `in doubt it is closed`(every: String, start: String, end: String) throws {
        let rules = try zone("America/Los_Angeles")
        let window = try DeploymentWindow(
            timeZone: rules.name, open: ["daily 00:00-24:00"], closed: [ClosedPeriod(every: every)])
        let day = start.isEmpty ? "2026-03-08" : String(start.prefix(10))
        let closed = window.timeline(
            from: try rules.instant(parsing: day), to: try rules.instant(parsing: day + "T23:00"), rules: rules
        ).filter { !$0.isOpen }
        #expect(closed.map(\.start.description) == (start.isEmpty ? [] : [start]))
        #expect(closed.map(\.end.description) == (end.isEmpty ? [] : [end]))
    }

    @Test(arguments: [
        ("11-25", "2026-12-02", "year"), ("2026-11-25", "12-02", "year"), ("13-01", "13-02", "date"),
        ("11-25T10:00", "11-25T10:00", "ends as it begins"), ("02-30", "03-01", "year"),
    ])
    func `what is no such period`(from: String, to: String, says: String) throws {
        let error = try #require(throws: WindowError.self) { try ClosedPeriod(from: from, to: to) }
        #expect(error.code == .malformedClosure && error.description.contains(says), "\(error)")
    }

    @Test func `freezes beat high traffic, that beats holidays, and all are told`() throws {
        let window = try DeploymentWindow(
            timeZone: "UTC", open: ["daily 00:00-24:00"],
            closed: [
                ClosedPeriod(kind: .highTraffic(name: "Sale"), from: "11-20", to: "11-30"),
                ClosedPeriod(from: "2026-11-26", to: "2026-11-26", reason: "Freeze"),
            ], holidays: ["us-federal"])
        let at = try instant("2026-11-26T12:00:00Z")
        #expect(window.decide(at: at, rules: .utc).rule == "closed: Freeze")
        #expect(
            window.rulesHolding(at: at, rules: .utc).map(\.kind) == [.freeze, .highTraffic, .holiday, .openHours])
    }

    @Test(arguments: [
        ("Mon-Fri 09:00-17:00;Fri 16:00-18:00", 1), ("Mon-Fri 09:00-17:00;Sat 09:00-17:00", 0),
        ("daily 09:00-12:00;daily 12:00-13:00", 0), ("Sun 22:00-02:00;Mon 01:00-03:00", 1),
        ("1st Mon 09:00-10:00;2nd Mon 09:00-10:00", 0), ("last Mon 09:00-10:00;4th Mon 09:30-10:00", 1),
        ("last Mon 09:00-10:00;1st Mon 09:30-10:00", 0), ("last Mon 09:00-10:00;Mon 09:30-11:00", 1),
    ])
    func `overlapping ranges are known`(ranges: String, count: Int) throws {
        let window = try DeploymentWindow(timeZone: "UTC", open: ranges.split(separator: ";").map(String.init))
        #expect(window.overlappingRanges.count == count)
    }
}

@Suite struct `Lists of holidays` {
    @Test func `a date a line, with names and comments`() throws {
        let list = try HolidayList(
            parsing: "\u{FEFF}# Bavaria\r\n\r\n2026-12-25  Erster Weihnachtstag \t\n  2026-05-01\n"
                + "2026-01-06 # Epiphany\n")
        #expect(
            list.holidays == [
                Holiday(date: CivilDate(year: 2026, month: 1, day: 6), name: "holiday of 2026-01-06"),
                Holiday(date: CivilDate(year: 2026, month: 5, day: 1), name: "holiday of 2026-05-01"),
                Holiday(date: CivilDate(year: 2026, month: 12, day: 25), name: "Erster Weihnachtstag"),
            ])
        #expect(list.warnings.isEmpty && list.lastDay?.description == "2026-12-25")
    }

    @Test func `every bad line is told with its number`() throws {
        let error = try #require(throws: HolidayList.Malformed.self) {
            try HolidayList(parsing: "2026-12-25 Good\n25.12.2026 Bad\n\n   2026-02-30 None\nChristmas\n\u{1B}[31m\n")
        }
        #expect(error.problems.map(\.line) == [2, 4, 5, 6])
        #expect(error.problems.map(\.column) == [1, 4, 1, 1])
        #expect(error.problems[1].message == "there is no day 2026-02-30")
        #expect(!error.problems.contains { $0.message.contains("\u{1B}") })
    }

    @Test func `doubles are warned about, and a long file of nonsense ends`() throws {
        let list = try HolidayList(parsing: "2026-12-25 One\n2026-12-25 Two\n")
        #expect(list.holidays.map(\.name) == ["One"] && list.warnings.map(\.line) == [2])
        let error = try #require(throws: HolidayList.Malformed.self) {
            try HolidayList(parsing: String(repeating: "x\n", count: 5000))
        }
        #expect(error.problems.count == HolidayList.maxProblems)
    }
}

@Suite struct `Instants as people write them` {
    @Test(arguments: [
        ("2026-11-23T09:00", "2026-11-23T17:00:00Z"), ("2026-11-23 09:00:30", "2026-11-23T17:00:30Z"),
        ("2026-11-23", "2026-11-23T08:00:00Z"), ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ])
    func `are read`(text: String, instant: String) throws {
        let rules = try zone("America/Los_Angeles")
        #expect(try rules.instant(parsing: text).description == instant)
    }

    @Test(arguments: [
        ("2026-03-08T02:30", "2026-03-08T03:00:00-07:00"), ("2026-11-01T01:30", "2026-11-01T01:30:00-08:00"),
        ("yesterday", "2026-12-24T18:00:00Z"), ("", "2026-12-24"),
    ])
    func `that are none, or two`(text: String, hint: String) throws {
        let rules = try zone("America/Los_Angeles")
        let error = try #require(throws: WindowError.self) { try rules.instant(parsing: text) }
        #expect(error.code == .malformedTime && error.hint.contains(hint), "\(error)")
    }

    @Test func `written with the zone's offset they lead back`() throws {
        for name in ["America/St_Johns", "Asia/Kathmandu", "UTC", "Africa/Monrovia"] {
            let rules = try zone(name)
            for second in stride(from: Int64(1_000_000_000), to: 2_000_000_000, by: 41_234_567) {
                let time = Timestamp(secondsSinceEpoch: second)
                #expect(Timestamp(rules.written(time)) == time)
            }
        }
    }
}
