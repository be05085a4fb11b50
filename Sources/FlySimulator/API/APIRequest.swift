// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import Model
internal import NIOCore

/// An API request, read whole.
struct APIRequest: Sendable {
    /// Larger bodies are refused.
    static let maxBodyBytes = 8 * 1024 * 1024

    var method: HTTPRequest.Method
    /// The path's parts, percent-decoded, without the base (`v1`, `api/v1`).
    var path: [String]
    /// In the order they were written; names may repeat.
    var query: [(name: String, value: String)]
    var headers: HTTPFields
    /// Nil where there is none.
    var body: JSONValue?

    /// Reads the body; throws a ``WorldFailure`` where it is too large or no JSON.
    static func read(_ request: Request, dropping baseParts: Int) async throws -> APIRequest {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: maxBodyBytes)
        } catch is NIOTooManyBytesError {
            throw WorldFailure(413, "the request's body is larger than \(maxBodyBytes) bytes")
        }
        var body: JSONValue?
        if buffer.readableBytes > 0 {
            do {
                body = try JSONValue(parsing: Data(buffer.readableBytesView))
            } catch {
                throw WorldFailure(400, "invalid JSON in the request's body")
            }
        }
        let parts = request.uri.path.split(separator: "/").map(APIRequest.decoded)
        return APIRequest(
            method: request.method, path: Array(parts.dropFirst(baseParts)),
            query: request.uri.queryParameters.map { (String($0.key), String($0.value)) }, headers: request.headers,
            body: body)
    }

    /// The text with its percent escapes resolved; a broken escape stays as it is.
    private static func decoded(_ part: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(part.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    func parameter(_ name: String) -> String? {
        query.first { $0.name == name }?.value
    }

    func parameters(_ name: String) -> [String] {
        query.filter { $0.name == name }.map(\.value)
    }

    func flag(_ name: String) -> Bool {
        parameter(name).map { $0 == "true" || $0 == "1" || $0.isEmpty } ?? false
    }

    /// A whole number; throws where the text is none.
    func integer(_ name: String) throws(WorldFailure) -> Int? {
        guard let text = parameter(name) else { return nil }
        guard let value = Int(text) else { throw WorldFailure(400, "invalid_argument: \(name) must be a number") }
        return value
    }

    /// The body as an object; throws where it is missing or something else.
    func object() throws(WorldFailure) -> [String: JSONValue] {
        guard let object = body?.object else { throw WorldFailure(400, "invalid_argument: the body must be an object") }
        return object
    }

    var nonce: String? {
        headers[.leaseNonce].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// What nothing answers to.
    func unknown() -> WorldFailure {
        WorldFailure(404, "\(method.rawValue) /\(path.joined(separator: "/")) is not an endpoint of this API")
    }
}

/// A call as an endpoint understood it, without the caller's identity.
struct APICall: Sendable {
    var app = ""
    var machine: String?
    var call: WorldCall
    /// Which parts of the answer to leave out.
    var isSummary = false
}

extension HTTPField.Name {
    // Constant names of valid characters: the initializer gives nil for others only.
    static let leaseNonce = HTTPField.Name("fly-machine-lease-nonce")!
    static let requestID = HTTPField.Name("fly-request-id")!
}
