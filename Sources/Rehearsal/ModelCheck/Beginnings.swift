// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import PipelineFiles
internal import Rollouts
internal import Stages

/// The situations that searches begin with.
enum Beginnings {
    /// From an update to healthy; short, for every second of it may be different.
    private static let waitTimeout = Duration.seconds(30)
    private static let region = "ord"

    /// A small config with one check, as the whole of what a machine needs.
    static func config(operation: String, image: Character) -> MachineConfig {
        var metadata: [String: JSONValue] = ["fly_platform_version": .string("v2")]
        if !operation.isEmpty { metadata[Bookkeeping.operation] = .string(operation) }
        return MachineConfig(
            .object([
                "image": .string("registry.fly.io/demo@sha256:" + String(repeating: image, count: 64)),
                "metadata": .object(metadata),
                "checks": .object(["health": .object([:])]),
            ]))
    }

    /// `m1` and its like, healthy.
    static func machine(_ number: Int) -> FleetMachine {
        let config = config(operation: "", image: "a")
        return FleetMachine(
            id: MachineID("m\(number)"), name: "name-\(number)", state: "started", region: region,
            instance: InstanceID("m\(number)/1"), config: config, imageDigest: nil,
            checks: [.init(name: "check-0", status: "passing", output: "", updatedAt: nil)])
    }

    static func changes(_ configuration: ModelCheck.Configuration) -> Situation<ChangeDecider> {
        let fleet = configuration.subject == .creation ? [] : [machine(1)]
        let turn = configuration.subject == .changeAhead ? Duration.seconds(40) : .zero
        let participants = (0..<configuration.actors).map { index in
            let operation = "\(name(index))/1"
            let target: MachineChange.Target =
                configuration.subject == .creation
                ? .new(name: "web-\(name(index))", region: region) : .existing(machine: "m1", version: "m1/1")
            return Participant(
                ChangeDecider(
                    MachineChange.Plan(
                        target: target, config: config(operation: operation, image: "b"),
                        operation: OperationID(operation), skipLaunch: false, waitTimeout: waitTimeout), turn: turn),
                flaw: configuration.flaw)
        }
        return situation(fleet, participants, configuration)
    }

    static func rollouts(_ configuration: ModelCheck.Configuration) -> Situation<RolloutDecider> {
        let fleet = (1...configuration.machines).map(machine)
        let participants = (0..<configuration.actors).map { index in
            let plan = FleetPlan.make(
                fleet: fleet, waitTimeout: waitTimeout, operation: { OperationID("\(name(index))/\($0)") },
                wanted: { _ in config(operation: "", image: index == 0 ? "b" : "c") })
            let rollout = RollingRollout(
                plan, view: fleet.map(Observation.init(of:)),
                limits: .init(
                    maxUnavailable: .count(machines: 1), servingFloor: configuration.floor ?? 0,
                    patience: waitTimeout))
            return Participant(
                RolloutDecider(rollout, targets: Set(fleet.map(\.id.rawValue))), flaw: configuration.flaw)
        }
        return situation(fleet, participants, configuration)
    }

    static func situation<D>(
        _ fleet: [FleetMachine], _ participants: [Participant<D>], _ configuration: ModelCheck.Configuration,
        releases: [PlatformReleaseEntry] = []
    ) -> Situation<D> {
        Situation(
            AbstractPlatform(fleet, floor: configuration.floor, releases: releases), participants,
            faults: configuration.maxFaults,
            rules: .init(
                faults: configuration.faults, startsApart: configuration.startsApart,
                hasLongSteps: configuration.hasLongSteps,
                isOrdered: configuration.isOrdered,
                splitsReads: configuration.splitsReads, resumes: configuration.resumes,
                isReduced: configuration.isReduced,
                guardMachine: releases.isEmpty ? nil : fleet.first?.id))
    }

    private static func name(_ index: Int) -> String { ["A", "B", "C"][index] }
}

// MARK: - Runs

extension Beginnings {
    private static let app = AppName("demo")
    private static let oldDigest = ImageDigest("sha256:" + String(repeating: "a", count: 64))

