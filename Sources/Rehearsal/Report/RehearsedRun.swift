// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What came of one simulated run and of the recoveries it needed, from its start to the last process's end. Times are
/// virtual.
package struct RehearsedRun: Hashable, Codable, Sendable {
    /// With the same pipeline, fleet and kinds of fault, the seed gives the same run again.
    package var seed: UInt64
    /// What was played: a built-in scenario's name, or `pipeline` for a user's own.
    package var scenario: String
    package var outcome: RunOutcome
    /// The last process's exit code.
    package var exitCode: Int32
    /// The report's headline: why it ended so, in one sentence.
    package var headline: String
    /// From the first process's start to the last one's end.
    package var duration: Duration
    /// The fewest machines that served at one instant.
    package var minServing: Int
    /// The serving floor that was asked for.
    package var floor: Int
    package var timeBelowFloor: Duration
    /// Time in which no machine served at all.
    package var downtime: Duration
    /// From the first failing probe or the first machine lost, whichever came first, to verified again; nil where there
    /// was no trouble, or no end of it.
    package var timeToRestore: Duration?
    /// Whether there was trouble that was not over at the end.
    package var isUnrestored: Bool
    /// What went wrong, in the order of time.
    package var faults: [InjectedFault]
    /// The longest that a machine took from its update or creation to running; zero where none started.
    package var longestStart: Duration
    /// Processes that had to take up the work of one that died.
    package var recoveries: Int
    /// Invariants that did not hold; each is a defect of Airboss, never of a pipeline.
    package var violations: [Violation]
    /// Calls of the platform's API by all processes.
    package var apiCalls: Int
    /// Steps of the simulation, for replays and shrinking.
    package var steps: Int

    package init(
        seed: UInt64, scenario: String, outcome: RunOutcome, exitCode: Int32, headline: String = "",
        duration: Duration, minServing: Int, floor: Int, timeBelowFloor: Duration = .zero, downtime: Duration = .zero,
        timeToRestore: Duration? = nil, isUnrestored: Bool = false, longestStart: Duration = .zero,
        faults: [InjectedFault] = [], recoveries: Int = 0, violations: [Violation] = [], apiCalls: Int = 0,
        steps: Int = 0
    ) {
        self.seed = seed
        self.scenario = scenario
        self.outcome = outcome
        self.exitCode = exitCode
        self.headline = headline
        self.duration = duration
        self.minServing = minServing
        self.floor = floor
        self.timeBelowFloor = timeBelowFloor
        self.downtime = downtime
        self.timeToRestore = timeToRestore
        self.isUnrestored = isUnrestored
        self.longestStart = longestStart
        self.faults = faults
        self.recoveries = recoveries
        self.violations = violations
        self.apiCalls = apiCalls
        self.steps = steps
    }
}

/// One thing that the simulation made go wrong.
package struct InjectedFault: Hashable, Codable, Sendable {
    package var kind: FaultKind
    /// Since the start of the run.
    package var at: Duration
    /// What it hit, in a few words: `update of 3d8d…: answered 503`.
    package var detail: String

    package init(_ kind: FaultKind, at: Duration, detail: String) {
        self.kind = kind
        self.at = at
        self.detail = detail
    }
}

/// An invariant of the design that did not hold.
package struct Violation: Hashable, Codable, Sendable {
    /// The invariant's short name: `serving-floor`, `live-lease`.
    package var name: String
    package var message: String
    /// Since the start of the run.
    package var at: Duration

    package init(_ name: String, _ message: String, at: Duration) {
        self.name = name
        self.message = message
        self.at = at
    }
}

/// One line of a story: who did what, when.
package struct TraceLine: Hashable, Codable, Sendable {
    package enum Kind: String, Hashable, Codable, Sendable {
        /// What the run told people: a stage begins, a probe failed.
        case note
        /// A call of the platform's API, or its answer.
        case call
        /// Something that the simulation made go wrong.
        case fault
        /// What the platform did by itself: a machine started, a check passed.
        case world
        /// An invariant did not hold.
        case violation
    }

    /// Since the start of the run.
    package var at: Duration
    package var kind: Kind
    /// The process it happened in (`run`, `recovery 1`, `second run`); empty for the platform.
    package var actor: String
    package var text: String

    package init(at: Duration, kind: Kind, actor: String = "", text: String) {
        self.at = at
        self.kind = kind
        self.actor = actor
        self.text = text
    }
}

/// One seed with everything that happened in it.
package struct RehearsedStory: Hashable, Codable, Sendable {
    package var run: RehearsedRun
    package var trace: [TraceLine]

    package init(run: RehearsedRun, trace: [TraceLine]) {
        self.run = run
        self.trace = trace
    }
}
