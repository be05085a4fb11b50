// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@Suite struct NearestTests {
    @Test(
        arguments: [
            ("strategi", ["strategy", "serving_floor"], "strategy"),
            ("maxUnavailable", ["max_unavailable", "serving_floor"], "max_unavailable"),
            ("deployment", ["deploy", "verify"], "deploy"),
            ("env", ["environment", "exec"], "environment"),
            ("Mno", ["Tue", "Mon"], "Mon"),
            ("Foo", ["Mon", "Fri"], nil),
            ("x", ["y", "xy"], nil),
            ("smoke", ["soak", "source"], nil),
            ("", ["a", "app"], nil),
            ("_-", ["a", "app"], nil),
            ("/", ["a", "a/b"], nil),
            ("app", [], nil),
        ] as [(String, [String], String?)])
    func `the one that is meant`(_ word: String, _ candidates: [String], _ expected: String?) {
        #expect(Nearest.name(to: word, among: candidates) == expected)
        #expect(Nearest.name(to: word, among: Set(candidates)) == expected)
    }

    @Test(
        arguments: [
            ("dits", ["dist", "dist/lib", "src"], ["dist"]),
            (
                "lib", ["src/lib", "dist/lib", "lab", "a/b/lib"],
                ["a/b/lib", "src/lib", "dist/lib"].sorted(by: shorter)
            ),
            ("Los Angeles", ["America/Los_Angeles", "Europe/London"], ["America/Los_Angeles"]),
            ("Europe", ["Europe/London", "Europe/Paris"], []),
            ("config.json/", ["config.json", "config"], ["config.json"]),
            ("maim", ["mail", "maim2", "main", "mainly"], ["mail", "main", "maim2"]),
        ] as [(String, [String], [String])])
    func `several, nearest first`(_ word: String, _ candidates: [String], _ expected: [String]) {
        #expect(Nearest.names(to: word, among: candidates) == expected)
        #expect(Nearest.names(to: word, among: candidates.reversed(), count: 1) == Array(expected.prefix(1)))
    }

    private static func shorter(_ left: String, _ right: String) -> Bool {
        (left.utf8.count, left) < (right.utf8.count, right)
    }

    @Test func `the work is bounded`() {
        let long = String(repeating: "x", count: Nearest.maxWordBytes + 1)
        #expect(Nearest.names(to: long, among: [long]).isEmpty)
        #expect(Nearest.names(to: "x", among: [long]).isEmpty)
        let most = Array(repeating: "main", count: Nearest.maxCandidates)
        #expect(Nearest.names(to: "maim", among: most, count: 1) == ["main"])
        #expect(Nearest.names(to: "maim", among: most + ["main"], count: 1).isEmpty)
        // An endless sequence ends too.
        #expect(Nearest.names(to: "maim", among: sequence(first: "main") { $0 }).isEmpty)
    }

    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3), ("ca", "abc", 3), ("abcd", "badc", 2),
    ])
    func `known distances`(_ left: String, _ right: String, _ expected: Int) {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        #expect(Nearest.distance(left, right, limit: 10) == expected)
        #expect(Nearest.distance(right, left, limit: 10) == expected)
        #expect(Nearest.distance(left, right, limit: expected) == expected)
        if expected > 0 { #expect(Nearest.distance(left, right, limit: expected - 1) == nil) }
    }

    /// The definition by recursion, against which the table and its early end are held.
    private static func defined(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Int {
        guard let a = left.last, let b = right.last else { return left.count + right.count }
        let (lefts, rights) = (left.dropLast(), right.dropLast())
        var best = min(defined(lefts, rights) + (a == b ? 0 : 1), defined(lefts, right) + 1, defined(left, rights) + 1)
        if a == rights.last, b == lefts.last { best = min(best, defined(lefts.dropLast(), rights.dropLast()) + 1) }
        return best
    }

    @Test func `every pair of short texts has the distance the definition gives`() {
        var texts: [[UInt8]] = [[]]
        for length in 0..<4 {
            texts += texts.filter { $0.count == length }.flatMap { text in [1, 2, 3].map { text + [$0] } }
        }
        var wrong: [String] = []
        for left in texts {
            for right in texts {
                let expected = Self.defined(left[...], right[...])
                for limit in 0...4
                where Nearest.distance(left, right, limit: limit) != (expected <= limit ? expected : nil) {
                    wrong.append("\(left) \(right) within \(limit)")
                }
            }
        }
        #expect(wrong.isEmpty, "\(wrong.prefix(10))")
    }
}
