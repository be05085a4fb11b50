// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

/// The local Fly as a program: what it leaves behind, and its neighbours.
@Suite("The simulator as a program", .serialized)
struct SimulatorProcessTests {
    /// Every process below `pid`, by its id and the time it was started at: ids come back.
    private static func descendants(of pid: pid_t) throws -> Set<String> {
        var parents: [Int: (parent: Int, mark: String)] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
            // Gone since the folder was read, or no process.
            guard let id = Int(name), let fields = Self.fields(id) else { continue }
            parents[id] = (Int(fields[1]) ?? 0, "\(id) \(fields[19])")
        }
        var found: Set<Int> = [Int(pid)]
        var isGrowing = true
        while isGrowing {
            let more = parents.filter { found.contains($0.value.parent) && !found.contains($0.key) }.keys
            found.formUnion(more)
            isGrowing = !more.isEmpty
        }
        found.remove(Int(pid))
        return Set(found.compactMap { parents[$0]?.mark })
    }

    /// The fields of /proc/PID/stat after the name, which may hold blanks; nil for none or a dead one.
    private static func fields(_ id: Int) -> [Substring]? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(id)/stat") else { return nil }
        let text = String(decoding: data, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(end, offsetBy: 2)...].split(separator: " ")
        return fields.count > 19 && fields[0] != "Z" ? fields : nil
    }

    private static func alive(_ marks: Set<String>) -> Set<String> {
        marks.filter { mark in
            let words = mark.split(separator: " ")
            guard let id = Int(words[0]), let fields = fields(id) else { return false }
            return fields[19] == words[1]
        }
    }

    @Test(
        "ended or killed, it leaves no process behind", .enabled(if: DemoService.canRun),
        arguments: [SIGTERM, SIGINT, SIGKILL])
    func leavesNothing(_ signal: Int32) async throws {
        try await Workshop.open(.process) { workshop in
            let run = try await workshop.run("deploy", "production", "--reason", "To be stopped")
            #expect(run.status == 0, "\(run.outcome.everything)")
            let guests = try Self.descendants(of: workshop.fly.program.pid)
            #expect(guests.count >= 3, "\(guests)")
            workshop.fly.program.send(signal)
            let outcome = await workshop.fly.program.end()
            #expect(signal == SIGKILL ? outcome.signal == SIGKILL : outcome.status == 0, "\(outcome)")
            // Killed, it can't wait for what goes with it.
            let deadline = ContinuousClock.now + .seconds(20)
            while !Self.alive(guests).isEmpty, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(Self.alive(guests) == [])
        }
    }

    @Test("a second one on the same folder is refused; on another one it disturbs nobody")
    func neighbours() async throws {
        try await Workshop.open(.model) { workshop in
            let same = try await RunningProgram.run([
                Surroundings.airboss, "simulator", "--listen", "127.0.0.1:0", "--directory", workshop.folder + "/fly",
            ])
            #expect(same.status == 69, "\(same.everything)")
            #expect(same.errors.contains("another simulator uses") && same.errors.contains("--directory"))

            let port = try await RunningProgram.run([
                Surroundings.airboss, "simulator", "--listen", "127.0.0.1:\(workshop.fly.port)", "--directory",
                workshop.folder + "/third",
            ])
            #expect(port.status == 69, "\(port.everything)")
            #expect(port.errors.contains("\(workshop.fly.port)") && port.errors.contains("--listen"))

            let other = try await LocalFly.start(in: workshop.folder + "/other", ["--guests", "model"])
            #expect(other.port != workshop.fly.port)
            let run = try await workshop.run("deploy", "production", "--reason", "Beside another")
            #expect(run.status == 0, "\(run.outcome.everything)")
            #expect(try await other.call("/v1/apps/\(Workshop.app)").status == 404)
            await other.stop()
            #expect(try await workshop.fly.machines(Workshop.app).count == 3)
        }
    }

    @Test("it goes on where it was stopped")
    func restarted() async throws {
        try await Workshop.open(.model) { workshop in
            let run = try await workshop.run("deploy", "production", "--reason", "Before")
            #expect(run.status == 0)
            let before = Set(try await workshop.fly.machines(Workshop.app).compactMap { $0["id"]?.string })
            await workshop.fly.stop()
            let again = try await LocalFly.start(in: workshop.folder + "/fly", ["--guests", "model"])
            let after = Set(try await again.machines(Workshop.app).compactMap { $0["id"]?.string })
            await again.stop()
            #expect(before == after && before.count == 3)
        }
    }
}
