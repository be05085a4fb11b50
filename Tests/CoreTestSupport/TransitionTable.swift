// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// One line of a state × event table: what an event does in a state.
package struct Transition: Hashable, Sendable, CustomStringConvertible {
    /// A state's name, with `+word` where a table tells variants of a state apart.
    package var from: String
    /// An event's kind, with `/word` where it matters which event of the kind comes.
    package var event: String
    /// Nil where the event is illegal; `=` where the state stays as it is.
    package var to: String?
    package var actions: [String]

    package var description: String {
        "\(from) × \(event) → \(to ?? "illegal") \(actions.joined(separator: " "))"
    }
}

/// A state × event table, read from text that people can read too.
///
/// A line is `state | event, event | next state | action action`. The next state is `=` where nothing changes and `!`
/// where the event is illegal. The event `others` stands for every event that no other line of the state names.
package struct TransitionTable: Sendable {
    package let name: String
    package let states: [String]
    package let events: [String]
    /// The event that starts a machine; demanded of the first state only, for nobody starts a machine twice.
    package let opening: String?
    package let rows: [Transition]
    /// Lines that can't be read, and pairs that are named twice.
    package let mistakes: [String]

    package init(_ name: String, states: [String], events: [String], opening: String? = nil, _ text: String) {
        self.name = name
        self.opening = opening
        self.states = states
        self.events = events
        var rows: [Transition] = []
        var mistakes: [String] = []
        var open: [Transition] = []
        var seen: Set<String> = []
        for line in text.split(separator: "\n") where line.contains(where: { $0 != " " }) {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map(TransitionTable.trimmed)
            guard cells.count == 3 || cells.count == 4 else {
                mistakes.append("not a line of the table: \(line)")
                continue
            }
            for event in cells[1].split(separator: ",").map({ TransitionTable.trimmed($0) }) {
                let row = Transition(
                    from: cells[0], event: event, to: cells[2] == "!" ? nil : cells[2],
                    actions: cells.count == 4 ? cells[3].split(separator: " ").map(String.init) : [])
                if !seen.insert("\(row.from) × \(event)").inserted { mistakes.append("named twice: \(row)") }
                if event == "others" { open.append(row) } else { rows.append(row) }
                if !states.contains(TransitionTable.base(row.from)) { mistakes.append("no such state: \(row)") }
                if event != "others", event != opening, !events.contains(TransitionTable.base(event)) {
                    mistakes.append("no such event: \(row)")
                }
            }
        }
        for other in open {
            let named = Set(rows.filter { $0.from == other.from }.map { TransitionTable.base($0.event) })
            for event in events where !named.contains(event) {
                rows.append(Transition(from: other.from, event: event, to: other.to, actions: other.actions))
            }
        }
        self.rows = rows
        self.mistakes = mistakes
    }

    /// Every pair of a state and an event that no line speaks of.
    package var missing: [String] {
        let covered = Set(rows.map { TransitionTable.base($0.from) + " × " + TransitionTable.base($0.event) })
        let pairs = states.flatMap { state in events.map { "\(state) × \($0)" } }
        return (pairs + (opening.map { ["\(states[0]) × \($0)"] } ?? [])).filter { !covered.contains($0) }
    }

    /// The table's arrows as a Mermaid state diagram: the events of an arrow in the order of the table.
    package var diagram: String {
        var arrows: [(from: String, to: String, events: [String])] = []
        for row in rows {
            let from = TransitionTable.base(row.from)
            guard let next = row.to, next != "=" else { continue }
            let to = TransitionTable.base(next)
            guard from != to else { continue }
            let label = row.event.split(separator: "/").joined(separator: " ")
            if let index = arrows.firstIndex(where: { $0.from == from && $0.to == to }) {
                if !arrows[index].events.contains(label) { arrows[index].events.append(label) }
            } else {
                arrows.append((from, to, [label]))
            }
        }
        let leaving = Set(arrows.map(\.from))
        var lines = ["stateDiagram-v2", "    [*] --> \(states[0])"]
        for arrow in arrows {
            lines.append("    \(arrow.from) --> \(arrow.to): \(arrow.events.joined(separator: ", "))")
        }
        for state in states where !leaving.contains(state) { lines.append("    \(state) --> [*]") }
        return lines.joined(separator: "\n")
    }

    /// A name without its variant.
    package static func base(_ name: String) -> String {
        String(name.prefix { $0 != "/" && $0 != "+" })
    }

    private static func trimmed(_ text: Substring) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
