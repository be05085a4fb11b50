// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Testing

@testable import Windows

@Suite struct `Open ranges` {
    @Test(arguments: [
        ("Mon-Fri 09:00-17:00", "Mon-Fri 09:00-17:00", 540, 1020),
        ("monday-FRIDAY 09:00 - 17:00", "Mon-Fri 09:00-17:00", 540, 1020),
        ("weekdays 09:00–17:00", "Mon-Fri 09:00-17:00", 540, 1020),
        ("Sat,Sun 10:00-12:00", "Sat,Sun 10:00-12:00", 600, 720),
        ("weekends 10:00-12:00", "Sat,Sun 10:00-12:00", 600, 720),
        ("Fri-Mon 00:00-24:00", "Fri-Mon 00:00-24:00", 0, 1440),
        ("Mon, Wed-Fri 08:30-08:31", "Mon,Wed-Fri 08:30-08:31", 510, 511),
        ("daily 22:00-02:00", "daily 22:00-02:00", 1320, 1560),
        ("Sun-Sat 22:00-00:00", "daily 22:00-24:00", 1320, 1440),
        (" Tue 00:00-23:59 ", "Tue 00:00-23:59", 0, 1439),
        ("2nd Tue 22:00-02:00", "2nd Tue 22:00-02:00", 1320, 1560),
        ("last FRI 12:00-24:00", "last Fri 12:00-24:00", 720, 1440),
        ("3rd, 1st Mon-Wed 09:00-10:00", "1st,3rd Mon-Wed 09:00-10:00", 540, 600),
    ])
    func `read and write`(text: String, canonical: String, from: Int, to: Int) throws {
        let range = try OpenRange(parsing: text)
        #expect((range.fromMinute, range.toMinute) == (from, to))
        #expect(try OpenRange(parsing: range.description) == range)
        #expect(range.description == canonical)
    }

    @Test(arguments: 1..<128)
    func `every set of days survives being written`(bits: Int) throws {
        let days = Weekday.allCases.filter { bits >> ($0.rawValue - 1) & 1 == 1 }
        let range = OpenRange(weekdays: Set(days), fromMinute: 1320, toMinute: 1500)
        #expect(try OpenRange(parsing: range.description) == range)
    }

    @Test(arguments: [
        ("", 0, "Mon-Fri"),
        ("09:00-17:00", 0, "daily"),
        ("Mon-Fri", 7, "Mon-Fri 00:00-24:00"),
        ("Mon-Fry 09:00-17:00", 4, "did you mean Fri?"),
        ("Mno 09:00-17:00", 0, "did you mean Mon?"),
        ("dayly 09:00-17:00", 0, "did you mean daily?"),
        ("Mon, 09:00-17:00", 5, "Mon-Fri"),
        ("Mon-Mon 09:00-17:00", 0, "daily"),
        ("Mon 9:00-17:00", 4, "09:00"),
        ("Mon 09:00-5pm", 10, "17:30"),
        ("Mon 09:00pm-11:00", 9, "24-hour"),
        ("Mon 09:00:00-17:00", 9, "hours and minutes"),
        ("Mon 09:00-25:00", 10, "24:00"),
        ("Mon 09:00-24:01", 10, "24:00"),
        ("Mon 09:60-17:00", 4, "24:00"),
        ("Mon 24:00-02:00", 4, "00:00"),
        ("Mon 09:00", 9, "Mon-Fri"),
        ("Mon 09:00-09:00", 4, "00:00-24:00"),
        ("Mon 09:00-12:00,13:00-17:00", 15, "range of its own"),
        ("Mon 09:00-12:00 PST", 16, "Mon-Fri"),
        ("Mon ٠٩:00-12:00", 4, "09:00"),
        ("6th Mon 09:00-10:00", 0, "5th or last"),
        ("2nd Mno 09:00-10:00", 4, "did you mean Mon?"),
        ("2nd", 3, "Mon-Fri"),
        ("2nd 09:00-10:00", 4, "daily or days"),
    ])
    func `errors name the place and the remedy`(text: String, offset: Int, hint: String) throws {
        let error = try #require(throws: WindowError.self) { try OpenRange(parsing: text) }
        #expect(error.code == .malformedRange)
        #expect(error.offset == offset)
        #expect(error.description.contains(hint), "\(error)")
    }
}

