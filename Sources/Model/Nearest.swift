// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The names most like a mistyped one, for suggestions in errors. Case, blanks, `_` and `-` count for nothing.
package enum Nearest {
    /// A longer word, in bytes, is no slip of the hand; nothing is suggested for it.
    package static let maxWordBytes = 120
    /// Among more candidates than this, none is suggested.
    package static let maxCandidates = 20_000

    /// At most `count` candidates, nearest first: those that have the word's last path component (`lib` of `dist/lib`),
    /// then those within a third of the word's length in edits; of equals the shorter first.
    package static func names(to word: String, among candidates: some Sequence<String>, count: Int = 3) -> [String] {
        ranked(word, among: candidates, count: count, prefixesFit: false)
    }

    /// The one candidate that is probably meant; beside what ``names(to:among:count:)`` finds also one that begins the
    /// word or begins with it, such as `deployment` for `deploy`.
    package static func name(to word: String, among candidates: some Sequence<String>) -> String? {
        ranked(word, among: candidates, count: 1, prefixesFit: true).first
    }

    /// The fewest edits that turn one text into the other, nil where they are more than `limit`: insertions, deletions,
    /// replacements, and swaps of neighbours that are edited no further. Bytes are compared, so that a letter beyond
    /// ASCII counts as several. Source: optimal string alignment; F. J. Damerau, “A technique for computer detection
    /// and correction of spelling errors”, Communications of the ACM 7 (1964).
    package static func distance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int? {
        guard abs(left.count - right.count) <= limit else { return nil }
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
            // No later line can hold less than the least of this one: a swap reaches back over it, but costs one more
            // than the line before, which is at most one below.
            guard line.contains(where: { $0 <= limit }) else { return nil }
            (beforeLast, last) = (last, line)
        }
        return last[right.count] <= limit ? last[right.count] : nil
    }

    private static func ranked(
        _ word: String, among candidates: some Sequence<String>, count: Int, prefixesFit: Bool
    ) -> [String] {
        guard word.utf8.count <= maxWordBytes else { return [] }
        let target = fold(word)
        let lastPart = lastComponent(of: target)
        guard !target.isEmpty, !lastPart.isEmpty else { return [] }
        // Two or three letters bear one slip; a third of the letters changed makes another word.
        let limit = target.count < 4 ? min(1, target.count - 1) : max(2, target.count / 3)
        var seen = 0
        var found: [(rank: Int, name: String)] = []
        for name in candidates {
            seen += 1
            // Whichever came first would be suggested, and sets come in a different order every time.
            guard seen <= maxCandidates else { return [] }
            let folded = fold(name)
            if folded.count >= lastPart.count, lastComponent(of: folded) == lastPart {
                found.append((0, name))
            } else if let edits = distance(target, folded, limit: limit) {
                found.append((1 + edits, name))
            } else if prefixesFit, min(target.count, folded.count) >= 3,
                folded.starts(with: target) || target.starts(with: folded)
            {
                found.append((2 + limit, name))
            }
        }
        found.sort { ($0.rank, $0.name.utf8.count, $0.name) < ($1.rank, $1.name.utf8.count, $1.name) }
        return found.prefix(max(0, count)).map(\.name)
    }

    private static func fold(_ text: String) -> [UInt8] {
        text.lowercased().utf8.filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: " ") }
    }

    private static func lastComponent(of path: [UInt8]) -> ArraySlice<UInt8> {
        path.split(separator: UInt8(ascii: "/")).last ?? []
    }
}
