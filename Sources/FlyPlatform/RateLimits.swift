// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What the platform counts: one action on one thing.
package struct RateLimitKey: Hashable, Sendable {
    package var action: APIAction
    /// A machine's id, or an app's name for what is done to the app; empty for the platform as a whole.
    package var identifier: String

    package init(_ action: APIAction, _ identifier: String) {
        self.action = action
        self.identifier = identifier
    }
}

/// Who waits for which bucket, first come first served, in virtual time; whoever owns it sleeps and asks again.
package struct RateLimits: Sendable {
    package struct Ticket: Hashable, Sendable {
        package let key: RateLimitKey
        fileprivate let number: UInt64
    }

    package enum Turn: Hashable, Sendable {
        /// The token is used; call now.
        case go
        /// Ask again at this instant.
        case wait(until: Duration)
    }

    private struct Lane {
        var bucket: TokenBucket
        /// Tickets in the order of their turns.
        var queue: [UInt64] = []
    }

    private var lanes: [RateLimitKey: Lane] = [:]
    private var lastNumber: UInt64 = 0

    /// A pipeline has a handful of calls under way; this many waiting for one limit is a fault of ours.
    package static let maxQueuedCalls = 4096
    /// Beyond this many, buckets that are full again are forgotten.
    package static let maxIdleLanes = 4096

    package init() {}

    /// Queues a call; nil where ``maxQueuedCalls`` wait already. `atFront` is for one whose turn was taken in vain.
    package mutating func join(_ key: RateLimitKey, now: Duration, atFront: Bool = false) -> Ticket? {
        if lanes[key] == nil, lanes.count >= RateLimits.maxIdleLanes {
            lanes = lanes.filter { !$0.value.queue.isEmpty || !$0.value.bucket.isFull(at: now) }
        }
        var lane = lanes[key] ?? Lane(bucket: TokenBucket(key.action.rateLimit, now: now))
        guard lane.queue.count < RateLimits.maxQueuedCalls else { return nil }
        lastNumber += 1
        lane.queue.insert(lastNumber, at: atFront ? 0 : lane.queue.endIndex)
        lanes[key] = lane
        return Ticket(key: key, number: lastNumber)
    }

    /// Whether a queued call may go; going uses its token and its place.
    package mutating func turn(of ticket: Ticket, now: Duration) -> Turn {
        guard var lane = lanes[ticket.key], let position = lane.queue.firstIndex(of: ticket.number) else {
            preconditionFailure("a ticket that is not queued")
        }
        // Those before it have tokens of their own even where they have not woken up yet.
        let earliest = lane.bucket.earliest(position: position, now: now)
        guard earliest <= now else { return .wait(until: earliest) }
        lane.bucket.take(now: now)
        lane.queue.remove(at: position)
        lanes[ticket.key] = lane
        return .go
    }

    /// Gives up a place; for a caller that was cancelled.
    package mutating func leave(_ ticket: Ticket) {
        lanes[ticket.key]?.queue.removeAll { $0 == ticket.number }
    }

    /// Empties a bucket after the platform answered 429 all the same; the next call goes at `instant`.
    package mutating func drain(_ key: RateLimitKey, until instant: Duration, now: Duration) {
        var lane = lanes[key] ?? Lane(bucket: TokenBucket(key.action.rateLimit, now: now))
        lane.bucket.drain(until: instant)
        lanes[key] = lane
    }
}
