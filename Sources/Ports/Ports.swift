// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The platform's API, for one app. Failures come back as answers: a machine decides what they mean.
package protocol PlatformPort: Sendable {
    func answer(_ call: PlatformCall) async -> Answer
    /// Calls made so far.
    var callCount: Int { get }
}

/// The repository that is deployed from.
package protocol SourcePort: Sendable {
    func answer(_ query: GitQuery) async -> Answer
}

/// GitHub, for one repository. Failures come back as answers: a machine decides what they mean.
package protocol GitHubPort: Sendable {
    func answer(_ call: GitHubCall) async -> Answer
}

/// Images and the registry they are in.
package protocol ImagePort: Sendable {
    func answer(_ task: ImageTask) async -> Answer
}

/// HTTP requests to deployed apps.
package protocol ProbePort: Sendable {
    func answer(_ probe: Probe) async -> Answer
}

/// The pipeline's deployment window.
package protocol WindowPort: Sendable {
    func answer(at now: Timestamp) async -> Answer
}

/// The ledger of releases, for one app.
package protocol LedgerPort: Sendable {
    func answer(_ entry: LedgerEntry, at now: Timestamp) async -> Answer
}

/// The channels over which people are told.
package protocol NoticePort: Sendable {
    func answer(_ order: NoticeOrder, at now: Timestamp) async -> Answer
}

/// Approvals of commits, for one run.
package protocol ApprovalPort: Sendable {
    func answer(_ query: ApprovalQuery, at now: Timestamp) async -> Answer
}

/// Other apps of the same platform and state store.
package protocol ElsewherePort: Sendable {
    func answer(about app: AppName) async -> Answer
}

/// Where a run's events are kept; durable when a call returns.
package protocol JournalPort: Sendable {
    /// Keeps an event, and with it, both or neither, what the audit record is to tell of it. Throws an
    /// ``AirbossError`` where they could not be kept; the run may then do nothing more.
    func append(_ event: RunEvent, audit: [AuditEntry]) async throws

    /// What the run has come to with the events appended so far. A journal may keep it so that nobody has to replay
    /// them; it never has to.
    func reached(_ state: some Codable & Equatable & Sendable) async
}

extension JournalPort {
    package func reached(_ state: some Codable & Equatable & Sendable) async {}
}

/// Time as a driver sees it.
package protocol DriverClock: Sendable {
    var now: Timestamp { get }
    /// Returns at the time, or at once where it has passed; throws where the task is cancelled.
    func sleep(until time: Timestamp) async throws
}
