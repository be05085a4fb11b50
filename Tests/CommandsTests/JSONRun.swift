// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

/// What a deploy or a rollback printed with `--output json`, checked against the contract as it is read.
struct JSONRun: Sendable {
    let outcome: Outcome
    let lines: [JSONValue]

    var status: Int32 { outcome.status }
    /// The last line: `run.finished`, or an `error` from before a run began.
    var last: JSONValue { lines.last ?? .null }
    var message: String { last["headline"]?.string ?? last["message"]?.string ?? "" }

    func events(_ type: String) -> [JSONValue] { lines.filter { $0["type"]?.string == type } }

    func stage(_ name: String) -> JSONValue? {
        last["stages"]?.array?.first { $0["stage"]?.string == name }
    }

    private static let outcomes: [String: Set<Int>] = [
        "verified": [0], "rolled_back": [10], "needs_human": [11], "refused": [12, 13], "unavailable": [69],
        "interrupted": [130, 143],
    ]
    private static let eventTypes: Set<String> = [
        // A run that was recovered first has an end of its own.
        "run.started", "run.finished", "stage", "gate", "machine", "message", "warning",
    ]
    private static let finishedKeys = [
        "run", "pipeline", "app", "kind", "outcome", "exit_code", "commit", "image", "release", "previous_release",
        "stages", "fly_api_calls", "duration_ms", "headline", "actor", "reason", "overrides", "divergence",
        "next_steps", "warnings", "time_to_restore_ms",
    ]

    init(_ outcome: Outcome, sourceLocation: SourceLocation = #_sourceLocation) throws {
        self.outcome = outcome
        var lines: [JSONValue] = []
        for line in outcome.output.split(separator: "\n") { lines.append(try JSONValue(parsing: String(line))) }
        self.lines = lines
        check(sourceLocation)
    }

    private func check(_ place: SourceLocation) {
        #expect(!lines.isEmpty, "nothing was printed: \(outcome.errors)", sourceLocation: place)
        #expect(last["schema"]?.integer == 1, "\(last)", sourceLocation: place)
        #expect(last["exit_code"]?.integer == Int(outcome.status), "\(last)", sourceLocation: place)
        guard last["type"]?.string == "run.finished" else {
            #expect(last["type"]?.string == "error", "\(last)", sourceLocation: place)
            for key in ["code", "message", "hint", "location"] {
                #expect(last[key]?.string != nil, "the error has no \(key)", sourceLocation: place)
            }
            return
        }
        #expect(lines.contains { $0["type"]?.string == "run.started" }, sourceLocation: place)
        for line in lines.dropLast() {
            #expect(JSONRun.eventTypes.contains(line["type"]?.string ?? ""), "\(line)", sourceLocation: place)
        }
        for key in JSONRun.finishedKeys {
            #expect(last[key] != nil, "run.finished has no \(key)", sourceLocation: place)
        }
        let codes = JSONRun.outcomes[last["outcome"]?.string ?? ""] ?? []
        #expect(codes.contains(Int(outcome.status)), "\(last["outcome"] ?? .null)", sourceLocation: place)
        #expect((last["duration_ms"]?.integer ?? -1) >= 0, sourceLocation: place)
        #expect(last["fly_api_calls"]?.integer != nil, sourceLocation: place)
        for stage in last["stages"]?.array ?? [] {
            #expect(stage["stage"]?.string != nil && stage["state"]?.string != nil, sourceLocation: place)
            for key in ["started_at", "finished_at"] {
                guard let text = stage[key]?.string else { continue }
                #expect(Timestamp(text) != nil && text.hasSuffix("Z"), "\(key) is \(text)", sourceLocation: place)
            }
        }
    }
}
