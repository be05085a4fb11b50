// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

extension Duration {
    /// For people: `3 d 2 h`, `24 h`, `15 m 20 s`, `40 s`; two units at most, rounded down, without a sign.
    package var words: String {
        let seconds = abs(wholeMilliseconds / 1000)
        let units: [(size: Int64, name: String)] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")]
        // Up to two days read better in hours.
        let used = seconds <= 172_800 ? Array(units.dropFirst()) : units
        guard let first = used.firstIndex(where: { seconds >= $0.size }) else { return "0 s" }
        var text = "\(seconds / used[first].size) \(used[first].name)"
        if first + 1 < used.count {
            let rest = seconds % used[first].size / used[first + 1].size
            if rest > 0 { text += " \(rest) \(used[first + 1].name)" }
        }
        return text
    }
}
