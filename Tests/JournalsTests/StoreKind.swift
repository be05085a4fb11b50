// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

@testable import Journals

/// The kinds of stores that one suite of tests is run against.
enum StoreKind: String, Sendable, CustomTestStringConvertible {
    case sqlite, postgres

    var testDescription: String { rawValue }

    /// Those that can be used here.
    static let available: [StoreKind] = {
        if PostgresServer.isInstalled { return [.sqlite, .postgres] }
        print("skipped: PostgreSQL's initdb is not installed")
        return [.sqlite]
    }()
}

/// Where one store of a kind is, empty at first; any number of connections may be opened to it.
struct Place: Sendable {
    let kind: StoreKind
    /// A path for SQLite, a URL for PostgreSQL.
    let location: String

    init(_ kind: StoreKind) async throws {
        self.kind = kind
        switch kind {
        case .sqlite: location = try Place.folder() + "/state.sqlite"
        case .postgres:
            let server = try await PostgresServer.shared.value
            location = server.url(of: try await server.makeDatabase())
        }
    }

    var url: String { kind == .sqlite ? "sqlite:" + location : location }

    func open() async throws(StateError) -> any SQLStore {
        switch kind {
        case .sqlite: try await SQLiteStore(path: location)
        case .postgres: try await PostgresStore(url: location)
        }
    }

    /// Reaches past the store's calls into its tables; where there is one `?`, it stands for the value.
    func tamper(_ sql: String, _ value: Data? = nil) async throws {
        let store = try await open()
        _ = try await store.write([]) { session in
            try session.execute(sql, value.map { [$0] } ?? [])
        }
        try await store.close()
    }

    /// Everything the tables hold, as text.
    func dump() async throws -> String {
        let store = try await open()
        let text = try await store.read { session in
            try [
                "run", "entry", "release", "release_state", "notice", "hold", "waiter", "app", "audit", "audit_chain",
                "approval", "snapshot",
            ].map { table in
                let rows = try session.rows("SELECT * FROM \(table) ORDER BY 1, 2")
                return "\(table)\n" + rows.map { "\($0.values)" }.joined(separator: "\n")
            }.joined(separator: "\n")
        }
        try await store.close()
        return text
    }

    private static func folder() throws -> String {
        let path = root + "/" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// The folder of this process's stores, removed when it ends.
    private static let root: String = {
        atexit { try? FileManager.default.removeItem(atPath: Place.rootPath) }
        return rootPath
    }()
    private static let rootPath =
        FileManager.default.temporaryDirectory.appending(path: "airboss-places-\(getpid())").path
}
