// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The number of an action within its run; the same again when the run's events are replayed.
package struct ActionID: Hashable, Codable, Comparable, Sendable, CustomStringConvertible {
    package let value: Int
    package init(_ value: Int) { self.value = value }
    package init(from decoder: any Decoder) throws {
        value = try decoder.singleValueContainer().decode(Int.self)
    }
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
    package var description: String { "#\(value)" }
    package static func < (left: ActionID, right: ActionID) -> Bool { left.value < right.value }
}

/// Something a machine wants done. The driver does it and reports the answer under the same id.
package struct Action: Hashable, Codable, Sendable {
    package var id: ActionID
    package var effect: Effect

    package init(id: ActionID, effect: Effect) {
        self.id = id
        self.effect = effect
    }
}

/// Everything a machine can ask of the world. Its payloads lie behind a reference: they are large, and handed on often.
package indirect enum Effect: Hashable, Codable, Sendable {
    case platform(call: PlatformCall)
    case git(query: GitQuery)
    case github(call: GitHubCall)
    case image(task: ImageTask)
    case probe(request: Probe)
    case window
    case ledger(entry: LedgerEntry)
    case notify(notice: NoticeOrder)
    case approvals(query: ApprovalQuery)
    /// What another app runs, and which of its releases the ledger holds for verified.
    case elsewhere(app: AppName)
    /// Report back at a time, or at once where it has passed.
    case wake(at: Timestamp)
    /// Stop waiting for an earlier action; its answer is no longer wanted.
    case cancel(action: ActionID)
}

/// One call of the platform's API.
package enum PlatformCall: Hashable, Codable, Sendable {
    case app
    /// Every machine with its whole config.
    case machines
    /// Every machine, in short: the shared poll.
    case observe
    case machine(id: MachineID)
    case acquireLease(machine: MachineID, seconds: Int)
    case refreshLease(machine: MachineID, nonce: LeaseNonce, seconds: Int)
    case releaseLease(machine: MachineID, nonce: LeaseNonce)
    case update(
        machine: MachineID, config: MachineConfig, currentVersion: InstanceID, nonce: LeaseNonce, skipLaunch: Bool)
    /// With `leaseSeconds` the machine is born leased for so long.
    case create(name: String, region: String, config: MachineConfig, skipLaunch: Bool, leaseSeconds: Int?)
    /// Wait until a version is in a state; `seconds` is 1…60.
    case wait(machine: MachineID, version: InstanceID, state: String, seconds: Int)
    /// Ends the machine for good; its volume stays.
    case destroy(machine: MachineID, nonce: LeaseNonce)
    /// The configs a machine has had.
    case versions(machine: MachineID)
    /// Who holds the machine's lease.
    case lease(machine: MachineID)
    /// What of a machine's metadata has keys that begin with `prefix`.
    case metadata(machine: MachineID, prefix: String)
    /// Sets one key. No lease guards it, and a write that races an update is lost.
    case setMetadata(machine: MachineID, key: String, value: String)
    case removeMetadata(machine: MachineID, key: String)
    case cordon(machine: MachineID, nonce: LeaseNonce)
    case uncordon(machine: MachineID, nonce: LeaseNonce)
    case secretNames
    case createRelease(image: String, strategy: String)
    case finishRelease(id: String, status: String)
    /// The platform's own list of releases, newest first.
    case releases(limit: Int)

    /// Whether the call can change something.
    package var isMutation: Bool {
        switch self {
        case .app, .machines, .observe, .machine, .wait, .versions, .lease, .metadata, .secretNames, .releases: false
        case .acquireLease, .refreshLease, .releaseLease, .setMetadata, .removeMetadata, .update, .create, .destroy,
            .cordon, .uncordon, .createRelease, .finishRelease:
            true
        }
    }
}

/// A question to the repository.
package enum GitQuery: Hashable, Codable, Sendable {
    /// Resolve a revision and read its commit.
    case commit(revision: String)
    case isOnBranch(commit: CommitID, branch: String)
    case isClean
    /// Commits and changed paths between the deployed commit and the target.
    case changes(from: CommitID, to: CommitID)
    /// What changed under some paths between two commits, and by which commits.
    case migrations(from: CommitID, to: CommitID, paths: [String])
}

/// Work on images and their registry.
package enum ImageTask: Hashable, Codable, Sendable {
    /// A reference to its digest, refused where it can't be pulled.
    case resolve(reference: String)
    /// Assemble, push and resolve an image from a commit's tree, as the pipeline's `build.layers` says.
    case build(commit: CommitID, tag: String)
    /// What `build` would give, without pushing anything.
    case assemble(commit: CommitID)
    /// The image under its digest in this app's own repository, where the registry has it in another's.
    case copy(reference: String)
    /// Prove that an image can be pulled now.
    case provePullable(reference: String)
}

