// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Rollouts
import Testing

private let start = Timestamp(secondsSinceEpoch: 1_795_435_200)

private func key(_ run: String) -> String { Bookkeeping.ticketPrefix + run }

/// A line with a run of its own, and what the others have written.
private struct Bench {
    var line: WaitingLine
    var others: [String: String] = [:]
    var now = start

    init(_ run: RunID = "M", listed: [String: String] = [:]) {
        line = WaitingLine(run: run, who: "ada", since: start, listed: listed)
    }

    mutating func look(_ changes: [String: String?] = [:]) {
        for (run, text) in changes { others[key(run)] = text }
        now = now + .seconds(5)
        line.look(others, at: now)
    }
}

@Suite struct WaitingLineTests {
    @Test(arguments: [
        ("1 1 0 ada", true), ("1000000000 7 691200 a.b@c-d_e+f", true), ("0 1 0 ada", false),
        ("1000000001 1 0 ada", false),
        ("-1 1 0 ada", false), ("1 -1 0 ada", false), ("1 1 -5 ada", false), ("1 1 691201 ada", false), ("", false),
        ("1 1 0", false), ("1 1 0 ada ben", false), ("1  1 0 ada", false), ("1 1 0 \u{1b}[31m", false),
        ("99999999999999999999 1 0 ada", false), ("1 1 0 " + String(repeating: "a", count: 41), false),
        ("1 1 0 " + String(repeating: "a", count: 200), false), ("eins 1 0 ada", false), ("1 1 0 ", false),
    ])
    func `what is a ticket, and what is none`(_ text: String, _ isTicket: Bool) {
        let ticket = WaitingLine.Ticket(text)
        #expect((ticket != nil) == isTicket)
        if let ticket { #expect(ticket.description == text) }
    }

    @Test func `who a run is by is written so that it can be read again`() {
        for who in ["", "Ada Lovelace", "bot[bot]", "\u{1b}[31mred", String(repeating: "x", count: 300)] {
            let ticket = WaitingLine.Ticket(place: 1, beat: 1, waited: 0, who: who)
            #expect(WaitingLine.Ticket(ticket.description) == ticket)
        }
    }

    @Test func `a run stands behind all that it saw when it came, whatever their clocks and names are`() {
        var bench = Bench("A")
        bench.look(["Z": "3 1 10 zoe", "Y": "7 1 20 yan"])
        #expect(bench.line.ahead.map(\.run) == ["Z", "Y"])
        #expect(bench.line.renew(at: bench.now).place == 8)
        #expect(bench.line.ahead.map(\.run) == ["Z", "Y"])
        bench.look(["X": "9 1 0 xue"])
        #expect(bench.line.ahead.map(\.run) == ["Z", "Y"])
        #expect(bench.line.aheadText == "2 runs before this one: run Z by zoe, run Y by yan")
    }

    @Test func `of the same place the lesser run comes first, for both`() {
        var (left, right) = (Bench("A"), Bench("B"))
        let tickets = (left.line.renew(at: start).description, right.line.renew(at: start).description)
        left.look(["B": tickets.1])
        right.look(["A": tickets.0])
        #expect(left.line.ahead.isEmpty)
        #expect(right.line.ahead.map(\.run) == ["A"])
    }

    @Test func `a ticket that is not renewed is overtaken after four looks, and counts again once it is`() {
        var bench = Bench()
        for look in 0...WaitingLine.looksOfTheDead {
            bench.look(["A": "1 5 60 ada"])
            #expect(bench.line.ahead.isEmpty == (look == WaitingLine.looksOfTheDead), "look \(look)")
            #expect(!bench.line.isAheadLiving)
        }
        #expect(bench.line.dead == [key("A")])
        bench.look(["A": "1 6 90 ada"])
        #expect(bench.line.ahead.map(\.run) == ["A"])
        #expect(bench.line.dead.isEmpty)
    }

    @Test func `one that is renewed twice lives; one renewal may have been on its way`() {
        var bench = Bench()
        for (beat, isLiving) in [(1, false), (2, false), (3, true)] {
            bench.look(["A": "1 \(beat) 0 ada"])
            #expect(bench.line.isAheadLiving == isLiving, "beat \(beat)")
        }
    }

    @Test func `a ticket that is away for one look, after an update of the machine, keeps its place`() {
        var bench = Bench()
        bench.look(["A": "1 1 0 ada"])
        bench.look(["A": nil])
        #expect(bench.line.ahead.map(\.run) == ["A"])
        bench.look(["A": "1 3 10 ada"])
        #expect(bench.line.ahead.map(\.run) == ["A"])
        bench.look(["A": nil])
        bench.look()
        #expect(bench.line.ahead.isEmpty && bench.line.dead.isEmpty)
    }

    @Test func `two updates one after the other take nobody's place, for one's own ticket is away as well`() {
        var bench = Bench()
        bench.look(["A": "1 1 0 ada"])
        // The first of them counts for nothing.
        let looks = WaitingLine.looksOfTheDead + 1
        for look in 1...looks {
            _ = bench.line.renew(at: bench.now)
            bench.look(["A": nil])
            #expect(bench.line.ahead.isEmpty == (look == looks), "look \(look)")
        }
        bench.look(["B": "1 1 0 ben"])
        for look in 1...2 {
            bench.look(["B": nil, "M": bench.line.renew(at: bench.now).description])
            #expect(bench.line.ahead.isEmpty == (look == 2), "who is missing beside it has left")
        }
    }

    @Test func `who writes seldom keeps its place through an update`() {
        var bench = Bench()
        bench.look(["A": "1 1 0 ada"])
        func own() -> String { bench.line.renew(at: bench.now).description }
        bench.look(["A": "1 1 0 ada", "M": own()])
        _ = own()
        bench.look(["A": nil, "M": nil])
        bench.look(["M": own()])
        #expect(bench.line.ahead.map(\.run) == ["A"])
        bench.look(["A": "1 2 20 ada", "M": own()])
        #expect(bench.line.ahead.map(\.run) == ["A"])
    }

    @Test func `one that an old list showed, and that is gone, keeps nobody waiting`() {
        var bench = Bench(listed: [key("A"): "1 1 0 ada", key("M"): "1 1 0 itself", "fly_release_id": "rel"])
        #expect(bench.line.ahead.map(\.run) == ["A"])
        bench.look()
        #expect(bench.line.isEmpty)
    }

    @Test func `who has waited longer comes first, also where its ticket was away when the other came`() {
        var bench = Bench()
        bench.look()
        #expect(bench.line.renew(at: bench.now).place == 1)
        // Written again: with the place that it had, and a longer wait than this run's 10 s.
        bench.look(["A": "3 9 60 ada", "Z": "2 1 2 zoe"])
        #expect(bench.line.ahead.isEmpty, "once seen is not yet known to live")
        bench.look(["A": "3 10 65 ada", "Z": "2 2 7 zoe"])
        #expect(bench.line.place == 4)
        #expect(bench.line.ahead.map(\.run) == ["Z", "A"], "and whoever came later gives way in its turn")
    }

    @Test func `what can't be read has no place, and is taken away once it stands still`() {
        var bench = Bench()
        for _ in 0...WaitingLine.looksOfTheDead { bench.look(["A": "garbage \u{1b}[2J", "fly": "1 1 0 x"]) }
        #expect(bench.line.ahead.map(\.run) == [])
        #expect(bench.line.dead == [key("A"), key("fly")])
        bench.look(["A": "other garbage"])
        #expect(bench.line.dead == [key("fly")])
    }

    @Test func `keys that are none of ours, or no run's, are not minded and not taken away`() {
        var bench = Bench()
        for _ in 0...9 {
            bench.others = [
                "fly_process_group": "app", "airboss_run": "1 1 0 x", key(""): "1 1 0 x", key("a/../b"): "1 1 0 x",
                key(String(repeating: "A", count: 41)): "1 1 0 x",
            ]
            bench.look()
        }
        #expect(bench.line.isEmpty && bench.line.dead.isEmpty)
    }

    @Test func `more tickets than anybody writes are not kept in mind`() {
        var bench = Bench()
        for number in 0..<500 { bench.others[key("R\(number)")] = "1 1 0 x" }
        bench.look()
        #expect(bench.line.ahead.count == WaitingLine.maxTickets)
        bench.others = [key("Z"): "\(WaitingLine.maxPlace) 1 0 x"]
        for _ in 0...2 { bench.look() }
        #expect(bench.line.renew(at: bench.now).place == WaitingLine.maxPlace)
    }

    @Test func `looks that fail let nobody be waited for for ever`() {
        var bench = Bench()
        bench.look(["A": "1 1 0 ada"])
        for _ in 0..<WaitingLine.looksOfTheDead { bench.line.lookFailed() }
        #expect(bench.line.ahead.isEmpty)
    }

    @Test func `the wait that a ticket tells of does not hang on a clock that runs backwards or jumps`() {
        var bench = Bench()
        #expect(bench.line.renew(at: start - .seconds(3600)).waited == 0)
        #expect(bench.line.renew(at: start + .seconds(90 * 24 * 3600)).waited == WaitingLine.maxWaitedSeconds)
    }
}
