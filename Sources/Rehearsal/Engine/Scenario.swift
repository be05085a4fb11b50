// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import PipelineFiles
package import Stages

/// One situation that a run is rehearsed in: what it is asked to do, the fleet it finds, and how the images behave.
package struct Scenario: Sendable {
    /// One machine of the fleet as it is found.
    package struct Seat: Hashable, Codable, Sendable {
        package enum Image: String, Hashable, Codable, Sendable {
            /// The one that served before.
            case old
            /// The one to be deployed.
            case new
            /// One that nobody has a record of.
            case stray
        }

        package var group: ProcessGroup
        package var image: Image
        package var isRunning: Bool
        package var isManaged: Bool

        package init(
            _ group: ProcessGroup = "app", image: Image = .old, isRunning: Bool = true, isManaged: Bool = true
        ) {
            self.group = group
            self.image = image
            self.isRunning = isRunning
            self.isManaged = isManaged
        }
    }

    /// What is known of earlier deployments.
    package enum Past: String, Hashable, Codable, Sendable {
        /// The app was never deployed.
        case none
        /// The ledger has a verified release, and the platform knows it.
        case recorded
        /// The platform has machines that Airboss did not deploy.
        case found
    }

    /// A second run of the same app.
    package struct Rival: Hashable, Codable, Sendable {
        package var kind: RunKind
        package var afterMilliseconds: Int
        /// Whether both use one state store; else they share nothing but the platform.
        package var sharesStore: Bool

        package init(_ kind: RunKind, afterMilliseconds: Int, sharesStore: Bool) {
            self.kind = kind
            self.afterMilliseconds = afterMilliseconds
            self.sharesStore = sharesStore
        }
    }

    package var name: String
    /// One sentence for people.
    package var summary: String
    package var kind: RunKind
    package var settings: RunRequest.Settings
    package var app: AppName
    package var seats: [Seat]
    /// The process groups of the machines that were there before, where fly.toml has since changed.
    package var earlierFlyToml: FlyToml?
    package var past: Past
    package var newImage: GuestBehaviour
    /// How the old image behaves when it is started again; at the beginning it runs well.
    package var oldImage: GuestBehaviour
    package var rival: Rival?
    /// Further runs of the same app, in the order in which they begin; the plan of a seed has no say in them.
    package var others: [Rival] = []
    /// What goes wrong in every run of the scenario.
    package var disturbances: [Disturbance]
    /// Runs that a person starts, one after the other, once all is over.
    package var followUps: [RunKind]
    /// How long a machine with `autostop` runs without visitors; nil for ever.
    package var autostopsAfter: Duration?
    /// Outcomes of the first run when nothing else goes wrong.
    package var expected: Set<RunOutcome>

    package init(
        _ name: String, _ summary: String, kind: RunKind = .deploy, settings: RunRequest.Settings,
        app: AppName = "demo",
        seats: [Seat], past: Past = .recorded, newImage: GuestBehaviour = GuestBehaviour(),
        oldImage: GuestBehaviour = GuestBehaviour(), disturbances: [Disturbance] = [],
        expected: Set<RunOutcome> = [.verified]
    ) {
        self.name = name
        self.summary = summary
        self.kind = kind
        self.settings = settings
        self.app = app
        self.seats = seats
        self.past = past
        self.newImage = newImage
        self.oldImage = oldImage
        self.disturbances = disturbances
        followUps = []
        self.expected = expected
    }

    /// The digests of the scenario's images.
    package static let oldDigest = ImageDigest("sha256:" + String(repeating: "a", count: 64))
    package static let newDigest = ImageDigest("sha256:" + String(repeating: "b", count: 64))
    package static let strayDigest = ImageDigest("sha256:" + String(repeating: "c", count: 64))

    /// When every rehearsal begins: a Monday, 12:00 UTC.
    package static let start = Timestamp(secondsSinceEpoch: 1_795_435_200)

    func reference(_ digest: ImageDigest) -> String { "registry.fly.io/\(app)@\(digest)" }

    func digest(_ image: Seat.Image) -> ImageDigest {
        switch image {
        case .old: Scenario.oldDigest
        case .new: Scenario.newDigest
        case .stray: Scenario.strayDigest
        }
    }
}
