// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Durations counted in buckets: their number, sum, extremes and percentiles, in the same small space for ten values or
/// ten million. Below 256 ms each millisecond has its bucket; above, a bucket is at most 1/128 of its value wide.
package struct DurationDigest: Hashable, Codable, Sendable {
    /// Bits of a value that a bucket keeps.
    private static let precisionBits = 7

    package private(set) var count = 0
    /// The shortest value; nil where there is none.
    package private(set) var shortest: Duration?
    /// The longest value, exactly; nil where there is none.
    package private(set) var longest: Duration?
    private var sumMilliseconds: Int64 = 0
    private var buckets: [Int] = []

    package init() {}

    /// Counts a value; a negative one counts as zero.
    package mutating func add(_ duration: Duration) {
        let milliseconds = max(0, duration.wholeMilliseconds)
        let value = Duration.milliseconds(milliseconds)
        count += 1
        sumMilliseconds += milliseconds
        shortest = shortest.map { min($0, value) } ?? value
        longest = longest.map { max($0, value) } ?? value
        let index = DurationDigest.bucket(of: milliseconds)
        grow(to: index + 1)
        buckets[index] += 1
    }

    /// Adds the other's values; in whichever order digests are merged, the result is the same.
    package mutating func merge(_ other: DurationDigest) {
        count += other.count
        sumMilliseconds += other.sumMilliseconds
        shortest = [shortest, other.shortest].compactMap(\.self).min()
        longest = [longest, other.longest].compactMap(\.self).max()
        grow(to: other.buckets.count)
        for (index, number) in other.buckets.enumerated() { buckets[index] += number }
    }

    /// The mean; nil where there is no value.
    package var mean: Duration? { count == 0 ? nil : .milliseconds(sumMilliseconds / Int64(count)) }

    /// The smallest value that at least this share of all values does not exceed (nearest rank), by its bucket's upper
    /// end, so at most 1/128 too long; nil where there is no value. The share is from 0 to 1.
    package func percentile(_ share: Double) -> Duration? {
        guard let shortest, let longest else { return nil }
        let rank = max(1, Int((share * Double(count)).rounded(.up)))
        guard rank < count else { return longest }
        var seen = 0
        for (index, number) in buckets.enumerated() {
            seen += number
            if seen >= rank {
                let end = Duration.milliseconds(DurationDigest.end(of: index))
                return max(shortest, min(longest, end))
            }
        }
        return longest
    }

    package var median: Duration? { percentile(0.5) }

    /// The values counted in `bins` classes of equal width from zero to the longest value, by the middle of their
    /// bucket; empty where there is no value.
    package func histogram(bins: Int) -> [Int] {
        guard let longest, bins > 0 else { return [] }
        var result = Array(repeating: 0, count: bins)
        let width = max(1, longest.wholeMilliseconds) + 1
        for (index, number) in buckets.enumerated() where number > 0 {
            let end = DurationDigest.end(of: index)
            let start = index == 0 ? 0 : DurationDigest.end(of: index - 1) + 1
            let middle = min(width - 1, (start + end) / 2)
            result[Int(middle * Int64(bins) / width)] += number
        }
        return result
    }

    private mutating func grow(to size: Int) {
        if buckets.count < size { buckets += Array(repeating: 0, count: size - buckets.count) }
    }

    /// Values share a bucket when their first eight significant bits are the same.
    private static func bucket(of value: Int64) -> Int {
        let shift = max(0, Int64.bitWidth - value.leadingZeroBitCount - 1 - precisionBits)
        return (shift << precisionBits) + Int(value >> Int64(shift))
    }

    /// The largest value of a bucket.
    private static func end(of bucket: Int) -> Int64 {
        // A shifted value has its highest bit at `precisionBits`, so that one shift too many is counted in.
        let shift = max(0, (bucket >> precisionBits) - 1)
        let base = Int64(bucket - (shift << precisionBits))
        return ((base + 1) << Int64(shift)) - 1
    }
}
