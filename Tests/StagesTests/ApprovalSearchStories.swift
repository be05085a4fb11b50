// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// Approvals in whole runs: by signature, by review, by an environment; waited for, refused, unanswered.
@Suite struct ApprovalSearchStories {
    private static let checks = ChecksPolicy(names: ["Tests"])

    private func run(
        _ rule: ApprovalRule, overrides: RunRequest.Overrides = .init(),
        settings: (inout RunRequest.Settings) -> Void, _ world: (inout Simulation.World) -> Void = { _ in }
    ) throws -> Simulation {
        let request = Sample.request(overrides: overrides) {
            $0.approvals = rule
            settings(&$0)
        }
        var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(3)))
        simulation.world.pullRequests = [Evidence.pullRequest]
        world(&simulation.world)
        try simulation.go()
        return simulation
    }

    private func run(
        _ rule: ApprovalRule, overrides: RunRequest.Overrides = .init(),
        _ world: (inout Simulation.World) -> Void = { _ in }
    ) throws -> Simulation {
        try run(rule, overrides: overrides, settings: { _ in }, world)
    }

    private static func rule(
        _ needed: Int = 1, _ kinds: [ApprovalKind] = [.ssh, .review, .environment], patience: Duration = .zero
    ) -> ApprovalRule {
        ApprovalRule(
            needed: needed, kinds: kinds, environments: ["production"], workflowRun: "77", patience: patience)
    }

    private func asked(_ simulation: Simulation, _ name: String) -> Int {
        simulation.effects.count { $0.name == name }
    }

    private func expectUntouched(_ simulation: Simulation, at location: SourceLocation = #_sourceLocation) {
        #expect(simulation.fly.fleet == Sample.fleet(3), sourceLocation: location)
        #expect(!simulation.effects.contains { $0.name == "acquireLease" }, sourceLocation: location)
        #expect(simulation.world.spent.isEmpty, sourceLocation: location)
    }

    // MARK: - Each kind

    @Test func `a signature that suffices asks GitHub nothing`() throws {
        let simulation = try run(Self.rule()) { $0.approvals = [Evidence.signature("grace@example.com")] }
        #expect(simulation.run.report?.outcome == .verified)
        #expect(simulation.run.report?.approvals?.map(\.kind) == [.ssh])
        for name in ["pullRequests", "reviews", "workflowRun"] { #expect(asked(simulation, name) == 0) }
    }

    @Test func `a review of what was merged counts, is used up, and stands in the report`() throws {
        let simulation = try run(Self.rule(1, [.review])) { $0.reviews = [Evidence.review("grace")] }
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified, "\(report.headline)")
        #expect(report.approvals?.map(\.approver) == ["grace"])
        #expect(report.approvals?.first?.source == "the review of pull request #12 by grace")
        #expect(simulation.world.spent.map(\.nonce) == ["github-review/1/demo"])
    }

    @Test func `an environment of this very run counts`() throws {
        let simulation = try run(Self.rule(1, [.environment])) {
            $0.workflowRun = Evidence.run([Evidence.letThrough("grace")])
        }
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified, "\(report.headline)")
        #expect(report.approvals?.map(\.kind) == [.environment])
        #expect(simulation.world.spent.map(\.nonce) == ["github-run/77/grace/1/demo"])
        #expect(asked(simulation, "reviews") == 0)
    }

    typealias ReviewStory = (name: String, reviews: [PullRequestReview], says: String)

    static let badReviews: [ReviewStory] = [
        ("another commit", [Evidence.review("grace") { $0.commit = Sample.commit("e").id }], "it is of eeeeeeeeee"),
        ("no commit", [Evidence.review("grace") { $0.commit = nil }], "does not say which commit"),
        ("asks for changes", [Evidence.review("grace") { $0.state = "CHANGES_REQUESTED" }], "it asks for changes"),
        ("dismissed", [Evidence.review("grace") { $0.state = "DISMISSED" }], "it was dismissed"),
        ("the opener's own", [Evidence.review("Ada-Dev")], "Ada-Dev opened the pull request"),
        ("a bot", [Evidence.review("helper") { $0.isBot = true }], "helper is no person"),
        ("a stranger", [Evidence.review("mallory") { $0.association = "NONE" }], "no member or collaborator"),
        ("an account that is gone", [Evidence.review("")], "nobody can be told"),
        (
            "too old", [Evidence.review("grace") { $0.submittedAt = Sample.start - .seconds(8 * 86_400) }],
            "it expired at"
        ),
        ("from the future", [Evidence.review("grace") { $0.submittedAt = Sample.start + .seconds(900) }], "future"),
        ("without a time", [Evidence.review("grace") { $0.submittedAt = nil }], "does not say when"),
    ]

    @Test(arguments: badReviews.indices) func `a review that does not count says why`(_ index: Int) throws {
        let (name, reviews, says) = Self.badReviews[index]
        let simulation = try run(Self.rule(1, [.review])) { $0.reviews = reviews }
        let report = try #require(simulation.run.report)
        #expect(report.exitCode == 12, "\(name)")
        #expect(report.headline.contains("0 of 1 approvals of cccccccccc"), "\(name): \(report.headline)")
        #expect(report.headline.contains(says), "\(name): \(report.headline)")
        #expect(report.nextSteps.contains { $0.contains("an approving review of pull request #12") }, "\(name)")
        #expect(report.nextSteps.contains { $0.contains("--skip approvals --approved-by WHO") }, "\(name)")
        expectUntouched(simulation)
        // Beside a good one it does no harm, and is no second one.
        let beside = try run(Self.rule(1, [.review])) { $0.reviews = reviews + [Evidence.review("linus", id: 9)] }
        #expect(beside.run.report?.outcome == .verified, "\(name)")
        let two = try run(Self.rule(2, [.review])) { $0.reviews = reviews + [Evidence.review("linus", id: 9)] }
        #expect(two.run.report?.exitCode == 12, "\(name)")
    }

    @Test func `a review that another run has used is used up`() throws {
        let simulation = try run(Self.rule(1, [.review])) {
            $0.reviews = [Evidence.review("grace")]
            $0.spentBy = ["github-review/1/demo": "01OTHER"]
        }
        #expect(simulation.run.report?.headline.contains("run 01OTHER has used it") == true)
        expectUntouched(simulation)
    }

    @Test func `only the pull request that ends in this very commit is asked`() throws {
        let others = [
            PullRequest(number: 1, head: Sample.commit("c").id, mergeCommit: nil),
            PullRequest(number: 2, head: Sample.commit("d").id, mergeCommit: Sample.commit("e").id),
        ]
        let none = try run(Self.rule(1, [.review])) {
            $0.pullRequests = others
            $0.reviews = [Evidence.review("grace")]
        }
        #expect(none.run.report?.exitCode == 12)
        #expect(asked(none, "reviews") == 0)
        let found = try run(Self.rule(1, [.review])) {
            $0.pullRequests = others + [Evidence.pullRequest]
            $0.reviews = [Evidence.review("grace")]
        }
        #expect(found.effects.contains(.github(call: .reviews(pullRequest: 12))))
        #expect(found.run.report?.outcome == .verified)
    }

    static let badRuns: [(name: String, run: WorkflowRun, says: String)] = [
        ("nobody yet", Evidence.run([]), "0 of 1"),
        ("another environment", Evidence.run([Evidence.letThrough("grace", "preview")]), "0 of 1"),
        (
            "another commit", Evidence.run([Evidence.letThrough("grace")]) { $0.commit = Sample.commit("e").id },
            "the run is for commit eeeeeeeeee"
        ),
        ("over", Evidence.run([Evidence.letThrough("grace")]) { $0.status = "completed" }, "the run is over"),
        ("another run", Evidence.run([Evidence.letThrough("grace")]) { $0.id = "78" }, "0 of 1"),
        (
            "rejected", Evidence.run([EnvironmentApproval(environments: ["production"], state: "rejected", user: "g")]),
            "0 of 1"
        ),
        (
            "rejected and let through",
            Evidence.run([
                EnvironmentApproval(environments: ["production"], state: "rejected", user: "Grace"),
                Evidence.letThrough("grace"),
            ]), "also rejected this run"
        ),
        ("the opener", Evidence.run([Evidence.letThrough("ada-dev")]), "ada-dev opened the pull request"),
        (
            "a bot",
            Evidence.run([
                EnvironmentApproval(environments: ["production"], state: "approved", user: "b", isBot: true)
            ]), "b is no person"
        ),
        (
            "long ago",
            Evidence.run([Evidence.letThrough("grace")]) { $0.startedAt = Sample.start - .seconds(8 * 86_400) },
            "it expired at"
        ),
        ("no time", Evidence.run([Evidence.letThrough("grace")]) { $0.startedAt = nil }, "does not say when"),
    ]

    @Test(arguments: badRuns.indices) func `an environment that does not count says why`(_ index: Int) throws {
        let (name, given, says) = Self.badRuns[index]
        let simulation = try run(Self.rule(1, [.environment])) { $0.workflowRun = given }
        let report = try #require(simulation.run.report)
        #expect(report.exitCode == 12, "\(name)")
        #expect(report.headline.contains(says), "\(name): \(report.headline)")
        expectUntouched(simulation)
    }

    @Test func `outside of a workflow run no environment is asked for`() throws {
        var rule = Self.rule(1, [.environment])
        rule.workflowRun = nil
        let simulation = try run(rule)
        #expect(simulation.run.report?.exitCode == 12)
        #expect(asked(simulation, "workflowRun") == 0)
    }

    // MARK: - Together

    @Test func `who signs and reviews is one person where allowed_signers says so, and perhaps where it does not`()
        throws
    {
        let people = ["grace@example.com", "grace"]
        func outcome(_ names: [String: [String]], _ reviews: [PullRequestReview]) throws -> RunReport? {
            try run(Self.rule(2)) {
                $0.approvals = [Evidence.signature("grace@example.com", names: people)]
                $0.reviews = reviews
                $0.names = names
            }.run.report
        }
        let same = try outcome(["grace": people], [Evidence.review("grace")])
        #expect(same?.headline.contains("is counted already") == true, "\(same?.headline ?? "")")
        let unknown = try outcome([:], [Evidence.review("linus")])
        #expect(unknown?.headline.contains("beside its owner's name in allowed_signers") == true)
        let other = try outcome(["linus": ["linus", "linus@example.com"]], [Evidence.review("linus")])
        #expect(other?.outcome == .verified, "\(other?.headline ?? "")")
        #expect(other?.approvals?.map(\.kind) == [.review, .ssh])
        // Two accounts are two people, whoever has signed besides.
        let two = try outcome([:], [Evidence.review("linus"), Evidence.review("ken", id: 2)])
        #expect(two?.outcome == .verified)
        #expect(two?.approvals?.map(\.approver) == ["ken", "linus"])
    }

    @Test func `the author is known by every name: address, account, and who opened the pull request`() throws {
        let stories: [(name: String, author: String, reviewer: String, names: [String: [String]], counts: Bool)] = [
            ("hidden address", "7+grace@users.noreply.github.com", "Grace", [:], false),
            ("plain hidden address", "grace@users.noreply.github.com", "grace", [:], false),
            ("tied by allowed_signers", "g@example.com", "grace", ["grace": ["grace", "g@example.com"]], false),
            ("somebody else", "g@example.com", "linus", ["grace": ["grace", "g@example.com"]], true),
        ]
        for (name, author, reviewer, names, counts) in stories {
            let report = try run(Self.rule(1, [.review])) {
                $0.commit.author.email = author
                $0.reviews = [Evidence.review(reviewer)]
                $0.names = names
            }.run.report
            #expect((report?.outcome == .verified) == counts, "\(name): \(report?.headline ?? "")")
        }
    }

    @Test func `one question is asked once: checks and approvals share the pull request`() throws {
        let simulation = try run(Self.rule(2, [.review, .environment]), settings: { $0.checks = Self.checks }) {
            let head = CommitChecks([], wanted: ["Tests"], on: Sample.commit("c").id)
            $0.scripted["checks"] = [.checks(found: head)]
            var same = Sample.commit("d")
            same.tree = Sample.commit("c").tree
            $0.scripted["commit"] = [.commit(commit: Sample.commit("c")), .commit(commit: same)]
            $0.reviews = [Evidence.review("grace")]
            $0.workflowRun = Evidence.run([Evidence.letThrough("linus")])
        }
        #expect(simulation.run.report?.outcome == .verified, "\(simulation.run.report?.headline ?? "")")
        #expect(asked(simulation, "pullRequests") == 1)
        #expect(asked(simulation, "reviews") == 1)
        #expect(asked(simulation, "workflowRun") == 1)
    }

    // MARK: - Unanswered

    @Test(arguments: ["pullRequests", "reviews", "workflowRun", "approvalCheck"])
    func `what GitHub or the store does not answer is never a yes`(_ question: String) throws {
        for code in Failure.Code.allCases where code != .cancelled {
            let failure = Failure(code, "no answer from there")
            let simulation = try run(Self.rule(1, [.review, .environment])) {
                $0.reviews = question == "workflowRun" ? [] : [Evidence.review("grace")]
                $0.workflowRun = Evidence.run(question == "reviews" ? [] : [Evidence.letThrough("ken")])
                $0.scripted[question] = [.failed(failure: failure)]
            }
            let report = try #require(simulation.run.report)
            #expect(report.exitCode == 12, "\(question) \(code): \(report.headline)")
            #expect(report.headline.contains("no answer from there"), "\(question) \(code)")
            #expect(report.nextSteps.contains { $0.contains("--skip approvals --approved-by WHO") })
            expectUntouched(simulation)
        }
    }

    @Test func `one kind that can't be asked takes nothing from another that suffices`() throws {
        let simulation = try run(Self.rule(1, [.review, .environment])) {
            $0.reviews = [Evidence.review("grace")]
            $0.scripted["workflowRun"] = [.failed(failure: Failure(.forbidden, "not allowed"))]
        }
        #expect(simulation.run.report?.outcome == .verified)
    }

    @Test func `a gate that is skipped is asked once, and what it would have said is told`() throws {
        let simulation = try run(
            Self.rule(1, patience: .seconds(3600)),
            overrides: .init(approvedBy: "Ana Lima", skippedGates: ["approvals"]))
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified)
        #expect(report.overrides.first?.wouldHaveSaid.contains("0 of 1 approvals") == true)
        #expect(asked(simulation, "approvals") == 1)
    }

    // MARK: - Waiting

    private func messages(_ simulation: Simulation) -> [String] {
        simulation.notes.compactMap { if case .message(let text) = $0 { text } else { nil } }
    }

    @Test func `missing approvals are waited for, and then everything is asked again`() throws {
        let grace = Evidence.signature("grace@example.com")
        let simulation = try run(
            Self.rule(1, [.ssh], patience: .seconds(3600)),
            settings: {
                $0.hasWindow = true
                $0.requiresCleanWorktree = true
            }
        ) {
            $0.scripted["approvals"] = [.approvals(list: []), .approvals(list: [])]
            $0.approvals = [grace]
        }
        #expect(simulation.run.report?.outcome == .verified, "\(simulation.run.report?.headline ?? "")")
        // Twice in vain, once with success, and once more with everything else.
        #expect(asked(simulation, "approvals") == 4)
        for name in ["app", "machines", "history", "clean"] {
            #expect(asked(simulation, name) >= 2, "\(name)")
        }
        #expect(asked(simulation, "window") == 3)
        let waiting = messages(simulation).filter { $0.hasPrefix("waiting until") }
        #expect(waiting.count == 1)
        #expect(waiting.first?.contains("0 of 1 approvals of cccccccccc") == true)
        #expect(waiting.first?.contains("airboss approve production --commit cccccccccc") == true)
        #expect(simulation.world.spent.count == 1)
    }

    @Test func `what is deployed after a wait is what was approved, wherever the branch points by then`() throws {
        let simulation = try run(Self.rule(1, [.ssh], patience: .seconds(3600))) {
            $0.scripted["approvals"] = [.approvals(list: [])]
            $0.approvals = [Evidence.signature("grace@example.com")]
        }
        let revisions = simulation.effects.compactMap { effect -> String? in
            if case .git(.commit(let revision)) = effect { revision } else { nil }
        }
        #expect(revisions == ["HEAD", Sample.commit("c").id.rawValue])
    }

    @Test func `a window that closed while people were waited for refuses`() throws {
        let closed = WindowAnswer(isOpen: false, rule: "Mon-Fri 09:00-17:00", nextOpen: nil, closes: nil)
        let simulation = try run(
            Self.rule(1, [.ssh], patience: .seconds(3600)), settings: { $0.hasWindow = true }
        ) {
            $0.windows = [WindowAnswer(isOpen: true, rule: "open"), closed]
            $0.scripted["approvals"] = [.approvals(list: [])]
            $0.approvals = [Evidence.signature("grace@example.com")]
        }
        #expect(simulation.run.report?.exitCode == 12)
        #expect(simulation.run.report?.headline.contains("the deployment window is closed") == true)
        #expect(simulation.fly.fleet == Sample.fleet(3))
    }

    @Test func `nobody is waited for while the window is closed, or another gate refuses`() throws {
        let closed = WindowAnswer(isOpen: false, rule: "Mon-Fri 09:00-17:00", nextOpen: nil, closes: nil)
        let rule = Self.rule(1, [.ssh], patience: .seconds(3600))
        let late = try run(rule, settings: { $0.hasWindow = true }) { $0.windows = [closed] }
        let dirty = try run(rule, settings: { $0.requiresCleanWorktree = true }) { $0.dirtyPaths = ["a.txt"] }
        for (simulation, says) in [(late, "window: "), (dirty, "clean-worktree: ")] {
            let report = try #require(simulation.run.report)
            #expect(report.exitCode == 12)
            #expect(report.headline.contains(says) && report.headline.contains("approvals: 0 of 1"))
            #expect(report.finishedAt - report.startedAt < .seconds(30), "\(says)")
            expectUntouched(simulation)
        }
        let emergency = try run(
            rule, overrides: .init(isEmergency: true, approvedBy: "Ana"), settings: { $0.hasWindow = true }
        ) {
            $0.windows = [closed]
            $0.scripted["approvals"] = [.approvals(list: [])]
            $0.approvals = [Evidence.signature("grace@example.com")]
        }
        #expect(emergency.run.report?.outcome == .verified)
    }

    @Test func `a wait ends at its time, and looks no more often than is fit`() throws {
        let simulation = try run(Self.rule(1, patience: .seconds(1800)))
        let report = try #require(simulation.run.report)
        #expect(report.exitCode == 12)
        #expect(report.headline.contains("also after 30 m"), "\(report.headline)")
        let took = report.finishedAt - report.startedAt
        #expect(took >= .seconds(1800) && took < .seconds(1815), "\(took)")
        #expect((30...40).contains(asked(simulation, "approvals")), "\(asked(simulation, "approvals"))")
        expectUntouched(simulation)
    }

    @Test func `an approval that ages while another is waited for counts no more`() throws {
        let early = Evidence.signature("grace@example.com") { $0.expiresAt = Sample.start + .seconds(60) }
        let late = Evidence.signature("linus@example.com") { $0.nonce = String(repeating: "6", count: 32) }
        let simulation = try run(Self.rule(2, [.ssh], patience: .seconds(600))) {
            $0.scripted["approvals"] = Array(repeating: .approvals(list: [early]), count: 5)
            $0.approvals = [early, late]
        }
        #expect(simulation.run.report?.exitCode == 12)
        #expect(simulation.run.report?.headline.contains("it expired at") == true)
        expectUntouched(simulation)
    }

    @Test func `GitHub that fails while people are waited for is asked again`() throws {
        let down = Answer.failed(failure: Failure(.unavailable, "GitHub could not be reached"))
        let simulation = try run(Self.rule(1, [.review], patience: .seconds(600))) {
            $0.scripted["pullRequests"] = [down, down]
            $0.reviews = [Evidence.review("grace")]
        }
        #expect(simulation.run.report?.outcome == .verified, "\(simulation.run.report?.headline ?? "")")
        #expect(messages(simulation).contains { $0.contains("unanswered: GitHub could not be reached") })
    }

    @Test func `a wait that is interrupted ends clean`() throws {
        let request = Sample.request { $0.approvals = Self.rule(1, [.ssh], patience: .seconds(3600)) }
        for seconds in [1, 17, 400] {
            var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(3)))
            simulation.interrupt(at: Sample.start + .seconds(seconds), signal: 15)
            try simulation.go()
            let report = try #require(simulation.run.report)
            #expect(report.exitCode == 143)
            #expect(report.headline == "interrupted; nothing changed")
            expectUntouched(simulation)
        }
    }

    @Test func `a run that waits is queued elsewhere, and what was opened is closed however it ends`() throws {
        func notices(_ simulation: Simulation) -> [String] {
            simulation.effects.map(\.name).filter { $0.hasSuffix("-deployment") }
        }
        let approvals = try run(
            Self.rule(1, [.ssh], patience: .seconds(600)), settings: { $0.channels = [.deployment] }
        ) {
            $0.scripted["approvals"] = [.approvals(list: [])]
            $0.approvals = [Evidence.signature("grace@example.com")]
        }
        #expect(notices(approvals) == ["queue-deployment", "open-deployment", "notify-deployment"])
        let refused = try run(
            Self.rule(1, [.ssh], patience: .seconds(60)), settings: { $0.channels = [.deployment] })
        #expect(notices(refused) == ["queue-deployment", "notify-deployment"])
        #expect(refused.run.report?.wasAnnounced == true)
        let atOnce = try run(Self.rule(1, [.ssh]), settings: { $0.channels = [.deployment] })
        #expect(notices(atOnce) == ["notify-deployment"])
        #expect(atOnce.run.report?.wasAnnounced == nil)

        // Interrupted, it is closed at once where that can be done within seconds, and kept for the next run.
        let request = Sample.request {
            $0.approvals = Self.rule(1, [.ssh], patience: .seconds(3600))
            $0.channels = [.deployment, .email]
        }
        var interrupted = Simulation(request, on: SimulatedFly(Sample.fleet(3)))
        interrupted.interrupt(at: Sample.start + .seconds(30))
        try interrupted.go()
        #expect(notices(interrupted) == ["queue-deployment", "notify-deployment"])
        #expect(interrupted.effects.contains { $0.name == "keep-email" })
        #expect(interrupted.run.report?.exitCode == 130)
    }
}
