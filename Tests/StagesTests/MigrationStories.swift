// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// Migrations between two releases: what a run says before it starts, and where going back stops at a person.
@Suite struct MigrationStories {
    private static let path = "prisma/migrations/1/m.sql"

    private static func change(_ letter: Character, _ isReversible: Bool) -> MigrationChanges.Change {
        .init(commit: Sample.commit(letter).id, subject: "Change orders \(letter)", isReversible: isReversible)
    }

    private func deploy(
        overrides: RunRequest.Overrides = .init(), _ change: (inout Simulation.World) -> Void = { _ in }
    ) throws -> Simulation {
        let request = Sample.request(overrides: overrides) { $0.migrationPaths = ["prisma/migrations"] }
        var simulation = Simulation(
            request, on: SimulatedFly(Sample.fleet(3), behaviours: [Sample.newDigest: .init(health: .failsProbes)]))
        change(&simulation.world)
        try simulation.go()
        return simulation
    }

    private func warnings(_ simulation: Simulation) -> [String] {
        simulation.notes.compactMap { if case .warning(let text) = $0 { text } else { nil } }
    }

    static let automatic: [(name: String, found: MigrationChanges, outcome: RunOutcome)] = [
        ("nothing changed", MigrationChanges(paths: [], commits: []), .rolledBack),
        ("declared", MigrationChanges(paths: [path], commits: [change("d", true)]), .rolledBack),
        ("not declared", MigrationChanges(paths: [path], commits: [change("d", false)]), .needsHuman),
        (
            "one of two is silent",
            MigrationChanges(paths: [path], commits: [change("d", true), change("e", false)]), .needsHuman
        ),
        // Changed and changed back: what the database went through is not what the files say.
        ("changed back", MigrationChanges(paths: [], commits: [change("d", false)]), .needsHuman),
        ("changed by nobody", MigrationChanges(paths: [path], commits: []), .needsHuman),
        (
            "more than is looked at",
            MigrationChanges(paths: [path], commits: [change("d", true)], isTruncated: true), .needsHuman
        ),
    ]

    @Test(arguments: automatic.indices)
    func `an automatic rollback stops at a person unless every commit declares its migrations`(_ index: Int) throws {
        let (name, found, outcome) = Self.automatic[index]
        let simulation = try deploy { $0.migrations = found }
        let report = try #require(simulation.run.report)
        #expect(report.outcome == outcome, "\(name)")
        let said = warnings(simulation).filter { $0.contains("an automatic rollback will stop at a person") }
        #expect(said.count == (outcome == .needsHuman ? 1 : 0), "\(name): \(said)")
        guard outcome == .needsHuman else { return }
        #expect(report.warnings.contains { said.contains($0) }, "\(name)")
        let paths = found.paths.isEmpty ? ["prisma/migrations"] : found.paths
        #expect(report.divergence == paths.map { "migration: \($0)" }, "\(name)")
        #expect(report.nextSteps.contains { $0.hasSuffix("--skip migrations --approved-by WHO") }, "\(name)")
        for change in found.commits where !change.isReversible {
            #expect(said.contains { $0.contains(change.commit.short) && $0.contains(change.subject) }, "\(name)")
        }
    }

    @Test func `who says that the old code can run on them lets the run go back by itself`() throws {
        let overrides = RunRequest.Overrides(approvedBy: "Grace", skippedGates: ["migrations"])
        let stories: [(inout Simulation.World) -> Void] = [
            { $0.migrations = MigrationChanges(paths: [Self.path], commits: [Self.change("d", false)]) },
            { $0.scripted["migrations"] = [.failed(failure: Failure(.refused, "the clone is shallow"))] },
            { $0.records[0].commit = nil },
        ]
        for change in stories {
            let report = try #require(try deploy(overrides: overrides, change).run.report)
            #expect(report.outcome == .rolledBack, "\(report.headline)")
            #expect(report.overrides.map(\.gate) == ["migrations"])
            let said = report.overrides.first?.wouldHaveSaid ?? ""
            #expect(said.hasSuffix("an automatic rollback would stop at a person"), "\(said)")
        }
    }

    @Test func `it is said before anything changes`() throws {
        let simulation = try deploy {
            $0.migrations = MigrationChanges(paths: [Self.path], commits: [Self.change("d", false)])
        }
        var changed = false
        for (event, actions) in simulation.history {
            if case .answered(_, .migrations) = event.kind {
                #expect(!changed)
                return
            }
            changed =
                changed || actions.contains { if case .platform(let c) = $0.effect { c.isMutation } else { false } }
        }
        Issue.record("nobody looked for migrations")
    }

