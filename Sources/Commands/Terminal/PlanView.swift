// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Notifications
internal import Rehearsal
internal import Stages

/// What `airboss plan` shows, as text, JSON or Markdown.
struct PlanView {
    let plan: DeploymentPlan
    let hash: PlanHash

    /// Machines of one change that are named.
    private static let maxNamedMachines = 6
    /// The longest value of a config that is shown, in characters.
    private static let maxValueLength = 120

    init(_ plan: DeploymentPlan) {
        self.plan = plan
        hash = plan.hash
    }

    var isRollback: Bool { plan.request.kind == .rollback }

    // MARK: - Sentences that more than one form uses

    /// `deploy production (hotdash-production)`.
    var title: String { "\(plan.request.kind.rawValue) \(plan.request.pipeline) (\(plan.request.app))" }

    /// From which release to what.
    var way: String {
        let current = plan.facts.history?.current
        let from = current.map { "\($0.number)" } ?? "nothing that was verified"
        if isRollback { return "from \(from) back to \(plan.wayBack?.number.description ?? "nothing")" }
        return "from \(from) to a new release"
    }

    var commitLine: String {
        if isRollback {
            guard let release = plan.wayBack else { return "unknown" }
            return "\(release.commit?.short ?? "no commit known") \(release.subject)"
        }
        return plan.facts.commit.map { "\($0.id.short) \($0.subject)" } ?? "unknown"
    }

    var imageLine: String {
        if isRollback { return plan.wayBack.map(\.image) ?? "unknown" }
        guard let image = plan.image else { return "unknown: it was not looked at" }
        switch plan.request.settings.build {
        case .image: return image.reference
        case .promoted: return "\(image.reference) (copied, and not built)"
        case .layers: return "\(image.reference) (assembled here; nothing was pushed)"
        }
    }

    var durationLine: String {
        guard let expected = plan.expectedDuration else { return "unknown: no such run was verified yet" }
        let count = plan.pastDurations.count
        return "\(TerminalText.duration(expected)), "
            + (count == 1 ? "as the one verified run before" : "the median of the last \(count) verified runs")
    }

    var migrationsLine: String {
        if isRollback { return "not asked: a rollback is a person's decision" }
        guard !plan.request.settings.migrationPaths.isEmpty else { return "the pipeline names no migrations" }
        guard !plan.facts.migrations.isEmpty else {
            if plan.facts.wayBack == nil, plan.facts.fleet.isEmpty { return "nothing is deployed yet" }
            return plan.facts.changes == nil && plan.facts.history?.current?.commit == nil
                ? "unknown: the commit that runs now is not known"
                : "none that is not declared reversible"
        }
        let shown = plan.facts.migrations.prefix(5).joined(separator: ", ")
        let more = plan.facts.migrations.count > 5 ? ", and \(plan.facts.migrations.count - 5) more" : ""
        return shown + more
    }

    var rollbackLine: String {
        if isRollback { return "there is none after a rollback" }
        if plan.wayBack == nil { return "no: there is nothing to go back to" }
        if !plan.request.settings.rollsBackAutomatically { return "switched off in the pipeline" }
        return plan.facts.migrations.isEmpty
            ? "yes, where the new release is not healthy" : "no: it will stop at a person, because of the migrations"
    }

    var wayBackLine: String {
        let gate = plan.gates.first { $0.gate == .wayBack }
        guard let release = plan.wayBack else { return gate?.detail ?? "none" }
        return "\(release.number) (\(release.digest.short)), \(release.machines.count) machines recorded; "
            + (gate?.verdict == .passed ? "it can be pulled" : gate?.detail ?? "not proven")
    }

    var costLine: String {
        guard let cost = plan.cost else { return "unknown" }
        guard let difference = cost.difference, difference != 0 else { return cost.detail }
        let cents = Int((abs(difference) * 100).rounded())
        let amount = "\(cents / 100).\(cents % 100 < 10 ? "0" : "")\(cents % 100)"
        return "\(difference > 0 ? "+" : "−")$\(amount) a month: \(cost.detail) (\(MonthlyCost.source))"
    }

    var verdictLine: String {
        guard let refusal = plan.refusal else {
            return plan.gates.contains { $0.verdict == .overridden } || plan.window.verdict == .overridden
                ? "It could go, with overrides." : "It could go."
        }
        return "\(refusal.outcome == .unavailable ? "The platform is unavailable" : "It would be refused"): "
            + refusal.reason
    }

