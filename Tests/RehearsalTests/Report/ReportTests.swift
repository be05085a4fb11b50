// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Rehearsal
import Testing

/// The report in its three forms.
@Suite struct ReportTests {
    static let trace: [TraceLine] = [
        TraceLine(at: .zero, kind: .note, actor: "run", text: "pre-validation begins"),
        TraceLine(at: .milliseconds(40), kind: .call, actor: "run", text: "machines"),
        TraceLine(at: .seconds(4), kind: .fault, text: "the host of machine 2 is away"),
        TraceLine(at: .seconds(5), kind: .world, text: "machine 1 started"),
        TraceLine(at: .seconds(6), kind: .note, actor: "run", text: "health: answered <503>"),
        TraceLine(at: .seconds(7), kind: .violation, text: "0 serving, the floor is 1"),
    ]

    private func report(_ runs: [RehearsedRun]? = nil, wasInterrupted: Bool = false) throws -> RehearsalReport {
        let stuck = RehearsedRun.stuck(7)
        let broken = RehearsedRun.sample(9) { $0.violations = [Violation("serving-floor", "0 < 1", at: .seconds(7))] }
        let restored = RehearsedRun.sample(3) { run in
            run.outcome = .rolledBack
            run.headline = "Rolled back to v71: health: answered 503"
            run.timeToRestore = .seconds(75)
        }
        return try RehearsedFiles().report(
            runs ?? [.sample(1), .sample(2), restored, stuck, broken],
            stories: [RehearsedStory(run: stuck, trace: ReportTests.trace)], wasInterrupted: wasInterrupted)
    }

