// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Why a call to Fly gave no usable answer, with everything a report to Fly's support needs and no secret.
package struct FlyError: Error, Hashable, Codable, Sendable {
    package enum Code: Hashable, Codable, Sendable {
        /// The token is no token of Fly's, expired or revoked.
        case unauthorized
        /// The token is good, but not for this: another organisation's app, or a quota.
        case forbidden
        case appNotFound
        case machineNotFound
        /// Something else is missing: a release, a lease, a metadata key.
        case notFound
        /// Another holds the machine's lease; the owner is empty where the platform does not say who.
        case leaseHeld(owner: String, expiresAt: Timestamp?)
        /// The platform is busy changing the same thing.
        case conflict
        /// What the call was conditional on is no longer so.
        case precondition
        case insufficientCapacity
        case nameTaken
        /// The platform gave up waiting, with the work perhaps done or going on.
        case deadlineExceeded
        case rateLimited
        case badRequest
        case serverError
        /// No answer came.
        case unreachable
        /// An answer came that is not the platform's, or not whole.
        case malformedAnswer
        case cancelled
    }

    package var code: Code
    /// The HTTP status; nil where no answer came.
    package var status: Int?
    /// What the platform, or the transport, says: one line, at most ``maxMessageLength`` characters.
    package var message: String
    /// The platform's `fly-request-id`; empty where no answer carried one.
    package var requestID: String
    package var method: String
    /// The path of the call, without its query.
    package var path: String
    /// Whether the change may have been made all the same: look before repeating. Never true of calls that only read.
    package var isAmbiguous: Bool
    /// How often the call was sent.
    package var attempts: Int
    /// How long the platform asked to be left alone.
    package var retryAfter: Duration?

    package static let maxMessageLength = 400
    package static let maxRequestIDLength = 128

    package init(
        _ code: Code, status: Int? = nil, message: String = "", requestID: String = "", method: String, path: String,
        isAmbiguous: Bool = false, attempts: Int = 0, retryAfter: Duration? = nil
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
    }

    /// Whether the change was certainly not made.
    package var isDefinite: Bool { !isAmbiguous }
}

extension FlyError: CustomStringConvertible {
    /// What happened in one line, without the hint.
    package var description: String {
        var facts = ["\(method) \(path)"]
        if let status { facts.append("HTTP \(status)") }
        if attempts > 1 { facts.append("\(attempts) attempts") }
        if !requestID.isEmpty { facts.append("fly-request-id \(requestID)") }
        return summary + (message.isEmpty ? "" : ": " + message) + " (" + facts.joined(separator: ", ") + ")"
    }

    /// What happened, without the particulars.
    package var summary: String {
        switch code {
        case .unauthorized: "Fly does not accept the token"
        case .forbidden: "the token is not allowed to do this"
        case .appNotFound: "Fly knows no such app"
        case .machineNotFound: "the machine does not exist"
        case .notFound: "Fly does not have what was asked for"
        case .leaseHeld(let owner, let expiresAt):
            "the machine is leased to \(owner.isEmpty ? "another" : owner)"
                + (expiresAt.map { " until \($0)" } ?? "")
        case .conflict: "the platform is changing the same thing"
        case .precondition: "what this depends on has changed"
        case .insufficientCapacity: "Fly has no room for the machine"
        case .nameTaken: "the name is taken"
        case .deadlineExceeded: "Fly gave up waiting"
        case .rateLimited: "Fly limits how often this may be called"
        case .badRequest: "Fly refused the request"
        case .serverError: "Fly failed to answer"
        case .unreachable: "Fly could not be reached"
        case .malformedAnswer: "the answer is not one of Fly's API"
        case .cancelled: "the call was cancelled"
        }
    }

    /// What a person can do next; empty where there is nothing to do.
    package var hint: String {
        let next =
            switch code {
            case .unauthorized:
                "Check FLY_API_TOKEN; a new one comes from `fly tokens create deploy --app APP`."
                    + (path.hasSuffix("/logs") ? " Deploy tokens may not read logs; an organisation's token may." : "")
            case .forbidden:
                "Check that the app belongs to the token's organisation, and the organisation's quota in this region."
            case .appNotFound: "Check the name in the pipeline and fly.toml, or create it with `fly apps create`."
            case .machineNotFound: "List what there is with `fly machines list --app APP`."
            case .notFound: ""
            case .leaseHeld(_, let expiresAt):
                "Another deploy or person is changing this machine; "
                    + (expiresAt.map { "its lease ends by itself at \($0)." }
                        ?? "wait for its lease to end, or see `fly machine leases view`.")
            case .conflict, .precondition: "Look at the machine as it is now, then try again."
            case .insufficientCapacity: "Try another region or a smaller machine, or try later."
            case .nameTaken: "Choose another name."
            case .deadlineExceeded: "Look at the machine's events: it may still get there."
            case .rateLimited:
                retryAfter.map { "Try again in \(Int64($0.inSeconds.rounded(.up))) s." } ?? "Try again in a minute."
            case .badRequest: "Check the values the message names."
            case .serverError: "See https://status.flyio.net, then try again; Fly's support asks for the request id."
            case .unreachable:
                "Check this machine's network, FLY_FLAPS_BASE_URL, FLY_API_BASE_URL and https://status.flyio.net."
            case .malformedAnswer:
                "Something between here and Fly may have answered: check proxies, FLY_FLAPS_BASE_URL and "
                    + "FLY_API_BASE_URL."
            case .cancelled: ""
            }
        guard isAmbiguous else { return next }
        return "The change may have been made all the same: look before repeating it." + (next.isEmpty ? "" : " ")
            + next
    }
}

extension FlyError {
    /// Makes others' text fit for one line of a terminal: no control characters, no runs of spaces, bounded.
    static func oneLine(_ text: String, limit: Int = maxMessageLength) -> String {
        ShownText.line(text, limit: limit)
    }
}
