// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// When an app may be deployed: open hours of the week in one zone, less closed periods and holidays.
///
/// Closed periods beat holidays, and holidays beat open hours; of two open ranges that overlap, the one that opened
/// first gives its name. Where clocks change, each open range is one period: it
/// opens at the first instant at which the wall clock shows its opening time or later (in a gap: right after the gap;
/// of a repeated hour: the first time round) and closes at the first instant at which the wall clock shows its closing
/// time or later. A range whose hours all fall into a gap does not open that day, nor does any range on a day that the
/// zone leaves out.
package struct DeploymentWindow: Hashable, Codable, Sendable {
    /// An IANA name.
    package var timeZone: String
    package var open: [OpenRange]
    package var closed: [ClosedPeriod]
    package var calendars: [HolidayCalendar]
    /// Holidays beside those of the calendars.
    package var holidays: [Holiday]

    /// Keeps what is given; throws `neverOpens` where there is no open range that has any hours.
    package init(
        timeZone: String, open: [OpenRange], closed: [ClosedPeriod] = [], calendars: [HolidayCalendar] = [],
        holidays: [Holiday] = []
    ) throws(WindowError) {
        self.timeZone = timeZone
        self.open = open
        self.closed = closed
        self.calendars = calendars
        self.holidays = holidays
        guard open.contains(where: { !$0.isEmpty }) else {
            throw WindowError(
                .neverOpens,
                open.isEmpty ? "The window has no open range, so it can never open" : "Every open range is empty",
                hint: "write open: [\"Mon-Fri 09:00-17:00\"], or [\"daily 00:00-24:00\"] for always")
        }
    }

    /// Reads the texts of a pipeline file; `holidays` are names of calendars or dates with a name. Throws the first
    /// error with its offset in the text at fault.
    package init(
        timeZone: String, open: [String], closed: [ClosedPeriod] = [], holidays: [String] = []
    ) throws(WindowError) {
        var ranges: [OpenRange] = []
        for text in open { ranges.append(try OpenRange(parsing: text)) }
        var calendars: [HolidayCalendar] = []
        var days: [Holiday] = []
        for text in holidays {
            if let calendar = HolidayCalendar(rawValue: text) {
                calendars.append(calendar)
            } else {
                days.append(try Holiday(parsing: text))
            }
        }
        try self.init(timeZone: timeZone, open: ranges, closed: closed, calendars: calendars, holidays: days)
    }

    /// How far ahead a next opening or closing is looked for: five years of 366 days.
    package static let maxDaysSearched = 5 * 366

    /// Throws `malformedClosure` where a closed period ends before it begins, and `neverOpens` where the window does
    /// not open within ``maxDaysSearched`` days of an instant.
    package func validate(at instant: Timestamp, rules: TimeZoneRules) throws(WindowError) {
        for period in closed {
            let (start, end) = period.instants(in: rules)
            if let end, end <= start { throw period.backwards }
        }
        let decision = decide(at: instant, rules: rules)
        guard decision.isOpen || decision.nextOpen != nil else {
            throw WindowError(
                .neverOpens, "The window does not open within five years of \(instant); now it is \(decision.rule)",
                hint: "look for a closed period without an end, or open ranges that are all on closed days")
        }
    }

    /// Whether deploying may begin at an instant, by which rule, and until when or from when. `rules` are those of
    /// ``timeZone``.
    package func decide(at instant: Timestamp, rules: TimeZoneRules) -> WindowDecision {
        var decision = WindowDecision(
            at: instant, isOpen: false, rule: "", nextOpen: nil, closes: nil, localTime: rules.localTime(at: instant),
            localType: rules.offset(at: instant), timeZone: timeZone)
        var isFirst = true
        let today = CivilDate(decision.localTime)
        var from = instant
        // Most answers are a day or two away, so the search begins small.
        var days = 3
        var searched = 0
        while searched < DeploymentWindow.maxDaysSearched {
            searched += days
            let until = max(rules.firstInstant(of: today.adding(days: searched).midnight), from + .milliseconds(1))
            for segment in timeline(from: from, to: until, rules: rules) {
                if isFirst {
                    decision.isOpen = segment.isOpen
                    decision.rule = segment.rule
                    isFirst = false
                } else if segment.isOpen != decision.isOpen {
                    if decision.isOpen {
                        decision.closes = segment.start
                    } else {
                        decision.nextOpen = segment.start
                    }
                    return decision
                }
            }
            from = until
            days = min(days * 3, 400)
        }
        return decision
    }

    /// The periods of `[from, to)` in order, without a gap between them; neighbours differ in being open or in their
    /// rule. `rules` are those of ``timeZone``.
    package func timeline(from: Timestamp, to: Timestamp, rules: TimeZoneRules) -> [WindowSegment] {
        guard from < to else { return [] }
        var periods = WindowPeriods(window: self, from: from, to: to, rules: rules)
        var segments: [WindowSegment] = []
        for (start, end) in zip(periods.edges, periods.edges.dropFirst()) {
            let (isOpen, rule) = periods.rule(at: start)
            if let last = segments.last, last.isOpen == isOpen, last.rule == rule {
                segments[segments.count - 1].end = end
            } else {
                segments.append(WindowSegment(start: start, end: end, isOpen: isOpen, rule: rule))
            }
        }
        return segments
    }
}
