// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

@Suite struct LeaseTests {
    static let guarded: [WorldCall] = [
        .updateMachine(WorldBench.input()), .startMachine, .stopMachine(signal: nil, timeout: nil),
        .destroyMachine(force: true), .cordonMachine, .uncordonMachine, .suspendMachine,
        .restartMachine(signal: nil, timeout: nil, forcesStop: false),
    ]

    static func nonce(_ answer: WorldAnswer?) throws -> String {
        guard case .lease(let lease, _) = answer else { throw WorldBench.Unexpected(answer: answer) }
        return lease.nonce
    }

    @Test(arguments: LeaseTests.guarded) func `a lease stops everybody else`(call: WorldCall) throws {
        var bench = WorldBench()
        let id = try bench.machine(in: call == .startMachine ? .stopped : .started)
        let nonce = try LeaseTests.nonce(
            bench.call(.acquireLease(timeToLive: .seconds(13), note: ""), machine: id, caller: .init(name: "ann@fly")))
        let before = bench.world.machines
        for wrong in [nil, "wrong"] {
            let answer = bench.call(call, machine: id, nonce: wrong)
            guard case .failure(let failure) = answer else { throw WorldBench.Unexpected(answer: answer) }
            #expect(failure.status == 409)
            #expect(
                failure.message == "machine ID \(id) lease currently held by ann@fly, expires at 2027-01-15T08:00:13Z")
        }
        #expect(bench.world.machines == before)
        #expect(bench.call(call, machine: id, nonce: nonce)?.status == 200)
    }

    @Test func `metadata writes, reads and waits are not guarded`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.call(.acquireLease(timeToLive: .seconds(13), note: ""), machine: id)
        #expect(bench.call(.setMetadata(values: ["a": "b"], machineVersion: nil), machine: id)?.status == 200)
        #expect(bench.call(.getMachine, machine: id)?.status == 200)
        #expect(bench.call(.createMachine(WorldBench.input()))?.status == 200)
    }

    @Test func `a refresh keeps the nonce and moves the expiry`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        let nonce = try LeaseTests.nonce(bench.call(.acquireLease(timeToLive: .seconds(13), note: ""), machine: id))
        bench.pass(.seconds(10))
        let refresh = WorldCall.acquireLease(timeToLive: .seconds(13), note: "")
        #expect(bench.call(refresh, machine: id)?.status == 409)
        #expect(try LeaseTests.nonce(bench.call(refresh, machine: id, nonce: nonce)) == nonce)
        bench.pass(.seconds(12))
        #expect(bench.call(.cordonMachine, machine: id)?.status == 409)
        bench.pass(.seconds(1))
        #expect(bench.call(.cordonMachine, machine: id)?.status == 200, "it expired")
        #expect(
            bench.call(.cordonMachine, machine: id, nonce: nonce)?.status == 409, "the holder learns that it expired")
        #expect(bench.call(refresh, machine: id, nonce: nonce)?.status == 409)
        #expect(try LeaseTests.nonce(bench.call(refresh, machine: id)) != nonce)
    }

    @Test func `what is done to a machine that is gone finds no machine, whatever the nonce`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        let nonce = try LeaseTests.nonce(bench.call(.acquireLease(timeToLive: .seconds(13), note: ""), machine: id))
        #expect(bench.call(.destroyMachine(force: true), machine: id, nonce: nonce)?.status == 200)
        #expect(bench.call(.destroyMachine(force: true), machine: id, nonce: nonce)?.status == 200, "while it ends")
        bench.exit(id, code: 137)
        for nonce in [nonce, nil] {
            guard case .failure(let failure) = bench.call(.destroyMachine(force: true), machine: id, nonce: nonce)
            else { throw WorldBench.Unexpected() }
            #expect(failure.status == 404 && failure.message == "machine not found")
        }
    }

    @Test func `a release needs the nonce`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        #expect(bench.call(.releaseLease, machine: id)?.status == 404)
        #expect(bench.call(.getLease, machine: id)?.status == 404)
        let nonce = try LeaseTests.nonce(bench.call(.acquireLease(timeToLive: .seconds(13), note: ""), machine: id))
        #expect(try LeaseTests.nonce(bench.call(.getLease, machine: id)) == nonce)
        #expect(bench.call(.releaseLease, machine: id)?.status == 400)
        #expect(bench.call(.releaseLease, machine: id, nonce: "other")?.status == 409)
        #expect(bench.call(.releaseLease, machine: id, nonce: nonce)?.status == 200)
        #expect(bench.call(.getLease, machine: id)?.status == 404)
    }

    @Test(arguments: [Duration.zero, .seconds(-1), .seconds(1 << 40)])
    func `a lease has a sensible length`(length: Duration) throws {
        var bench = WorldBench()
        let id = try bench.machine()
        #expect(bench.call(.acquireLease(timeToLive: length, note: ""), machine: id)?.status == 400)
    }

    @Test func `create and update can take a lease with them`() throws {
        var bench = WorldBench()
        var input = WorldBench.input()
        input.leaseTimeToLive = .seconds(30)
        guard case .machine(let machine, let nonce?) = bench.call(.createMachine(input)) else {
            throw WorldBench.Unexpected()
        }
        #expect(machine.lease?.nonce == nonce)
        #expect(bench.call(.updateMachine(WorldBench.input()), machine: machine.id)?.status == 409)
        #expect(bench.call(.updateMachine(WorldBench.input()), machine: machine.id, nonce: nonce)?.status == 200)
    }
}
