// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing
import Verification

/// What is refused before anything changes, and what a person can override.
@Suite struct GateStories {
    private func simulation(
        _ fleet: [FleetMachine] = Sample.fleet(3), overrides: RunRequest.Overrides = .init(),
        _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> Simulation { Simulation(Sample.request(.deploy, overrides: overrides, change), on: SimulatedFly(fleet)) }

    private static let closed = WindowAnswer(
        isOpen: false, rule: "Mon-Fri 09:00-17:00", nextOpen: Sample.start + .seconds(3600), closes: nil)
    private static let open = WindowAnswer(isOpen: true, rule: "Mon-Fri 09:00-17:00", nextOpen: nil, closes: nil)

    private func expectUntouched(_ simulation: Simulation, at location: SourceLocation = #_sourceLocation) {
        #expect(simulation.fly.fleet == Sample.fleet(3), sourceLocation: location)
        let mutations = simulation.effects.filter {
            // Taking the app, and giving it back, changes nothing.
            switch $0 {
            case .platform(.acquireLease), .platform(.releaseLease): false
            case .platform(let call): call.isMutation
            default: false
            }
        }
        #expect(mutations.isEmpty, "\(mutations.map(\.name))", sourceLocation: location)
    }

    @Test func `all refusals are told together`() throws {
        var simulation = simulation {
            $0.branch = "main"
            $0.requiresCleanWorktree = true
            $0.requiredSecrets = ["DATABASE_URL", "SUPABASE_URL"]
            $0.servingFloor = 3
        }
        simulation.world.isOnBranch = false
        simulation.world.dirtyPaths = ["a.txt", "b.txt"]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .refused)
        #expect(report.exitCode == 12)
        for wanted in [
            "branch: the commit is not on main", "clean-worktree: the work tree differs from the commit: a.txt, b.txt",
            "secrets: not set on the app: SUPABASE_URL", "serving-floor: group app has 3 machines",
        ] { #expect(report.headline.contains(wanted), "\(report.headline)") }
        #expect(report.nextSteps.contains { $0.contains("fly secrets set") })
        expectUntouched(simulation)
    }

    @Test func `a secret that fly.toml makes a file of must be set before anything is built`() throws {
        func toml(_ secret: String) -> String {
            """
            app = "demo"
            primary_region = "ord"
            [[files]]
            guest_path = "/etc/key.pem"
            secret_name = "\(secret)"
            """
        }
        var missing = simulation {
            $0.flyToml = Sample.parse(toml("TLS_KEY"))
            $0.requiredSecrets = ["DATABASE_URL"]
        }
        try missing.go()
        let report = try #require(missing.run.report)
        #expect(report.exitCode == 12)
        #expect(report.headline == "secrets: not set on the app: TLS_KEY (fly.toml makes /etc/key.pem of it)")
        #expect(report.nextSteps.contains { $0.contains("fly secrets set --stage -a demo TLS_KEY=…") })
        #expect(!missing.effects.contains { $0.name == "resolve" || $0.name == "build" })
        expectUntouched(missing)
        // Also where the pipeline itself asks for none.
        var alone = simulation { $0.flyToml = Sample.parse(toml("TLS_KEY")) }
        try alone.go()
        #expect(alone.run.report?.headline.contains("TLS_KEY") == true)
        var set = simulation { $0.flyToml = Sample.parse(toml("DATABASE_URL")) }
        try set.go()
        #expect(set.run.preValidation.gates[.secrets]?.verdict == .passed)
    }

    @Test func `a health URL whose host has no address is refused`() throws {
        var simulation = simulation()
        simulation.world.scripted["probe"] = [
            .probe(
                result: ProbeResult(
                    status: nil, elapsed: .zero, failure: "no address for shop.invalid", isUnresolvable: true))
        ]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        #expect(simulation.run.report?.headline.contains("health-url: the release could never be verified") == true)
        expectUntouched(simulation)
    }

    @Test func `the platform is down: unavailable, and nothing changed`() throws {
        var simulation = simulation()
        let down = Answer.failed(failure: Failure(.unavailable, "could not connect"))
        for name in ["app", "machines", "releases"] { simulation.world.scripted[name] = [down] }
        try simulation.go()
        #expect(simulation.run.report?.outcome == .unavailable)
        #expect(simulation.run.report?.exitCode == 69)
        #expect(simulation.run.report?.headline == "app: could not connect")
        expectUntouched(simulation)
    }

    @Test(arguments: [
        ("unauthorized", "token: "), ("forbidden", "token: "), ("notFound", "app: there is no app “demo”"),
    ]) func `what the platform says of the app`(_ code: String, _ wanted: String) throws {
        var simulation = simulation()
        let failure = Failure(try #require(Failure.Code(rawValue: code)), "said the platform")
        simulation.world.scripted["app"] = [.failed(failure: failure)]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        #expect(simulation.run.report?.headline.hasPrefix(wanted) == true)
        expectUntouched(simulation)
    }

    @Test(arguments: [
        "history", "commit", "branch", "clean", "machines", "releases", "secretNames", "probe", "provePullable",
    ]) func `a gate that can't be asked is never taken for a yes`(_ question: String) throws {
        var simulation = simulation {
            $0.branch = "main"
            $0.requiresCleanWorktree = true
            $0.requiredSecrets = ["DATABASE_URL"]
            $0.healthyElsewhere = [Sample.health]
        }
        simulation.world.scripted[question] = [.failed(failure: Failure(.unavailable, "no answer"))]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        expectUntouched(simulation)
    }

    @Test func `an empty list is a first deploy only where nothing says otherwise`() throws {
        var known = simulation([])
        try known.go()
        #expect(known.run.report?.outcome == .refused)
        #expect(known.run.report?.headline.contains("the platform lists no machines") == true)
        #expect(!known.calls.contains { $0.hasPrefix("create") })

        var first = simulation([])
        first.world.records = []
        try first.go()
        #expect(first.run.report?.outcome == .verified)
        #expect(first.fly.fleet.count == 2)

        // The platform has releases that the ledger does not know of.
        var lost = simulation([])
        lost.world.records = []
        lost.world.scripted["releases"] = [
            .platformReleases(list: [.init(id: "rel_9", number: ReleaseNumber(9), status: "complete", image: "")])
        ]
        try lost.go()
        #expect(lost.run.report?.outcome == .refused)
    }

    @Test func `a list that is suddenly empty stops the deploy`() throws {
        var simulation = simulation()
        try simulation.go { $0.run.state == .build }
        simulation.world.scripted["machines"] = [.machines(list: [])]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .unavailable)
        expectUntouched(simulation)
    }

    @Test func `a fleet nobody could see is no first deploy, even where its gate is skipped`() throws {
        var simulation = simulation(overrides: .init(approvedBy: "Grace", skippedGates: ["fleet", "way-back"]))
        simulation.world.scripted["machines"] = [
            .failed(failure: Failure(.unavailable, "no answer")), .machines(list: []),
        ]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .unavailable)
        #expect(!simulation.calls.contains { $0.hasPrefix("create ") })
    }

