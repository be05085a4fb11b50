// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import FoundationEssentials
internal import GRDB
internal import Glibc
package import Model

/// The state store in one SQLite file, in WAL mode with an fsync before every commit returns.
///
/// One connection on a dispatch queue of its own, so that no thread of the cooperative pool ever waits for the disk.
/// Several processes may have the same file open; each write takes the file's write lock for its transaction.
package final class SQLiteStore: SQLStore {
    /// How the store behaves; the defaults suit everything but tests.
    package struct Options: Sendable {
        /// How long a call waits while another process writes.
        package var busyTimeout: Duration
        /// The largest the file may become; beyond it a write throws `diskFull`.
        package var maxStoreBytes: Int64

        package init(
            busyTimeout: Duration = .seconds(10), maxStoreBytes: Int64 = 16 * 1024 * 1024 * 1024
        ) {
            self.busyTimeout = busyTimeout
            self.maxStoreBytes = maxStoreBytes
        }
    }

    /// What opening may change.
    enum Opening: Sendable {
        /// Makes what is missing, and brings the tables up to date.
        case forUse
        /// Nothing: throws where there is no store of the current version.
        case asItIs
    }

    package let path: String
    package var place: String { path }
    package let turns = SeenTurns()
    package let migratedFrom: Int?
    private let queue: DatabaseQueue
    private let commits: SQLiteCommits
    private let patience = StorePatience()

    /// Opens the store, and makes the file and its folder where they are missing, readable by this user only.
    ///
    /// A file of another program, or of a later Airboss, is left exactly as it is.
    package convenience init(path: String, options: Options = Options()) async throws(StateError) {
        try await self.init(path: path, options: options, opening: .forUse)
    }

    init(path: String, options: Options = Options(), opening purpose: Opening)
        async throws(StateError)
    {
        self.path = path
        commits = SQLiteCommits(path: path)
        let opening = DispatchQueue(label: "airboss.state.open")
        let opened: Result<(DatabaseQueue, Int?), StateError> = await withCheckedContinuation { continuation in
            opening.async {
                continuation.resume(returning: SQLiteStore.open(path, options, purpose))
            }
        }
        (queue, migratedFrom) = try opened.get()
    }

    /// Closes the file; later calls throw. What the write-ahead log holds goes into the file where nobody else has it
    /// open.
    package func close() async throws(StateError) {
        let queue = self.queue
        commits.close()
        let path = self.path
        let closing = DispatchQueue(label: "airboss.state.close")
        let closed: Result<Void, StateError> = await withCheckedContinuation { continuation in
            closing.async {
                continuation.resume(
                    returning: Result { try queue.close() }.mapError { SQLiteStore.explain($0, path) })
            }
        }
        try closed.get()
    }

    package func hurry() {
        patience.hurry()
    }

    // MARK: Access

    /// GRDB's own async calls roll back when their task is cancelled; this one does not, since a run that was told to
    /// stop must still record how. The transaction has the file's write lock from its beginning, whatever its subjects.
    package func write<Value: Sendable>(
        _ subjects: [SQLSubject], _ body: @escaping @Sendable (any SQLSession) throws -> Value
    ) async throws(StateError) -> Value {
        try await perform { [path] database in
            var value: Value?
            try database.inTransaction(.immediate) {
                value = try body(SQLiteSession(database: database, place: path))
                return .commit
            }
            guard let value else { preconditionFailure("a transaction that committed without its body") }
            return value
        }
    }

    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLSession) throws -> Value
    ) async throws(StateError) -> Value {
        try await perform { [path] database in
            var value: Value?
            try database.inTransaction(.deferred) {
                value = try body(SQLiteSession(database: database, place: path))
                return .commit
            }
            guard let value else { preconditionFailure("a transaction that committed without its body") }
            return value
        }
    }

    // MARK: Waiting

    /// How often the file is asked whether something was committed.
    static let pollInterval = Duration.milliseconds(200)

    package func sign(_ app: AppName) async throws(StateError) -> Int64 {
        try await commits.version()
    }

    package func awaitSign(
        _ app: AppName, after sign: Int64, until deadline: ContinuousClock.Instant
    ) async throws(StateError) {
        while !Task.isCancelled, ContinuousClock.now < deadline {
            // Cancelled, it returns at once, which the loop sees.
            try? await Task.sleep(until: min(deadline, .now + SQLiteStore.pollInterval))
            if try await commits.version() != sign { return }
        }
    }

    // MARK: Looking

    package func schemaVersion() async throws(StateError) -> Int {
        try await perform { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 }
    }

    package func storageProblems() async throws(StateError) -> [String] {
        try await perform { database in
            try String.fetchAll(database, sql: "PRAGMA integrity_check").filter { $0 != "ok" }.map {
                "the file's structure: " + $0.split(whereSeparator: \.isNewline).joined(separator: ", ")
            }
        }
    }

    private func perform<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StateError) -> Value {
        let path = self.path
        let result: Result<Value, StateError> = await patience.wait(path) { [queue] answer in
            queue.asyncWriteWithoutTransaction { database in
                answer(Result { try body(database) }.mapError { SQLiteStore.explain($0, path) })
            }
        }
        return try result.get()
    }

    // MARK: Opening

    private static func open(
        _ path: String, _ options: Options, _ opening: Opening
    ) -> Result<(DatabaseQueue, Int?), StateError> {
        do {
            try prepareFile(path, opening)
            var configuration = Configuration()
            configuration.busyMode = .timeout(options.busyTimeout.inSeconds)
            configuration.label = "airboss.state"
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            // SQLite answers "busy" without waiting where waiting could be a deadlock: two processes that both make the
            // file, or one that recovers the log. Asking again is then for us.
            let deadline = ContinuousClock.now + options.busyTimeout
            while true {
                do {
                    let former = try queue.writeWithoutTransaction { try setUp($0, path, options, opening) }
                    return .success((queue, former))
                } catch let error as DatabaseError
                    where error.resultCode == .SQLITE_BUSY && ContinuousClock.now < deadline
                {
                    usleep(5_000)
                }
            }
        } catch {
            return .failure(explain(error, path))
        }
    }

    private static let notPermitted = "this user may not write the file and its folder"

    /// Makes the folder and an empty file, both for this user only.
    private static func prepareFile(_ path: String, _ opening: Opening) throws {
        var information = stat()
        if stat(path, &information) == 0 {
            guard information.st_mode & S_IFMT == S_IFREG else {
                throw StateError(.cannotOpen, store: path, detail: "it is not a file")
            }
            // SQLite would open it all the same, and fail at the first write.
            guard access(path, W_OK) == 0 else { throw StateError(.readOnly, store: path, detail: notPermitted) }
            // SQLite takes a file shorter than its header for an empty one, and would write over it.
            guard information.st_size == 0 || information.st_size >= 512 else {
                throw StateError(.notOurs, store: path, detail: "file is not a database")
            }
            return
        }
        guard opening == .forUse else { throw StateError(.cannotOpen, store: path, detail: "there is no such file") }
        let folder = URL(filePath: path).deletingLastPathComponent().path
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw StateError(.cannotOpen, store: path, detail: "its folder \(folder) cannot be made")
        }
        // mknod rather than open: closing a descriptor would drop the locks SQLite holds on the same file.
        guard mknod(path, S_IFREG | 0o600, 0) == 0 || errno == EEXIST else {
            let code: StateError.Code =
                errno == ENOSPC ? .diskFull : errno == EROFS ? .readOnly : .cannotOpen
            throw StateError(code, store: path, detail: String(cString: strerror(errno)))
        }
    }

    /// Returns the version that was brought up to date; nil where none was.
    private static func setUp(
        _ database: Database, _ path: String, _ options: Options, _ opening: Opening
    ) throws -> Int? {
        func check() throws -> Int {
            switch try SQLiteSchema.inspect(database) {
            case .fresh where opening == .asItIs:
                throw StateError(.olderVersion(found: 0, supported: SQLiteSchema.version), store: path)
            case .fresh: return 0
            case .ours(let version) where version < SQLiteSchema.version && opening == .asItIs:
                throw StateError(
                    .olderVersion(found: version, supported: SQLiteSchema.version), store: path)
            case .ours(let version): return version
            case .newer(let version):
                throw StateError(
                    .newerVersion(found: version, supported: SQLiteSchema.version), store: path)
            case .foreign(let detail): throw StateError(.notOurs, store: path, detail: detail)
            }
        }
        // Before anything that writes: switching to WAL would already change somebody else's file.
        // In one transaction: between two readings another process could make the store.
        try database.inTransaction(.deferred) {
            _ = try check()
            return .commit
        }
        try database.execute(sql: "PRAGMA synchronous = FULL")
        let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL")
        guard mode == "wal" else {
            throw StateError(
                .cannotOpen, store: path, detail: "its file system does not support a write-ahead log")
        }
        let pageBytes = try Int64.fetchOne(database, sql: "PRAGMA page_size") ?? 4096
        try database.execute(
            sql: "PRAGMA max_page_count = \(max(1, options.maxStoreBytes / pageBytes))")
        let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        guard version < SQLiteSchema.version else { return nil }
        var former: Int?
        try database.inTransaction(.immediate) {
            // Another process may have migrated the file while this one waited for the lock.
            let found = try check()
            try SQLiteSchema.migrate(database, from: found)
            former = found > 0 && found < SQLiteSchema.version ? found : nil
            return .commit
        }
        return former
    }

    // MARK: Errors

    /// Says what an error of the database means. Bound values never get into the text.
    static func explain(_ error: any Error, _ path: String) -> StateError {
        if let error = error as? StateError { return error }
        guard let error = error as? DatabaseError else {
            return StateError(.failed, store: path, detail: "\(type(of: error))")
        }
        var says = error.message ?? "code \(error.extendedResultCode.rawValue)"
        var code: StateError.Code =
            switch error.resultCode {
            case .SQLITE_BUSY, .SQLITE_LOCKED: .locked
            case .SQLITE_READONLY: .readOnly
            case .SQLITE_NOTADB: .notOurs
            case .SQLITE_CORRUPT, .SQLITE_FORMAT: .corrupt
            case .SQLITE_FULL: .diskFull
            case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH: .cannotOpen
            default: .failed
            }
        // Without permission SQLite stumbles over the first of its three files, and says only that it could not open.
        let folder = URL(filePath: path).deletingLastPathComponent().path
        if code == .cannotOpen, access(path, F_OK) == 0,
            access(path, W_OK) != 0 || access(folder, W_OK) != 0
        {
            code = .readOnly
            says = notPermitted
        }
        return StateError(code, store: path, detail: says)
    }
}
