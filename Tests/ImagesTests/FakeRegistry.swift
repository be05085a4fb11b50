// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Model
import Synchronization
import Testing

@testable import Images

/// A network whose use is a fault of the test.
struct ForbiddenNetwork: HTTPSending {
    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        fatalError("a request where none is due: \(request.method) \(request.url)")
    }
}

/// An image registry in memory that refuses what the distribution specification forbids: wrong ranges, wrong digests,
/// manifests whose blobs are missing. It can want credentials and fail on request.
final class FakeRegistry: HTTPSending {
    enum Protection {
        case none
        case basic(RegistryCredential)
        case bearer(RegistryCredential?)
    }

    struct State {
        var blobs: [String: [String: [UInt8]]] = [:]
        var manifests: [String: [String: (type: String, data: Data)]] = [:]
        var uploads: [String: [UInt8]] = [:]
        var uploadCount = 0
        var protection = Protection.none
        var tokens: [String: Set<String>] = [:]
        var log: [String] = []
        /// Asked first; what it returns or throws is the answer.
        var fault: (@Sendable (inout State, HTTPRequest) throws(HTTPError) -> HTTPResponse?)?
        var allowsMount = true
        var relativeLocations = true
    }

    let host: String
    let state = Mutex(State())

    init(host: String = "127.0.0.1:5999") { self.host = host }

    var log: [String] { state.withLock { $0.log } }

    func client(
        _ credential: RegistryCredential? = nil, _ change: (inout RegistryClient.Limits) -> Void = { _ in }
    ) -> RegistryClient {
        var limits = RegistryClient.Limits()
        limits.uploadChunkBytes = 1000
        change(&limits)
        return RegistryClient(
            http: self, credentials: credential.map { [host: $0] } ?? [:], limits: limits, sleep: { _ in })
    }

