// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// SplitMix64: small, fast, and the same everywhere. Source: G. Steele et al., "Fast splittable pseudorandom number
/// generators", OOPSLA 2014.
struct SeededDraws: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return SeededDraws.mix(state)
    }

    /// True once in `times`.
    mutating func oneIn(_ times: Int) -> Bool { next() % UInt64(times) == 0 }

    mutating func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.count))
    }

    mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int(next() % UInt64(elements.count))]
    }

    /// A number that hangs on nothing but what it is drawn for, so that taking one disturbance away leaves all other
    /// draws as they were.
    static func number(_ range: ClosedRange<Int>, seed: UInt64, _ first: Int, _ second: Int) -> Int {
        guard range.count > 1 else { return range.lowerBound }
        let mixed = mix(seed &+ mix(UInt64(truncatingIfNeeded: first) &* 0x1_0000_01B3 &+ UInt64(second)))
        return range.lowerBound + Int(mixed % UInt64(range.count))
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
