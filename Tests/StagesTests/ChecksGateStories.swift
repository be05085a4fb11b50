// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// CI checks in whole runs: waited for, refused, unanswered, overridden.
@Suite struct ChecksGateStories {
    private static let names = ["Tests", "Danger"]
    private static let commit = Sample.commit("c")

    private func simulation(
        _ kind: RunKind = .deploy, skipping skipped: [String] = [],
        _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> Simulation {
        let overrides = RunRequest.Overrides(approvedBy: skipped.isEmpty ? "" : "Ana Lima", skippedGates: skipped)
        let request = Sample.request(kind, overrides: overrides) { settings in
            settings.checks = ChecksPolicy(names: Self.names)
            change(&settings)
        }
        return Simulation(request, on: SimulatedFly(Sample.fleet(3)))
    }

    /// `Tests` is successful, `Danger` as it is said.
    private static func found(_ state: String, isComplete: Bool = true, on commit: Commit = commit) -> Answer {
        let checks = [
            CommitCheck(name: "Tests", id: 1, state: "success"),
            CommitCheck(name: "Danger", id: 2, state: state, isComplete: isComplete, url: "https://github.com/r/2"),
        ]
        return .checks(found: CommitChecks(checks, wanted: names, on: commit.id))
    }

    private static let running = found("in_progress", isComplete: false)
    private static let down = Answer.failed(
        failure: Failure(.unavailable, "GitHub could not be reached", hint: "See the status page."))

    private func expectUntouched(_ simulation: Simulation, at location: SourceLocation = #_sourceLocation) {
        #expect(simulation.fly.fleet == Sample.fleet(3), sourceLocation: location)
        #expect(!simulation.effects.contains { $0.name == "acquireLease" }, sourceLocation: location)
    }

    private func asks(_ simulation: Simulation) -> Int { simulation.effects.count { $0.name == "checks" } }

    @Test func `a commit whose checks have passed is deployed`() throws {
        var simulation = simulation()
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(simulation.run.preValidation.gates[.checks]?.verdict == .passed)
        #expect(simulation.run.preValidation.gates[.checks]?.detail == "all 2 passed")
        #expect(asks(simulation) == 1)
    }

    @Test func `what is under way is waited for, and told once`() throws {
        var simulation = simulation()
        simulation.world.scripted["checks"] = [Self.running, Self.running, Self.running]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(asks(simulation) == 4)
        let told = simulation.notes.filter {
            if case .message(let text) = $0 { text.contains("waiting until") } else { false }
        }
        #expect(told.count == 1, "\(told)")
        #expect("\(told)".contains("“Danger”"))
    }

    @Test func `what does not end is refused after the time, and asked for at a calm pace`() throws {
        var simulation = simulation()
        simulation.world.scripted["checks"] = [Answer](repeating: Self.running, count: 500)
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .refused)
        #expect(report.exitCode == 12)
        #expect(
            report.headline == "checks: under way: “Danger” is in_progress, also after 600 s", "\(report.headline)")
        #expect(report.nextSteps.contains { $0.contains("--skip checks --approved-by WHO") })
        #expect((25...40).contains(asks(simulation)), "\(asks(simulation))")
        let waited = simulation.now - Sample.start
        #expect(waited >= .seconds(600) && waited < .seconds(605), "\(waited)")
        expectUntouched(simulation)
    }

    @Test func `what failed is refused at once, with its page`() throws {
        var simulation = simulation()
        simulation.world.scripted["checks"] = [Self.found("failure")]
        try simulation.go()
        #expect(
            simulation.run.report?.headline == "checks: “Danger” ended with failure (https://github.com/r/2)")
        #expect(asks(simulation) == 1)
        expectUntouched(simulation)
    }

    @Test func `nobody waits for checks of a run that is refused anyway`() throws {
        var simulation = simulation { $0.requiresCleanWorktree = true }
        simulation.world.dirtyPaths = ["a.txt"]
        simulation.world.scripted["checks"] = [Answer](repeating: Self.running, count: 500)
        try simulation.go()
        let headline = try #require(simulation.run.report?.headline)
        #expect(headline.contains("clean-worktree") && headline.contains("checks: under way: “Danger”"), "\(headline)")
        #expect(simulation.now - Sample.start < .seconds(10))
        expectUntouched(simulation)
    }

    @Test(arguments: ["unavailable", "timedOut", "rateLimited", "forbidden", "unauthorized", "notFound", "refused"])
    func `a GitHub that can't be asked is no yes`(_ code: String) throws {
        var simulation = simulation()
        let failure = Failure(try #require(Failure.Code(rawValue: code)), "said GitHub", hint: "Do this.")
        simulation.world.scripted["checks"] = [.failed(failure: failure)]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .refused)
        #expect(
            report.headline
                == "checks: which CI checks \(Self.commit.id.short) has passed went unanswered: said GitHub")
        #expect(report.nextSteps == ["Do this. To go on all the same: --skip checks --approved-by WHO"])
        #expect(simulation.run.preValidation.gates[.checks]?.verdict == .unanswered)
        expectUntouched(simulation)
    }

    @Test func `a GitHub that is away for a moment is endured while checks are under way`() throws {
        var simulation = simulation()
        simulation.world.scripted["checks"] = [Self.running, Self.down, Self.down, Self.running]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(asks(simulation) == 5)
    }

    @Test func `a GitHub that stays away is no yes either`() throws {
        var simulation = simulation()
        simulation.world.scripted["checks"] = [Self.running] + [Answer](repeating: Self.down, count: 500)
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        #expect(simulation.run.report?.headline.contains("went unanswered: GitHub could not be reached") == true)
        #expect(simulation.now - Sample.start < .seconds(605))
    }

    @Test(arguments: ["failure", "running", "down", "missing"])
    func `an override goes on at once, and keeps what the gate said`(
        _ what: String
    ) throws {
        var simulation = simulation(skipping: ["checks"])
        let answer: Answer =
            switch what {
            case "failure": Self.found("failure")
            case "running": Self.running
            case "down": Self.down
            default: .checks(found: CommitChecks([], wanted: Self.names, on: Self.commit.id))
            }
        simulation.world.scripted["checks"] = [answer]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified)
        #expect(asks(simulation) == 1)
        let override = try #require(report.overrides.first)
        #expect(override.gate == "checks" && override.who == "Ana Lima")
        let wanted = [
            "failure": "“Danger” ended with failure", "running": "under way: “Danger” is in_progress",
            "down": "went unanswered", "missing": "the commit has no checks at all",
        ]
        #expect(override.wouldHaveSaid.contains(wanted[what] ?? "?"), "\(override.wouldHaveSaid)")
    }

    @Test func `a gate that passes needs no override`() throws {
        var simulation = simulation(skipping: ["checks"])
        try simulation.go()
        #expect(simulation.run.report?.overrides == [])
    }

    @Test func `a rollback asks nobody`() throws {
        var simulation = simulation(.rollback)
        simulation.world.records = [Sample.release(70), Sample.release(71)]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(!simulation.effects.contains { if case .github = $0 { true } else { false } })
    }

    @Test func `an interrupted wait ends at once`() throws {
        var simulation = simulation()
        simulation.world.scripted["checks"] = [Answer](repeating: Self.running, count: 500)
        simulation.interrupt(at: Sample.start + .seconds(60))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .interrupted)
        #expect(simulation.now - Sample.start < .seconds(62))
        expectUntouched(simulation)
    }

    @Test func `a run whose process died while it waited has changed nothing`() throws {
        var simulation = simulation()
        simulation.world.scripted["checks"] = [Answer](repeating: Self.running, count: 500)
        try simulation.go { $0.now >= Sample.start + .seconds(60) }
        try simulation.crash()
        try simulation.recoverWarm()
        try simulation.go()
        #expect(simulation.run.report?.headline.contains("nothing changed") == true)
        expectUntouched(simulation)
    }

    // MARK: - The pull request's head

    private static let head = Sample.commit("d")
    private static let pullRequest = PullRequest(number: 12, head: head.id, mergeCommit: commit.id, author: "ada")

    private func merged(headTree: String, _ headChecks: Answer) -> Simulation {
        var simulation = simulation()
        var head = Self.head
        head.tree = headTree
        simulation.world.scripted["checks"] = [
            .checks(
                found: CommitChecks(
                    [CommitCheck(name: "Tests", state: "success")], wanted: Self.names, on: Self.commit.id)),
            headChecks,
        ]
        simulation.world.scripted["commit"] = [.commit(commit: Self.commit), .commit(commit: head)]
        simulation.world.scripted["pullRequests"] = [.pullRequests(list: [Self.pullRequest])]
        return simulation
    }

    @Test func `a check of the head counts where both trees are the same`() throws {
        var simulation = merged(headTree: Self.commit.tree, Self.found("success", on: Self.head))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(
            simulation.run.preValidation.gates[.checks]?.detail
                == "all 2 passed; Danger on the head of pull request #12 (\(Self.head.id.short)), "
                + "whose tree is the same"
        )
        let calls = simulation.effects.filter { if case .github = $0 { true } else { false } }.map(\.name)
        #expect(calls == ["checks", "pullRequests", "checks"])
    }

    @Test func `a check of the head does not count where the trees differ`() throws {
        var simulation = merged(headTree: "another", Self.found("success", on: Self.head))
        try simulation.go()
        let headline = try #require(simulation.run.report?.headline)
        #expect(headline.contains("“Danger” is missing"), "\(headline)")
        #expect(headline.contains("checks of pull request #12 don't count: its head"), "\(headline)")
        #expect(asks(simulation) == 1)
        expectUntouched(simulation)
    }

    @Test func `a head that git does not have is no yes`() throws {
        var simulation = merged(headTree: "", Self.found("success", on: Self.head))
        simulation.world.scripted["commit"] = [
            .commit(commit: Self.commit), .failed(failure: Failure(.refused, "there is no such commit")),
        ]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.headline.contains("whether the head of pull request #12 has the same tree went unanswered"))
        #expect(report.nextSteps.contains { $0.contains("git fetch origin pull/12/head") })
        expectUntouched(simulation)
    }

    @Test func `a head's checks that are under way are waited for with the commit's own`() throws {
        var simulation = merged(
            headTree: Self.commit.tree, Self.found("in_progress", isComplete: false, on: Self.head))
        simulation.world.scripted["checks"]? += [
            .checks(
                found: CommitChecks(
                    [CommitCheck(name: "Tests", state: "success")], wanted: Self.names, on: Self.commit.id)),
            Self.found("success", on: Self.head),
        ]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
        #expect(asks(simulation) == 4)
        #expect(simulation.effects.count { $0.name == "pullRequests" } == 1)
    }

    @Test func `a pull request that is not merged brings nothing`() throws {
        var simulation = merged(headTree: Self.commit.tree, Self.found("success", on: Self.head))
        var open = Self.pullRequest
        open.mergeCommit = nil
        simulation.world.scripted["pullRequests"] = [.pullRequests(list: [open])]
        try simulation.go()
        #expect(simulation.run.report?.headline.hasPrefix("checks: “Danger” is missing") == true)
    }
}
