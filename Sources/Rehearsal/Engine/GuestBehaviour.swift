// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// How the processes of one image behave in a rehearsal.
package struct GuestBehaviour: Hashable, Codable, Sendable {
    package enum Health: Hashable, Codable, Sendable {
        case good
        /// It starts, and its checks never pass.
        case neverPasses
        /// It exits by itself with code 1, so long after each start.
        case exits(afterMilliseconds: Int)
        /// Its checks pass, and it answers 503 to everybody else.
        case failsProbes
        /// It can't be started at all.
        case failsToBoot
        /// Its checks pass and fail in turn.
        case flaps(everyMilliseconds: Int)
    }

    /// From the order to start to running.
    package var bootMilliseconds: Int
    /// From running to the first result of its checks.
    package var checkMilliseconds: Int
    package var health: Health

    package init(bootMilliseconds: Int = 2000, checkMilliseconds: Int = 500, health: Health = .good) {
        self.bootMilliseconds = bootMilliseconds
        self.checkMilliseconds = checkMilliseconds
        self.health = health
    }
}
