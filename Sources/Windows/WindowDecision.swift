// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Whether a deployment may begin at an instant, and why.
package struct WindowDecision: Hashable, Codable, Sendable {
    /// The instant decided about.
    package var at: Timestamp
    package var isOpen: Bool
    /// The rule that made it so: `Mon-Fri 09:00-17:00 America/Los_Angeles`, `closed: Holidays`,
    /// `holiday: Thanksgiving Day` or `outside the open ranges`.
    package var rule: String
    /// The first instant from which it is open, while it is closed; nil while it is open, and where none is found
    /// within ``DeploymentWindow/maxDaysSearched`` days.
    package var nextOpen: Timestamp?
    /// The first instant at which it is closed again, while it is open; nil while it is closed, and where none is found
    /// within ``DeploymentWindow/maxDaysSearched`` days.
    package var closes: Timestamp?
    /// What the wall clock in the window's zone shows.
    package var localTime: CivilTime
    /// The offset and abbreviation that go with ``localTime``.
    package var localType: LocalTimeType
    /// The IANA name of the window's zone.
    package var timeZone: String

    /// What a person in the window's zone would write: `Sat 2026-11-21 09:00 PST`.
    package var localDescription: String {
        let time = padded(localTime.hour, 2) + ":" + padded(localTime.minute, 2)
        let date = CivilDate(localTime)
        return "\(date.weekday.short) \(date) \(time) \(localType.abbreviation)"
    }

    private enum CodingKeys: String, CodingKey {
        case at, isOpen, rule, nextOpen, closes, localSeconds, localType, timeZone
    }

    package init(
        at: Timestamp, isOpen: Bool, rule: String, nextOpen: Timestamp?, closes: Timestamp?, localTime: CivilTime,
        localType: LocalTimeType, timeZone: String
    ) {
        self.at = at
        self.isOpen = isOpen
        self.rule = rule
        self.nextOpen = nextOpen
        self.closes = closes
        self.localTime = localTime
        self.localType = localType
        self.timeZone = timeZone
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        at = try container.decode(Timestamp.self, forKey: .at)
        isOpen = try container.decode(Bool.self, forKey: .isOpen)
        rule = try container.decode(String.self, forKey: .rule)
        nextOpen = try container.decodeIfPresent(Timestamp.self, forKey: .nextOpen)
        closes = try container.decodeIfPresent(Timestamp.self, forKey: .closes)
        localType = try container.decode(LocalTimeType.self, forKey: .localType)
        timeZone = try container.decode(String.self, forKey: .timeZone)
        localTime = CivilTime(secondsAsUTC: at.secondsSinceEpoch + Int64(localType.offset))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(at, forKey: .at)
        try container.encode(isOpen, forKey: .isOpen)
        try container.encode(rule, forKey: .rule)
        try container.encodeIfPresent(nextOpen, forKey: .nextOpen)
        try container.encodeIfPresent(closes, forKey: .closes)
        try container.encode(localType, forKey: .localType)
        try container.encode(timeZone, forKey: .timeZone)
    }
}

/// A part of a window's timeline: `[start, end)`, all under one rule.
package struct WindowSegment: Hashable, Codable, Sendable {
    package var start: Timestamp
    package var end: Timestamp
    package var isOpen: Bool
    /// As ``WindowDecision/rule``.
    package var rule: String

    package init(start: Timestamp, end: Timestamp, isOpen: Bool, rule: String) {
        self.start = start
        self.end = end
        self.isOpen = isOpen
        self.rule = rule
    }
}

/// What a window's rules are in instants, for one stretch of time.
struct WindowPeriods {
    private struct Period {
        var start: Timestamp
        var end: Timestamp
        /// The number of the open range, closed period or holiday that made it: most are never asked for their name.
        var source: Int
    }

    /// Periods by their start. Questions come in the order of time, so what has ended is passed over for good.
    private struct Track {
        var periods: [Period] = []
        var passed = 0

        /// What made the period an instant is in.
        mutating func source(at instant: Timestamp) -> Int? {
            while passed < periods.count, periods[passed].end <= instant { passed += 1 }
            var index = passed
            while index < periods.count, periods[index].start <= instant {
                if instant < periods[index].end { return periods[index].source }
                index += 1
            }
            return nil
        }
    }

