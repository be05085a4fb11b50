// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// How reports write numbers and times.
package enum Words {
    /// `1,234,567`.
    package static func number(_ value: Int) -> String {
        var digits = Array(String(abs(value)))
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        groups.insert(String(digits), at: 0)
        return (value < 0 ? "-" : "") + groups.joined(separator: ",")
    }

    /// `1 seed`, `2,000 seeds`.
    package static func seeds(_ count: Int) -> String { "\(number(count)) \(count == 1 ? "seed" : "seeds")" }

    /// `12 of 2,000 seeds (0.6 %)`.
    package static func share(_ count: Int, of total: Int) -> String {
        "\(number(count)) of \(seeds(total)) (\(percent(count, of: total)))"
    }

    /// `0.6 %`; `below 0.1 %` rather than a zero that is none, and `above 99.9 %` rather than all that are not.
    package static func percent(_ count: Int, of total: Int) -> String {
        guard total > 0, count > 0 else { return "0 %" }
        guard count < total else { return "100 %" }
        let tenths = Int((Double(count) * 1000 / Double(total)).rounded())
        if tenths == 0 { return "below 0.1 %" }
        if tenths == 1000 { return "above 99.9 %" }
        return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
    }

    /// `450 ms`, `12.3 s`, `1 m 05 s`, `2 h 03 m`.
    package static func time(_ duration: Duration) -> String {
        let milliseconds = duration.wholeMilliseconds
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        let seconds = milliseconds / 1000
        if seconds < 60 {
            let tenths = milliseconds % 1000 / 100
            return tenths == 0 ? "\(seconds) s" : "\(seconds).\(tenths) s"
        }
        if seconds < 3600 { return "\(seconds / 60) m \(twoDigits(seconds % 60)) s" }
        return "\(seconds / 3600) h \(twoDigits(seconds % 3600 / 60)) m"
    }

    /// A time as pipeline files write it: `5m`, `1m30s`.
    package static func fileTime(_ duration: Duration) -> String {
        var rest = duration.wholeMilliseconds
        var text = ""
        for (unit, size) in [("h", Int64(3_600_000)), ("m", 60_000), ("s", 1000), ("ms", 1)] where rest >= size {
            text += "\(rest / size)\(unit)"
            rest %= size
        }
        return text.isEmpty ? "0s" : text
    }

    /// Since a story's start: `0:07.250`, `12:31.000`.
    package static func clock(_ duration: Duration) -> String {
        let milliseconds = duration.wholeMilliseconds
        let fraction = String(1000 + milliseconds % 1000).dropFirst()
        return "\(milliseconds / 60_000):\(twoDigits(milliseconds / 1000 % 60)).\(fraction)"
    }

    /// What people call an outcome.
    package static func outcome(_ outcome: RunOutcome) -> String {
        switch outcome {
        case .verified: "verified"
        case .rolledBack: "rolled back"
        case .refused: "refused"
        case .unavailable: "unavailable"
        case .needsHuman: "needs a person"
        case .interrupted: "interrupted"
        }
    }

    /// A sentence with the digests in it cut to their first twelve digits.
    package static func brief(_ sentence: String) -> String {
        guard sentence.contains("sha256:") else { return sentence }
        return sentence.replacing(/sha256:([0-9a-f]{12})[0-9a-f]{52}/) { "sha256:\($0.output.1)…" }
    }

    private static func twoDigits(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
