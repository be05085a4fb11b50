// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What a rollout must know of a machine from second to second; small, because every one is journaled.
package struct Observation: Hashable, Codable, Sendable {
    package var id: MachineID
    package var state: String
    package var instance: InstanceID
    /// The operation whose config the machine carries; empty where none of Airboss's.
    package var operation: OperationID
    package var checksPassing: Int
    package var checksReported: Int
    /// The output of the first check that does not pass, shortened; empty where all pass.
    package var failingCheck: String
    package var isCordoned: Bool
    package var isHostReachable: Bool
    /// The newest exit that nobody asked for, since this version was installed.
    package var exit: Exit?
    /// Starts of this version so far, less the first.
    package var restarts: Int

    package struct Exit: Hashable, Codable, Sendable {
        package var code: Int
        package var isOutOfMemory: Bool
        package var at: Timestamp

        package init(code: Int, isOutOfMemory: Bool, at: Timestamp) {
            self.code = code
            self.isOutOfMemory = isOutOfMemory
            self.at = at
        }
    }

    package init(
        id: MachineID, state: String, instance: InstanceID, operation: OperationID = "", checksPassing: Int = 0,
        checksReported: Int = 0, failingCheck: String = "", isCordoned: Bool = false, isHostReachable: Bool = true,
        exit: Exit? = nil, restarts: Int = 0
    ) {
        self.id = id
        self.state = state
        self.instance = instance
        self.operation = operation
        self.checksPassing = checksPassing
        self.checksReported = checksReported
        self.failingCheck = failingCheck
        self.isCordoned = isCordoned
        self.isHostReachable = isHostReachable
        self.exit = exit
        self.restarts = restarts
    }

    /// The longest check output kept, in characters.
    private static let maxCheckOutputCharacters = 160

    package init(of machine: FleetMachine) {
        let failing = machine.checks.first { $0.status != "passing" }
        let exits = machine.events.filter { $0.type == "exit" && !$0.wasRequested }
        let starts = machine.events.count { $0.type == "start" && $0.status == "started" }
        self.init(
            id: machine.id,
            state: machine.state,
            instance: machine.instance,
            operation: OperationID(machine.config.metadata(Bookkeeping.operation) ?? ""),
            checksPassing: machine.checks.count { $0.status == "passing" },
            checksReported: machine.checks.count,
            failingCheck: failing.map {
                "\($0.name): " + String($0.output.prefix(Observation.maxCheckOutputCharacters))
            } ?? "",
            isCordoned: machine.isCordoned,
            isHostReachable: machine.hostStatus == "ok",
            exit: exits.max { $0.at < $1.at }.map {
                Exit(code: $0.exitCode ?? -1, isOutOfMemory: $0.isOutOfMemory, at: $0.at)
            },
            restarts: max(0, starts - 1)
        )
    }

    /// Takes traffic now, where the machine's config names `expectedChecks` checks.
    package func isServing(expectedChecks: Int) -> Bool {
        state == "started" && !isCordoned && isHostReachable && checksReported >= expectedChecks
            && checksPassing == checksReported
    }
}

/// The metadata keys by which Airboss recognises its own work on the platform.
package enum Bookkeeping {
    package static let run = "airboss_run"
    package static let operation = "airboss_operation"
    package static let release = "airboss_release"
    /// `deploy` or `rollback`: what the run that wrote the config was about to do with it.
    package static let kind = "airboss_kind"
    /// The fingerprint of the config's substance that this one took the place of.
    package static let replaces = "airboss_replaces"
    /// The run that created the machine; only such machines are ever destroyed to undo a run.
    package static let created = "airboss_created"
    /// Begins the keys of the tickets of runs that wait for the app. They belong to no config: see
    /// ``MachineConfig/withoutTickets``.
    package static let ticketPrefix = "airboss_queue_"
}