    /// The command that holds a deploy to this plan.
    var command: String? {
        guard !isRollback, plan.steps != nil else { return nil }
        let (request, overrides) = (plan.request, plan.request.overrides)
        var words = ["airboss", "deploy", request.pipeline]
        if case .image(let reference) = request.settings.build { words += ["--image", reference] }
        if let commit = plan.facts.commit { words += ["--commit", commit.id.short] }
        if overrides.isEmergency { words.append("--emergency") }
        words += overrides.skippedGates.flatMap { ["--skip", $0] }
        if !overrides.approvedBy.isEmpty { words += ["--approved-by", overrides.approvedBy] }
        words += ["--plan", hash.description]
        return words.map(ShellWord.quoted).joined(separator: " ") + " --reason TEXT"
    }

    func machines(_ change: GroupChange) -> String {
        let count = change.machines.count
        if change.isNew { return count == 1 ? "1 new machine" : "\(count) new machines" }
        let named = change.machines.prefix(PlanView.maxNamedMachines).joined(separator: ", ")
        return named + (count > PlanView.maxNamedMachines ? ", and \(count - PlanView.maxNamedMachines) more" : "")
    }

    /// What stands there before or afterwards, without what is nobody's business.
    static func shown(_ value: JSONValue?, of difference: ConfigDifference) -> JSONValue? {
        guard let value else { return nil }
        let path = difference.path
        if path.first == "env", path.count == 2 { return JSONValue.variable(path[1], value) }
        if path.last == "raw_value" { return .string(Redactor.mark) }
        // Whatever begins above a variable or a file is seen with the same eyes.
        return path.reversed().reduce(value) { inner, key in [key: inner] as JSONValue }
            .withoutConfigSecrets.descend(path)
    }

    static func words(_ value: JSONValue?, of difference: ConfigDifference) -> String {
        guard let value = shown(value, of: difference) else { return "nothing" }
        // The whole name stands above.
        if difference.path == ["image"], let image = value.string.flatMap({ ImageReference(parsing: $0) }),
            let digest = image.digest
        {
            return "\(image.repository)@\(digest.short)"
        }
        return ShownText.line(value.text(), limit: maxValueLength)
    }

    func stepWords(_ step: PlanStep) -> String {
        let what = step.action == .create ? "create a machine" : "\(step.action.rawValue) \(step.machine)"
        return "\(what) (\(step.group), \(step.region))" + (step.staysAtRest ? ", stays at rest" : "")
    }

    // MARK: - For people

