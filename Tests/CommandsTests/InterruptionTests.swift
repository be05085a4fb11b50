// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

/// Runs that are stopped, killed, or get into each other's way.
@Suite("Interruptions", .serialized)
struct InterruptionTests {
    /// A generous bound, so that a hang is a failure; what it took is printed.
    private static let longest = Duration.seconds(30)

    /// A workshop whose machines take a while to boot, with a first release, and a second commit to deploy.
    private func slowly(_ body: (Workshop) async throws -> Void) async throws {
        try await Workshop.open(.model, ["--no-rate-limits", "--boot-time", "1500ms"]) { workshop in
            let first = try await workshop.run("deploy", "production", "--reason", "First")
            #expect(first.status == 0, "\(first.outcome.everything)")
            try await workshop.commit("Greet better", ["message=welcome"])
            try await body(workshop)
        }
    }

    private func startRollout(_ workshop: Workshop) async throws -> RunningProgram {
        let program = try workshop.start(["deploy", "production", "--reason", "Second", "--output", "json"])
        try await program.wait(until: "the first machine's start") {
            $0.outputSoFar.contains("\"phase\":\"starting\"")
        }
        return program
    }

    /// Waits until every machine has booted: until then the serving floor lets none be changed.
    private func whole(_ workshop: Workshop) async throws {
        try await workshop.fly.program.wait(until: "the boot of every machine") { _ in
            try await workshop.fly.machines(Workshop.app).allSatisfy { machine in
                machine["state"]?.string == "started"
                    && machine["checks"]?.array?.allSatisfy { $0["status"]?.string == "passing" } ?? true
            }
        }
    }

    @Test(
        "a signal in mid-rollout: made safe, said, 130 or 143",
        arguments: [(SIGINT, 1, 130), (SIGINT, 3, 130), (SIGTERM, 1, 143), (SIGHUP, 1, 130)] as [(Int32, Int, Int32)])
    func signal(_ signal: Int32, _ times: Int, _ status: Int32) async throws {
        try await slowly { workshop in
            let program = try await startRollout(workshop)
            let begin = ContinuousClock.now
            for _ in 0..<times {
                program.send(signal)
                try await Task.sleep(for: .milliseconds(50))
            }
            let outcome = await program.end()
            let took = ContinuousClock.now - begin
            print("signal \(signal) sent \(times) times: made safe in \(took)")
            #expect(took < Self.longest)
            #expect(outcome.signal == 0)
            let run = try JSONRun(outcome)
            #expect(run.status == status || signal == SIGHUP, "\(outcome.everything)")
            #expect(run.last["outcome"]?.string == "interrupted", "\(run.last)")
            #expect(try await workshop.fly.leased(Workshop.app) == [])
            #expect(try await workshop.unfinishedRuns() == [])
            // Either everything is as before, or it says what is not, and what to do.
            let digests = Set(
                try await workshop.fly.machines(Workshop.app).compactMap { $0["image_ref"]?["digest"]?.string })
            if digests.count > 1 {
                #expect(run.message.contains("mixed"), "\(run.message)")
                #expect(run.last["next_steps"]?.array?.isEmpty == false, "\(run.last)")
            }
            #expect(run.message.contains("interrupted"), "\(run.message)")

            try await whole(workshop)
            let next = try await workshop.run("deploy", "production", "--reason", "Again")
            #expect(next.status == 0, "\(next.outcome.everything)")
        }
    }

    @Test("killed in mid-rollout: the next deploy converges")
    func killed() async throws {
        try await slowly { workshop in
            let program = try await startRollout(workshop)
            program.send(SIGKILL)
            let outcome = await program.end()
            #expect(outcome.signal == SIGKILL)
            let id = try JSONValue(parsing: String(outcome.output.prefix { $0 != "\n" }))["run"]?.string ?? "-"
            #expect(try await workshop.unfinishedRuns() == [id])
            let status = try await workshop.query("status", "production")
            #expect(status["apps"]?[0]?["unfinished_run"]?.string == id, "\(status)")

            try await whole(workshop)
            let next = try await workshop.run("deploy", "production", "--reason", "After the crash")
            #expect(next.status == 0, "\(next.outcome.everything)")
            #expect(next.outcome.output.contains("run \(id) (deploy by "))
            #expect(next.outcome.output.contains("never ended: its process is gone. Going on with it from its journal"))
            let machines = try await workshop.fly.machines(Workshop.app)
            #expect(machines.count == 3)
            #expect(machines.allSatisfy { $0["state"]?.string == "started" })
            let images = Set(machines.compactMap { $0["config"]?["image"]?.string })
            #expect(images == [next.last["image"]?.string ?? "-"])
            // The killed run's lease of a machine that needed no change ends with its time to live.
            try await workshop.fly.program.wait(until: "the end of the last lease") { _ in
                try await workshop.fly.leased(Workshop.app) == []
            }
            #expect(try await workshop.unfinishedRuns() == [])
            let runs = try await workshop.query("runs")["runs"]?.array ?? []
            #expect(runs.first { $0["run"]?.string == id }?["outcome"]?.string == "rolled_back")
        }
    }

    @Test("two deploys of one app at once: the second names the first, and 13")
    func twoAtOnce() async throws {
        try await slowly { workshop in
            let first = try await startRollout(workshop)
            let second = try await workshop.run("deploy", "production", "--reason", "Me too")
            #expect(second.status == 13, "\(second.outcome.everything)")
            #expect(second.last["type"]?.string == "error")
            let id = try JSONValue(parsing: String(first.outputSoFar.prefix { $0 != "\n" }))["run"]?.string ?? "-"
            #expect(second.message.contains(id), "\(second.message)")
            #expect(second.message.contains("process \(first.pid)"), "\(second.message)")
            let outcome = await first.end()
            #expect(outcome.status == 0, "\(outcome.everything)")
            let after = try await workshop.run("deploy", "production", "--reason", "Now me")
            #expect(after.status == 0)
        }
    }

    @Test("two deploys begun in the same instant: one runs, one is told")
    func sameInstant() async throws {
        try await slowly { workshop in
            let programs = try (1...3).map {
                try workshop.start(["deploy", "production", "--reason", "Number \($0)", "--output", "json"])
            }
            var codes: [Int32] = []
            for program in programs {
                let run = try JSONRun(await program.end())
                codes.append(run.status)
            }
            #expect(codes.sorted() == [0, 13, 13])
        }
    }
}
