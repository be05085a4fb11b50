// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Rehearsal
import Testing

/// Runs that die. All single deaths; of the pairs every so many-th, all of them with `AIRBOSS_PAIR_STRIDE=1`.
@Suite struct KillTests {
    static let pairStride =
        ProcessInfo.processInfo.environment["AIRBOSS_PAIR_STRIDE"].flatMap(Int.init) ?? 397

    private static func stories(_ tally: KillTally) -> String {
        tally.findings.prefix(5).map { finding in
            let violations = finding.violations.map { "\($0.name): \($0.message)" }.joined(separator: "; ")
            return "\(finding.scenario), \(finding.plan.disturbances): \(violations)"
        }.joined(separator: "\n")
    }

    @Test(arguments: Scenario.all.map(\.name), Recovery.Kind.allCases)
    func `killed at every point, nothing is lost`(name: String, kind: Recovery.Kind) throws {
        let points = KillPoints(PreparedScenario(try #require(Scenario.named(name))), kind)
        let tally = points.trySingles()
        print("kills: \(name), \(kind.rawValue): \(tally.tried) single points, \(tally.violated) violated")
        #expect(tally.tried > 60)
        #expect(tally.violated == 0, "\(tally.byCheck)\n\(KillTests.stories(tally))")
    }

    @Test(arguments: Scenario.all.map(\.name), Recovery.Kind.allCases)
    func `killed again during recovery, nothing is lost`(name: String, kind: Recovery.Kind) throws {
        let points = KillPoints(PreparedScenario(try #require(Scenario.named(name))), kind)
        // First deaths far apart from each other, each with a few second ones.
        var tally = KillTally()
        for first in stride(from: 1, to: points.singles.count, by: KillTests.pairStride > 1 ? 17 : 1) {
            tally.merge(points.tryPairs(first..<first + 1, stride: max(1, KillTests.pairStride / 17)))
        }
        print("kills: \(name), \(kind.rawValue): \(tally.tried) pairs, \(tally.violated) violated")
        #expect(tally.tried > 5)
        #expect(tally.violated == 0, "\(tally.byCheck)\n\(KillTests.stories(tally))")
    }

    @Test func `shares of the work add up to the whole`() {
        let points = KillPoints(PreparedScenario(.worker), .warm)
        var parts = points.trySingles(0..<20)
        parts.merge(points.trySingles(20..<points.singles.count))
        #expect(parts == points.trySingles())
    }
}
