// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Why an action gave no answer that could be used.
package struct Failure: Error, Hashable, Codable, Sendable {
    package enum Code: String, Codable, Sendable, CaseIterable {
        /// The credentials were rejected.
        case unauthorized
        /// The credentials are good but not for this: another organisation, a quota.
        case forbidden
        case notFound
        /// Somebody else holds the machine's lease.
        case leaseHeld
        /// Something else changed what was to be changed.
        case conflict
        case capacity
        case rateLimited
        /// The request itself was wrong.
        case invalid
        /// The other side is down, unreachable or talking nonsense.
        case unavailable
        /// The answer was understood, and it is no.
        case refused
        case timedOut
        case cancelled
    }

    package var code: Code
    /// One sentence, without credentials.
    package var message: String
    /// What a person can do about it; may be empty.
    package var hint: String
    /// The platform's name for the request, to quote to its support; empty where there is none.
    package var requestID: String
    /// Whether the mutation may have happened all the same: settle it by looking, never by repeating.
    package var isAmbiguous: Bool
    /// For `leaseHeld`: when the other's lease ends.
    package var leaseExpiresAt: Timestamp?

    package init(
        _ code: Code, _ message: String, hint: String = "", requestID: String = "", isAmbiguous: Bool = false,
        leaseExpiresAt: Timestamp? = nil
    ) {
        self.code = code
        self.message = message
        self.hint = hint
        self.requestID = requestID
        self.isAmbiguous = isAmbiguous
        self.leaseExpiresAt = leaseExpiresAt
    }

    /// The sentence with the request's name, for people.
    package var text: String {
        requestID.isEmpty ? message : "\(message) (fly-request-id \(requestID))"
    }
}
