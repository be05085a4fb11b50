// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// All that one rehearsal of a scenario hangs on: with the same plan it goes the same way.
package struct RehearsalPlan: Hashable, Codable, Sendable {
    /// For latencies and for whatever else is drawn along the way.
    package var seed: UInt64
    /// One way of a call, in milliseconds.
    package var fastestCall: Int
    package var slowestCall: Int
    package var disturbances: [Disturbance]
    /// How the new image behaves; nil for as the scenario has it.
    package var newImage: GuestBehaviour?
    /// A second run of the app; nil for as the scenario has it.
    package var rival: Scenario.Rival?

    package init(
        seed: UInt64 = 0, fastestCall: Int = 15, slowestCall: Int = 15, disturbances: [Disturbance] = [],
        newImage: GuestBehaviour? = nil, rival: Scenario.Rival? = nil
    ) {
        self.seed = seed
        self.fastestCall = fastestCall
        self.slowestCall = slowestCall
        self.disturbances = disturbances
        self.newImage = newImage
        self.rival = rival
    }
}
