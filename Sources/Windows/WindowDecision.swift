// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What sort of rule holds at an instant.
package enum WindowRuleKind: String, Hashable, Codable, Sendable, CaseIterable {
    case openHours = "open_hours"
    case maintenance
    case freeze
    case highTraffic = "high_traffic"
    case holiday
    case outside

    /// Whether a deployment may begin under it.
    package var isOpen: Bool {
        switch self {
        case .openHours, .maintenance: true
        case .freeze, .highTraffic, .holiday, .outside: false
        }
    }
}

/// One rule of a window, as it is told to people.
package struct WindowRule: Hashable, Codable, Sendable {
    package var kind: WindowRuleKind
    /// `Mon-Fri 09:00-17:00 America/Los_Angeles`, `closed: Holidays`.
    package var text: String

    package init(kind: WindowRuleKind, text: String) {
        self.kind = kind
        self.text = text
    }
}

/// Whether a deployment may begin at an instant, and why.
package struct WindowDecision: Hashable, Codable, Sendable {
    /// The instant decided about.
    package var at: Timestamp
    package var isOpen: Bool
    package var kind: WindowRuleKind
    /// The rule that made it so: `Mon-Fri 09:00-17:00 America/Los_Angeles`, `closed: Holidays`,
    /// `high traffic: Lunch`, `holiday: Thanksgiving Day`, `maintenance: …` or `outside the open ranges`.
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
        case at, isOpen, kind, rule, nextOpen, closes, localType, timeZone
    }

    package init(
        at: Timestamp, isOpen: Bool, kind: WindowRuleKind, rule: String, nextOpen: Timestamp?, closes: Timestamp?,
        localTime: CivilTime, localType: LocalTimeType, timeZone: String
    ) {
        self.at = at
        self.isOpen = isOpen
        self.kind = kind
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
        kind = try container.decode(WindowRuleKind.self, forKey: .kind)
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
        try container.encode(kind, forKey: .kind)
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
    package var kind: WindowRuleKind
    /// As ``WindowDecision/rule``.
    package var rule: String

    package init(start: Timestamp, end: Timestamp, kind: WindowRuleKind, rule: String) {
        self.start = start
        self.end = end
        self.kind = kind
        self.rule = rule
    }

    package var isOpen: Bool { kind.isOpen }
}

/// The decisions of a stretch of time at regular instants, from one timeline: a month of minutes costs hardly more than
/// its days.
package struct WindowDecisions: Sequence, Sendable {
    private let timeZone: String
    private let rules: TimeZoneRules
    private let from: Timestamp
    private let to: Timestamp
    private let step: Int64
    private let segments: [WindowSegment]
    /// For each segment the first instant at which being open or closed changes.
    private let changes: [Timestamp?]

    /// Traps where the step is below a millisecond.
    init(window: DeploymentWindow, from: Timestamp, to: Timestamp, step: Duration, rules: TimeZoneRules) {
        precondition(step >= .milliseconds(1), "decisions are at least a millisecond apart")
        timeZone = window.timeZone
        (self.rules, self.from, self.to) = (rules, from, to)
        self.step = step.wholeMilliseconds
        segments = window.timeline(from: from, to: to, rules: rules)
        var changes: [Timestamp?] = []
        // What follows the stretch is asked once.
        var next: Timestamp?
        if let last = segments.last {
            let decision = window.decide(at: last.start, rules: rules)
            next = decision.isOpen ? decision.closes : decision.nextOpen
        }
        for index in segments.indices.reversed() {
            if index + 1 < segments.endIndex, segments[index + 1].isOpen != segments[index].isOpen {
                next = segments[index + 1].start
            }
            changes.append(next)
        }
        self.changes = changes.reversed()
    }

    package struct Iterator: IteratorProtocol {
        fileprivate let decisions: WindowDecisions
        fileprivate var at: Timestamp
        fileprivate var index = 0
        fileprivate var type: LocalTimeType
        /// Until when ``type`` holds.
        fileprivate var typeEnds: Timestamp

        package mutating func next() -> WindowDecision? {
            guard at < decisions.to else { return nil }
            while decisions.segments[index].end <= at { index += 1 }
            if at >= typeEnds { (type, typeEnds) = decisions.rules.period(at: at) }
            let segment = decisions.segments[index]
            let change = decisions.changes[index]
            let isOpen = segment.isOpen
            defer { at.milliseconds += decisions.step }
            return WindowDecision(
                at: at, isOpen: isOpen, kind: segment.kind, rule: segment.rule, nextOpen: isOpen ? nil : change,
                closes: isOpen ? change : nil,
                localTime: CivilTime(secondsAsUTC: at.secondsSinceEpoch + Int64(type.offset)), localType: type,
                timeZone: decisions.timeZone)
        }
    }

    package func makeIterator() -> Iterator {
        let (type, ends) = rules.period(at: from)
        return Iterator(decisions: self, at: from, type: type, typeEnds: ends)
    }
}
