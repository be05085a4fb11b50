// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A window's coming days as a table: a row a day, half hours across, as the zone's wall clock shows them.
///
/// A half hour that the clocks leave out is no cell's; one that they show twice is what both are, or `mixed`.
package struct WindowCalendar: Hashable, Sendable {
    package enum Cell: Hashable, Sendable {
        /// All of the half hour is under rules of one kind.
        case all(kind: WindowRuleKind)
        /// A part of it is open.
        case mixed
        /// The clocks leave it out.
        case missing
    }

    package struct Row: Hashable, Sendable {
        package var date: CivilDate
        /// 48 of them, from midnight.
        package var cells: [Cell]
        /// How long the day is in minutes: 1440, and another number where the clocks change.
        package var minutes: Int
        /// What closes a part of the day beside the open hours, or opens it: each rule once.
        package var rules: [WindowRule]
        /// `no 02:00-03:00`, `01:00-02:00 twice`; empty where the clocks don't change.
        package var clockChange: String
    }

    package var rows: [Row]
    /// The cell of the first row that the beginning falls into.
    package var firstCell: Int

    package static let cellMinutes = 30
    private static let cellCount = 1440 / cellMinutes

    /// The days from the one that `from` falls on.
    package init(window: DeploymentWindow, from: Timestamp, days: Int, rules: TimeZoneRules) {
        let today = rules.localTime(at: from)
        firstCell = (today.hour * 60 + today.minute) / WindowCalendar.cellMinutes
        rows = (0..<max(0, days)).map { number in
            WindowCalendar.row(of: CivilDate(today).adding(days: number), window, rules)
        }
    }

    private static func row(of date: CivilDate, _ window: DeploymentWindow, _ rules: TimeZoneRules) -> Row {
        // A wall time that comes twice at midnight belongs to the day it shows, on both sides of the change.
        let start = rules.firstInstant(of: date.midnight)
        let end = rules.lastInstant(of: date.adding(days: 1).midnight)
        var row = Row(
            date: date, cells: Array(repeating: .missing, count: cellCount), minutes: 0, rules: [], clockChange: "")
        guard start < end else {
            row.clockChange = "no such day here"
            return row
        }
        var shown: [Range<Int64>] = []
        for segment in window.timeline(from: start, to: end, rules: rules) {
            var at = segment.start
            var isOfDay = false
            while at < segment.end {
                let (type, typeEnds) = rules.period(at: at)
                let until = min(segment.end, typeEnds)
                let wall = at.secondsSinceEpoch + Int64(type.offset) - date.midnight.secondsAsUTC
                let part = max(0, wall)..<max(0, min(86_400, wall + until.secondsSinceEpoch - at.secondsSinceEpoch))
                at = until
                guard !part.isEmpty else { continue }
                isOfDay = true
                shown.append(part)
                row.minutes += Int(part.count) / 60
                mark(part, segment.kind, in: &row.cells)
            }
            let rule = WindowRule(kind: segment.kind, text: segment.rule)
            if isOfDay, segment.kind != .openHours, segment.kind != .outside, !row.rules.contains(rule) {
                row.rules.append(rule)
            }
        }
        row.clockChange = clockChange(shown)
        return row
    }

    private static func mark(_ part: Range<Int64>, _ kind: WindowRuleKind, in cells: inout [Cell]) {
        let width = Int64(cellMinutes * 60)
        for number in Int(part.lowerBound / width)...Int((part.upperBound - 1) / width) {
            switch cells[number] {
            case .missing: cells[number] = .all(kind: kind)
            case .all(let other) where other.isOpen != kind.isOpen: cells[number] = .mixed
            case .all, .mixed: break
            }
        }
    }

    /// What of `[0, 24 h)` is not shown, or more than once.
    private static func clockChange(_ shown: [Range<Int64>]) -> String {
        var notes: [String] = []
        var reached: Int64 = 0
        func clock(_ seconds: Int64) -> String {
            padded(Int(seconds / 3600), 2) + ":" + padded(Int(seconds % 3600 / 60), 2)
        }
        for part in shown + [86_400..<86_401] {
            if part.lowerBound > reached { notes.append("no \(clock(reached))-\(clock(part.lowerBound))") }
            if part.lowerBound < reached { notes.append("\(clock(part.lowerBound))-\(clock(reached)) twice") }
            reached = part.upperBound
        }
        return notes.joined(separator: ", ")
    }
}
