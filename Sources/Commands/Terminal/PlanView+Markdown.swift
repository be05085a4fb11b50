// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Notifications
internal import Rehearsal
internal import Stages

extension PlanView {
    /// For a pull request, an issue, or the summary of a job.
    var markdown: String {
        func line(_ text: String) -> String { MarkdownEscaping.line(text) }
        func row(_ cells: String...) -> String { "| " + cells.joined(separator: " | ") + " |" }
        var lines = [
            "## Plan: \(line(title))", "", "**\(line(verdictLine))**", "",
            row("", ""), row("---", "---"), row("Way", line(way)), row("Commit", line(commitLine)),
            row("Image", line(imageLine)), row("Duration", line(durationLine)),
            row("Migrations", line(migrationsLine)), row("Automatic rollback", line(rollbackLine)),
            row("Way back", line(wayBackLine)), row("Cost", line(costLine)),
            row("Hash", plan.steps == nil ? "none" : "`\(hash)`"),
            "", "### Gates", "", row("Gate", "", ""), row("---", "---", "---"),
        ]
        lines += plan.gates.map { row($0.gate.rawValue, $0.verdict.rawValue, line($0.detail)) }
        let word = plan.window.isOpen.map { $0 ? "open" : "closed" } ?? "unknown"
        lines.append(row("window", "\(plan.window.verdict.rawValue) (\(word))", line(plan.window.rule)))
        if !isRollback {
            lines += ["", "### Changes", "", line(changesTitle), ""]
            lines += (plan.facts.changes?.commits ?? []).map { "- \($0.id.short) \(line($0.subject))" }
            let paths = plan.facts.changes?.paths ?? []
            if !paths.isEmpty {
                lines += ["", "<details><summary>Changed paths</summary>", ""]
                lines += paths.prefix(DeploymentPlan.maxShownPaths).map { "- \(line($0))" }
                if paths.count > DeploymentPlan.maxShownPaths {
                    lines.append("- and \(paths.count - DeploymentPlan.maxShownPaths) more")
                }
                lines += ["", "</details>"]
            }
        }
        if !plan.changes.isEmpty {
            lines += ["", "### Config", ""]
            for change in plan.changes {
                lines += ["**\(line("\(change.group): \(machines(change))"))**", ""]
                lines += [row("Key", "Before", "After"), row("---", "---", "---")]
                lines += change.differences.map {
                    let (old, new) = (PlanView.words($0.old, of: $0), PlanView.words($0.new, of: $0))
                    return row(line($0.key), line(old), old == new ? "another value" : line(new))
                }
                lines.append("")
            }
        }
        if let steps = plan.steps, !steps.isEmpty {
            lines += ["### Steps", "", row("", "", "Available", "Floor"), row("---:", "---", "---", "---:")]
            lines += steps.enumerated().map { index, step in
                row(
                    "\(index + 1)", line(stepWords(step)), "\(step.before) → \(step.during) → \(step.after)",
                    "\(step.floor)")
            }
        }
        let total = plan.calls.reduce(0) { $0 + $1.count }
        lines += ["", "<details><summary>\(total) calls of Fly's API, if nothing goes wrong</summary>", ""]
        lines += plan.calls.map { "- \($0.count) × `\($0.call)`" }
        lines += ["", "</details>"]
        if !plan.warnings.isEmpty { lines += ["", "### Warnings", ""] + plan.warnings.map { "- \(line($0))" } }
        if plan.refusal == nil, let command { lines += ["", "To hold a deploy to this plan: `\(command)`"] }
        return lines.joined(separator: "\n") + "\n"
    }
}
