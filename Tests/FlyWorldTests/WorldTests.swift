// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Foundation
import Model
import Testing

@Suite struct WorldTests {
    @Test func `three calls at once pass, the fourth is told when to come back`() throws {
        var bench = WorldBench(isRateLimited: true)
        let id = try bench.machine()
        let other = try bench.machine()
        for _ in 0..<3 { #expect(bench.call(.cordonMachine, machine: id)?.status == 200) }
        let answer = bench.call(.cordonMachine, machine: id)
        guard case .failure(let failure) = answer else { throw WorldBench.Unexpected(answer: answer) }
        #expect(failure.status == 429 && failure.retryAfterSeconds == 1)
        #expect(bench.call(.uncordonMachine, machine: id)?.status == 200, "limits are per action")
        #expect(bench.call(.cordonMachine, machine: other)?.status == 200, "and per machine")
        bench.pass(.seconds(1))
        #expect(bench.call(.cordonMachine, machine: id)?.status == 200)
        #expect(bench.world.statistics.throttled == ["web": 1])
        #expect(bench.world.statistics.calls["web"]?[.cordonMachine] == 6)
    }

    @Test func `getting a machine has a limit of its own`() throws {
        var bench = WorldBench(isRateLimited: true)
        let id = try bench.machine()
        let statuses = (0..<11).map { _ in bench.call(.getMachine, machine: id)?.status }
        #expect(statuses == Array(repeating: 200, count: 10) + [429])
    }

    @Test func `limits can be switched off`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        for _ in 0..<100 { #expect(bench.call(.cordonMachine, machine: id)?.status == 200) }
    }

    @Test func `an app belongs to its organisation`() throws {
        var bench = WorldBench()
        let stranger = WorldCaller(name: "s", organizations: ["cold"])
        #expect(bench.call(.getApp, caller: stranger)?.status == 403)
        #expect(bench.call(.listMachines(MachineFilter()), caller: stranger)?.status == 403)
        #expect(bench.call(.createApp(organization: "hot"), app: "new", caller: stranger)?.status == 403)
        #expect(bench.call(.listApps(organization: nil), app: "", caller: stranger) == .apps([]))
        #expect(bench.call(.getApp, caller: WorldCaller(name: "f", organizations: ["hot"]))?.status == 200)
        #expect(bench.call(.getApp, app: "none")?.status == 404)
    }

    @Test(arguments: [("web", 422), ("", 400), ("Upper", 400), ("-dash", 400), ("fine-1", 200)])
    func `names of apps`(name: String, status: Int) {
        var bench = WorldBench()
        #expect(bench.call(.createApp(organization: "hot"), app: name)?.status == status)
    }

    @Test func `machines of other apps are not found`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.call(.createApp(organization: "hot"), app: "other")
        #expect(bench.call(.getMachine, machine: id, app: "other")?.status == 404)
        #expect(bench.call(.destroyMachine(force: true), machine: id, app: "other")?.status == 404)
    }

    @Test func `lists filter by region, state and metadata`() throws {
        var bench = WorldBench()
        let kept = try bench.machine(config: ["metadata": ["group": "a"]])
        _ = try bench.machine(in: .stopped, config: ["metadata": ["group": "b"]])
        let gone = try bench.machine(in: .destroyed)
        func ids(_ change: (inout MachineFilter) -> Void) -> [String] {
            var filter = MachineFilter()
            change(&filter)
            guard case .machines(let machines) = bench.call(.listMachines(filter)) else { return [] }
            return machines.map(\.id)
        }
        #expect(ids { _ in }.count == 2)
        #expect(ids { $0.includesDestroyed = true }.contains(gone))
        #expect(ids { $0.states = ["started"] } == [kept])
        #expect(ids { $0.metadata = ["group": "a"] } == [kept])
        #expect(ids { $0.region = "ord" } == [])
    }

