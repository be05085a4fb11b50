// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
package import FoundationEssentials
package import Model
internal import Synchronization

/// The state store in a PostgreSQL database, in a schema of its own, shared by a team and its runners.
///
/// One connection on a dispatch queue of its own, so that no thread of the cooperative pool ever waits for the server,
/// and one more that listens once somebody waits for an app. Works through poolers that give every transaction another
/// connection (PgBouncer, Supabase). Through one of these nothing can be listened to, and waiting looks instead.
package final class PostgresStore: SQLStore {
    /// How the store behaves; the defaults suit everything but tests.
    package struct Options: Sendable {
        /// For how long a call tries again when the connection is lost or transactions collide.
        package var patience: Duration = .seconds(30)
        /// How long one statement may take.
        package var statementTimeout: Duration = .seconds(30)
        /// How long a statement may wait for another's lock.
        package var lockTimeout: Duration = .seconds(10)
        /// How long a transaction may stand still before the server ends it.
        package var idleTimeout: Duration = .seconds(10)
        /// How long the server may say nothing before the connection counts as lost; longer than its own time-outs.
        package var answerTimeout: Duration = .seconds(40)
        /// The pauses between attempts double from the first to the longest.
        package var firstPause: Duration = .milliseconds(10)
        package var longestPause: Duration = .seconds(1)
        /// How often whoever waits looks where notifications arrive, should one be lost.
        package var pollIntervalListening: Duration = .seconds(5)
        /// How often whoever waits looks where none arrive.
        package var pollInterval: Duration = .milliseconds(500)

        package init() {}
    }

    /// What opening may change.
    enum Opening: Sendable {
        /// Makes what is missing, and brings the tables up to date.
        case forUse
        /// Nothing: throws where there is no store of the current version.
        case asItIs
    }

    package let place: String
    package let turns = SeenTurns()
    package var migratedFrom: Int? { former.withLock { $0 } }
    private let former = Mutex<Int?>(nil)
    private let options: Options
    private let thread = DispatchQueue(label: "airboss.state.postgres")
    private let patience = StorePatience()
    private let link: PostgresLink
    private let listener: PostgresListener
    /// Where the journal that was written to last ends.
    private let lastHead = Mutex<(run: RunID, head: JournalChain.Head)?>(nil)

    /// Connects, and makes the schema `airboss` where it is missing.
    ///
    /// A schema of that name of another program, or of a later Airboss, is left exactly as it is.
    package convenience init(url: String, options: Options = Options()) async throws(StateError) {
        try await self.init(url: url, options: options, opening: .forUse)
    }

    init(url: String, options: Options = Options(), opening: Opening) async throws(StateError) {
        let parsed = try PostgresURL(url)
        place = parsed.place
        self.options = options
        link = PostgresLink(parsed, options, patience)
        listener = PostgresListener(parsed, options)
        let former = try await perform { [place] link in
            try PostgresStore.setUp(link, place, opening)
        }
        self.former.withLock { $0 = former }
    }

    package func close() async throws(StateError) {
        listener.stop()
        try await perform { link in link.close() }
    }

    package func hurry() {
        patience.hurry()
    }

    /// Returns the version that was brought up to date; nil where none was.
    private static func setUp(_ link: PostgresLink, _ place: String, _ opening: Opening) throws -> Int? {
        func check(_ connection: PostgresConnection) throws -> (version: Int, needsSchema: Bool) {
            switch try PostgresSchema.inspect(PostgresSession(connection: connection, place: place)) {
            case .fresh(let needsSchema): return (0, needsSchema)
            case .ours(let version): return (version, false)
            case .newer(let version):
                throw StateError(.newerVersion(found: version, supported: PostgresSchema.version), store: place)
            case .foreign(let detail): throw StateError(.notOurs, store: place, detail: detail)
            }
        }
        // Whoever may only use the tables, and not make any, is not asked to lock anything.
        let found = try link.read(check)
        guard found.version < PostgresSchema.version else { return nil }
        guard opening == .forUse else {
            throw StateError(
                .olderVersion(found: found.version, supported: PostgresSchema.version), store: place)
        }
        return try link.migrate { connection in
            // Another process may have made them while this one waited for the lock.
            let found = try check(connection)
            guard found.version < PostgresSchema.version else { return nil }
            try PostgresSchema.migrate(connection, from: found.version, needsSchema: found.needsSchema)
            return found.version > 0 ? found.version : nil
        }
    }

    // MARK: Access

    package func write<Value: Sendable>(
        _ subjects: [SQLSubject], _ body: @escaping @Sendable (any SQLSession) throws -> Value
    ) async throws(StateError) -> Value {
        try await perform { [place] link in
            try link.write(subjects) { try body(PostgresSession(connection: $0, place: place)) }
        }
    }

    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLSession) throws -> Value
    ) async throws(StateError) -> Value {
        try await perform { [place] link in
            try link.read { try body(PostgresSession(connection: $0, place: place)) }
        }
    }

    /// Runs `body` on the connection's queue, whatever becomes of the task.
    private func perform<Value: Sendable>(
        _ body: @escaping @Sendable (PostgresLink) throws -> Value
    ) async throws(StateError) -> Value {
        let result: Result<Value, StateError> = await patience.wait(place) { [thread, link, place] answer in
            thread.async {
                answer(
                    Result { try body(link) }.mapError { error in
                        switch error {
                        case let error as StateError: error
                        case let failure as PostgresFailure: failure.explained(place)
                        default: StateError(.failed, store: place, detail: "\(type(of: error))")
                        }
                    })
            }
        }
        return try result.get()
    }

    // MARK: Appending

    /// In one round trip, where this store wrote the entry before and there is nothing for the audit record; whenever
    /// that does not do it, the long way says why.
    @discardableResult
    package func append(
        run: RunID, expectedSequence: Int64, kind: String, payload: Data, at time: Timestamp, fence: Fence?,
        audit: [AuditRecord]
    ) async throws(StateError) -> Int64 {
        let entry = JournalEntry(sequence: expectedSequence + 1, kind: kind, payload: payload, at: time)
        if audit.isEmpty, let last = lastHead.withLock({ $0 }), last.run == run, last.head.sequence == expectedSequence
        {
            let checksum = JournalChain.checksum(of: entry, after: last.head.checksum)
            let subjects = subjects(.run(run), fence)
            let written = try await perform { link in
                link.writeAtOnce(
                    subjects, PostgresStore.appending(isFenced: fence != nil),
                    [entry.sequence, checksum, run.rawValue, expectedSequence, last.head.checksum]
                        + (fence.map { [$0.app.rawValue, $0.run.rawValue, $0.token] } ?? [])
                        + [entry.sequence, kind, payload, time.milliseconds, checksum])
            }
            if written == 1 {
                lastHead.withLock { $0 = (run, JournalChain.Head(sequence: entry.sequence, checksum: checksum)) }
                return entry.sequence
            }
        }
        let head = try await append(entry, to: run, fence, audit)
        lastHead.withLock { $0 = (run, head) }
        return head.sequence
    }

    private static func appending(isFenced: Bool) -> String {
        """
        WITH advanced AS (
            UPDATE run SET head_sequence = ?, head_checksum = ?
            WHERE id = ? AND head_sequence = ? AND head_checksum = ? AND outcome IS NULL
                \(isFenced ? "AND EXISTS (SELECT 1 FROM hold WHERE app = ? AND run = ? AND fence = ?)" : "")
            RETURNING id)
        INSERT INTO entry (run, sequence, kind, payload, at, checksum) SELECT id, ?, ?, ?, ?, ? FROM advanced
        """
    }

    // MARK: Waiting

    package func sign(_ app: AppName) async throws(StateError) -> Int64 {
        await listener.count(app)
    }

    package func awaitSign(
        _ app: AppName, after sign: Int64, until deadline: ContinuousClock.Instant
    ) async throws(StateError) {
        let interval = listener.isListening ? options.pollIntervalListening : options.pollInterval
        await listener.wait(app, after: sign, until: min(deadline, .now + interval))
    }

    // MARK: Looking

    package func schemaVersion() async throws(StateError) -> Int {
        try await read { session in
            try session.row("SELECT version FROM store", [])?.required("version") ?? 0
        }
    }

    package func storageProblems() async throws(StateError) -> [String] {
        try await read { session in
            try ["fsync", "full_page_writes"].filter { name in
                let row = try session.row("SELECT current_setting('\(name)') AS value", [])
                return try row?.required("value", as: String.self) != "on"
            }.map { "the server runs with \($0) off: what it has confirmed is lost when its machine fails" }
        }
    }
}
