// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
internal import FoundationEssentials
internal import Glibc
internal import Model

/// The store's connection, made when it is needed and made again when it was lost. Used on the store's queue only.
///
/// Writes are `READ COMMITTED` under transaction locks, one for each subject, taken before anything is read. A write
/// touches only rows of its subjects, so writes about one subject happen one after another, each on what the one before
/// it has committed, and the outcome is that of some order, as under SQLite's one write lock; but runs of different
/// apps do not wait for each other, and nothing has to be undone because two transactions met on a page.
// Only the store's serial queue calls it, which the compiler can't see.
final class PostgresLink: @unchecked Sendable {
    private let url: PostgresURL
    private let options: PostgresStore.Options
    private let patience: StorePatience
    private var connection: PostgresConnection?
    private var isClosed = false
    /// By which its writes leave a receipt, and how many they were so far.
    let writer = UUID().uuidString
    private var writes: Int64 = 0

    init(_ url: PostgresURL, _ options: PostgresStore.Options, _ patience: StorePatience) {
        self.url = url
        self.options = options
        self.patience = patience
    }

    func close() {
        isClosed = true
        connection = nil
    }

    // MARK: Transactions

    /// Runs `body` in a transaction that writes, again where it could not be put in order with others or where the
    /// connection broke. A commit whose answer was lost is settled by its receipt, which it has left if it was done.
    func write<Value>(
        _ subjects: [SQLSubject], _ body: (PostgresConnection) throws -> Value
    ) throws -> Value {
        writes += 1
        let number = writes
        var unsettled: (transaction: Int64, value: Value)?
        return try patiently { connection in
            if let (transaction, value) = unsettled {
                if try wasCommitted(transaction, receipt: number, connection) { return value }
                unsettled = nil
            }
            // All this goes with the first statement of the body, in one round trip.
            connection.post("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            prepare(connection, subjects)
            leaveReceipt(number, connection)
            var transaction: Int64?
            connection.post("SELECT txid_current()") { transaction = $0.integer }
            let value = try body(connection)
            // Before the commit is sent, for it is to be known what became of it.
            if transaction == nil { try connection.sendPosted() }
            if let transaction { unsettled = (transaction, value) }
            try commit(connection)
            return value
        }
    }

    /// Runs `body` on one consistent view.
    func read<Value>(_ body: (PostgresConnection) throws -> Value) throws -> Value {
        try patiently { connection in
            connection.post("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            prepare(connection, [])
            let value = try body(connection)
            try commit(connection)
            return value
        }
    }

    /// One attempt to do all of a write in one round trip, its last statement excepted, whose count of changed rows it
    /// returns; nil where it failed, which may have happened after all.
    func writeAtOnce(_ subjects: [SQLSubject], _ sql: String, _ arguments: [(any SQLConvertible)?]) -> Int? {
        guard let connection, !connection.isLost, !isClosed else { return nil }
        connection.post("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        prepare(connection, subjects)
        connection.post(PostgresSession.numbered(sql), PostgresSession.values(arguments))
        do {
            let answers = try connection.pipeline([("COMMIT", [])])
            guard answers.last?.tag == "COMMIT" else { return nil }
            return answers.dropLast().last?.changes
        } catch {
            rollBack(connection)
            return nil
        }
    }

    private func commit(_ connection: PostgresConnection) throws {
        let answer = try connection.run("COMMIT", [])
        // A transaction that failed before answers so, and nothing of it is there.
        guard answer.tag == "COMMIT" else {
            throw PostgresFailure(kind: .refused(state: "40001"), message: "the transaction was rolled back")
        }
    }

    /// What a transaction says of itself to whoever asks later. The receipts of those who wrote last a day ago, and
    /// will hardly ask, go with the first one.
    private func leaveReceipt(_ number: Int64, _ connection: PostgresConnection) {
        if number == 1 {
            let old = "SELECT writer FROM receipt WHERE written_at < now() - interval '1 day' FOR UPDATE SKIP LOCKED"
            connection.post("DELETE FROM receipt WHERE writer IN (\(old))")
        }
        connection.post(
            "INSERT INTO receipt (writer, number, written_at) VALUES ($1, $2, now()) "
                + "ON CONFLICT (writer) DO UPDATE SET number = EXCLUDED.number, written_at = EXCLUDED.written_at",
            [.text(writer), .integer(number)])
    }

    /// What became of a transaction whose commit nobody answered. Its number alone does not tell: a server that crashed
    /// before the transaction reached the disk gives the number to another one.
    func wasCommitted(_ transaction: Int64, receipt number: Int64, _ connection: PostgresConnection) throws -> Bool {
        do {
            if try connection.script("SELECT txid_status(\(transaction))")?.text == "in progress" {
                // The server has not noticed yet that the connection is gone, or is still writing.
                throw PostgresFailure(kind: .refused(state: "40001"), message: "a commit is still under way")
            }
        } catch let failure as PostgresFailure where !failure.isTransient {
            // A server that never had the number, restored or failed over: the receipt tells.
        }
        let receipt = try connection.script("SELECT number FROM airboss.receipt WHERE writer = '\(writer)'")
        return receipt?.text == String(number)
    }

    // MARK: Patience

    private func patiently<Value>(_ attempt: (PostgresConnection) throws -> Value) throws -> Value {
        let deadline = ContinuousClock.now + options.patience
        var pause = options.firstPause
        while true {
            do {
                let connection = try connected()
                do {
                    return try attempt(connection)
                } catch {
                    rollBack(connection)
                    throw error
                }
            } catch let failure as PostgresFailure {
                let isFirstConnection = !wasConnected && failure.kind == .connecting(isFinal: false)
                guard failure.isTransient, !isClosed, !patience.isExhausted, !isFirstConnection || isStarting(failure),
                    ContinuousClock.now + pause < deadline
                else { throw failure }
                // Not in step with others that met the same.
                usleep(UInt32(Double(pause.wholeMilliseconds) * Double.random(in: 500...1000)))
                pause = min(pause * 2, options.longestPause)
            }
        }
    }

    private var wasConnected = false

    /// A server that comes up says so; one that is not there is not waited for the first time.
    private func isStarting(_ failure: PostgresFailure) -> Bool {
        failure.message.contains("FATAL")
    }

    private func connected() throws(PostgresFailure) -> PostgresConnection {
        if isClosed {
            throw PostgresFailure(kind: .refused(state: ""), message: "the store was closed")
        }
        if let connection, !connection.isLost { return connection }
        connection = nil
        let made = try PostgresConnection(url, patience: options.answerTimeout)
        connection = made
        wasConnected = true
        return made
    }

    private func rollBack(_ connection: PostgresConnection) {
        connection.dropPosted()
        if !connection.isLost, connection.isInTransaction {
            // A connection that can't even roll back is given up, and with it its transaction.
            if (try? connection.script("ROLLBACK")) == nil { self.connection = nil }
        }
        if connection.isLost { self.connection = nil }
    }

    // MARK: What a transaction begins with

    /// Settings for this transaction alone. A process that is stopped in the midst of a transaction keeps nobody
    /// waiting for longer than the idle time-out.
    private var values: [(name: String, value: String)] {
        [
            ("search_path", "airboss"),
            ("statement_timeout", String(options.statementTimeout.wholeMilliseconds)),
            ("lock_timeout", String(options.lockTimeout.wholeMilliseconds)),
            ("idle_in_transaction_session_timeout", String(options.idleTimeout.wholeMilliseconds)),
            ("synchronous_commit", "on"),
        ]
    }

    private func prepare(_ connection: PostgresConnection, _ subjects: [SQLSubject]) {
        let calls = values.map { "set_config('\($0.name)', '\($0.value)', true)" }
        connection.post("SELECT " + calls.joined(separator: ", "))
        for key in lockKeys(subjects) { connection.post("SELECT pg_advisory_xact_lock($1)", [.integer(key)]) }
    }

    /// The locks of some subjects, always in the same order, so that nobody waits for one who waits for him.
    private func lockKeys(_ subjects: [SQLSubject]) -> [Int64] {
        Set(subjects.map { PostgresLink.lockKey($0.text) }).sorted()
    }

    /// The number of the lock for something; two things that share one only wait for each other needlessly.
    static func lockKey(_ text: String) -> Int64 {
        SHA256.hash(data: Data("airboss \(text)".utf8)).withUnsafeBytes {
            Int64(bigEndian: $0.loadUnaligned(as: Int64.self))
        }
    }

    /// Runs `body` under the lock of those who make or change tables.
    func migrate<Value>(_ body: (PostgresConnection) throws -> Value) throws -> Value {
        try patiently { connection in
            connection.post("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            prepare(connection, [])
            connection.post("SET LOCAL statement_timeout = 0")
            connection.post("SELECT pg_advisory_xact_lock($1)", [.integer(PostgresLink.lockKey("schema"))])
            // What follows is sent otherwise.
            try connection.sendPosted()
            let value = try body(connection)
            try commit(connection)
            return value
        }
    }
}
