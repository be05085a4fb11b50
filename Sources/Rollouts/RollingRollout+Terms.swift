// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a rollout is given to keep to, and what it comes to.
extension RollingRollout {
    /// How wide a rollout may be.
    package struct Limits: Hashable, Codable, Sendable {
        package var maxUnavailable: MaxUnavailable
        /// The fewest available machines allowed in every group that takes traffic, at any instant; nil for one
        /// wherever one can be spared.
        package var servingFloor: Int?
        /// Whether one machine of a group may always be taken away, whatever the floor says.
        package var alwaysSparesOne: Bool
        /// How long the rollout waits for the floor to allow its next step.
        package var patience: Duration

        package init(
            maxUnavailable: MaxUnavailable, servingFloor: Int?, alwaysSparesOne: Bool = false, patience: Duration
        ) {
            self.maxUnavailable = maxUnavailable
            self.servingFloor = servingFloor
            self.alwaysSparesOne = alwaysSparesOne
            self.patience = patience
        }
    }

    package enum MaxUnavailable: Hashable, Codable, Sendable {
        case count(machines: Int)
        /// Of a group's machines; above 0 and below 1.
        case fraction(share: Double)

        /// At least one, or nothing would ever change.
        package func machines(of total: Int) -> Int {
            switch self {
            case .count(let machines): max(1, machines)
            case .fraction(let share): max(1, Int((share * Double(total)).rounded(.down)))
            }
        }
    }

    package enum Outcome: Hashable, Codable, Sendable {
        case succeeded
        /// `changed` names the machines that may run something new.
        case failed(reason: String, changed: [String])
        case stopped(changed: [String])
    }

    /// What a rollout leaves behind whose process ended in the middle of it.
    package struct Remains: Hashable, Sendable {
        /// Machines that may run something new, by id, or by name where they were to be created.
        package var changed: [String] = []
        /// Machines whose change had begun and not ended: a call for one of them may still be under way.
        package var unsettled: [MachineID] = []
        /// Machines to which something was sent that may yet happen, whatever a look has shown.
        package var uncertain: [MachineID] = []
        /// Leases that are known of.
        package var leases: [MachineID: LeaseNonce] = [:]
        /// Names of machines whose creation may still be under way.
        package var unsettledCreates: [String] = []

        package init() {}
    }
}
