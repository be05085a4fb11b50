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

    /// The date with a time of day; a minute past 1440 is on the next day.
    func time(atMinute minute: Int) -> CivilTime {
        CivilTime(secondsAsUTC: midnight.secondsAsUTC + Int64(minute) * 60)
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

extension CivilTime {
    /// Reads `2026-12-24T15:00` or `2026-12-24 15:00`, with or without seconds and without an offset; nil where the
    /// text is no local time.
    package init?(parsing text: String) {
        // As UTC the text is an instant exactly when it is a good local time.
        let full = text.utf8.count == 16 ? text + ":00" : text
        guard full.utf8.count == 19, let instant = Timestamp(full + "Z") else { return nil }
        self.init(secondsAsUTC: instant.secondsSinceEpoch)
    }
}

extension TimeZoneRules {
    /// Whether the zone has a day at all: Apia left out 30 December 2011.
    func has(_ date: CivilDate) -> Bool {
        firstInstant(of: date.midnight) < firstInstant(of: date.adding(days: 1).midnight)
    }

    /// Reads an instant as a person gives it: RFC 3339 with its offset, or a date or a time on the zone's wall clock.
    /// Throws `malformedTime`, also for a local time that the clocks leave out or show twice.
    package func instant(parsing text: String) throws(WindowError) -> Timestamp {
        if let instant = Timestamp(text) { return instant }
        guard let time = CivilDate(text)?.midnight ?? CivilTime(parsing: text) else {
            throw WindowError(
                .malformedTime, "“\(text.prefix(80))” is no time",
                hint: "write 2026-12-24T18:00:00Z, or 2026-12-24T10:00 for a time in \(name)")
        }
        switch instants(of: time) {
        case .one(let instant): return instant
        case .gap(let end):
            throw WindowError(
                .malformedTime, "There is no \(text) in \(name): the clocks are put forward over it",
                hint: "write \(written(end)), the first instant after the gap")
        case .overlap(let first, let last):
            throw WindowError(
                .malformedTime, "\(text) comes twice in \(name): the clocks are put back",
                hint: "write \(written(first)) or \(written(last))")
        }
    }

    /// An instant with the zone's own offset: `2026-11-01T01:30:00-07:00`.
    package func written(_ instant: Timestamp) -> String {
        let offset = offset(at: instant).offset
        let local = Timestamp(secondsSinceEpoch: localTime(at: instant).secondsAsUTC).description.dropLast()
        let minutes = abs(offset) / 60
        return local + (offset < 0 ? "-" : "+") + padded(minutes / 60, 2) + ":" + padded(minutes % 60, 2)
    }

    /// What a person in the zone would write: `Sat 2026-11-21 09:00 PST`.
    package func described(_ instant: Timestamp) -> String {
        let local = localTime(at: instant)
        let date = CivilDate(local)
        return "\(date.weekday.short) \(date) \(padded(local.hour, 2)):\(padded(local.minute, 2)) "
            + offset(at: instant).abbreviation
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
