// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import PipelineFiles
import Rehearsal
import Rollouts
import Stages
import Testing

/// What is planned is what a run then does; and planning asks, and changes nothing.
@Suite struct PlanTests {
    /// Somebody who is asked, and says what the sample world is like.
    private struct World {
        var fleet = Sample.fleet(3)
        var history = Sample.history()
        var window = WindowAnswer(isOpen: true, rule: "open")
        var secrets: [String] = []
        var changes = ChangeSet(commits: [], paths: [], isTruncated: false, goesBack: false)
        var failing: [String: Failure] = [:]
        /// Everything that was asked.
        var asked: [Effect] = []

        mutating func answer(_ effect: Effect) -> Answer {
            asked.append(effect)
            if let failure = failing[effect.name] { return .failed(failure: failure) }
            return switch effect {
            case .platform(.app): .app(organization: "acme")
            case .platform(.machines): .machines(list: fleet)
            case .platform(.releases): .platformReleases(list: [])
            case .platform(.secretNames): .names(list: secrets)
            case .ledger(.history): .history(history: history)
            case .git(.commit): .commit(commit: Sample.commit("c"))
            case .git(.isOnBranch): .onBranch(isOn: true, reference: "refs/heads/main")
            case .git(.isClean): .dirtyPaths(paths: [])
            case .git(.changes): .changes(changes: changes)
            case .github(.checks(let commit, let names)): .checks(found: .allSuccessful(names, on: commit))
            case .git(.migrations): .migrations(found: MigrationChanges(paths: [], commits: []))
            case .github(.pullRequests): .pullRequests(list: [])
            case .github(.reviews): .reviews(list: [])
            case .github(.workflowRun(let id)):
                .workflowRun(
                    run: WorkflowRun(id: id, commit: nil, status: "in_progress", startedAt: nil, approvals: []))
            case .image(.provePullable): .image(image: Sample.image(Sample.oldDigest))
            case .image: .image(image: Sample.image(Sample.newDigest))
            case .probe: .probe(result: ProbeResult(status: 200, elapsed: .milliseconds(5)))
            case .window: .window(decision: window)
            case .approvals(.find): .approvals(list: [])
            case .approvals(.check): .approvalCheck(spentBy: [:], names: [:])
            case .approvals, .platform, .ledger, .notify, .elsewhere, .wake, .cancel: .done
            }
        }

        /// A run, taken to the brink of its first change.
        mutating func preview(_ request: RunRequest, knowing answers: [Effect: Answer] = [:]) throws -> RunPreview {
            var preview = RunPreview(request, knowing: answers)
            var questions = try preview.begin(at: Sample.start)
            while !questions.isEmpty {
                let question = questions.removeFirst()
                questions += try preview.answer(question.id, answer(question.effect), at: Sample.start)
            }
            #expect(preview.isOver)
            return preview
        }

        mutating func plan(_ request: RunRequest) throws -> DeploymentPlan {
            let asked = try preview(request)
            let onward =
                asked.machine.report?.outcome == .refused
                ? try preview(request.overridingAll, knowing: asked.answers) : nil
            return DeploymentPlan(asked: asked, onward: onward, at: Sample.start)
        }
    }

    private static func hash(_ plan: DeploymentPlan) -> PlanHash {
        // A stand-in for SHA-256 that is long enough.
        PlanHash(plan.hashedContents) { text in
            let half = JSONValue.string(text).fingerprint
            return half + JSONValue.string(half + text).fingerprint
        }
    }

    @Test(arguments: [RunKind.deploy, .rollback])
    func `planning asks nothing that could change anything`(kind: RunKind) throws {
        var world = World()
        world.history.verified = [Sample.release(70, digest: Sample.newDigest)]
        let plan = try world.plan(
            Sample.request(kind) {
                $0.build = .layers
                $0.hasWindow = true
                $0.requiredSecrets = ["A"]
                $0.approvals = ApprovalRule(needed: 1, authorMayApprove: false)
                $0.channels = NoticeOrder.Channel.allCases
            })
        #expect(plan.steps?.isEmpty == false)
        #expect(world.asked.count >= 4)
        for effect in world.asked {
            switch effect {
            case .platform(let call): #expect(!call.isMutation, "\(call)")
            case .image(.build), .ledger(.record), .ledger(.mark), .approvals(.spend), .notify, .wake, .cancel:
                Issue.record("it did \(effect.name)")
            case .git, .github, .image, .probe, .window, .ledger(.history), .approvals(.find), .approvals(.check),
                .elsewhere:
                break
            }
        }
    }

