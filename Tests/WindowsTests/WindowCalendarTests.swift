// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Windows

@Suite struct `The calendar` {
    private static func row(_ window: DeploymentWindow, _ day: String) throws -> WindowCalendar.Row {
        let rules = try zone(window.timeZone)
        let noon = try rules.instant(parsing: day + "T12:00")
        let calendar = WindowCalendar(window: window, from: noon, days: 1, rules: rules)
        return try #require(calendar.rows.first)
    }

    private static func drawn(_ row: WindowCalendar.Row) -> String {
        String(
            row.cells.map { cell -> Character in
                switch cell {
                case .all(let kind): kind.isOpen ? "O" : "."
                case .mixed: "m"
                case .missing: " "
                }
            })
    }

    @Test(arguments: [
        (
            "2026-11-23", "..................OOOOOOOOOOOOOOOO..............", 1440, "", "Mon-Fri 09:00-17:00"
        ),
        (
            "2026-03-08", "OO..  OOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOO", 1380, "no 02:00-03:00",
            "daily 00:00-01:00;daily 02:30-24:00"
        ),
        // The hour that comes twice is open the first time only.
        (
            "2026-11-01", "OOm.............................................", 1500, "01:00-02:00 twice",
            "daily 00:00-01:30"
        ),
        (
            "2026-11-24", "..................mOOOm.........................", 1440, "", "daily 09:15-11:10"
        ),
    ])
    func `days of Los Angeles`(
        day: String, cells: String, minutes: Int, change: String, ranges: String
    ) throws {
        let window = try DeploymentWindow(
            timeZone: "America/Los_Angeles", open: ranges.split(separator: ";").map(String.init))
        let row = try Self.row(window, day)
        #expect(Self.drawn(row) == cells)
        #expect(row.minutes == minutes && row.clockChange == change)
    }

    @Test func `half hours, and days that are left out`() throws {
        let always = ["daily 00:00-24:00"]
        let lordHowe = try Self.row(DeploymentWindow(timeZone: "Australia/Lord_Howe", open: always), "2026-10-04")
        #expect(lordHowe.minutes == 1410 && lordHowe.clockChange == "no 02:00-02:30")
        #expect(Self.drawn(lordHowe) == "OOOO " + String(repeating: "O", count: 43))
        let rules = try zone("Pacific/Apia")
        let apia = WindowCalendar(
            window: try DeploymentWindow(timeZone: "Pacific/Apia", open: always),
            from: try rules.instant(parsing: "2011-12-29T12:00"), days: 3, rules: rules)
        #expect(apia.rows.map(\.minutes) == [1440, 0, 1440])
        #expect(apia.rows[1].clockChange == "no such day here")
        #expect(apia.firstCell == 24)
    }

    /// Cells of a day agree with decisions at random instants of it, and days have the length their clocks give them.
    @Test func `agrees with decisions`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        for _ in 0..<60 {
            let name = try #require(`Time zone rules`.zones.randomElement(using: &generator))
            let rules = try zone(name)
            let window = try DeploymentWindow(
                timeZone: name, open: ["Mon-Fri 09:00-17:00", "daily 22:30-01:30"],
                closed: [ClosedPeriod(every: "2nd Wed 12:00-14:00"), ClosedPeriod(from: "03-20", to: "04-02")])
            let from = Timestamp(
                secondsSinceEpoch: Int64.random(in: 1_000_000_000...2_100_000_000, using: &generator))
            let calendar = WindowCalendar(window: window, from: from, days: 3, rules: rules)
            for row in calendar.rows where row.clockChange.isEmpty {
                let start = rules.firstInstant(of: row.date.midnight)
                #expect(row.minutes == 1440, "seed \(seed): \(name) \(row.date)")
                for _ in 0..<10 {
                    let minute = Int.random(in: 0..<1440, using: &generator)
                    let isOpen = window.decide(at: start + .seconds(minute * 60), rules: rules).isOpen
                    switch row.cells[minute / WindowCalendar.cellMinutes] {
                    case .all(let kind): #expect(kind.isOpen == isOpen, "seed \(seed): \(name) \(row.date) \(minute)")
                    case .mixed: break
                    case .missing: Issue.record("seed \(seed): \(name) \(row.date) \(minute) is missing")
                    }
                }
            }
        }
    }
}
