// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CPostgres
internal import FoundationEssentials
internal import Glibc
internal import Model

/// A connection to a server. Its calls block: it is used on one thread at a time, never on one of Swift's pool.
///
/// No statement has a name and nothing is set for longer than a transaction, so that a pooler may give every
/// transaction to another connection of its own.
final class PostgresConnection {
    private let handle: OpaquePointer
    private let url: PostgresURL
    /// How long the server may stay silent before the connection counts as lost.
    private let patience: Duration
    private(set) var isLost = false
    /// A statement with its arguments (`$1`…).
    typealias Statement = (sql: String, values: [SQLValue])
    /// Statements that go with the next one, in one round trip.
    private var posted: [Statement] = []
    /// What takes the answer to a statement that was posted, by its place among them.
    private var takers: [Int: (PostgresResult) -> Void] = [:]

    init(_ url: PostgresURL, patience: Duration) throws(PostgresFailure) {
        let keywords = Array(url.parameters.keys)
        let values = keywords.map { url.parameters[$0] ?? "" }
        var names = keywords.map { strdup($0) }
        var texts = values.map { strdup($0) }
        defer { (names + texts).forEach { free($0) } }
        names.append(nil)
        texts.append(nil)
        let opened = PQconnectdbParams(names.map { UnsafePointer($0) }, texts.map { UnsafePointer($0) }, 0)
        guard let opened else { throw PostgresFailure(kind: .connecting(isFinal: true), message: "out of memory") }
        guard PQstatus(opened) == CONNECTION_OK else {
            let says = url.redact(String(cString: PQerrorMessage(opened)))
            let needsPassword = PQconnectionNeedsPassword(opened) == 1
            PQfinish(opened)
            throw PostgresFailure.connecting(says, needsPassword: needsPassword)
        }
        handle = opened
        self.url = url
        self.patience = patience
        // Writing must not block either: the server may have stopped reading.
        PQsetnonblocking(opened, 1)
        // What the server only remarks is for nobody here; libpq would print it.
        PQsetNoticeReceiver(opened, { _, _ in }, nil)
    }

    deinit {
        PQfinish(handle)
    }

    /// Whether a transaction is open or failed.
    var isInTransaction: Bool { PQtransactionStatus(handle) != PQTRANS_IDLE }

    /// Whether the server at the other end is the one that answers statements; a pooler between shows an id of its own.
    func isDirect() throws(PostgresFailure) -> Bool {
        try script("SELECT pg_backend_pid()")?.text == String(PQbackendPID(handle))
    }

    var socket: Int32 { PQsocket(handle) }

    /// The payloads of notifications that have arrived.
    func notifications() throws(PostgresFailure) -> [String] {
        guard PQconsumeInput(handle) == 1 else { throw lost() }
        var payloads: [String] = []
        while let notification = PQnotifies(handle) {
            payloads.append(String(cString: notification.pointee.extra))
            PQfreemem(notification)
        }
        return payloads
    }

    // MARK: Statements

    /// Leaves a statement until the next one is sent, before which it is executed; `take` gets its answer then.
    func post(_ sql: String, _ values: [SQLValue] = [], _ take: ((PostgresResult) -> Void)? = nil) {
        takers[posted.count] = take
        posted.append((sql, values))
    }

    /// Sends what was posted and not sent yet.
    func sendPosted() throws(PostgresFailure) {
        if !posted.isEmpty { _ = try pipeline([]) }
    }

    /// Forgets what was posted and not sent.
    func dropPosted() {
        posted = []
        takers = [:]
    }

    /// One statement with its arguments (`$1`…) and its answer, both in the binary format.
    func run(_ sql: String, _ values: [SQLValue]) throws(PostgresFailure) -> PostgresResult {
        if !posted.isEmpty {
            guard let answer = try pipeline([(sql, values)]).last else { throw lost() }
            return answer
        }
        try send(sql, values)
        var answer: PostgresResult?
        var failure: PostgresFailure?
        while let result = try next() {
            if let refused = refusal(result) { failure = failure ?? refused } else { answer = result }
        }
        if let failure { throw failure }
        guard let answer else { throw lost() }
        return answer
    }

    /// One query whose rows are given to `body` in answers of one row each, as they come.
    func stream(_ sql: String, _ values: [SQLValue], _ body: (PostgresResult) throws -> Void) throws {
        try sendPosted()
        try send(sql, values)
        guard PQsetSingleRowMode(handle) == 1 else { throw lost() }
        var failure: (any Error)?
        var isComplete = false
        // To the end also where the rows are of no use any more: the next statement waits for it.
        while let result = try next() {
            switch result.status {
            case PGRES_SINGLE_TUPLE:
                guard failure == nil else { continue }
                do { try body(result) } catch { failure = error }
            case PGRES_TUPLES_OK: isComplete = true
            default:
                let refused = refusal(result)
                failure = failure ?? refused
            }
        }
        if let failure { throw failure }
        guard isComplete else { throw lost() }
    }

