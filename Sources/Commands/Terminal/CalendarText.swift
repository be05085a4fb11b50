// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Windows

/// A window's coming days for a terminal of 80 columns.
enum CalendarText {
    private static let margin = String(repeating: " ", count: 12)
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    /// Rules told beneath the days.
    private static let maxRulesListed = 12

    static func lines(_ calendar: WindowCalendar, usesColor: Bool) -> [String] {
        var lines = [
            margin
                + stride(from: 0, to: 24, by: 3).map { ($0 < 10 ? "0\($0)" : "\($0)") + "    " }.joined() + "24",
            margin + String(repeating: " ", count: calendar.firstCell) + "▾",
        ]
        for row in calendar.rows {
            let cells = draw(row.cells, usesColor)
            let label = self.label(row.date).padding(to: 12)
            lines.append(trimmed(label + cells + (row.clockChange.isEmpty ? "" : "  " + row.clockChange)))
        }
        return lines + legend(calendar, usesColor)
    }

    /// `Mon 23 Nov`.
    static func label(_ date: CivilDate) -> String {
        "\(date.weekday.short) \(date.day < 10 ? " " : "")\(date.day) \(months[date.month - 1])"
    }

    private static func draw(_ cells: [WindowCalendar.Cell], _ usesColor: Bool) -> String {
        guard usesColor else { return cells.map { String(symbol($0)) }.joined() }
        var text = ""
        var current = ""
        for cell in cells {
            let code = colour(cell)
            if code != current {
                text += (current.isEmpty ? "" : "\u{1B}[0m") + (code.isEmpty ? "" : "\u{1B}[\(code)m")
                current = code
            }
            text.append(symbol(cell))
        }
        return text + (current.isEmpty ? "" : "\u{1B}[0m")
    }

    private static func symbol(_ cell: WindowCalendar.Cell) -> Character {
        switch cell {
        case .all(.openHours): "█"
        case .all(.maintenance): "m"
        case .all(.freeze): "x"
        case .all(.highTraffic): "t"
        case .all(.holiday): "h"
        case .all(.outside): "·"
        case .mixed: "▄"
        case .missing: " "
        }
    }

    private static func colour(_ cell: WindowCalendar.Cell) -> String {
        switch cell {
        case .all(.openHours), .mixed: "32"
        case .all(.maintenance): "36"
        case .all(.freeze): "31"
        case .all(.highTraffic), .all(.holiday): "33"
        case .all(.outside): "2"
        case .missing: ""
        }
    }

    private static func legend(_ calendar: WindowCalendar, _ usesColor: Bool) -> [String] {
        let cells = Set(calendar.rows.flatMap(\.cells))
        let words: [(WindowCalendar.Cell, String)] = [
            (.all(kind: .openHours), "open"), (.mixed, "open for a part of the half hour"),
            (.all(kind: .outside), "outside the open ranges"),
        ]
        var lines = [
            words.filter { cells.contains($0.0) }.map { draw([$0.0], usesColor) + " " + $0.1 }.joined(separator: "   ")
        ]
        for found in runs(calendar).prefix(maxRulesListed) {
            let days = label(found.first) + (found.first == found.last ? "" : " to " + label(found.last))
            let text = TerminalText.line(found.rule.text)
            // The days are worth more than the end of a long reason.
            let room = 80 - 2 - 3 - days.count
            let shown = text.count > room ? text.prefix(room - 1) + "…" : text[...]
            lines.append("\(draw([.all(kind: found.rule.kind)], usesColor)) \(shown) (\(days))")
        }
        return lines.filter { !$0.isEmpty }
    }

    /// Each rule with its first and its last day in a row.
    private static func runs(
        _ calendar: WindowCalendar
    ) -> [(rule: WindowRule, first: CivilDate, last: CivilDate)] {
        var found: [(rule: WindowRule, first: CivilDate, last: CivilDate)] = []
        for row in calendar.rows {
            for rule in row.rules {
                if let index = found.firstIndex(where: { $0.rule == rule }) {
                    found[index].last = row.date
                } else {
                    found.append((rule, row.date, row.date))
                }
            }
        }
        return found
    }

    private static func trimmed(_ line: String) -> String {
        var line = line
        while line.last == " " { line.removeLast() }
        return line
    }
}
