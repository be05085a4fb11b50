// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import Model
internal import Rehearsal

/// `airboss rehearse --proof`: Airboss itself, at every kill point and in every situation that the model check reaches.
struct Proof {
    /// Threads that play at once.
    var jobs: Int
    var seeds: Range<UInt64>
    /// Every so many-th pair of deaths.
    var pairStride: Int
    var faults: Set<FaultKind>
    /// The model check's searches, small ones first.
    var searches: [ModelCheck.Configuration]
    var look: RehearsalProgress.Look
    let stop = StopSignal()

    /// First deaths, each with all the second ones, that a thread takes at once.
    private static let deathsAtOnce: UInt64 = 4

    /// One list of deaths, and where it begins among all of them.
    private struct Share: Sendable {
        var points: KillPoints
        var first: Int
    }

    /// Plays everything, or as much as a signal leaves time for.
    func run() async -> ProofReport {
        var times = ProofReport.Times()
        let start = ContinuousClock.now
        let kills = await killEverywhere()
        times.kills = ContinuousClock.now - start
        let checked = stop.number == nil ? await check() : []
        times.checks = ContinuousClock.now - start - times.kills
        let tally = stop.number == nil ? await playSeeds() : RehearsalTally()
        times.seeds = ContinuousClock.now - start - times.kills - times.checks
        return ProofReport(
            kills: kills, pairStride: pairStride, checks: checked,
            seeds: .init(first: seeds.lowerBound, asked: seeds.count, wasInterrupted: stop.number != nil), tally: tally,
            wasInterrupted: stop.number != nil, times: times, jobs: jobs)
    }

    private func killEverywhere() async -> [ProofReport.Kills] {
        var shares: [Share] = []
        var total = 0
        for scenario in Scenario.all {
            let prepared = PreparedScenario(scenario)
            for kind in Recovery.Kind.allCases {
                let points = KillPoints(prepared, kind)
                shares.append(Share(points: points, first: total))
                total += points.singles.count
            }
        }
        let all = shares
        let none = all.map {
            ProofReport.Kills(
                scenario: $0.points.scenario.scenario.name, kind: $0.points.kind, singles: KillTally(),
                pairs: KillTally())
        }
        let progress = RehearsalProgress("kill points", total: total, look: look)
        let work = RehearsalJobs(0..<UInt64(total), jobs: jobs, until: stop, atOnce: Proof.deathsAtOnce)
        let step = pairStride
        let parts = await work.run({ none }) { number, rows in
            guard let index = all.lastIndex(where: { $0.first <= Int(number) }) else { return }
            let place = Int(number) - all[index].first
            let single = all[index].points.trySingles(place..<(place + 1))
            let pairs = all[index].points.tryPairs(place..<(place + 1), stride: step)
            rows[index].singles.merge(single)
            rows[index].pairs.merge(pairs)
            progress.count(violated: single.violated + pairs.violated > 0)
        }
        progress.finish()
        return parts.reduce(none) { sum, part in
            zip(sum, part).map { left, right in
                var row = left
                row.singles.merge(right.singles)
                row.pairs.merge(right.pairs)
                return row
            }
        }
    }

    /// The searches that came to an end; one can't be ended in its middle, so that nobody waits for it after a signal.
    private func check() async -> [ModelCheckResult] {
        let configurations = searches
        let progress = RehearsalProgress("model checks", total: configurations.count, look: look)
        let work = RehearsalJobs(0..<UInt64(configurations.count), jobs: jobs, until: stop, atOnce: 1)
        let (ended, continuation) = AsyncStream.makeStream(of: (index: Int, result: ModelCheckResult).self)
        stop.whenReceived { continuation.finish() }
        let searching = Task {
            _ = await work.run(
                { () },
                { number, _ in
                    let result = ModelCheck.run(configurations[Int(number)])
                    continuation.yield((Int(number), result))
                    progress.count(violated: result.violation != nil)
                })
            continuation.finish()
        }
        let results = await ended.reduce(into: []) { $0.append($1) }
        searching.cancel()
        stop.whenReceived(nil)
        progress.finish()
        return results.sorted { $0.index < $1.index }.map(\.result)
    }

    private func playSeeds() async -> RehearsalTally {
        let rehearsal = Rehearsal(faults: faults)
        let progress = RehearsalProgress("seeds", total: seeds.count, look: look)
        let work = RehearsalJobs(seeds, jobs: jobs, until: stop)
        let parts = await work.run({ RehearsalTally() }) { seed, tally in
            let run = rehearsal.runNamingFaults(seed)
            tally.add(run)
            progress.count(violated: !run.violations.isEmpty)
        }
        progress.finish()
        return parts.reduce(into: RehearsalTally()) { $0.merge($1) }
    }
}
