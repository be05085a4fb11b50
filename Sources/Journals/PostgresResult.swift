// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CPostgres
internal import FoundationEssentials

/// What the server answered to one statement.
final class PostgresResult {
    private let handle: OpaquePointer

    /// Takes the result over, and clears it in the end.
    init(_ handle: OpaquePointer) {
        self.handle = handle
    }

    deinit {
        PQclear(handle)
    }

    var status: ExecStatusType { PQresultStatus(handle) }
    /// The standard's error code; nil where the message is libpq's own.
    var state: String? { airboss_pg_state(handle).map { String(cString: $0) } }
    var message: String {
        airboss_pg_message(handle).map { String(cString: $0) } ?? String(cString: PQresultErrorMessage(handle))
    }
    /// The statement's name as the server repeats it: `COMMIT`, or `ROLLBACK` where it could not.
    var tag: String { String(cString: PQcmdStatus(handle)) }
    /// How many rows the statement changed.
    var changes: Int { Int(String(cString: PQcmdTuples(handle))) ?? 0 }
    /// The first column of the first row, which a statement without arguments answers as text.
    var text: String? { PQntuples(handle) > 0 ? PQgetvalue(handle, 0, 0).map { String(cString: $0) } : nil }

    /// The server's numbers of the types we use (pg_type.dat).
    enum TypeNumber {
        static let data: Oid = 17
        static let integer: Oid = 20
        static let shortInteger: Oid = 23
        static let text: Oid = 25
    }

    /// The rows of an answer in the binary format.
    func forEachRow(_ place: String, _ body: (SQLRow) throws -> Void) throws {
        let width = PQnfields(handle)
        var columns: [String: Int] = [:]
        var types: [Oid] = []
        for index in 0..<width {
            columns[String(cString: PQfname(handle, index))] = Int(index)
            types.append(PQftype(handle, index))
        }
        let height = PQntuples(handle)
        for row in 0..<height {
            var values: [SQLValue] = []
            values.reserveCapacity(Int(width))
            for column in 0..<width {
                values.append(try value(row, column, types[Int(column)], place))
            }
            try body(SQLRow(columns: columns, values: values, place: place))
        }
    }

    private func value(_ row: Int32, _ column: Int32, _ type: Oid, _ place: String) throws -> SQLValue {
        if PQgetisnull(handle, row, column) == 1 { return .null }
        let bytes = UnsafeRawBufferPointer(
            start: PQgetvalue(handle, row, column), count: Int(PQgetlength(handle, row, column)))
        switch type {
        case TypeNumber.integer where bytes.count == 8:
            return .integer(Int64(bigEndian: bytes.loadUnaligned(as: Int64.self)))
        case TypeNumber.shortInteger where bytes.count == 4:
            return .integer(Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self))))
        case TypeNumber.text:
            return .text(String(decoding: bytes, as: UTF8.self))
        case TypeNumber.data:
            return .data(Data(bytes))
        default:
            throw StateError(.corrupt, store: place, detail: "a column has the unknown type \(type)")
        }
    }
}
