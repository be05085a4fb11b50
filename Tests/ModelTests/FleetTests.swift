// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@Suite struct MachineConfigTests {
    private static let config = MachineConfig([
        "image": "registry.fly.io/demo:1", "env": ["A": "1"], "made_up": ["x": 1.5],
        "metadata": [
            "fly_platform_version": "v2", "fly_process_group": "web", "fly_release_id": "r", "fly_release_version": "7",
            "fly_flyctl_version": "0", "airboss_run": "R", "airboss_operation": "R/1", "airboss_release": "v7",
            "airboss_kind": "deploy", "airboss_replaces": "0123456789abcdef", "airboss_created": "R", "theirs": "kept",
        ], "checks": ["alive": ["type": "tcp"]],
        "services": [["checks": [["type": "http"], ["type": "tcp"]]], ["internal_port": 1]],
    ])

    @Test(arguments: MachineConfig.bookkeepingKeys.sorted()) func `who wrote it is not what it is`(_ key: String) {
        var other = Self.config
        other.metadata[key] = "something else"
        #expect(other.substance == Self.config.substance)
        other.metadata[key] = nil
        #expect(other.substance == Self.config.substance)
        #expect(other != Self.config)
    }

    @Test(arguments: ["image", "env", "made_up", "metadata/theirs", "metadata/fly_process_group", "checks", "services"])
    func `everything else is`(_ path: String) {
        var other = Self.config
        if path.hasPrefix("metadata/") {
            other.metadata[String(path.dropFirst(9))] = "changed"
        } else {
            other.json[path] = "changed"
        }
        #expect(other.substance != Self.config.substance)
    }

    @Test func `no metadata is the same as empty metadata`() {
        #expect(MachineConfig(["image": "x"]).substance == MachineConfig(["image": "x", "metadata": [:]]).substance)
    }

    @Test func `what is read out of it`() {
        #expect(Self.config.processGroup == "web")
        #expect(Self.config.checkCount == 3)
        #expect(Self.config.hasServices)
        #expect(MachineConfig([:]).processGroup == "app")
        #expect(MachineConfig(["metadata": ["process_group": "old"]]).processGroup == "old")
        #expect(MachineConfig([:]).checkCount == 0)
        #expect(!MachineConfig(["services": []]).hasServices)
    }

    @Test func `it is its own document in JSON`() throws {
        let data = try JSONEncoder().encode(Self.config)
        #expect(try JSONValue(parsing: data) == Self.config.json)
        #expect(try JSONDecoder().decode(MachineConfig.self, from: data) == Self.config)
    }
}

@Suite struct FleetMachineTests {
    private static func machine(_ statuses: [String], checks: Int = 2) -> FleetMachine {
        let config = MachineConfig([
            "metadata": ["fly_platform_version": "v2"],
            "services": [["checks": .array((0..<checks).map { ["port": .integer(Int64($0))] })]],
        ])
        return FleetMachine(
            id: "m", name: "n", state: "started", region: "ord", instance: "i", config: config, imageDigest: nil,
            checks: statuses.map { .init(name: "c", status: $0, output: "o", updatedAt: nil) })
    }

    @Test(
        arguments: [
            (["passing", "passing"], 2, true), (["passing"], 2, false), ([], 2, false), ([], 0, true),
            (["passing", "critical"], 2, false), (["passing", "warning"], 2, false),
            (["passing", "passing", "passing"], 2, true), (["passing", "passing", "critical"], 2, false),
            (["critical"], 0, false), (["PASSING"], 1, false), (["a new word"], 1, false),
        ] as [([String], Int, Bool)]) func `no report so far is not healthy`(
            _ statuses: [String], _ checks: Int, _ expected: Bool
        )
    {
        let machine = Self.machine(statuses, checks: checks)
        #expect(machine.areChecksPassing == expected)
        #expect(machine.isServing == expected)
        #expect(Observation(of: machine).isServing(expectedChecks: checks) == expected)
    }

    @Test func `what takes it out of service`() {
        let changes: [(String, (inout FleetMachine) -> Void)] = [
            ("stopped", { $0.state = "stopped" }), ("cordoned", { $0.isCordoned = true }),
            ("host", { $0.hostStatus = "unreachable" }), ("unknown host", { $0.hostStatus = "unknown" }),
        ]
        for (name, change) in changes {
            var machine = Self.machine(["passing", "passing"])
            #expect(machine.isServing)
            change(&machine)
            #expect(!machine.isServing, "\(name)")
            #expect(!Observation(of: machine).isServing(expectedChecks: 2), "\(name)")
        }
    }

    @Test func `only machines of an app's deployments are managed`() {
        var machine = Self.machine([])
        #expect(machine.isManaged)
        for version in ["v1", "", nil] {
            machine.config.metadata["fly_platform_version"] = version
            #expect(!machine.isManaged)
        }
    }

    @Test func `an observation keeps the newest exit that nobody asked for`() {
        func event(_ type: String, _ second: Int64, code: Int? = nil, requested: Bool = false) -> FleetMachine.Event {
            .init(
                type: type, status: type == "start" ? "started" : "stopped", at: Timestamp(secondsSinceEpoch: second),
                exitCode: code, isOutOfMemory: code == 137, wasRequested: requested)
        }
        var machine = Self.machine(["passing", "critical"])
        machine.events = [
            event("exit", 9, code: 0, requested: true), event("start", 8), event("exit", 7, code: 137),
            event("start", 6), event("exit", 5, code: 1), event("start", 4), event("launch", 3),
        ]
        let observation = Observation(of: machine)
        #expect(observation.exit == .init(code: 137, isOutOfMemory: true, at: Timestamp(secondsSinceEpoch: 7)))
        #expect(observation.restarts == 2)
        #expect(observation.failingCheck == "c: o")
        #expect(observation.checksPassing == 1)
        #expect(observation.checksReported == 2)
    }
}
