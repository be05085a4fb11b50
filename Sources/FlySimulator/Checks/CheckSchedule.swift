// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// When a check is made and what is told of it. Pure: times are durations since the guest was started.
///
/// Until the guest listens it is knocked at, so that the first check is made as soon as it can succeed. Failures
/// within the grace period are not told.
struct CheckSchedule: Hashable, Sendable {
    enum Step: Hashable, Sendable {
        /// See whether the port accepts connections.
        case knock
        /// Make the check itself.
        case check
    }

    struct Due: Hashable, Sendable {
        var at: Duration
        var step: Step
    }

    struct Timing: Hashable, Sendable {
        var interval: Duration
        var timeout: Duration
        var grace: Duration
    }

    static let knockInterval = Duration.milliseconds(50)
    static let lateKnockInterval = Duration.milliseconds(500)
    /// Between failing checks within the grace period.
    static let graceInterval = Duration.seconds(1)

    let timing: Timing
    private(set) var due = Due(at: .zero, step: .knock)
    private var lastToldRefusal: Duration?

    init(_ timing: Timing) {
        self.timing = timing
    }

    /// After a knock: whether a refusal is to be told as a critical result.
    mutating func knocked(isListening: Bool, at now: Duration) -> Bool {
        guard !isListening else {
            due = Due(at: now, step: .check)
            return false
        }
        let isLate = now >= timing.grace
        let pause = isLate ? min(CheckSchedule.lateKnockInterval, timing.interval) : CheckSchedule.knockInterval
        due = Due(at: isLate ? now + pause : min(now + pause, timing.grace), step: .knock)
        guard isLate, lastToldRefusal.map({ now - $0 >= timing.interval }) ?? true else { return false }
        lastToldRefusal = now
        return true
    }

    /// After a check that began at `begun`: whether its result is to be told.
    mutating func checked(isPassing: Bool, begun: Duration, at now: Duration) -> Bool {
        if isPassing || now >= timing.grace {
            due = Due(at: max(now, begun + timing.interval), step: .check)
            return true
        }
        let pause = min(CheckSchedule.graceInterval, timing.interval)
        due = Due(at: max(now, min(begun + pause, timing.grace)), step: .check)
        return false
    }
}

extension CheckSchedule.Timing {
    static let defaultInterval = Duration.seconds(15)
    static let defaultTimeout = Duration.seconds(2)
    static let defaultGrace = Duration.seconds(5)
    static let minInterval = Duration.milliseconds(100)

    /// Reads `interval`, `timeout` and `grace_period`.
    init(_ definition: JSONValue) {
        func read(_ key: String, _ fallback: Duration) -> Duration {
            definition[key].flatMap(GoDuration.parse) ?? fallback
        }
        self.init(
            interval: max(Self.minInterval, read("interval", Self.defaultInterval)),
            timeout: max(Self.minInterval, read("timeout", Self.defaultTimeout)),
            grace: max(.zero, read("grace_period", Self.defaultGrace)))
    }
}

/// Durations as Fly's API writes them: `"1m30s"`, or a whole number of nanoseconds. Source: Go, time.ParseDuration.
enum GoDuration {
    static func parse(_ value: JSONValue) -> Duration? {
        if let nanoseconds = value.integer { return .nanoseconds(Int64(nanoseconds)) }
        return value.string.flatMap(parse)
    }

    static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        let isNegative = rest.first == "-"
        if isNegative || rest.first == "+" { rest.removeFirst() }
        guard !rest.isEmpty else { return nil }
        var total = Duration.zero
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
            guard let number = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { !($0.isASCII && $0.isNumber) && $0 != "." }
            rest = rest.dropFirst(unit.count)
            guard let seconds = seconds[String(unit)], number * seconds < 1e9 else { return nil }
            total += .seconds(number * seconds)
        }
        return isNegative ? .zero - total : total
    }

    private static let seconds: [String: Double] = [
        "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600,
    ]
}