    @Test(arguments: 1...6, 1...3)
    func `the steps are those of a run, and keep the floor`(machines: Int, unavailable: Int) throws {
        for floor in 0..<machines {
            let request = Sample.request {
                $0.servingFloor = floor
                $0.maxUnavailable = .count(machines: unavailable)
            }
            var world = World()
            world.fleet = Sample.fleet(machines)
            world.history = Sample.history(machines: machines)
            let plan = try world.plan(request)
            let steps = try #require(plan.steps)
            #expect(plan.refusal == nil)
            #expect(steps.allSatisfy { $0.action == .update && $0.floor == floor && $0.during >= floor })
            #expect(steps.last?.after == machines)

            var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(machines), behaviours: [:]))
            simulation.world.records = [Sample.release(71, machines: machines)]
            try simulation.go()
            #expect(simulation.run.report?.outcome == .verified)
            let updated = simulation.calls.filter { $0.hasPrefix("update ") }.map { String($0.dropFirst(7)) }
            #expect(steps.map(\.machine).sorted() == updated.sorted())
            if unavailable == 1 { #expect(steps.map(\.machine) == updated) }
            let mutations = plan.calls.filter { $0.changesSomething && !$0.call.hasSuffix("/lease") }
                .reduce(0) { $0 + $1.count }
            #expect(mutations == machines + 2)  // and the platform's release, opened and closed
        }
    }

    @Test func `what refuses is told, and what would be done if it did not`() throws {
        var world = World()
        world.window = WindowAnswer(isOpen: false, rule: "outside", nextOpen: Sample.start + .seconds(60))
        let request = Sample.request {
            $0.hasWindow = true
            $0.requiredSecrets = ["DATABASE_URL"]
        }
        let plan = try world.plan(request)
        #expect(plan.exitCode == .refused)
        #expect(plan.gates.filter { $0.verdict == .refused }.map(\.gate) == [.secrets])
        #expect(plan.window.isOpen == false && plan.window.verdict == .refused)
        #expect(plan.refusal?.reason.contains("DATABASE_URL") == true)
        #expect(plan.refusal?.reason.contains("window: closed (outside)") == true)
        #expect(plan.steps?.count == 3)
        // What gates say is no part of what would be done.
        world.window = WindowAnswer(isOpen: true, rule: "open")
        world.secrets = ["DATABASE_URL"]
        let possible = try world.plan(request)
        #expect(possible.exitCode == .verified)
        #expect(Self.hash(plan) == Self.hash(possible))

        let overriding = Sample.request(
            overrides: .init(isEmergency: true, approvedBy: "Ana", skippedGates: ["secrets"])
        ) {
            $0.hasWindow = true
            $0.requiredSecrets = ["DATABASE_URL"]
        }
        world.window.isOpen = false
        world.secrets = []
        let overridden = try world.plan(overriding)
        #expect(overridden.exitCode == .verified)
        #expect(overridden.window.verdict == .overridden)
        #expect(overridden.gates.first { $0.gate == .secrets }?.verdict == .overridden)
    }

    @Test func `a platform that is away is unavailable, and nothing is foretold`() throws {
        var world = World()
        for name in ["app", "machines", "releases"] { world.failing[name] = Failure(.unavailable, "down") }
        let plan = try world.plan(Sample.request())
        #expect(plan.exitCode == .unavailable)
        #expect(plan.steps == nil)
    }

    @Test func `the hash tells what became different`() throws {
        var world = World()
        let first = Self.hash(try world.plan(Sample.request()))
        #expect(Self.hash(try world.plan(Sample.request())) == first)
        #expect(PlanHash(first.description) == first)
        #expect(PlanHash(first.description.uppercased()) == first)
        for broken in [
            "", "abc", first.description + "0", String(first.description.dropLast()),
            "\(first)".replacing("-", with: "_"),
        ] {
            #expect(PlanHash(broken) == nil, "\(broken)")
        }
        world.fleet[1].instance = "m2-2"
        #expect(Self.hash(try world.plan(Sample.request())).differences(from: first) == [.fleet])
        world.fleet = Sample.fleet(3)
        let other = Sample.request {
            $0.flyToml = Sample.parse("app = \"demo\"\nprimary_region = \"ord\"\n[env]\nA = \"1\"\n")
        }
        #expect(Self.hash(try world.plan(other)).differences(from: first).contains(.configs))
        world.fleet.append(Sample.machine(4))
        #expect(Self.hash(try world.plan(Sample.request())).differences(from: first).contains(.fleet))
        let wide = Sample.request { $0.maxUnavailable = .count(machines: 2) }
        world.fleet = Sample.fleet(3)
        #expect(Self.hash(try world.plan(wide)).differences(from: first) == [.steps])
    }

    @Test func `what differs in a config is told by its dotted key`() {
        let old = MachineConfig([
            "image": "a", "env": ["A": "1", "B": "2"], "services": [["internal_port": 80, "ports": [["port": 80]]]],
            "metadata": ["airboss_run": "one", "team": "x"],
        ])
        let new = MachineConfig([
            "image": "b", "env": ["A": "1", "C": "3"],
            "services": [["internal_port": 80, "ports": [["port": 80], ["port": 443]]]],
            "metadata": ["airboss_run": "two", "team": "y"], "files": [],
        ])
        let keys = ConfigDifference.between(old, new).map(\.key)
        #expect(keys == ["env.B", "env.C", "image", "metadata.team", "services.0.ports.1"])
        #expect(ConfigDifference.between(new, new).isEmpty)
        #expect(ConfigDifference.between(nil, new).map(\.key).contains("env.C"))
    }

    @Test func `a price is told where it is known, and never guessed`() {
        func config(_ kind: String, _ cpus: Int64, _ memory: Int64) -> MachineConfig {
            MachineConfig(["guest": ["cpu_kind": .string(kind), "cpus": .integer(cpus), "memory_mb": .integer(memory)]])
        }
        let small = (config: config("shared", 1, 256), region: "iad")
        let large = (config: config("shared", 2, 1536), region: "iad")
        #expect(MonthlyCost(before: [small], after: [small]).difference == 0)
        #expect(MonthlyCost(before: [small], after: [small, small]).difference == 1.94)
        #expect(MonthlyCost(before: [small], after: [large]).difference == 6.94)
        let elsewhere = (config: small.config, region: "ord")
        #expect(MonthlyCost(before: [elsewhere], after: [elsewhere]).difference == 0)
        let unknown = MonthlyCost(before: [elsewhere], after: [elsewhere, elsewhere])
        #expect(unknown.difference == nil && unknown.detail.contains("unknown"))
        #expect(MonthlyCost(before: [], after: [(config("performance", 1, 2048), "iad")]).difference == nil)
    }
}
