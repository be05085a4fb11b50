// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTransport
internal import Model

/// What a failed attempt means: the error, and whether and when it may be repeated.
struct FailedAttempt {
    enum Repetition {
        case never
        /// It may go better, but what it was to change may be changed already.
        case onlyReading
        /// It certainly did not happen.
        case always
    }

    var error: GitHubError
    var repetition: Repetition
}

/// Reads failures out of answers. Source: GitHub's documentation, "Troubleshooting the REST API" and "Rate limits for
/// the REST API".
struct GitHubErrorTable {
    let call: GitHubRequest
    let now: Timestamp
    /// Removes the token from text of others'.
    let redact: @Sendable (String) -> String

    /// Where GitHub does not say how long to wait, its documentation does: a minute at least.
    static let unstatedPause = Duration.seconds(60)
    static let maxHeaderLength = 200
    private static let maxErrorTextBytes = 16 * 1024

    /// An answer that is not a success.
    func failure(_ response: HTTPResponse) -> FailedAttempt {
        let message = text(of: response)
        if [403, 429].contains(response.status), let pause = pause(asked: response, message) {
            var error = make(.rateLimited, response, message)
            error.retryAfter = pause
            return FailedAttempt(error: error, repetition: .always)
        }
        switch response.status {
        case 500...599:
            var error = make(.serverError, response, message)
            error.isAmbiguous = call.changesSomething
            return FailedAttempt(error: error, repetition: .onlyReading)
        case 300...399:
            return FailedAttempt(
                error: make(.notFound, response, "the repository has moved; name it as it is called now"),
                repetition: .never)
        // A page must not pass for GitHub's word on what exists and who may do what.
        case _ where GitHubErrorTable.isWebPage(response):
            return FailedAttempt(error: make(.malformedAnswer, response, message), repetition: .never)
        default: break
        }
        let code: GitHubError.Code =
            switch response.status {
            case 401: .unauthorized
            case 403: .forbidden
            case 404, 410: .notFound
            case 409, 422: .unprocessable
            case 429: .rateLimited
            default: .badRequest
            }
        var error = make(code, response, message)
        if code == .forbidden || code == .notFound { addPermissions(response, to: &error) }
        return FailedAttempt(error: error, repetition: .never)
    }

    /// A success whose body is not what the API promises; the change it answers was probably made.
    func malformed(_ response: HTTPResponse, _ why: String) -> GitHubError {
        var error = make(.malformedAnswer, response, GitHubErrorTable.isWebPage(response) ? Self.page : why)
        error.isAmbiguous = call.changesSomething
        return error
    }

    /// No answer.
    func failure(_ problem: HTTPError) -> FailedAttempt {
        let repetition: FailedAttempt.Repetition = problem.mayHaveBeenProcessed ? .onlyReading : .always
        let (code, mayRepeat): (GitHubError.Code, Bool) =
            switch problem.code {
            case .couldNotResolve, .couldNotConnect, .connectionLost: (.unreachable, true)
            case .timedOut, .stalled: (.timedOut, true)
            case .tlsFailed, .fileFailed, .shutDown: (.unreachable, false)
            case .bodyTooLarge, .tooManyRedirects: (.malformedAnswer, false)
            case .malformedAnswer: (.malformedAnswer, true)
            case .invalidRequest: (.badRequest, false)
            case .cancelled: (.cancelled, false)
            }
        var error = make(code, nil, problem.message)
        error.isAmbiguous = call.changesSomething && problem.mayHaveBeenProcessed
        return FailedAttempt(error: error, repetition: mayRepeat ? repetition : .never)
    }

    static func isWebPage(_ response: HTTPResponse) -> Bool {
        if response.headers["content-type"]?.lowercased().contains("text/html") == true { return true }
        return response.body.first { $0 > 0x20 } == UInt8(ascii: "<")
    }

    private static let page = "a web page came instead of JSON"

    private func make(_ code: GitHubError.Code, _ response: HTTPResponse?, _ message: String) -> GitHubError {
        GitHubError(
            code, status: response?.status,
            message: ShownText.line(redact(message), limit: GitHubError.maxMessageLength),
            requestID: header("x-github-request-id", of: response) ?? "", method: call.method,
            path: call.path)
    }

    private func header(_ name: String, of response: HTTPResponse?) -> String? {
        response?.headers[name].map { redact(ShownText.line($0, limit: GitHubErrorTable.maxHeaderLength)) }
    }

    /// How long GitHub wants to be left alone; nil where it is not the limit that refused.
    private func pause(asked response: HTTPResponse, _ message: String) -> Duration? {
        if let seconds = response.headers["retry-after"].flatMap({ Int64($0) }) { return .seconds(max(0, seconds)) }
        if response.headers["x-ratelimit-remaining"] == "0" {
            guard let reset = response.headers["x-ratelimit-reset"].flatMap({ Int64($0) }) else {
                return GitHubErrorTable.unstatedPause
            }
            return max(.seconds(1), Timestamp(secondsSinceEpoch: reset) - now)
        }
        let text = message.lowercased()
        let isLimit = text.contains("rate limit") || text.contains("abuse detection")
        return isLimit || response.status == 429 ? GitHubErrorTable.unstatedPause : nil
    }

    private func addPermissions(_ response: HTTPResponse, to error: inout GitHubError) {
        if let permissions = header("x-accepted-github-permissions", of: response), !permissions.isEmpty {
            error.needs =
                "the permission "
                + permissions.replacing("=", with: ": ").replacing("; ", with: " or ").replacing(";", with: " or ")
        } else if let scopes = header("x-accepted-oauth-scopes", of: response), !scopes.isEmpty,
            let owned = header("x-oauth-scopes", of: response)
        {
            error.needs = "one of the scopes \(scopes)"
            error.has = owned
        }
        if header("x-github-sso", of: response)?.hasPrefix("required") == true {
            error.needs = "to be authorised for the organisation's single sign-on"
        }
    }

    /// What the body says: `message`, and of a validation error what its `errors` name.
    private func text(of response: HTTPResponse) -> String {
        if GitHubErrorTable.isWebPage(response) { return Self.page }
        struct Body: Decodable {
            struct Detail: Decodable {
                var text: String
                private enum Keys: String, CodingKey { case message, resource, field, code }
                init(from decoder: any Decoder) throws {
                    // Some are plain texts.
                    if let text = try? decoder.singleValueContainer().decode(String.self) {
                        self.text = text
                        return
                    }
                    let keys = try decoder.container(keyedBy: Keys.self)
                    text = try keys.decodeIfPresent(String.self, forKey: .message) ?? ""
                    guard text.isEmpty else { return }
                    text = try [Keys.resource, .field, .code].compactMap {
                        try keys.decodeIfPresent(String.self, forKey: $0)
                    }.joined(separator: " ")
                }
            }
            var message: String
            var errors: [Detail]?
        }
        // Anything else is plain text, read below.
        if let body = try? JSONDecoder().decode(Body.self, from: response.body) {
            let details = (body.errors ?? []).map(\.text).filter { !$0.isEmpty }
            return body.message + (details.isEmpty ? "" : ": " + details.joined(separator: ", "))
        }
        return String(decoding: response.body.prefix(GitHubErrorTable.maxErrorTextBytes), as: UTF8.self)
    }
}
