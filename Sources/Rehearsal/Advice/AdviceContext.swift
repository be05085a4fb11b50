// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
package import PipelineFiles
internal import Stages

/// All that advice is given on: the files, the fleet, and what the rehearsal came to.
package struct AdviceContext: Sendable {
    package var pipeline: Pipeline
    package var subject: RehearsalSubject
    package var places: FlyTomlPlaces
    package var tally: RehearsalTally

    /// - Parameter flyTomlText: the text of fly.toml, by which its lines are found.
    package init(pipeline: Pipeline, subject: RehearsalSubject, flyTomlText: String, tally: RehearsalTally) {
        self.pipeline = pipeline
        self.subject = subject
        places = FlyTomlPlaces(path: pipeline.flyToml, text: flyTomlText)
        self.tally = tally
    }

    var flyToml: FlyToml { subject.request.settings.flyToml }

    /// One check of fly.toml, with the platform's defaults filled in.
    struct Check {
        var group: ProcessGroup
        var interval: Duration
        /// How long after its start a machine is not asked.
        var grace: Duration
        var graceText: String

        /// The platform's interval where none is stated.
        static let defaultInterval = Duration.seconds(15)
    }

    /// The groups that take traffic, with their machines.
    var servingGroups: [(group: ProcessGroup, machines: Int)] {
        flyToml.groups.filter(flyToml.hasServices).map { ($0, subject.fleet[$0, default: 0]) }
    }

    /// The floor that holds in a group of so many machines.
    func floor(over machines: Int) -> Int { subject.request.servingFloor(over: machines) }

    var checks: [Check] {
        flyToml.groups.flatMap { group in
            flyToml.machineConfig(for: group).checkDefinitions.map { check in
                let grace = check.definition["grace_period"]?.string ?? ""
                return Check(
                    group: group,
                    interval: check.definition["interval"]?.string.flatMap { Duration(goText: $0) }
                        ?? Check.defaultInterval,
                    grace: Duration(goText: grace) ?? .zero, graceText: grace)
            }
        }
    }

    var longestGrace: Check? { checks.max { $0.grace < $1.grace } }
    var longestInterval: Check? { checks.max { $0.interval < $1.interval } }

    /// Where fly.toml states the check's grace period.
    func place(of check: Check) -> SourceLocation {
        let stated = places.place(of: "grace_period") { text in
            Duration(goText: text) == check.grace
                // A bare number is in milliseconds.
                || Int64(text).map { Duration.milliseconds($0) } == check.grace
        }
        return stated == places.start ? placeOfChecks : stated
    }

    var placeOfChecks: SourceLocation {
        places.place(ofFirst: [
            "http_service.checks", "services.http_checks", "services.tcp_checks", "checks", "http_service", "services",
        ])
    }

    /// Where the pipeline states a value, or the nearest section around it that is there.
    func place(_ key: String) -> SourceLocation {
        var key = key
        while true {
            if pipeline.locations[key] != nil { return pipeline.location(of: key) }
            guard let dot = key.lastIndex(of: ".") else { return pipeline.location(of: key) }
            key = String(key[..<dot])
        }
    }

    /// “In 12 of 2,000 seeds”, with what happened in them; empty for none.
    func seen(_ count: Int, _ what: String) -> String {
        guard count > 0, tally.runs > 0 else { return "" }
        return "in \(Words.share(count, of: tally.runs)) \(what)"
    }

    /// What came of the seeds that a kind of fault hit; empty where all of them ended verified.
    func seen(_ kind: FaultKind, _ what: String) -> String {
        guard let hit = tally.faults[kind], hit.notVerified > 0 else { return "" }
        return "\(Words.number(hit.notVerified)) of \(Words.number(hit.runs)) seeds \(what) did not end verified"
    }
}
