// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

/// Every state against every call that changes a machine: the answer, and where the machine then is.
@Suite struct MachineStateTests {
    enum Step: String, CaseIterable {
        case update, updateWithoutLaunch, start, stop, restart, suspend, signal, destroy, forceDestroy

        var call: WorldCall {
            switch self {
            case .update: .updateMachine(WorldBench.input(image: "registry.fly.io/web:2"))
            case .updateWithoutLaunch: .updateMachine(WorldBench.input(skipsLaunch: true))
            case .start: .startMachine
            case .stop: .stopMachine(signal: nil, timeout: nil)
            case .restart: .restartMachine(signal: nil, timeout: nil, forcesStop: false)
            case .suspend: .suspendMachine
            case .signal: .signalMachine("SIGHUP")
            case .destroy: .destroyMachine(force: false)
            case .forceDestroy: .destroyMachine(force: true)
            }
        }
    }

    /// `update`, `updateWithoutLaunch`, `start`, `stop`, `restart`, `suspend`, `signal`, `destroy`, `forceDestroy`:
    /// a state where the call succeeds, else the status of its refusal.
    static let table: [MachineState: [String]] = [
        .created: ["created", "created", "starting", "created", "starting", "412", "412", "destroyed", "destroyed"],
        .starting: ["replacing", "replacing", "412", "stopping", "412", "412", "412", "412", "destroying"],
        .started: [
            "replacing", "replacing", "412", "stopping", "restarting", "suspended", "started", "412", "destroying",
        ],
        .stopping: ["stopping", "stopping", "412", "stopping", "412", "412", "412", "412", "destroying"],
        .stopped: ["stopped", "stopped", "starting", "stopped", "starting", "412", "412", "destroyed", "destroyed"],
        .suspended: ["replacing", "replacing", "started", "stopping", "412", "suspended", "412", "412", "destroying"],
        .restarting: ["replacing", "replacing", "412", "stopping", "412", "412", "412", "412", "destroying"],
        .replacing: ["409", "409", "412", "412", "412", "412", "412", "412", "destroying"],
        .failed: ["starting", "stopped", "starting", "failed", "starting", "412", "412", "destroyed", "destroyed"],
        .destroying: ["412", "412", "412", "412", "412", "412", "412", "destroying", "destroying"],
        .destroyed: ["404", "404", "404", "404", "404", "404", "412", "404", "404"],
    ]

    @Test(arguments: MachineState.allCases) func `every call in every state`(state: MachineState) throws {
        let row = try #require(MachineStateTests.table[state])
        for (step, expected) in zip(Step.allCases, row) {
            var bench = WorldBench()
            let id = try bench.machine(in: state)
            let given = bench.call(step.call, machine: id)
            let answer = try #require(given)
            if let status = Int(expected) {
                #expect(answer.status == status, "\(step) while \(state): \(answer)")
                #expect(bench.state(id) == state, "a refused \(step) while \(state) changes nothing")
                #expect(bench.effects == [])
            } else {
                #expect(answer.status == 200, "\(step) while \(state): \(answer)")
                #expect(bench.state(id)?.rawValue == expected, "\(step) while \(state)")
            }
        }
    }

