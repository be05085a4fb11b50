// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

@Suite struct RestartTests {
    struct Case: Sendable {
        var restart: JSONValue
        var code: Int32
        /// Restarts that follow when every guest exits at once; nil is without end.
        var restarts: Int?
    }

    static let cases = [
        Case(restart: nil, code: 1, restarts: 10),
        Case(restart: nil, code: 0, restarts: 0),
        Case(restart: ["policy": "no"], code: 1, restarts: 0),
        Case(restart: ["policy": "on-failure", "max_retries": 3], code: 2, restarts: 3),
        Case(restart: ["policy": "on-failure", "max_retries": 3], code: 0, restarts: 0),
        Case(restart: ["policy": "always"], code: 0, restarts: nil),
        Case(restart: ["policy": "always"], code: 1, restarts: nil),
    ]

    @Test(arguments: RestartTests.cases) func `an exit is followed by what the policy says`(example: Case) throws {
        var bench = WorldBench()
        let id = try bench.machine(config: example.restart == .null ? [:] : ["restart": example.restart])
        var restarts = 0
        bench.exit(id, code: example.code)
        while bench.state(id) == .restarting, restarts < 40 {
            bench.pass(.seconds(31))
            #expect(bench.state(id) == .starting)
            restarts += 1
            bench.start(id)
            bench.exit(id, code: example.code)
        }
        #expect(restarts == example.restarts ?? 40)
        #expect(bench.state(id) == (example.restarts == nil ? .restarting : .stopped))
        let exit = try #require(bench.world.machines[id]?.events.first { $0.type == "exit" }?.exit)
        #expect(exit.code == example.code && !exit.wasRequested)
    }

    @Test func `the pause doubles and stays below its bound`() throws {
        var bench = WorldBench()
        let id = try bench.machine(config: ["restart": ["policy": "always"]])
        var pauses: [Duration] = []
        for _ in 0..<9 {
            bench.exit(id, code: 1)
            for case .wakeAt(let time) in bench.effects { pauses.append(time - bench.now) }
            bench.pass(.seconds(30))
            bench.start(id)
        }
        #expect(pauses == [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000].map { .milliseconds($0) })
    }

    @Test func `no restart comes before its time, and a long life clears the count`() throws {
        var bench = WorldBench()
        let id = try bench.machine(config: ["restart": ["policy": "on-failure", "max_retries": 1]])
        for _ in 0..<5 {
            bench.pass(.seconds(60))
            bench.exit(id, code: 1)
            bench.pass(.milliseconds(499))
            #expect(bench.state(id) == .restarting)
            bench.pass(.milliseconds(1))
            bench.start(id)
            #expect(bench.state(id) == .started)
        }
        bench.exit(id, code: 1)
        #expect(bench.state(id) == .stopped)
    }

    @Test func `an update in the pause boots the new version`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.exit(id, code: 1)
        bench.call(.updateMachine(WorldBench.input(image: "registry.fly.io/web:2")), machine: id)
        #expect(bench.startedGuests.map(\.image) == ["registry.fly.io/web:2"])
        bench.pass(.seconds(60))
        #expect(bench.startedGuests == [], "the old restart is off")
    }

    @Test func `a stop in the pause stops for good`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.exit(id, code: 1)
        bench.call(.stopMachine(signal: nil, timeout: nil), machine: id)
        #expect(bench.state(id) == .stopped)
        bench.pass(.seconds(60))
        #expect(bench.state(id) == .stopped)
    }

    @Test func `a machine that destroys itself is gone after its exit, its exit code is kept`() throws {
        var bench = WorldBench()
        let id = try bench.machine(config: ["auto_destroy": true, "restart": ["policy": "no"]])
        bench.exit(id, code: 3)
        #expect(bench.state(id) == .destroyed)
        #expect(bench.effects.contains(.forgetMachine(id)))
        #expect(bench.world.machines[id]?.events.first { $0.type == "exit" }?.exit?.code == 3)
        #expect(bench.call(.listMachines(MachineFilter())) == .machines([]))
    }

    @Test func `after a restart of the platform what ran runs again`() throws {
        var bench = WorldBench()
        let ids = try MachineState.allCases.map { try bench.machine(in: $0) }
        bench.apply(.resumed)
        let expected: [MachineState: MachineState] = [
            .starting: .starting, .started: .starting, .restarting: .starting, .replacing: .starting,
            .stopping: .stopped, .destroying: .destroyed,
        ]
        for (state, id) in zip(MachineState.allCases, ids) {
            #expect(bench.state(id) == expected[state] ?? state)
        }
        #expect(bench.startedGuests.count == 4)
    }
}