    @Test func `faults strike as their rules say`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.world.faults = WorldFaults(rules: [
            FaultRule(
                call: .cordonMachine, skip: 1, count: 2,
                effect: .refuse(status: 503, message: "down", retryAfterSeconds: nil)),
            FaultRule(call: .updateMachine, effect: .dropAfterApplying),
            FaultRule(call: .stopMachine, effect: .dropBeforeApplying),
        ])
        #expect((0..<4).map { _ in bench.call(.cordonMachine, machine: id)?.status } == [200, 503, 503, 200])
        func delivery(_ call: WorldCall) -> WorldResponse.Delivery? {
            bench.world.handle(WorldRequest(id: 500, app: "web", machine: id, call: call), at: bench.now)
                .response?.delivery
        }
        #expect(delivery(.stopMachine(signal: nil, timeout: nil)) == .lost)
        #expect(bench.state(id) == .started)
        #expect(delivery(.updateMachine(WorldBench.input())) == .lost)
        #expect(bench.state(id) == .replacing)
        #expect(delivery(.getMachine) == .intact)
        #expect(bench.world.faults.rules == [])
    }

    @Test func `a fault reaches a deferred answer, too`() throws {
        var bench = WorldBench()
        let id = try bench.machine(in: .starting)
        bench.world.faults = WorldFaults(rules: [FaultRule(call: .waitMachine, effect: .dropAfterApplying)])
        #expect(bench.call(WaitTests.wait([.state(.started)]), machine: id) == nil)
        bench.start(id)
        guard case .respond(_, let response)? = bench.effects.last else { throw WorldBench.Unexpected() }
        #expect(response.delivery == .lost)
    }

    @Test func `secrets have digests and a version that counts up`() throws {
        var bench = WorldBench()
        guard case .secrets(let first, nil, 1) = bench.call(.setSecrets(["A": "1", "B": "2"])) else {
            throw WorldBench.Unexpected()
        }
        #expect(first.keys.sorted() == ["A", "B"] && first["A"]?.digest != first["B"]?.digest)
        guard case .secrets(let second, nil, 2) = bench.call(.setSecrets(["B": nil])) else {
            throw WorldBench.Unexpected()
        }
        #expect(second.keys.sorted() == ["A"])
        guard case .secrets(_, let values?, 2) = bench.call(.listSecrets(showsValues: true)) else {
            throw WorldBench.Unexpected()
        }
        #expect(values == ["A": "1"])
    }

    @Test func `releases count up and the current one is the last that completed`() throws {
        var bench = WorldBench()
        #expect(bench.call(.currentRelease)?.status == 404)
        var ids: [String] = []
        for image in ["a", "b"] {
            let answer = bench.call(.createRelease(image: image, strategy: "ROLLING", definition: nil))
            guard case .release(let release, true) = answer else { throw WorldBench.Unexpected(answer: answer) }
            #expect(release.version == ids.count + 1 && release.status == "running")
            ids.append(release.id)
        }
        bench.call(.updateRelease(id: ids[0], status: "complete", metadata: nil), app: "")
        bench.call(.updateRelease(id: ids[1], status: "failed", metadata: nil), app: "")
        guard case .release(let current, false) = bench.call(.currentRelease) else { throw WorldBench.Unexpected() }
        #expect(current.id == ids[0])
        guard case .releases(let all) = bench.call(.listReleases(limit: 5)) else { throw WorldBench.Unexpected() }
        #expect(all.map(\.id) == ids.reversed())
        #expect(bench.call(.updateRelease(id: ids[0], status: "odd", metadata: nil), app: "")?.status == 400)
        #expect(bench.call(.updateRelease(id: "rel_none", status: nil, metadata: nil), app: "")?.status == 404)
    }

    @Test(arguments: ["pending", "running", "complete", "failed", "interrupted"])
    func `a release's end is its end`(end: String) throws {
        var bench = WorldBench()
        let answer = bench.call(.createRelease(image: "a", strategy: "ROLLING", definition: nil))
        guard case .release(let release, true) = answer else { throw WorldBench.Unexpected(answer: answer) }
        func become(_ status: String) -> Int? {
            bench.call(.updateRelease(id: release.id, status: status, metadata: nil), app: "")?.status
        }
        let isEnd = !["pending", "running"].contains(end)
        #expect(become(end) == (end == "pending" ? 422 : 200))
        #expect(become("running") == (isEnd ? 422 : 200), "running again")
        for status in ["complete", "failed", "interrupted"] where isEnd {
            #expect(become(status) == (status == end ? 200 : 422), "said twice is said once")
        }
    }

    @Test func `a call can be delivered twice`() throws {
        for answersSecond in [false, true] {
            var bench = WorldBench()
            let id = try bench.machine()
            let version = bench.world.machines[id]?.instance
            bench.world.faults = WorldFaults(
                rules: [.createMachine, .updateMachine, .acquireLease, .cordonMachine].map {
                    FaultRule(call: $0, effect: .duplicate(answersSecond: answersSecond))
                })
            #expect(bench.call(.createMachine(WorldBench.input()))?.status == 200)
            #expect(bench.world.apps["web"]?.machines.count == 3, "two for one call")
            #expect(bench.call(.cordonMachine, machine: id)?.status == 200)
            // The second lease, and the second update of a version that is no more, are refused; the first ones count.
            let lease = bench.call(.acquireLease(timeToLive: .seconds(9), note: ""), machine: id)
            #expect(lease?.status == (answersSecond ? 409 : 200))
            let nonce = try #require(bench.world.machines[id]?.lease?.nonce)
            let update = bench.call(
                .updateMachine(WorldBench.input(currentVersion: version)), machine: id, nonce: nonce)
            #expect(update?.status == (answersSecond ? 409 : 200))
            #expect(bench.world.machines[id]?.versions.count == 2)
            #expect(bench.world.faults.rules == [])
        }
    }

    @Test(arguments: [true, false]) func `a call can be left unanswered`(isApplied: Bool) throws {
        var bench = WorldBench()
        let id = try bench.machine()
        bench.world.faults = WorldFaults(rules: [
            FaultRule(call: .cordonMachine, effect: .hang(isApplied: isApplied)),
            FaultRule(call: .waitMachine, effect: .hang(isApplied: isApplied)),
        ])
        #expect(bench.call(.cordonMachine, machine: id) == nil)
        #expect(bench.world.machines[id]?.isCordoned == isApplied)
        #expect(bench.call(WaitTests.wait([.state(.started)]), machine: id) == nil)
        bench.pass(.seconds(600))
        #expect(bench.answers == [], "not even late")
    }

    @Test func `logs are paged, bounded and filtered`() throws {
        var bench = WorldBench()
        let id = try bench.machine()
        for number in 0..<5000 { bench.apply(.guestLogged(machine: id, line: "\(number)", isError: false)) }
        func page(_ start: Int?, machine: String? = nil) -> ([String], Int) {
            guard
                case .logs(let lines, let next) = bench.call(
                    .readLogs(from: start, machine: machine, region: nil, limit: 100))
            else { return ([], -1) }
            return (lines.map(\.text), next)
        }
        #expect(page(nil).0.last == "4999" && page(nil).0.count == 100 && page(nil).1 == 5000)
        #expect(page(4990).0 == (4990..<5000).map(String.init))
        #expect(page(4000).1 == 4100)
        #expect(page(0).0.count == 100, "dropped lines are skipped")
        #expect(page(nil, machine: "other").0 == [])
        #expect((bench.world.apps["web"]?.log.lines.count ?? 0) <= 2 * WorldApp.maxRetainedLogLines)
    }

    @Test func `equal histories give equal worlds and equal effects`() throws {
        func history(seed: UInt64) throws -> (World, [[WorldEffect]]) {
            var bench = WorldBench(seed: seed)
            var all: [[WorldEffect]] = []
            let ids = try (0..<4).map { _ in try bench.machine() }
            for id in ids {
                bench.call(WaitTests.wait([.state(.stopped)], seconds: 3), machine: id)
                bench.exit(id, code: 1)
                all.append(bench.effects)
            }
            bench.pass(.seconds(5))
            all.append(bench.effects)
            return (bench.world, all)
        }
        let (first, firstEffects) = try history(seed: 1)
        let (second, secondEffects) = try history(seed: 1)
        #expect(first == second && firstEffects == secondEffects)
        #expect(try history(seed: 2).0 != first, "the seed gives the ids")
    }

    @Test func `a world survives being written and read`() throws {
        var bench = WorldBench()
        for state in MachineState.allCases {
            _ = try bench.machine(in: state, config: ["checks": ["alive": ["type": "tcp"]], "extra": [nil, 1.5]])
        }
        bench.call(.setSecrets(["A": "1"]))
        bench.call(.createRelease(image: "a", strategy: "s", definition: ["x": 1]))
        let data = try JSONEncoder().encode(bench.world)
        let read = try JSONDecoder().decode(World.self, from: data)
        #expect(read.apps == bench.world.apps)
        #expect(read.machines == bench.world.machines)
    }
}
