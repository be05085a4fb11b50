// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Whether the time of day that this machine tells can be the time of day.
enum PlausibleClock {
    /// Older than any Airboss: a clock that says less was never set.
    static let earliest = Timestamp(secondsSinceEpoch: 1_767_225_600)

    /// What is wrong with a clock that says `now`; nil where nothing can be.
    static func problem(_ now: Timestamp) -> AirbossError? {
        guard now < earliest else { return nil }
        return AirbossError(
            .configuration,
            "this machine's clock says \(now), so that windows, approvals and the order of runs can't be told by it",
            hint: "set the clock (timedatectl set-ntp true), and try again")
    }
}
