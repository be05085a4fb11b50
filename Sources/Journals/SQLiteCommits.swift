// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import FoundationEssentials
internal import GRDB
internal import Synchronization

/// Sees that somebody committed to a file: a connection of its own, which only asks for the file's data version
/// (sqlite.org/pragma.html#pragma_data_version), opened when it is first asked. Its own, because a connection does not
/// see its own commits that way.
final class SQLiteCommits: Sendable {
    private let path: String
    private let thread = DispatchQueue(label: "airboss.state.commits")
    private let connection = Mutex<DatabaseQueue?>(nil)

    init(path: String) {
        self.path = path
    }

    func version() async throws(StateError) -> Int64 {
        let result: Result<Int64, StateError> = await withCheckedContinuation { continuation in
            thread.async { [self] in
                continuation.resume(
                    returning: Result {
                        try opened().inDatabase { try Int64.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
                    }.mapError { SQLiteStore.explain($0, path) })
            }
        }
        return try result.get()
    }

    func close() {
        thread.async { [self] in
            connection.withLock { $0 = nil }
        }
    }

    private func opened() throws -> DatabaseQueue {
        if let opened = connection.withLock({ $0 }) { return opened }
        var configuration = Configuration()
        configuration.label = "airboss.state.commits"
        let opened = try DatabaseQueue(path: path, configuration: configuration)
        connection.withLock { $0 = opened }
        return opened
    }
}
