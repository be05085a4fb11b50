// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

/// What Airboss remembers between instructions, runs and machines: the journal of runs, who holds an app, the ledger of
/// releases and the notices that wait to be sent.
///
/// Every call that writes is durable when it returns, and is not undone by the cancellation of its task: what makes a
/// cancelled run safe must still be recorded. Every call that writes may be repeated after an answer that was lost; the
/// repetition finds what is there and changes nothing. Times are always given by the caller.
///
/// Calls that take a ``Fence`` are refused with `fenced` once the app was taken from the run that makes them, so that a
/// process that slept can't write into what another one goes on with; nil leaves this unchecked.
package protocol StateStore: Sendable {
    /// The schema that opening this store brought up to date; nil where it was up to date, or new.
    var migratedFrom: Int? { get }

    /// Waits for the store no longer than two seconds from now on, also in calls that are under way: the run was told
    /// to stop, and making safe must not hang on a store that does not answer. Once it has not answered in this time,
    /// it is not asked again. What a call was about that was given up may have happened.
    func hurry()

    // MARK: Journal

    /// Begins a run's journal. Throws `conflict` where another run has the id.
    func openRun(_ header: RunHeader) async throws(StateError)

    /// Appends one entry after `expectedSequence`, the number of the last entry the caller knows (0 for none), and
    /// returns the new entry's number. Throws `sequenceConflict` where somebody else has appended, `alreadyClosed`
    /// after ``closeRun(_:outcome:exitCode:finishedAt:summary:fence:)``, `unknownRun` for a run never opened.
    ///
    /// What `audit` tells of the entry goes into the audit record in the same transaction: both or neither.
    @discardableResult
    func append(
        run: RunID, expectedSequence: Int64, kind: String, payload: Data, at time: Timestamp,
        fence: Fence?, audit: [AuditRecord]
    ) async throws(StateError) -> Int64

    /// A run's entries with their chain of checksums verified. A torn tail is told, not thrown; throws `corrupt` for
    /// damage before the tail and `unknownRun` for a run never opened.
    func events(_ run: RunID) async throws(StateError) -> JournalReading

    /// Removes what ``events(_:)`` reported as a torn tail, so that the run can go on; returns how many entries were
    /// lost or removed, 0 where nothing is torn.
    @discardableResult
    func discardTornTail(_ run: RunID) async throws(StateError) -> Int64

    /// Keeps what the run has come to after the entry `sequence`, instead of any snapshot before; false, and nothing
    /// kept, where the journal goes on behind it or the run has ended. Snapshots of runs that ended are removed.
    @discardableResult
    func keepSnapshot(
        of run: RunID, after sequence: Int64, build: String, state: Data, fence: Fence?
    ) async throws(StateError) -> Bool

    /// As ``events(_:)``, with the run's snapshot instead of the entries before it, where one fits them and was made by
    /// this build; nil leaves snapshots aside. Every entry is verified either way.
    func replay(_ run: RunID, build: String?) async throws(StateError) -> JournalReplay

    /// Ends a run, once. The same end again changes nothing; another one throws `alreadyClosed`.
    func closeRun(
        _ run: RunID, outcome: String, exitCode: Int32, finishedAt: Timestamp, summary: Data,
        fence: Fence?
    ) async throws(StateError)

    /// Runs, newest first.
    func runs(_ filter: RunFilter, limit: Int) async throws(StateError) -> [RunRecord]

    /// The run whose id is, or alone begins with, `prefix` (letter case does not matter); nil where there is none.
    /// Throws `ambiguousRun` where several do.
    func run(_ prefix: String) async throws(StateError) -> RunRecord?

    /// The runs of an app that never ended, oldest first; the one that holds the app among them.
    func unfinishedRuns(_ app: AppName) async throws(StateError) -> [RunRecord]

    // MARK: One active run per app

    /// Takes the app for a run, if nobody has it and no living waiter came before. A run that has it already gets it
    /// again, also from another process once the former one is gone: that is how a recovery takes over. `silence` is
    /// how long a holder that cannot be looked at from here (another machine or container), or anybody who waits, may
    /// go without a sign of life before it counts as gone. Waiters that are gone are taken out of the queue.
    ///
    /// Whoever gets the app gets a token greater than any before it for this app; the process that has it already gets
    /// the token it has.
    func acquire(
        _ app: AppName, run: RunID, holder: Holder, at now: Timestamp, silence: Duration
    ) async throws(StateError) -> Acquisition

    /// Says that the run still has the app, under this token (any, where nil); false where it has it no longer.
    func heartbeat(_ app: AppName, run: RunID, fence: Int64?, at now: Timestamp)
        async throws(StateError) -> Bool

    /// Gives the app back; false where the run did not have it, or not under this token (any, where nil).
    @discardableResult
    func release(_ app: AppName, run: RunID, fence: Int64?) async throws(StateError) -> Bool

    /// Who has the app now.
    func hold(_ app: AppName) async throws(StateError) -> Hold?

    /// Waits in line for the app, at the end of the queue or where the run already stands, which is its sign of life.
    /// Returns the run's place; 1 is next. Waiters whose process is gone are taken out.
    func joinQueue(
        _ app: AppName, run: RunID, holder: Holder, at now: Timestamp
    ) async throws(StateError) -> Int

    /// Stops waiting; false where the run did not wait.
    @discardableResult
    func leaveQueue(_ app: AppName, run: RunID) async throws(StateError) -> Bool

    /// Who waits for the app, in order.
    func queue(_ app: AppName) async throws(StateError) -> [Waiter]

    /// Returns true as soon as the app's hold or queue differs from what this store last answered about it, false when
    /// `limit` is over or the task is cancelled. Who asks first and then waits here misses nothing in between. That a
    /// holder died changes nothing yet: ask again from time to time.
    @discardableResult
    func changed(_ app: AppName, within limit: Duration) async throws(StateError) -> Bool

    // MARK: Ledger

    /// Records a release, with its state as the first of its history. The run that recorded a release may record it
    /// again (its machines and platform id are replaced, its state is not); another run throws `conflict`.
    func recordRelease(_ release: ReleaseRecord, fence: Fence?) async throws(StateError)

    /// Gives a release its next state; the state it already has changes nothing, but that a release verified anew is
    /// the one that serves from then on. Throws `unknownRelease`.
    func markRelease(
        _ app: AppName, _ number: ReleaseNumber, _ state: ReleaseRecord.State, at time: Timestamp,
        fence: Fence?
    ) async throws(StateError)

    /// An app's releases, newest first.
    func releases(_ app: AppName, limit: Int) async throws(StateError) -> [ReleaseRecord]

    /// One release, or nil where it was never recorded.
    func release(_ app: AppName, _ number: ReleaseNumber) async throws(StateError) -> ReleaseRecord?

    /// Every state a release has had, in order.
    func releaseHistory(_ app: AppName, _ number: ReleaseNumber) async throws(StateError) -> [ReleaseStateChange]

    /// The newest release below `before` (any, where nil) that was verified and has neither failed nor been rolled back
    /// since: where a rollback goes.
    func lastVerified(_ app: AppName, before: ReleaseNumber?) async throws(StateError) -> ReleaseRecord?

    /// What the ledger knows of an app: the release that serves (the sound one that was verified last), those a
    /// rollback may go to, and the states of the
    /// newest `limit` releases.
    func history(_ app: AppName, limit: Int) async throws(StateError) -> ReleaseHistory

    // MARK: Outbox

    /// Puts a notice into the outbox; false where its key is already there, sent or not.
    @discardableResult
    func enqueue(
        key: String, channel: String, payload: Data, run: RunID?, at time: Timestamp
    ) async throws(StateError) -> Bool

    /// Notices to be sent by `now`, those due longest first.
    func due(_ now: Timestamp, limit: Int) async throws(StateError) -> [OutboxNotice]

    /// Records that a notice was sent. Throws `unknownNotice`.
    func markSent(_ key: String, at time: Timestamp) async throws(StateError)

    /// Records a failed attempt and when the next is due; nil gives the notice up. Throws `unknownNotice`.
    func markFailed(
        _ key: String, error detail: String, nextAttemptAt: Timestamp?
    ) async throws(StateError)

    /// All notices, newest first.
    func notices(run: RunID?, limit: Int) async throws(StateError) -> [OutboxNotice]

    // MARK: Approvals

    /// Keeps a signed approval until it is used; one with the same nonce stays as it is.
    func keepApproval(_ approval: KeptApproval) async throws(StateError)

    /// The approvals of a commit that are kept, used or not.
    func approvals(_ app: AppName, _ commit: CommitID) async throws(StateError) -> [KeptApproval]

    /// The runs that have used up the approvals with these nonces.
    func approvalsSpent(_ nonces: [String]) async throws(StateError) -> [String: RunID]

    /// Uses approvals up for a run, all of them or none; the same run may do it again. Throws `conflict` where another
    /// run has used one. ``closeRun(_:outcome:exitCode:finishedAt:summary:fence:)`` gives back those of a run that was
    /// refused, or found the platform unavailable, before it changed anything.
    func spendApprovals(
        _ approvals: [Approval], for run: RunID, at time: Timestamp, fence: Fence?
    ) async throws(StateError)

    // MARK: Audit

    /// Appends records to the store's audit chain, all of them or none; what is among the newest already is not
    /// appended again.
    func audit(_ records: [AuditRecord]) async throws(StateError)

    /// Records, newest first.
    func auditRecords(_ filter: AuditFilter, limit: Int) async throws(StateError) -> [SealedAuditRecord]

    /// Where each chain of the store ends, its own first; empty where nothing was recorded yet.
    func auditHeads() async throws(StateError) -> [AuditHead]

    /// Up to `limit` records of a chain in their order, from behind the number `sequence`.
    func auditRecords(
        of chain: String, after sequence: Int64, limit: Int
    ) async throws(StateError) -> [SealedAuditRecord]

    /// Verifies every chain, record by record, and that what runs counted is there; changes nothing.
    ///
    /// - Parameter heads: where chains ended when somebody noted it down elsewhere.
    func verifyAudit(against heads: [AuditHead]) async throws(StateError) -> AuditVerdict
}

