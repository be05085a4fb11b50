// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension RehearsalReport {
    /// Endings told beside the verified one.
    private static let maxEndings = 8

    /// The report for people, for a terminal or a log.
    package func text(usesColor: Bool) -> String {
        var page = ReportText(usesColor: usesColor)
        head(&page)
        invariants(&page)
        outcomes(&page)
        service(&page)
        faultTable(&page)
        endingList(&page)
        worstStories(&page)
        adviceList(&page)
        foot(&page)
        return page.text
    }

    private func head(_ page: inout ReportText) {
        let count =
            tally.runs == seeds.asked
            ? Words.seeds(tally.runs) : "\(Words.number(tally.runs)) of \(Words.seeds(seeds.asked))"
        let end = seeds.wasInterrupted ? ", interrupted" : ""
        page.line(
            page.paint("Rehearsal of \(pipeline)", .strong) + " (\(app)): \(count) in \(Words.time(took))\(end)")
        page.line()
        page.line("  files    \(ReportText.plain(path)), \(ReportText.plain(flyToml))")
        for (index, group) in groups.enumerated() {
            page.line((index == 0 ? "  fleet    " : "           ") + RehearsalReport.describe(group))
        }
        let isAll = faults == FaultKind.allCases
        let lines = ReportText.wrap(
            (isAll ? "all: " : "") + (faults.isEmpty ? "none" : faults.map(\.rawValue).joined(separator: ", ")),
            width: 88)
        for (index, line) in lines.enumerated() { page.line((index == 0 ? "  faults   " : "           ") + line) }
    }

    /// `web: 3 machines, at least 1 serving, 1 away at a time`.
    package static func describe(_ group: Group) -> String {
        let machines = "\(group.group): \(group.machines) machine\(group.machines == 1 ? "" : "s")"
        guard group.takesTraffic else { return machines + ", without traffic" }
        return machines + ", floor \(group.floor), \(group.maxUnavailable) away at a time"
    }

    private func invariants(_ page: inout ReportText) {
        page.line()
        guard !isKept else {
            let kept = tally.runs == 0 ? "nothing was run" : "every invariant held in \(Words.seeds(tally.runs))"
            return page.line("  " + page.paint(tally.runs == 0 ? "–" : "✓", .green) + " " + kept)
        }
        page.line(
            "  " + page.paint("✗ an invariant did not hold in \(Words.share(tally.violatedRuns, of: tally.runs))", .red)
                + ": a defect of Airboss, not of your pipeline")
        for (name, violation) in tally.violations.sorted(by: { $0.key < $1.key }) {
            page.line("    \(name): \(Words.seeds(violation.runs))")
            page.paragraph(violation.message, indent: "      ", .faint)
            for seed in violation.seeds.prefix(2) { page.line("      " + page.paint(replay(seed), .cyan)) }
        }
        page.paragraph(
            "Please report it with the version (airboss --version), the pipeline file, fly.toml and the output of one "
                + "of these commands: they are all that is needed to see it again.", indent: "    ")
    }

    private func outcomes(_ page: inout ReportText) {
        page.heading("How the deploys ended")
        for outcome in RunOutcome.allCases {
            let count = tally.count(outcome)
            let bar = ReportText.bar(count, of: tally.runs)
            page.line(
                "  " + ReportText.left(Words.outcome(outcome), 15) + ReportText.right(Words.number(count), 9)
                    + ReportText.right(Words.percent(count, of: tally.runs), 14) + "  "
                    + page.paint(bar, .init(outcome)))
        }
    }

    private func service(_ page: inout ReportText) {
        page.heading("Service")
        let kept = tally.runs - tally.belowFloor.count
        page.line("  floor kept       \(Words.share(kept, of: tally.runs)); fewest serving at any instant: \(fewest)")
        if tally.belowFloor.count > 0 { page.line("  below the floor  \(RehearsalReport.times(tally.belowFloor))") }
        if tally.downtimes.count > 0 { page.line("  nothing served   \(RehearsalReport.times(tally.downtimes))") }
        let unrestored = tally.unrestored == 0 ? "" : "; not restored in \(Words.seeds(tally.unrestored))"
        page.line("  time to restore  \(RehearsalReport.times(tally.restores))\(unrestored)")
        page.line("  a deploy takes   \(RehearsalReport.times(tally.durations))")
        if tally.recoveredRuns > 0 {
            page.line(
                "  recovered        \(Words.share(tally.recoveredRuns, of: tally.runs)) were finished by another"
            )
        }
    }

    /// The fewest machines that served, for people.
    var fewest: String { tally.fewestServingEver.map { "\($0)" } ?? "unknown" }

    /// `median 12 s, p95 1 m 05 s, worst 3 m 10 s (402 seeds)`.
    static func times(_ digest: DurationDigest) -> String {
        guard let median = digest.median, let late = digest.percentile(0.95), let longest = digest.longest else {
            return "none"
        }
        return "median \(Words.time(median)), p95 \(Words.time(late)), worst \(Words.time(longest)) "
            + "(\(Words.seeds(digest.count)))"
    }

    private func faultTable(_ page: inout ReportText) {
        let met = FaultKind.allCases.compactMap { kind in tally.faults[kind].map { (kind, $0) } }
        guard !met.isEmpty else { return }
        page.heading("What each fault did")
        var rows = [["fault", "seeds", "verified", "rolled back", "needs a person", "other", "below floor", "down"]]
        for (kind, hit) in met {
            let (verified, back, stuck) = (
                hit.outcomes[.verified, default: 0], hit.outcomes[.rolledBack, default: 0],
                hit.outcomes[.needsHuman, default: 0]
            )
            rows.append(
                [kind.rawValue]
                    + [
                        hit.runs, verified, back, stuck, hit.runs - verified - back - stuck, hit.runsBelowFloor,
                        hit.runsDown,
                    ].map(Words.number))
        }
        page.table(rows)
    }

    private func endingList(_ page: inout ReportText) {
        let endings = tally.endingsByCount.filter { $0.ending.outcome != .verified }
        guard !endings.isEmpty else { return }
        page.heading("Why others did not end verified")
        for (ending, tally) in endings.prefix(RehearsalReport.maxEndings) {
            page.line(
                "  " + ReportText.right(Words.number(tally.runs), 7) + "  "
                    + page.paint(ReportText.left(Words.outcome(ending.outcome), 15), .init(ending.outcome))
                    + page.paint("seed \(tally.seed)", .faint))
            page.paragraph(Words.brief(tally.headline), indent: "           ")
        }
        let left = endings.dropFirst(RehearsalReport.maxEndings)
        if !left.isEmpty { page.line("           and \(left.count) more, in --output json and --html") }
    }

    private func worstStories(_ page: inout ReportText) {
        guard !stories.isEmpty else { return }
        page.heading(stories.count == 1 ? "The worst story" : "The worst \(stories.count) stories")
        for story in stories {
            page.line()
            page.line(
                "  " + page.paint("seed \(story.run.seed)", .strong) + ": "
                    + page.paint(Words.outcome(story.run.outcome), .init(story.run.outcome))
                    + RehearsalReport.cost(of: story.run))
            RehearsalReport.tell(Timeline(story.trace).entries, on: &page)
            page.paragraph("In the end: \(Words.brief(story.run.headline))", indent: "    ")
            page.line("    " + page.paint(replay(story.run.seed), .cyan))
        }
    }

    /// What a run cost its users: `, nothing served for 12 s, back after 3 m 10 s`.
    static func cost(of run: RehearsedRun) -> String {
        var parts: [String] = []
        if run.downtime > .zero { parts.append("nothing served for \(Words.time(run.downtime))") }
        if run.timeBelowFloor > run.downtime { parts.append("below the floor for \(Words.time(run.timeBelowFloor))") }
        if let time = run.timeToRestore { parts.append("restored after \(Words.time(time))") }
        if run.isUnrestored { parts.append("not restored") }
        return parts.map { ", " + $0 }.joined()
    }

    static func tell(_ entries: [Timeline.Entry], on page: inout ReportText) {
        for entry in entries {
            guard let kind = entry.kind else {
                page.line("    " + page.paint(ReportText.right("⋮", 9) + "   \(entry.text)", .faint))
                continue
            }
            line(at: entry.at, kind: kind, actor: entry.actor, text: entry.text, on: &page)
        }
    }

    static func line(
        at time: Duration, kind: TraceLine.Kind, actor: String, text: String, on page: inout ReportText
    ) {
        let (mark, color): (String, ReportText.Paint?) =
            switch kind {
            case .note: ("·", nil)
            case .call: ("→", .faint)
            case .fault: ("⚡", .yellow)
            case .world: ("∘", .faint)
            case .violation: ("✗", .red)
            }
        let who = actor.isEmpty ? "" : actor + ": "
        let lines = ReportText.wrap(ReportText.plain(Words.brief(who + text)), width: 84)
        for (index, line) in lines.enumerated() {
            let start = index == 0 ? ReportText.right(Words.clock(time), 9) + " " + mark + " " : "            "
            page.line("    " + (color.map { page.paint(start + line, $0) } ?? start + line))
        }
    }

    private func adviceList(_ page: inout ReportText) {
        page.heading("What in the pipeline made them")
        guard !advice.isEmpty else {
            return page.line("  nothing that Airboss knows of: floor, times, checks and rollback fit each other")
        }
        for item in advice {
            let (mark, color): (String, ReportText.Paint) =
                switch item.weight {
                case .blocks: ("✗", .red)
                case .risk: ("!", .yellow)
                case .note: ("·", .cyan)
                }
            page.line("  " + page.paint(mark, color) + " " + page.paint("\(item.location)", .strong))
            page.paragraph(item.message, indent: "    ")
            if !item.evidence.isEmpty { page.paragraph("rehearsed: \(item.evidence)", indent: "    ", .faint) }
            page.paragraph("do: \(item.suggestion)", indent: "    ")
        }
    }

    private func foot(_ page: inout ReportText) {
        page.line()
        page.line("  One seed in full:   airboss rehearse \(pipeline) --seed N\(replayOptions)")
        page.line("  As a page:          airboss rehearse \(pipeline)\(replayOptions) --html rehearsal.html")
    }
}
