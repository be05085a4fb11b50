// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import PipelineFiles

/// What in a pipeline makes bad stories; each rule looks at one cause.
package enum AdviceRule: String, Hashable, Codable, Sendable, CaseIterable {
    // The fleet and its floor.
    case floorNeverRolls = "floor-never-rolls"
    case floorWithoutReserve = "floor-without-reserve"
    case floorOfZero = "floor-of-zero"
    case singleMachine = "single-machine"
    case tooManyAtOnce = "too-many-at-once"
    case volumesCannotMove = "volumes-cannot-move"
    // Times that do not fit each other.
    case graceBeyondWait = "grace-beyond-wait"
    case waitShorterThanStart = "wait-shorter-than-start"
    case verifyShorterThanGrace = "verify-shorter-than-grace"
    case verifyWithoutSlack = "verify-without-slack"
    case rollbackSlowerThanPromised = "rollback-slower-than-promised"
    case coldFirstProbe = "cold-first-probe"
    // What would notice, and what would help.
    case noChecks = "no-checks"
    case noHealthEndpoint = "no-health-endpoint"
    case noSoak = "no-soak"
    case noAutomaticRollback = "no-automatic-rollback"
    case migrationsUnnamed = "migrations-unnamed"
    case nobodyIsTold = "nobody-is-told"
    case journalOnRunner = "journal-on-runner"
}

/// One thing in a pipeline or its fly.toml that makes outages likelier or longer, with its place and what to change.
package struct Advice: Hashable, Codable, Sendable {
    package enum Weight: String, Hashable, Codable, Sendable, CaseIterable {
        /// No deploy can succeed so.
        case blocks
        /// It made bad stories, or will.
        case risk
        /// Worth knowing; it may be meant.
        case note
    }

    package var rule: AdviceRule
    package var weight: Weight
    /// The file's value that it is about; where the file does not state one, the section it would stand in.
    package var location: SourceLocation
    /// One sentence without a full stop at its end.
    package var message: String
    package var suggestion: String
    /// What the rehearsal showed of it; empty where no seed did.
    package var evidence: String

    package init(
        _ rule: AdviceRule, _ weight: Weight, at location: SourceLocation, _ message: String, suggestion: String,
        evidence: String = ""
    ) {
        self.rule = rule
        self.weight = weight
        self.location = location
        self.message = message
        self.suggestion = suggestion
        self.evidence = evidence
    }
}
