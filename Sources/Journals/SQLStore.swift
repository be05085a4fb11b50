// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// A state store whose memory is an SQL database. All of them share the statements, and with them what every call
/// means; a database of its own brings transactions, tables and errors.
package protocol SQLStore: StateStore {
    /// Where the store is: a path, or a URL without user information.
    var place: String { get }
    /// What the store last told about holds and queues.
    var turns: SeenTurns { get }

    /// Runs `body` in a transaction that sees everything earlier writers of the same subjects have committed and keeps
    /// later ones waiting; returns once it is on disk. The body may run more than once, so it does nothing else.
    func write<Value: Sendable>(
        _ subjects: [SQLSubject], _ body: @escaping @Sendable (any SQLSession) throws -> Value
    ) async throws(StateError) -> Value

    /// Runs `body` on one consistent view of the store.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLSession) throws -> Value
    ) async throws(StateError) -> Value

    /// A number that differs after a commit that may concern the app; what ``awaitSign(_:after:until:)`` starts from.
    func sign(_ app: AppName) async throws(StateError) -> Int64

    /// Returns when the sign differs from `sign`, at `deadline`, when the task is cancelled, or when the store thinks
    /// it time to look.
    func awaitSign(
        _ app: AppName, after sign: Int64, until deadline: ContinuousClock.Instant
    ) async throws(StateError)

    /// The version of the tables.
    func schemaVersion() async throws(StateError) -> Int

    /// What is wrong with the database itself, for people, each in a sentence without a full stop.
    func storageProblems() async throws(StateError) -> [String]

    /// Gives up the connection; later calls throw.
    func close() async throws(StateError)
}

/// What a write is about. Writes about the same subject happen one after another; a write touches no other's rows.
package enum SQLSubject: Hashable, Sendable {
    case app(AppName)
    case run(RunID)
    case notice(String)
    /// The store's audit chain: there is one end to append to.
    case audit

    /// The subject as text, unlike that of any other.
    var text: String {
        switch self {
        case .app(let name): "app " + name.rawValue
        case .run(let id): "run " + id.rawValue
        case .notice(let key): "notice " + key
        case .audit: "audit"
        }
    }
}

extension SQLStore {
    func error(_ code: StateError.Code, _ detail: String = "") -> StateError {
        StateError(code, store: place, detail: detail)
    }

    /// A value as JSON with members in the order of their names.
    func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// What a write is about that is also to be fenced.
    func subjects(_ own: SQLSubject, _ fence: Fence?) -> [SQLSubject] {
        guard let fence, own != .app(fence.app) else { return [own] }
        return [.app(fence.app), own]
    }

    /// Throws `fenced` where the app is not this run's any more, or under another token.
    func check(_ session: any SQLSession, _ fence: Fence?) throws {
        guard let fence else { return }
        let held = try session.row("SELECT run, fence FROM hold WHERE app = ?", [fence.app.rawValue])
        if let held, try held.name("run") == fence.run, try held.required("fence") == fence.token { return }
        let found = try hold(session, fence.app)
        guard found?.run == fence.run, found?.fence == fence.token else {
            throw error(
                .fenced(holder: found), "\(fence.app) was run \(fence.run)'s under token \(fence.token)")
        }
    }
}
