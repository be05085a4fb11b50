// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What somebody who mistyped a path may have meant.
enum NearestNames {
    /// Comparing costs the product of the lengths; past these limits nothing is suggested.
    static let maxCandidates = 20_000
    static let maxNameBytes = 120
    static let maxSuggestions = 3

    /// The nearest first: the same last component elsewhere, then the fewest edits.
    static func of(_ wanted: String, among candidates: [String]) -> [String] {
        guard candidates.count <= maxCandidates, wanted.utf8.count <= maxNameBytes else { return [] }
        let target = Array(wanted.lowercased().utf8)
        let lastPart = wanted.split(separator: "/").last.map(String.init) ?? wanted
        let limit = max(2, target.count / 3)
        let ranked = candidates.compactMap { name -> (rank: Int, name: String)? in
            if name.split(separator: "/").last.map(String.init) == lastPart { return (0, name) }
            guard name.utf8.count <= maxNameBytes, abs(name.utf8.count - target.count) <= limit else { return nil }
            let distance = edits(target, Array(name.lowercased().utf8))
            return distance <= limit ? (1 + distance, name) : nil
        }
        return ranked.sorted { ($0.rank, $0.name.utf8.count, $0.name) < ($1.rank, $1.name.utf8.count, $1.name) }
            .prefix(maxSuggestions).map(\.name)
    }

    /// Levenshtein's distance.
    private static func edits(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let substituted = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
            }
        }
        return row[right.count]
    }
}
