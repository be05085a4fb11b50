// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import GRDB
internal import Model

/// A transaction of an SQLite connection.
struct SQLiteSession: SQLSession {
    let database: Database
    let place: String

    /// The rows of a query, through the connection's cache of prepared statements.
    func forEachRow(
        _ sql: String, _ arguments: [(any SQLConvertible)?], _ body: (SQLRow) throws -> Void
    ) throws {
        let statement = try database.cachedStatement(sql: sql)
        let columns = statement.columnNames
        let count = columns.count
        let cursor = try Row.fetchCursor(statement, arguments: SQLiteSession.arguments(arguments))
        while let row = try cursor.next() {
            var values: [SQLValue] = []
            values.reserveCapacity(count)
            for index in 0..<count {
                let value: DatabaseValue = row[index]
                switch value.storage {
                case .null: values.append(.null)
                case .int64(let number): values.append(.integer(number))
                case .string(let text): values.append(.text(text))
                case .blob(let data): values.append(.data(data))
                // No column of ours is a number with a fraction.
                case .double(let number): values.append(.text("\(number)"))
                }
            }
            try body(SQLRow(columns: columns, values: values, place: place))
        }
    }

    @discardableResult
    func execute(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws -> Int {
        try database.cachedStatement(sql: sql).execute(arguments: SQLiteSession.arguments(arguments))
        return database.changesCount
    }

    /// Nothing is on its way here.
    func stream(_ sql: String, _ arguments: [(any SQLConvertible)?], _ body: (SQLRow) throws -> Void) throws {
        try forEachRow(sql, arguments, body)
    }

    func post(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws {
        try execute(sql, arguments)
    }

    /// Other connections see commits by the file's data version.
    func announce(_ app: AppName) throws {}

    private static func arguments(_ values: [(any SQLConvertible)?]) -> StatementArguments {
        StatementArguments(
            values.map { value -> (any DatabaseValueConvertible)? in
                switch value?.sqlValue ?? .null {
                case .null: nil
                case .integer(let number): number
                case .text(let text): text
                case .data(let data): data
                }
            })
    }
}
