// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// One seed told in full, with the smallest part of it that shows the same where an invariant did not hold.
package struct ReplayReport: Hashable, Codable, Sendable {
    /// What was played: a pipeline, or a built-in scenario.
    package var name: String
    /// The command that shows it again.
    package var command: String
    package var story: RehearsedStory
    /// The story of what is left of the seed's disturbances when all that is not needed is taken away; nil where every
    /// invariant held.
    package var shrunk: RehearsedStory?

    package init(name: String, command: String, story: RehearsedStory, shrunk: RehearsedStory?) {
        self.name = name
        self.command = command
        self.story = story
        self.shrunk = shrunk
    }

    /// The whole trace for people; with calls and with what the platform did by itself.
    package func text(usesColor: Bool) -> String {
        var page = ReportText(usesColor: usesColor)
        let run = story.run
        page.line(page.paint("Seed \(run.seed) of \(name)", .strong))
        page.line()
        facts(run, on: &page)
        page.heading("What happened")
        for line in story.trace {
            RehearsalReport.line(at: line.at, kind: line.kind, actor: line.actor, text: line.text, on: &page)
        }
        if let shrunk {
            page.heading("The same with no more than it takes")
            page.line(
                "  \(shrunk.run.faults.count) of \(run.faults.count) faults, \(shrunk.run.steps) of \(run.steps) steps")
            page.line()
            for line in shrunk.trace {
                RehearsalReport.line(at: line.at, kind: line.kind, actor: line.actor, text: line.text, on: &page)
            }
        }
        guard !run.violations.isEmpty else { return page.text }
        page.line()
        page.paragraph(
            "An invariant did not hold: a defect of Airboss, not of your pipeline. Please report it with this text, "
                + "the version (airboss --version), the pipeline file and fly.toml.", indent: "  ", .red)
        return page.text
    }

    private func facts(_ run: RehearsedRun, on page: inout ReportText) {
        page.line(
            "  ended     " + page.paint(Words.outcome(run.outcome), .init(run.outcome))
                + " (exit code \(run.exitCode)) after \(Words.time(run.duration))"
                + RehearsalReport.cost(of: run))
        page.paragraph(Words.brief(run.headline), indent: "            ")
        page.line("  served    at least \(run.minServing), the floor is \(run.floor)")
        page.line("  work      \(Words.number(run.apiCalls)) calls of the platform's API, \(run.recoveries) recoveries")
        let kinds = FaultKind.allCases.filter { kind in run.faults.contains { $0.kind == kind } }
        page.line("  faults    " + (kinds.isEmpty ? "none" : kinds.map(\.rawValue).joined(separator: ", ")))
        for violation in run.violations {
            page.line(
                "  " + page.paint("✗ \(violation.name)", .red) + " at \(Words.clock(violation.at)): "
                    + ReportText.plain(violation.message))
        }
    }

    /// The document of one seed.
    package var json: JSONValue {
        var json = story.run.json
        json["schema"] = .integer(Int64(RehearsalReport.schema))
        json["pipeline"] = .string(name)
        json["replay"] = .string(command)
        json["trace"] = .array(story.trace.map(ReportJSON.line))
        json["shrunk"] =
            shrunk.map { shrunk in
                ["run": shrunk.run.json, "trace": .array(shrunk.trace.map(ReportJSON.line))]
            } ?? .null
        return json
    }
}
