// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// When an app may be deployed: open hours of the week in one zone, less freezes, times of high traffic and holidays;
/// and at other times where maintenance was announced.
///
/// Freezes beat times of high traffic, these beat holidays, and holidays beat open hours; announced maintenance opens
/// what all of them close. Of two periods of one kind that overlap, the one that began first gives its name. Where
/// clocks change, each open range is one period: it
/// opens at the first instant at which the wall clock shows its opening time or later (in a gap: right after the gap;
/// of a repeated hour: the first time round) and closes at the first instant at which the wall clock shows its closing
/// time or later. A range whose hours all fall into a gap does not open that day, nor does any range on a day that the
/// zone leaves out. Closed periods end with the last instant of a time that comes twice.
package struct DeploymentWindow: Hashable, Codable, Sendable {
    /// An IANA name.
    package var timeZone: String
    package var open: [OpenRange]
    package var closed: [ClosedPeriod]
    package var calendars: [HolidayCalendar]
    /// Holidays beside those of the calendars.
    package var holidays: [Holiday]
    /// Maintenance that opens what is closed: announced early enough, and not withdrawn.
    package var maintenance: [MaintenanceWindow] = []

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

    /// A machine whose clock says that it is earlier than this has lost its time: this was written later.
    package static let earliestCredibleTime = Timestamp(secondsSinceEpoch: 1_767_225_600)  // 2026-01-01T00:00:00Z

    /// How far ahead a next opening or closing is looked for: five years of 366 days.
    package static let maxDaysSearched = 5 * 366

    /// Throws `malformedClosure` where a closed period ends before it begins, and `neverOpens` where the window does
    /// not open within ``maxDaysSearched`` days of an instant.
    package func validate(at instant: Timestamp, rules: TimeZoneRules) throws(WindowError) {
        for period in closed { try period.validate(in: rules) }
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
            at: instant, isOpen: false, kind: .outside, rule: "", nextOpen: nil, closes: nil,
            localTime: rules.localTime(at: instant), localType: rules.offset(at: instant), timeZone: timeZone)
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
                    decision.kind = segment.kind
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
            let (kind, rule) = periods.rule(at: start)
            if let last = segments.last, last.kind == kind, last.rule == rule {
                segments[segments.count - 1].end = end
            } else {
                segments.append(WindowSegment(start: start, end: end, kind: kind, rule: rule))
            }
        }
        return segments
    }

    /// Every rule that holds at an instant, the one that decides first; `outside the open ranges` where there is none.
    package func rulesHolding(at instant: Timestamp, rules: TimeZoneRules) -> [WindowRule] {
        var periods = WindowPeriods(window: self, from: instant, to: instant + .milliseconds(1), rules: rules)
        return periods.rules(at: instant)
    }

    /// The decisions at `from` and every `step` after it, before `to`: the same as of ``decide(at:rules:)``, all from
    /// one timeline.
    package func decisions(
        from: Timestamp, to: Timestamp, every step: Duration, rules: TimeZoneRules
    ) -> WindowDecisions {
        WindowDecisions(window: self, from: from, to: to, step: step, rules: rules)
    }

    /// Pairs of open ranges that are open at the same time, by their numbers; allowed, and perhaps not meant.
    package var overlappingRanges: [(first: Int, second: Int)] {
        open.indices.flatMap { first in
            open.indices.filter { first < $0 && open[first].overlaps(open[$0]) }.map { (first, $0) }
        }
    }
}
