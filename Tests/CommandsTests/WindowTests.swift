// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import PipelineFiles
import Testing

@testable import Commands

/// The deployment window as the program shows it, and maintenance from its announcement to its close.
@Suite("The deployment window", .serialized, .workshop(.model))
struct WindowTests {
    /// The workshop's pipeline with a window.
    private static func write(_ workshop: Workshop, _ window: String) throws {
        try workshop.write("pipelines/bad.yml", workshop.pipeline() + "window:\n" + window)
    }

    /// A weekday on which nobody runs these tests: three days from now.
    private static var otherDay: String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE"
        return formatter.string(from: Date(timeIntervalSinceNow: 3 * 86_400))
    }

    private static func instant(in seconds: TimeInterval) -> String {
        Timestamp(secondsSinceEpoch: Int64(Date(timeIntervalSinceNow: seconds).timeIntervalSince1970)).description
    }

    @Test("the coming two weeks are drawn in local time within 80 columns")
    func drawn() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write("../holidays.txt", "# ours\n2026-11-04 Team day # a Wednesday\n")
        try Self.write(
            workshop,
            """
              time_zone: America/Los_Angeles
              open: ["Mon-Fri 09:00-17:00"]
              closed: [{ every: "Fri 15:00-24:00", reason: A very long reason that does not fit on one line with days }]
              high_traffic: [{ name: Lunch, every: "Mon-Fri 12:00-13:30", time_zone: America/New_York }]
              holidays: [us-federal, ../../holidays.txt]

            """)
        let shown = try await workshop.airboss("window", "bad", "--no-color", "--at", "2026-10-29T10:10")
        #expect(shown.status == 0, "\(shown.everything)")
        let lines = shown.output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let start = try #require(lines.firstIndex { $0.hasPrefix("Thu 29 Oct") })
        #expect(
            lines[start - 2...start + 6] == [
                "            00    03    06    09    12    15    18    21    24",
                "                                ▾",
                "Thu 29 Oct  ··················ttt█████████████··············",
                "Fri 30 Oct  ··················ttt█████████xxxxxxxxxxxxxxxxxx",
                "Sat 31 Oct  ················································",
                "Sun  1 Nov  ················································  01:00-02:00 twice",
                "Mon  2 Nov  ··················ttt█████████████··············",
                "Tue  3 Nov  ··················ttt█████████████··············",
                "Wed  4 Nov  hhhhhhhhhhhhhhhhhhttthhhhhhhhhhhhhhhhhhhhhhhhhhh",
            ])
        #expect(lines[0] == "Closed: high traffic: Lunch")
        #expect(shown.output.contains("Opens next at 2026-10-29T17:30:00Z: Thu 2026-10-29 10:30 PDT, in 20 m."))
        #expect(shown.output.contains("Otherwise open by: Mon-Fri 09:00-17:00 America/Los_Angeles"))
        #expect(lines[start...].allSatisfy { $0.count <= 80 }, "\(lines)")
        #expect(lines.count { $0.hasPrefix("h holiday: Team day (Wed  4 Nov)") } == 1)
        #expect(!shown.everything.contains("\u{1B}"))
        let document = try await workshop.query("window", "bad", "--at", "2026-10-29T10:10")
        #expect(document["local_time"]?.string == "2026-10-29T10:10:00-07:00")
        #expect(document["timeline"]?.array?.first?["kind"]?.string == "high_traffic")
    }

    @Test("a clock that lost its time opens nothing")
    func clock() async throws {
        let text = """
            version: 1
            app: harbour
            fly_toml: fly.toml
            window: { time_zone: UTC, open: [daily 00:00-24:00] }
            build: { image: "a/b:c" }

            """
        let pipeline = try Pipeline(parsing: text, path: "pipelines/clock.yml", environment: [:])
        let start = Timestamp(secondsSinceEpoch: 0)
        let window = try #require(try LiveWindow(pipeline, environment: [:], now: start))
        guard case .failed(let failure) = await window.answer(at: start + .seconds(3600)) else {
            Issue.record("1970 was believed")
            return
        }
        #expect(failure.message.contains("1970-01-01T01:00:00Z") && failure.hint.contains("clock"))
        guard case .window(let decision) = await window.answer(at: Timestamp(secondsSinceEpoch: 1_800_000_000)) else {
            Issue.record("2027 was not believed")
            return
        }
        #expect(decision.isOpen)
    }

    @Test("what is wrong in a window is told with file, line and column")
    func wrong() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write("../holidays.txt", "2026-12-25 Good\n\n25.12.2026 Bad\n2026-02-30\n")
        try Self.write(
            workshop,
            """
              time_zone: America/Los_Angles
              open: ["Mon-Fri 09:00-17:00", "Fri 16:00-18:00"]
              closed: [{ from: 2027-01-02, to: 2026-12-24 }, { every: Fryday, time_zone: Europe/Berln }]
              holidays: [us-fedral, ../../holidays.txt, missing.txt]

            """)
        let outcome = try await workshop.airboss("validate", "bad", "--output", "json")
        #expect(outcome.status == 78)
        let checked = try JSONValue(parsing: outcome.output)
        let found = (checked["pipelines"]?[0]?["diagnostics"]?.array ?? []).map { diagnostic in
            let file = (diagnostic["path"]?.string ?? "").split(separator: "/").last ?? ""
            return "\(file):\(diagnostic["line"]?.integer ?? 0) \(diagnostic["message"]?.string ?? "") "
                + "\(diagnostic["suggestion"]?.string ?? "")"
        }
        let base = workshop.pipeline().split(separator: "\n", omittingEmptySubsequences: false).count
        for wanted in [
            ("bad.yml:\(base + 1)", "did you mean America/Los_Angeles?"),
            ("bad.yml:\(base + 3)", "ends before it begins"), ("bad.yml:\(base + 3)", "did you mean Europe/Berlin"),
            ("bad.yml:\(base + 3)", "did you mean Friday?"),
            ("bad.yml:\(base + 4)", "did you mean us-federal?"), ("bad.yml:\(base + 4)", "missing.txt can't be read"),
            ("holidays.txt:3", "“25.12.2026” is no date"), ("holidays.txt:4", "there is no day 2026-02-30"),
        ] {
            #expect(found.contains { $0.hasPrefix(wanted.0) && $0.contains(wanted.1) }, "\(wanted): \(found)")
        }
        #expect(checked["valid"]?.bool == false)
        // Nothing of it keeps anybody from going back; there is only nothing to go back to here.
        let rollback = try await workshop.airboss("rollback", "bad", "--reason", "Back")
        #expect(rollback.status != 78 && rollback.errors.contains("window can't be read"), "\(rollback.everything)")
    }

    @Test("maintenance is announced, executed, smoked and closed")
    func maintenance() async throws {
        let workshop = try #require(Workshop.current)
        let closed = "  time_zone: UTC\n  open: [\"\(Self.otherDay) 09:00-09:01\"]\n"
        try Self.write(workshop, closed)
        let none = try await workshop.airboss(
            "window", "announce", "bad", "--from", Self.instant(in: 90_000), "--to", Self.instant(in: 93_600),
            "--reason", "New database")
        #expect(none.status == 12 && none.errors.contains("maintenance: {"), "\(none.everything)")
        try Self.write(workshop, closed + "  maintenance: { notice: 24h }\n")
        let late = try await workshop.airboss(
            "window", "announce", "bad", "--from", Self.instant(in: 80_000), "--to", Self.instant(in: 83_600),
            "--reason", "New database")
        #expect(late.status == 12 && late.errors.contains("24 h before it begins"), "\(late.everything)")
        let announced = try await workshop.query(
            "window", "announce", "bad", "--from", Self.instant(in: 90_000), "--to", Self.instant(in: 93_600),
            "--reason", "New database")
        #expect(announced["maintenance"]?["state"]?.string == "announced")
        let within = try await workshop.query("window", "bad", "--at", Self.instant(in: 91_000))
        #expect(within["open"]?.bool == true && within["rule_kind"]?.string == "maintenance", "\(within)")
        #expect(within["rule"]?.string?.contains("New database") == true)
        // Until then it is closed, and what was not done can't be closed.
        let refused = try await workshop.run("deploy", "bad", "--reason", "Early")
        #expect(refused.status == 12 && refused.message.contains("window is closed"), "\(refused.message)")
        let early = try await workshop.airboss("window", "close", "bad")
        #expect(early.status == 12 && early.errors.contains("withdraw"), "\(early.everything)")
        let withdrawn = try await workshop.query("window", "withdraw", "bad")
        #expect(withdrawn["maintenance"]?["opens"]?.bool == false)
        let after = try await workshop.query("window", "bad", "--at", Self.instant(in: 91_000))
        #expect(after["open"]?.bool == false, "\(after)")
        // A pipeline may ask for no notice: then the whole way is gone at once.
        try Self.write(workshop, closed + "  maintenance: { notice: 0s }\n")
        let soon = try await workshop.airboss(
            "window", "announce", "bad", "--from", Self.instant(in: 3), "--to", Self.instant(in: 1800), "--reason",
            "Now")
        #expect(soon.status == 0, "\(soon.everything)")
        try await Task.sleep(for: .seconds(4))
        let run = try await workshop.run("deploy", "bad", "--reason", "In it")
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect(run.stage("window")?["detail"]?.string?.contains("maintenance: Now") == true, "\(run.last)")
        let smoked = try await workshop.query("window", "bad")
        #expect(smoked["maintenance"]?[0]?["state"]?.string == "smoked", "\(smoked)")
        let done = try await workshop.query("window", "close", "bad")
        #expect(done["maintenance"]?["state"]?.string == "closed")
        let shut = try await workshop.query("window", "bad")
        #expect(shut["open"]?.bool == false, "\(shut)")
        // Outside of it a rollback is allowed, and says so.
        let back = try await workshop.run("rollback", "bad", "--reason", "Back")
        #expect(back.outcome.everything.contains("outside the deployment window"), "\(back.outcome.everything)")
    }

    @Test("a deploy that would not be over before the close is refused, with its numbers")
    func mustFinish() async throws {
        let workshop = try #require(Workshop.current)
        // There always is a close, within a day.
        func write(_ soak: String) throws {
            let pipeline = workshop.pipeline()
            #expect(pipeline.contains("verify:\n"))
            let changed = pipeline.replacing("verify:\n", with: "verify:\n  soak: \(soak)\n")
            // A pipeline of its own, which has no past deploys.
            try workshop.write(
                "pipelines/production-notices.yml",
                changed + "window:\n  time_zone: UTC\n  open: [daily 00:00-23:59]\n  must_finish: true\n")
        }
        try write("24h")
        let refused = try await workshop.run("deploy", "production-notices", "--reason", "Late")
        #expect(refused.status == 12, "\(refused.outcome.everything)")
        for words in ["too late to finish", "24 h of soak", "assumed"] {
            #expect(refused.message.contains(words), "\(refused.message)")
        }
        let shown = try await workshop.query("window", "production-notices")
        #expect(shown["finish"]?["fits"]?.bool == false && shown["finish"]?["past_deploys"]?.integer == 0)
        try write("0s")
        let run = try await workshop.run("deploy", "production-notices", "--reason", "In time")
        guard run.status == 0 else { return }  // within seven minutes of midnight UTC it is too late indeed
        let known = try await workshop.query("window", "production-notices")
        #expect(known["finish"]?["past_deploys"]?.integer == 1, "\(known)")
        #expect(known["finish"]?["grounds"]?.string?.contains("the one deploy before took") == true, "\(known)")
    }
}