    @Test func `the text tells outcomes, service, stories and what to do`() throws {
        let text = try report().text(usesColor: false)
        #expect(text.contains("Rehearsal of shop (shop): 5 seeds in 1.2 s"))
        #expect(text.contains("app: 3 machines, floor 1, 1 away at a time"))
        #expect(text.contains("an invariant did not hold in 1 of 5 seeds (20 %)"))
        #expect(text.contains("verified               3"))
        #expect(
            text.contains("time to restore  median 1 m 15 s, p95 1 m 15 s, worst 1 m 15 s (1 seed); not restored in 1"))
        #expect(text.contains("host-down"))
        #expect(text.contains("0:04.000 ⚡ the host of machine 2 is away"))
        #expect(text.contains("airboss rehearse shop --seed 7"))
        #expect(text.contains("What in the pipeline made them"))
        #expect(!text.contains("\u{1B}"))
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 130 })
    }

    @Test func `colour is only where it is wanted, and no word is lost to it`() throws {
        let report = try report()
        let painted = report.text(usesColor: true)
        #expect(painted.contains("\u{1B}[31m"))
        #expect(painted.replacing(/\u{1B}\[[0-9]+m/, with: "") == report.text(usesColor: false))
    }

    @Test func `a rehearsal cut short says so`() throws {
        let report = try report([.sample(1)], wasInterrupted: true)
        #expect(report.text(usesColor: false).contains("1 of 2 seeds in 1.2 s, interrupted"))
        #expect(report.html.contains(">interrupted<"))
        #expect(report.json["seeds"]?["interrupted"] == true)
        let nothing = try RehearsedFiles().report([], wasInterrupted: true)
        #expect(nothing.text(usesColor: false).contains("nothing was run"))
        #expect(nothing.html.contains("</html>"))
    }

    @Test func `the document has all that the text has`() throws {
        let json = try report().json
        #expect(json["schema"] == 1)
        #expect(json["kept"] == false)
        #expect(json["outcomes"]?["verified"] == 3)
        #expect(json["outcomes"]?["unavailable"] == 0)
        #expect(json["restore_ms"]?["median"] == 75_000)
        #expect(json["restore_ms"]?["unrestored"] == 1)
        #expect(json["serving"]?["fewest"] == 0)
        #expect(json["serving"]?["below_floor_ms"]?["seeds"] == 1)
        #expect(json["violations"]?[0]?["examples"] == [9])
        #expect(json["worst"]?[0]?["replay"] == "airboss rehearse shop --seed 7")
        #expect(json["worst"]?[0]?["story"]?[1]?["kind"] == "fault")
        #expect(json["faults"]?.array?.count == FaultKind.allCases.count)
        #expect(try JSONValue(parsing: json.text()) == json)
    }

    @Test func `the page stands alone and escapes what it was told`() throws {
        let page = try report().html
        #expect(page.hasPrefix("<!DOCTYPE html>"))
        #expect(page.contains("&lt;exited&gt;"))
        #expect(page.contains("&lt;503&gt;"))
        #expect(!page.contains("<exited>"))
        for outside in ["http://", "https://", "src=", "href=", "<script", "@import", "url("] {
            #expect(!page.contains(outside), "\(outside)")
        }
        #expect(page.contains("prefers-color-scheme: dark"))
        for tag in ["main", "div", "table", "ol", "li", "p", "tr", "td", "span", "code", "svg", "dl"] {
            let opened = page.matches(of: try Regex("<\(tag)[ >]")).count
            let closed = page.matches(of: try Regex("</\(tag)>")).count
            #expect(opened == closed, "\(tag)")
        }
    }

    @Test func `names with markup or control characters stay words`() throws {
        let files = try RehearsedFiles()
        let run = RehearsedRun.sample(1) {
            $0.outcome = .needsHuman
            $0.headline = "<img src=x onerror=\"alert('1')\">&\u{1B}[31m\u{7}"
        }
        let report = files.report([run], stories: [RehearsedStory(run: run, trace: [])])
        #expect(report.html.contains("&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp; [31m "))
        #expect(!report.text(usesColor: false).contains("\u{1B}"))
    }

    // MARK: - Stories

    @Test func `a story leaves calls to the whole trace and says what it leaves out`() {
        let timeline = Timeline(ReportTests.trace)
        #expect(
            timeline.entries.map(\.text) == [
                "pre-validation begins", "the host of machine 2 is away", "health: answered <503>",
                "0 serving, the floor is 1",
            ])
        let letters = (0..<60).map { number in
            String(number).map { String("abcdefghij"[Int(String($0)) ?? 0]) }.joined()
        }
        let long = letters.enumerated().map { TraceLine(at: .seconds($0), kind: .note, actor: "run", text: $1) }
        let short = Timeline(long, maxLines: 10).entries
        #expect(short.count == 11)
        #expect(short[5].kind == nil)
        #expect(short[5].text == "50 more lines")
        #expect(short.first?.text == letters.first && short.last?.text == letters.last)
    }

    @Test func `what decided a story is told before what merely happened`() {
        let lines = (0..<90).map { number -> TraceLine in
            let word = String(number).map { String("abcdefghij"[Int(String($0)) ?? 0]) }.joined()
            switch number {
            case 40: return TraceLine(at: .seconds(number), kind: .fault, text: "the host is away")
            case 41: return TraceLine(at: .seconds(number), kind: .note, actor: "run", text: "deploy failed: \(word)")
            case 89: return TraceLine(at: .seconds(number), kind: .note, actor: "run", text: "ends: rolled_back (10)")
            default: return TraceLine(at: .seconds(number), kind: .note, actor: "run", text: "note \(word)")
            }
        }
        let texts = Timeline(lines, maxLines: 8).entries.map(\.text)
        #expect(texts.contains("the host is away"))
        #expect(texts.contains { $0.hasPrefix("deploy failed") })
        #expect(texts.last == "ends: rolled_back (10)")
        #expect(Timeline(lines, maxLines: 8).entries.count { $0.kind != nil } == 8)
    }

    @Test func `of lines that repeat themselves the first is told`() {
        let lines = (1...9).map { number in
            TraceLine(at: .seconds(number), kind: .note, actor: "run", text: "health: answered 503 (\(number) of 9)")
        }
        #expect(Timeline(lines).entries.map(\.text) == ["health: answered 503 (1 of 9)"])
    }

    @Test func `only bad stories are worth telling`() {
        var tally = RehearsalTally()
        tally.add(.sample(1))
        #expect(RehearsalReport.worthTelling(tally).isEmpty)
        tally.add(.stuck(2))
        #expect(RehearsalReport.worthTelling(tally).map(\.seed) == [2])
    }

    // MARK: - Words

    @Test func `numbers and times read well`() {
        #expect(Words.number(0) == "0")
        #expect(Words.number(999) == "999")
        #expect(Words.number(1_000_000) == "1,000,000")
        #expect(Words.percent(0, of: 10) == "0 %")
        #expect(Words.percent(1, of: 3) == "33.3 %")
        #expect(Words.percent(1, of: 1_000_000) == "below 0.1 %")
        #expect(Words.percent(999_999, of: 1_000_000) == "above 99.9 %")
        #expect(Words.percent(7, of: 7) == "100 %")
        #expect(Words.time(.milliseconds(450)) == "450 ms")
        #expect(Words.time(.milliseconds(12_340)) == "12.3 s")
        #expect(Words.time(.seconds(65)) == "1 m 05 s")
        #expect(Words.time(.seconds(7380)) == "2 h 03 m")
        #expect(Words.fileTime(.seconds(90)) == "1m30s")
        #expect(Words.clock(.milliseconds(751_007)) == "12:31.007")
    }
}

private extension String {
    subscript(index: Int) -> Character { self[self.index(startIndex, offsetBy: index)] }
}
