// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

/// A fleet that was found somewhere goes on living in a world of its own.
@Suite struct FoundFleetTests {
    private static let now = Timestamp(secondsSinceEpoch: 1_795_435_200)

    private static func world(_ state: String, isCordoned: Bool = false, check: String = "passing") -> World {
        let config = MachineConfig([
            "image": "registry.fly.io/web:1", "metadata": ["fly_platform_version": "v2"],
            "services": [["internal_port": 80, "checks": [["type": "tcp"]]]],
        ])
        let machine = FleetMachine(
            id: "m1", name: "one", state: state, region: "ord", instance: "m1-7", config: config, imageDigest: nil,
            checks: [.init(name: "servicecheck-00-tcp-80", status: check, output: "", updatedAt: nil)],
            isCordoned: isCordoned)
        return World(
            seed: 1, app: "web", organization: "acme", found: [machine],
            releases: [PlatformReleaseEntry(id: "r2", number: ReleaseNumber(2), status: "complete", image: "")], at: now
        )
    }

    @Test(arguments: [
        ("started", MachineState.started), ("starting", .started), ("updating", .started), ("stopping", .stopped),
        ("suspended", .suspended), ("created", .created), ("launch_failed", .failed),
    ])
    func `what is on its way counts as arrived`(word: String, state: MachineState) {
        #expect(Self.world(word).machines["m1"]?.state == state)
    }

    @Test func `one that is about to end is not there`() {
        #expect(Self.world("destroying").machines.isEmpty)
    }

    @Test func `it serves as it was found serving`() {
        #expect(Self.world("started").routableMachines(of: "web").count == 1)
        #expect(Self.world("started", isCordoned: true).routableMachines(of: "web").isEmpty)
        #expect(Self.world("started", check: "critical").routableMachines(of: "web").isEmpty)
        #expect(Self.world("stopped").routableMachines(of: "web").isEmpty)
    }

    @Test func `it takes calls under its own ids and versions, and the next release follows the last`() throws {
        var world = Self.world("started")
        world.settings.isRateLimited = false
        func ask(_ call: WorldCall, _ machine: String? = nil) -> WorldAnswer? {
            world.handle(WorldRequest(id: 1, app: "web", machine: machine, call: call), at: Self.now).response?.answer
        }
        guard case .machine(let machine, _)? = ask(.getMachine, "m1") else {
            Issue.record("no machine")
            return
        }
        #expect(machine.instance == "m1-7" && machine.privateAddress.isEmpty)
        guard case .release(let release, _)? = ask(.createRelease(image: "i", strategy: "rolling", definition: nil))
        else {
            Issue.record("no release")
            return
        }
        #expect(release.version == 3)
        guard
            case .machine(let updated, _)? = ask(
                .updateMachine(MachineInput(config: machine.config, imageDigest: "sha256:1", currentVersion: "m1-7")),
                "m1")
        else {
            Issue.record("not updated")
            return
        }
        #expect(updated.state == .replacing)
    }
}
