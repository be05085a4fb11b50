// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Journals
import Model
import Testing

/// `airboss recover` of the real program: what it can go on with, and what it leaves alone and says why.
@Suite("Recover", .serialized)
struct RecoverTests {
    /// A workshop with a first release, in which a second deploy was killed once it had changed a machine.
    private func killed(_ body: (Workshop, _ run: String) async throws -> Void) async throws {
        try await Workshop.open(.model, ["--no-rate-limits", "--boot-time", "1500ms"]) { workshop in
            let first = try await workshop.run("deploy", "production", "--reason", "First")
            #expect(first.status == 0, "\(first.outcome.everything)")
            try await workshop.commit("Greet better", ["message=welcome"])
            let program = try workshop.start(["deploy", "production", "--reason", "Second", "--output", "json"])
            try await program.wait(until: "the first machine's start") {
                $0.outputSoFar.contains("\"phase\":\"starting\"")
            }
            program.send(SIGKILL)
            let outcome = await program.end()
            let id = try JSONValue(parsing: String(outcome.output.prefix { $0 != "\n" }))["run"]?.string ?? "-"
            try await body(workshop, id)
        }
    }

    private func digests(_ workshop: Workshop) async throws -> Set<String> {
        Set(try await workshop.fly.machines(Workshop.app).compactMap { $0["image_ref"]?["digest"]?.string })
    }

    /// Every machine's version and config; machines that were starting may have started meanwhile.
    private func configs(_ workshop: Workshop) async throws -> [String: [String]] {
        try await workshop.standing().machines.mapValues { [$0[0], $0[2]] }
    }

    @Test("nothing to recover: says so, ends with 0, changes nothing; with and without a journal")
    func nothing() async throws {
        try await Workshop.open(.model, ["--no-rate-limits"]) { workshop in
            #expect(try await workshop.run("deploy", "production", "--reason", "First").status == 0)
            let before = try await workshop.standing()
            for arguments in [[], ["--from-platform"]] {
                let recovery = try await workshop.start(
                    ["recover", "production", "--output", "json"] + arguments
                ).end()
                let run = try JSONRun(recovery)
                #expect(run.status == 0, "\(recovery.everything)")
                #expect(run.message.contains("nothing to recover"), "\(run.message)")
                #expect(try await workshop.standing() == before)
                #expect(try await workshop.fly.leased(Workshop.app) == [])
            }
        }
    }

    @Test("a job that ends a dead run first has the outputs of the run that was asked for alone")
    func outputs() async throws {
        try await killed { workshop, id in
            let file = workshop.folder + "/output"
            let outcome = try await workshop.airboss(
                "deploy", "production", "--reason", "Third", "--wait", "1m",
                with: [
                    "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": file,
                ])
            #expect(outcome.status == 0, "\(outcome.everything)")
            let text = try String(contentsOfFile: file, encoding: .utf8)
            #expect(outcome.everything.contains(id) && !text.contains(id), "\(text)")
            #expect(text.components(separatedBy: "run<<").count == 2 && text.contains("\nverified\n"), "\(text)")
        }
    }

    @Test("a journal that can't be gone on with is named, and nothing is changed; the platform alone is enough then")
    func damaged() async throws {
        try await killed { workshop, id in
            let good = workshop.folder + "/state.sqlite"
            let before = try await configs(workshop)
            func spoil(_ name: String, _ statement: String) async throws -> String {
                let path = workshop.folder + "/\(name).sqlite"
                try await SQLiteFile.run(good, "VACUUM INTO '\(path)'")
                try await SQLiteFile.run(path, statement)
                return path
            }
            // An event that never followed, with a chain that is whole: as another program would have written it.
            let illegal = workshop.folder + "/illegal.sqlite"
            try await SQLiteFile.run(good, "VACUUM INTO '\(illegal)'")
            let store = try await StateStores.open("sqlite:" + illegal)
            let run = RunID(id)
            let last = try await store.events(run).lastSequence
            let event = RunEvent(
                at: Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)),
                kind: .answered(action: ActionID(99_999), answer: .done))
            _ = try await store.append(
                run: run, expectedSequence: last, kind: "answered", payload: try JSONEncoder().encode(event),
                at: event.at)
            let cases = [
                (try await spoil("newer", "UPDATE run SET schema = 99 WHERE id = '\(id)'"), "later Airboss"),
                (
                    try await spoil(
                        "flipped",
                        """
                        UPDATE entry SET payload = CAST(replace(CAST(payload AS TEXT), 'm', 'n') AS BLOB)
                        WHERE run = '\(id)' AND sequence = 3
                        """), "checksum"
                ),
                (illegal, "can't follow those before it"),
            ]
            for (path, words) in cases {
                let recovery = try await workshop.start(
                    ["recover", "production", "--output", "json"], ["AIRBOSS_STATE": "sqlite:\(path)"]
                ).end()
                let run = try JSONRun(recovery)
                #expect(run.status == 69, "\(path): \(recovery.everything)")
                #expect(recovery.everything.contains(words), "\(path): \(recovery.everything)")
                #expect(recovery.everything.contains("--from-platform"), "\(path): \(recovery.everything)")
                #expect(try await configs(workshop) == before, "\(path)")
                #expect(try await digests(workshop).count == 2)
            }
            // What stands on the machines is enough.
            let recovery = try await workshop.start(
                ["recover", "production", "--from-platform", "--output", "json"],
                ["AIRBOSS_STATE": "sqlite:\(illegal)"]
            ).end()
            let done = try JSONRun(recovery)
            #expect(done.status == 10, "\(recovery.everything)")
            #expect(try await digests(workshop).count == 1)
            #expect(try await workshop.fly.leased(Workshop.app) == [])
        }
    }

    @Test("marks on machines that no run of ours wrote are no reason to change anything")
    func forged() async throws {
        try await Workshop.open(.model, ["--no-rate-limits"]) { workshop in
            #expect(try await workshop.run("deploy", "production", "--reason", "First").status == 0)
            let machine = try #require(try await workshop.fly.machines(Workshop.app).first?["id"]?.string)
            for (key, value) in [
                ("airboss_run", "../../etc/passwd\u{1b}[31m"), ("airboss_release", "v999999999999999999999"),
                ("airboss_kind", "destroy-everything"), ("airboss_replaces", "0000"),
            ] {
                _ = try await workshop.fly.call(
                    "/v1/apps/\(Workshop.app)/machines/\(machine)/metadata/\(key)", "POST", ["value": .string(value)])
            }
            let before = try await workshop.standing()
            let recovery = try await workshop.start(
                ["recover", "production", "--from-platform", "--output", "json"],
                ["AIRBOSS_STATE": "sqlite:\(workshop.folder)/empty/state.sqlite"]
            ).end()
            let run = try JSONRun(recovery)
            #expect([0, 11].contains(run.status), "\(recovery.everything)")
            #expect(!recovery.everything.contains("\u{1b}"), "\(recovery.everything)")
            #expect(try await workshop.standing() == before)
            #expect(try await workshop.fly.leased(Workshop.app) == [])
        }
    }
}
