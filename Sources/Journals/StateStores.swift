// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// The kinds of state stores there are, by URL: `sqlite:PATH` and `postgres://…`.
package enum StateStores {
    /// Where a store is.
    private enum Place {
        case sqlite(path: String)
        case postgres(url: String)
    }

    /// Opens the store at a URL for use: makes what is missing, and brings its tables up to date. A relative path of
    /// SQLite's starts at `folder`. Throws `unknownKind` for another URL.
    package static func open(_ url: String, relativeTo folder: String = ".") async throws(StateError) -> any StateStore
    {
        try await use(url, relativeTo: folder)
    }

    /// Opens the store at a URL as it is: throws where there is none, or where its tables are not of this version.
    package static func openAsItIs(
        _ url: String, relativeTo folder: String = "."
    ) async throws(StateError) -> any StateStore {
        try await look(url, relativeTo: folder)
    }

    /// Brings the tables of the store at a URL up to date, and makes the store where there is none.
    package static func migrate(
        _ url: String, relativeTo folder: String = "."
    ) async throws(StateError) -> StateMigration {
        var former: Int?
        do throws(StateError) {
            let store = try await look(url, relativeTo: folder)
            former = try await store.schemaVersion()
            try await store.close()
        } catch {
            switch error.code {
            case .olderVersion(let found, _): former = found > 0 ? found : nil
            // Where nothing is yet, or nothing can be reached: opening it tells which.
            case .cannotOpen: break
            default: throw error
            }
        }
        let store = try await use(url, relativeTo: folder)
        let migration = StateMigration(store: store.place, from: former, to: try await store.schemaVersion())
        try await store.close()
        return migration
    }

    /// Verifies everything in the store at a URL and changes nothing; throws where there is none, or where its tables
    /// are not of this version.
    package static func check(
        _ url: String, relativeTo folder: String = ".", at now: Timestamp, silence: Duration
    ) async throws(StateError) -> StateCheck {
        let store = try await look(url, relativeTo: folder)
        let check = try await StateCheck(of: store, seenFrom: .process(at: now), at: now, silence: silence)
        try await store.close()
        return check
    }

    /// Copies every run, release and notice of one store into another; see ``StateCopy``.
    package static func copy(
        from source: String, to target: String, relativeTo folder: String = ".", at now: Timestamp, silence: Duration,
        progress: (StateCopy.Progress) -> Void = { _ in }
    ) async throws(StateError) -> StateCopy {
        let from = try await look(source, relativeTo: folder)
        let to = try await use(target, relativeTo: folder)
        guard from.place != to.place else {
            throw StateError(.conflict, store: to.place, detail: "it is the store to copy from")
        }
        let copy = try await StateCopy(
            from: from, to: to, seenFrom: .process(at: now), at: now, silence: silence, progress: progress)
        try await from.close()
        try await to.close()
        return copy
    }

    // MARK: Opening

    static func use(_ url: String, relativeTo folder: String) async throws(StateError) -> any SQLStore {
        switch try place(url, folder) {
        case .sqlite(let path): return try await SQLiteStore(path: path)
        case .postgres(let url): return try await PostgresStore(url: url)
        }
    }

    /// Opens a store that is there, without making or changing anything.
    static func look(_ url: String, relativeTo folder: String) async throws(StateError) -> any SQLStore {
        switch try place(url, folder) {
        case .sqlite(let path): return try await SQLiteStore(path: path, opening: .asItIs)
        case .postgres(let url): return try await PostgresStore(url: url, opening: .asItIs)
        }
    }

    private static func place(_ url: String, _ folder: String) throws(StateError) -> Place {
        if PostgresURL.schemes.contains(where: { url.hasPrefix($0) }) { return .postgres(url: url) }
        let scheme = "sqlite:"
        guard url.hasPrefix(scheme), url.count > scheme.count else {
            throw StateError(.unknownKind, store: hidingUser(url))
        }
        let path = String(url.dropFirst(scheme.count))
        return .sqlite(path: path.hasPrefix("/") ? path : folder + "/" + path)
    }

    /// The URL with what stands before its `@` removed.
    private static func hidingUser(_ url: String) -> String {
        guard let at = url.lastIndex(of: "@") else { return url }
        let start = url.firstRange(of: "://")?.upperBound ?? url.startIndex
        return start <= at ? url[..<start] + "…" + url[at...] : url
    }
}

/// What bringing a store up to date did.
package struct StateMigration: Hashable, Sendable {
    package var store: String
    /// The schema's version before; nil where there was no store.
    package var from: Int?
    package var to: Int
}
