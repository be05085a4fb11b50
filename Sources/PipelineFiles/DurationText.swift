// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Durations as pipeline files and Fly write them.
package enum DurationText {
    /// Reads `1h30m`, `5m`, `10s`, `500ms`: whole numbers, the larger unit first; nil for anything else.
    package static func parse(_ text: String) -> Duration? {
        guard let parts = split(text, decimals: false) else { return nil }
        var order = -1
        var total: Int64 = 0
        for part in parts {
            guard let rank = ["h", "m", "s", "ms"].firstIndex(of: part.unit), rank > order else { return nil }
            order = rank
            guard let whole = Int64(part.number) else { return nil }
            let (product, overflow) = whole.multipliedReportingOverflow(by: [3_600_000, 60_000, 1000, 1][rank])
            guard !overflow, product <= 1_000_000_000_000, total <= 1_000_000_000_000 else { return nil }
            total += product
        }
        return .milliseconds(total)
    }

    /// Reads a duration as Go's `time.ParseDuration` does; nil where it would not, or where it is negative.
    static func parseGo(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        guard let parts = split(text, decimals: true) else { return nil }
        var seconds = 0.0
        for part in parts {
            let scale: [String: Double] = [
                "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9,
            ]
            guard let factor = scale[part.unit], let number = Double(part.number) else { return nil }
            seconds += number * factor
        }
        guard seconds < 1e9 else { return nil }
        return .nanoseconds(Int64((seconds * 1e9).rounded()))
    }

    /// Writes a duration as Go's `Duration.String` does, which is how Fly's API and flyctl write it: `1m21s`.
    static func go(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let nanoseconds = attoseconds / 1_000_000_000
        if seconds == 0, nanoseconds == 0 { return "0s" }
        if seconds == 0 {
            if nanoseconds < 1000 { return "\(nanoseconds)ns" }
            if nanoseconds < 1_000_000 { return decimal(nanoseconds, per: 1000) + "µs" }
            return decimal(nanoseconds, per: 1_000_000) + "ms"
        }
        let hours = seconds / 3600
        let minutes = seconds / 60 % 60
        let rest = decimal(seconds % 60 * 1_000_000_000 + nanoseconds, per: 1_000_000_000) + "s"
        if hours > 0 { return "\(hours)h\(minutes)m" + rest }
        return minutes > 0 ? "\(minutes)m" + rest : rest
    }

    /// Writes a duration for people, as a pipeline file would: `1h30m`, `90s` becomes `1m30s`.
    static func words(_ duration: Duration) -> String {
        let milliseconds = duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        var text = ""
        var rest = milliseconds
        for (unit, size) in [("h", Int64(3_600_000)), ("m", 60_000), ("s", 1000), ("ms", 1)] where rest >= size {
            text += "\(rest / size)\(unit)"
            rest %= size
        }
        return text.isEmpty ? "0s" : text
    }

    private static func decimal(_ value: Int64, per unit: Int64) -> String {
        let whole = value / unit
        guard value % unit != 0 else { return "\(whole)" }
        var digits = String(value % unit + unit).dropFirst()  // the added unit keeps leading zeros
        while digits.last == "0" { digits.removeLast() }
        return "\(whole).\(digits)"
    }

    private static func split(_ text: String, decimals: Bool) -> [(number: String, unit: String)]? {
        var parts: [(String, String)] = []
        var rest = Substring(text)
        while !rest.isEmpty {
            let number = rest.prefix { ("0"..."9").contains($0) || (decimals && $0 == ".") }
            rest = rest[number.endIndex...]
            let unit = rest.prefix { !("0"..."9").contains($0) && $0 != "." }
            rest = rest[unit.endIndex...]
            guard !number.isEmpty, !unit.isEmpty, number.count < 16 else { return nil }
            parts.append((String(number), String(unit)))
        }
        return parts.isEmpty ? nil : parts
    }
}
