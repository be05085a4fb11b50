// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Which known word a person probably meant.
enum Nearest {
    /// The candidate with the fewest edits from `word`, if they are few enough to be a slip of the hand.
    static func match(to word: String, in candidates: some Sequence<String>) -> String? {
        // Longer words allow more slips; beyond a third of the letters it is another word.
        let folded = fold(word)
        let most = max(1, folded.count / 3 + 1)
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let other = fold(candidate)
            var distance = edits(folded, other)
            if distance > most, folded.count >= 3, other.starts(with: folded) || folded.starts(with: other) {
                distance = most
            }
            guard distance <= most else { continue }
            if let best, (best.distance, best.candidate) <= (distance, candidate) { continue }
            best = (candidate, distance)
        }
        return best?.candidate
    }

    private static func fold(_ word: String) -> [UInt8] {
        // Long garbage is cut: nobody means a key by it, and the table below grows with its square.
        word.utf8.prefix(64).filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") }
            .map { $0 >= 0x41 && $0 <= 0x5A ? $0 + 0x20 : $0 }
    }

    /// The optimal string alignment distance: insertions, deletions, substitutions, neighbours swapped.
    private static func edits(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var rows = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
        for i in 0...a.count { rows[i][0] = i }
        for j in 0...b.count { rows[0][j] = j }
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        for i in 1...a.count {
            for j in 1...b.count {
                let cost = a[i - 1] == b[j - 1] ? 0 : 1
                rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
                }
            }
        }
        return rows[a.count][b.count]
    }
}
