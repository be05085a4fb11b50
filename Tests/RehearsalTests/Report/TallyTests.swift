// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Rehearsal
import Testing

/// Numbers of tallies: they must not depend on the order of runs, nor grow with their number.
@Suite struct TallyTests {
    /// SplitMix64's successor function is enough for test values.
    struct Draws {
        var state: UInt64
        mutating func next(_ limit: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % limit
        }
    }

    static func runs(_ count: UInt64, seed: UInt64) -> [RehearsedRun] {
        var draws = Draws(state: seed)
        return (1...count).map { number in
            RehearsedRun.sample(number) { run in
                run.outcome = RunOutcome.allCases[Int(draws.next(6))]
                run.headline =
                    "It ended so, for reason \(["a", "b", "c", "d"][Int(draws.next(4))]) of m\(draws.next(99))"
                run.duration = .milliseconds(Int64(draws.next(900_000)))
                run.timeToRestore = draws.next(3) == 0 ? .milliseconds(Int64(draws.next(400_000))) : nil
                run.downtime = draws.next(5) == 0 ? .milliseconds(Int64(draws.next(60_000))) : .zero
                run.timeBelowFloor = run.downtime
                run.minServing = Int(draws.next(4))
                run.recoveries = Int(draws.next(3))
                if draws.next(4) == 0 { run.faults = [InjectedFault(.crash, at: .seconds(1), detail: "killed")] }
                if draws.next(200) == 0 { run.violations = [Violation("floor", "seed \(number)", at: .zero)] }
            }
        }
    }

    static func tally(_ runs: [RehearsedRun]) -> RehearsalTally {
        runs.reduce(into: RehearsalTally()) { $0.add($1) }
    }

    @Test(arguments: [UInt64(1), 2, 3]) func `parts merged in any order are the whole`(seed: UInt64) {
        let runs = TallyTests.runs(2000, seed: seed)
        let whole = TallyTests.tally(runs)
        let parts = stride(from: 0, to: runs.count, by: 130).map { start in
            TallyTests.tally(Array(runs[start..<min(start + 130, runs.count)]))
        }
        for order in [parts, parts.reversed(), Array(parts.dropFirst(5)) + parts.prefix(5)] {
            var merged = RehearsalTally()
            for part in order { merged.merge(part) }
            #expect(merged == whole)
        }
    }

    @Test func `the worst runs are kept, one of each ending`() {
        let runs = TallyTests.runs(3000, seed: 9)
        let tally = TallyTests.tally(runs)
        let worst = tally.worst
        #expect(worst.count <= RehearsalTally.maxWorst)
        #expect(worst == worst.sorted { $0.isWorse(than: $1) })
        #expect(Set(worst.map { RehearsalTally.Ending($0) }).count == worst.count)
        let expected = runs.sorted { $0.isWorse(than: $1) }.first
        #expect(worst.first == expected)
    }

    @Test func `counts add up`() {
        let runs = TallyTests.runs(1500, seed: 4)
        let tally = TallyTests.tally(runs)
        #expect(tally.runs == 1500)
        #expect(tally.outcomes.values.reduce(0, +) == 1500)
        #expect(tally.fewestServing.values.reduce(0, +) == 1500)
        #expect(tally.endings.values.map(\.runs).reduce(0, +) == 1500)
        #expect(tally.restores.count == runs.count { $0.timeToRestore != nil })
        #expect(tally.downtimes.count == runs.count { $0.downtime > .zero })
        #expect(tally.violatedRuns == runs.count { !$0.violations.isEmpty })
        #expect(tally.faults[.crash]?.runs == runs.count { !$0.faults.isEmpty })
        #expect(tally.violations["floor"]?.seeds == runs.filter { !$0.violations.isEmpty }.prefix(5).map(\.seed))
    }

    @Test func `endings beyond the limit are counted together`() {
        let runs = (1...UInt64(400)).map { number in
            RehearsedRun.sample(number) { run in
                let letters = String(number).map { "abcdefghij"[Int(String($0)) ?? 0] }
                run.headline = "because of " + letters
            }
        }
        let tally = TallyTests.tally(runs)
        #expect(tally.endings.count <= RehearsalTally.maxEndings + 1)
        #expect(tally.endings.values.map(\.runs).reduce(0, +) == 400)
        #expect(tally.worst.count == RehearsalTally.maxWorst)
    }

    @Test func `an ending leaves out what differs from seed to seed`() {
        #expect(
            RehearsalTally.Ending.common("machine 3d8d91 exited with code 137 after 12.3 s")
                == "machine … exited with code … after … s")
        #expect(RehearsalTally.Ending.common("") == "")
        #expect(RehearsalTally.Ending.common("héalth  is bad") == "héalth  is bad")
    }

    // MARK: - Digests

    @Test(arguments: [10, 300, 5_000, 4_000_000]) func `percentiles are those of the values`(limit: Int) {
        var draws = Draws(state: UInt64(limit))
        let values = (0..<1777).map { _ in Int64(draws.next(UInt64(limit))) }
        var digest = DurationDigest()
        for value in values { digest.add(.milliseconds(value)) }
        let sorted = values.sorted()
        for share in [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.999, 1.0] {
            let rank = max(1, Int((share * Double(sorted.count)).rounded(.up)))
            let exact = sorted[rank - 1]
            let found = digest.percentile(share)?.wholeMilliseconds ?? -1
            #expect(found >= exact && Double(found) <= Double(exact) * (1 + 1.0 / 128) + 1, "\(share) of \(limit)")
        }
        #expect(digest.longest == .milliseconds(sorted[sorted.count - 1]))
        #expect(digest.shortest == .milliseconds(sorted[0]))
        #expect(digest.mean == .milliseconds(values.reduce(0, +) / Int64(values.count)))
        #expect(digest.histogram(bins: 40).reduce(0, +) == values.count)
    }

    @Test func `a digest of nothing has nothing to say`() {
        let digest = DurationDigest()
        #expect(digest.median == nil)
        #expect(digest.longest == nil)
        #expect(digest.mean == nil)
        #expect(digest.histogram(bins: 4).isEmpty)
    }

    @Test func `a value of hours needs no more room than one of seconds`() {
        var digest = DurationDigest()
        digest.add(.seconds(86_400 * 30))
        digest.add(.seconds(-5))
        #expect(digest.count == 2)
        #expect(digest.shortest == .zero)
        #expect(digest.percentile(1) == .seconds(86_400 * 30))
    }
}

private extension String {
    subscript(index: Int) -> Character { self[self.index(startIndex, offsetBy: index)] }
}
