// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

/// Autostart and autostop.
@Suite struct VisitorTests {
    static func config(autostop: JSONValue = "stop", autostart: Bool = true, least: Int64 = 0) -> JSONValue {
        [
            "services": [
                [
                    "internal_port": 8080, "autostop": autostop, "autostart": .bool(autostart),
                    "min_machines_running": .integer(least), "checks": [["type": "tcp"]],
                ]
            ]
        ]
    }

    static func bench() -> WorldBench {
        var bench = WorldBench()
        bench.world.settings.autostopsAfter = .seconds(300)
        return bench
    }

    static func pass(_ bench: inout WorldBench, _ id: String) {
        bench.apply(
            .checkReported(
                machine: id, boot: bench.world.machines[id]?.boot ?? 0, name: "servicecheck-00-tcp-8080",
                standing: .passing, output: ""))
    }

    @Test func `a visitor starts one machine, and waits until it serves`() throws {
        var bench = VisitorTests.bench()
        let first = try bench.machine(in: .stopped, config: VisitorTests.config())
        let second = try bench.machine(in: .stopped, config: VisitorTests.config())
        bench.apply(.visitorWaits(app: "web"))
        #expect(bench.state(first) == .starting && bench.state(second) == .stopped)
        #expect(bench.world.machines[first]?.events.first?.source == "proxy")
        bench.apply(.visitorWaits(app: "web"))
        #expect(bench.state(second) == .stopped, "one is coming")
        bench.start(first)
        #expect(bench.world.isMachineComing(for: "web"), "its checks have not reported")
        VisitorTests.pass(&bench, first)
        #expect(!bench.world.isMachineComing(for: "web") && bench.world.routableMachines(of: "web").count == 1)
    }

    @Test func `a visitor waits for a machine that is just being stopped`() throws {
        var bench = VisitorTests.bench()
        let id = try bench.machine(in: .stopping, config: VisitorTests.config())
        bench.apply(.visitorWaits(app: "web"))
        #expect(bench.state(id) == .stopping && bench.world.isMachineComing(for: "web"))
        bench.exit(id)
        bench.apply(.visitorWaits(app: "web"))
        #expect(bench.state(id) == .starting)
    }

    @Test func `nobody starts what may not be started`() throws {
        var bench = VisitorTests.bench()
        let manual = try bench.machine(in: .stopped, config: VisitorTests.config(autostart: false))
        let cordoned = try bench.machine(in: .stopped, config: VisitorTests.config())
        bench.call(.cordonMachine, machine: cordoned)
        let leased = try bench.machine(in: .stopped, config: VisitorTests.config())
        bench.call(.acquireLease(timeToLive: .seconds(60), note: ""), machine: leased)
        let away = try bench.machine(in: .stopped, config: VisitorTests.config())
        bench.apply(.hostChanged(machine: away, status: "unreachable"))
        let created = try bench.machine(in: .created, config: VisitorTests.config())
        bench.apply(.visitorWaits(app: "web"))
        #expect([manual, cordoned, leased, away].map(bench.state) == Array(repeating: .stopped, count: 4))
        #expect(bench.state(created) == .created && !bench.world.isMachineComing(for: "web"))
        bench.pass(.seconds(60))
        bench.apply(.visitorWaits(app: "web"))
        #expect(bench.state(leased) == .starting, "the lease is over")
    }

    @Test(
        arguments: [("stop", .stopping), (true, .stopping), ("suspend", .suspended), ("off", .started)]
            as [(JSONValue, MachineState)])
    func `an idle machine rests`(autostop: JSONValue, state: MachineState) throws {
        var bench = VisitorTests.bench()
        let id = try bench.machine(config: VisitorTests.config(autostop: autostop))
        bench.pass(.seconds(299))
        #expect(bench.state(id) == .started)
        bench.pass(.seconds(1))
        #expect(bench.state(id) == state)
        if state == .suspended {
            bench.apply(.visitorWaits(app: "web"))
            #expect(bench.state(id) == .started, "it wakes at once")
            bench.pass(.seconds(300))
            #expect(bench.state(id) == .suspended)
        }
    }

    @Test func `a visit keeps a machine awake until it has ended for long enough`() throws {
        var bench = VisitorTests.bench()
        let id = try bench.machine(config: VisitorTests.config())
        bench.pass(.seconds(200))
        bench.apply(.visitBegan(machine: id))
        bench.apply(.visitBegan(machine: id))
        bench.pass(.seconds(1000))
        bench.apply(.visitEnded(machine: id))
        #expect(bench.state(id) == .started)
        bench.pass(.seconds(10))
        bench.apply(.visitEnded(machine: id))
        bench.pass(.seconds(100))
        bench.apply(.visitBegan(machine: id))
        bench.apply(.visitEnded(machine: id))
        #expect(bench.effects == [], "one look is under way already")
        bench.pass(.seconds(200))
        #expect(bench.state(id) == .started, "idle for 200 seconds only")
        bench.pass(.seconds(100))
        #expect(bench.state(id) == .stopping)
    }

    @Test func `the least that run, and what is leased, is left alone`() throws {
        var bench = VisitorTests.bench()
        let ids = try (0..<3).map { _ in try bench.machine(config: VisitorTests.config(least: 1)) }
        bench.call(.acquireLease(timeToLive: .seconds(400), note: ""), machine: ids[0])
        bench.pass(.seconds(300))
        let stopping = ids.filter { bench.state($0) == .stopping }
        #expect(stopping.count == 2 && bench.state(ids[0]) == .started)
        for id in stopping { bench.exit(id) }
        bench.pass(.seconds(300))
        #expect(bench.state(ids[0]) == .started, "the last one stays, lease or not")
    }

    @Test func `without a set time nothing is stopped`() throws {
        var bench = WorldBench()
        let id = try bench.machine(config: VisitorTests.config())
        bench.pass(.seconds(1_000_000))
        #expect(bench.state(id) == .started)
    }
}
