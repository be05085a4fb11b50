// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Notifications
internal import Rehearsal
internal import Stages

extension PlanView {
    /// The document of the contract. Text that others wrote is without secrets.
    var json: JSONValue {
        let facts = plan.facts
        var document: JSONValue = [
            "schema": 1, "pipeline": .string(plan.request.pipeline), "app": .string(plan.request.app.rawValue),
            "kind": .string(plan.request.kind.rawValue), "at": .string(plan.at.description),
            "possible": .bool(plan.refusal == nil), "exit_code": .integer(Int64(plan.exitCode.rawValue)),
            "refusal": plan.refusal.map { refusal in
                [
                    "outcome": .string(refusal.outcome.rawValue), "reason": .string(refusal.reason),
                    "hints": .array(refusal.hints.map(JSONValue.string)),
                ]
            } ?? .null,
        ]
        document["commit"] = RunFinished.optional(
            isRollback ? plan.wayBack?.commit?.rawValue : facts.commit?.id.rawValue)
        document["subject"] = .string(isRollback ? plan.wayBack?.subject ?? "" : facts.commit?.subject ?? "")
        document["image"] = RunFinished.optional(isRollback ? plan.wayBack?.image : plan.image?.reference)
        document["previous_release"] = facts.history?.current.map { .integer(Int64($0.number.value)) } ?? .null
        document["gates"] = .array(
            plan.gates.map {
                [
                    "gate": .string($0.gate.rawValue), "state": .string($0.verdict.rawValue),
                    "detail": .string($0.detail), "hint": .string($0.hint),
                ]
            })
        document["window"] = [
            "state": .string(plan.window.verdict.rawValue), "open": plan.window.isOpen.map(JSONValue.bool) ?? .null,
            "rule": .string(plan.window.rule), "next_open": RunFinished.optional(plan.window.nextOpen?.description),
            "closes": RunFinished.optional(plan.window.closes?.description),
        ]
        document["commits"] = .array(
            (facts.changes?.commits ?? []).map {
                [
                    "commit": .string($0.id.rawValue), "subject": .string($0.subject),
                    "author": .string($0.author.name), "at": .string($0.committedAt.description),
                ]
            })
        document["paths"] = .array((facts.changes?.paths ?? []).map(JSONValue.string))
        document["changes_known"] = .bool(facts.changes != nil)
        document["changes_truncated"] = .bool(facts.changes?.isTruncated ?? false)
        document["goes_back"] = .bool(facts.changes?.goesBack ?? false)
        document["configs"] = .array(plan.changes.map(PlanView.json))
        document["unchanged"] = .array(plan.unchanged.map(JSONValue.string))
        document["steps"] = plan.steps.map { .array($0.map(PlanView.json)) } ?? .null
        document["calls"] = .array(
            plan.calls.map {
                ["call": .string($0.call), "count": .integer(Int64($0.count)), "mutates": .bool($0.changesSomething)]
            })
        document["calls_total"] = .integer(Int64(plan.calls.reduce(0) { $0 + $1.count }))
        document["expected_ms"] = plan.expectedDuration.map { .integer($0.wholeMilliseconds) } ?? .null
        document["past_runs"] = .integer(Int64(plan.pastDurations.count))
        document["migrations"] = .array(facts.migrations.map(JSONValue.string))
        document["rolls_back_automatically"] = .bool(
            !isRollback && plan.wayBack != nil && plan.request.settings.rollsBackAutomatically
                && facts.migrations.isEmpty)
        document["way_back"] =
            isRollback
            ? .null
            : plan.wayBack.map { release in
                [
                    "release": .integer(Int64(release.number.value)), "digest": .string(release.digest.rawValue),
                    "image": .string(release.image),
                    "pullable": .bool(plan.gates.first { $0.gate == .wayBack }?.verdict == .passed),
                ]
            } ?? .null
        document["monthly_cost"] = [
            "difference_usd": plan.cost?.difference.map(JSONValue.number) ?? .null,
            "detail": .string(plan.cost?.detail ?? "unknown"), "source": .string(MonthlyCost.source),
        ]
        document["warnings"] = .array(plan.warnings.map(JSONValue.string))
        // The hash is random to whoever looks for secrets.
        document = document.redacted
        document["hash"] = plan.steps == nil ? .null : .string(hash.description)
        return document
    }

    private static func json(_ change: GroupChange) -> JSONValue {
        [
            "group": .string(change.group.rawValue), "machines": .array(change.machines.map(JSONValue.string)),
            "new": .bool(change.isNew),
            "changes": .array(
                change.differences.map {
                    [
                        "key": .string($0.key), "old": shown($0.old, of: $0) ?? .null,
                        "new": shown($0.new, of: $0) ?? .null,
                    ]
                }),
        ]
    }

    private static func json(_ step: PlanStep) -> JSONValue {
        [
            "action": .string(step.action.rawValue), "machine": .string(step.machine),
            "group": .string(step.group.rawValue), "region": .string(step.region),
            "stays_at_rest": .bool(step.staysAtRest), "serving_floor": .integer(Int64(step.floor)),
            "available_before": .integer(Int64(step.before)), "available_during": .integer(Int64(step.during)),
            "available_after": .integer(Int64(step.after)),
        ]
    }
}
