// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FlyWorld

/// What a simulator is started with.
package struct SimulatorConfiguration: Sendable {
    package enum Guests: String, Sendable, CaseIterable {
        /// Machines are real processes from the images in the simulator's registry.
        case process
        /// Machines only exist as state; every image can be run, every check passes.
        case model
    }

    /// The address to listen on.
    package var host: String
    /// 0 takes any free port.
    package var port: Int
    /// Everything the simulator keeps lies below it; made where it is missing.
    package var directory: String
    package var guests: Guests
    /// Added to every API answer.
    package var roundTrip: Duration
    /// How long a modelled guest boots; added to the start of a real one.
    package var bootTime: Duration
    package var isRateLimited: Bool
    /// How long a machine with `autostop` runs without a visit; nil never stops one.
    package var autostopsAfter: Duration?
    /// The organisations each valid token may act for, none meaning all of them; nil accepts any token.
    package var tokens: [String: Set<String>]?
    package var faults: WorldFaults
    /// A program whose subcommand `simulator-guest` is the guests' supervisor: airboss itself.
    package var guestExecutable: String
    /// Gives the world its ids where the directory holds none yet.
    package var seed: UInt64

    package init(
        host: String = "127.0.0.1", port: Int = 0, directory: String, guests: Guests = .process,
        roundTrip: Duration = .zero, bootTime: Duration = .zero, isRateLimited: Bool = true,
        autostopsAfter: Duration? = .seconds(300),
        tokens: [String: Set<String>]? = nil, faults: WorldFaults = WorldFaults(), guestExecutable: String = "",
        seed: UInt64 = UInt64.random(in: .min ... .max)
    ) {
        self.host = host
        self.port = port
        self.directory = directory
        self.guests = guests
        self.roundTrip = roundTrip
        self.bootTime = bootTime
        self.isRateLimited = isRateLimited
        self.autostopsAfter = autostopsAfter
        self.tokens = tokens
        self.faults = faults
        self.guestExecutable = guestExecutable
        self.seed = seed
    }
}

/// Where a simulator listens.
package struct SimulatorAddress: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    package var port: Int

    /// `host:port`.
    package var description: String {
        (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
    }
}