    @Test func `what can't be seen counts as changed`() throws {
        let unread = try deploy {
            $0.scripted["migrations"] = [.failed(failure: Failure(.refused, "the clone is shallow"))]
        }
        #expect(unread.run.report?.outcome == .needsHuman)
        #expect(warnings(unread).contains { $0.contains("the clone is shallow") && $0.contains("stop at a person") })
        let unknown = try deploy { $0.records[0].commit = nil }
        #expect(unknown.run.report?.outcome == .needsHuman)
        #expect(warnings(unknown).contains { $0.contains("which commit v71 is of is not known") })
        // Found before Airboss's first deploy.
        let adopted = try deploy { $0.records = [] }
        #expect(adopted.run.report?.outcome == .needsHuman)
        #expect(warnings(adopted).contains { $0.contains("is of is not known") })
    }

    // MARK: - By hand

    private func rollback(
        skipping skipped: [String] = [], _ change: (inout Simulation.World) -> Void = { _ in }
    ) throws -> Simulation {
        let overrides = RunRequest.Overrides(approvedBy: skipped.isEmpty ? "" : "Grace", skippedGates: skipped)
        let request = Sample.request(.rollback, overrides: overrides) { $0.migrationPaths = ["prisma/migrations"] }
        var simulation = Simulation(
            request, on: SimulatedFly((1...3).map { Sample.machine($0, digest: Sample.newDigest) }))
        simulation.world.records = [
            Sample.release(71), Sample.release(72, digest: Sample.newDigest, commit: "b"),
        ]
        change(&simulation.world)
        try simulation.go()
        return simulation
    }

    @Test(arguments: automatic.indices)
    func `a rollback by hand past undeclared migrations is refused until a person says that it can`(
        _ index: Int
    ) throws {
        let (name, found, outcome) = Self.automatic[index]
        let simulation = try rollback { $0.migrations = found }
        let report = try #require(simulation.run.report)
        #expect(
            simulation.effects.contains(
                .git(
                    query: .migrations(
                        from: Sample.commit("a").id, to: Sample.commit("b").id, paths: ["prisma/migrations"]))))
        guard outcome == .needsHuman else {
            #expect(report.outcome == .verified, "\(name): \(report.headline)")
            return
        }
        #expect(report.exitCode == 12, "\(name)")
        #expect(report.headline.hasPrefix("migrations: going back leaves the database ahead of the code"), "\(name)")
        #expect(report.nextSteps.contains { $0.contains("--skip migrations --approved-by WHO") }, "\(name)")
        #expect(!simulation.effects.contains { $0.name == "acquireLease" }, "\(name)")
        let overridden = try rollback(skipping: ["migrations"]) { $0.migrations = found }
        #expect(overridden.run.report?.outcome == .verified, "\(name)")
        #expect(overridden.run.report?.overrides.map(\.gate) == ["migrations"], "\(name)")
    }

    @Test func `a rollback that can't tell what lies between is refused, and says what to do`() throws {
        let stories: [(String, String, (inout Simulation.World) -> Void)] = [
            (
                "unread", "the clone is shallow",
                { $0.scripted["migrations"] = [.failed(failure: Failure(.refused, "the clone is shallow"))] }
            ),
            ("target unknown", "which commit v71 is of is not known", { $0.records[0].commit = nil }),
            ("newer unknown", "which commit v72 is of is not known", { $0.records[1].commit = nil }),
            (
                "too many", "was not looked at",
                { world in
                    for number in 73...93 { world.records.append(Sample.release(number, state: .failed, commit: "b")) }
                }
            ),
        ]
        for (name, says, change) in stories {
            let simulation = try rollback(change)
            let report = try #require(simulation.run.report)
            #expect(report.exitCode == 12, "\(name): \(report.headline)")
            #expect(report.headline.contains(says), "\(name): \(report.headline)")
            #expect(report.nextSteps.contains { $0.contains("--skip migrations") }, "\(name)")
        }
    }

    @Test func `releases that failed are looked at as well: they may have changed the database`() throws {
        let simulation = try rollback {
            $0.records.append(Sample.release(73, state: .failed, commit: "e"))
        }
        let asked = simulation.effects.compactMap { effect -> String? in
            if case .git(.migrations(_, let to, _)) = effect { to.short } else { nil }
        }
        #expect(asked.sorted() == [Sample.commit("b").id.short, Sample.commit("e").id.short])
        #expect(simulation.run.report?.outcome == .verified)
    }
}
