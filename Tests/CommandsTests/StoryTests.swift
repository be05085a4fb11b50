// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// The main job from end to end, with real commits, images, processes and requests: what `scripts/demo` shows.
@Suite("The demo's story", .serialized, .enabled(if: DemoService.canRun))
struct StoryTests {
    /// Every machine's config without what only says which release and run it belongs to.
    private static func configs(_ fly: LocalFly) async throws -> [String: JSONValue] {
        var configs: [String: JSONValue] = [:]
        for machine in try await fly.machines(Workshop.app) {
            var config = machine["config"] ?? .null
            var metadata = config["metadata"]?.object ?? [:]
            for key in metadata.keys where key.hasPrefix("fly_release") || key.hasPrefix("airboss_") {
                metadata[key] = nil
            }
            config["metadata"] = .object(metadata)
            configs[machine["id"]?.string ?? ""] = config
        }
        return configs
    }

    private static func digests(_ fly: LocalFly) async throws -> Set<String> {
        Set(try await fly.machines(Workshop.app).compactMap { $0["image_ref"]?["digest"]?.string })
    }

    @Test("deploys, rolls, fails and is rolled back, goes back by hand, is refused and overridden")
    func story() async throws {
        try await Workshop.open(.process) { workshop in
            let fly = workshop.fly
            let good = try await workshop.git("rev-parse", "HEAD")
            let better = try await workshop.commit("Greet better", ["message=welcome"])
            let broken = try await workshop.commit("Use the new database", ["message=welcome", "health=503"])
            let crashing = try await workshop.commit("Read the config at start", ["message=welcome", "crash=300"])
            func deploy(_ commit: String, _ reason: String) async throws -> JSONRun {
                try await workshop.run("deploy", "production", "--commit", commit, "--reason", reason)
            }

            // The first deploy.
            let first = try await deploy(good, "First deploy")
            #expect(first.status == 0, "\(first.outcome.everything)")
            #expect(first.last["release"]?.integer == 1)
            #expect(first.last["previous_release"] == .null)
            #expect(first.last["commit"]?.string == good)
            #expect(first.last["kind"]?.string == "deploy")
            #expect(first.last["reason"]?.string == "First deploy")
            #expect(first.last["actor"]?.string == "Tess Tester")
            #expect(try await fly.machines(Workshop.app).count == 3)
            #expect(try await fly.visit(Workshop.app).text == "hello\n")
            let firstDigest = try await Self.digests(fly)
            #expect(firstDigest.count == 1)
            #expect(first.last["image"]?.string?.hasSuffix(firstDigest.first ?? "-") == true)

            // A rolling deploy under load loses nothing.
            let load = Load(port: fly.port, host: "\(Workshop.app).localhost:\(fly.port)")
            let second = try await deploy(better, "Better greeting")
            let served = try await load.stop()
            #expect(second.status == 0, "\(second.outcome.everything)")
            #expect(second.last["release"]?.integer == 2)
            #expect(second.last["previous_release"]?.integer == 1)
            #expect(served.requests > 10)
            #expect(served.failures == [])
            #expect(try await fly.visit(Workshop.app).text == "welcome\n")
            let before = try await Self.configs(fly)
            let secondDigest = try await Self.digests(fly)
            #expect(secondDigest.count == 1 && secondDigest != firstDigest)

            // A release that answers 503 is undone to the last whole config.
            let third = try await deploy(broken, "New database")
            #expect(third.status == 10, "\(third.outcome.everything)")
            #expect(third.last["outcome"]?.string == "rolled_back")
            #expect(third.stage("health-verify")?["state"]?.string == "failed")
            #expect(third.stage("rollback")?["state"]?.string == "passed")
            #expect((third.last["time_to_restore_ms"]?.integer ?? 0) > 0)
            #expect(third.message.contains("503"), "\(third.message)")
            #expect(try await Self.digests(fly) == secondDigest)
            #expect(try await Self.configs(fly) == before)
            #expect(try await fly.leased(Workshop.app) == [])
            #expect(try await fly.visit(Workshop.app, "/health").status == 200)

            // A process that exits is seen by its exit, not by a time-out.
            let fourth = try await deploy(crashing, "Config at start")
            #expect(fourth.status == 10, "\(fourth.outcome.everything)")
            // In the rollout, or right after it where its checks passed before the exit.
            let crash = ["deploy", "health-verify"].compactMap { fourth.stage($0)?["detail"]?.string }
            #expect(crash.contains { $0.contains("exit") || $0.contains("restart") }, "\(crash)")
            #expect(try await Self.configs(fly) == before)
            print("the crashing release was undone after \(fourth.last["duration_ms"]?.integer ?? -1) ms: \(crash)")

            // By hand to the release before the current one.
            let back = try await workshop.run("rollback", "production", "--reason", "Too warm")
            #expect(back.status == 0, "\(back.outcome.everything)")
            #expect(back.last["kind"]?.string == "rollback")
            #expect(back.last["outcome"]?.string == "verified")
            #expect(try await Self.digests(fly) == firstDigest)
            #expect(try await fly.visit(Workshop.app).text == "hello\n")

            try await window(workshop, better)
            try await records(workshop)
        }
    }

