// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

/// A run that is cancelled while its state store does not answer: made safe all the same, said, and left to recovery.
@Suite("Cancelled without a state store", .serialized)
struct StoreGoneTests {
    /// What the store was waited for once, cancelled or not; what it took is printed.
    private static let longest = Duration.seconds(30)

    /// Deploys twice with the store, and in the midst of the second rollout takes it away and sends the signal.
    private func check(
        _ what: String, store url: String, signal: Int32, status: Int32, in workshop: Workshop,
        takeAway: () async throws -> Void
    ) async throws {
        let changes: [String: String?] = ["AIRBOSS_STATE": url]
        let first = try await workshop.run("deploy", "production", "--reason", "First", with: changes)
        #expect(first.status == 0, "\(first.outcome.everything)")
        try await workshop.commit("Greet better", ["message=welcome"])
        let program = try workshop.start(["deploy", "production", "--reason", "Second", "--output", "json"], changes)
        try await program.wait(until: "the first machine's start") {
            $0.outputSoFar.contains("\"phase\":\"starting\"")
        }
        try await takeAway()
        let begin = ContinuousClock.now
        program.send(signal)
        let outcome = await program.end()
        let took = ContinuousClock.now - begin
        print("\(what), signal \(signal): made safe in \(took)")
        #expect(took < Self.longest)
        #expect(outcome.signal == 0 && outcome.status == status, "\(outcome.everything)")
        #expect(try await workshop.fly.leased(Workshop.app) == [])
        let last = try JSONValue(parsing: outcome.output.split(separator: "\n").last.map(String.init) ?? "")
        #expect(last["type"]?.string == "error", "\(last)")
        #expect(last["exit_code"]?.integer == Int(status), "\(last)")
        #expect(last["message"]?.string?.contains("interrupted") == true, "\(last)")
        #expect(last["message"]?.string?.contains("not recorded") == true, "\(last)")
        #expect(last["hint"]?.string?.contains("airboss recover production") == true, "\(last)")
    }

    /// The store is back: what the run left is undone, and the next one goes its way.
    private func recover(_ url: String, in workshop: Workshop) async throws {
        let changes: [String: String?] = ["AIRBOSS_STATE": url]
        try await workshop.fly.program.wait(until: "the boot of every machine") { _ in
            try await workshop.fly.machines(Workshop.app).allSatisfy { machine in
                machine["state"]?.string == "started"
                    && machine["checks"]?.array?.allSatisfy { $0["status"]?.string == "passing" } ?? true
            }
        }
        let recovered = try await workshop.run("recover", "production", with: changes)
        #expect([0, 10].contains(recovered.status), "\(recovered.outcome.everything)")
        let images = Set(
            try await workshop.fly.machines(Workshop.app).compactMap { $0["config"]?["image"]?.string })
        #expect(images.count == 1, "\(images)")
        #expect(try await workshop.fly.leased(Workshop.app) == [])
        let next = try await workshop.run("deploy", "production", "--reason", "Again", with: changes)
        #expect(next.status == 0, "\(next.outcome.everything)")
    }

    @Test(
        "PostgreSQL says nothing any more, or is gone", .enabled(if: DatabaseServer.canRun),
        arguments: [(SIGSTOP, SIGINT, 130), (SIGSTOP, SIGTERM, 143), (SIGKILL, SIGINT, 130)] as [(Int32, Int32, Int32)])
    func postgres(_ end: Int32, _ signal: Int32, _ status: Int32) async throws {
        try await Workshop.open(.model, ["--no-rate-limits", "--boot-time", "1500ms"]) { workshop in
            try await DatabaseServer.open { server in
                try await check(
                    "PostgreSQL after signal \(end)", store: server.url, signal: signal, status: status, in: workshop
                ) { try server.send(end) }
                guard end == SIGSTOP else { return }
                try server.send(SIGCONT)
                try await recover(server.url, in: workshop)
            }
        }
    }

    @Test("SQLite's file is locked by another process", .enabled(if: SQLiteFile.canBeUsed))
    func sqlite() async throws {
        try await Workshop.open(.model, ["--no-rate-limits", "--boot-time", "1500ms"]) { workshop in
            let path = workshop.folder + "/locked.sqlite"
            var holder: RunningProgram?
            try await check(
                "A locked file", store: "sqlite:" + path, signal: SIGINT, status: 130, in: workshop
            ) { holder = try await SQLiteFile.lock(path) }
            holder?.send(SIGKILL)
            _ = await holder?.end()
            try await recover("sqlite:" + path, in: workshop)
        }
    }
}
