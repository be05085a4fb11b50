// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The names most like a mistyped one, for suggestions in errors.
enum Nearest {
    /// At most `count` candidates within a third of the word's length in edits, nearest first; letter
    /// case counts for nothing.
    static func names(to word: String, among candidates: some Sequence<String>, count: Int = 3) -> [String] {
        let target = Array(word.lowercased().utf8.prefix(longestWord))
        let allowed = target.count < 4 ? target.count - 1 : max(2, target.count / 3)
        var scored: [(name: String, distance: Int)] = []
        for candidate in candidates {
            let bytes = Array(candidate.lowercased().utf8)
            if abs(bytes.count - target.count) > allowed { continue }
            let distance = editDistance(target, bytes)
            if distance <= allowed { scored.append((candidate, distance)) }
        }
        scored.sort { ($0.distance, $0.name) < ($1.distance, $1.name) }
        return scored.prefix(count).map(\.name)
    }

    /// Longer input can't be a slip of the keyboard, and the distance is quadratic.
    private static let longestWord = 64

    /// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. Source: optimal
    /// string alignment, Damerau (1964).
    static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var line = [row + 1]
            line.reserveCapacity(right.count + 1)
            for column in right.indices {
                var best = min(last[column] + (byte == right[column] ? 0 : 1), last[column + 1] + 1, line[column] + 1)
                if row > 0, column > 0, byte == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                line.append(best)
            }
            (beforeLast, last) = (last, line)
        }
        return last[right.count]
    }
}