    @Test("goes back from another machine, whose state store knows nothing of the app")
    func backFromElsewhere() async throws {
        try await Workshop.open(.process) { workshop in
            let fly = workshop.fly
            let good = try await workshop.git("rev-parse", "HEAD")
            let first = try await workshop.run("deploy", "production", "--commit", good, "--reason", "First deploy")
            #expect(first.status == 0, "\(first.outcome.everything)")
            let (configs, digests) = (try await Self.configs(fly), try await Self.digests(fly))
            let better = try await workshop.commit("Greet better", ["message=welcome"])
            let second = try await workshop.run("deploy", "production", "--commit", better, "--reason", "Better")
            #expect(second.status == 0, "\(second.outcome.everything)")

            let elsewhere = "sqlite:" + workshop.folder + "/elsewhere.sqlite"
            let back = try await workshop.run("rollback", "production", "--reason", "At night", "--state", elsewhere)
            #expect(back.status == 0, "\(back.outcome.everything)")
            #expect(back.last["outcome"]?.string == "verified")
            #expect(back.last["release"]?.integer == 1 && back.last["previous_release"]?.integer == 2)
            #expect(back.last["warnings"]?.array?.first?.string?.contains("as the platform shows it") == true)
            #expect(try await Self.configs(fly) == configs)
            #expect(try await Self.digests(fly) == digests)
            #expect(try await fly.visit(Workshop.app).text == "hello\n")
            #expect(try await fly.leased(Workshop.app) == [])

            let further = try await workshop.run("rollback", "production", "--reason", "More", "--state", elsewhere)
            #expect(further.status == 12, "\(further.outcome.everything)")
            #expect(further.message.contains("no earlier verified release"), "\(further.message)")
        }
    }

    /// Outside of its window refused, in an emergency done, and recorded.
    private func window(_ workshop: Workshop, _ commit: String) async throws {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE"
        let day = formatter.string(from: Date(timeIntervalSinceNow: 2 * 86_400))
        try workshop.write(
            "pipelines/office.yml",
            workshop.pipeline() + "window: { time_zone: UTC, open: [\"\(day) 09:00-17:00\"] }\n")
        try await workshop.git("add", "-A")
        try await workshop.git("commit", "-q", "-m", "Office hours")
        let before = try await workshop.standing()
        let refused = try await workshop.run("deploy", "office", "--commit", commit, "--reason", "Just a small thing")
        #expect(refused.status == 12)
        #expect(refused.message.lowercased().contains("window") || refused.message.contains(day), "\(refused.message)")
        #expect(try await workshop.standing() == before)

        let emergency = try await workshop.run(
            "deploy", "office", "--commit", commit, "--reason", "Payments are down", "--emergency", "--approved-by",
            "Ana Lima")
        #expect(emergency.status == 0, "\(emergency.outcome.everything)")
        let override = emergency.last["overrides"]?.array?.first
        #expect(override?["gate"]?.string == "window")
        #expect(override?["approved_by"]?.string == "Ana Lima")
        #expect(override?["reason"]?.string == "Payments are down")
        #expect(override?["would_have_said"]?.string?.isEmpty == false)
        #expect(try await workshop.fly.visit(Workshop.app).text == "welcome\n")
        let shown = try await workshop.query("show", emergency.last["run"]?.string ?? "")
        #expect(shown["overrides"] == emergency.last["overrides"])
    }

    /// What was kept of it all.
    private func records(_ workshop: Workshop) async throws {
        let runs = try await workshop.query("runs", "--limit", "50")["runs"]?.array ?? []
        #expect(
            runs.reversed().compactMap { $0["outcome"]?.string } == [
                "verified", "verified", "rolled_back", "rolled_back", "verified", "refused", "verified",
            ])
        let releases = try await workshop.query("releases", "production")["releases"]?.array ?? []
        let current = releases.filter { $0["current"]?.bool == true }
        #expect(current.count == 1)
        let states = Dictionary(
            uniqueKeysWithValues: releases.map { ($0["release"]?.integer ?? 0, $0["state"]?.string ?? "") })
        #expect(states[1] == "verified")
        #expect(states[3] != "verified" && states[4] != "verified")
        for run in runs where run["outcome"]?.string != "refused" {
            let shown = try await workshop.query("show", run["run"]?.string ?? "", "--events")
            #expect(shown["type"]?.string == "run.finished")
            #expect((shown["events"]?.array?.count ?? 0) > 10)
        }
    }
}
