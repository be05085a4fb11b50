// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Windows

@Suite struct `Planned maintenance` {
    private static let run = RunID("01K0000000000000000000000A")
    private static let other = RunID("01K0000000000000000000000B")

    private static func window(
        from: String = "2026-11-28T22:00:00Z", to: String = "2026-11-28T23:30:00Z",
        announced: String = "2026-11-27T20:00:00Z"
    ) throws -> MaintenanceWindow {
        MaintenanceWindow(
            id: RunID("01K0000000000000000000000M"), from: try instant(from), to: try instant(to),
            reason: "New database", announcedAt: try instant(announced), announcedBy: "grace")
    }

    private static let events: [(name: String, event: Maintenance.Event)] = [
        ("began", .began(run: other)), ("good", .ended(run: run, isHealthy: true)),
        ("bad", .ended(run: run, isHealthy: false)), ("late", .ended(run: other, isHealthy: true)),
        ("close", .close), ("withdraw", .withdraw), ("over", .timeOver),
    ]
    private static let ways: [String: [Maintenance.Event]] = [
        "announced": [], "executing": [.began(run: run)],
        "smoked": [.began(run: run), .ended(run: run, isHealthy: true)],
        "failed": [.began(run: run), .ended(run: run, isHealthy: false)],
        "closed": [.began(run: run), .ended(run: run, isHealthy: true), .close], "withdrawn": [.withdraw],
        "lapsed": [.timeOver],
    ]
    /// Every state and every event: the state that follows, or `!` where the event can't come.
    private static let table = [
        "announced: began executing, good !, bad !, late !, close !, withdraw withdrawn, over lapsed",
        "executing: began executing, good smoked, bad failed, late executing, close !, withdraw !, over executing",
        "smoked: began executing, good smoked, bad smoked, late smoked, close closed, withdraw !, over closed",
        "failed: began executing, good failed, bad failed, late failed, close !, withdraw !, over failed",
        "closed: began !, good !, bad !, late !, close !, withdraw !, over closed",
        "withdrawn: began !, good !, bad !, late !, close !, withdraw !, over withdrawn",
        "lapsed: began !, good !, bad !, late !, close !, withdraw !, over lapsed",
    ]

    @Test func `every state and every event`() throws {
        #expect(Self.table.count == Self.ways.count)
        for line in Self.table {
            let parts = line.split(separator: ": ").map(String.init)
            let steps = try #require(Self.ways[parts[0]])
            let rows = parts[1].split(separator: ", ").map { $0.split(separator: " ").map(String.init) }
            #expect(rows.map { $0[0] } == Self.events.map(\.name))
            for (row, (_, event)) in zip(rows, Self.events) {
                var maintenance = Maintenance(try Self.window())
                let time = try instant("2026-11-28T22:30:00Z")
                for step in steps { try maintenance.apply(step, at: time) }
                #expect(maintenance.state.name == parts[0])
                let before = maintenance
                if row[1] == "!" {
                    #expect(throws: IllegalEvent.self, "\(line)") { try maintenance.apply(event, at: time) }
                    #expect(maintenance == before)
                } else {
                    try maintenance.apply(event, at: time)
                    #expect(maintenance.state.name == row[1], "\(parts[0]) \(row[0])")
                }
            }
        }
    }

    @Test func `it opens what everything else closes, from its beginning to its end`() throws {
        var window = try DeploymentWindow(
            timeZone: "UTC", open: ["Mon-Fri 09:00-17:00"],
            closed: [ClosedPeriod(from: "2026-11-28", to: "2026-11-29", reason: "Freeze")], holidays: ["us-federal"])
        window.maintenance = [try Self.window()]
        let rule = "maintenance: New database (announced 2026-11-27T20:00:00Z by grace)"
        let before = window.decide(at: try instant("2026-11-28T21:59:59.999Z"), rules: .utc)
        #expect(before.rule == "closed: Freeze" && before.nextOpen?.description == "2026-11-28T22:00:00Z")
        let within = window.decide(at: try instant("2026-11-28T22:00:00Z"), rules: .utc)
        #expect(within.isOpen && within.rule == rule && within.kind == .maintenance)
        #expect(within.closes?.description == "2026-11-28T23:30:00Z")
        #expect(!window.decide(at: try instant("2026-11-28T23:30:00Z"), rules: .utc).isOpen)
        // Where it is open anyway, the open hours are the rule.
        window.maintenance = [try Self.window(from: "2026-11-30T16:00:00Z", to: "2026-11-30T18:00:00Z")]
        let open = window.decide(at: try instant("2026-11-30T16:30:00Z"), rules: .utc)
        #expect(open.kind == .openHours && open.closes?.description == "2026-11-30T18:00:00Z")
        #expect(
            window.rulesHolding(at: open.at, rules: .utc).map(\.kind) == [.openHours, .maintenance])
    }

    @Test(arguments: [
        ("2026-11-27T22:00:00Z", nil),  // 24 hours to the second
        ("2026-11-27T22:00:00.001Z", "24 h before it begins; this would be 23 h 59 m"),
        ("2026-11-28T22:00:01Z", "begin in the past"),
    ])
    func `notice is counted to the millisecond`(announced: String, says: String?) throws {
        let window = try Self.window(announced: announced)
        guard let says else { return try window.validate(MaintenancePolicy(), rules: .utc) }
        let error = try #require(throws: WindowError.self) { try window.validate(MaintenancePolicy(), rules: .utc) }
        #expect(error.code == .maintenanceRefused && error.message.contains(says), "\(error)")
        // What the hint offers is early enough.
        let offered = try #require(error.hint.firstMatch(of: /--from (\S+)/)).output.1
        let better = try Self.window(from: String(offered), to: "2026-11-30T00:00:00Z", announced: announced)
        #expect(better.notice >= MaintenancePolicy().notice)
    }

    @Test func `one that ends before it begins, or lasts too long`() throws {
        let policy = MaintenancePolicy()
        #expect(throws: WindowError.self) {
            try Self.window(to: "2026-11-28T22:00:00Z").validate(policy, rules: .utc)
        }
        #expect(throws: WindowError.self) {
            try Self.window(to: "2026-11-29T06:00:01Z").validate(policy, rules: .utc)
        }
        try Self.window(to: "2026-11-29T06:00:00Z").validate(policy, rules: .utc)
    }

    @Test func `what was closed or withdrawn opens nothing more`() throws {
        let time = try instant("2026-11-28T22:45:00Z")
        var closed = Maintenance(try Self.window())
        for event in try #require(Self.ways["closed"]) { try closed.apply(event, at: time) }
        #expect(closed.opens?.to == time && closed.opens?.from == closed.window.from)
        var withdrawn = Maintenance(try Self.window())
        try withdrawn.apply(.withdraw, at: time)
        #expect(withdrawn.opens == nil)
        #expect(Maintenance(try Self.window()).opens == (try Self.window()))
    }
}
