// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import HTTPTransport
internal import Model

/// Reads from and pushes to image registries. Source: OCI distribution specification 1.1.
///
/// Registries on this machine (127.0.0.1, localhost, [::1]) are spoken to by http, all others by https.
/// Throws ``ImageError``, or `CancellationError`.
package struct RegistryClient: Sendable {
    /// How patient the client is.
    package struct Limits: Sendable {
        /// Attempts at a request that is safe to repeat.
        package var maxAttempts = 4
        /// The wait after the first failure; doubled after each further one.
        package var firstRetryDelay: Duration = .milliseconds(500)
        /// The longest wait a registry may ask for with `Retry-After`.
        package var maxRetryDelay: Duration = .seconds(30)
        /// Bytes of one piece of an upload.
        package var uploadChunkBytes: Int64 = 16 * 1024 * 1024
        /// Failures of an upload in a row without one more byte arriving.
        package var maxUploadFailures = 5
        /// The longest one piece, or one download, may take.
        package var transferTimeout: Duration = .seconds(900)
        /// Bytes of one layer of a base image.
        package var maxLayerBytes: Int64 = 16 * 1024 * 1024 * 1024

        package init() {}
    }

    /// Registries refuse larger manifests themselves (the specification's advice: 4 MiB).
    static let maxManifestBytes = 4 * 1024 * 1024
    static let maxConfigBytes = 8 * 1024 * 1024
    /// Redirects of a read, for instance to the store behind a registry.
    static let maxRedirects = 5
    /// Blobs looked for at the same time.
    static let maxParallelChecks = 4

    let http: any HTTPSending
    let authorizer: RegistryAuthorizer
    let limits: Limits
    let sleep: @Sendable (Duration) async throws -> Void

    /// `credentials` by host, with the port where there is one (`registry.fly.io`, `127.0.0.1:5000`).
    package init(
        http: any HTTPSending, credentials: [String: RegistryCredential] = [:], limits: Limits = Limits(),
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        self.http = http
        self.limits = limits
        self.sleep = sleep
        authorizer = RegistryAuthorizer(http: http, credentials: credentials)
    }

    /// One request with its authorization, repeated while that is safe and of use. The answer may be any status but a
    /// 401 that can be answered.
    func send(
        _ request: HTTPRequest, to endpoint: RegistryEndpoint, _ access: RegistryAccess, isRepeatable: Bool
    ) async throws -> HTTPResponse {
        // An upload may go on at another host, which is no business of this registry's credentials.
        let isOwnHost = RegistryEndpoint.host(of: request.url) == endpoint.host
        var attempt = 1
        var hasAnsweredChallenge = false
        while true {
            try Task.checkCancellation()
            var request = request
            if isOwnHost, let value = authorizer.authorization(for: endpoint, access) {
                request.headers["Authorization"] = value
            }
            let delay: Duration
            do {
                let response = try await http.send(request)
                if response.status == 401, isOwnHost, !hasAnsweredChallenge {
                    hasAnsweredChallenge = true
                    _ = try await authorizer.answer(response, for: endpoint, access)
                    continue
                }
                let isBusy = response.status == 429
                let mayRepeat = isBusy || (isRepeatable && RegistryClient.isPassing(response.status))
                guard mayRepeat, attempt < limits.maxAttempts else { return response }
                delay = retryDelay(after: response, attempt: attempt)
            } catch let error as HTTPError {
                if error.code == .cancelled { throw CancellationError() }
                let mayRepeat = RegistryClient.isPassing(error) && (isRepeatable || !error.mayHaveBeenProcessed)
                guard mayRepeat, attempt < limits.maxAttempts else {
                    throw RegistryClient.failure(error, endpoint, attempts: attempt)
                }
                delay = backoff(attempt)
            }
            attempt += 1
            try await sleep(delay)
        }
    }

    // MARK: Retries

    static func isPassing(_ status: Int) -> Bool {
        [408, 429, 500, 502, 503, 504].contains(status)
    }

    static func isPassing(_ error: HTTPError) -> Bool {
        switch error.code {
        case .couldNotResolve, .couldNotConnect, .timedOut, .stalled, .connectionLost, .malformedAnswer: true
        case .invalidRequest, .tlsFailed, .bodyTooLarge, .tooManyRedirects, .fileFailed, .cancelled, .shutDown: false
        }
    }

    private func backoff(_ attempt: Int) -> Duration {
        min(limits.firstRetryDelay * (1 << min(attempt - 1, 10)), limits.maxRetryDelay)
    }

    private func retryDelay(after response: HTTPResponse, attempt: Int) -> Duration {
        guard let text = response.headers["Retry-After"], let seconds = Int(text), seconds >= 0 else {
            return backoff(attempt)
        }
        return min(.seconds(seconds), limits.maxRetryDelay)
    }

    // MARK: Failures

    static func failure(_ error: HTTPError, _ endpoint: RegistryEndpoint, attempts: Int) -> ImageError {
        let message = error.message.hasSuffix(".") ? String(error.message.dropLast()) : error.message
        let times = attempts > 1 ? " (\(attempts) attempts)" : ""
        switch error.code {
        case .bodyTooLarge:
            return ImageError(.tooLarge, "the registry \(endpoint.host) sent more than it should: \(message)")
        case .fileFailed:
            return ImageError(
                .fileFailed, "a transfer with \(endpoint.host) failed on this machine: \(message)",
                hint: "Set TMPDIR to a folder with room for the image.")
        case .invalidRequest, .couldNotResolve, .couldNotConnect, .tlsFailed, .timedOut, .stalled, .connectionLost,
            .malformedAnswer, .tooManyRedirects, .cancelled, .shutDown:
            return ImageError(
                .registryUnavailable, "the registry \(endpoint.host) can't be reached\(times): \(message)",
                hint: "Check the registry's name and the network; nothing was deployed.")
        }
    }

    /// What an answer that is no success means; `what` names what was asked for.
    func failure(
        _ response: HTTPResponse, _ endpoint: RegistryEndpoint, _ what: String,
        otherwise: ImageError.Code = .registryUnavailable
    ) -> ImageError {
        let detail = registryMessage(response, endpoint)
        let said = "the registry \(endpoint.host) answers \(response.status)" + (detail.isEmpty ? "" : " (\(detail))")
        switch response.status {
        case 401, 403:
            return authorizer.unauthorized(
                endpoint, "it answers \(response.status)" + (detail.isEmpty ? "" : " (\(detail))"))
        case 404:
            return ImageError(
                .notFound, "\(what) is not in the registry \(endpoint.host)",
                hint: "It was never pushed there, was deleted since, or is named differently.")
        case let status where RegistryClient.isPassing(status) || status >= 500:
            return ImageError(.registryUnavailable, "\(what): \(said)", hint: "Try again in a minute.")
        default:
            return ImageError(otherwise, "\(what): \(said)")
        }
    }

    /// The code and message of the specification's error document, shortened, without a trace of our credentials.
    private func registryMessage(_ response: HTTPResponse, _ endpoint: RegistryEndpoint) -> String {
        // Registries' proxies answer in HTML; then there is nothing to quote.
        guard let first = (try? JSONValue(parsing: response.body))?["errors"]?[0] else { return "" }
        let parts = [first["code"]?.string, first["message"]?.string].compactMap(\.self)
        var text = String(parts.joined(separator: ": ").unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F })
        if let password = authorizer.credential(for: endpoint)?.password, !password.isEmpty {
            text = text.split(separator: password, omittingEmptySubsequences: false).joined(separator: Redaction.mark)
        }
        return String(Redaction.text(text).prefix(RegistryClient.maxQuotedCharacters))
    }

    private static let maxQuotedCharacters = 200
}
