// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension RehearsalReport {
    /// Classes of the histograms.
    private static let bins = 40

    /// The report as one page that needs nothing beside itself: no script, font, image or address.
    package var html: String {
        let page: Markup = """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>Rehearsal of \(pipeline)</title>
            <style>
            \(ReportStyle.css)
            </style>
            </head>
            <body>
            <main>
            \(head)\(tiles)\(alarm)\(outcomeSection)\(serviceSection)\(adviceSection)\(storySection)\(faultSection)\
            \(endingSection)
            <footer>\(Words.seeds(tally.runs)), the first being \(seeds.first), in \(Words.time(took)). Every story can
            be told again with its seed; nothing was asked of Fly and nothing was changed.</footer>
            </main>
            </body>
            </html>

            """
        return page.text
    }

    // MARK: - The top

    private var head: Markup {
        let fleet = Markup.join(groups.map { "<dd>\(RehearsalReport.describe($0))</dd>" as Markup })
        let isAll = faults == FaultKind.allCases
        let kinds = faults.isEmpty ? "none" : (isAll ? "all: " : "") + faults.map(\.rawValue).joined(separator: ", ")
        let end: Markup = seeds.wasInterrupted ? " <span class=\"tag warn\">interrupted</span>" : ""
        let asked = tally.runs == seeds.asked ? "" : " of \(Words.number(seeds.asked)) asked for"
        return """
            <h1>Rehearsal of \(pipeline)</h1>
            <p class="faint">\(app.rawValue), \(Words.seeds(tally.runs))\(asked)\(end)</p>
            <dl>
            <dt>Files</dt><dd><code>\(path)</code>, <code>\(flyToml)</code></dd>
            <dt>Fleet</dt><div>\(fleet)</div>
            <dt>Faults</dt><dd>\(kinds)</dd>
            </dl>

            """
    }

    private var tiles: Markup {
        let kept = tally.runs - tally.belowFloor.count
        let restore = tally.restores.median.map(Words.time) ?? "–"
        let violated: Markup =
            isKept
            ? "<b>0</b><span>invariants broken</span>"
            : "<b style=\"color:var(--bad)\">\(Words.number(tally.violatedRuns))</b><span>seeds broke one</span>"
        return """
            <div class="tiles">
            <div class="tile"><b>\(Words.percent(tally.count(.verified), of: tally.runs))</b>\
            <span>deployed and verified</span></div>
            <div class="tile"><b>\(Words.percent(kept, of: tally.runs))</b><span>kept the serving floor</span></div>
            <div class="tile"><b>\(restore)</b><span>median time to restore</span></div>
            <div class="tile">\(violated)</div>
            </div>

            """
    }

    private var alarm: Markup {
        guard !isKept else { return "" }
        let items = tally.violations.sorted { $0.key < $1.key }.map { name, violation -> Markup in
            let commands = violation.seeds.prefix(2).map { "<code class=\"command\">\(replay($0))</code>" as Markup }
            return """
                <p><b>\(name)</b> in \(Words.seeds(violation.runs)): \(violation.message)</p>
                \(Markup.join(commands))
                """
        }
        return """
            <h2>An invariant did not hold</h2>
            <div class="card alarm"><p>This is a defect of Airboss, not of the pipeline. Please report it with the
            version, the pipeline file, fly.toml and the output of one of these commands.</p>
            \(Markup.join(items))</div>

            """
    }

    // MARK: - Numbers

    private var outcomeSection: Markup {
        let parts = RunOutcome.allCases.filter { tally.count($0) > 0 }.map { outcome -> Markup in
            "<i class=\"\(outcome.rawValue)\" style=\"flex-grow:\(tally.count(outcome))\"></i>"
        }
        let rows = RunOutcome.allCases.map { outcome in
            Markup.row([
                "<span class=\"swatch \(outcome.rawValue)\"></span>\(Words.outcome(outcome))",
                "\(Words.number(tally.count(outcome)))", "\(Words.percent(tally.count(outcome), of: tally.runs))",
            ])
        }
        return """
            <h2>How the deploys ended</h2>
            <div class="card"><div class="stack">\(Markup.join(parts))</div>
            <table style="margin-top:.8rem">\(Markup.join(rows))</table></div>

            """
    }

    private var serviceSection: Markup {
        let kept = tally.runs - tally.belowFloor.count
        let rows: [(Markup, String)] = [
            ("Floor kept", Words.share(kept, of: tally.runs)),
            ("Fewest serving at any instant", fewest),
            ("Below the floor", RehearsalReport.times(tally.belowFloor)),
            ("Nothing served", RehearsalReport.times(tally.downtimes)),
            ("Trouble", Words.share(tally.troubledRuns, of: tally.runs)),
            ("Not restored at the end", Words.seeds(tally.unrestored)),
            ("Finished by another process", Words.seeds(tally.recoveredRuns)),
        ]
        let table = rows.map { "<tr><td>\($0)</td><td class=\"number\">\($1)</td></tr>\n" as Markup }
        return """
            <h2>Service</h2>
            <div class="card"><table>\(Markup.join(table))</table></div>
            <div class="pair" style="margin-top:.75rem">
            <div class="card"><b>Time to restore</b><p class="faint">\(RehearsalReport.times(tally.restores))</p>
            \(histogram(tally.restores))</div>
            <div class="card" style="margin-top:0"><b>A deploy takes</b>\
            <p class="faint">\(RehearsalReport.times(tally.durations))</p>\(histogram(tally.durations))</div>
            </div>

            """
    }

    private func histogram(_ digest: DurationDigest) -> Markup {
        guard let longest = digest.longest, digest.count > 0 else { return "" }
        let counts = digest.histogram(bins: RehearsalReport.bins)
        let highest = max(1, counts.max() ?? 1)
        let bars = counts.enumerated().filter { $0.element > 0 }.map { index, count -> Markup in
            // Something is never drawn as nothing.
            let height = max(2, count * 96 / highest)
            return "<rect x=\"\(index * 10)\" y=\"\(96 - height)\" width=\"9\" height=\"\(height)\"></rect>"
        }
        return """
            <svg viewBox="0 0 \(RehearsalReport.bins * 10) 96" preserveAspectRatio="none" role="img" \
            aria-label="how many seeds took how long">\(Markup.join(bars))</svg>
            <div class="axis"><span>0</span><span>\(Words.time(longest))</span></div>
            """
    }

    private var faultSection: Markup {
        let met = FaultKind.allCases.compactMap { kind in tally.faults[kind].map { (kind, $0) } }
        guard !met.isEmpty else { return "" }
        let head = Markup.row(
            ["Fault", "Seeds", "Verified", "Rolled back", "Needs a person", "Other", "Below floor", "Down"], tag: "th")
        let rows = met.map { kind, hit -> Markup in
            let (verified, back, stuck) = (
                hit.outcomes[.verified, default: 0], hit.outcomes[.rolledBack, default: 0],
                hit.outcomes[.needsHuman, default: 0]
            )
            let counts = [
                hit.runs, verified, back, stuck, hit.runs - verified - back - stuck, hit.runsBelowFloor, hit.runsDown,
            ]
            return Markup.row(
                ["<code>\(kind.rawValue)</code> <span class=\"faint\">\(kind.summary)</span>"]
                    + counts.map { "\(Words.number($0))" as Markup })
        }
        return """
            <h2>What each fault did</h2>
            <div class="card wide"><table>\(head)\(Markup.join(rows))</table></div>

            """
    }

    private var endingSection: Markup {
        let endings = tally.endingsByCount.filter { $0.ending.outcome != .verified }
        guard !endings.isEmpty else { return "" }
        let rows = endings.map { ending, tally -> Markup in
            """
            <tr><td class="number">\(Words.number(tally.runs))</td>\
            <td style="white-space:nowrap"><span class="swatch \(ending.outcome.rawValue)"></span>\
            \(Words.outcome(ending.outcome))</td><td class="wide">\(Words.brief(tally.headline))</td>\
            <td class="number faint">\(tally.seed)</td></tr>

            """
        }
        return """
            <h2>Why others did not end verified</h2>
            <div class="card wide"><table><tr><th class="number">Seeds</th><th>Outcome</th><th>Because</th>\
            <th class="number">For instance</th></tr>
            \(Markup.join(rows))</table></div>

            """
    }

    // MARK: - Stories and advice

    private var storySection: Markup {
        guard !stories.isEmpty else { return "" }
        let cards = stories.map { story -> Markup in
            """
            <div class="card"><p><b>Seed \(story.run.seed)</b> <span class="swatch \(story.run.outcome.rawValue)" \
            style="margin:0 .3rem 0 .6rem"></span>\(Words.outcome(story.run.outcome))\
            <span class="faint">\(RehearsalReport.cost(of: story.run))</span></p>
            <ol class="story">\(Markup.join(Timeline(story.trace).entries.map(RehearsalReport.item)))</ol>
            <p>In the end: \(Words.brief(story.run.headline))</p>
            <code class="command">\(replay(story.run.seed))</code></div>

            """
        }
        return "<h2>The worst stories</h2>\n\(Markup.join(cards))"
    }

    private static func item(_ entry: Timeline.Entry) -> Markup {
        guard let kind = entry.kind else {
            return "<li><span class=\"clock\">⋮</span><span class=\"faint\">\(entry.text)</span></li>\n"
        }
        let who = entry.actor.isEmpty ? "" : entry.actor + ": "
        let mark = kind == .fault ? "⚡ " : kind == .violation ? "✗ " : ""
        return """
            <li><span class="clock">\(Words.clock(entry.at))</span>\
            <span class="\(kind.rawValue)">\(mark)\(who)\(Words.brief(entry.text))</span></li>

            """
    }

    private var adviceSection: Markup {
        let cards = advice.map { item -> Markup in
            let (tag, word): (String, String) =
                switch item.weight {
                case .blocks: ("bad", "blocks every deploy")
                case .risk: ("warn", "risk")
                case .note: ("calm", "note")
                }
            let seen: Markup = item.evidence.isEmpty ? "" : "<p class=\"faint\">Rehearsed: \(item.evidence).</p>"
            return """
                <div class="card"><p><span class="tag \(tag)">\(word)</span> <code>\("\(item.location)")</code></p>
                <p>\(item.message).</p>\(seen)<p><b>Do:</b> \(item.suggestion).</p></div>

                """
        }
        let none: Markup = """
            <div class="card"><p><span class="tag good">nothing</span> Floor, times, checks and rollback fit each
            other, as far as Airboss knows.</p></div>

            """
        return "<h2>What in the pipeline made them</h2>\n\(advice.isEmpty ? none : Markup.join(cards))"
    }
}
