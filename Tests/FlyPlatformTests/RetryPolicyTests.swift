// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@testable import FlyPlatform

@Suite struct RetryPolicyTests {
    @Test(arguments: RetryPolicy.Failure.allCases, RetryPolicy.Repetition.allCases)
    func `what is repeated`(_ failure: RetryPolicy.Failure, _ repetition: RetryPolicy.Repetition) {
        let expected =
            switch (failure, repetition) {
            case (.permanent, _), (.transient, .onlyIfUnprocessed): 0
            case (.transient, .safe), (.unprocessed, .safe): 4
            case (.unprocessed, .onlyIfUnprocessed): 2
            case (.rateLimited, _): 29
            }
        var repeats = 0
        while case .repeatAfter = RetryPolicy().decision(
            after: failure, repetition: repetition, attempt: repeats + 1, elapsed: .zero, retryAfter: nil, random: 0)
        {
            repeats += 1
        }
        #expect(repeats == expected)
        #expect(
            RetryPolicy.never.decision(
                after: failure, repetition: repetition, attempt: 1, elapsed: .zero, retryAfter: nil, random: 0)
                == .giveUp)
    }

    @Test(arguments: [
        (1, 0.0, 125), (1, 0.5, 187), (2, 0.0, 250), (3, 0.0, 500), (6, 0.0, 4000), (60, 0.0, 4000), (60, 1.0, 8000),
    ])
    func `back-off doubles up to its limit, half of it drawn`(_ attempt: Int, _ random: Double, _ milliseconds: Int64) {
        #expect(RetryPolicy().backoff(afterAttempt: attempt, random: random).wholeMilliseconds == milliseconds)
    }

    @Test func `the platform's own delay is honoured, within the total time`() {
        let policy = RetryPolicy()
        func decide(_ retryAfter: Duration, elapsed: Duration) -> RetryPolicy.Decision {
            policy.decision(
                after: .rateLimited, repetition: .safe, attempt: 1, elapsed: elapsed, retryAfter: retryAfter, random: 0)
        }
        #expect(decide(.seconds(7), elapsed: .zero) == .repeatAfter(.seconds(7)))
        #expect(decide(.seconds(60), elapsed: .zero) == .repeatAfter(.seconds(60)))
        #expect(decide(.seconds(60), elapsed: .milliseconds(1)) == .giveUp)
        #expect(decide(.seconds(3600), elapsed: .zero) == .giveUp)
    }

    @Test func `a limit that others use up is waited for, not in their rhythm, for half a minute`() {
        func decide(_ elapsed: Duration, random: Double) -> RetryPolicy.Decision {
            RetryPolicy().decision(
                after: .rateLimited, repetition: .onlyIfUnprocessed, attempt: 20, elapsed: elapsed,
                retryAfter: .seconds(1), random: random)
        }
        #expect(decide(.zero, random: 0) == .repeatAfter(.seconds(1)))
        #expect(decide(.zero, random: 0.5) == .repeatAfter(.milliseconds(1250)))
        #expect(decide(.seconds(29), random: 0) == .repeatAfter(.seconds(1)))
        #expect(decide(.seconds(29), random: 0.1) == .giveUp)
    }

    static let now = Timestamp("1994-11-06T08:49:27Z")!

    @Test(
        arguments: [
            ("0", 0), ("7", 7000), (" 2", 2000), ("1.5", 1500), ("999999999999", 86_400_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 10_000), ("Sunday, 06-Nov-94 08:49:37 GMT", 10_000),
            ("Sun Nov  6 08:49:37 1994", 10_000), ("Sun, 06 Nov 1994 08:49:17 GMT", 0),
            ("-3", nil), ("soon", nil), ("", nil), ("nan", nil), ("Sun, 06 Nov 1994", nil),
            ("99:99:99 1 Jan 2026", nil),
        ] as [(String, Int64?)])
    func `retry-after in seconds and in HTTP's dates`(_ text: String, _ milliseconds: Int64?) {
        #expect(RetryAfter.delay(text, now: Self.now).map(\.wholeMilliseconds) == milliseconds)
    }
}
