// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// A transaction of a PostgreSQL connection.
struct PostgresSession: SQLSession {
    /// Where notifications about apps go.
    static let channel = "airboss_turns"

    let connection: PostgresConnection
    let place: String

    func forEachRow(
        _ sql: String, _ arguments: [(any SQLConvertible)?], _ body: (SQLRow) throws -> Void
    ) throws {
        let answer = try answer(sql, arguments)
        try answer.forEachRow(answer.columns, place, body)
    }

    func stream(_ sql: String, _ arguments: [(any SQLConvertible)?], _ body: (SQLRow) throws -> Void) throws {
        var columns: PostgresResult.Columns?
        try connection.stream(PostgresSession.numbered(sql), PostgresSession.values(arguments)) { answer in
            let known = columns ?? answer.columns
            columns = known
            try answer.forEachRow(known, place, body)
        }
    }

    @discardableResult
    func execute(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws -> Int {
        try answer(sql, arguments).changes
    }

    func post(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws {
        connection.post(PostgresSession.numbered(sql), PostgresSession.values(arguments))
    }

    func announce(_ app: AppName) throws {
        try post("SELECT pg_notify(?, ?)", [PostgresSession.channel, app.rawValue])
    }

    private func answer(_ sql: String, _ arguments: [(any SQLConvertible)?]) throws(PostgresFailure) -> PostgresResult {
        try connection.run(PostgresSession.numbered(sql), PostgresSession.values(arguments))
    }

    static func values(_ arguments: [(any SQLConvertible)?]) -> [SQLValue] {
        arguments.map { $0?.sqlValue ?? .null }
    }

    /// The statement with `$1`, `$2`… where `?` stands; no statement of ours has a `?` in a text.
    static func numbered(_ sql: String) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(sql.utf8.count + 16)
        var number = 0
        for byte in sql.utf8 {
            if byte == UInt8(ascii: "?") {
                number += 1
                result.append(UInt8(ascii: "$"))
                result.append(contentsOf: String(number).utf8)
            } else {
                result.append(byte)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
