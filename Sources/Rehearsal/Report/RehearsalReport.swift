// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import PipelineFiles
internal import Rollouts
internal import Stages

/// A finished rehearsal of one pipeline, for people and programs.
package struct RehearsalReport: Hashable, Codable, Sendable {
    /// The version of the JSON document.
    package static let schema = 1
    /// Stories told.
    package static let maxStories = 3

    /// The pipeline's name, as the command was given it.
    package var pipeline: String
    /// The pipeline's file.
    package var path: String
    package var app: AppName
    package var flyToml: String
    package var subject: RehearsalSubject
    /// The floor and the width for each group that takes traffic.
    package var groups: [Group]
    package var seeds: Seeds
    package var tally: RehearsalTally
    package var stories: [RehearsedStory]
    package var advice: [Advice]
    /// What was said of the files before the rehearsal.
    package var diagnostics: [Diagnostic]
    /// The options that the command was given beside its seeds, for the commands that repeat one: ` --machines 3`.
    package var replayOptions: String
    /// Wall-clock time that the rehearsal took.
    package var took: Duration

    package struct Group: Hashable, Codable, Sendable {
        package var group: ProcessGroup
        package var machines: Int
        package var takesTraffic: Bool
        package var floor: Int
        package var maxUnavailable: Int
    }

    /// Which seeds were asked for; how many were run is in the tally.
    package struct Seeds: Hashable, Codable, Sendable {
        package var first: UInt64
        package var asked: Int
        package var wasInterrupted: Bool

        package init(first: UInt64, asked: Int, wasInterrupted: Bool) {
            self.first = first
            self.asked = asked
            self.wasInterrupted = wasInterrupted
        }
    }

    /// - Parameters:
    ///   - name: what the pipeline was called by, for commands that repeat a seed.
    ///   - stories: the worst runs with their traces, the worst first.
    package init(
        pipeline name: String, reading pipeline: Pipeline, subject: RehearsalSubject, seeds: Seeds,
        tally: RehearsalTally, stories: [RehearsedStory],
        advice: [Advice], diagnostics: [Diagnostic] = [], replayOptions: String = "", took: Duration
    ) {
        self.pipeline = name
        path = pipeline.path
        app = pipeline.app
        flyToml = pipeline.flyToml
        self.subject = subject
        let settings = subject.request.settings
        groups = settings.flyToml.groups.map { group in
            let machines = subject.fleet[group, default: 0]
            let takesTraffic = settings.flyToml.hasServices(group)
            return Group(
                group: group, machines: machines, takesTraffic: takesTraffic,
                floor: takesTraffic ? subject.request.servingFloor(over: machines) : 0,
                maxUnavailable: settings.maxUnavailable.machines(of: machines))
        }
        self.seeds = seeds
        self.tally = tally
        self.stories = stories
        self.advice = advice
        self.diagnostics = diagnostics
        self.replayOptions = replayOptions
        self.took = took
    }

    /// Whether every invariant held in every run.
    package var isKept: Bool { tally.violatedRuns == 0 }

    /// The kinds of fault that were chosen, in the order of their declaration.
    package var faults: [FaultKind] { FaultKind.allCases.filter(subject.faults.contains) }

    /// The command that shows one seed again.
    package func replay(_ seed: UInt64) -> String {
        "airboss rehearse \(pipeline) --seed \(seed)\(replayOptions)"
    }

    /// The seeds whose stories are worth telling: of the worst runs those that anybody would call bad.
    package static func worthTelling(_ tally: RehearsalTally) -> [RehearsedRun] {
        let bad = tally.worst.filter { run in
            !run.violations.isEmpty || run.outcome != .verified || run.isUnrestored || run.downtime > .zero
                || run.timeBelowFloor > .zero || run.timeToRestore != nil
        }
        return Array(bad.prefix(maxStories))
    }
}
