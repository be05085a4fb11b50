// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Why a call to GitHub gave no usable answer, with everything a person needs to mend it and no secret.
package struct GitHubError: Error, Hashable, Sendable {
    package enum Code: String, Hashable, Sendable, CaseIterable {
        /// The token is no token of GitHub's, expired or revoked.
        case unauthorized
        /// The token is good, but not for this.
        case forbidden
        /// It does not exist, or the token may not know that it does.
        case notFound
        /// The request was understood and refused (422): an unknown commit, a label that can't be.
        case unprocessable
        case badRequest
        case rateLimited
        case serverError
        /// No answer came.
        case unreachable
        case timedOut
        /// An answer came that is not the API's, or not whole.
        case malformedAnswer
        /// A list that goes on beyond every bound.
        case endlessPages
        case cancelled
    }

    package var code: Code
    /// The HTTP status; nil where no answer came.
    package var status: Int?
    /// What GitHub, or the transport, says: one line.
    package var message: String
    /// `x-github-request-id`, to quote to GitHub's support; empty where no answer carried one.
    package var requestID: String
    package var method: String
    /// The path of the call, without its query.
    package var path: String
    /// Whether the change may have been made all the same. Never true of calls that only read.
    package var isAmbiguous: Bool
    /// How often the call was sent.
    package var attempts: Int
    /// How long GitHub asked to be left alone.
    package var retryAfter: Duration?
    /// What the token would need, in GitHub's words (`checks: read`); empty where GitHub does not say.
    package var needs: String
    /// What the token has, where GitHub says so; only of classic tokens.
    package var has: String?

    package static let maxMessageLength = 400

    package init(
        _ code: Code, status: Int? = nil, message: String = "", requestID: String = "", method: String, path: String,
        isAmbiguous: Bool = false, attempts: Int = 0, retryAfter: Duration? = nil, needs: String = "",
        has: String? = nil
    ) {
        self.code = code
        self.status = status
        self.message = message
        self.requestID = requestID
        self.method = method
        self.path = path
        self.isAmbiguous = isAmbiguous
        self.attempts = attempts
        self.retryAfter = retryAfter
        self.needs = needs
        self.has = has
    }
}

extension GitHubError: CustomStringConvertible {
    /// What happened in one line, without the hint.
    package var description: String {
        var facts = ["\(method) \(path)"]
        if let status { facts.append("HTTP \(status)") }
        if attempts > 1 { facts.append("\(attempts) attempts") }
        if !requestID.isEmpty { facts.append("x-github-request-id \(requestID)") }
        return summary + (message.isEmpty ? "" : ": " + message) + " (" + facts.joined(separator: ", ") + ")"
    }

    /// What happened, without the particulars.
    package var summary: String {
        switch code {
        case .unauthorized: "GitHub does not accept the token"
        case .forbidden: "the token is not allowed to do this on GitHub"
        case .notFound: "GitHub does not have it, or does not show it to this token"
        case .unprocessable: "GitHub refused the request"
        case .badRequest: "GitHub did not understand the request"
        case .rateLimited: "GitHub limits how often this token may call"
        case .serverError: "GitHub failed to answer"
        case .unreachable: "GitHub could not be reached"
        case .timedOut: "GitHub did not answer in time"
        case .malformedAnswer: "the answer is not one of GitHub's API"
        case .endlessPages: "GitHub's list does not end"
        case .cancelled: "the call was cancelled"
        }
    }

    /// What a person can do next; empty where there is nothing to do.
    package var hint: String {
        switch code {
        case .unauthorized:
            return "Check \(GitHubToken.variable): in a workflow it is ${{ github.token }}; other tokens may have "
                + "expired."
        case .forbidden, .notFound:
            return permissionHint
        case .unprocessable:
            return method == "GET" ? "Is the commit pushed to the repository?" : "Check the values the message names."
        case .badRequest: return "Check the values the message names."
        case .rateLimited:
            return retryAfter.map { "Try again in \(Int64($0.inSeconds.rounded(.up))) s." } ?? "Try again in a minute."
        case .serverError: return "See https://www.githubstatus.com, then try again."
        case .unreachable, .timedOut:
            return "Check this machine's network, \(GitHubEndpoints.apiVariable) and https://www.githubstatus.com."
        case .malformedAnswer:
            return "Something between here and GitHub may have answered: check proxies and "
                + "\(GitHubEndpoints.apiVariable)."
        case .endlessPages, .cancelled: return ""
        }
    }

    private var permissionHint: String {
        var words: [String] = []
        if !needs.isEmpty {
            words.append(
                "The token needs \(needs)" + (has.map { "; it has \($0.isEmpty ? "nothing" : $0)" } ?? "") + ".")
            words.append("In a workflow it gets that under `permissions:`.")
        } else if code == .forbidden {
            words.append("Check the permissions of \(GitHubToken.variable).")
        }
        if code == .notFound {
            words.append("Check \(GitHubRepository.variable), and that the token may see the repository.")
        }
        return words.joined(separator: " ")
    }
}

extension Failure {
    /// GitHub's error as the machines know it.
    package init(_ error: GitHubError) {
        let code: Failure.Code =
            switch error.code {
            case .unauthorized: .unauthorized
            case .forbidden: .forbidden
            case .notFound: .notFound
            case .unprocessable, .badRequest: .invalid
            case .rateLimited: .rateLimited
            case .serverError, .unreachable, .malformedAnswer, .endlessPages: .unavailable
            case .timedOut: .timedOut
            case .cancelled: .cancelled
            }
        self.init(code, error.description, hint: error.hint, isAmbiguous: error.isAmbiguous)
    }
}