@Suite struct `Closed periods and holidays` {
    @Test(arguments: [
        ("2026-12-24", "2026-12-24"),
        ("2026-12-24T15:00", "2026-12-24T15:00:00"),
        ("2026-12-24T15:00:30", "2026-12-24T15:00:30"),
        ("2026-12-24T15:00:00-08:00", "2026-12-24T23:00:00Z"),
    ])
    func `bounds read`(text: String, canonical: String) throws {
        #expect(try ClosedPeriod.Bound(parsing: text).description == canonical)
        #expect(try ClosedPeriod.Bound(parsing: canonical) == ClosedPeriod.Bound(parsing: text))
    }

    @Test(arguments: ["", "Christmas", "2026-02-29", "2026-13-01", "24.12.2026", "2026-12-24T25:00", "2026-12-24T"])
    func `what is no bound`(text: String) {
        #expect(throws: WindowError.self) { try ClosedPeriod.Bound(parsing: text) }
    }

    @Test(arguments: [
        ("2027-01-02", "2026-12-24", false), ("2026-12-24", "2026-12-24", true),
        ("2026-12-24T15:00", "2026-12-24", true), ("2026-12-25T00:00", "2026-12-24", false),
        ("2026-12-24T15:00", "2026-12-24T15:00", false), ("2026-12-24T15:00Z", "2026-12-24T15:00", false),
        ("2026-12-24T15:00:00Z", "2026-12-24T14:00:00Z", false),
    ])
    func `an end before the beginning is an error`(from: String, to: String, isGood: Bool) {
        if isGood {
            #expect(throws: Never.self) { try ClosedPeriod(from: from, to: to) }
        } else {
            #expect(throws: WindowError.self) { try ClosedPeriod(from: from, to: to) }
        }
    }

    // From the calendar of the Office of Personnel Management, with the days themselves beside the observed ones.
    @Test(arguments: [
        (
            2021,
            [
                "01-01", "01-18", "02-15", "05-31", "06-18", "06-19", "07-04", "07-05", "09-06", "10-11", "11-11",
                "11-25", "12-24", "12-25", "12-31",
            ]
        ),
        (
            2022,
            [
                "01-01", "01-17", "02-21", "05-30", "06-19", "06-20", "07-04", "09-05", "10-10", "11-11", "11-24",
                "12-25", "12-26",
            ]
        ),
        (
            2026,
            [
                "01-01", "01-19", "02-16", "05-25", "06-19", "07-03", "07-04", "09-07", "10-12", "11-11", "11-26",
                "12-25",
            ]
        ),
        (2020, ["01-01", "01-20", "02-17", "05-25", "07-03", "07-04", "09-07", "10-12", "11-11", "11-26", "12-25"]),
    ])
    func `holidays of the United States`(year: Int, days: [String]) {
        let found = HolidayCalendar.usFederal.holidays(in: year)
        #expect(found.map(\.date.description) == days.map { "\(year)-\($0)" })
    }

    @Test func `observed days say so`() {
        let names = HolidayCalendar.usFederal.holidays(in: 2026).filter { $0.date.month == 7 }.map(\.name)
        #expect(names == ["Independence Day (observed)", "Independence Day"])
    }

    @Test func `a mistyped calendar`() throws {
        let error = try #require(throws: WindowError.self) {
            try DeploymentWindow(timeZone: "UTC", open: ["daily 00:00-24:00"], holidays: ["us-fedral"])
        }
        #expect(error.hint == "did you mean us-federal?")
    }
}
