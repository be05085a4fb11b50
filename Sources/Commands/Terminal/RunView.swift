// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model
internal import Orchestration
internal import Stages

/// What shows a run to whoever watches.
protocol RunView: Sendable {
    func begin(_ request: RunRequest)
    func show(_ progress: RunProgress)
    func warn(_ text: String)
    func finish(_ record: RunFinished)
}

/// The contract's last line of a run's JSON, and what the state store keeps of a finished run.
struct RunFinished: Codable, Sendable {
    var report: RunReport
    var flyAPICalls: Int

    static let schema = 1

    /// The document of the contract.
    var json: JSONValue {
        .object([
            "type": "run.finished",
            "schema": .integer(Int64(RunFinished.schema)),
            "run": .string(report.run.rawValue),
            "pipeline": .string(report.pipeline),
            "app": .string(report.app.rawValue),
            "kind": .string(report.kind.rawValue),
            "outcome": .string(report.outcome.rawValue),
            "exit_code": .integer(Int64(report.exitCode)),
            "commit": RunFinished.optional(report.commit?.rawValue),
            "image": RunFinished.optional(report.image.isEmpty ? nil : report.image),
            "release": report.release.map { .integer(Int64($0.value)) } ?? .null,
            "previous_release": report.previousRelease.map { .integer(Int64($0.value)) } ?? .null,
            "stages": .array(report.stages.map(RunFinished.stage)),
            "fly_api_calls": .integer(Int64(flyAPICalls)),
            "url": report.url.isEmpty ? .null : .string(report.url),
            "duration_ms": .integer((report.finishedAt - report.startedAt).wholeMilliseconds),
            "headline": .string(report.headline),
            "actor": .string(report.actor),
            "reason": .string(report.reason),
            "started_at": .string(report.startedAt.description),
            "finished_at": .string(report.finishedAt.description),
            "time_to_restore_ms": report.timeToRestore.map { .integer($0.wholeMilliseconds) } ?? .null,
            "overrides": .array(report.overrides.map(RunFinished.override)),
            "approvals": .array((report.approvals ?? []).map(\.json)),
            "divergence": .array(report.divergence.map(JSONValue.string)),
            "next_steps": .array(report.nextSteps.map(JSONValue.string)),
            "warnings": .array(report.warnings.map(JSONValue.string)),
        ])
    }

    func data() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    static func optional(_ text: String?) -> JSONValue {
        text.map(JSONValue.string) ?? .null
    }

    static func override(_ override: Override) -> JSONValue {
        [
            "gate": .string(override.gate), "approved_by": .string(override.who),
            "reason": .string(override.reason), "would_have_said": .string(override.wouldHaveSaid),
        ]
    }

    static func stage(_ stage: StageReport) -> JSONValue {
        [
            "stage": .string(stage.stage.rawValue),
            "state": .string(stage.state.rawValue),
            "started_at": optional(stage.startedAt?.description),
            "finished_at": optional(stage.finishedAt?.description),
            "detail": .string(stage.detail),
        ]
    }
}

/// One JSON document per line, for programs.
struct JSONRunView: RunView {
    func begin(_ request: RunRequest) {
        line([
            "type": "run.started", "schema": 1, "run": .string(request.run.rawValue),
            "pipeline": .string(request.pipeline), "app": .string(request.app.rawValue),
            "kind": .string(request.kind.rawValue),
        ])
    }

    func show(_ progress: RunProgress) {
        for note in progress.notes {
            var event: JSONValue = ["at": .string(progress.at.description)]
            switch note {
            case .stage(let report):
                event["type"] = "stage"
                for (key, value) in RunFinished.stage(report).object ?? [:] { event[key] = value }
            case .gate(let name, let state, let detail):
                event["type"] = "gate"
                event["gate"] = .string(name)
                event["state"] = .string(state.rawValue)
                event["detail"] = .string(detail)
            case .machine(let machine):
                event["type"] = "machine"
                event["machine"] = .string(machine.machine)
                event["group"] = .string(machine.group.rawValue)
                event["region"] = .string(machine.region)
                event["phase"] = .string(machine.phase.rawValue)
                event["detail"] = .string(machine.detail)
            case .message(let text):
                event["type"] = "message"
                event["text"] = .string(text)
            case .warning(let text):
                event["type"] = "warning"
                event["text"] = .string(text)
            }
            line(event)
        }
    }

    func warn(_ text: String) {
        line(["type": "warning", "text": .string(text)])
    }

    func finish(_ record: RunFinished) {
        line(record.json)
    }

    private func line(_ json: JSONValue) {
        StandardStreams.output(json.redacted.lineText + "\n")
    }
}