extension StateStore {
    /// The oldest run of an app that never ended.
    package func unfinishedRun(_ app: AppName) async throws(StateError) -> RunRecord? {
        try await unfinishedRuns(app).first
    }
}

/// The same without a fence.
extension StateStore {
    @discardableResult
    package func append(
        run: RunID, expectedSequence: Int64, kind: String, payload: Data, at time: Timestamp
    ) async throws(StateError) -> Int64 {
        try await append(
            run: run, expectedSequence: expectedSequence, kind: kind, payload: payload, at: time,
            fence: nil, audit: [])
    }

    @discardableResult
    package func append(
        run: RunID, expectedSequence: Int64, kind: String, payload: Data, at time: Timestamp, fence: Fence?
    ) async throws(StateError) -> Int64 {
        try await append(
            run: run, expectedSequence: expectedSequence, kind: kind, payload: payload, at: time, fence: fence,
            audit: [])
    }

    package func closeRun(
        _ run: RunID, outcome: String, exitCode: Int32, finishedAt: Timestamp, summary: Data
    ) async throws(StateError) {
        try await closeRun(
            run, outcome: outcome, exitCode: exitCode, finishedAt: finishedAt, summary: summary,
            fence: nil)
    }

    package func heartbeat(_ app: AppName, run: RunID, at now: Timestamp) async throws(StateError) -> Bool {
        try await heartbeat(app, run: run, fence: nil, at: now)
    }

    @discardableResult
    package func release(_ app: AppName, run: RunID) async throws(StateError) -> Bool {
        try await release(app, run: run, fence: nil)
    }

    package func recordRelease(_ release: ReleaseRecord) async throws(StateError) {
        try await recordRelease(release, fence: nil)
    }

    package func markRelease(
        _ app: AppName, _ number: ReleaseNumber, _ state: ReleaseRecord.State, at time: Timestamp
    ) async throws(StateError) {
        try await markRelease(app, number, state, at: time, fence: nil)
    }
}
