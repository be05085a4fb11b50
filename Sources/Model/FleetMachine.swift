// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// One machine of an app as the platform describes it now.
package struct FleetMachine: Hashable, Codable, Sendable {
    package var id: MachineID
    package var name: String
    /// The platform's word for the state; kept as text because the platform adds words without notice.
    package var state: String
    package var region: String
    package var instance: InstanceID
    package var config: MachineConfig
    /// Whether the platform could show the whole config; false while its host is not reachable.
    package var isConfigComplete: Bool
    /// The digest of the image that runs.
    package var imageDigest: ImageDigest?
    package var checks: [Check]
    /// Newest first.
    package var events: [Event]
    /// `ok`, `unknown` or `unreachable`.
    package var hostStatus: String
    package var isCordoned: Bool
    /// The address inside Fly's network; empty where there is none.
    package var privateAddress: String
    /// By the platform's clock; nil where it does not say.
    package var createdAt: Timestamp?
    /// What runs that wait for the app have written into its metadata, by key; nil where none has. It is no part of
    /// ``config``.
    package var tickets: [String: String]?

    package struct Check: Hashable, Codable, Sendable {
        package var name: String
        /// `passing`, `warning` or `critical`.
        package var status: String
        package var output: String
        package var updatedAt: Timestamp?

        package init(name: String, status: String, output: String, updatedAt: Timestamp?) {
            self.name = name
            self.status = status
            self.output = output
            self.updatedAt = updatedAt
        }
    }

    package struct Event: Hashable, Codable, Sendable {
        package var type: String
        package var status: String
        package var at: Timestamp
        /// The exit code of an `exit` event.
        package var exitCode: Int?
        package var isOutOfMemory: Bool
        /// Whether the stop was asked for through the API.
        package var wasRequested: Bool

        package init(
            type: String, status: String, at: Timestamp, exitCode: Int?, isOutOfMemory: Bool, wasRequested: Bool
        ) {
            self.type = type
            self.status = status
            self.at = at
            self.exitCode = exitCode
            self.isOutOfMemory = isOutOfMemory
            self.wasRequested = wasRequested
        }
    }

    package init(
        id: MachineID, name: String, state: String, region: String, instance: InstanceID, config: MachineConfig,
        isConfigComplete: Bool = true, imageDigest: ImageDigest?, checks: [Check] = [], events: [Event] = [],
        hostStatus: String = "ok", isCordoned: Bool = false, privateAddress: String = "",
        createdAt: Timestamp? = nil
    ) {
        self.id = id
        self.name = name
        self.state = state
        self.region = region
        self.instance = instance
        let tickets = config.tickets
        self.tickets = tickets.isEmpty ? nil : tickets
        self.config = tickets.isEmpty ? config : config.withoutTickets
        self.isConfigComplete = isConfigComplete
        self.imageDigest = imageDigest
        self.checks = checks
        self.events = events
        self.hostStatus = hostStatus
        self.isCordoned = isCordoned
        self.privateAddress = privateAddress
        self.createdAt = createdAt
    }

    /// Whether Airboss may touch the machine: Fly's own tools mark what belongs to an app's deployments.
    package var isManaged: Bool {
        config.metadata("fly_platform_version") == "v2"
    }

    /// All checks the config names have reported, and all pass. No report so far is not healthy.
    package var areChecksPassing: Bool {
        checks.count >= config.checkCount && checks.allSatisfy { $0.status == "passing" }
    }

    /// Takes traffic now: started, not cordoned, on a reachable host, its checks passing.
    package var isServing: Bool {
        state == "started" && !isCordoned && hostStatus == "ok" && areChecksPassing
    }
}