/// One HTTP request to the deployed app.
package struct Probe: Hashable, Codable, Sendable {
    package var url: String
    package var timeout: Duration
    /// Fields of a JSON body whose values are wanted, as dotted paths.
    package var bodyFields: [String]

    package init(url: String, timeout: Duration, bodyFields: [String] = []) {
        self.url = url
        self.timeout = timeout
        self.bodyFields = bodyFields
    }
}

/// What a probe saw; only the wanted fields of the body are kept.
package struct ProbeResult: Hashable, Codable, Sendable {
    /// The HTTP status, or nil where no answer came.
    package var status: Int?
    package var elapsed: Duration
    /// The wanted fields that the body had, as text.
    package var fields: [String: String]
    /// Why no answer came; empty where one did.
    package var failure: String
    /// Whether no answer can come, because the URL's host has no address.
    package var isUnresolvable: Bool

    package init(
        status: Int?, elapsed: Duration, fields: [String: String] = [:], failure: String = "",
        isUnresolvable: Bool = false
    ) {
        self.status = status
        self.elapsed = elapsed
        self.fields = fields
        self.failure = failure
        self.isUnresolvable = isUnresolvable
    }
}

/// What the ledger is asked or told.
package enum LedgerEntry: Hashable, Codable, Sendable {
    /// The release that serves now, the verified ones before it, and whether the app was ever deployed.
    case history
    case record(release: ReleaseRecord)
    case mark(number: ReleaseNumber, state: ReleaseRecord.State)
}

/// A held lease.
package struct Lease: Hashable, Codable, Sendable {
    package var nonce: LeaseNonce
    package var expiresAt: Timestamp

    package init(nonce: LeaseNonce, expiresAt: Timestamp) {
        self.nonce = nonce
        self.expiresAt = expiresAt
    }
}

/// Who holds a lease, as the platform tells others: the nonce stays with the holder.
package struct LeaseHolder: Hashable, Codable, Sendable {
    /// The platform's name for whoever took it.
    package var owner: String
    /// What the holder wrote about itself.
    package var description: String
    package var expiresAt: Timestamp

    package init(owner: String, description: String, expiresAt: Timestamp) {
        self.owner = owner
        self.description = description
        self.expiresAt = expiresAt
    }
}

/// One release as the platform lists it.
package struct PlatformReleaseEntry: Hashable, Codable, Sendable {
    package var id: String
    package var number: ReleaseNumber
    /// `pending`, `running`, `complete`, `failed`, `interrupted`; the platform's word.
    package var status: String
    /// Empty where the platform does not say.
    package var image: String

    package init(id: String, number: ReleaseNumber, status: String, image: String) {
        self.id = id
        self.number = number
        self.status = status
        self.image = image
    }

    /// Nobody has said yet how it ended.
    package var isOpen: Bool { status == "running" || status == "pending" }
}

/// One of the configs a machine has had.
package struct MachineVersionEntry: Hashable, Codable, Sendable {
    package var instance: InstanceID
    package var config: MachineConfig

    package init(instance: InstanceID, config: MachineConfig) {
        self.instance = instance
        self.config = config.withoutTickets
    }
}

/// What came of an action.
package indirect enum Answer: Hashable, Codable, Sendable {
    case done
    case failed(failure: Failure)
    case app(organization: String)
    case machines(list: [FleetMachine])
    case observations(list: [Observation])
    case machine(machine: FleetMachine)
    /// A machine right after its creation; no lease where the platform took none.
    case created(machine: FleetMachine, lease: Lease?)
    case lease(lease: Lease)
    /// The wait ended without the state: ask again or give up.
    case waitTimedOut
    case names(list: [String])
    case platformRelease(id: String, number: ReleaseNumber)
    case platformReleases(list: [PlatformReleaseEntry])
    /// Newest first.
    case versions(list: [MachineVersionEntry])
    /// Nil where nobody holds it.
    case leaseHolder(holder: LeaseHolder?)
    case metadata(values: [String: String])
    case commit(commit: Commit)
    /// Whether the commit is on the branch, and the reference that was read.
    case onBranch(isOn: Bool, reference: String)
    /// Paths that differ from the commit; empty where the work tree is clean.
    case dirtyPaths(paths: [String])
    case changes(changes: ChangeSet)
    case checks(found: CommitChecks)
    case pullRequests(list: [PullRequest])
    case image(image: BuiltImage)
    case probe(result: ProbeResult)
    case window(decision: WindowAnswer)
    case history(history: ReleaseHistory)
    case approvals(list: [FoundApproval])
    case elsewhere(standing: ElsewhereStanding)
    /// The runs that have used nonces up; and by name, all names of whoever `allowed_signers` knows by it.
    case approvalCheck(spentBy: [String: RunID], names: [String: [String]])
    case reviews(list: [PullRequestReview])
    case workflowRun(run: WorkflowRun)
    case migrations(found: MigrationChanges)
    case woke
}

