// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

@Suite struct WaitTests {
    static func wait(_ targets: [WaitTarget], version: String? = nil, seconds: Int = 60) -> WorldCall {
        .waitMachine(targets: targets, version: version, timeout: .seconds(seconds))
    }

    static func reached(_ answer: WorldAnswer?) -> MachineState? {
        guard case .reached(let state, _, _) = answer else { return nil }
        return state
    }

    @Test func `what is so is answered at once, what is not is deferred`() throws {
        var bench = WorldBench()
        let id = try bench.machine(in: .starting)
        #expect(bench.call(WaitTests.wait([.state(.started)]), machine: id) == nil)
        #expect(bench.effects == [.wakeAt(bench.now + .seconds(60))])
        bench.start(id)
        #expect(bench.answers.map(WaitTests.reached) == [.started])
        #expect(WaitTests.reached(bench.call(WaitTests.wait([.state(.started)]), machine: id)) == .started)
    }

    @Test func `a wait for the new version is not fooled by the old one`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        let old = try #require(bench.world.machines[id]?.instance)
        bench.call(.updateMachine(WorldBench.input()), machine: id)
        let new = try #require(bench.world.machines[id]?.instance)
        #expect(bench.call(WaitTests.wait([.state(.started)], version: new), machine: id) == nil)
        #expect(bench.call(WaitTests.wait([.state(.started)], version: old, seconds: 1), machine: id) == nil)
        bench.exit(id)
        #expect(bench.answers == [])
        bench.start(id)
        guard case .reached(.started, let version, _)? = bench.answers.first, bench.answers.count == 1 else {
            throw WorldBench.Unexpected(answer: bench.answers.first)
        }
        #expect(version == new)
        bench.pass(.seconds(1))
        #expect(bench.answers.map(\.status) == [408], "the old version never starts again")
    }

    @Test func `an update of a stopped machine is there as soon as it is made`() throws {
        var bench = WorldBench()
        let id = try bench.machine(in: .stopped)
        bench.call(.updateMachine(WorldBench.input()), machine: id)
        let version = bench.world.machines[id]?.instance
        #expect(
            WaitTests.reached(bench.call(WaitTests.wait([.state(.stopped)], version: version), machine: id)) == .stopped
        )
    }

    @Test func `a wait runs out at its deadline and not before`() throws {
        var bench = WorldBench()
        let id = try bench.machine(in: .starting)
        #expect(bench.call(WaitTests.wait([.state(.started)], seconds: 5), machine: id) == nil)
        bench.pass(.milliseconds(4999))
        #expect(bench.answers == [])
        bench.pass(.milliseconds(1))
        #expect(bench.answers.map(\.status) == [408])
        bench.start(id)
        #expect(bench.answers == [])
    }

    @Test func `settled is any resting state, and several states are any of them`() throws {
        var bench = WorldBench()
        let id = try bench.machine(in: .starting)
        #expect(bench.call(WaitTests.wait([.settled]), machine: id) == nil)
        #expect(bench.call(WaitTests.wait([.state(.stopped), .state(.failed)]), machine: id) == nil)
        bench.apply(.guestFailedToStart(machine: id, boot: 1, reason: "exec format error"))
        #expect(bench.answers.map(WaitTests.reached) == [.failed, .failed])
    }

    @Test func `a destroyed machine ends other waits with 404`() throws {
        var bench = WorldBench()
        let id = try bench.machine(in: .stopped)
        #expect(bench.call(WaitTests.wait([.state(.started)]), machine: id) == nil)
        #expect(bench.call(WaitTests.wait([.state(.destroyed)]), machine: id) == nil)
        bench.call(.destroyMachine(force: false), machine: id)
        #expect(bench.answers.map(\.status) == [404, 200])
    }

    @Test func `an unknown version is no version to wait for`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        #expect(bench.call(WaitTests.wait([.settled], version: "01NEVER"), machine: id)?.status == 404)
    }

    @Test func `a caller who left gets no answer`() throws {
        var bench = WorldBench()
        let id = try bench.machine(in: .starting)
        let outcome = bench.world.handle(
            WorldRequest(id: 99, app: "web", machine: id, call: WaitTests.wait([.settled])), at: bench.now)
        #expect(outcome.response == nil)
        bench.apply(.callerLeft(99))
        bench.start(id)
        #expect(bench.answers == [])
    }
}
