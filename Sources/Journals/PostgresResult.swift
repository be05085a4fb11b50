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

    /// The same as a number, of a statement that is answered in the binary format.
    var integer: Int64? {
        guard PQntuples(handle) > 0, PQgetlength(handle, 0, 0) == 8 else { return nil }
        return PQgetvalue(handle, 0, 0).map {
            Int64(bigEndian: UnsafeRawPointer($0).loadUnaligned(as: Int64.self))
        }
    }

    /// The server's numbers of the types we use (pg_type.dat).
    enum TypeNumber {
        static let data: Oid = 17
        static let integer: Oid = 20
        static let shortInteger: Oid = 23
        static let text: Oid = 25
    }

    /// What the answer's columns are called and hold.
    struct Columns {
        var names: [String] = []
        var types: [Oid] = []
    }

    var columns: Columns {
        var columns = Columns()
        for index in 0..<PQnfields(handle) {
            columns.names.append(String(cString: PQfname(handle, index)))
            columns.types.append(PQftype(handle, index))
        }
        return columns
    }

    /// The rows of an answer in the binary format.
    ///
    /// - Parameter columns: this answer's.
    func forEachRow(_ columns: Columns, _ place: String, _ body: (SQLRow) throws -> Void) throws {
        for row in 0..<PQntuples(handle) {
            var values: [SQLValue] = []
            values.reserveCapacity(columns.types.count)
            for (column, type) in columns.types.enumerated() {
                values.append(try value(row, Int32(column), type, place))
            }
            try body(SQLRow(columns: columns.names, values: values, place: place))
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
