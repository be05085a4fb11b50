// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import PipelineFiles

extension RehearsalReport {
    /// The report as a JSON document; fields are only ever added.
    package var json: JSONValue {
        .object([
            "schema": .integer(Int64(RehearsalReport.schema)),
            "pipeline": .string(pipeline), "path": .string(path), "fly_toml": .string(flyToml),
            "app": .string(app.rawValue),
            "fleet": .array(
                groups.map {
                    [
                        "group": .string($0.group.rawValue), "machines": ReportJSON.count($0.machines),
                        "takes_traffic": .bool($0.takesTraffic), "serving_floor": ReportJSON.count($0.floor),
                        "max_unavailable": ReportJSON.count($0.maxUnavailable),
                    ]
                }),
            "faults": .array(faults.map { .string($0.rawValue) }),
            "seeds": [
                "first": .integer(Int64(bitPattern: seeds.first)), "asked": ReportJSON.count(seeds.asked),
                "run": ReportJSON.count(tally.runs), "interrupted": .bool(seeds.wasInterrupted),
            ],
            "took_ms": ReportJSON.time(took),
            "kept": .bool(isKept),
            "outcomes": .object(ReportJSON.outcomes(tally.outcomes)),
            "serving": serving,
            "restore_ms": restore,
            "duration_ms": ReportJSON.digest(tally.durations),
            "longest_start_ms": tally.starts.longest.map(ReportJSON.time) ?? .null,
            "recoveries": [
                "seeds": ReportJSON.count(tally.recoveredRuns), "processes": ReportJSON.count(tally.recoveries),
            ],
            "fly_api_calls": ReportJSON.count(tally.apiCalls),
            "faults_met": .object(
                Dictionary(uniqueKeysWithValues: tally.faults.map { ($0.key.rawValue, ReportJSON.fault($0.value)) })),
            "endings": .array(
                tally.endingsByCount.map { ending, tally in
                    [
                        "outcome": .string(ending.outcome.rawValue), "headline": .string(tally.headline),
                        "seeds": ReportJSON.count(tally.runs), "seed": .integer(Int64(bitPattern: tally.seed)),
                    ]
                }),
            "violations": .array(violations),
            "worst": .array(stories.map(worst)),
            "advice": .array(advice.map(ReportJSON.advice)),
            "diagnostics": .array(
                diagnostics.map {
                    [
                        "severity": .string($0.severity.rawValue), "path": .string($0.path),
                        "line": ReportJSON.count($0.line), "column": ReportJSON.count($0.column),
                        "message": .string($0.message),
                        "suggestion": .string($0.suggestion),
                    ]
                }),
        ])
    }

    private var serving: JSONValue {
        [
            "fewest": tally.fewestServingEver.map(ReportJSON.count) ?? .null,
            "seeds_by_fewest": .object(
                Dictionary(
                    uniqueKeysWithValues: tally.fewestServing.map { ("\($0.key)", ReportJSON.count($0.value)) })),
            "below_floor_ms": ReportJSON.digest(tally.belowFloor),
            "down_ms": ReportJSON.digest(tally.downtimes),
        ]
    }

    private var restore: JSONValue {
        var json = ReportJSON.digest(tally.restores)
        json["seeds_in_trouble"] = ReportJSON.count(tally.troubledRuns)
        json["unrestored"] = ReportJSON.count(tally.unrestored)
        return json
    }

    private var violations: [JSONValue] {
        tally.violations.sorted { $0.key < $1.key }.map { name, tally in
            [
                "name": .string(name), "seeds": ReportJSON.count(tally.runs), "message": .string(tally.message),
                "examples": .array(tally.seeds.map { .integer(Int64(bitPattern: $0)) }),
            ]
        }
    }

    private func worst(_ story: RehearsedStory) -> JSONValue {
        var json = story.run.json
        json["replay"] = .string(replay(story.run.seed))
        json["story"] = .array(Timeline(story.trace).entries.map(ReportJSON.entry))
        return json
    }
}

extension RehearsedRun {
    package var json: JSONValue {
        .object([
            "seed": .integer(Int64(bitPattern: seed)), "scenario": .string(scenario),
            "outcome": .string(outcome.rawValue), "exit_code": .integer(Int64(exitCode)),
            "headline": .string(headline), "duration_ms": ReportJSON.time(duration),
            "fewest_serving": ReportJSON.count(minServing), "serving_floor": ReportJSON.count(floor),
            "below_floor_ms": ReportJSON.time(timeBelowFloor), "down_ms": ReportJSON.time(downtime),
            "restore_ms": timeToRestore.map(ReportJSON.time) ?? .null, "unrestored": .bool(isUnrestored),
            "recoveries": ReportJSON.count(recoveries), "fly_api_calls": ReportJSON.count(apiCalls),
            "faults": .array(
                faults.map {
                    ["kind": .string($0.kind.rawValue), "at_ms": ReportJSON.time($0.at), "detail": .string($0.detail)]
                }),
            "violations": .array(
                violations.map {
                    ["name": .string($0.name), "at_ms": ReportJSON.time($0.at), "message": .string($0.message)]
                }),
        ])
    }
}

/// Small pieces of the documents.
enum ReportJSON {
    static func count(_ value: Int) -> JSONValue { .integer(Int64(value)) }
    static func time(_ value: Duration) -> JSONValue { .integer(value.wholeMilliseconds) }

    static func outcomes(_ counts: [RunOutcome: Int]) -> [String: JSONValue] {
        Dictionary(uniqueKeysWithValues: RunOutcome.allCases.map { ($0.rawValue, count(counts[$0, default: 0])) })
    }

    static func digest(_ digest: DurationDigest) -> JSONValue {
        [
            "seeds": count(digest.count), "median": digest.median.map(time) ?? .null,
            "p95": digest.percentile(0.95).map(time) ?? .null, "worst": digest.longest.map(time) ?? .null,
        ]
    }

    static func fault(_ tally: RehearsalTally.FaultTally) -> JSONValue {
        [
            "seeds": count(tally.runs), "times": count(tally.times), "outcomes": .object(outcomes(tally.outcomes)),
            "seeds_below_floor": count(tally.runsBelowFloor), "seeds_down": count(tally.runsDown),
        ]
    }

    static func entry(_ entry: Timeline.Entry) -> JSONValue {
        [
            "at_ms": time(entry.at), "kind": entry.kind.map { .string($0.rawValue) } ?? .null,
            "actor": .string(entry.actor), "text": .string(entry.text),
        ]
    }

    static func line(_ line: TraceLine) -> JSONValue {
        [
            "at_ms": time(line.at), "kind": .string(line.kind.rawValue), "actor": .string(line.actor),
            "text": .string(line.text),
        ]
    }

    static func advice(_ advice: Advice) -> JSONValue {
        [
            "rule": .string(advice.rule.rawValue), "weight": .string(advice.weight.rawValue),
            "path": .string(advice.location.path), "line": count(advice.location.line),
            "column": count(advice.location.column), "message": .string(advice.message),
            "suggestion": .string(advice.suggestion), "evidence": .string(advice.evidence),
        ]
    }
}
