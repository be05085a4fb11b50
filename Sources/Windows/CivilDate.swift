// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A day of the proleptic Gregorian calendar, in no particular zone; written `2026-12-24`.
package struct CivilDate: Hashable, Comparable, Sendable {
    package var year: Int
    package var month: Int
    package var day: Int

    package init(year: Int, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// The date part of a civil time.
    package init(_ time: CivilTime) {
        self.init(year: time.year, month: time.month, day: time.day)
    }

    /// The day that is `days` after 1970-01-01.
    package init(daysSinceEpoch days: Int64) {
        self.init(CivilTime(secondsAsUTC: days * 86_400))
    }

    /// Reads `YYYY-MM-DD`; nil where the text is no date or the month has no such day.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts.map(\.utf8.count) == [4, 2, 2],
            parts.allSatisfy({ $0.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }),
            let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2]), (1...12).contains(month),
            (1...31).contains(day)
        else { return nil }
        self.init(year: year, month: month, day: day)
        guard CivilDate(daysSinceEpoch: daysSinceEpoch) == self else { return nil }
    }

    /// Whole days since 1970-01-01; negative before it.
    package var daysSinceEpoch: Int64 {
        let seconds = midnight.secondsAsUTC
        return seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    }

    /// The date with the time 00:00:00.
    package var midnight: CivilTime {
        CivilTime(year: year, month: month, day: day)
    }

    package var weekday: Weekday {
        Weekday(rawValue: midnight.isoWeekday) ?? .monday
    }

    /// The date `days` later, or earlier where it is negative.
    package func adding(days: Int) -> CivilDate {
        CivilDate(daysSinceEpoch: daysSinceEpoch + Int64(days))
    }

    package static func < (left: CivilDate, right: CivilDate) -> Bool {
        (left.year, left.month, left.day) < (right.year, right.month, right.day)
    }
}

extension CivilDate: CustomStringConvertible, Codable {
    package var description: String {
        "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = CivilDate(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "“\(text)” is not a date")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The number in decimal with zeros in front, at least `width` digits.
func padded(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
}

/// A day of the week, numbered as ISO 8601 does: 1 is Monday.
package enum Weekday: Int, Codable, Sendable, CaseIterable, Comparable {
    case monday = 1
    case tuesday, wednesday, thursday, friday, saturday, sunday

    package static func < (left: Weekday, right: Weekday) -> Bool { left.rawValue < right.rawValue }

    /// `Monday`.
    package var name: String {
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][rawValue - 1]
    }

    /// `Mon`.
    package var short: String { String(name.prefix(3)) }

    /// The day after this one; Monday after Sunday.
    package var next: Weekday { Weekday(rawValue: rawValue % 7 + 1) ?? .monday }

    /// Reads `Mon` or `Monday` in any case; nil where the text is neither.
    package init?(_ text: some StringProtocol) {
        let lower = text.lowercased()
        let match = Weekday.allCases.first { $0.name.lowercased() == lower || $0.short.lowercased() == lower }
        guard let match else { return nil }
        self = match
    }
}
