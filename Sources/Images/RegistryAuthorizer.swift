// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTransport
internal import Model
internal import Synchronization

/// A user and a password for one registry. Never shown.
package struct RegistryCredential: Sendable, CustomStringConvertible, CustomReflectable {
    let user: String
    let password: String

    package init(user: String, password: String) {
        self.user = user
        self.password = password
    }

    /// A Fly.io token, which its registry takes as the password of the user `x`; a scheme in front of it is dropped.
    package static func fly(token: String) -> RegistryCredential {
        let words = token.split(separator: " ", maxSplits: 1)
        let isPrefixed = words.count == 2 && ["flyv1", "bearer"].contains(words[0].lowercased())
        return RegistryCredential(user: "x", password: isPrefixed ? String(words[1]) : token)
    }

    var basic: String {
        "Basic " + Data((user + ":" + password).utf8).base64EncodedString()
    }

    package var description: String { "credential of \(user)" }
    package var customMirror: Mirror { Mirror(self, children: ["user": user]) }
}

/// What a request may do, so that tokens are kept apart.
struct RegistryAccess: Hashable, Sendable {
    enum Actions: Hashable, Sendable {
        case pull, push
    }

    var actions: Actions
    /// The repository a blob is mounted from, in the same registry.
    var mountedRepository: String?

    static let pull = RegistryAccess(actions: .pull)
    static let push = RegistryAccess(actions: .push)
}

/// Finds out what to send as `Authorization`, and remembers it. Source: the distribution project's token
/// authentication specification.
final class RegistryAuthorizer: Sendable {
    /// A token's answer is a few kilobytes.
    static let maxTokenAnswerBytes = 1024 * 1024

    private struct Key: Hashable {
        var endpoint: RegistryEndpoint
        var access: RegistryAccess
    }

    private let http: any HTTPSending
    private let credentials: [String: RegistryCredential]
    private let known = Mutex<[Key: String]>([:])

    init(http: any HTTPSending, credentials: [String: RegistryCredential]) {
        self.http = http
        self.credentials = credentials
    }

    func credential(for endpoint: RegistryEndpoint) -> RegistryCredential? {
        credentials[endpoint.host]
    }

    /// What was good for the same access before, or nil.
    func authorization(for endpoint: RegistryEndpoint, _ access: RegistryAccess) -> String? {
        known.withLock { $0[Key(endpoint: endpoint, access: access)] }
    }

    /// Answers a 401. Throws ``ImageError`` (`unauthorized`, `registryUnavailable`) or `CancellationError`.
    func answer(
        _ response: HTTPResponse, for endpoint: RegistryEndpoint, _ access: RegistryAccess
    ) async throws -> String {
        let key = Key(endpoint: endpoint, access: access)
        known.withLock { $0[key] = nil }
        let challenges = RegistryChallenge.parse(response.headers.values(of: "WWW-Authenticate"))
        let value: String
        if let bearer = challenges.first(where: { $0.scheme == "bearer" }) {
            value = "Bearer " + (try await token(bearer, for: endpoint, access))
        } else if challenges.contains(where: { $0.scheme == "basic" }), let credential = credential(for: endpoint) {
            value = credential.basic
        } else {
            throw unauthorized(endpoint, "it answers 401")
        }
        known.withLock { $0[key] = value }
        return value
    }

    private func token(
        _ challenge: RegistryChallenge, for endpoint: RegistryEndpoint, _ access: RegistryAccess
    ) async throws -> String {
        let realm = challenge.parameters["realm"] ?? ""
        let host = RegistryEndpoint.host(of: realm)
        // Credentials go to the realm: over TLS, or between programs of this machine.
        let isLoopback = host.map(RegistryEndpoint.isLoopback) == true && endpoint.scheme == "http"
        guard let host, realm.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            realm.hasPrefix("https://") || (isLoopback && realm.hasPrefix("http://"))
        else { throw unauthorized(endpoint, "it names no usable place to get a token from") }

        var scopes = (challenge.parameters["scope"] ?? "").split(separator: " ").map(String.init)
        if scopes.isEmpty {
            scopes = ["repository:\(endpoint.repository):" + (access.actions == .push ? "pull,push" : "pull")]
        }
        if let mounted = access.mountedRepository, !scopes.contains(where: { $0.hasPrefix("repository:\(mounted):") }) {
            scopes.append("repository:\(mounted):pull")
        }
        var query = scopes.map { "scope=" + percentEncoded($0) }
        if let service = challenge.parameters["service"] { query.insert("service=" + percentEncoded(service), at: 0) }
        var request = HTTPRequest(
            "GET", realm + (realm.contains("?") ? "&" : "?") + query.joined(separator: "&"),
            maxBodyBytes: RegistryAuthorizer.maxTokenAnswerBytes)
        request.headers["Accept"] = "application/json"
        if let credential = credential(for: endpoint) { request.headers["Authorization"] = credential.basic }
        let response: HTTPResponse
        do {
            response = try await http.send(request)
        } catch {
            if error.code == .cancelled { throw CancellationError() }
            throw ImageError(
                .registryUnavailable, "no token for the registry \(endpoint.host): \(error.message)",
                hint: "Tokens come from \(host); check that it can be reached.")
        }
        switch response.status {
        case 200: break
        case 400, 401, 403: throw unauthorized(endpoint, "\(host) answers \(response.status) when asked for a token")
        default:
            throw ImageError(
                .registryUnavailable,
                "no token for the registry \(endpoint.host): \(host) answers \(response.status)",
                hint: "Try again in a minute.")
        }
        // An answer that is no JSON has no token either.
        let document = try? JSONValue(parsing: response.body)
        guard let token = document?["token"]?.string ?? document?["access_token"]?.string, !token.isEmpty,
            token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            throw ImageError(
                .registryUnavailable, "no token for the registry \(endpoint.host): \(host) sent no usable one")
        }
        return token
    }

    func unauthorized(_ endpoint: RegistryEndpoint, _ why: String) -> ImageError {
        let isKnown = credential(for: endpoint) != nil
        return ImageError(
            .unauthorized,
            "the registry \(endpoint.host) refuses access to \(endpoint.repository)"
                + (isKnown ? "" : " without credentials") + ": "
                + why,
            hint: isKnown
                ? "Check that the token is valid, not expired, and of the organisation that owns the repository."
                : "Set FLY_API_TOKEN for Fly.io's registry; images elsewhere must be public.")
    }
}
