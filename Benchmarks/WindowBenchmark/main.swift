// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Glibc
internal import Model
internal import Windows

/// Decides about every minute of a month, as often as asked, and about single instants.
///
/// usage: window-benchmark [ROUNDS]
guard let rounds = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) : 21, rounds > 0 else {
    print("usage: window-benchmark [ROUNDS]")
    exit(64)
}
let database = TimeZoneDatabase()
let rules = try database.rules(for: "America/Los_Angeles")
let newYork = try database.rules(for: "America/New_York")
var window = try DeploymentWindow(
    timeZone: "America/Los_Angeles", open: ["Mon-Fri 09:00-17:00", "Sat 10:00-12:00", "2nd Tue 22:00-02:00"],
    closed: [
        ClosedPeriod(from: "2026-12-24", to: "2027-01-02", reason: "Holidays"),
        ClosedPeriod(from: "11-25", to: "12-02", reason: "Thanksgiving week"),
        ClosedPeriod(every: "Fri 15:00-24:00", reason: "Weekend is near"),
        ClosedPeriod(kind: .highTraffic(name: "Lunch"), every: "Mon-Fri 12:00-13:30", zone: newYork),
    ], holidays: ["us-federal", "2026-11-24 Team day"])
let from = try rules.instant(parsing: "2026-11-01")
let to = try rules.instant(parsing: "2026-12-01")
window.maintenance = [
    MaintenanceWindow(
        id: RunID("01K0000000000000000000000M"), from: from + .seconds(500_000), to: from + .seconds(510_000),
        reason: "New database", announcedAt: from, announcedBy: "benchmark")
]

func milliseconds(_ duration: Duration) -> String {
    String(Double(Int(duration.inSeconds * 1_000_000)) / 1000)
}

var times: [Duration] = []
var minutes = 0
var openMinutes = 0
for _ in 0..<rounds {
    (minutes, openMinutes) = (0, 0)
    let began = ContinuousClock.now
    for decision in window.decisions(from: from, to: to, every: .seconds(60), rules: rules) {
        minutes += 1
        if decision.isOpen { openMinutes += 1 }
    }
    times.append(ContinuousClock.now - began)
}
times.sort()

// November 2026 has the hour that comes twice.
precondition(minutes == 30 * 1440 + 60, "a minute was left out: \(minutes)")
var single: [Duration] = []
for number in 0..<1000 {
    let at = from + .seconds(number * 2593)
    let began = ContinuousClock.now
    _ = window.decide(at: at, rules: rules)
    single.append(ContinuousClock.now - began)
}
single.sort()

print("minutes of the month: \(minutes), open: \(openMinutes)")
print(
    "every minute's decision, \(rounds) rounds: median \(milliseconds(times[rounds / 2])) ms, "
        + "\(milliseconds(times[0])) to \(milliseconds(times[rounds - 1])) ms")
print("one decision by itself: median \(milliseconds(single[500])) ms, p99 \(milliseconds(single[990])) ms")
