// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import GRDB
internal import Model

/// Reads a row's columns; a value of the wrong kind, which only a damaged file has, is an error and not a crash.
struct Columns {
    let row: Row
    let store: String

    func optional<Value: DatabaseValueConvertible>(_ name: String, as type: Value.Type = Value.self) throws -> Value? {
        let stored: DatabaseValue = row[name]
        if stored.isNull { return nil }
        guard let value = Value.fromDatabaseValue(stored) else {
            throw StateError(.corrupt, store: store, detail: "the column \(name) holds a value of the wrong kind")
        }
        return value
    }

    func required<Value: DatabaseValueConvertible>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        guard let value = try optional(name, as: type) else {
            throw StateError(.corrupt, store: store, detail: "the column \(name) is empty")
        }
        return value
    }

    func time(_ name: String) throws -> Timestamp {
        Timestamp(milliseconds: try required(name))
    }

    func optionalTime(_ name: String) throws -> Timestamp? {
        try optional(name).map(Timestamp.init(milliseconds:))
    }

    func json<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        let text: String = try required(name)
        do {
            return try JSONDecoder().decode(type, from: Data(text.utf8))
        } catch {
            throw StateError(.corrupt, store: store, detail: "the column \(name) does not hold what it should")
        }
    }
}

extension SQLiteStore {
    func columns(_ row: Row) -> Columns {
        Columns(row: row, store: path)
    }

    /// A value as JSON with members in the order of their names.
    func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// The rows of a query, through the connection's cache of prepared statements.
    func rows(_ database: Database, _ sql: String, _ arguments: StatementArguments = []) throws -> [Row] {
        try Row.fetchAll(database.cachedStatement(sql: sql), arguments: arguments)
    }

    func row(_ database: Database, _ sql: String, _ arguments: StatementArguments = []) throws -> Row? {
        try Row.fetchOne(database.cachedStatement(sql: sql), arguments: arguments)
    }

    /// Executes one statement; returns how many rows it changed.
    @discardableResult
    func execute(_ database: Database, _ sql: String, _ arguments: StatementArguments = []) throws -> Int {
        try database.cachedStatement(sql: sql).execute(arguments: arguments)
        return database.changesCount
    }
}
