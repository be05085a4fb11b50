// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import HTTPTransport
internal import Model
internal import Ports

/// HTTP requests to what was deployed.
struct LiveProbes: ProbePort {
    let http: any HTTPSending

    /// The longest body read for its fields.
    static let maxBodyBytes = 256 * 1024
    /// The longest value of a field kept, in characters.
    static let maxFieldCharacters = 200

    func answer(_ probe: Probe) async -> Answer {
        var request = HTTPRequest(
            "GET", probe.url, headers: ["Accept": "application/json, */*", "Cache-Control": "no-cache"],
            timeouts: HTTPTimeouts(connect: probe.timeout, total: probe.timeout, stall: probe.timeout))
        request.maxBodyBytes = LiveProbes.maxBodyBytes
        let start = ContinuousClock.now
        do {
            let response = try await http.send(request)
            var fields: [String: String] = [:]
            if !probe.bodyFields.isEmpty, let body = try? JSONValue(parsing: response.body) {
                // A body that is no JSON has none of the fields, which the criteria then say.
                for field in probe.bodyFields { fields[field] = LiveProbes.text(of: field, in: body) }
            }
            return .probe(
                result: ProbeResult(
                    status: response.status, elapsed: ContinuousClock.now - start, fields: fields))
        } catch {
            return .probe(
                result: ProbeResult(
                    status: nil, elapsed: ContinuousClock.now - start, failure: error.message,
                    isUnresolvable: error.code == .couldNotResolve))
        }
    }

    /// The value at a dotted path, as text.
    static func text(of path: String, in body: JSONValue) -> String? {
        var value: JSONValue? = body
        for part in path.split(separator: ".") { value = value?[String(part)] }
        switch value {
        case nil, .null: return nil
        case .string(let text): return String(text.prefix(maxFieldCharacters))
        case .bool(let flag): return flag ? "true" : "false"
        case .integer(let number): return String(number)
        case .number, .array, .object: return value.map { String($0.text().prefix(maxFieldCharacters)) }
        }
    }
}