/// How another app stands: what was recorded of it, and what its machines run now.
package struct ElsewhereStanding: Hashable, Codable, Sendable {
    /// One machine that Airboss may touch.
    package struct Machine: Hashable, Codable, Sendable {
        package var id: MachineID
        package var state: String
        package var digest: ImageDigest?

        package init(id: MachineID, state: String, digest: ImageDigest?) {
            self.id = id
            self.state = state
            self.digest = digest
        }
    }

    /// Whether the ledger has ever heard of a release of the app.
    package var isKnown: Bool
    /// The verified release that serves, as far as the ledger knows.
    package var release: ReleaseNumber?
    package var digest: ImageDigest?
    package var machines: [Machine]

    package init(isKnown: Bool, release: ReleaseNumber?, digest: ImageDigest?, machines: [Machine]) {
        self.isKnown = isKnown
        self.release = release
        self.digest = digest
        self.machines = machines
    }
}

/// Commits and paths between two commits.
package struct ChangeSet: Hashable, Codable, Sendable {
    /// Newest first, bounded.
    package var commits: [Commit]
    package var paths: [String]
    package var isTruncated: Bool
    /// Whether the target is older than what is deployed.
    package var goesBack: Bool

    package init(commits: [Commit], paths: [String], isTruncated: Bool, goesBack: Bool) {
        self.commits = commits
        self.paths = paths
        self.isTruncated = isTruncated
        self.goesBack = goesBack
    }
}

/// What changed of the database's migrations between two commits, whichever of them is the older one.
package struct MigrationChanges: Hashable, Codable, Sendable {
    /// A commit that changes migrations.
    package struct Change: Hashable, Codable, Sendable {
        package var commit: CommitID
        /// Untrusted text.
        package var subject: String
        /// Whether its message declares what it changes reversible.
        package var isReversible: Bool

        package init(commit: CommitID, subject: String, isReversible: Bool) {
            self.commit = commit
            self.subject = subject
            self.isReversible = isReversible
        }
    }

    /// Paths of migrations that differ, in order, bounded.
    package var paths: [String]
    /// Newest first, bounded.
    package var commits: [Change]
    /// Whether there are more of either.
    package var isTruncated: Bool

    package init(paths: [String], commits: [Change], isTruncated: Bool = false) {
        self.paths = paths
        self.commits = commits
        self.isTruncated = isTruncated
    }

    /// Whether a person must decide before anything goes back past them.
    package var needsPerson: Bool {
        guard !paths.isEmpty || !commits.isEmpty || isTruncated else { return false }
        return commits.isEmpty || isTruncated || commits.contains { !$0.isReversible }
    }
}

/// An image that is in the registry.
package struct BuiltImage: Hashable, Codable, Sendable {
    /// With its digest.
    package var reference: String
    package var digest: ImageDigest
    package var uploadedBytes: Int64
    package var skippedBytes: Int64

    package init(reference: String, digest: ImageDigest, uploadedBytes: Int64 = 0, skippedBytes: Int64 = 0) {
        self.reference = reference
        self.digest = digest
        self.uploadedBytes = uploadedBytes
        self.skippedBytes = skippedBytes
    }
}

/// What the deployment window says at one instant.
package struct WindowAnswer: Hashable, Codable, Sendable {
    package var isOpen: Bool
    /// The rule that decided, for people.
    package var rule: String
    package var nextOpen: Timestamp?
    package var closes: Timestamp?
    /// By what it is told whether a deploy would be over before it closes; nil where that is not asked for.
    package var forecast: FinishForecast?
    /// `nextOpen` on the clocks of the window's zone, for people; nil where it is not known.
    package var nextOpenWords: String?

    package init(
        isOpen: Bool, rule: String, nextOpen: Timestamp? = nil, closes: Timestamp? = nil,
        forecast: FinishForecast? = nil, nextOpenWords: String? = nil
    ) {
        self.nextOpenWords = nextOpenWords
        self.isOpen = isOpen
        self.rule = rule
        self.nextOpen = nextOpen
        self.closes = closes
        self.forecast = forecast
    }
}

/// What came in: the only thing a machine reads, and the only thing a journal keeps.
package struct RunEvent: Hashable, Codable, Sendable {
    package var at: Timestamp
    package var kind: Kind

    package enum Kind: Hashable, Codable, Sendable {
        case started
        case answered(action: ActionID, answer: Answer)
        /// A signal, or a lost terminal.
        case interrupted(signal: Int32)
        /// Another process goes on with the run, for the one that drove it died. The answer to every open action is
        /// lost; what was asked for may have happened, or may yet happen.
        case resumed
        /// Somebody else has taken the run or its app over: what is held is let go, and nothing more is begun.
        case fenced(by: String)
    }

    package init(at: Timestamp, kind: Kind) {
        self.at = at
        self.kind = kind
    }
}