    /// A web app with one check; its fly.toml is the check's own, so that it can be read.
    private static let flyToml: FlyToml = {
        let text = """
            app = "demo"
            primary_region = "ord"
            [http_service]
            internal_port = 8080
            [[http_service.checks]]
            method = "GET"
            path = "/health"
            """
        do {
            return try FlyToml(parsing: text, path: "fly.toml", readFile: { _ in .failure(.init("there is none")) })
        } catch {
            preconditionFailure("the model check's fly.toml can't be read: \(error)")
        }
    }()

    private static func reference(_ digest: ImageDigest) -> String { "registry.fly.io/\(app)@\(digest)" }

    /// `m1` and its like on release 71, healthy.
    private static func servingMachine(_ number: Int) -> FleetMachine {
        var config = flyToml.machineConfig(for: "app")
        config.image = reference(oldDigest)
        config.metadata["fly_release_version"] = "71"
        config.metadata["fly_release_id"] = "rel-71"
        return FleetMachine(
            id: MachineID("m\(number)"), name: "name-\(number)", state: "started", region: "ord",
            instance: InstanceID("m\(number)/1"), config: config, imageDigest: oldDigest,
            checks: (0..<config.checkCount).map {
                .init(name: "check-\($0)", status: "passing", output: "", updatedAt: nil)
            })
    }

    private static func record(_ number: Int, _ digest: ImageDigest, _ fleet: [FleetMachine]) -> ReleaseRecord {
        ReleaseRecord(
            app: app, number: ReleaseNumber(number), platformID: "rel-\(number)", commit: commit("a").id,
            subject: "Release \(number)", image: reference(digest), digest: digest,
            machines: fleet.map(RecordedMachine.init), state: .verified, run: "01EARLIERRUN",
            createdAt: Timestamp(milliseconds: 0), verifiedAt: Timestamp(milliseconds: 0), reason: "earlier")
    }

    private static func commit(_ letter: Character) -> Commit {
        let person = Commit.Person(name: "Ada", email: "ada@example.com")
        let time = Timestamp(milliseconds: 0)
        return Commit(
            id: CommitID(String(repeating: letter, count: 40)), tree: "tree-\(letter)", parents: [], author: person,
            committer: person, authoredAt: time, committedAt: time, message: "Better greeting", tags: [])
    }

    static func runs(_ configuration: ModelCheck.Configuration) -> Situation<RunDecider> {
        let fleet = (0..<configuration.machines).map { servingMachine($0 + 1) }
        let ledger = fleet.isEmpty ? [] : [record(71, oldDigest, fleet)]
        let releases =
            fleet.isEmpty
            ? [] : [PlatformReleaseEntry(id: "rel-71", number: ReleaseNumber(71), status: "complete", image: "")]
        let kinds: [RunKind] =
            switch configuration.subject {
            case .recovery: [.deploy, .recover]
            case .change, .changeAhead, .creation, .rollout, .run:
                configuration.actors == 1 ? [.deploy] : [.deploy, .deploy]
            }
        let participants = kinds.enumerated().map { index, kind in
            let digest = ImageDigest("sha256:" + String(repeating: index == 0 ? "b" : "c", count: 64))
            let request = RunRequest(
                run: RunID("01RUN\(index)0000000ABCDEFGH"), kind: kind, pipeline: "production", app: app,
                actor: "ada", reason: "because",
                settings: .init(
                    build: .image(reference: reference(digest)), flyToml: flyToml,
                    servingFloor: configuration.floor, waitTimeout: .seconds(30),
                    machineCounts: ["app": 2],
                    verify: VerifyPlan(health: nil, attempts: 2, interval: .seconds(10), consecutive: 1)))
            return Participant(
                RunDecider(
                    request, ledger: kind == .recover ? [] : ledger, commit: commit("c"),
                    image: BuiltImage(reference: reference(digest), digest: digest)),
                flaw: configuration.flaw, startsAfter: kind == .recover ? 0 : nil)
        }
        return situation(fleet, participants, configuration, releases: releases)
    }
}
