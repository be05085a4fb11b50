// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts
import Testing

@Suite struct FleetPlanTests {
    private func plan(_ fleet: [FleetMachine], _ wanted: (FleetMachine) -> MachineConfig? = { _ in nil }) -> FleetPlan {
        FleetPlan.make(
            fleet: fleet, waitTimeout: .seconds(60), operation: { OperationID("run/\($0)") }, wanted: wanted)
    }

    private func toNew(_ machine: FleetMachine) -> MachineConfig? { Sample.config(Sample.newDigest) }

    @Test func `broken machines first, resting ones last`() {
        let fleet = [
            Sample.machine(1), Sample.machine(2, state: "stopped"), Sample.machine(3, isHealthy: false),
            Sample.machine(4, state: "failed"), Sample.machine(5),
        ]
        #expect(plan(fleet, toNew).items.map(\.key) == ["m3", "m4", "m1", "m5", "m2"])
    }

    @Test func `the order does not hang on the order of the list`() {
        let fleet = Sample.fleet(6)
        #expect(plan(fleet.reversed(), toNew) == plan(fleet, toNew))
    }

    @Test func `each item carries its operation in its config, and its version`() {
        let items = plan(Sample.fleet(2), toNew).items
        #expect(items.map(\.change.operation) == ["run/1", "run/2"])
        #expect(items.map { $0.change.config.metadata[Bookkeeping.operation] } == ["run/1", "run/2"])
        #expect(items[0].change.target == .existing(machine: "m1", version: "m1-1"))
        #expect(items.allSatisfy { !$0.change.skipLaunch })
    }

    @Test(arguments: [
        ("started", true, true), ("started", false, false), ("stopped", true, true), ("suspended", true, true),
        ("failed", true, false), ("starting", true, false), ("a new word", true, false),
    ])
    func `an equal machine is left alone where it is sound`(_ state: String, _ isHealthy: Bool, _ isSkipped: Bool) {
        let machine = Sample.machine(1, digest: Sample.newDigest, state: state, isHealthy: isHealthy)
        let plan = plan([machine], toNew)
        #expect(plan.unchanged == (isSkipped ? ["m1"] : []))
        #expect(plan.items.isEmpty == isSkipped)
        #expect(plan.members.count == 1)
    }

    @Test func `who wrote the config last makes no difference`() {
        var machine = Sample.machine(1, digest: Sample.newDigest)
        for key in MachineConfig.bookkeepingKeys { machine.config.metadata[key] = "another" }
        #expect(plan([machine], toNew).unchanged == ["m1"])
    }

    @Test(arguments: ["stopped", "suspended", "created"])
    func `machines at rest are not started`(_ state: String) {
        #expect(plan([Sample.machine(1, state: state)], toNew).items.first?.change.skipLaunch == true)
    }

    @Test func `what is not ours, not wanted or a release command is left alone`() {
        var release = Sample.machine(3)
        release.config.metadata["fly_process_group"] = "fly_app_release_command"
        let fleet = [Sample.machine(1, isManaged: false), Sample.machine(2), release]
        let plan = plan(fleet) { $0.id == "m2" ? nil : Sample.config(Sample.newDigest) }
        #expect(plan.items.isEmpty)
        #expect(plan.members.isEmpty)
        #expect(Set(plan.unmanaged) == ["m1", "m2", "m3"])
    }

    @Test func `additions come after what is there`() {
        let addition = FleetPlan.Addition(name: "new-1", region: "ams", config: Sample.config(Sample.newDigest))
        let plan = FleetPlan.make(
            fleet: Sample.fleet(1), waitTimeout: .seconds(60), additions: [addition],
            operation: { OperationID("run/\($0)") }, wanted: toNew)
        #expect(plan.items.map(\.key) == ["m1", "new-1"])
        #expect(plan.items[1].change.target == .new(name: "new-1", region: "ams"))
        #expect(plan.items[1].change.operation == "run/2")
    }

    @Test func `a stopped machine that starts with traffic counts as available`() {
        var machine = Sample.machine(1, state: "stopped")
        #expect(!FleetMember(machine).isAvailable(Observation(of: machine)))
        machine.config.json["services"] = [["autostart": true]]
        #expect(FleetMember(machine).isAvailable(Observation(of: machine)))
        machine.isCordoned = true
        #expect(!FleetMember(machine).isAvailable(Observation(of: machine)))
    }

    @Test(arguments: [
        (RollingRollout.MaxUnavailable.count(machines: 1), 10, 1), (.count(machines: 3), 10, 3),
        (.count(machines: 0), 10, 1), (.fraction(share: 0.33), 10, 3), (.fraction(share: 0.33), 2, 1),
        (.fraction(share: 0.5), 5, 2), (.fraction(share: 0.99), 100, 99), (.fraction(share: 0.01), 3, 1),
    ])
    func `how many may be away`(_ width: RollingRollout.MaxUnavailable, _ total: Int, _ expected: Int) {
        #expect(width.machines(of: total) == expected)
    }
}
