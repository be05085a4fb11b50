// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// 128 bits that stand for a situation's canonical form; among a hundred million situations two that differ share one
/// with a chance below 10⁻²².
struct SituationFingerprint: Hashable, Sendable {
    let low: UInt64
    let high: UInt64

    init(low: UInt64, high: UInt64) { (self.low, self.high) = (low, high) }

    init(of bytes: [UInt8]) {
        // Two folded multiplications with odd constants of their own; nobody chooses the input to make them collide.
        var first: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
        var second: UInt64 = 0xC2B2_AE3D_27D4_EB4F
        bytes.withUnsafeBytes { raw in
            var offset = 0
            while offset < raw.count {
                var word: UInt64 = 0
                let count = min(8, raw.count - offset)
                for index in 0..<count { word |= UInt64(raw[offset + index]) << UInt64(8 * index) }
                first = SituationFingerprint.fold(first ^ word, 0xA076_1D64_78BD_642F) &+ second
                second =
                    SituationFingerprint.fold(second ^ (word &+ 0x1656_67B1_9E37_79F9), 0xE703_7ED1_A0B4_28DB) ^ first
                offset += 8
            }
        }
        low = SituationFingerprint.fold(first, 0x8EBC_6AF0_9C88_C6E3)
        high = SituationFingerprint.fold(second ^ first, 0x5899_65CC_7537_4CC3)
    }

    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(low)
    }
}
