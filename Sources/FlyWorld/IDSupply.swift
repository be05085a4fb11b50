// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Ids in the platform's own shapes, drawn from a seed and a counter, so that equal histories give equal ids.
package struct IDSupply: Hashable, Codable, Sendable {
    private var seed: UInt64
    private var counter: UInt64 = 0

    package init(seed: UInt64) {
        self.seed = seed
    }

    /// A machine id: fourteen hexadecimal digits.
    mutating func machine() -> String {
        hexadecimal(digits: 14)
    }

    /// A lease's nonce: twelve hexadecimal digits.
    mutating func nonce() -> String {
        hexadecimal(digits: 12)
    }

    /// Crockford's base 32.
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    /// A ULID (instance ids, event ids): sorts by time. Source: the ULID specification.
    mutating func ulid(at now: Timestamp) -> String {
        let alphabet = IDSupply.alphabet
        var bytes: [UInt8] = []
        bytes.reserveCapacity(26)
        let time = UInt64(max(0, now.milliseconds))
        for shift in stride(from: 45, through: 0, by: -5) {
            bytes.append(alphabet[Int(time >> UInt64(shift) & 31)])
        }
        // The counter comes first in the random part, so that ids of one millisecond sort by their birth, too.
        for shift in stride(from: 35, through: 0, by: -5) {
            bytes.append(alphabet[Int(counter >> UInt64(shift) & 31)])
        }
        let random = next()
        for shift in stride(from: 35, through: 0, by: -5) {
            bytes.append(alphabet[Int(random >> UInt64(shift) & 31)])
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Lower-case words for an unnamed machine.
    mutating func machineName() -> String {
        "machine-" + hexadecimal(digits: 6)
    }

    mutating func hexadecimal(digits: Int) -> String {
        let text = String(next(), radix: 16)
        let padded = String(repeating: "0", count: max(0, 16 - text.count)) + text
        return String(padded.prefix(digits))
    }

    /// SplitMix64. Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
    private mutating func next() -> UInt64 {
        counter += 1
        var value = seed &+ counter &* 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
