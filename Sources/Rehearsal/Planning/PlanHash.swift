// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What a plan would do, in short: equal plans have equal hashes.
///
/// Behind the digest of the whole stand short digests of its parts, so that whoever is given a hash can say what
/// differs without having kept the plan.
package struct PlanHash: Hashable, Sendable, CustomStringConvertible {
    /// What a plan is made of; gates, the window and times are not among it.
    package enum Part: Int, Hashable, Sendable, CaseIterable {
        case target, image, configs, fleet, steps

        /// For people, as what differs.
        package var words: String {
            switch self {
            case .target: "the commit"
            case .image: "the image"
            case .configs: "the machines' configs"
            case .fleet: "the fleet it starts from"
            case .steps: "the steps"
            }
        }
    }

    /// Hexadecimal digits of the whole, and of each part.
    private static let wholeDigits = 32
    private static let partDigits = 6

    private let whole: String
    private let parts: [String]

    package var description: String { whole + "-" + parts.joined() }

    /// - Parameters:
    ///   - contents: what each part says; a missing one says nothing.
    ///   - digest: SHA-256 in hexadecimal digits.
    package init(_ contents: [Part: String], digest: (String) -> String) {
        let digests = Part.allCases.map { digest("\($0)\n" + (contents[$0] ?? "")) }
        whole = String(digest(digests.joined(separator: "\n")).prefix(PlanHash.wholeDigits))
        parts = digests.map { String($0.prefix(PlanHash.partDigits)) }
    }

    /// Reads what ``description`` wrote, in either case of letters; nil for anything else.
    package init?(_ text: String) {
        let halves = text.lowercased().split(separator: "-", omittingEmptySubsequences: false)
        let digits = Set("0123456789abcdef")
        guard halves.count == 2, halves[0].count == PlanHash.wholeDigits,
            halves[1].count == PlanHash.partDigits * Part.allCases.count,
            halves.allSatisfy({ $0.allSatisfy(digits.contains) })
        else { return nil }
        whole = String(halves[0])
        let all = Array(halves[1])
        parts = Part.allCases.map {
            String(all[($0.rawValue * PlanHash.partDigits)..<(($0.rawValue + 1) * PlanHash.partDigits)])
        }
    }

    /// The parts in which another plan is another; empty for the same plan.
    package func differences(from other: PlanHash) -> [Part] {
        guard whole != other.whole else { return [] }
        let different = Part.allCases.filter { parts[$0.rawValue] != other.parts[$0.rawValue] }
        return different.isEmpty ? Part.allCases : different
    }
}
