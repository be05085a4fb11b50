// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// How far a rollout may go at once in a fleet of a given size.
package struct RolloutBounds: Hashable, Codable, Sendable {
    /// The fewest machines that must serve at any instant.
    package var servingFloor: Int
    /// The most machines that may be down at once; at least 1.
    package var maxUnavailable: Int

    package init(servingFloor: Int, maxUnavailable: Int) {
        self.servingFloor = servingFloor
        self.maxUnavailable = maxUnavailable
    }
}

extension Pipeline {
    /// What the pipeline's `max_unavailable` and `serving_floor` come to for a fleet, and what is wrong with them.
    ///
    /// `fleet` counts the machines of each group that take traffic; machines without services serve nobody and are
    /// bounded by `max_unavailable` alone. The bounds are nil where the fleet can never be changed under its floor.
    package func rolloutBounds(fleet: [ProcessGroup: Int]) -> (bounds: RolloutBounds?, diagnostics: [Diagnostic]) {
        let total = fleet.values.reduce(0, +)
        let wanted =
            switch deploy.maxUnavailable {
            case .count(let machines): machines
            case .fraction(let share): max(1, Int(share * Double(total)))
            }
        guard total > 0 else { return (RolloutBounds(servingFloor: 0, maxUnavailable: wanted), []) }
        let floor = deploy.servingFloor ?? (total > 1 ? 1 : 0)
        let machines = total == 1 ? "1 machine takes" : "\(total) machines take"
        guard floor < total else {
            return (
                nil,
                [
                    Diagnostic(
                        .error, at: location(of: "deploy.serving_floor"),
                        "a serving floor of \(floor) leaves no machine to change: \(machines) traffic",
                        suggestion:
                            "lower serving_floor to at most \(total - 1), or have at least \(floor + 1) machines")
                ]
            )
        }
        guard total - wanted < floor else {
            return (RolloutBounds(servingFloor: floor, maxUnavailable: wanted), [])
        }
        let key = locations["deploy.max_unavailable"] == nil ? "deploy.serving_floor" : "deploy.max_unavailable"
        return (
            RolloutBounds(servingFloor: floor, maxUnavailable: total - floor),
            [
                Diagnostic(
                    .warning, at: location(of: key),
                    "max_unavailable of \(wanted) would break the serving floor of \(floor) of \(total) machines; "
                        + "\(total - floor) at once it is",
                    suggestion: "lower max_unavailable to \(total - floor)")
            ]
        )
    }
}
