// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

/// A value of a column, or one given to a statement.
package enum SQLValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case text(String)
    case data(Data)
}

/// What can be given to a statement and read from a column.
package protocol SQLConvertible: Sendable {
    var sqlValue: SQLValue { get }
    /// Nil where the value is of another kind.
    static func from(_ value: SQLValue) -> Self?
}

extension String: SQLConvertible {
    package var sqlValue: SQLValue { .text(self) }

    package static func from(_ value: SQLValue) -> String? {
        if case .text(let text) = value { text } else { nil }
    }
}

extension Data: SQLConvertible {
    package var sqlValue: SQLValue { .data(self) }

    package static func from(_ value: SQLValue) -> Data? {
        if case .data(let data) = value { data } else { nil }
    }
}

extension SQLConvertible where Self: FixedWidthInteger {
    package var sqlValue: SQLValue { .integer(Int64(self)) }

    package static func from(_ value: SQLValue) -> Self? {
        if case .integer(let number) = value { Self(exactly: number) } else { nil }
    }
}

extension Int: SQLConvertible {}
extension Int32: SQLConvertible {}
extension Int64: SQLConvertible {}

/// A row of an answer. A value of the wrong kind, which only a damaged store has, is an error and not a crash.
package struct SQLRow: Sendable {
    /// The columns' names, in the order of the values: few, and short, so that looking for one takes no table.
    let columns: [String]
    let values: [SQLValue]
    let place: String

    func optional<Value: SQLConvertible>(_ name: String, as type: Value.Type = Value.self) throws -> Value? {
        // The last one of a name that is there twice, as of joined tables.
        guard let index = columns.lastIndex(of: name) else {
            throw StateError(.corrupt, store: place, detail: "the column \(name) is missing")
        }
        if values[index] == .null { return nil }
        guard let value = Value.from(values[index]) else {
            throw StateError(
                .corrupt, store: place, detail: "the column \(name) holds a value of the wrong kind")
        }
        return value
    }

    func required<Value: SQLConvertible>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        guard let value = try optional(name, as: type) else {
            throw StateError(.corrupt, store: place, detail: "the column \(name) is empty")
        }
        return value
    }

    func name<Name: Identifier>(_ column: String, as type: Name.Type = Name.self) throws -> Name {
        Name(try required(column, as: String.self))
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
            throw StateError(
                .corrupt, store: place, detail: "the column \(name) does not hold what it should")
        }
    }
}

/// One transaction of a database, as the statements of ``SQLStore`` see it: `?` stands for an argument.
package protocol SQLSession {
    /// The rows of a query, one after the other, none of which is kept.
    func forEachRow(
        _ sql: String, _ arguments: [(any SQLConvertible)?], _ body: (SQLRow) throws -> Void
    ) throws

    /// The same of a query with so many rows that they are worked on while further ones are on their way.
    func stream(_ sql: String, _ arguments: [(any SQLConvertible)?], _ body: (SQLRow) throws -> Void) throws

    /// Executes one statement; returns how many rows it changed.
    @discardableResult
    func execute(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws -> Int

    /// Executes one statement whose answer nobody waits for: it goes along with the next one, or with the commit, and
    /// that is where it fails.
    func post(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws

    /// Wakes those who wait for the app, once the transaction is committed; nothing where they see commits themselves.
    func announce(_ app: AppName) throws
}

extension SQLSession {
    /// The rows of a query.
    func rows(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws -> [SQLRow] {
        var rows: [SQLRow] = []
        try forEachRow(sql, arguments) { rows.append($0) }
        return rows
    }

    func row(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws -> SQLRow? {
        try rows(sql, arguments).first
    }

    func rows(_ sql: String) throws -> [SQLRow] {
        try rows(sql, [])
    }
}
