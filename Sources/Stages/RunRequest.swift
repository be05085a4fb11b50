// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import PipelineFiles
package import Rollouts
package import Verification

/// Everything a run is asked to do and everything its pipeline says, with the environment already read in.
package struct RunRequest: Hashable, Codable, Sendable {
    package var run: RunID
    package var kind: RunKind
    package var pipeline: String
    package var app: AppName
    package var actor: String
    package var reason: String
    /// The revision to deploy; ignored by a rollback.
    package var revision: String
    /// The release a rollback goes to; nil for the last verified one before the current.
    package var target: ReleaseNumber?
    package var overrides: Overrides
    package var settings: Settings
    /// What it must find before its first change; nil where it was not held to a plan.
    package var planned: PlannedStart?
    /// Where what is deployed was verified before; of a promotion alone.
    package var promotion: Promotion?

    /// A verified release of another pipeline, whose digest is deployed as it is.
    package struct Promotion: Hashable, Codable, Sendable {
        package var release: ReleaseNumber
        package var digest: ImageDigest
        package var source: ElsewhereGate.Place

        package init(release: ReleaseNumber, digest: ImageDigest, source: ElsewhereGate.Place) {
            self.release = release
            self.digest = digest
            self.source = source
        }
    }

    /// Gates that a person overrides in this run.
    package struct Overrides: Hashable, Codable, Sendable {
        /// An emergency overrides the deployment window.
        package var isEmergency: Bool
        package var approvedBy: String
        package var skippedGates: [String]

        package init(isEmergency: Bool = false, approvedBy: String = "", skippedGates: [String] = []) {
            self.isEmergency = isEmergency
            self.approvedBy = approvedBy
            self.skippedGates = skippedGates
        }
    }

    package enum Build: Hashable, Codable, Sendable {
        case image(reference: String)
        case layers
        /// An image that another app runs.
        case promoted(reference: String)
    }

    package struct Settings: Hashable, Codable, Sendable {
        package var branch: String?
        package var requiresCleanWorktree: Bool
        package var requiredSecrets: [String]
        /// CI checks that must have passed on the commit; nil where none are asked for.
        package var checks: ChecksPolicy?
        /// What must be healthy now, elsewhere.
        package var healthyElsewhere: [HealthProbe]
        /// The apps of those that are pipelines, by the name of their probe; nil in requests of earlier versions.
        package var appsElsewhere: [String: AppName]?
        package var hasWindow: Bool
        package var build: Build
        package var flyToml: FlyToml
        package var maxUnavailable: RollingRollout.MaxUnavailable
        package var servingFloor: Int?
        package var waitTimeout: Duration
        /// Machines that a group without any gets.
        package var machineCounts: [ProcessGroup: Int]
        package var verify: VerifyPlan
        package var rollsBackAutomatically: Bool
        /// How long a rollback may take before its report says that it took too long; nil for any time.
        package var rollbackWithin: Duration?
        /// Paths that hold database migrations.
        package var migrationPaths: [String]
        package var channels: [NoticeOrder.Channel]
        package var url: String
        package var runURL: String
        /// How long another run that works on the app is waited for; nil for not at all.
        package var waitForApp: Duration?
        /// Whether it minds who else waits; nil in requests of earlier versions, whose journals know of no tickets.
        package var waitsInLine: Bool?
        /// Whether it asks everything again once it has the app, where somebody else was at work when it asked first,
        /// or it had to wait; nil in requests of earlier versions, whose journals know of no second time.
        package var judgesAgain: Bool?
        /// Nil where nobody's approval is asked for.
        package var approvals: ApprovalRule?

        package init(
            branch: String? = nil, requiresCleanWorktree: Bool = false, requiredSecrets: [String] = [],
            checks: ChecksPolicy? = nil, healthyElsewhere: [HealthProbe] = [], hasWindow: Bool = false, build: Build,
            flyToml: FlyToml,
            maxUnavailable: RollingRollout.MaxUnavailable = .count(machines: 1), servingFloor: Int? = nil,
            waitTimeout: Duration = .seconds(300), machineCounts: [ProcessGroup: Int] = [:], verify: VerifyPlan,
            rollsBackAutomatically: Bool = true, rollbackWithin: Duration? = nil, migrationPaths: [String] = [],
            channels: [NoticeOrder.Channel] = [], url: String = "", runURL: String = "", waitForApp: Duration? = nil,
            approvals: ApprovalRule? = nil
        ) {
            self.branch = branch
            self.requiresCleanWorktree = requiresCleanWorktree
            self.requiredSecrets = requiredSecrets
            self.checks = checks
            self.healthyElsewhere = healthyElsewhere
            self.hasWindow = hasWindow
            self.build = build
            self.flyToml = flyToml
            self.maxUnavailable = maxUnavailable
            self.servingFloor = servingFloor
            self.waitTimeout = waitTimeout
            self.machineCounts = machineCounts
            self.verify = verify
            self.rollsBackAutomatically = rollsBackAutomatically
            self.rollbackWithin = rollbackWithin
            self.migrationPaths = migrationPaths
            self.channels = channels
            self.url = url
            self.runURL = runURL
            self.waitForApp = waitForApp
            waitsInLine = true
            judgesAgain = true
            self.approvals = approvals
        }
    }

    package init(
        run: RunID, kind: RunKind, pipeline: String, app: AppName, actor: String, reason: String,
        revision: String = "HEAD", target: ReleaseNumber? = nil, overrides: Overrides = Overrides(), settings: Settings
    ) {
        self.run = run
        self.kind = kind
        self.pipeline = pipeline
        self.app = app
        self.actor = actor
        self.reason = reason
        self.revision = revision
        self.target = target
        self.overrides = overrides
        self.settings = settings
    }

    /// The floor to keep over `machines` machines: as asked, else one wherever one can be spared.
    package func servingFloor(over machines: Int) -> Int { settings.servingFloor ?? (machines > 1 ? 1 : 0) }
}

/// How the health of a release is decided.
package struct VerifyPlan: Hashable, Codable, Sendable {
    /// The health endpoint; nil where the app has no address to ask.
    package var health: HealthProbe?
    /// Asked instead where the health endpoint does not exist (404).
    package var fallback: HealthProbe?
    /// Probes of the health endpoint before it counts as unhealthy.
    package var attempts: Int
    package var interval: Duration
    /// Good answers in a row that are needed, and bad ones in a row that end the soak.
    package var consecutive: Int
    package var smoke: [HealthProbe]
    package var soak: Duration

    package init(
        health: HealthProbe?, fallback: HealthProbe? = nil, attempts: Int = 10, interval: Duration = .seconds(10),
        consecutive: Int = 3, smoke: [HealthProbe] = [], soak: Duration = .zero
    ) {
        self.health = health
        self.fallback = fallback
        self.attempts = attempts
        self.interval = interval
        self.consecutive = consecutive
        self.smoke = smoke
        self.soak = soak
    }

    /// The same without its soak: what a rollback is verified with.
    package var withoutSoak: VerifyPlan {
        var copy = self
        copy.soak = .zero
        return copy
    }
}
