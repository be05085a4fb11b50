// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

extension JSONValue {
    /// A short text that is equal for equal values, whatever the order of their members: 16 hexadecimal digits.
    ///
    /// FNV-1a over 64 bits (Fowler, Noll, Vo; RFC 9923). It tells configs of one machine apart, and proves nothing
    /// against somebody who wants two of them to look alike.
    package var fingerprint: String {
        var hash = FNV1a()
        add(to: &hash)
        let digits = String(hash.value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private func add(to hash: inout FNV1a) {
        switch self {
        case .null: hash.add(0)
        case .bool(let value): hash.add(value ? 2 : 1)
        case .integer(let value):
            hash.add(3)
            hash.add(word: UInt64(bitPattern: value))
        case .number(let value):
            hash.add(4)
            hash.add(word: value.bitPattern)
        case .string(let value):
            hash.add(5)
            hash.add(value)
        case .array(let values):
            hash.add(6)
            hash.add(word: UInt64(values.count))
            for value in values { value.add(to: &hash) }
        case .object(let members):
            hash.add(7)
            hash.add(word: UInt64(members.count))
            for (key, value) in members.sorted(by: { $0.key < $1.key }) {
                hash.add(key)
                value.add(to: &hash)
            }
        }
    }
}

private struct FNV1a {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

    mutating func add(word: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
    }

    mutating func add(_ text: String) {
        for byte in text.utf8 { add(byte) }
        // No UTF-8 text holds this byte, so that two texts never run into each other.
        add(0xff)
    }
}
