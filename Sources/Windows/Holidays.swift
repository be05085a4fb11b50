// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// One holiday: the whole day is closed.
package struct Holiday: Hashable, Codable, Sendable {
    package var date: CivilDate
    /// `Thanksgiving Day`.
    package var name: String

    package init(date: CivilDate, name: String) {
        self.date = date
        self.name = name
    }

    /// Reads a date and the holiday's name: `2026-11-27 Day after Thanksgiving`. Throws `malformedHoliday`.
    package init(parsing text: String) throws(WindowError) {
        let parts = text.split(separator: " ", maxSplits: 1)
        guard let first = parts.first, let date = CivilDate(first) else {
            let calendars = HolidayCalendar.allCases.map(\.rawValue)
            let near = Nearest.name(to: text, among: calendars)
            throw WindowError(
                .malformedHoliday, "“\(text.prefix(80))” is neither a holiday calendar nor a date",
                hint: near.map { "did you mean \($0)?" }
                    ?? "write \(calendars.joined(separator: " or ")), or a date and a name: 2026-11-27 Team day",
                offset: 0)
        }
        self.init(date: date, name: parts.count > 1 ? String(parts[1]) : "holiday of \(date)")
    }
}

/// A calendar of holidays that is computed.
package enum HolidayCalendar: String, Codable, Sendable, CaseIterable {
    /// The holidays of the government of the United States, 5 U.S.C. 6103, with the days on which they are observed.
    case usFederal = "us-federal"

    /// The holidays that fall on days of `year`, in order. One on a Saturday is closed on that day and observed on the
    /// Friday before, one on a Sunday on the Monday after (Executive Order 11582).
    package func holidays(in year: Int) -> [Holiday] {
        switch self {
        case .usFederal:
            // New Year's Day of the next year may be observed on 31 December of this one.
            let newYear = Holiday(date: CivilDate(year: year + 1, month: 1, day: 1), name: Self.newYearsDay)
            return (Self.federal(year) + [newYear]).flatMap(Self.withObservedDay)
                .filter { $0.date.year == year }.sorted { $0.date < $1.date }
        }
    }

    private static let newYearsDay = "New Year's Day"

    private static func withObservedDay(_ holiday: Holiday) -> [Holiday] {
        let shift: Int
        switch holiday.date.weekday {
        case .saturday: shift = -1
        case .sunday: shift = 1
        case .monday, .tuesday, .wednesday, .thursday, .friday: return [holiday]
        }
        return [holiday, Holiday(date: holiday.date.adding(days: shift), name: holiday.name + " (observed)")]
    }

    private static func federal(_ year: Int) -> [Holiday] {
        func fixed(_ month: Int, _ day: Int) -> CivilDate { CivilDate(year: year, month: month, day: day) }
        func nth(_ count: Int, _ weekday: Weekday, of month: Int) -> CivilDate {
            let first = fixed(month, 1)
            return first.adding(days: (weekday.rawValue - first.weekday.rawValue + 7) % 7 + (count - 1) * 7)
        }
        var days: [(CivilDate, String)] = [
            (fixed(1, 1), newYearsDay),
            (nth(3, .monday, of: 1), "Birthday of Martin Luther King, Jr."),
            (nth(3, .monday, of: 2), "Washington's Birthday"),
            (nth(1, .monday, of: 6).adding(days: -7), "Memorial Day"),
            (fixed(7, 4), "Independence Day"),
            (nth(1, .monday, of: 9), "Labor Day"),
            (nth(2, .monday, of: 10), "Columbus Day"),
            (fixed(11, 11), "Veterans Day"),
            (nth(4, .thursday, of: 11), "Thanksgiving Day"),
            (fixed(12, 25), "Christmas Day"),
        ]
        // Public Law 117-17 of 17 June 2021.
        if year >= 2021 { days.append((fixed(6, 19), "Juneteenth National Independence Day")) }
        return days.map { Holiday(date: $0.0, name: $0.1) }
    }
}
