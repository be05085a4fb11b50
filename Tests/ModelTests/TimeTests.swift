// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@Suite struct TimestampTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-21T09:00:00Z", 1_795_251_600_000),
        ("2026-11-21T09:00:00.5Z", 1_795_251_600_500), ("2026-11-21T09:00:00.123456789Z", 1_795_251_600_123),
        ("2026-11-21T01:00:00-08:00", 1_795_251_600_000), ("2026-11-21T14:45:00+05:45", 1_795_251_600_000),
        ("2026-11-21t09:00:00z", 1_795_251_600_000), ("2026-11-21 09:00:00Z", 1_795_251_600_000),
        ("1969-12-31T23:59:59.999Z", -1), ("2000-02-29T12:00:00Z", 951_825_600_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_000), ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    ])
    func `RFC 3339 is read with any offset`(_ text: String, _ milliseconds: Int64) {
        #expect(Timestamp(text)?.milliseconds == milliseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-11-21", "2026-11-21T09:00Z", "2026-11-21T09:00:00", "2026-11-21T09:00:00+0800",
        "2026-11-21T09:00:00+08", "2026-11-21T24:00:00Z", "2026-11-21T09:60:00Z", "2026-11-21T09:00:61Z",
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z", "2026-11-21T09:00:00.Z", "2026-11-21T09:00:00Zx", " 2026-11-21T09:00:00Z",
        "2026-11-21T09:00:00+24:00", "2026-11-21T09:00:00-08:60", "٢٠٢٦-11-21T09:00:00Z", "-026-11-21T09:00:00Z",
    ])
    func `what is not RFC 3339 is refused`(_ text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func `every time is read as it was written`() {
        // Steps of prime length visit all times of day, leap days and centuries.
        var milliseconds: Int64 = -62_135_596_800_000
        while milliseconds < 253_402_300_799_999 {
            let time = Timestamp(milliseconds: milliseconds)
            #expect(Timestamp(time.description) == time)
            milliseconds += 86_400_000 * 367 + 7_919_003
        }
    }

    @Test func `it is one string in JSON`() throws {
        let time = Timestamp(milliseconds: 1_795_251_600_120)
        let data = try JSONEncoder().encode([time])
        #expect(String(decoding: data, as: UTF8.self) == "[\"2026-11-21T09:00:00.120Z\"]")
        #expect(try JSONDecoder().decode([Timestamp].self, from: data) == [time])
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([Timestamp].self, from: Data("[\"soon\"]".utf8))
        }
    }

    @Test(arguments: [(0, 0), (999, 0), (1000, 1), (-1, -1), (-1000, -1), (-1001, -2)] as [(Int64, Int64)])
    func `whole seconds are rounded down`(_ milliseconds: Int64, _ seconds: Int64) {
        #expect(Timestamp(milliseconds: milliseconds).secondsSinceEpoch == seconds)
    }

    @Test func `durations move a time`() {
        let time = Timestamp(secondsSinceEpoch: 100)
        #expect(time + .milliseconds(1500) - time == .milliseconds(1500))
        #expect(time - .seconds(200) == Timestamp(secondsSinceEpoch: -100))
        #expect((time - .seconds(1)) < time)
        #expect(Duration.milliseconds(1999).wholeMilliseconds == 1999)
        #expect(Duration.milliseconds(1500).inSeconds == 1.5)
    }
}

@Suite struct CivilTimeTests {
    @Test func `every day of eight centuries follows the one before`() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        var seconds = CivilTime(year: 1600, month: 1, day: 1).secondsAsUTC
        var weekday = 6  // 1 January 1600 was a Saturday
        for year in 1600..<2400 {
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            for month in 1...12 {
                for day in 1...(month == 2 && isLeap ? 29 : lengths[month - 1]) {
                    let civil = CivilTime(year: year, month: month, day: day)
                    guard civil.secondsAsUTC == seconds, CivilTime(secondsAsUTC: seconds) == civil,
                        civil.isoWeekday == weekday
                    else {
                        Issue.record("wrong: \(civil)")
                        return
                    }
                    seconds += 86_400
                    weekday = weekday % 7 + 1
                }
            }
        }
    }

    @Test(arguments: [
        (2026, 11, 21, 6), (1970, 1, 1, 4), (1969, 12, 31, 3), (2000, 2, 29, 2), (2024, 2, 29, 4), (1582, 10, 15, 5),
        (1, 1, 1, 1),
    ])
    func `days of the week`(_ year: Int, _ month: Int, _ day: Int, _ weekday: Int) {
        #expect(CivilTime(year: year, month: month, day: day, hour: 23, minute: 59).isoWeekday == weekday)
    }

    @Test func `times of day before the epoch`() {
        let civil = CivilTime(year: 1969, month: 12, day: 31, hour: 23, minute: 59, second: 58)
        #expect(civil.secondsAsUTC == -2)
        #expect(CivilTime(secondsAsUTC: -2) == civil)
        #expect(civil < CivilTime(year: 1970, month: 1, day: 1))
    }
}
