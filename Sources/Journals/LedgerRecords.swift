// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

/// One entry of a release's history.
package struct ReleaseStateChange: Hashable, Codable, Sendable {
    package var state: ReleaseRecord.State
    package var at: Timestamp

    package init(state: ReleaseRecord.State, at: Timestamp) {
        self.state = state
        self.at = at
    }
}

/// A notice on its way.
package struct OutboxNotice: Hashable, Codable, Sendable {
    /// Unique; a receiver drops doubles by it.
    package var key: String
    package var channel: String
    package var payload: Data
    package var run: RunID?
    package var enqueuedAt: Timestamp
    package var attempts: Int
    /// Nil once the notice was sent or given up.
    package var nextAttemptAt: Timestamp?
    package var sentAt: Timestamp?
    /// What the last failed attempt said.
    package var lastError: String?

    package init(
        key: String, channel: String, payload: Data, run: RunID?, enqueuedAt: Timestamp, attempts: Int = 0,
        nextAttemptAt: Timestamp?, sentAt: Timestamp? = nil, lastError: String? = nil
    ) {
        self.key = key
        self.channel = channel
        self.payload = payload
        self.run = run
        self.enqueuedAt = enqueuedAt
        self.attempts = attempts
        self.nextAttemptAt = nextAttemptAt
        self.sentAt = sentAt
        self.lastError = lastError
    }
}
