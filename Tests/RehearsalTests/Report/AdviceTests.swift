// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import PipelineFiles
import Rehearsal
import Testing

/// Every rule of advice, each with files that it speaks of and with files that it leaves alone.
@Suite struct AdviceTests {
    private func rules(_ files: RehearsedFiles, after runs: [RehearsedRun] = []) -> [AdviceRule] {
        files.advice(after: runs).map(\.rule)
    }

    private func advice(
        _ rule: AdviceRule, in files: RehearsedFiles, after runs: [RehearsedRun] = [],
        at location: Testing.SourceLocation = #_sourceLocation
    ) throws -> Advice {
        try #require(files.advice(after: runs).first { $0.rule == rule }, sourceLocation: location)
    }

    private func hit(
        by kind: FaultKind, _ seed: UInt64 = 1, ending outcome: RunOutcome,
        _ change: (inout RehearsedRun) -> Void = { _ in }
    ) -> RehearsedRun {
        RehearsedRun.sample(seed) { run in
            run.outcome = outcome
            run.faults = [InjectedFault(kind, at: .seconds(1), detail: "something")]
            change(&run)
        }
    }

    @Test func `files that fit need no advice`() throws {
        let files = try RehearsedFiles()
        #expect(rules(files) == [])
        #expect(rules(files, after: [RehearsedRun.sample(1)]) == [])
    }

    @Test func `a floor that never lets anything roll`() throws {
        let files = try RehearsedFiles.changed("serving_floor: 1", to: "serving_floor: 3")
        let found = try advice(.floorNeverRolls, in: files, after: [hit(by: .crash, ending: .refused)])
        #expect(found.weight == .blocks)
        #expect(found.location.description == "pipelines/shop.yml:5:46")
        #expect(found.message == "a serving floor of 3 never lets a machine of the group “app” be changed: it has 3")
        #expect(found.suggestion == "lower serving_floor to at most 2, or run at least 4 machines")
        #expect(found.evidence == "in 1 of 1 seed (100 %) the deploy was refused")
    }

    @Test func `a floor without a reserve, once it stalled a rollout`() throws {
        let files = try RehearsedFiles.changed("serving_floor: 1", to: "serving_floor: 2")
        let run = hit(by: .hostDown, ending: .rolledBack) {
            $0.headline = "Rolled back: the serving floor of 2 left no machine that could be taken away within 5m"
        }
        let found = try advice(.floorWithoutReserve, in: files, after: [run])
        #expect(found.suggestion == "lower serving_floor to 1, or run 4 machines")
        #expect(!rules(files).contains(.floorWithoutReserve))
        #expect(!rules(try RehearsedFiles(), after: [run]).contains(.floorWithoutReserve))
    }

    @Test func `a floor of zero over several machines`() throws {
        let files = try RehearsedFiles.changed("serving_floor: 1", to: "serving_floor: 0")
        #expect(rules(files) == [.floorOfZero])
    }

    @Test func `one machine`() throws {
        let files = try RehearsedFiles.changed("serving_floor: 1, ", to: "", machines: ["app": 1])
        let down = RehearsedRun.sample(1) { $0.downtime = .seconds(12) }
        let found = try advice(.singleMachine, in: files, after: [down, .sample(2)])
        #expect(found.evidence == "in 1 of 2 seeds (50 %) nothing served for a while: median 12 s, worst 12 s")
        #expect(found.location.description == "pipelines/shop.yml:5:9")
    }

    @Test func `more at once than the floor allows`() throws {
        let files = try RehearsedFiles.changed("max_unavailable: 1", to: "max_unavailable: 3")
        let found = try advice(.tooManyAtOnce, in: files)
        #expect(found.weight == .note)
        #expect(found.suggestion == "set max_unavailable to 2, or lower serving_floor to 0")
    }