    func reference(_ text: String) -> ImageReference { ImageReference(parsing: host + "/" + text)! }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        var answer = try state.withLock { state throws(HTTPError) in
            state.log.append("\(request.method) \(request.url.replacing(root, with: ""))")
            if let fault = state.fault, let response = try fault(&state, request) { return response }
            return self.answer(request, &state)
        }
        if let path = request.downloadPath, answer.status == 200 {
            do {
                try answer.body.write(to: URL(filePath: path))
            } catch {
                throw HTTPError(.fileFailed, "\(error)", mayHaveBeenProcessed: true)
            }
            answer.body = Data()
        }
        if answer.body.count > request.maxBodyBytes {
            throw HTTPError(.bodyTooLarge, "too much", mayHaveBeenProcessed: true)
        }
        return answer
    }

    private var root: String {
        (RegistryEndpoint.isLoopback(host) ? "http://" : "https://") + host
    }

    static func body(_ request: HTTPRequest) -> [UInt8] {
        switch request.body {
        case .none: return []
        case .bytes(let data): return Array(data)
        case .file(let path, let offset, let length):
            // The file is the client's own, named in the request a moment ago; without it the test makes no sense.
            let content = Array(try! Data(contentsOf: URL(filePath: path)))
            return Array(content[Int(offset)..<Int(offset + length)])
        }
    }

    static func response(_ status: Int, _ headers: HTTPHeaders = [:], _ body: Data = Data()) -> HTTPResponse {
        HTTPResponse(status: status, headers: headers, body: body)
    }

    static func failure(_ status: Int, _ code: String) -> HTTPResponse {
        response(status, [:], Data(#"{"errors":[{"code":"\#(code)","message":"said so"}]}"#.utf8))
    }

    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = UInt8(String(rest.prefix(2))!, radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Rules

    private func answer(_ request: HTTPRequest, _ state: inout State) -> HTTPResponse {
        guard request.url.hasPrefix(root) else { return FakeRegistry.failure(421, "WRONG_HOST") }
        let target = request.url.dropFirst(root.count)
        let path = target.prefix { $0 != "?" }.split(separator: "/").map(String.init)
        let query = Dictionary(
            target.drop { $0 != "?" }.dropFirst().split(separator: "&").map { pair -> (String, [String]) in
                let parts = pair.split(separator: "=", maxSplits: 1)
                return (String(parts[0]), [FakeRegistry.decoded(parts[1])])
            }, uniquingKeysWith: +)
        if path.first == "token" { return token(request, query, state: &state) }
        guard path.first == "v2", let kind = path.lastIndex(where: { $0 == "blobs" || $0 == "manifests" }) else {
            return FakeRegistry.failure(404, "NAME_UNKNOWN")
        }
        let repository = path[1..<kind].joined(separator: "/")
        let rest = Array(path[(kind + 1)...])
        let isRead = ["GET", "HEAD"].contains(request.method) && rest.first != "uploads"
        if let refusal = challenge(request, repository, isRead ? "pull" : "push", state) { return refusal }
        if path[kind] == "manifests" { return manifest(request, repository, rest[0], &state) }
        if rest.first == "uploads" { return upload(request, repository, rest, query, &state) }
        guard let blob = state.blobs[repository]?[rest[0]] else { return FakeRegistry.failure(404, "BLOB_UNKNOWN") }
        let headers: HTTPHeaders = ["Content-Length": String(blob.count), "Docker-Content-Digest": rest[0]]
        return FakeRegistry.response(200, headers, request.method == "HEAD" ? Data() : Data(blob))
    }

    private func challenge(
        _ request: HTTPRequest, _ repository: String, _ action: String, _ state: State
    ) -> HTTPResponse? {
        let sent = request.headers["Authorization"]
        switch state.protection {
        case .none: return nil
        case .basic(let credential):
            if sent == credential.basic { return nil }
            return FakeRegistry.response(401, ["WWW-Authenticate": #"Basic realm="fake, or so""#])
        case .bearer:
            let granted = sent.flatMap { $0.hasPrefix("Bearer ") ? state.tokens[String($0.dropFirst(7))] : nil } ?? []
            if granted.contains("\(repository):\(action)") { return nil }
            let actions = action == "push" ? "pull,push" : "pull"
            return FakeRegistry.response(
                401,
                [
                    "www-authenticate": "Bearer realm=\"\(root)/token?a=b\",service=\"fake service\","
                        + "scope=\"repository:\(repository):\(actions)\""
                ])
        }
    }

    private func token(_ request: HTTPRequest, _ query: [String: [String]], state: inout State) -> HTTPResponse {
        guard case .bearer(let credential) = state.protection, query["service"] == ["fake service"],
            query["a"] == ["b"], credential == nil || request.headers["Authorization"] == credential?.basic
        else { return FakeRegistry.failure(401, "UNAUTHORIZED") }
        let granted = (query["scope"] ?? []).flatMap { scope -> [String] in
            let parts = scope.split(separator: ":")
            return parts[2].split(separator: ",").map { "\(parts[1]):\($0)" }
        }
        let token = "token\(state.tokens.count)"
        state.tokens[token] = Set(granted)
        return FakeRegistry.response(200, [:], Data(#"{"access_token":"\#(token)"}"#.utf8))
    }

    private func manifest(
        _ request: HTTPRequest, _ repository: String, _ name: String, _ state: inout State
    ) -> HTTPResponse {
        if request.method == "PUT" {
            let data = Data(FakeRegistry.body(request))
            let digest = ImageDigest(of: data).rawValue
            guard let json = try? JSONValue(parsing: data), let type = request.headers["Content-Type"],
                json["mediaType"]?.string == type, !name.hasPrefix("sha256:") || name == digest
            else { return FakeRegistry.failure(400, "MANIFEST_INVALID") }
            for part in (json["layers"]?.array ?? []) + [json["config"]].compactMap(\.self) {
                guard let digest = part["digest"]?.string, let blob = state.blobs[repository]?[digest],
                    blob.count == part["size"]?.integer
                else { return FakeRegistry.failure(400, "MANIFEST_BLOB_UNKNOWN") }
            }
            state.manifests[repository, default: [:]][name] = (type, data)
            state.manifests[repository, default: [:]][digest] = (type, data)
            return FakeRegistry.response(201, ["Docker-Content-Digest": digest])
        }
        guard let (type, data) = state.manifests[repository]?[name] else {
            return FakeRegistry.failure(404, "MANIFEST_UNKNOWN")
        }
        guard request.headers["Accept"]?.contains(type) == true else { return FakeRegistry.failure(406, "ACCEPT") }
        let headers: HTTPHeaders = [
            "Content-Type": type, "Content-Length": String(data.count),
            "Docker-Content-Digest": ImageDigest(of: data).rawValue,
        ]
        return FakeRegistry.response(200, headers, request.method == "HEAD" ? Data() : data)
    }

    private func upload(
        _ request: HTTPRequest, _ repository: String, _ rest: [String], _ query: [String: [String]],
        _ state: inout State
    ) -> HTTPResponse {
        func accepted(_ status: Int, _ id: String, _ state: State) -> HTTPResponse {
            let path = "/v2/\(repository)/blobs/uploads/\(id)?_state=s\(state.uploads[id]?.count ?? 0)"
            let end = max(0, (state.uploads[id]?.count ?? 0) - 1)
            return FakeRegistry.response(
                status, ["Location": state.relativeLocations ? path : root + path, "Range": "0-\(end)"])
        }
        guard rest.count > 1 else {
            guard request.method == "POST" else { return FakeRegistry.failure(405, "UNSUPPORTED") }
            if state.allowsMount, let digest = query["mount"]?.first, let from = query["from"]?.first,
                let blob = state.blobs[from]?[digest]
            {
                state.blobs[repository, default: [:]][digest] = blob
                return FakeRegistry.response(201, ["Docker-Content-Digest": digest])
            }
            state.uploadCount += 1
            state.uploads["u\(state.uploadCount)"] = []
            return accepted(202, "u\(state.uploadCount)", state)
        }
        let id = rest[1]
        guard let content = state.uploads[id] else { return FakeRegistry.failure(404, "BLOB_UPLOAD_UNKNOWN") }
        switch request.method {
        case "GET": return accepted(204, id, state)
        case "DELETE":
            state.uploads[id] = nil
            return FakeRegistry.response(204)
        case "PATCH":
            let bytes = FakeRegistry.body(request)
            guard query["_state"] == ["s\(content.count)"],
                request.headers["Content-Range"] == "\(content.count)-\(content.count + bytes.count - 1)"
            else { return FakeRegistry.failure(416, "RANGE_INVALID") }
            state.uploads[id]! += bytes
            return accepted(202, id, state)
        case "PUT":
            let digest = ImageDigest(of: Data(content)).rawValue
            guard query["digest"] == [digest] else { return FakeRegistry.failure(400, "DIGEST_INVALID") }
            state.blobs[repository, default: [:]][digest] = content
            state.uploads[id] = nil
            return FakeRegistry.response(201, ["Docker-Content-Digest": digest, "Location": "/v2/x"])
        default: return FakeRegistry.failure(405, "UNSUPPORTED")
        }
    }
}
