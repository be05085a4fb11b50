// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A release as the ledger keeps it: everything needed to bring it back exactly.
package struct ReleaseRecord: Hashable, Codable, Sendable {
    package enum State: String, Codable, Sendable, CaseIterable {
        /// On its way to the machines, or there and not yet verified.
        case deploying
        case verified
        case failed
        /// It was verified, and a person took it back.
        case withdrawn = "rolled_back"
    }

    package var app: AppName
    package var number: ReleaseNumber
    /// The platform's id of its release record; empty where it has none.
    package var platformID: String
    package var commit: CommitID?
    package var subject: String
    /// The image with its digest.
    package var image: String
    package var digest: ImageDigest
    package var machines: [RecordedMachine]
    package var state: State
    package var run: RunID
    package var createdAt: Timestamp
    package var verifiedAt: Timestamp?
    package var reason: String

    package init(
        app: AppName, number: ReleaseNumber, platformID: String, commit: CommitID?, subject: String, image: String,
        digest: ImageDigest, machines: [RecordedMachine], state: State, run: RunID, createdAt: Timestamp,
        verifiedAt: Timestamp? = nil, reason: String
    ) {
        self.app = app
        self.number = number
        self.platformID = platformID
        self.commit = commit
        self.subject = subject
        self.image = image
        self.digest = digest
        self.machines = machines
        self.state = state
        self.run = run
        self.createdAt = createdAt
        self.verifiedAt = verifiedAt
        self.reason = reason
    }
}

/// One machine of a release, with its whole config.
package struct RecordedMachine: Hashable, Codable, Sendable {
    package var id: MachineID
    package var name: String
    package var region: String
    package var config: MachineConfig
    package var isCordoned: Bool

    package init(id: MachineID, name: String, region: String, config: MachineConfig, isCordoned: Bool) {
        self.id = id
        self.name = name
        self.region = region
        self.config = config.withoutTickets
        self.isCordoned = isCordoned
    }

    package init(_ machine: FleetMachine) {
        self.init(
            id: machine.id, name: machine.name, region: machine.region, config: machine.config,
            isCordoned: machine.isCordoned)
    }
}

/// What the ledger knows of an app.
package struct ReleaseHistory: Hashable, Codable, Sendable {
    /// The verified release that serves, as far as the ledger knows.
    package var current: ReleaseRecord?
    /// Releases that a rollback may go to, newest first, without the current one.
    package var verified: [ReleaseRecord]
    /// The state of every release, newest first.
    package var states: [Summary]

    package struct Summary: Hashable, Codable, Sendable {
        package var number: ReleaseNumber
        package var state: ReleaseRecord.State
        /// Nil where the ledger does not know.
        package var commit: CommitID?

        package init(number: ReleaseNumber, state: ReleaseRecord.State, commit: CommitID? = nil) {
            self.number = number
            self.state = state
            self.commit = commit
        }
    }

    package init(current: ReleaseRecord?, verified: [ReleaseRecord], states: [Summary]) {
        self.current = current
        self.verified = verified
        self.states = states
    }
}