    @Test func `volumes tie machines to a host`() throws {
        let files = try RehearsedFiles.changed(
            inToml: "[http_service]\n", toToml: "[mounts]\nsource = \"data\"\ndestination = \"/data\"\n[http_service]\n"
        )
        let run = hit(by: .hostDown, ending: .needsHuman)
        let found = try advice(.volumesCannotMove, in: files, after: [run])
        #expect(found.location.description == "pipelines/fly.toml:3:1")
        #expect(!rules(files).contains(.volumesCannotMove))
    }

    @Test func `a grace period beyond the wait`() throws {
        let files = try RehearsedFiles.changed(
            inToml: "grace_period = \"20s\"", toToml: "grace_period = \"6m\"  # slow")
        let found = try advice(.graceBeyondWait, in: files)
        #expect(found.weight == .blocks)
        #expect(found.location.description == "pipelines/fly.toml:8:1")
        #expect(found.message.contains("6m0s after its start"))
        #expect(found.suggestion.hasPrefix("raise deploy.wait_timeout to 6m30s"))
    }

    @Test func `starts slower than the wait`() throws {
        let files = try RehearsedFiles()
        let slow = hit(by: .slowBoot, ending: .rolledBack) { $0.longestStart = .seconds(400) }
        let found = try advice(.waitShorterThanStart, in: files, after: [slow])
        #expect(found.location.description == "pipelines/shop.yml:5:63")
        #expect(found.evidence == "1 of 1 seeds with slow starts did not end verified")
        #expect(!rules(files, after: [.sample(1) { $0.longestStart = .seconds(40) }]).contains(.waitShorterThanStart))
    }

    @Test func `verify that ends before a check begins`() throws {
        let files = try RehearsedFiles.changed(
            "attempts: 10", to: "attempts: 4", inToml: "grace_period = \"20s\"", toToml: "grace_period = \"90s\"")
        let found = try advice(.verifyShorterThanGrace, in: files)
        #expect(found.suggestion.hasPrefix("raise attempts to 10"))
        #expect(found.location.line == 9)
    }

    @Test func `verify without slack`() throws {
        let files = try RehearsedFiles.changed("attempts: 10", to: "attempts: 3")
        #expect(rules(files) == [.verifyWithoutSlack])
    }

    @Test func `a rollback that can't be as fast as promised`() throws {
        let files = try RehearsedFiles.changed("within: 5m", to: "within: 1m")
        let found = try advice(.rollbackSlowerThanPromised, in: files)
        // Three machines, one at a time: 20 s of grace and an interval of 10 s each, then 2 × 10 s of verify.
        #expect(found.message.contains("may take 1m50s: 3 machines, 1 at a time, 30s each, and 20s of verify"))
        let late = RehearsedRun.sample(1) { $0.timeToRestore = .seconds(1000) }
        #expect(try advice(.rollbackSlowerThanPromised, in: RehearsedFiles(), after: [late]).weight == .note)
    }

    @Test func `a first probe that meets only stopped machines`() throws {
        let files = try RehearsedFiles.changed(
            "health: { path: /health }", to: "health: { path: /health, within: 2s }",
            inToml: "internal_port = 8080", toToml: "internal_port = 8080\nauto_stop_machines = \"stop\"")
        let found = try advice(.coldFirstProbe, in: files)
        #expect(found.location.description == "pipelines/fly.toml:5:1")
        let kept = try RehearsedFiles.changed(
            "health: { path: /health }", to: "health: { path: /health, within: 2s }",
            inToml: "internal_port = 8080",
            toToml: "internal_port = 8080\nauto_stop_machines = \"stop\"\nmin_machines_running = 1")
        #expect(rules(kept) == [])
    }

    @Test func `no checks`() throws {
        let toml = "app = \"shop\"\n[http_service]\ninternal_port = 8080\n"
        let files = try RehearsedFiles(flyToml: toml)
        let found = try advice(.noChecks, in: files)
        #expect(found.location.description == "pipelines/fly.toml:2:1")
    }

    @Test func `no address to ask`() throws {
        let files = try RehearsedFiles.changed("  url: https://shop.fly.dev\n", to: "")
        #expect(rules(files) == [.noHealthEndpoint])
    }