    @Test func `skipping the fleet does not skip the way back`() throws {
        var simulation = simulation(overrides: .init(approvedBy: "Grace", skippedGates: ["fleet"]))
        simulation.world.records = []
        simulation.world.scripted["machines"] = [.failed(failure: Failure(.unavailable, "no answer"))]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        #expect(simulation.run.report?.headline.hasPrefix("way-back: ") == true)
        expectUntouched(simulation)
    }

    @Test func `hosts that are away, groups that are gone`() throws {
        var away = Sample.fleet(3)
        away[1].hostStatus = "unreachable"
        var first = simulation(away)
        try first.go()
        #expect(first.run.report?.headline == "fleet: not reachable by the platform: m2")

        var gone = Sample.fleet(3)
        gone[2].config.metadata["fly_process_group"] = "worker"
        var second = simulation(gone)
        second.world.records = [Sample.release(71)]
        try second.go()
        #expect(second.run.report?.outcome == .verified)
        #expect(second.run.report?.warnings.contains { $0.contains("fly.toml no longer has worker") } == true)
        #expect(second.fly.destroyed == ["m3"])
        let calls = second.calls
        let verified = try #require(calls.firstIndex(of: "finishRelease-complete"))
        #expect(calls.firstIndex(of: "destroy m3").map { $0 > verified } == true)

        // A volume is somebody's data.
        gone[2].config.json["mounts"] = [["volume": "vol_1", "path": "/data"]]
        var third = simulation(gone)
        try third.go()
        #expect(
            third.run.report?.headline
                == "fleet: machines with volumes belong to process groups that fly.toml no longer has: m3 (worker)")
        #expect(third.fly.fleet == gone)
    }

    @Test func `a closed window refuses at the first look`() throws {
        var simulation = simulation { $0.hasWindow = true }
        simulation.world.windows = [Self.closed]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.exitCode == 12)
        #expect(report.headline.contains("the deployment window is closed (Mon-Fri 09:00-17:00)"))
        #expect(report.stages.first { $0.stage == .window }?.state == .refused)
        #expect(report.stages.first { $0.stage == .build }?.state == .skipped)
        #expect(report.opening == WindowOpening(rule: "Mon-Fri 09:00-17:00", opensAt: Sample.start + .seconds(3600)))
        expectUntouched(simulation)
    }

    @Test func `too late to finish names the numbers`() throws {
        let past = (1...3).map { FinishForecast.PastDeploy(fromWindow: .seconds($0 * 60), fromDeploy: .seconds(20)) }
        func answer(closesIn: Int) -> WindowAnswer {
            WindowAnswer(
                isOpen: true, rule: "Mon-Fri 09:00-17:00", closes: Sample.start + .seconds(closesIn),
                forecast: FinishForecast(past: past, soak: .seconds(900), assumed: .seconds(400), assumption: "-"))
        }
        var late = simulation { $0.hasWindow = true }
        late.world.windows = [answer(closesIn: 900)]
        try late.go()
        let report = try #require(late.run.report)
        #expect(report.exitCode == 12)
        for words in ["too late", "longest of the last 3 deploys took 3 m", "15 m of soak", "Mon-Fri 09:00-17:00"] {
            #expect(report.headline.contains(words), "\(report.headline)")
        }
        expectUntouched(late)
        // The part that is left after the build is shorter, so the same close is no longer too near.
        var good = simulation { $0.hasWindow = true }
        good.world.windows = [answer(closesIn: 3600), answer(closesIn: 1100)]
        try good.go()
        #expect(good.run.report?.outcome == .verified, "\(good.run.report?.headline ?? "")")
        var emergency = simulation(overrides: .init(isEmergency: true, approvedBy: "Grace")) { $0.hasWindow = true }
        emergency.world.windows = [answer(closesIn: 900)]
        try emergency.go()
        #expect(emergency.run.report?.overrides.first?.wouldHaveSaid.contains("too late to finish") == true)
    }

    @Test func `what a rollback says outside the window`() {
        #expect(WindowGate.exemption(Self.open) == nil)
        #expect(WindowGate.exemption(Self.closed)?.contains("a rollback is always allowed") == true)
    }

    @Test func `a window that closes during the build refuses right before the first change`() throws {
        var simulation = simulation { $0.hasWindow = true }
        simulation.world.windows = [Self.open, Self.closed]
        try simulation.go()
        #expect(simulation.run.report?.exitCode == 12)
        #expect(simulation.run.report?.stages.first { $0.stage == .deploy }?.state == .refused)
        expectUntouched(simulation)
    }

    @Test(arguments: [1, 2]) func `an emergency is recorded with what the window said`(_ look: Int) throws {
        var simulation = simulation(overrides: .init(isEmergency: true, approvedBy: "Grace")) { $0.hasWindow = true }
        simulation.world.windows = look == 1 ? [Self.closed] : [Self.open, Self.closed]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified)
        #expect(
            report.overrides == [
                Override(gate: "window", who: "Grace", reason: "because", wouldHaveSaid: "closed: Mon-Fri 09:00-17:00")
            ])
        if look == 1 { #expect(report.stages.first { $0.stage == .window }?.state == .overridden) }
    }

    @Test func `a skipped gate is recorded with what it would have said`() throws {
        var simulation = simulation(overrides: .init(approvedBy: "Grace", skippedGates: ["clean-worktree"])) {
            $0.requiresCleanWorktree = true
        }
        simulation.world.dirtyPaths = ["a.txt"]
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .verified)
        #expect(report.overrides.map(\.gate) == ["clean-worktree"])
        #expect(report.overrides.first?.wouldHaveSaid == "the work tree differs from the commit: a.txt")
    }

    @Test(arguments: ["token", "app", "commit"]) func `what a run can't do without can't be skipped`(_ gate: String)
        throws
    {
        var simulation = simulation(overrides: .init(approvedBy: "Grace", skippedGates: [gate]))
        let refusal = Answer.failed(failure: Failure(gate == "app" ? .notFound : .unauthorized, "no"))
        simulation.world.scripted[gate == "commit" ? "commit" : "app"] = [refusal]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        expectUntouched(simulation)
    }

    @Test func `notices that fail never change the outcome`() throws {
        for failure in [Failure(.unavailable, "down"), Failure(.refused, "no such address")] {
            var simulation = simulation { $0.channels = [.summary, .email, .slack] }
            simulation.world.noticeFailure = failure
            try simulation.go()
            let report = try #require(simulation.run.report)
            #expect(report.outcome == .verified)
            #expect(report.exitCode == 0)
            #expect(report.warnings.filter { $0.hasPrefix("notice by") }.count == 3)
            let tries = simulation.effects.filter { $0.name == "notify-email" }.count
            #expect(tries == (failure.code == .unavailable ? Notify.maxAttempts : 1))
        }
    }

    @Test func `an app whose health endpoint does not exist is judged by its front page`() throws {
        var simulation = simulation {
            $0.verify = VerifyPlan(
                health: Sample.health,
                fallback: .init(name: "/", url: "https://demo.fly.dev/", timeout: .seconds(5), criteria: .init()),
                attempts: 3, interval: .seconds(1), consecutive: 3)
        }
        simulation.world.probes = [ProbeResult(status: 404, elapsed: .zero)]
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
    }
}
