// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import PipelineFiles
import Testing

/// Damaged files end in values or errors, never in a trap; and errors always have a place inside the file.
@Suite struct DamageTests {
    /// A small generator whose seed is printed by the test's arguments (splitmix64).
    struct Seeded: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    static let splinters = [
        "{", "}", "[", "]", ":", ": ", "- ", "\n", "\t", "\"", "'", "#", "&a ", "*a", "!", "|\n", ">", "${", "}", "$$",
        "=", ".", ",", "\u{0}", "\u{FEFF}", "é", "👩‍👩‍👧", "1e999", "-", "~", "? ", "%", "---\n", "'''", "\"\"\"", "\\",
        "0x", "99999999999999999999", "[[a]]\n", "[a.b]\n", "nan", "\r",
    ]

    static func damage(_ text: String, _ random: inout Seeded) -> String {
        var scalars = Array(text.unicodeScalars)
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let place = Int.random(in: 0..<max(1, scalars.count), using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: scalars.removeSubrange(place..<min(scalars.count, place + Int.random(in: 1...20, using: &random)))
            case 1: scalars = Array(scalars.prefix(place))
            case 2:
                let end = min(scalars.count, place + Int.random(in: 1...80, using: &random))
                scalars.insert(contentsOf: scalars[place..<end], at: Int.random(in: 0...scalars.count, using: &random))
            default:
                scalars.insert(
                    contentsOf: Array((splinters.randomElement(using: &random) ?? "").unicodeScalars),
                    at: min(place, scalars.count))
            }
            if scalars.isEmpty { break }
        }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    static func expectSound(_ error: PipelineFileErrors, _ text: String, _ seed: UInt64) {
        let lines = text.unicodeScalars.count { $0 == "\n" || $0 == "\r" || $0.value == 0x85 || $0.value == 0x2028 } + 2
        #expect(!error.diagnostics.isEmpty, "seed \(seed)")
        for diagnostic in error.diagnostics {
            let isInside = diagnostic.line >= 1 && diagnostic.column >= 1 && diagnostic.line <= lines
            #expect(isInside, "seed \(seed): \(diagnostic)")
            #expect(!diagnostic.message.isEmpty)
        }
    }

    @Test(arguments: ["full.yml", "minimal.yml", "groups.yml"], UInt64(1)...4)
    func `damaged pipelines`(_ name: String, _ seed: UInt64) throws {
        let text = try Fixtures.text(name)
        for step in 0..<60 {
            var random = Seeded(state: seed &* 1000 &+ UInt64(step))
            let damaged = Self.damage(text, &random)
            do {
                _ = try Pipeline(parsing: damaged, path: "p.yml", environment: [:])
            } catch {
                Self.expectSound(error, damaged, seed * 1000 + UInt64(step))
            }
        }
    }

    @Test(arguments: ["fly.production.toml", "fly.chatwoot.toml"], UInt64(1)...4)
    func `damaged fly.toml files`(_ name: String, _ seed: UInt64) throws {
        let text = try Fixtures.text(name)
        for step in 0..<60 {
            var random = Seeded(state: seed &* 1000 &+ UInt64(step))
            let damaged = Self.damage(text, &random)
            do {
                let file = try FlyToml(parsing: damaged, path: "fly.toml") { _ in .success([1]) }
                for group in file.groups { _ = file.machineConfig(for: group) }
            } catch {
                Self.expectSound(error, damaged, seed * 1000 + UInt64(step))
            }
        }
    }
}
