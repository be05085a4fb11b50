// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

/// The real program over HTTP, killed and disturbed. `Benchmarks/RealKills` does all of it; here is a part.
@Suite("Kills of the real program", .enabled(if: Harness.canRun))
struct RealKillTests {
    /// Singles of every scenario, warm and cold, and some that are killed again while they recover. Most of the time
    /// goes by waiting for the leases of the dead, which a dozen can do at once.
    @Test("kill -9 at some requests of a run: recover leaves one fleet, no lease, nothing open")
    func sampled() async throws {
        let report = try await Harness.run(
            "real_kills.py", ["--sample", "20", "--pairs", "4", "--seed", "11", "--jobs", "12"])
        print(report.output)
        let kills = report.json["kills"]?.array ?? []
        #expect(report.status == 0, "\(report.output)")
        #expect(kills.count == 24)
        #expect(report.json["violating_kills"] == 0)
        // A kill that comes too late kills nothing; most must not.
        #expect(kills.filter { $0["reached"]?.bool ?? false }.count > kills.count / 2)
    }

    /// The cases that need no minute; the others are the harness's own.
    static let cases = [
        "sigint", "sigint_twice", "sigterm", "sighup", "runner_cancelled", "terminal_closed", "disk_full",
        "journal_locked", "clock_forwards", "clock_backwards",
    ]

    @Test("what happens to programs in mid-rollout ends as promised")
    func outcomes() async throws {
        // A machine that runs other tests as well may take longer than a cancelled job would be given.
        let report = try await Harness.run(
            "defined_outcomes.py", Self.cases.flatMap { ["--case", $0] } + ["--within", "20"])
        print(report.output)
        let results = report.json["cases"]?.array ?? []
        #expect(results.compactMap { $0["case"]?.string } == Self.cases)
        for result in results {
            let name = result["case"]?.string ?? ""
            #expect(result["violations"]?.array == [], "\(name): \(result)")
            if let reason = result["skipped"]?.string { print("skipped: \(name): \(reason)") }
        }
    }
}
