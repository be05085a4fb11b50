// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Synchronization
import Testing

@testable import FlySimulator

/// The whole simulator with real processes: API, registry, checks and proxy together.
@Suite(.serialized, .enabled(if: GuestLab.canRun, "a static C compiler and namespaces are needed"))
struct APIProcessTests {
    static let rest: JSONValue = [
        "stop_config": ["signal": "SIGTERM", "timeout": "2s"],
        "services": [
            [
                "internal_port": 8080, "protocol": "tcp",
                "checks": [
                    ["type": "http", "path": "/health", "interval": "1s", "timeout": "10s", "grace_period": "1s"]
                ],
            ]
        ],
    ]

    static func config(_ tag: String, version: String, environment: [String: JSONValue] = [:]) -> JSONValue {
        var env = environment
        env["VERSION"] = .string(version)
        var config = APIBench.config(rest, image: "registry.fly.io/\(GuestLab.app):\(tag)")
        config["env"] = .object(env)
        return config
    }

    static func with(_ lab: GuestLab, _ body: @Sendable (APIBench) async throws -> Void) async throws {
        try await APIBench.with(
            directory: lab.directory,
            change: {
                $0.guests = .process
                $0.guestExecutable = GuestLab.fixture
            }, body)
    }

    static let machines = "/v1/apps/\(GuestLab.app)/machines"
    static let host = "\(GuestLab.app).fly.dev"

    static func waitUntilRoutable(_ count: Int, _ bench: APIBench) async throws {
        var routable = -1
        while routable != count {
            let state = try await bench.call("GET", "/_simulator/state").json
            let all = state["apps"]?[GuestLab.app]?["machines"]?.array ?? []
            routable = all.filter { $0["routable"] == true }.count
            if all.contains(where: { $0["state"] == "failed" }) { throw APIBench.Problem(text: "failed: \(all)") }
            if routable != count { try await Task.sleep(for: .milliseconds(20)) }
        }
    }

    @Test func `a rolling update under load loses no request`() async throws {
        let lab = try GuestLab()
        let digest = try lab.image("one")
        try await APIProcessTests.with(lab) { bench in
            try await bench.makeApp(GuestLab.app)
            var ids: [String] = []
            for _ in 0..<2 {
                let made = try await bench.call(
                    "POST", APIProcessTests.machines, ["config": APIProcessTests.config("one", version: "1")])
                #expect(try made.json["image_ref"]?["digest"]?.string == digest)
                ids.append(try #require(try made.json["id"]?.string))
            }
            try await APIProcessTests.waitUntilRoutable(2, bench)
            let isDone = Mutex(false)
            let load = Task {
                var bodies: [String: Int] = [:]
                while !isDone.withLock({ $0 }) {
                    let answer = try await bench.call("GET", "/env/VERSION", host: APIProcessTests.host)
                    bodies["\(answer.status) \(String(decoding: answer.body, as: UTF8.self))", default: 0] += 1
                }
                return bodies
            }
            for id in ids {
                let path = APIProcessTests.machines + "/" + id
                let updated = try await bench.call(
                    "POST", path, ["config": APIProcessTests.config("one", version: "2")])
                let version = try #require(try updated.json["instance_id"]?.string)
                let waited = try await bench.call("GET", path + "/wait?state=started&version=\(version)&timeout=20")
                #expect(waited.status == 200)
                try await APIProcessTests.waitUntilRoutable(2, bench)
            }
            isDone.withLock { $0 = true }
            let bodies = try await load.value
            #expect(Set(bodies.keys) == ["200 1", "200 2"], "\(bodies)")
        }
        await lab.close()
    }

    @Test func `crashes, missing images and a restarted simulator`() async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let kept = Mutex("")
        try await APIProcessTests.with(lab) { bench in
            try await bench.makeApp(GuestLab.app)
            let missing = try await bench.call(
                "POST", APIProcessTests.machines, ["config": APIProcessTests.config("none", version: "1")])
            #expect(missing.status == 400)
            let made = try await bench.call(
                "POST", APIProcessTests.machines, ["config": APIProcessTests.config("one", version: "1")])
            let id = try #require(try made.json["id"]?.string)
            kept.withLock { $0 = id }
            try await APIProcessTests.waitUntilRoutable(1, bench)
            _ = try? await bench.call("GET", "/exit/9", host: APIProcessTests.host)  // It never answers.
            try await APIProcessTests.waitUntilRoutable(1, bench)
            var exits: [JSONValue] = []
            while exits.isEmpty {
                let events = try await bench.call("GET", APIProcessTests.machines + "/\(id)/events").json.array ?? []
                exits = events.filter { $0["type"] == "exit" }
            }
            #expect(exits[0]["request"]?["exit_event"]?["exit_code"] == 9)
            #expect(exits[0]["request"]?["exit_event"]?["requested_stop"] == false)
            let logs = try await bench.call("GET", "/api/v1/apps/\(GuestLab.app)/logs").json["data"]?.array ?? []
            #expect(logs.contains { $0["attributes"]?["message"] == "listening" })
        }
        try await APIProcessTests.with(lab) { bench in
            try await APIProcessTests.waitUntilRoutable(1, bench)
            let answer = try await bench.call("GET", "/env/FLY_MACHINE_ID", host: APIProcessTests.host)
            #expect(String(decoding: answer.body, as: UTF8.self) == kept.withLock { $0 })
            let path = APIProcessTests.machines + "/" + kept.withLock { $0 }
            #expect(try await bench.call("POST", path + "/suspend").status == 200)
            #expect(try await bench.call("GET", "/health", host: APIProcessTests.host).status == 503)
            #expect(try await bench.call("POST", path + "/start").status == 200)
            try await APIProcessTests.waitUntilRoutable(1, bench)
            #expect(try await bench.call("GET", "/health", host: APIProcessTests.host).status == 200)
            try await bench.call("DELETE", path + "?force=true")
            #expect(try await bench.call("GET", path + "/wait?state=destroyed&timeout=20").status == 200)
        }
        await lab.close()
    }
}
