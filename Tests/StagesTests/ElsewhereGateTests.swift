// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing
import Verification

/// Other places are well where they run what was verified, and answer; what can't be told is never a yes.
@Suite struct ElsewhereGateTests {
    private static let staging = HealthProbe(
        name: "staging", url: "https://staging.example/health", timeout: .seconds(5), criteria: HealthCriteria())

    private static func standing(
        known: Bool = true, release: Int? = 74, digest: ImageDigest = Sample.newDigest,
        machines: [ImageDigest?] = [Sample.newDigest, Sample.newDigest]
    ) -> ElsewhereStanding {
        ElsewhereStanding(
            isKnown: known, release: release.map { ReleaseNumber($0) }, digest: release == nil ? nil : digest,
            machines: machines.enumerated().map {
                ElsewhereStanding.Machine(id: MachineID("s\($0.offset + 1)"), state: "started", digest: $0.element)
            })
    }

    private static func judge(
        _ gate: GateName = .healthyElsewhere, wants digest: ImageDigest? = nil, status: Int? = 200,
        _ standing: Answer
    ) throws -> GateResult {
        var gate = ElsewhereGate(gate, [.init(probe: staging, app: "shop-staging", digest: digest)])
        var agenda = Agenda(now: Sample.start, nextAction: 1)
        gate.begin(&agenda)
        #expect(agenda.actions.map(\.effect.name) == ["probe", "elsewhere"])
        try gate.handle(ActionID(1), .probe(result: ProbeResult(status: status, elapsed: .milliseconds(5))))
        #expect(gate.result == nil)
        try gate.handle(ActionID(2), standing)
        return try #require(gate.result)
    }

    private static let table:
        [(what: String, status: Int?, standing: Answer, verdict: GateResult.Verdict, says: String)] = [
            ("all well", 200, .elsewhere(standing: standing()), .passed, "staging v74"),
            ("it answers 503", 503, .elsewhere(standing: standing()), .refused, "answered 503"),
            ("it does not answer", nil, .elsewhere(standing: standing()), .refused, "no answer"),
            (
                "another image runs", 200,
                .elsewhere(standing: standing(machines: [Sample.newDigest, Sample.oldDigest])),
                .refused, "s2 runs"
            ),
            (
                "an unknown image runs", 200, .elsewhere(standing: standing(machines: [nil])), .refused,
                "an unknown image"
            ),
            ("it has no machines", 200, .elsewhere(standing: standing(machines: [])), .refused, "no machines"),
            ("nothing is verified", 200, .elsewhere(standing: standing(release: nil)), .refused, "no verified release"),
            (
                "the store never heard of it", 200, .elsewhere(standing: standing(known: false, release: nil)),
                .unanswered,
                "knows no release of staging"
            ),
            (
                "the platform is away", 200, .failed(failure: Failure(.unavailable, "down")), .unanswered,
                "went unanswered: down"
            ),
        ]

    @Test(arguments: 0..<table.count)
    func `a pipeline is well where`(_ index: Int) throws {
        let entry = Self.table[index]
        let result = try Self.judge(status: entry.status, entry.standing)
        #expect(result.verdict == entry.verdict, "\(entry.what): \(result.detail)")
        #expect(result.detail.contains(entry.says), "\(entry.what): \(result.detail)")
        if result.verdict != .passed { #expect(result.hint.contains("--skip healthy"), "\(result.hint)") }
    }

    @Test func `a promotion wants exactly its digest`() throws {
        let good = try Self.judge(.promotion, wants: Sample.newDigest, .elsewhere(standing: Self.standing()))
        #expect(good.verdict == .passed)
        let moved = try Self.judge(.promotion, wants: Sample.oldDigest, .elsewhere(standing: Self.standing()))
        #expect(moved.verdict == .refused && moved.detail.contains("is now v74"), "\(moved.detail)")
        #expect(!moved.hint.contains("--skip"))
        #expect(!GateName.promotion.canBeSkipped)
    }

    private func promotion(_ change: (inout Simulation.World) -> Void = { _ in }) throws -> Simulation {
        var request = Sample.request(.promote) {
            $0.build = .promoted(reference: "registry.fly.io/shop-staging@\(Sample.newDigest)")
            $0.requiresCleanWorktree = true
        }
        request.promotion = .init(
            release: ReleaseNumber(74), digest: Sample.newDigest,
            source: .init(probe: Self.staging, app: "shop-staging", digest: Sample.newDigest))
        var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(3), behaviours: [:]))
        simulation.world.elsewhere["shop-staging"] = Self.standing()
        simulation.world.dirtyPaths = ["notes.txt"]
        change(&simulation.world)
        try simulation.go()
        return simulation
    }

    @Test func `what staging runs is copied and deployed, and the report says where it is from`() throws {
        let run = try promotion()
        let report = try #require(run.run.report)
        #expect(report.outcome == .verified && report.kind == .promote)
        #expect(report.headline.contains("promoted from staging v74"), "\(report.headline)")
        #expect(run.fly.fleet.allSatisfy { $0.imageDigest == Sample.newDigest })
        let effects = run.history.flatMap(\.actions).map(\.effect.name)
        #expect(effects.contains("copy") && !effects.contains("build"))
        #expect(!effects.contains("clean"), "nothing is built from the work tree")
    }

    @Test func `staging that runs something else by now refuses, and nothing is changed`() throws {
        let run = try promotion { world in
            world.elsewhere["shop-staging"] = Self.standing(machines: [Sample.oldDigest])
        }
        let report = try #require(run.run.report)
        #expect(report.outcome == .refused && report.exitCode == 12)
        #expect(report.headline.hasPrefix("promotion: staging does not run its verified release"))
        #expect(!run.calls.contains { $0.hasPrefix("acquireLease") || $0.hasPrefix("update") })
    }
}