    @Test func `an update of a started machine stops the old guest and then boots the new one`() throws {
        var bench = WorldBench()
        let id = try bench.machine(config: ["stop_config": ["signal": "SIGTERM", "timeout": "1m30s"]])
        let old = try #require(bench.world.machines[id]?.instance)
        let answer = bench.call(.updateMachine(WorldBench.input(image: "registry.fly.io/web:2")), machine: id)
        guard case .machine(let updated, _) = answer else { throw WorldBench.Unexpected(answer: answer) }
        #expect(updated.instance != old)
        #expect(updated.versions.map(\.instance) == [updated.instance, old])
        #expect(updated.events.map(\.type) == ["update"], "an update starts a new history")
        // The old version's way of stopping, not the new one's.
        #expect(
            bench.effects == [
                .endChecks(machine: id),
                .stopGuest(machine: id, boot: 1, signal: "SIGTERM", timeout: .seconds(90)),
            ])
        bench.exit(id)
        #expect(bench.state(id) == .starting)
        #expect(bench.startedGuests.map(\.instance) == [updated.instance])
        #expect(bench.world.machines[id]?.events.contains { $0.type == "exit" } == false)
        bench.start(id)
        #expect(bench.state(id) == .started)
    }

    @Test func `the default is SIGINT and five seconds`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.call(.stopMachine(signal: nil, timeout: nil), machine: id)
        #expect(
            bench.effects.contains(.stopGuest(machine: id, boot: 1, signal: "SIGINT", timeout: .seconds(5))))
        bench.exit(id, code: 130)
        #expect(bench.state(id) == .stopped)
        let exit = try #require(bench.world.machines[id]?.events.first?.exit)
        #expect(exit.wasRequested && exit.code == 130 && !exit.isRestarting)
    }

    @Test func `an update without launch leaves a started machine stopped`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.call(.updateMachine(WorldBench.input(skipsLaunch: true)), machine: id)
        bench.exit(id)
        #expect(bench.state(id) == .stopped)
        #expect(bench.startedGuests == [])
    }

    @Test func `news of an older guest changes nothing`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.call(.updateMachine(WorldBench.input()), machine: id)
        bench.exit(id)
        let before = bench.world
        bench.apply(.guestStarted(machine: id, boot: 1, imageDigest: nil))
        bench.apply(.guestExited(machine: id, boot: 1, code: 9, signal: nil, isOutOfMemory: false))
        bench.apply(.guestFailedToStart(machine: id, boot: 1, reason: "late"))
        bench.apply(.checkReported(machine: id, boot: 1, name: "x", standing: .passing, output: ""))
        #expect(bench.world == before)
    }

    struct Refusal: Sendable {
        var input: MachineInput
        var status: Int
    }

    static let refusals: [Refusal] = [
        Refusal(input: WorldBench.input(currentVersion: "01OLD"), status: 412),
        Refusal(input: WorldBench.input(image: ""), status: 400),
        Refusal(input: WorldBench.input(digest: nil), status: 400),
        Refusal(input: WorldBench.input(["mounts": [["path": "/a"], ["path": "/b"]]]), status: 400),
        Refusal(input: MachineInput(config: MachineConfig("text"), imageDigest: nil), status: 400),
        Refusal(
            input: MachineInput(
                config: MachineConfig(["image": "a/b"]), imageDigest: WorldBench.digest, minimumSecretsVersion: 1),
            status: 412),
    ]

    @Test(arguments: MachineStateTests.refusals) func `preconditions of an update`(refusal: Refusal) throws {
        var bench = WorldBench()
        let id = try bench.machine()
        let before = bench.world.machines
        #expect(bench.call(.updateMachine(refusal.input), machine: id)?.status == refusal.status)
        #expect(bench.world.machines == before)
    }

    @Test func `an update with the present version is taken`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        let version = bench.world.machines[id]?.instance
        let answer = bench.call(.updateMachine(WorldBench.input(currentVersion: version)), machine: id)
        #expect(answer?.status == 200)
    }

    @Test func `unknown fields of a config are kept`() throws {
        var bench = WorldBench()
        let id = try bench.machine(config: ["not_yet_invented": ["deep": [1, 2.5, nil]]])
        #expect(bench.world.machines[id]?.config.json["not_yet_invented"] == ["deep": [1, 2.5, nil]])
    }

    @Test func `guests see their config, over it secrets, over them the platform`() throws {
        var bench = WorldBench()
        bench.call(.setSecrets(["A": "secret", "FLY_REGION": "nowhere"]))
        let answer = bench.call(.createMachine(WorldBench.input(["env": ["A": "plain", "B": "b"]])))
        guard case .machine(let machine, _) = answer else { throw WorldBench.Unexpected(answer: answer) }
        let environment = try #require(bench.startedGuests.first?.environment)
        #expect(environment["A"] == "secret" && environment["B"] == "b")
        #expect(environment["FLY_REGION"] == "iad" && environment["FLY_MACHINE_ID"] == machine.id)
        // A later secret is for later versions.
        bench.call(.setSecrets(["A": "newer"]))
        bench.start(machine.id)
        bench.call(.restartMachine(signal: nil, timeout: nil, forcesStop: false), machine: machine.id)
        bench.exit(machine.id)
        #expect(bench.startedGuests.first?.environment["A"] == "secret")
    }

    @Test func `a metadata write during an update is lost`() throws {
        var bench = WorldBench()
        let id = try bench.machine(config: ["metadata": ["kept": "1"]])
        bench.call(.setMetadata(values: ["a": "1"], machineVersion: nil), machine: id)
        #expect(bench.world.machines[id]?.config.metadata == ["kept": "1", "a": "1"])
        #expect(bench.call(.setMetadata(values: ["a": "2"], machineVersion: "old"), machine: id)?.status == 412)
        bench.call(.updateMachine(WorldBench.input(["metadata": ["kept": "2"]])), machine: id)
        #expect(bench.call(.setMetadata(values: ["a": "3"], machineVersion: nil), machine: id)?.status == 200)
        #expect(bench.world.machines[id]?.config.metadata == ["kept": "2"])
    }

    @Test func `routes lead to healthy, started, uncordoned machines only`() throws {
        var bench = WorldBench()
        let config: JSONValue = [
            "services": [["internal_port": 8080, "checks": [["type": "http", "path": "/health"]]]],
            "checks": ["alive": ["type": "tcp", "port": 9000]],
        ]
        let id = try bench.machine(config: config)
        func routable() -> Bool { bench.world.routableMachines(of: "web").map(\.id) == [id] }
        func report(_ name: String, _ standing: CheckResult.Standing) {
            bench.apply(.checkReported(machine: id, boot: 1, name: name, standing: standing, output: ""))
        }
        #expect(!routable(), "no result so far is not healthy")
        report("servicecheck-00-http-8080", .passing)
        #expect(!routable())
        report("alive", .passing)
        #expect(routable())
        report("alive", .critical)
        #expect(!routable())
        report("alive", .passing)
        bench.call(.cordonMachine, machine: id)
        #expect(!routable())
        bench.call(.uncordonMachine, machine: id)
        #expect(routable())
        bench.apply(.hostChanged(machine: id, status: "unreachable"))
        #expect(!routable())
        bench.apply(.hostChanged(machine: id, status: "ok"))
        bench.call(.updateMachine(WorldBench.input(config)), machine: id)
        #expect(!routable(), "an update ends routing at once")
    }
}
