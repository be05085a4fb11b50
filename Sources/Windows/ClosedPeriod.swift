// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A period in which nothing is deployed, whatever the open ranges say: a freeze, or a time of high traffic; once,
/// every year, or every week or month.
package struct ClosedPeriod: Hashable, Codable, Sendable {
    package enum Kind: Hashable, Codable, Sendable {
        case freeze
        /// A time at which a failed deploy would meet more people than usual.
        case highTraffic(name: String)
    }

    package enum Span: Hashable, Codable, Sendable {
        /// `to` is nil where the period has no end.
        case once(from: Bound, to: Bound?)
        /// From a day of the year to the next such end, over the end of the year where that comes first.
        case yearly(from: AnnualTime, to: AnnualTime)
        case every(range: OpenRange)
    }

    /// One end of a closed period that comes once.
    package enum Bound: Hashable, Sendable {
        /// The whole day, both as a beginning and as an end: `to: 2027-01-02` is closed through the end of 2 January.
        case day(CivilDate)
        /// What the zone's wall clock shows; as an end it is excluded.
        case local(CivilTime)
        /// An instant; as an end it is excluded.
        case instant(Timestamp)
    }

    package var kind: Kind = .freeze
    package var span: Span
    /// Untrusted text for people; may be empty.
    package var reason: String
    /// The zone whose wall clock the period goes by; nil for the window's own.
    package var zone: TimeZoneRules?

    /// Throws `malformedClosure` where the end is before the beginning, as far as that shows without a zone.
    package init(
        kind: Kind = .freeze, span: Span, reason: String, zone: TimeZoneRules? = nil
    ) throws(WindowError) {
        self.kind = kind
        self.span = span
        self.reason = reason
        self.zone = zone
        switch span {
        case .once(let from, let to):
            if let to, let begins = from.comparable, let ends = to.comparable, begins.isLocal == ends.isLocal,
                ends.end <= begins.start
            {
                throw ClosedPeriod.backwards(from, to)
            }
        case .yearly(let from, let to):
            // Any other order is one over the end of the year.
            guard from.beginning != to.end else {
                throw WindowError(
                    .malformedClosure, "The yearly period from \(from) ends as it begins, \(to)",
                    hint: "write the days it lasts: from: 11-25, to: 12-02")
            }
        case .every: break
        }
    }

    /// Reads both ends: dates, `2026-12-24T15:00` on the zone's wall clock, or RFC 3339 instants with their offsets; or
    /// both without a year, `11-25` and `12-02`, for every year. Throws `malformedClosure`.
    package init(
        kind: Kind = .freeze, from: String, to: String?, reason: String = "", zone: TimeZoneRules? = nil
    ) throws(WindowError) {
        let span: Span
        let beginning = AnnualTime(from)
        let end = to.flatMap { AnnualTime($0) }
        if let beginning, let end {
            span = .yearly(from: beginning, to: end)
        } else if let to, (beginning == nil) != (end == nil) {
            throw WindowError(
                .malformedClosure, "The period from \(from.prefix(40)) to \(to.prefix(40)) has a year at one end only",
                hint: "write both with the year for once, or both without it for every year")
        } else {
            var last: Bound?
            if let to { last = try Bound(parsing: to) }
            span = .once(from: try Bound(parsing: from), to: last)
        }
        try self.init(kind: kind, span: span, reason: reason, zone: zone)
    }

    /// Reads days, with or without hours, that come every week or month: `Fri 15:00-24:00`, `2nd Tue`. Throws
    /// `malformedRange`.
    package init(
        kind: Kind = .freeze, every text: String, reason: String = "", zone: TimeZoneRules? = nil
    ) throws(WindowError) {
        try self.init(
            kind: kind, span: .every(range: OpenRange(parsing: text, mayBeWholeDays: true)), reason: reason, zone: zone)
    }

    private static func backwards(_ from: Bound, _ to: Bound) -> WindowError {
        WindowError(
            .malformedClosure, "The closed period from \(from) ends before it begins, \(to)",
            hint: "exchange from and to")
    }

    /// Throws `malformedClosure` where the period ends before it begins, which may show only in its zone. `rules` are
    /// those of the window.
    package func validate(in rules: TimeZoneRules) throws(WindowError) {
        guard case .once(let from, let to?) = span else { return }
        let (start, end) = ClosedPeriod.instants(from, to, in: zone ?? rules)
        if let end, end <= start { throw ClosedPeriod.backwards(from, to) }
    }

    /// The first instant after the period; nil where it comes again or has no end.
    package func ends(in rules: TimeZoneRules) -> Timestamp? {
        guard case .once(let from, let to) = span else { return nil }
        return ClosedPeriod.instants(from, to, in: zone ?? rules).end
    }

    /// From its first instant to the first one after it, nil where it has no end. At a time that the clocks show twice
    /// it begins with the first and ends with the last: in doubt it is closed.
    private static func instants(
        _ from: Bound, _ to: Bound?, in rules: TimeZoneRules
    ) -> (start: Timestamp, end: Timestamp?) {
        let start =
            switch from {
            case .day(let date): rules.firstInstant(of: date.midnight)
            case .local(let time): rules.firstInstant(of: time)
            case .instant(let instant): instant
            }
        let end: Timestamp? =
            switch to {
            case .day(let date): rules.lastInstant(of: date.adding(days: 1).midnight)
            case .local(let time): rules.lastInstant(of: time)
            case .instant(let instant): instant
            case nil: nil
            }
        return (start, end)
    }

    /// Calls `body` with the start and the end of each time the period comes that may touch `[from, until)`.
    func forEachOccurrence(
        from: Timestamp, until: Timestamp, rules: TimeZoneRules, _ body: (_ start: Timestamp, _ end: Timestamp) -> Void
    ) {
        let zone = zone ?? rules
        switch span {
        case .once(let first, let last):
            let (start, end) = ClosedPeriod.instants(first, last, in: zone)
            body(start, end ?? Timestamp(milliseconds: .max))
        case .yearly(let first, let last):
            let isOverNewYear = last.end <= first.beginning
            // One that began the year before last can still go on where the zone's year differs from UTC's.
            for year in zone.localTime(at: from).year - 2...zone.localTime(at: until).year + 1 {
                body(
                    zone.firstInstant(of: first.time(in: year)),
                    zone.lastInstant(of: last.endTime(in: isOverNewYear ? year + 1 : year)))
            }
        case .every(let range):
            let firstDay = CivilDate(zone.localTime(at: from)).daysSinceEpoch - 2
            let lastDay = CivilDate(zone.localTime(at: until)).daysSinceEpoch + 1
            for day in firstDay...lastDay {
                let date = CivilDate(daysSinceEpoch: day)
                guard range.begins(on: date), zone.has(date) else { continue }
                body(
                    zone.firstInstant(of: date.time(atMinute: range.fromMinute)),
                    zone.lastInstant(of: date.time(atMinute: range.toMinute)))
            }
        }
    }

    /// `closed: Holidays`, `high traffic: Lunch`.
    package var rule: String {
        switch kind {
        case .freeze: reason.isEmpty ? "closed " + times : "closed: " + reason
        case .highTraffic(let name): "high traffic: " + name + (reason.isEmpty ? "" : " (\(reason))")
        }
    }

    /// When it is, in words of a pipeline file.
    package var times: String {
        switch span {
        case .once(let from, let to): "from \(from)" + (to.map { " to \($0)" } ?? "")
        case .yearly(let from, let to): "from \(from) to \(to) every year"
        case .every(let range): "every \(range)"
        }
    }
}

