// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Model
import Testing

@Suite struct TokenBucketTests {
    let start = Timestamp(secondsSinceEpoch: 1_000)

    @Test func `a burst passes, the next call waits for its second`() {
        var bucket = TokenBucket(rate: .init(perSecond: 1, burst: 3), at: start)
        for _ in 0..<3 { #expect(bucket.take(at: start) == nil) }
        #expect(bucket.take(at: start) == .seconds(1))
        #expect(bucket.take(at: start + .milliseconds(400)) == .milliseconds(600))
        #expect(bucket.take(at: start + .milliseconds(1000)) == nil)
        #expect(bucket.take(at: start + .milliseconds(1000)) == .seconds(1))
    }

    @Test func `a bucket never holds more than its burst`() {
        var bucket = TokenBucket(rate: .init(perSecond: 5, burst: 10), at: start)
        let later = start + .seconds(86_400)
        for _ in 0..<10 { #expect(bucket.take(at: later) == nil) }
        #expect(bucket.take(at: later) == .milliseconds(200))
    }

    @Test func `time that runs backwards gives nothing`() {
        var bucket = TokenBucket(rate: .init(perSecond: 1, burst: 1), at: start)
        #expect(bucket.take(at: start) == nil)
        #expect(bucket.take(at: start - .seconds(50)) == .seconds(1))
        #expect(bucket.take(at: start + .milliseconds(999)) == .milliseconds(1))
    }
}
