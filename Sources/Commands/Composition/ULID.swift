// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Names of runs: 48 bits of time and 80 random ones, in 26 letters that sort by time. Source: the ULID specification.
enum ULID {
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ")

    static func make(at now: Timestamp) -> String {
        var generator = SystemRandomNumberGenerator()
        return make(at: now, using: &generator)
    }

    static func make(at now: Timestamp, using generator: inout some RandomNumberGenerator) -> String {
        var characters: [Character] = []
        for shift in stride(from: 45, through: 0, by: -5) {
            characters.append(alphabet[Int((now.milliseconds >> Int64(shift)) & 31)])
        }
        for _ in 0..<16 { characters.append(alphabet[Int(generator.next() & 31)]) }
        return String(characters)
    }
}
