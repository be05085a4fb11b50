// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Rehearsal
import Testing

/// Reports of what the engine really plays.
@Suite struct PlayedReportTests {
    private func rehearsal(
        _ files: RehearsedFiles, faults: Set<FaultKind> = Set(FaultKind.allCases)
    ) -> Rehearsal {
        Rehearsal([files.subject.scenario], faults: faults)
    }

    private func tally(_ rehearsal: Rehearsal, seeds: ClosedRange<UInt64>) -> RehearsalTally {
        seeds.reduce(into: RehearsalTally()) { $0.add(rehearsal.runNamingFaults($1)) }
    }

    @Test func `without faults every deploy of plain files is verified`() throws {
        let tally = tally(rehearsal(try RehearsedFiles(), faults: []), seeds: 1...10)
        #expect(tally.outcomes == [.verified: 10])
        #expect(tally.violatedRuns == 0)
        #expect(tally.belowFloor.count == 0)
        #expect(tally.faults.isEmpty)
    }

    @Test func `a grace period beyond the wait fails every deploy, and the advice says why`() throws {
        let files = try RehearsedFiles.changed(inToml: "grace_period = \"20s\"", toToml: "grace_period = \"6m\"")
        let runs = (1...UInt64(5)).map { rehearsal(files, faults: []).runNamingFaults($0) }
        #expect(runs.allSatisfy { $0.outcome != .verified })
        #expect(files.advice(after: runs).first?.rule == .graceBeyondWait)
    }

    @Test func `a floor that never rolls is refused, and the advice says why`() throws {
        let files = try RehearsedFiles.changed("serving_floor: 1", to: "serving_floor: 3")
        let runs = (1...UInt64(5)).map { rehearsal(files, faults: []).runNamingFaults($0) }
        #expect(runs.allSatisfy { $0.outcome == .refused })
        let advice = files.advice(after: runs).first
        #expect(advice?.rule == .floorNeverRolls)
        #expect(advice?.evidence == "in 5 of 5 seeds (100 %) the deploy was refused")
    }

    @Test func `a seed is the same however often it is played`() throws {
        let rehearsal = rehearsal(try RehearsedFiles())
        for seed in UInt64(1)...12 {
            let run = rehearsal.runNamingFaults(seed)
            var replayed = rehearsal.replayNamingFaults(seed).run
            // Only a told story says what a fault hit.
            for index in replayed.faults.indices { replayed.faults[index].detail = "" }
            var bare = run
            for index in bare.faults.indices { bare.faults[index].detail = "" }
            #expect(replayed == bare, "seed \(seed)")
        }
    }

    @Test func `every kind of fault that is chosen is met, and no other`() throws {
        let files = try RehearsedFiles.changed("  soak: 5m\n", to: "")
        for kind in FaultKind.allCases {
            let tally = tally(rehearsal(files, faults: [kind]), seeds: 1...8)
            #expect(Set(tally.faults.keys).isSubset(of: [kind]), "\(kind)")
        }
        let standing: Set<FaultKind> = [.badRelease, .secondRun, .slowBoot, .registry]
        let tally = tally(rehearsal(files, faults: standing), seeds: 1...40)
        #expect(Set(tally.faults.keys) == standing)
    }

    @Test func `one seed in full has its whole trace and a command`() throws {
        let story = rehearsal(try RehearsedFiles()).replayNamingFaults(2)
        let replay = ReplayReport(
            name: "shop", command: "airboss rehearse shop --seed 2", story: story, shrunk: nil)
        let text = replay.text(usesColor: false)
        #expect(text.hasPrefix("Seed 2 of shop\n"))
        #expect(text.split(separator: "\n").count > story.trace.count)
        #expect(replay.json["trace"]?.array?.count == story.trace.count)
        #expect(replay.json["replay"] == "airboss rehearse shop --seed 2")
        #expect(replay.json["schema"] == 1)
        #expect(replay.json["shrunk"] == .null)
    }

    @Test func `the proof's tables count what was tried`() throws {
        let scenario = PreparedScenario(try #require(Scenario.named("rolling")))
        let kills = Recovery.Kind.allCases.map { kind -> ProofReport.Kills in
            let points = KillPoints(scenario, kind)
            return ProofReport.Kills(
                scenario: "rolling", kind: kind, singles: points.trySingles(0..<4),
                pairs: points.tryPairs(0..<1, stride: 40))
        }
        let proof = ProofReport(
            kills: kills, pairStride: 40,
            checks: [
                ModelCheckResult(name: "one change", states: 1234, transitions: 5678, depth: 9, isExhausted: true)
            ],
            seeds: .init(first: 1, asked: 2, wasInterrupted: false),
            tally: [RehearsedRun.sample(1), .sample(2)].reduce(into: RehearsalTally()) { $0.add($1) },
            wasInterrupted: false, times: .init(kills: .seconds(2), checks: .seconds(1), seeds: .seconds(1)), jobs: 1)
        let text = proof.markdown
        #expect(text.contains("| rolling | 4 | 4 | "))
        #expect(text.contains("| one change | 1,234 | 5,678 | – | yes | 0 |"))
        #expect(text.contains("| 2 | 0 | 60 | 2 | **0** |"))
        #expect(text.contains("Every 40th ordered pair"))
        #expect(proof.json["kills"]?.array?.count == 2)
        #expect(proof.json["seeds"]?["run"] == 2)
    }

    @Test func `a violation is told with what shows it again`() {
        let broken = RehearsedRun.sample(77) { $0.violations = [Violation("live-lease", "no lease", at: .zero)] }
        let proof = ProofReport(
            kills: [], pairStride: 1, checks: [], seeds: .init(first: 77, asked: 1, wasInterrupted: false),
            tally: [broken].reduce(into: RehearsalTally()) { $0.add($1) }, wasInterrupted: false, times: .init(),
            jobs: 2)
        #expect(!proof.holds)
        #expect(proof.violations == 1)
        #expect(proof.markdown.contains("airboss rehearse --proof --seed 77"))
    }

    @Test func `digests are cut to what a person compares`() {
        let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)
        #expect(
            Words.brief("no manifest registry.fly.io/shop@\(digest): 404")
                == "no manifest registry.fly.io/shop@sha256:0123456789ab…: 404")
        #expect(Words.brief("sha256:short") == "sha256:short")
    }
}