    @Test func `no soak`() throws {
        let files = try RehearsedFiles.changed("  soak: 5m\n", to: "")
        let found = try advice(.noSoak, in: files, after: [hit(by: .badRelease, ending: .verified)])
        #expect(found.evidence == "1 of 1 seeds with a release that does not work ended verified")
    }

    @Test func `no automatic rollback`() throws {
        let files = try RehearsedFiles.changed("automatic: true", to: "automatic: false")
        let found = try advice(.noAutomaticRollback, in: files, after: [hit(by: .badRelease, ending: .needsHuman)])
        #expect(found.evidence.contains("was left for a person"))
    }

    @Test func `migrations that no rollback looks at`() throws {
        let layers = """
            build:
              layers:
                copy: [{ from: prisma, to: /app/prisma }]
                entrypoint: [/app/server]
            """
        let files = try RehearsedFiles(
            pipeline: RehearsedFiles.plainPipeline
                .replacing("build: { image: \"registry.fly.io/shop:next\" }", with: layers)
                .replacing(", migrations: [db/migrate]", with: ""))
        let found = try advice(.migrationsUnnamed, in: files)
        #expect(found.location.line == 6)
        let command = try RehearsedFiles.changed(
            ", migrations: [db/migrate]", to: "", inToml: "[http_service]\n",
            toToml: "[processes]\napp = \"bin/rails db:migrate\"\n[http_service]\nprocesses = [\"app\"]\n")
        #expect(try advice(.migrationsUnnamed, in: command).location.description == "pipelines/fly.toml:4:1")
    }

    @Test func `nobody is told`() throws {
        let files = try RehearsedFiles.changed("notify:\n  slack: { webhook: \"${SLACK}\" }", to: "")
        #expect(try advice(.nobodyIsTold, in: files).weight == .note)
        #expect(try advice(.nobodyIsTold, in: files, after: [.stuck(1)]).weight == .risk)
    }

    @Test func `a journal that dies with its runner`() throws {
        let files = try RehearsedFiles()
        let lost = hit(by: .lostJournal, ending: .needsHuman)
        #expect(rules(files, after: [lost]) == [.journalOnRunner])
        let shared = try RehearsedFiles(
            pipeline: RehearsedFiles.plainPipeline + "\nstate: { url: \"${AIRBOSS_STATE}\" }\n")
        #expect(rules(shared, after: [lost]) == [])
    }

    @Test func `what blocks stands first`() throws {
        let files = try RehearsedFiles.changed(
            "  soak: 5m\n", to: "", inToml: "grace_period = \"20s\"", toToml: "grace_period = \"10m\"")
        #expect(files.advice().first?.rule == .graceBeyondWait)
        #expect(files.advice().contains { $0.rule == .noSoak })
    }

    // MARK: - Places

    @Test func `keys are found where they stand, not in comments or strings`() {
        let text = """
            # grace_period = "1s"
            app = "grace_period = 2s"
            [http_service]
              internal_port = 80
              checks = [{ path = "/", grace_period = "3s" }, { grace_period="4s" }]
            [checks.deep]
            xgrace_period = "5s"
            grace_period = 6000
            """
        let places = FlyTomlPlaces(path: "fly.toml", text: text)
        func place(_ value: String) -> String { places.place(of: "grace_period") { $0 == value }.description }
        #expect(place("3s") == "fly.toml:5:27")
        #expect(place("4s") == "fly.toml:5:52")
        #expect(place("6000") == "fly.toml:8:1")
        #expect(place("5s") == "fly.toml:1:1")
        #expect(places.place(of: "http_service").description == "fly.toml:3:1")
        #expect(places.place(ofFirst: ["services", "checks.deep"]).description == "fly.toml:6:1")
        #expect(
            FlyTomlPlaces(path: "fly.toml", text: "").place(of: "app")
                == FlyTomlPlaces(path: "fly.toml", text: "").start)
        #expect(FlyTomlPlaces(path: "f", text: "a = 1\r\nb = 2\r\n").place(of: "b").line == 2)
    }
}
