// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CPostgres
internal import FoundationEssentials

/// A PostgreSQL URL as libpq reads it, with all of libpq's options
/// (postgresql.org/docs/current/libpq-connect.html), and what of it must not be shown.
struct PostgresURL: Sendable {
    static let schemes = ["postgres://", "postgresql://"]

    /// libpq's names of the options and their values; what is not named here has libpq's own default.
    let parameters: [String: String]
    /// The server and the database, without user and password: what messages call the store.
    let place: String
    private let secrets: [String]

    /// What is set where the URL does not say otherwise. A connection that is gone is noticed within about
    /// `tcp_user_timeout` milliseconds, not after the quarter of an hour that TCP would try.
    private static let defaults = [
        "application_name": "airboss", "client_encoding": "UTF8", "connect_timeout": "10", "keepalives_idle": "30",
        "keepalives_interval": "5", "keepalives_count": "3", "tcp_user_timeout": "20000",
    ]

    init(_ text: String) throws(StateError) {
        var parsed: [String: String] = [:]
        var problem: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &problem) else {
            let says = problem.map { String(cString: $0) } ?? ""
            PQfreemem(problem)
            // Other messages of libpq repeat parts of the URL, and with them perhaps the password.
            let known = "invalid URI query parameter"
            let detail = says.hasPrefix(known) ? says.filter { !$0.isNewline } : "its URL cannot be read"
            throw StateError(.cannotOpen, store: "postgres://…", detail: detail)
        }
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { parsed[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        PQconninfoFree(options)
        place = PostgresURL.place(parsed)
        secrets =
            ["password", "sslpassword"].compactMap { parsed[$0] }
            + [parsed["user"].map { "\"\($0)\"" }, PostgresURL.userInformation(text)].compactMap { $0 }
        parameters = parsed.merging(PostgresURL.defaults) { said, _ in said }
    }

    private static func place(_ options: [String: String]) -> String {
        let host = options["host"] ?? options["hostaddr"] ?? ""
        let name = "/" + (options["dbname"] ?? "")
        if host.hasPrefix("/") { return "postgres://\(name)?host=\(host)" }
        let port = options["port"].map { ":" + $0 } ?? ""
        return "postgres://\(host)\(host.isEmpty ? "" : port)\(name)"
    }

    /// What stands before the `@`, as written.
    private static func userInformation(_ text: String) -> String? {
        guard let scheme = text.firstRange(of: "://"), let at = text[scheme.upperBound...].lastIndex(of: "@") else {
            return nil
        }
        return String(text[scheme.upperBound..<at])
    }

    /// A message of libpq or the server in one line, without user and password. What is in it twice, once of each
    /// attempt to connect, stands in it once.
    func redact(_ message: String) -> String {
        var lines: [Substring] = []
        for line in message.split(whereSeparator: \.isNewline) where !lines.contains(line) { lines.append(line) }
        var text = lines.joined(separator: " ")
        for secret in secrets where !secret.isEmpty {
            text = text.replacing(secret, with: "…")
        }
        return text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}
