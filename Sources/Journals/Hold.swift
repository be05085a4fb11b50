// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// An app taken by a run.
package struct Hold: Hashable, Codable, Sendable {
    package var app: AppName
    package var run: RunID
    package var holder: Holder
    package var acquiredAt: Timestamp
    /// The last sign of life.
    package var heartbeatAt: Timestamp
    /// The token of this hold: greater than that of every hold of the app before it, from 1.
    package var fence: Int64

    package init(
        app: AppName, run: RunID, holder: Holder, acquiredAt: Timestamp, heartbeatAt: Timestamp,
        fence: Int64
    ) {
        self.app = app
        self.run = run
        self.holder = holder
        self.acquiredAt = acquiredAt
        self.heartbeatAt = heartbeatAt
        self.fence = fence
    }

    /// Whether nobody works on the run any more: its process is gone, or, where that cannot be seen from here, it has
    /// given no sign for longer than `silence`.
    package func isAbandoned(seenFrom here: Holder, at now: Timestamp, silence: Duration) -> Bool {
        switch holder.liveness(seenFrom: here) {
        case .running: false
        case .gone: true
        case .unknown: now - heartbeatAt > silence
        }
    }
}

/// What a run shows when it writes: that the app is its own, under the token it was given.
package struct Fence: Hashable, Codable, Sendable {
    package var app: AppName
    package var run: RunID
    /// From ``Acquisition/acquired(fence:)``.
    package var token: Int64

    package init(app: AppName, run: RunID, token: Int64) {
        self.app = app
        self.run = run
        self.token = token
    }
}

/// A run that waits in line for an app.
package struct Waiter: Hashable, Codable, Sendable {
    package var app: AppName
    package var run: RunID
    package var holder: Holder
    package var joinedAt: Timestamp
    /// The last sign of life.
    package var heartbeatAt: Timestamp

    package init(
        app: AppName, run: RunID, holder: Holder, joinedAt: Timestamp, heartbeatAt: Timestamp
    ) {
        self.app = app
        self.run = run
        self.holder = holder
        self.joinedAt = joinedAt
        self.heartbeatAt = heartbeatAt
    }

    /// Whether it waits no longer: its process is gone, or has given no sign for longer than `silence`. One that is
    /// there but silent, a stopped one for example, must not keep others from the app either.
    package func isGone(seenFrom here: Holder, at now: Timestamp, silence: Duration) -> Bool {
        holder.liveness(seenFrom: here) == .gone || now - heartbeatAt > silence
    }
}

/// The answer to a run that asks for an app.
package enum Acquisition: Hashable, Sendable {
    /// The app is the run's, under this token.
    case acquired(fence: Int64)
    /// Another run works on the app.
    case heldBy(hold: Hold)
    /// A run has the app but nobody works on it any more: it has to be recovered first, under its own id.
    case abandonedBy(hold: Hold)
    /// Nobody works on the app, and these came before.
    case queued(ahead: [Waiter])
}