/// A day of the year, with or without a time of day: `11-25`, `11-25T15:00`.
package struct AnnualTime: Hashable, Codable, Sendable, CustomStringConvertible {
    /// 1 to 12.
    package var month: Int
    /// 1 to 31; 29 February is allowed.
    package var day: Int
    /// Minutes after midnight; nil for the whole day.
    package var minute: Int?

    /// Nil where the text is no day of a year.
    package init?(_ text: String) {
        // In a leap year the text is a date, or a local time, exactly when it is a good day of the year.
        let whole = "2024-" + text
        if let date = CivilDate(whole) {
            (month, day, minute) = (date.month, date.day, nil)
        } else if let time = CivilTime(parsing: whole), time.second == 0 {
            (month, day, minute) = (time.month, time.day, time.hour * 60 + time.minute)
        } else {
            return nil
        }
    }

    /// Where in a year it begins and, as an end, ends; to be compared only.
    fileprivate var beginning: Int { (month * 31 + day) * 1440 + (minute ?? 0) }
    fileprivate var end: Int { (month * 31 + day) * 1440 + (minute ?? 1440) }

    /// In a year without 29 February, that day is an empty one before 1 March.
    fileprivate func time(in year: Int) -> CivilTime {
        let date = CivilDate(year: year, month: month, day: day)
        let real = CivilDate(daysSinceEpoch: date.daysSinceEpoch)
        return real == date ? date.time(atMinute: minute ?? 0) : real.midnight
    }

    fileprivate func endTime(in year: Int) -> CivilTime {
        let date = CivilDate(year: year, month: month, day: day)
        let real = CivilDate(daysSinceEpoch: date.daysSinceEpoch)
        return real == date ? date.time(atMinute: minute ?? 1440) : real.midnight
    }

    package var description: String {
        let date = "\(padded(month, 2))-\(padded(day, 2))"
        return date + (minute.map { "T\(padded($0 / 60, 2)):\(padded($0 % 60, 2))" } ?? "")
    }
}

extension ClosedPeriod.Bound: CustomStringConvertible, Codable {
    /// Reads a date, a local time or an instant; throws `malformedClosure`.
    package init(parsing text: String) throws(WindowError) {
        if let date = CivilDate(text) {
            self = .day(date)
        } else if let instant = Timestamp(text) {
            self = .instant(instant)
        } else if let time = CivilTime(parsing: text) {
            self = .local(time)
        } else {
            throw WindowError(
                .malformedClosure, "“\(text.prefix(80))” is neither a date nor a time",
                hint: "write 2026-12-24, or 2026-12-24T15:00 for a time in the window's zone, or 12-24 for every year",
                offset: 0)
        }
    }

    fileprivate var comparable: (isLocal: Bool, start: Int64, end: Int64)? {
        switch self {
        case .day(let date):
            (true, date.midnight.secondsAsUTC * 1000, date.adding(days: 1).midnight.secondsAsUTC * 1000)
        case .local(let time): (true, time.secondsAsUTC * 1000, time.secondsAsUTC * 1000)
        case .instant(let instant): (false, instant.milliseconds, instant.milliseconds)
        }
    }

    package var description: String {
        switch self {
        case .day(let date): date.description
        case .local(let time):
            // The zone is the window's, so the text carries none.
            String(Timestamp(secondsSinceEpoch: time.secondsAsUTC).description.dropLast())
        case .instant(let instant): instant.description
        }
    }

    package init(from decoder: any Decoder) throws {
        try self.init(parsing: decoder.singleValueContainer().decode(String.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
