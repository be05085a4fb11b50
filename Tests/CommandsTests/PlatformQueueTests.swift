// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

/// Programs whose stores are each their own, so that they meet nowhere but on the platform.
@Suite("Queue on the platform", .serialized)
struct PlatformQueueTests {
    private func tickets(_ workshop: Workshop) async throws -> [String] {
        try await workshop.fly.machines(Workshop.app).flatMap { machine in
            (machine["config"]?["metadata"]?.object ?? [:]).keys.filter { $0.hasPrefix(Bookkeeping.ticketPrefix) }
        }.sorted()
    }

    @Test("three runs with stores of their own get the app in their order, past one that is killed while it waits")
    func order() async throws {
        try await Workshop.open(.model, ["--no-rate-limits", "--boot-time", "6s"]) { workshop in
            #expect(try await workshop.run("deploy", "production", "--reason", "First").status == 0)
            try await workshop.commit("Greet better", ["message=welcome"])
            // Each knows the release that served before, as a runner's own store does.
            for name in ["holder", "first", "killed", "last", "hasty"] {
                try await SQLiteFile.run(
                    "\(workshop.folder)/state.sqlite", "VACUUM INTO '\(workshop.folder)/\(name).sqlite'")
            }
            func start(_ name: String, wait: String? = "10m") throws -> RunningProgram {
                try workshop.start(
                    ["deploy", "production", "--reason", name, "--output", "json"]
                        + (wait.map { ["--wait", $0] } ?? []),
                    ["AIRBOSS_STATE": "sqlite:\(workshop.folder)/\(name).sqlite"])
            }
            func run(_ program: RunningProgram) throws -> String {
                try JSONValue(parsing: String(program.outputSoFar.prefix { $0 != "\n" }))["run"]?.string ?? "-"
            }
            let holder = try start("holder", wait: nil)
            try await holder.wait(until: "the first change") { $0.outputSoFar.contains("\"phase\":\"starting\"") }
            let first = try start("first")
            try await first.wait(until: "place 1") { $0.outputSoFar.contains("waiting in place 1") }
            let told = first.outputSoFar
            for words in ["run \(try run(holder))", " on ", " since "] {
                #expect(told.contains(words), "who holds it, from where, since when: \(told)")
            }
            let killed = try start("killed")
            try await killed.wait(until: "place 2") { $0.outputSoFar.contains("waiting in place 2") }
            #expect(killed.outputSoFar.contains("1 run before this one: run \(try run(first)) by "))
            let last = try start("last")
            try await last.wait(until: "place 3") { $0.outputSoFar.contains("waiting in place 3") }
            killed.send(SIGKILL)
            _ = await killed.end()
            let hasty = try start("hasty", wait: nil)
            let refused = try JSONRun(await hasty.end())
            #expect(refused.status == 13, "\(refused.outcome.everything)")

            let outcomes = [
                try JSONRun(await holder.end()), try JSONRun(await first.end()), try JSONRun(await last.end()),
            ]
            for outcome in outcomes { #expect(outcome.status == 0, "\(outcome.outcome.everything)") }
            func time(_ index: Int, _ stage: String, _ key: String) throws -> Timestamp {
                let stages = outcomes[index].last["stages"]?.array ?? []
                let text = stages.first { $0["stage"]?.string == stage }?[key]?.string
                return try #require(text.flatMap { Timestamp($0) }, "\(outcomes[index].outcome.everything)")
            }
            #expect(try time(0, "health-verify", "finished_at") <= time(1, "deploy", "finished_at"))
            #expect(try time(1, "health-verify", "finished_at") <= time(2, "deploy", "finished_at"))
            #expect(try await tickets(workshop) == [])
            #expect(try await workshop.fly.leased(Workshop.app) == [])
        }
    }

    @Test("a run that is interrupted in the line takes its ticket away, and nothing is changed by it")
    func interrupted() async throws {
        try await Workshop.open(.model, ["--no-rate-limits"]) { workshop in
            #expect(try await workshop.run("deploy", "production", "--reason", "First").status == 0)
            let machine = try #require(
                try await workshop.fly.machines(Workshop.app).min {
                    ($0["created_at"]?.string ?? "", $0["name"]?.string ?? "") < (
                        $1["created_at"]?.string ?? "", $1["name"]?.string ?? ""
                    )
                }?["id"]?.string)
            _ = try await workshop.fly.call(
                "/v1/apps/\(Workshop.app)/machines/\(machine)/lease?ttl=600", "POST",
                ["ttl": 600, "description": "somebody by hand"])
            let waiting = try workshop.start([
                "deploy", "production", "--reason", "Second", "--output", "json", "--wait", "10m",
            ])
            try await waiting.wait(until: "its place") { $0.outputSoFar.contains("waiting in place 1") }
            #expect(waiting.outputSoFar.contains("somebody by hand; waiting in place 1 until "))
            while try await tickets(workshop).isEmpty { try await Task.sleep(for: .milliseconds(50)) }
            waiting.send(SIGINT)
            let outcome = await waiting.end()
            #expect(outcome.status == 130, "\(outcome.everything)")
            #expect(try await tickets(workshop) == [])
            let status = try await workshop.query("status", "production")
            #expect(status["apps"]?.array?.count == 1)
        }
    }
}
