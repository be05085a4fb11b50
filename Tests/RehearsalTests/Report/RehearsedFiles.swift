// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import PipelineFiles
import Rehearsal
import Rollouts
import Stages
import Verification

/// A user's two files, and rehearsals of them made by hand.
struct RehearsedFiles {
    var pipeline: Pipeline
    var flyToml: FlyToml
    var flyTomlText: String
    var machines: [ProcessGroup: Int]

    static let plainToml = """
        app = "shop"
        primary_region = "ord"
        [http_service]
        internal_port = 8080
        [[http_service.checks]]
        path = "/health"
        interval = "10s"
        grace_period = "20s"
        """

    static let plainPipeline = """
        version: 1
        app: shop
        fly_toml: fly.toml
        build: { image: "registry.fly.io/shop:next" }
        deploy: { max_unavailable: 1, serving_floor: 1, wait_timeout: 5m }
        verify:
          url: https://shop.fly.dev
          health: { path: /health }
          attempts: 10
          interval: 10s
          consecutive: 3
          soak: 5m
        rollback: { automatic: true, within: 5m, migrations: [db/migrate] }
        notify:
          slack: { webhook: "${SLACK}" }
        """

    init(
        pipeline text: String = plainPipeline, flyToml toml: String = plainToml,
        machines: [ProcessGroup: Int] = ["app": 3]
    ) throws {
        pipeline = try Pipeline(parsing: text, path: "pipelines/shop.yml", environment: [:])
        flyToml = try FlyToml(parsing: toml, path: "pipelines/fly.toml", app: "shop") { _ in
            .failure(FlyToml.FileProblem("there is none"))
        }
        flyTomlText = toml
        self.machines = machines
    }

    /// The plain files with one line of one of them replaced.
    static func changed(
        _ old: String = "", to new: String = "", inToml oldToml: String = "", toToml newToml: String = "",
        machines: [ProcessGroup: Int] = ["app": 3]
    ) throws -> RehearsedFiles {
        func replaced(_ text: String, _ old: String, _ new: String) -> String {
            guard !old.isEmpty else { return text }
            precondition(text.contains(old), "the sample has no “\(old)”")
            return text.replacing(old, with: new)
        }
        return try RehearsedFiles(
            pipeline: replaced(plainPipeline, old, new), flyToml: replaced(plainToml, oldToml, newToml),
            machines: machines)
    }

    var subject: RehearsalSubject {
        let (deploy, verify) = (pipeline.deploy, pipeline.verify)
        let health = verify.url.map {
            HealthProbe(
                name: verify.health.path, url: $0.source + verify.health.path, timeout: verify.health.timeout,
                criteria: HealthCriteria(within: verify.health.within))
        }
        let width: RollingRollout.MaxUnavailable =
            switch deploy.maxUnavailable {
            case .count(let machines): .count(machines: machines)
            case .fraction(let share): .fraction(share: share)
            }
        let settings = RunRequest.Settings(
            build: .image(reference: "registry.fly.io/shop:next"), flyToml: flyToml, maxUnavailable: width,
            servingFloor: deploy.servingFloor, waitTimeout: deploy.waitTimeout, machineCounts: machines,
            verify: VerifyPlan(
                health: health, attempts: verify.attempts, interval: verify.interval, consecutive: verify.consecutive,
                soak: verify.soak),
            rollsBackAutomatically: pipeline.rollback.automatic, rollbackWithin: pipeline.rollback.within,
            migrationPaths: pipeline.rollback.migrations)
        let request = RunRequest(
            run: "01REHEARSAL", kind: .deploy, pipeline: pipeline.name, app: pipeline.app, actor: "rehearsal",
            reason: "rehearsal", settings: settings)
        return RehearsalSubject(request: request, fleet: machines, faults: Set(FaultKind.allCases))
    }

    func advice(after runs: [RehearsedRun] = []) -> [Advice] {
        var tally = RehearsalTally()
        for run in runs { tally.add(run) }
        return Advisor.advise(
            AdviceContext(pipeline: pipeline, subject: subject, flyTomlText: flyTomlText, tally: tally))
    }

    func report(
        _ runs: [RehearsedRun], stories: [RehearsedStory] = [], wasInterrupted: Bool = false
    ) -> RehearsalReport {
        var tally = RehearsalTally()
        for run in runs { tally.add(run) }
        return RehearsalReport(
            pipeline: pipeline.name, reading: pipeline, subject: subject,
            seeds: .init(first: 1, asked: wasInterrupted ? runs.count * 2 : runs.count, wasInterrupted: wasInterrupted),
            tally: tally, stories: stories, advice: advice(after: runs), took: .milliseconds(1234))
    }
}

extension RehearsedRun {
    /// A run that went well, with what the test changes.
    static func sample(_ seed: UInt64, _ change: (inout RehearsedRun) -> Void = { _ in }) -> RehearsedRun {
        var run = RehearsedRun(
            seed: seed, scenario: "pipeline", outcome: .verified, exitCode: 0, headline: "Deployed and verified",
            duration: .seconds(60), minServing: 2, floor: 1, apiCalls: 30)
        change(&run)
        return run
    }

    static func stuck(_ seed: UInt64, down: Duration = .seconds(90)) -> RehearsedRun {
        sample(seed) { run in
            run.outcome = .needsHuman
            run.exitCode = 11
            run.headline = "The rollout failed: machine 3d8d\(seed) <exited> with code 1"
            run.minServing = 0
            run.timeBelowFloor = down
            run.downtime = down
            run.isUnrestored = true
            run.faults = [InjectedFault(.hostDown, at: .seconds(4), detail: "the host of machine 2 is away")]
        }
    }
}
