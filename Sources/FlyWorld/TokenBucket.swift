// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A token bucket in whole milliseconds, so that equal histories give equal answers. Source: Fly's Machines API
/// documentation ("1 request per second per action per machine, with a short-term burst of 3").
package struct TokenBucket: Hashable, Codable, Sendable {
    /// What a bucket holds and how fast it fills.
    package struct Rate: Hashable, Codable, Sendable {
        package var perSecond: Int
        package var burst: Int

        package init(perSecond: Int, burst: Int) {
            precondition(perSecond > 0 && burst > 0, "a bucket that never fills")
            self.perSecond = perSecond
            self.burst = burst
        }
    }

    private var rate: Rate
    /// Thousandths of a token, so that a fill over one millisecond is not lost.
    private var thousandths: Int64
    private var filledAt: Timestamp

    package init(rate: Rate, at now: Timestamp) {
        self.rate = rate
        thousandths = Int64(rate.burst) * 1000
        filledAt = now
    }

    /// Takes one token; nil where one was there, else the time until there is one.
    package mutating func take(at now: Timestamp) -> Duration? {
        let elapsed = max(0, now.milliseconds - filledAt.milliseconds)
        // Beyond a full refill nothing changes, and the product below must not overflow.
        let refill = min(elapsed, Int64(rate.burst) * 1000) * Int64(rate.perSecond)
        thousandths = min(Int64(rate.burst) * 1000, thousandths + refill)
        filledAt = max(filledAt, now)
        guard thousandths >= 1000 else {
            let missing = 1000 - thousandths
            return .milliseconds((missing + Int64(rate.perSecond) - 1) / Int64(rate.perSecond))
        }
        thousandths -= 1000
        return nil
    }
}
