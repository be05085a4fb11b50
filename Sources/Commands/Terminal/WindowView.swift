// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Journals
internal import Model
internal import Windows

/// What `airboss window` shows: the decision, what it follows from, and the coming days.
struct WindowView {
    private let live: LiveWindow
    private let window: DeploymentWindow
    private let decision: WindowDecision
    /// Rules that hold beside the one that decides.
    private let others: [WindowRule]
    private let maintenance: [Maintenance]
    private let forecast: FinishForecast?
    private let isNow: Bool
    private let end: Timestamp
    private let days: Int

    /// Reads what the state store knows, where the window asks for it.
    init(_ live: LiveWindow, at now: Timestamp, isNow: Bool, days: Int) async throws(StateError) {
        self.live = live
        self.isNow = isNow
        self.days = days
        window = try await live.complete(at: now)
        decision = window.decide(at: now, rules: live.rules)
        others = Array(window.rulesHolding(at: now, rules: live.rules).dropFirst())
        maintenance = try await live.maintenance(at: now).filter { now < $0.window.to }
        forecast = decision.isOpen ? try await live.forecast() : nil
        let date = CivilDate(decision.localTime).adding(days: days)
        end = live.rules.firstInstant(of: date.midnight)
    }

    /// Why a deploy that begins at the instant would be refused although the window is open.
    private var tooLate: (expected: Duration, grounds: String)? {
        guard let forecast, let closes = decision.closes else { return nil }
        let expected = forecast.expected(from: .window)
        return decision.at + expected > closes ? (expected, forecast.grounds(from: .window)) : nil
    }

    // MARK: - For people

    func text(usesColor: Bool) -> String {
        var lines = [headline(usesColor)]
        let when = isNow ? "It is" : "At that instant it is"
        lines.append("\(when) \(decision.localDescription) in \(decision.timeZone).")
        if isNow, decision.at < DeploymentWindow.earliestCredibleTime {
            lines.append("This machine's clock can't be right: a deploy would be refused until it is set.")
        }
        if let closes = decision.closes { lines.append("Closes at \(moment(closes)).") }
        if !decision.isOpen {
            lines.append(decision.nextOpen.map { "Opens next at \(moment($0))." } ?? "It does not open again.")
        } else if decision.closes == nil {
            lines.append("It does not close within five years.")
        }
        if let tooLate, let closes = decision.closes {
            lines.append("Too late to finish: \(tooLate.grounds).")
            lines.append("A deploy must begin by \(moment(closes - tooLate.expected)).")
        }
        for other in others where other.kind != .outside {
            let word = other.kind.isOpen ? "Otherwise open by" : "Closed besides by"
            lines.append("\(word): \(TerminalText.line(other.text))")
        }
        if !decision.isOpen { lines.append("A rollback is always allowed.") }
        if !maintenance.isEmpty {
            lines.append("")
            lines.append("Announced maintenance:")
            for entry in maintenance { lines += told(entry) }
        }
        lines.append("")
        let calendar = WindowCalendar(window: window, from: decision.at, days: days, rules: live.rules)
        lines += CalendarText.lines(calendar, usesColor: usesColor)
        return lines.joined(separator: "\n") + "\n"
    }

    private func headline(_ usesColor: Bool) -> String {
        let word = decision.isOpen ? (tooLate == nil ? "Open" : "Open, but too late to finish") : "Closed"
        let code = decision.isOpen ? (tooLate == nil ? "32" : "33") : "31"
        let shown = usesColor ? "\u{1B}[1;\(code)m\(word)\u{1B}[0m" : word
        return "\(shown): \(TerminalText.line(decision.rule))"
    }

    /// `2026-11-23T17:00:00Z: Mon 2026-11-23 09:00 PST, in 2 d 2 h`.
    private func moment(_ instant: Timestamp) -> String {
        let distance =
            instant < decision.at ? "\((decision.at - instant).words) before" : "in \((instant - decision.at).words)"
        return "\(instant): \(live.rules.described(instant)), \(distance)"
    }

    private func told(_ entry: Maintenance) -> [String] {
        let window = entry.window
        let times = "\(live.rules.described(window.from)) to \(live.rules.described(window.to))"
        var lines = [
            "  \(window.id) \(entry.state.name): \(times)",
            "    \(TerminalText.line(window.reason)) (by \(TerminalText.line(window.announcedBy)), "
                + "\(window.notice.words) before)",
        ]
        if !live.isAnnouncedInTime(entry), let policy = live.policy {
            lines.append("    It opens nothing: the pipeline asks for a notice of \(policy.notice.words).")
        }
        return lines
    }

    // MARK: - For programs

    var json: JSONValue {
        let segments = window.timeline(from: decision.at, to: end, rules: live.rules)
        var document: JSONValue = [
            "schema": 1, "open": .bool(decision.isOpen), "rule": .string(decision.rule),
            "next_open": RunFinished.optional(decision.nextOpen?.description),
            "closes": RunFinished.optional(decision.closes?.description),
            "at": .string(decision.at.description), "rule_kind": .string(decision.kind.rawValue),
            "time_zone": .string(decision.timeZone),
            "local_time": .string(live.rules.written(decision.at)),
            "other_rules": .array(others.map { ["kind": .string($0.kind.rawValue), "rule": .string($0.text)] }),
            "timeline": .array(
                segments.map {
                    [
                        "from": .string($0.start.description), "to": .string($0.end.description),
                        "open": .bool($0.isOpen), "kind": .string($0.kind.rawValue), "rule": .string($0.rule),
                    ]
                }),
            "maintenance": .array(maintenance.map { WindowView.json($0, opens: live.isAnnouncedInTime($0)) }),
        ]
        if let forecast {
            let expected = forecast.expected(from: .window)
            document["finish"] = [
                "fits": .bool(tooLate == nil), "expected_ms": .integer(expected.wholeMilliseconds),
                "past_deploys": .integer(Int64(forecast.past.count)),
                "grounds": .string(forecast.grounds(from: .window)),
                "latest_start": RunFinished.optional(decision.closes.map { ($0 - expected).description }),
            ]
        }
        return document
    }

    static func json(_ maintenance: Maintenance, opens: Bool) -> JSONValue {
        let window = maintenance.window
        return [
            "id": .string(window.id.rawValue), "from": .string(window.from.description),
            "to": .string(window.to.description), "reason": .string(window.reason),
            "announced_at": .string(window.announcedAt.description), "announced_by": .string(window.announcedBy),
            "state": .string(maintenance.state.name), "opens": .bool(opens && maintenance.opens != nil),
        ]
    }
}
