// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A period in which nothing is deployed, whatever the open ranges say; a freeze.
package struct ClosedPeriod: Hashable, Codable, Sendable {
    /// One end of a closed period.
    package enum Bound: Hashable, Sendable {
        /// The whole day, both as a beginning and as an end: `to: 2027-01-02` is closed through the end of 2 January.
        case day(CivilDate)
        /// What the zone's wall clock shows; as an end it is excluded.
        case local(CivilTime)
        /// An instant; as an end it is excluded.
        case instant(Timestamp)
    }

    package var from: Bound
    /// Nil where the period has no end.
    package var to: Bound?
    /// Untrusted text for people; may be empty.
    package var reason: String

    /// Throws `malformedClosure` where the end is before the beginning, as far as that shows without a zone.
    package init(from: Bound, to: Bound?, reason: String) throws(WindowError) {
        self.from = from
        self.to = to
        self.reason = reason
        if let to, let begins = from.comparable, let ends = to.comparable, begins.isLocal == ends.isLocal,
            ends.end <= begins.start
        {
            throw backwards
        }
    }

    /// Reads both ends: a date, `2026-12-24T15:00` on the zone's wall clock, or an RFC 3339 instant with its offset.
    /// Throws `malformedClosure`.
    package init(from: String, to: String?, reason: String = "") throws(WindowError) {
        var end: Bound?
        if let to { end = try Bound(parsing: to) }
        try self.init(from: Bound(parsing: from), to: end, reason: reason)
    }

    var backwards: WindowError {
        WindowError(
            .malformedClosure, "The closed period from \(from) ends before it begins, \(to.map(\.description) ?? "")",
            hint: "exchange from and to")
    }

    /// From its first instant to the first one after it, nil where it has no end. At a time that the clocks show twice
    /// it begins with the first and ends with the last: in doubt it is closed.
    func instants(in rules: TimeZoneRules) -> (start: Timestamp, end: Timestamp?) {
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

    /// `closed: Holidays`.
    package var rule: String {
        reason.isEmpty ? "closed from \(from)" + (to.map { " to \($0)" } ?? "") : "closed: " + reason
    }
}

extension ClosedPeriod.Bound: CustomStringConvertible, Codable {
    /// Reads a date, a local time or an instant; throws `malformedClosure`.
    package init(parsing text: String) throws(WindowError) {
        if let date = CivilDate(text) {
            self = .day(date)
        } else if let instant = Timestamp(text) {
            self = .instant(instant)
        } else if let time = Self.localTime(text) {
            self = .local(time)
        } else {
            throw WindowError(
                .malformedClosure, "“\(text.prefix(80))” is neither a date nor a time",
                hint: "write 2026-12-24, or 2026-12-24T15:00 for a time in the window's zone", offset: 0)
        }
    }

    private static func localTime(_ text: String) -> CivilTime? {
        // As UTC the text is an instant exactly when it is a good local time; seconds may be left out.
        let full = text.utf8.count == 16 ? text + ":00" : text
        guard full.utf8.count == 19, let instant = Timestamp(full + "Z") else { return nil }
        return CivilTime(secondsAsUTC: instant.secondsSinceEpoch)
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
