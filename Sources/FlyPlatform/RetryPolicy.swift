// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Which failed calls are repeated, when, and how often. Pure.
package struct RetryPolicy: Hashable, Sendable {
    /// Attempts, the first included, of calls that may be repeated whatever happened.
    package var maxAttemptsOfSafeCalls = 5
    /// Attempts, the first included, of calls that are repeated only where they certainly did not happen.
    package var maxAttemptsOfMutations = 3
    /// Attempts, the first included, of calls that the platform's rate limit refuses. Whoever else works on the app
    /// uses the same limit: a run polls at nearly all of it, and leaves a call in eleven seconds or so to others.
    package var maxAttemptsWhenLimited = 30
    /// From the first attempt's start to the last one's, where the rate limit refuses and names no later time itself.
    package var maxTimeLimited: Duration = .seconds(30)
    /// The longest that is added to the platform's own delay, so that two clients of one rhythm do not meet for ever.
    package var spreadWhenLimited: Duration = .milliseconds(500)
    package var firstBackoff: Duration = .milliseconds(250)
    package var maxBackoff: Duration = .seconds(8)
    /// From the first attempt's start to the last one's.
    package var maxTotalTime: Duration = .seconds(60)

    package init() {}

    /// Never repeats anything.
    package static var never: RetryPolicy {
        var policy = RetryPolicy()
        policy.maxAttemptsOfSafeCalls = 1
        policy.maxAttemptsOfMutations = 1
        policy.maxAttemptsWhenLimited = 1
        return policy
    }

    /// What repeating a call can do.
    package enum Repetition: Hashable, Sendable, CaseIterable {
        /// It reads, waits, or concerns a lease: twice is as good as once.
        case safe
        /// It changes something that must not change twice.
        case onlyIfUnprocessed
    }

    /// What is known about a failed attempt.
    package enum Failure: Hashable, Sendable, CaseIterable {
        /// It would fail again.
        case permanent
        /// It may go better next time, but it may have happened this time.
        case transient
        /// It certainly did not reach the platform.
        case unprocessed
        /// The platform refused to look at it yet (429).
        case rateLimited
    }

    package enum Decision: Hashable, Sendable {
        case giveUp
        case repeatAfter(Duration)
    }

    /// Decides after attempt number `attempt` (from 1); `random` is in [0, 1).
    package func decision(
        after failure: Failure, repetition: Repetition, attempt: Int, elapsed: Duration, retryAfter: Duration?,
        random: Double, extraTime: Duration = .zero
    ) -> Decision {
        let isRepeatable =
            switch (failure, repetition) {
            case (.permanent, .safe), (.permanent, .onlyIfUnprocessed), (.transient, .onlyIfUnprocessed): false
            case (.transient, .safe), (.unprocessed, .safe), (.unprocessed, .onlyIfUnprocessed), (.rateLimited, .safe),
                (.rateLimited, .onlyIfUnprocessed):
                true
            }
        let maxAttempts =
            switch (failure, repetition) {
            case (.rateLimited, _): maxAttemptsWhenLimited
            case (_, .safe): maxAttemptsOfSafeCalls
            case (_, .onlyIfUnprocessed): maxAttemptsOfMutations
            }
        guard isRepeatable, attempt < maxAttempts else { return .giveUp }
        if failure == .rateLimited, let retryAfter, retryAfter <= maxTimeLimited {
            let delay = retryAfter + spreadWhenLimited * min(max(random, 0), 1)
            return elapsed + delay <= maxTimeLimited + extraTime ? .repeatAfter(delay) : .giveUp
        }
        let delay = max(retryAfter ?? .zero, backoff(afterAttempt: attempt, random: random))
        return elapsed + delay <= maxTotalTime + extraTime ? .repeatAfter(delay) : .giveUp
    }

    /// Half of the exponential step is fixed and half is drawn, so that clients that failed together spread out.
    package func backoff(afterAttempt attempt: Int, random: Double) -> Duration {
        let step = min(maxBackoff, firstBackoff * (1 << min(attempt - 1, 20)))
        return step * (0.5 + 0.5 * min(max(random, 0), 1))
    }
}