    /// Several statements without arguments in one round trip; returns the last one's answer.
    @discardableResult
    func script(_ sql: String) throws(PostgresFailure) -> PostgresResult? {
        guard PQsendQuery(handle, sql) == 1 else { throw lost() }
        var answer: PostgresResult?
        var failure: PostgresFailure?
        while let result = try next() {
            if let refused = refusal(result) { failure = failure ?? refused } else { answer = result }
        }
        if let failure { throw failure }
        return answer
    }

    /// Several statements with arguments in one round trip, behind what was posted; throws the first failure, after
    /// which none was executed. Returns the answers to all of them, those posted included.
    func pipeline(_ further: [Statement]) throws(PostgresFailure) -> [PostgresResult] {
        let (statements, takers) = (posted + further, takers)
        dropPosted()
        guard PQenterPipelineMode(handle) == 1 else { throw lost() }
        for statement in statements { try send(statement.sql, statement.values) }
        guard PQpipelineSync(handle) == 1 else { throw lost() }
        var answers: [PostgresResult] = []
        var failure: PostgresFailure?
        var isOver = false
        while !isOver {
            var isEmpty = true
            while !isOver, let result = try next() {
                isEmpty = false
                switch result.status {
                case PGRES_PIPELINE_SYNC: isOver = true
                case PGRES_PIPELINE_ABORTED: break
                default:
                    if let refused = refusal(result) { failure = failure ?? refused } else { answers.append(result) }
                }
            }
            // Every statement has an answer; only a broken connection has none.
            if isEmpty { throw lost() }
        }
        guard PQexitPipelineMode(handle) == 1 else { throw lost() }
        if let failure { throw failure }
        for (index, take) in takers where index < answers.count { take(answers[index]) }
        return answers
    }

    private func send(_ sql: String, _ values: [SQLValue]) throws(PostgresFailure) {
        // All values stand behind one another in one buffer, never empty, so that every value has an address.
        var bytes: [UInt8] = [0]
        var types: [Oid] = []
        var places: [(offset: Int, count: Int)?] = []
        for value in values {
            let offset = bytes.count
            switch value {
            case .null:
                types.append(0)
                places.append(nil)
                continue
            case .integer(let number):
                types.append(PostgresResult.TypeNumber.integer)
                withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
            case .text(let text):
                types.append(PostgresResult.TypeNumber.text)
                bytes.append(contentsOf: text.utf8)
            case .data(let data):
                types.append(PostgresResult.TypeNumber.data)
                bytes.append(contentsOf: data)
            }
            places.append((offset, bytes.count - offset))
        }
        let sent = bytes.withUnsafeBytes { buffer in
            let pointers = places.map { place in
                place.flatMap { buffer.baseAddress?.advanced(by: $0.offset).assumingMemoryBound(to: CChar.self) }
            }
            return PQsendQueryParams(
                handle, sql, Int32(values.count), types, pointers, places.map { Int32($0?.count ?? 0) },
                values.map { _ in 1 }, 1)
        }
        guard sent == 1 else { throw lost() }
    }

    /// The next answer; nil where the statement has no more.
    private func next() throws(PostgresFailure) -> PostgresResult? {
        let deadline = ContinuousClock.now + patience
        while true {
            let flushed = PQflush(handle)
            if flushed < 0 { throw lost() }
            if flushed == 0, PQisBusy(handle) == 0 { break }
            try wait(flushed == 1 ? Int16(POLLIN | POLLOUT) : Int16(POLLIN), until: deadline)
            guard PQconsumeInput(handle) == 1 else { throw lost() }
        }
        return PQgetResult(handle).map(PostgresResult.init)
    }

    private func wait(_ events: Int16, until deadline: ContinuousClock.Instant) throws(PostgresFailure) {
        var watched = pollfd(fd: PQsocket(handle), events: events, revents: 0)
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else {
                isLost = true
                throw PostgresFailure(kind: .lost, message: "the server did not answer for \(patience)")
            }
            let ready = poll(&watched, 1, Int32(min(left.wholeMilliseconds + 1, 60_000)))
            if ready > 0 { return }
            if ready < 0, errno != EINTR { throw lost() }
        }
    }

    private func refusal(_ result: PostgresResult) -> PostgresFailure? {
        switch result.status {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY, PGRES_PIPELINE_SYNC: return nil
        default:
            guard let state = result.state else { return lost() }
            let failure = PostgresFailure(kind: .refused(state: state), message: url.redact(result.message))
            if failure.isConnectionLost { isLost = true }
            return failure
        }
    }

    private func lost() -> PostgresFailure {
        isLost = true
        let says = url.redact(String(cString: PQerrorMessage(handle)))
        return PostgresFailure(kind: .lost, message: says.isEmpty ? "the connection was lost" : says)
    }
}