    func text(usesColor: Bool) -> String {
        func bold(_ text: String, _ code: String = "1") -> String {
            usesColor ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
        }
        var lines = [
            bold("Plan: \(title)"), "  \(TerminalText.line(way))",
            "  commit  \(TerminalText.line(commitLine))", "  image   \(TerminalText.line(imageLine))",
        ]
        func section(_ title: String, _ body: [String]) {
            lines += ["", bold(title)] + body.map { "  " + $0 }
        }
        section("Gates", gateLines(bold))
        section("Window", windowLines(bold))
        if !isRollback { section("Changes", changeLines) }
        section("Config", configLines)
        section("Steps", stepLines)
        section("Calls of Fly's API, if nothing goes wrong: \(plan.calls.reduce(0) { $0 + $1.count })", callLines)
        var table = Table([])
        table.add(["Duration", durationLine])
        table.add(["Migrations", TerminalText.line(migrationsLine)])
        table.add(["Automatic rollback", rollbackLine])
        table.add(["Way back", TerminalText.line(wayBackLine)])
        table.add(["Cost", costLine])
        table.add(["Hash", plan.steps == nil ? "none: what would be done is not known" : hash.description])
        lines += table.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).dropLast()
        if !plan.warnings.isEmpty {
            section("Warnings", plan.warnings.map { TerminalText.line($0) })
        }
        lines += ["", bold(TerminalText.line(verdictLine), plan.refusal == nil ? "1;32" : "1;31")]
        for hint in plan.refusal?.hints ?? [] { lines.append("  \(TerminalText.line(hint))") }
        if plan.refusal == nil, let command { lines.append("To hold a deploy to this plan: \(command)") }
        return lines.joined(separator: "\n") + "\n"
    }

    private func gateLines(_ paint: (String, String) -> String) -> [String] {
        guard !plan.gates.isEmpty else { return ["none was answered"] }
        let width = plan.gates.map { $0.gate.rawValue.count }.max() ?? 0
        return plan.gates.flatMap { gate -> [String] in
            let name = gate.gate.rawValue + String(repeating: " ", count: width - gate.gate.rawValue.count)
            let word = gate.verdict.rawValue + String(repeating: " ", count: 10 - gate.verdict.rawValue.count)
            let shown = paint(word, PlanView.color(gate.verdict))
            let would = gate.verdict == .overridden ? "it says: " : ""
            return ["\(shown)  \(name)  \(would)\(TerminalText.line(gate.detail))"]
        }
    }

    private func windowLines(_ paint: (String, String) -> String) -> [String] {
        let word = plan.window.isOpen.map { $0 ? "open" : "closed" } ?? "unknown"
        let color = PlanView.color(plan.window.verdict)
        var line = "\(paint(word, color)): \(TerminalText.line(plan.window.rule))"
        if plan.window.verdict == .overridden { line += "; overridden" }
        var lines = [line]
        if let closes = plan.window.closes { lines.append("closes at \(closes)") }
        if plan.window.isOpen == false, let next = plan.window.nextOpen { lines.append("opens next at \(next)") }
        return lines
    }

    private static func color(_ verdict: GateResult.Verdict) -> String {
        switch verdict {
        case .passed: "32"
        case .overridden: "33"
        case .refused, .unanswered: "31"
        }
    }

    var changesTitle: String {
        guard let changes = plan.facts.changes else {
            guard let current = plan.facts.history?.current else { return "unknown: no release was verified yet" }
            guard let commit = current.commit else { return "unknown: \(current.number) has no commit on record" }
            return commit == plan.facts.commit?.id
                ? "none: \(current.number) is of this commit" : "they could not be read"
        }
        let from = plan.facts.history?.current.map { " since \($0.number)" } ?? ""
        let commits = "\(changes.commits.count) commit\(changes.commits.count == 1 ? "" : "s")"
        let paths = "\(changes.paths.count) path\(changes.paths.count == 1 ? "" : "s")"
        return "\(commits) and \(paths)\(from)" + (changes.isTruncated ? ", and more" : "")
            + (changes.goesBack ? "; the commit is OLDER than what runs" : "")
    }

    private var changeLines: [String] {
        var lines = [changesTitle]
        guard let changes = plan.facts.changes else { return lines }
        lines += changes.commits.map { commit in
            let author = ShownText.line(commit.author.name, limit: 40)
            return TerminalText.line("  \(commit.id.short) \(ShownText.line(commit.subject, limit: 90)) (\(author))")
        }
        lines += changes.paths.prefix(DeploymentPlan.maxShownPaths).map { TerminalText.line("  \($0)") }
        let more = changes.paths.count - DeploymentPlan.maxShownPaths
        if more > 0 { lines.append("  and \(more) more") }
        return lines
    }

    private var configLines: [String] {
        guard plan.steps != nil else { return ["unknown: the run would not get so far"] }
        var lines: [String] = []
        for change in plan.changes {
            lines.append("\(change.group): \(machines(change))")
            for difference in change.differences {
                let new = PlanView.words(difference.new, of: difference)
                let old = PlanView.words(difference.old, of: difference)
                let both = old == new ? "\(new) → another value" : "\(old) → \(new)"
                let shown = change.isNew || difference.old == nil ? "+ \(new)" : both
                lines.append(TerminalText.line("  \(difference.key): \(shown)"))
            }
        }
        if !plan.unchanged.isEmpty {
            lines.append("already as they shall be: \(plan.unchanged.joined(separator: ", "))")
        }
        return lines.isEmpty ? ["nothing changes"] : lines
    }

    private var stepLines: [String] {
        guard let steps = plan.steps else { return ["unknown: the run would not get so far"] }
        guard !steps.isEmpty else { return ["none: every machine is as it shall be; only the release is recorded"] }
        var table = Table(["", "", "available", "floor"])
        for (index, step) in steps.enumerated() {
            table.add([
                "\(index + 1)", TerminalText.line(stepWords(step)), "\(step.before) → \(step.during) → \(step.after)",
                "\(step.floor)",
            ])
        }
        return table.text.split(separator: "\n").map(String.init)
    }

    private var callLines: [String] {
        var table = Table(["", ""])
        for call in plan.calls { table.add(["\(call.count)", call.call]) }
        return table.text.split(separator: "\n").map(String.init).filter { $0.contains("/") }
    }
}

extension JSONValue {
    /// What stands at the end of a path.
    fileprivate func descend(_ path: [String]) -> JSONValue? {
        path.reduce(Optional(self)) { value, key in value?[key] }
    }
}
