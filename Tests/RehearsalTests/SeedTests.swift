// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Rehearsal
import Testing

/// Rehearsals drawn at random. Every complaint names the seed that leads to it again: `AIRBOSS_SEED=n`.
@Suite struct SeedTests {
    /// `AIRBOSS_SEEDS` asks for more.
    static let count = ProcessInfo.processInfo.environment["AIRBOSS_SEEDS"].flatMap(UInt64.init) ?? 2_000

    private static var seeds: [UInt64] {
        if let text = ProcessInfo.processInfo.environment["AIRBOSS_SEED"], let seed = UInt64(text) { return [seed] }
        return Array(0..<count)
    }

    private struct Findings: Sendable {
        var complaints: [String] = []
        var outcomes: [RunOutcome: Int] = [:]
        var recoveries = 0
    }

    private static func rehearse(_ seeds: [UInt64], _ scenarios: [Scenario] = Scenario.all) -> Findings {
        let rehearsal = Rehearsal(scenarios)
        var findings = Findings()
        for seed in seeds {
            let run = rehearsal.run(seed)
            findings.outcomes[run.outcome, default: 0] += 1
            findings.recoveries += run.recoveries
            for violation in run.violations {
                findings.complaints.append("seed \(seed), \(run.scenario): \(violation.name): \(violation.message)")
            }
        }
        return findings
    }

    @Test func `runs keep every promise, whatever happens around them`() async {
        let seeds = Self.seeds
        var all = Findings()
        await withTaskGroup(of: Findings.self) { group in
            for half in 0..<2 {
                group.addTask { Self.rehearse(seeds.enumerated().filter { $0.offset % 2 == half }.map(\.element)) }
            }
            for await part in group {
                all.complaints += part.complaints
                all.outcomes.merge(part.outcomes, uniquingKeysWith: +)
                all.recoveries += part.recoveries
            }
        }
        print("seeds: \(seeds.count) rehearsed, \(all.recoveries) recoveries, \(all.complaints.count) violations")
        #expect(all.complaints.isEmpty, "\(all.complaints.sorted().prefix(20).joined(separator: "\n"))")
        guard seeds.count > 1 else { return }
        // A search that never gets anywhere interesting proves nothing.
        for outcome in RunOutcome.allCases {
            #expect(all.outcomes[outcome, default: 0] >= 10, "\(all.outcomes)")
        }
    }

    /// Seeds in which a promise was once broken, all drawn before there were runs that wait in line.
    private static let once: [UInt64] = [
        170_717, 466_074, 523_857, 526_229, 531_596, 599_527, 623_733, 649_521, 666_920, 668_189, 671_574, 722_021,
        750_560, 901_921, 906_412, 993_858, 1_108_672, 1_227_815, 1_278_454, 1_294_773,
    ]

    /// The same, drawn since.
    private static let onceSince: [UInt64] = [5_951, 36_244, 64_416, 397_170, 492_492]

    @Test func `what was mended stays mended`() {
        for (seeds, scenarios) in [(Self.once, Scenario.alone), (Self.onceSince, Scenario.all)] {
            let findings = Self.rehearse(seeds, scenarios)
            #expect(findings.complaints.isEmpty, "\(findings.complaints.joined(separator: "\n"))")
        }
    }

    @Test func `only the kinds of fault that were asked for happen`() {
        for kind in FaultKind.allCases {
            let rehearsal = Rehearsal([.rolling], faults: [kind])
            for seed in UInt64(0)..<12 {
                let plan = rehearsal.plan(seed).plan
                let allowed: Bool =
                    switch kind {
                    case .secondRun: plan.disturbances.isEmpty && plan.newImage == nil
                    case .badRelease: plan.disturbances.isEmpty && plan.rival == nil
                    default: plan.newImage == nil && plan.rival == nil
                    }
                #expect(allowed, "\(kind), seed \(seed): \(plan)")
            }
        }
        let calm = Rehearsal([.rolling], faults: []).plan(7).plan
        #expect(calm.disturbances.isEmpty && calm.newImage == nil && calm.rival == nil)
    }
}
