// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a change is told, where it stands, and what it asks for.
extension MachineChange {
    package enum Target: Hashable, Codable, Sendable {
        case existing(machine: MachineID, version: InstanceID)
        case new(name: String, region: String)
    }

    /// What is to be done, and how long it may take.
    package struct Plan: Hashable, Codable, Sendable {
        package var target: Target
        package var config: MachineConfig
        /// Written into the config, so that a lost answer can be settled by looking.
        package var operation: OperationID
        /// A stopped machine is updated without being started.
        package var skipLaunch: Bool
        /// From the update to healthy.
        package var waitTimeout: Duration
        /// A lease that the run itself holds and keeps: it is used, and neither refreshed nor released here.
        package var borrowedLease: LeaseNonce?
        /// Whether the lease that the machine is born with stays the run's after the change has succeeded.
        package var keepsLease = false

        package init(
            target: Target, config: MachineConfig, operation: OperationID, skipLaunch: Bool, waitTimeout: Duration,
            borrowedLease: LeaseNonce? = nil
        ) {
            self.target = target
            self.config = config
            self.operation = operation
            self.skipLaunch = skipLaunch
            self.waitTimeout = waitTimeout
            self.borrowedLease = borrowedLease
        }
    }

    package enum Result: Hashable, Codable, Sendable {
        case succeeded(machine: MachineID, version: InstanceID)
        /// `mayHaveChanged` is false only where the machine certainly runs what it ran before.
        case failed(reason: String, mayHaveChanged: Bool)
    }

    /// A version being brought up, and the lease it is done under (none for a created machine whose answer was lost).
    package struct Hold: Hashable, Codable, Sendable {
        package var machine: MachineID
        package var version: InstanceID
        package var lease: Lease?
        package var deadline: Timestamp
    }

    package enum State: Hashable, Codable, Sendable {
        /// Next: `leasing`, `creating`, `finished`.
        case ready
        /// Next: `held`, `updating`, `leaseTaken`, `releasing`, `finished`.
        case leasing(until: Timestamp)
        /// Somebody else holds the lease. Next: `leasing`, `finished`.
        case leaseTaken(until: Timestamp)
        /// Leased ahead, waiting for its turn. Next: `updating`, `releasing`.
        case held(lease: Lease)
        /// Next: `starting`, `looking`, `releasing`.
        case updating(lease: Lease, attempt: Int)
        /// The answer to the update was lost; the machine says whether it happened. Next: `starting`, `pausing`,
        /// `releasing`.
        case looking(lease: Lease, attempt: Int)
        /// Next: `starting`, `seeking`, `finished`.
        case creating(attempt: Int)
        /// The answer to the create was lost; the list says whether it happened. Next: `starting`, `pausing`,
        /// `finished`.
        case seeking(attempt: Int)
        /// It did not happen; what kept it from happening may be over soon. Without a lease it is a create that waits.
        /// Next: `updating`, `releasing`; `creating`, `finished` without a lease.
        case pausing(lease: Lease?, attempt: Int, until: Timestamp)
        /// Next: `checking`, `securing`, `releasing`, `finished`.
        case starting(hold: Hold)
        /// Next: `securing`, `releasing`, `finished`.
        case checking(hold: Hold)
        /// Healthy, and to be kept leased; but the lease that it was born with is not known. Next: `checking`,
        /// `finished`.
        case securing(hold: Hold, until: Timestamp, isAsking: Bool)
        /// Next: `finished`.
        case releasing(lease: Lease, result: Result)
        case finished(result: Result)
    }

    /// The call that failed.
    package enum Step: String, Codable, Sendable, CaseIterable {
        case lease, refresh, update, look, create, seek, wait, release
    }

    package enum Event: Hashable, Codable, Sendable {
        case begin
        /// Its turn has come.
        case proceed
        case leased(lease: Lease)
        /// The update was answered, or a look.
        case changed(machine: FleetMachine)
        /// The create was answered.
        case created(machine: FleetMachine, lease: Lease?)
        /// The list does not have what may have been created.
        case absent
        case reached
        case waitTimedOut
        case observed(observation: Observation)
        case released
        case failed(step: Step, failure: Failure)
        case woke
        /// Stop: release what is held and end.
        case abandon
    }

    package enum Action: Hashable, Sendable {
        case acquireLease
        case refreshLease(Lease)
        case update(Lease)
        case look
        case create
        /// Find a machine of this name in the list.
        case seek
        case wait(MachineID, InstanceID, seconds: Int)
        case cancelWait
        case releaseLease(Lease)
        case wake(at: Timestamp)
    }
}
