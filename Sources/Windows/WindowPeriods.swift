// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What a window's rules are in instants, for one stretch of time.
struct WindowPeriods {
    private struct Period {
        var start: Timestamp
        var end: Timestamp
        /// The number of what made it, among its kind: most are never asked for their name.
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
    private var freezes = Track()
    private var highTraffic = Track()
    private var holidays = Track()
    private var maintenance = Track()
    private var holidayNames: [String] = []
    private let openNames: [String]
    /// Every instant of the stretch at which a rule may change, with both its ends, ascending.
    private(set) var edges: [Timestamp]

    init(window: DeploymentWindow, from: Timestamp, to: Timestamp, rules: TimeZoneRules) {
        (self.window, self.rules, self.from, self.until) = (window, rules, from, to)
        edges = [from, to]
        openNames = window.open.map { "\($0) \(window.timeZone)" }
        // A range over midnight that began the day before may still be open.
        let firstDay = CivilDate(rules.localTime(at: from)).adding(days: -1)
        let lastDay = CivilDate(rules.localTime(at: to)).adding(days: 1)
        addClosed()
        addHolidays(firstDay, lastDay)
        addOpen(firstDay, lastDay)
        for (number, entry) in window.maintenance.enumerated() { add(entry.from, entry.to, number, to: \.maintenance) }
        for track in [\WindowPeriods.open, \.freezes, \.highTraffic, \.holidays, \.maintenance] {
            self[keyPath: track].periods.sort { $0.start < $1.start }
        }
        edges.sort()
        edges = edges.reduce(into: []) { if $0.last != $1 { $0.append($1) } }
    }

    /// The rule that decides at an instant of the stretch; instants are asked about in ascending order.
    mutating func rule(at instant: Timestamp) -> (kind: WindowRuleKind, rule: String) {
        let (kind, source) = ordinaryRule(at: instant)
        if !kind.isOpen, let number = maintenance.source(at: instant) {
            return (.maintenance, window.maintenance[number].rule)
        }
        return (kind, text(kind, source))
    }

    /// All rules that hold at an instant, the one that decides first.
    mutating func rules(at instant: Timestamp) -> [WindowRule] {
        var found: [WindowRule] = []
        if let number = freezes.source(at: instant) { found.append(rule(.freeze, number)) }
        if let number = highTraffic.source(at: instant) { found.append(rule(.highTraffic, number)) }
        if let number = holidays.source(at: instant) { found.append(rule(.holiday, number)) }
        let opening = open.source(at: instant)
        if let opening { found.append(rule(.openHours, opening)) } else { found.append(rule(.outside, nil)) }
        if let number = maintenance.source(at: instant) {
            found.insert(rule(.maintenance, number), at: found[0].kind.isOpen ? found.endIndex : 0)
        }
        return found
    }

    private mutating func ordinaryRule(at instant: Timestamp) -> (kind: WindowRuleKind, source: Int?) {
        if let number = freezes.source(at: instant) { return (.freeze, number) }
        if let number = highTraffic.source(at: instant) { return (.highTraffic, number) }
        if let number = holidays.source(at: instant) { return (.holiday, number) }
        if let number = open.source(at: instant) { return (.openHours, number) }
        return (.outside, nil)
    }

    private func rule(_ kind: WindowRuleKind, _ source: Int?) -> WindowRule {
        WindowRule(kind: kind, text: text(kind, source))
    }

    private func text(_ kind: WindowRuleKind, _ source: Int?) -> String {
        guard let source else { return "outside the open ranges" }
        return switch kind {
        case .freeze, .highTraffic: window.closed[source].rule
        case .holiday: "holiday: " + holidayNames[source]
        case .openHours: openNames[source]
        case .maintenance: window.maintenance[source].rule
        case .outside: "outside the open ranges"
        }
    }

    private mutating func addClosed() {
        for (number, period) in window.closed.enumerated() {
            let track: WritableKeyPath<WindowPeriods, Track> =
                switch period.kind {
                case .freeze: \.freezes
                case .highTraffic: \.highTraffic
                }
            var found: [(Timestamp, Timestamp)] = []
            period.forEachOccurrence(from: from, until: until, rules: rules) { found.append(($0, $1)) }
            for (start, end) in found { add(start, end, number, to: track) }
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
            for (number, range) in window.open.enumerated() where range.begins(on: date) {
                let start = rules.firstInstant(of: date.time(atMinute: range.fromMinute))
                let end = rules.firstInstant(of: date.time(atMinute: range.toMinute))
                add(start, end, number, to: \.open)
            }
        }
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
