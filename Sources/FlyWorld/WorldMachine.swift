// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A machine's state in the platform's own words. Source: Fly's "Machine states and lifecycle".
package enum MachineState: String, Hashable, Codable, Sendable, CaseIterable {
    /// Exists, was never launched. Next: `starting`, `destroying`.
    case created
    /// The guest boots. Next: `started`, `failed`, `stopping`, `replacing`.
    case starting
    /// The guest runs. Next: `stopping`, `restarting`, `suspended`, `replacing`, `stopped` (it exited), `destroying`.
    case started
    /// The guest was asked to stop. Next: `stopped`, `destroying`.
    case stopping
    /// No guest. Next: `starting`, `destroying`.
    case stopped
    /// The guest is paused. Next: `started`, `stopping`, `replacing`, `destroying`.
    case suspended
    /// The guest was asked to stop so that it can be started again, or it failed and the restart policy gives it
    /// another try after a pause. Next: `starting`, `stopping`, `stopped`, `replacing`, `destroying`.
    case restarting
    /// The guest of the last version was asked to stop; the new version boots next. Next: `starting`, `stopped`.
    case replacing
    /// The guest could not be started at all. Next: `starting`, `replacing`, `destroying`.
    case failed
    /// Next: `destroyed`.
    case destroying
    case destroyed

    /// Whether the machine stays so until somebody asks for something else.
    package var isResting: Bool {
        switch self {
        case .created, .started, .stopped, .suspended, .failed, .destroyed: true
        case .starting, .stopping, .restarting, .replacing, .destroying: false
        }
    }
}

/// The exclusive right to change a machine, until it expires.
package struct WorldLease: Hashable, Codable, Sendable {
    package var nonce: String
    package var owner: String
    package var expiresAt: Timestamp
    package var note: String
    /// The machine's version when the lease was granted.
    package var version: String
}

/// One entry of a machine's history.
package struct MachineEvent: Hashable, Codable, Sendable {
    package var id: String
    /// `launch`, `start`, `stop`, `exit`, `restart`, `update`, `suspend`, `destroy`, `cordon`….
    package var type: String
    package var status: String
    /// `user`, `flyd`, or `proxy` for a start or stop that visitors, or their absence, caused.
    package var source: String
    package var at: Timestamp
    package var exit: Exit?

    package struct Exit: Hashable, Codable, Sendable {
        package var code: Int32
        package var signal: Int32?
        package var isOutOfMemory: Bool
        package var wasRequested: Bool
        package var isRestarting: Bool
        package var restarts: Int
    }
}

/// What a check said last.
package struct CheckResult: Hashable, Codable, Sendable {
    package enum Standing: String, Hashable, Codable, Sendable {
        case passing, warning, critical
    }

    package var name: String
    package var standing: Standing
    package var output: String
    package var updatedAt: Timestamp
}

/// One version of a machine's config.
package struct MachineVersion: Hashable, Codable, Sendable {
    package var instance: String
    package var config: MachineConfig
}

/// A machine as the platform holds it.
package struct WorldMachine: Hashable, Codable, Sendable {
    /// Events kept per machine; Fly keeps about this many.
    package static let maxRetainedEvents = 100
    /// Versions kept per machine.
    package static let maxRetainedVersions = 100

    package var id: String
    package var app: String
    package var name: String
    package var region: String
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package internal(set) var state: MachineState
    package var instance: String
    package var config: MachineConfig
    package var imageDigest: String?
    /// The version of the app's secrets the guest gets.
    package var secretsVersion: Int
    /// Newest first.
    package var versions: [MachineVersion]
    /// Newest first.
    package var events: [MachineEvent] = []
    /// By name, in the order of the config's checks; empty until the first results arrive.
    package var checks: [CheckResult] = []
    package var lease: WorldLease?
    package var isCordoned: Bool
    /// `ok`, `unknown` or `unreachable`.
    package var hostStatus = "ok"
    package var privateAddress: String

    var guest = GuestPhase.none
    /// Numbers the guests of this machine, so that the news of an older one is recognised and dropped.
    package internal(set) var boot = 0
    var guestStartedAt: Timestamp?
    /// What follows once the guest that was asked to stop has exited.
    var afterExit = AfterExit.followPolicy
    /// Restarts in a row, since the last start somebody asked for or the last long enough life.
    var restarts = 0
    var restartAt: Timestamp?
    /// When its last visitor left, or it started; only meaningful while it runs.
    var idleSince: Timestamp?

    enum GuestPhase: String, Hashable, Codable, Sendable {
        case none, booting, running
        /// Asked or forced to end; its exit is still to come.
        case ending
    }

    enum AfterExit: String, Hashable, Codable, Sendable {
        /// Nobody asked for the exit: the restart policy decides.
        case followPolicy
        case stay
        case bootAgain
        case destroy
    }

    /// The lease somebody holds at `now`.
    package func liveLease(at now: Timestamp) -> WorldLease? {
        lease.flatMap { $0.expiresAt > now ? $0 : nil }
    }

    /// Whether the proxy may send it traffic: started, on a reachable host, not cordoned, with a service, and every
    /// check the config names has reported and passes.
    package var isRoutable: Bool {
        state == .started && hostStatus == "ok" && !isCordoned && config.hasServices && areChecksPassing
    }

    package var areChecksPassing: Bool {
        checks.count >= config.checkCount && checks.allSatisfy { $0.standing == .passing }
    }
}
