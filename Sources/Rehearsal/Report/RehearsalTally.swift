// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What any number of rehearsed runs came to, in bounded space: counts, digests, and the worst runs only. Tallies of
/// parts can be merged in any order.
package struct RehearsalTally: Hashable, Codable, Sendable {
    /// Worst runs kept, each with an ending of its own.
    package static let maxWorst = 24
    /// Endings counted by their own words; what comes after is counted together.
    package static let maxEndings = 200
    /// Seeds remembered of one kind of violation.
    package static let maxViolationSeeds = 5

    package private(set) var runs = 0
    package private(set) var outcomes: [RunOutcome: Int] = [:]
    package private(set) var durations = DurationDigest()
    /// Of the runs in which there was trouble and an end of it.
    package private(set) var restores = DurationDigest()
    /// Runs whose trouble was not over at their end.
    package private(set) var unrestored = 0
    /// Of the runs in which fewer machines served than the floor for some time.
    package private(set) var belowFloor = DurationDigest()
    /// Of the runs in which no machine served for some time.
    package private(set) var downtimes = DurationDigest()
    /// Runs by the fewest machines that served in them.
    package private(set) var fewestServing: [Int: Int] = [:]
    /// The slowest start of a machine in each run.
    package private(set) var starts = DurationDigest()
    /// Runs that needed another process to take up their work.
    package private(set) var recoveredRuns = 0
    package private(set) var recoveries = 0
    package private(set) var apiCalls = 0
    package private(set) var faults: [FaultKind: FaultTally] = [:]
    package private(set) var endings: [Ending: EndingTally] = [:]
    package private(set) var violations: [String: ViolationTally] = [:]
    /// Runs in which an invariant did not hold.
    package private(set) var violatedRuns = 0
    private var kept: [Kept] = []

    /// The runs that one kind of fault hit.
    package struct FaultTally: Hashable, Codable, Sendable {
        package var runs = 0
        package var times = 0
        package var outcomes: [RunOutcome: Int] = [:]
        package var runsBelowFloor = 0
        package var runsDown = 0

        /// Runs hit that did not end verified.
        package var notVerified: Int { runs - outcomes[.verified, default: 0] }
    }

    /// How a run ended, without what differs from seed to seed.
    package struct Ending: Hashable, Codable, Sendable {
        package var outcome: RunOutcome
        /// The headline, with `…` for each word that holds a digit.
        package var words: String

        package init(outcome: RunOutcome, words: String) {
            self.outcome = outcome
            self.words = words
        }
    }

    package struct EndingTally: Hashable, Codable, Sendable {
        package var runs: Int
        /// The lowest seed that ended so.
        package var seed: UInt64
        /// That seed's headline.
        package var headline: String
    }

    package struct ViolationTally: Hashable, Codable, Sendable {
        package var runs: Int
        /// The lowest seeds, in order.
        package var seeds: [UInt64]
        /// What the first of them said.
        package var message: String
    }

    private struct Kept: Hashable, Codable, Sendable {
        var ending: Ending
        var run: RehearsedRun
    }

    package init() {}

    /// The worst runs, the worst first, no two of them with the same ending.
    package var worst: [RehearsedRun] { kept.map(\.run) }

    /// Runs that had any trouble, whether or not it ended.
    package var troubledRuns: Int { restores.count + unrestored }

    package func count(_ outcome: RunOutcome) -> Int { outcomes[outcome, default: 0] }

    /// The fewest machines that served in any run; nil where there was none.
    package var fewestServingEver: Int? { fewestServing.keys.min() }

    /// The endings, the most frequent first.
    package var endingsByCount: [(ending: Ending, tally: EndingTally)] {
        endings.map { ($0.key, $0.value) }.sorted {
            ($1.1.runs, $0.1.seed, $0.0.words) < ($0.1.runs, $1.1.seed, $1.0.words)
        }
    }

    package mutating func add(_ run: RehearsedRun) {
        runs += 1
        outcomes[run.outcome, default: 0] += 1
        durations.add(run.duration)
        if let time = run.timeToRestore { restores.add(time) }
        if run.isUnrestored { unrestored += 1 }
        if run.timeBelowFloor > .zero { belowFloor.add(run.timeBelowFloor) }
        if run.downtime > .zero { downtimes.add(run.downtime) }
        fewestServing[run.minServing, default: 0] += 1
        if run.longestStart > .zero { starts.add(run.longestStart) }
        if run.recoveries > 0 { recoveredRuns += 1 }
        recoveries += run.recoveries
        apiCalls += run.apiCalls
        addFaults(of: run)
        let ending = Ending(run)
        add(EndingTally(runs: 1, seed: run.seed, headline: run.headline), for: ending)
        if !run.violations.isEmpty { violatedRuns += 1 }
        for name in Set(run.violations.map(\.name)) {
            let message = run.violations.first { $0.name == name }?.message ?? ""
            add(ViolationTally(runs: 1, seeds: [run.seed], message: message), for: name)
        }
        keep(Kept(ending: ending, run: run))
    }

    package mutating func merge(_ other: RehearsalTally) {
        runs += other.runs
        outcomes.merge(other.outcomes, uniquingKeysWith: +)
        durations.merge(other.durations)
        restores.merge(other.restores)
        unrestored += other.unrestored
        belowFloor.merge(other.belowFloor)
        downtimes.merge(other.downtimes)
        fewestServing.merge(other.fewestServing, uniquingKeysWith: +)
        starts.merge(other.starts)
        recoveredRuns += other.recoveredRuns
        recoveries += other.recoveries
        apiCalls += other.apiCalls
        faults.merge(other.faults) { left, right in
            FaultTally(
                runs: left.runs + right.runs, times: left.times + right.times,
                outcomes: left.outcomes.merging(right.outcomes, uniquingKeysWith: +),
                runsBelowFloor: left.runsBelowFloor + right.runsBelowFloor, runsDown: left.runsDown + right.runsDown)
        }
        // In one order, so that which endings are counted together does not depend on a dictionary's.
        for (ending, tally) in other.endingsByCount { add(tally, for: ending) }
        for (name, tally) in other.violations { add(tally, for: name) }
        violatedRuns += other.violatedRuns
        for entry in other.kept { keep(entry) }
    }

    private mutating func addFaults(of run: RehearsedRun) {
        for kind in Set(run.faults.map(\.kind)) {
            var tally = faults[kind, default: FaultTally()]
            tally.runs += 1
            tally.times += run.faults.count { $0.kind == kind }
            tally.outcomes[run.outcome, default: 0] += 1
            if run.timeBelowFloor > .zero { tally.runsBelowFloor += 1 }
            if run.downtime > .zero { tally.runsDown += 1 }
            faults[kind] = tally
        }
    }

    private mutating func add(_ tally: EndingTally, for ending: Ending) {
        var ending = ending
        if endings[ending] == nil, endings.count >= RehearsalTally.maxEndings { ending.words = "" }
        guard let known = endings[ending] else {
            endings[ending] = tally
            return
        }
        let first = known.seed <= tally.seed ? known : tally
        endings[ending] = EndingTally(runs: known.runs + tally.runs, seed: first.seed, headline: first.headline)
    }

    private mutating func add(_ tally: ViolationTally, for name: String) {
        guard let known = violations[name] else {
            violations[name] = tally
            return
        }
        let isEarlier = (tally.seeds.first ?? .max) < (known.seeds.first ?? .max)
        violations[name] = ViolationTally(
            runs: known.runs + tally.runs,
            seeds: Array((known.seeds + tally.seeds).sorted().prefix(RehearsalTally.maxViolationSeeds)),
            message: isEarlier ? tally.message : known.message)
    }

    /// Keeps the worst run of each ending, and of these the worst: whatever the order, the same are kept.
    private mutating func keep(_ entry: Kept) {
        if let index = kept.firstIndex(where: { $0.ending == entry.ending }) {
            guard entry.run.isWorse(than: kept[index].run) else { return }
            kept.remove(at: index)
        } else if let last = kept.last, kept.count >= RehearsalTally.maxWorst {
            guard entry.run.isWorse(than: last.run) else { return }
            kept.removeLast()
        }
        kept.insert(entry, at: kept.firstIndex { entry.run.isWorse(than: $0.run) } ?? kept.endIndex)
    }
}