    private let window: DeploymentWindow
    private let rules: TimeZoneRules
    private let from: Timestamp
    private let until: Timestamp
    private var open = Track()
    private var closed = Track()
    private var holidays = Track()
    private var holidayNames: [String] = []
    /// Every instant of the stretch at which a rule may change, with both its ends, ascending.
    private(set) var edges: [Timestamp]

    init(window: DeploymentWindow, from: Timestamp, to: Timestamp, rules: TimeZoneRules) {
        (self.window, self.rules, self.from, self.until) = (window, rules, from, to)
        edges = [from, to]
        // A range over midnight that began the day before may still be open.
        let firstDay = CivilDate(rules.localTime(at: from)).adding(days: -1)
        let lastDay = CivilDate(rules.localTime(at: to)).adding(days: 1)
        addClosed()
        addHolidays(firstDay, lastDay)
        addOpen(firstDay, lastDay)
        for track in [\WindowPeriods.open, \.closed, \.holidays] {
            self[keyPath: track].periods.sort { $0.start < $1.start }
        }
        edges.sort()
        edges = edges.reduce(into: []) { if $0.last != $1 { $0.append($1) } }
    }

    /// The rule that holds at an instant of the stretch; instants are asked about in ascending order.
    mutating func rule(at instant: Timestamp) -> (isOpen: Bool, rule: String) {
        if let number = closed.source(at: instant) { return (false, window.closed[number].rule) }
        if let number = holidays.source(at: instant) { return (false, "holiday: " + holidayNames[number]) }
        if let number = open.source(at: instant) { return (true, "\(window.open[number]) \(window.timeZone)") }
        return (false, "outside the open ranges")
    }

    private mutating func addClosed() {
        for (number, period) in window.closed.enumerated() {
            let (start, end) = period.instants(in: rules)
            add(start, end ?? Timestamp(milliseconds: .max), number, to: \.closed)
        }
    }

    private mutating func addHolidays(_ firstDay: CivilDate, _ lastDay: CivilDate) {
        var days = window.holidays
        for calendar in window.calendars {
            for year in firstDay.year...lastDay.year { days += calendar.holidays(in: year) }
        }
        for holiday in days where firstDay <= holiday.date && holiday.date <= lastDay {
            let start = rules.firstInstant(of: holiday.date.midnight)
            let end = rules.lastInstant(of: holiday.date.adding(days: 1).midnight)
            add(start, end, holidayNames.count, to: \.holidays)
            holidayNames.append(holiday.name)
        }
    }

    private mutating func addOpen(_ firstDay: CivilDate, _ lastDay: CivilDate) {
        var midnight = rules.firstInstant(of: firstDay.midnight)
        for day in firstDay.daysSinceEpoch...lastDay.daysSinceEpoch {
            let date = CivilDate(daysSinceEpoch: day)
            let nextMidnight = rules.firstInstant(of: CivilDate(daysSinceEpoch: day + 1).midnight)
            defer { midnight = nextMidnight }
            // The zone leaves this day out (Apia, 30 December 2011).
            if nextMidnight <= midnight { continue }
            let weekday = date.weekday
            for (number, range) in window.open.enumerated() where range.weekdays.contains(weekday) {
                let start = rules.firstInstant(of: time(range.fromMinute, date))
                let end = rules.firstInstant(of: time(range.toMinute, date))
                add(start, end, number, to: \.open)
            }
        }
    }

    private func time(_ minute: Int, _ date: CivilDate) -> CivilTime {
        CivilTime(secondsAsUTC: date.midnight.secondsAsUTC + Int64(minute) * 60)
    }

    private mutating func add(
        _ start: Timestamp, _ end: Timestamp, _ source: Int, to track: WritableKeyPath<WindowPeriods, Track>
    ) {
        guard start < end, start < until, end > from else { return }
        self[keyPath: track].periods.append(Period(start: start, end: end, source: source))
        if start > from { edges.append(start) }
        if end < until { edges.append(end) }
    }
}
