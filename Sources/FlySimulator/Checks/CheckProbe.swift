// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import HTTPTypes
internal import Model
internal import NIOCore
internal import NIOHTTPTypes

/// One check made once, through the guest's socket.
struct CheckProbe: Sendable {
    static let maxOutputBytes = 2048

    struct Result: Hashable, Sendable {
        var standing: CheckStanding
        var output: String
    }

    let spec: CheckSpec
    let timeout: Duration

    /// Whether the guest accepts connections on the check's port.
    func isListening(_ path: String?) async -> Bool {
        guard let path else { return false }
        do {
            try await open(path).close()
            return true
        } catch {
            return false  // Refused, not there yet, or out of time: all mean that it does not listen.
        }
    }

    /// Makes the check; a nil path means that the guest is not there.
    func run(_ path: String?) async -> Result {
        guard let path else { return CheckProbe.refused }
        switch spec.type {
        case "tcp": return await tcp(path)
        case "http", "https": return await http(path)
        default: return Result(standing: .critical, output: "checks of the type “\(spec.type)” cannot be simulated")
        }
    }

    static let refused = Result(standing: .critical, output: "connect: connection refused")

    private func open(_ path: String) async throws -> GuestConnection {
        let lifetime = TimeAmount.milliseconds(timeout.wholeMilliseconds)
        return try await GuestConnection.open(path, lifetime: lifetime, idleTime: lifetime)
    }

    private func tcp(_ path: String) async -> Result {
        do {
            try await open(path).close()
            return Result(standing: .passing, output: "Success")
        } catch {
            return CheckProbe.refused
        }
    }

    private func http(_ path: String) async -> Result {
        let definition = spec.definition
        guard definition["protocol"]?.string ?? spec.type != "https" else {
            return Result(standing: .critical, output: "checks over https cannot be simulated")
        }
        let method = (definition["method"]?.string ?? "GET").uppercased()
        let target = definition["path"]?.string ?? "/"
        guard let verb = HTTPRequest.Method(method) else {
            return Result(standing: .critical, output: "“\(method)” is not a method")
        }
        let what = "HTTP \(method) http://127.0.0.1:\(spec.port)\(target)"
        var request = HTTPRequest(method: verb, scheme: "http", authority: "127.0.0.1:\(spec.port)", path: target)
        request.headerFields[.userAgent] = "Consul Health Check"
        request.headerFields[.connection] = "close"
        for (name, value) in CheckProbe.headers(definition) {
            if name.lowercased() == "host" {
                request.authority = value
            } else if let field = HTTPField.Name(name), HTTPField.isValidValue(value) {
                request.headerFields.append(HTTPField(name: field, value: value))
            }
        }
        do {
            let connection = try await open(path)
            defer { connection.close() }
            if await connection.isSent(.head(request)) { _ = await connection.isSent(.end(nil)) }
            let answer = try await connection.head()
            var bytes: [UInt8] = []
            while bytes.count < CheckProbe.maxOutputBytes, let part = try await connection.next() {
                if case .body(let buffer) = part { bytes.append(contentsOf: buffer.readableBytesView) }
                if case .end = part { break }
            }
            let body = String(decoding: bytes.prefix(CheckProbe.maxOutputBytes), as: UTF8.self)
            let status = "\(answer.status.code) \(answer.status.reasonPhrase)"
            return Result(
                standing: answer.status.kind == .successful ? .passing : .critical,
                output: "\(what): \(status) Output: \(body)")
        } catch GuestConnectionError.refused {
            return CheckProbe.refused
        } catch GuestConnectionError.timedOut {
            return Result(standing: .critical, output: "\(what): no answer within \(timeout)")
        } catch {
            return Result(standing: .critical, output: "\(what): the connection was closed before the answer was whole")
        }
    }

    /// Headers as a list of `{name, values}`, or as a map.
    static func headers(_ definition: JSONValue) -> [(String, String)] {
        if let map = definition["headers"]?.object {
            return map.sorted { $0.key < $1.key }.compactMap { entry in entry.value.string.map { (entry.key, $0) } }
        }
        return (definition["headers"]?.array ?? []).flatMap { header in
            let name = header["name"]?.string ?? ""
            return (header["values"]?.array ?? []).compactMap(\.string).map { (name, $0) }
        }
    }
}