extension RehearsalTally.Ending {
    package init(_ run: RehearsedRun) {
        self.init(outcome: run.outcome, words: RehearsalTally.Ending.common(run.headline))
    }

    /// A sentence without what differs from seed to seed: every word with a digit in it becomes `…`.
    package static func common(_ sentence: String) -> String {
        let words = sentence.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        return words.map { word in
            word.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? "…" : String(Substring(word))
        }.joined(separator: " ")
    }
}

extension RehearsedRun {
    /// The order of the worst stories: broken invariants, then what a person must mend, then the longest time without
    /// service, below the floor, in trouble, and under way; among equals the lower seed comes first.
    package func isWorse(than other: RehearsedRun) -> Bool {
        func rank(_ run: RehearsedRun) -> [Int64] {
            [
                Int64(run.violations.count), run.outcome == .needsHuman || run.isUnrestored ? 1 : 0,
                run.downtime.wholeMilliseconds, run.timeBelowFloor.wholeMilliseconds,
                run.timeToRestore?.wholeMilliseconds ?? 0, run.outcome == .verified ? 0 : 1,
                run.duration.wholeMilliseconds,
            ]
        }
        for (mine, theirs) in zip(rank(self), rank(other)) where mine != theirs { return mine > theirs }
        return seed < other.seed
    }
}
