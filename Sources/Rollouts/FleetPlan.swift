// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a rollout knows of a machine beside its state from second to second.
package struct FleetMember: Hashable, Codable, Sendable {
    package var id: MachineID
    package var group: ProcessGroup
    package var region: String
    /// Whether traffic can reach it.
    package var hasServices: Bool
    /// Checks named by the config that the machine runs now.
    package var expectedChecks: Int
    /// The platform starts it when traffic comes, so that stopped it still counts as available.
    package var startsOnDemand: Bool
    /// The digest that it ran before the rollout.
    package var digest: ImageDigest?

    package init(_ machine: FleetMachine) {
        self.init(machine.id, machine.region, machine.config)
        digest = machine.imageDigest
    }

    /// A machine that a rollout made.
    init(_ machine: MachineID, _ item: RolloutItem) {
        self.init(machine, item.region, item.change.config)
    }

    private init(_ machine: MachineID, _ region: String, _ config: MachineConfig) {
        id = machine
        group = config.processGroup
        self.region = region
        hasServices = config.hasServices
        expectedChecks = config.checkCount
        startsOnDemand = (config.json["services"]?.array ?? []).contains { $0["autostart"]?.bool == true }
    }

    /// Serves, or would at the first request.
    package func isAvailable(_ observation: Observation) -> Bool {
        if observation.isServing(expectedChecks: expectedChecks) { return true }
        return startsOnDemand && !observation.isCordoned && observation.isHostReachable
            && (observation.state == "stopped" || observation.state == "suspended")
    }
}

/// One machine's place in a rollout.
package struct RolloutItem: Hashable, Codable, Sendable {
    /// The machine's id, or the name it will be created with.
    package var key: String
    package var group: ProcessGroup
    package var region: String
    package var change: MachineChange.Plan

    package init(key: String, group: ProcessGroup, region: String, change: MachineChange.Plan) {
        self.key = key
        self.group = group
        self.region = region
        self.change = change
    }
}

/// How a fleet gets from what it is to what it shall be.
package struct FleetPlan: Hashable, Codable, Sendable {
    /// In the order in which they are begun.
    package var items: [RolloutItem]
    /// Machines that already are what they shall be.
    package var unchanged: [MachineID]
    package var members: [FleetMember]
    /// Machines that are not Airboss's to touch.
    package var unmanaged: [MachineID]

    /// States in which a machine rests without running; its update does not start it.
    package static let restingStates: Set<String> = ["stopped", "suspended", "created"]

    /// Plans the way from `fleet` to `wanted`.
    ///
    /// - Parameters:
    ///   - wanted: the whole config each managed machine shall have; nil leaves the machine alone.
    ///   - additions: machines to create, with their names.
    ///   - leases: leases that the run itself holds, by machine.
    ///   - operation: the id of the n-th operation of the run.
    package static func make(
        fleet: [FleetMachine], waitTimeout: Duration, additions: [Addition] = [], leases: [MachineID: LeaseNonce] = [:],
        operation: (Int) -> OperationID, wanted: (FleetMachine) -> MachineConfig?
    ) -> FleetPlan {
        var plan = FleetPlan(items: [], unchanged: [], members: [], unmanaged: [])
        var counter = 0
        let ordered = fleet.sorted { (rank($0), $0.id) < (rank($1), $1.id) }
        for machine in ordered {
            guard machine.isManaged, !machine.config.processGroup.rawValue.hasPrefix("fly_app_"),
                let config = wanted(machine)
            else {
                plan.unmanaged.append(machine.id)
                continue
            }
            plan.members.append(FleetMember(machine))
            if machine.config.substance == config.substance, isSound(machine) {
                plan.unchanged.append(machine.id)
                continue
            }
            counter += 1
            plan.items.append(
                RolloutItem(
                    key: machine.id.rawValue, group: config.processGroup, region: machine.region,
                    change: .init(
                        target: .existing(machine: machine.id, version: machine.instance),
                        config: stamped(config, operation(counter), over: machine.config),
                        operation: operation(counter), skipLaunch: restingStates.contains(machine.state),
                        waitTimeout: waitTimeout, borrowedLease: leases[machine.id])))
        }
        let isFirstDeploy = plan.members.isEmpty
        for addition in isFirstDeploy ? additions.sorted(by: { $0.name < $1.name }) : additions {
            counter += 1
            var change = MachineChange.Plan(
                target: .new(name: addition.name, region: addition.region),
                config: stamped(addition.config, operation(counter), over: nil), operation: operation(counter),
                skipLaunch: false, waitTimeout: waitTimeout)
            // The app's first machine is what other runs meet: its lease is the run's from the beginning.
            change.keepsLease = isFirstDeploy && counter == 1
            plan.items.append(
                RolloutItem(
                    key: addition.name, group: addition.config.processGroup, region: addition.region, change: change))
        }
        return plan
    }

    /// A machine to create.
    package struct Addition: Hashable, Codable, Sendable {
        package var name: String
        package var region: String
        package var config: MachineConfig

        package init(name: String, region: String, config: MachineConfig) {
            self.name = name
            self.region = region
            self.config = config
        }
    }

    /// Broken machines come first, for they have nothing to lose; resting ones last, for they tell nothing.
    private static func rank(_ machine: FleetMachine) -> Int {
        if restingStates.contains(machine.state) { return 2 }
        return machine.isServing ? 1 : 0
    }

    /// Whether a machine with the right config is also in a state in which it may be left.
    private static func isSound(_ machine: FleetMachine) -> Bool {
        restingStates.contains(machine.state) || (machine.state == "started" && machine.areChecksPassing)
    }

    /// The config with what makes it recognisable: its operation, and what it took the place of. A machine keeps the
    /// mark of the run that created it, for no record of the platform's says so.
    private static func stamped(_ config: MachineConfig, _ operation: OperationID, over former: MachineConfig?)
        -> MachineConfig
    {
        var copy = config
        var metadata = copy.metadata
        metadata[Bookkeeping.operation] = operation.rawValue
        metadata[Bookkeeping.replaces] = former?.fingerprint
        metadata[Bookkeeping.created] = former.map { $0.metadata(Bookkeeping.created) } ?? metadata[Bookkeeping.run]
        copy.metadata = metadata
        return copy
    }
}
