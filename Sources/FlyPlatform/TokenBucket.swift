// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A limit of `burst` calls at once and one per `interval` in the long run.
package struct RateLimit: Hashable, Sendable {
    package var interval: Duration
    package var burst: Int

    package init(interval: Duration, burst: Int) {
        precondition(interval > .zero && burst > 0, "a rate limit lets something through")
        self.interval = interval
        self.burst = burst
    }
}

/// The tokens left under one limit, in virtual time: instants are durations since an origin of the caller's.
///
/// The generic cell rate algorithm (ITU-T I.371): one instant holds what a count of tokens and the time of its last
/// change would, without rounding.
package struct TokenBucket: Hashable, Sendable {
    package let limit: RateLimit
    /// When the bucket is full again.
    private var fullAt: Duration
    /// When the bucket was last known to be full; the tokens it held then need no refill.
    private var busySince: Duration

    /// How much later than the refill a call goes that needs one: calls reach the platform less evenly than they
    /// leave here, and the platform counts at its own door.
    package static let jitterAllowance: Duration = .milliseconds(100)

    /// A full bucket at `now`.
    package init(_ limit: RateLimit, now: Duration) {
        self.limit = limit
        fullAt = now
        busySince = now
    }

    /// When a call may go that has `position` calls before it; not before `now`.
    package func earliest(position: Int = 0, now: Duration) -> Duration {
        let isFull = isFull(at: now)
        let start = isFull ? now : max(fullAt, now)
        let refilled = start + limit.interval * (position + 1 - limit.burst)
        if refilled <= (isFull ? now : busySince) { return now }
        return max(now, refilled + TokenBucket.jitterAllowance)
    }

    /// Uses one token; the caller has waited until ``earliest(position:now:)``.
    package mutating func take(now: Duration) {
        if isFull(at: now) { busySince = now }
        fullAt = max(fullAt, now) + limit.interval
    }

    /// Uses every token: the next call may go at `instant`, when the platform has said that it lets one through.
    package mutating func drain(until instant: Duration) {
        fullAt = max(fullAt, instant + limit.interval * (limit.burst - 1))
        busySince = min(busySince, instant - limit.interval * limit.burst)
    }

    /// Whether the bucket holds nothing worth remembering.
    package func isFull(at now: Duration) -> Bool {
        fullAt == busySince || fullAt + TokenBucket.jitterAllowance <= now
    }
}
