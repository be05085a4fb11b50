// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Foundation
import Model
import Synchronization
import Testing

@testable import FlySimulator

/// Faults, latency, and what survives the simulator's end.
@Suite struct APIFaultTests {
    static func fault(_ call: String, _ effect: JSONValue) -> JSONValue {
        ["call": .string(call), "effect": effect]
    }

    @Test func `an answer can be lost with the call applied, or before`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let create: JSONValue = ["config": APIBench.config()]
            for (effect, machines) in [("dropBeforeApplying", 0), ("dropAfterApplying", 1)] {
                let fault = APIFaultTests.fault("createMachine", [effect: [:]])
                #expect(try await bench.call("POST", "/_simulator/faults", fault).status == 204)
                await #expect(throws: APIBench.Problem.self) {
                    try await bench.call("POST", "/v1/apps/web/machines", create)
                }
                #expect(try await bench.call("GET", "/v1/apps/web/machines").json.array?.count == machines)
            }
            #expect(try await bench.call("POST", "/v1/apps/web/machines", create).status == 200, "once each")
        }
    }

    @Test func `answers can be errors, pages, halves and noise`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            func next(_ effect: JSONValue) async throws -> APIBench.Answer {
                try await bench.call("PUT", "/_simulator/faults", APIFaultTests.fault("getApp", effect))
                return try await bench.call("GET", "/v1/apps/web")
            }
            let refused = try await next(["refuse": ["status": 503, "message": "down", "retryAfterSeconds": 7]])
            #expect(refused.status == 503 && refused.headers["retry-after"] == "7")
            #expect(try refused.json["error"] == "down")
            let page = try await next(["html": ["status": 502]])
            #expect(page.status == 502 && page.headers["content-type"] == "text/html")
            let half = try await next(["truncate": [:]])
            #expect(half.status == 200 && half.body.count < Int(half.headers["content-length"] ?? "") ?? 0)
            let noise = try await next(["noise": ["bytes": 3_000_000]])
            #expect(noise.body.count == 3_000_000)
            #expect(throws: (any Error).self) { try noise.json }
            #expect(try await bench.call("GET", "/v1/apps/web").status == 200)
        }
    }

    @Test func `a call can be delivered twice, or never answered`() async throws {
        let open = Mutex<Task<Int, any Error>?>(nil)
        try await APIBench.with { bench in
            try await bench.makeApp()
            let create: JSONValue = ["config": APIBench.config()]
            let twice = APIFaultTests.fault("createMachine", ["duplicate": ["answersSecond": true]])
            #expect(try await bench.call("POST", "/_simulator/faults", twice).status == 204)
            #expect(try await bench.call("POST", "/v1/apps/web/machines", create).status == 200)
            #expect(try await bench.call("GET", "/v1/apps/web/machines").json.array?.count == 2)
            let hang = APIFaultTests.fault("createMachine", ["hang": ["isApplied": true]])
            #expect(try await bench.call("POST", "/_simulator/faults", hang).status == 204)
            let hanging = Task { try await bench.call("POST", "/v1/apps/web/machines", create).status }
            open.withLock { $0 = hanging }
            while try await bench.call("GET", "/v1/apps/web/machines").json.array?.count != 3 {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        // Nothing but the simulator's end answers it.
        let hanging = try #require(open.withLock { $0 })
        switch await hanging.result {
        case .success(let status): #expect(status == 503)
        case .failure(let error): #expect(error is APIBench.Problem, "the connection was closed")
        }
    }

    @Test(arguments: [["effect": ["explode": [:]]], ["call": "fly", "effect": ["truncate": [:]]], []] as [JSONValue])
    func `what is no fault is refused`(body: JSONValue) async throws {
        try await APIBench.with { bench in
            let answer = try await bench.call("PUT", "/_simulator/faults", body)
            #expect(answer.status == 400)
        }
    }

    @Test func `every answer takes the round trip`() async throws {
        try await APIBench.with(change: { $0.roundTrip = .milliseconds(60) }) { bench in
            let clock = ContinuousClock()
            let taken = try await clock.measure { try await bench.makeApp() }
            #expect(taken >= .milliseconds(60))
            try await bench.call("PUT", "/_simulator/latency", ["milliseconds": 0])
            #expect(try await bench.call("GET", "/_simulator/latency").json == ["milliseconds": 0])
        }
    }

    @Test func `an unreachable host shows an incomplete config`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let (id, _) = try await bench.makeMachine()
            try await bench.call("POST", "/_simulator/hosts", ["machine": .string(id), "status": "unreachable"])
            let machine = try await bench.call("GET", "/v1/apps/web/machines/\(id)").json
            #expect(machine["host_status"] == "unreachable" && machine["config"] == nil)
            #expect(machine["incomplete_config"]?["image"]?.string != nil)
            #expect(try await bench.call("POST", "/v1/apps/web/machines/\(id)/stop", [:]).status == 412)
        }
    }

    @Test func `a restarted simulator finds everything again and runs what ran`() async throws {
        let folder = APIBench.newFolder()
        defer { APIBench.remove(folder) }
        try await APIBench.with(directory: folder) { bench in
            try await bench.makeApp()
            let (id, _) = try await bench.makeMachine(["metadata": ["which": "runs"]])
            let (stopped, _) = try await bench.makeMachine(["metadata": ["which": "stopped"]])
            try await bench.call("POST", "/v1/apps/web/machines/\(stopped)/stop", [:])
            try await bench.call("GET", "/v1/apps/web/machines/\(stopped)/wait?state=stopped&timeout=10")
            try await bench.call("POST", "/v1/apps/web/secrets", ["values": ["A": "1"]])
            try await bench.call("POST", "/api/v1/releases", ["app_name": "web", "image": "i", "strategy": "s"])
            #expect(id != stopped)
        }
        try await APIBench.with(directory: folder) { bench in
            for (which, state) in [("runs", "started"), ("stopped", "stopped")] {
                let found = try await bench.call("GET", "/v1/apps/web/machines?metadata.which=\(which)").json
                let id = try #require(found[0]?["id"]?.string)
                let wait = "/v1/apps/web/machines/\(id)/wait?state=\(state)&timeout=10"
                #expect(try await bench.call("GET", wait).status == 200)
            }
            #expect(try await bench.call("GET", "/v1/apps/web/secrets").json["secrets"]?.array?.count == 1)
            #expect(
                try await bench.call("GET", "/api/v1/apps/web/releases").json["releases"]?[0]?["image_ref"] == "i")
        }
    }

    @Test func `two simulators want two directories`() async throws {
        let folder = APIBench.newFolder()
        defer { APIBench.remove(folder) }
        try await APIBench.with(directory: folder) { _ in
            let error = await #expect(throws: AirbossError.self) {
                try await APIBench.with(directory: folder) { _ in }
            }
            #expect(error?.message == "another simulator uses the directory \(folder)")
            try await APIBench.with { other in
                let list = try await other.call("GET", "/v1/apps")
                #expect(try list.json["total_apps"] == 0)
            }
        }
    }

    @Test func `a port in use is named`() async throws {
        try await APIBench.with { bench in
            let error = await #expect(throws: AirbossError.self) {
                try await APIBench.with(change: { $0.port = bench.address.port }) { _ in }
            }
            #expect(error?.message.contains("cannot listen on \(bench.address)") == true)
        }
    }

    @Test func `state that can't be read stops the start and is left as it is`() async throws {
        let folder = APIBench.newFolder()
        defer { APIBench.remove(folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data("{".utf8).write(to: URL(filePath: folder + "/world.json"))
        let error = await #expect(throws: AirbossError.self) {
            try await APIBench.with(directory: folder) { _ in }
        }
        #expect(error?.code == .configuration && error?.location == folder + "/world.json")
        #expect(try Data(contentsOf: URL(filePath: folder + "/world.json")) == Data("{".utf8))
    }

    @Test func `an open wait ends with the simulator`() async throws {
        let open = Mutex<Task<Int, any Error>?>(nil)
        try await APIBench.with(change: { $0.bootTime = .seconds(3600) }) { bench in
            try await bench.makeApp()
            let made = try await bench.call("POST", "/v1/apps/web/machines", ["config": APIBench.config()])
            let id = try #require(try made.json["id"]?.string)
            let wait = Task {
                try await bench.call("GET", "/v1/apps/web/machines/\(id)/wait?state=started&timeout=60").status
            }
            open.withLock { $0 = wait }
            var calls: JSONValue?
            while calls?["waitMachine"] == nil {
                calls = try await bench.call("GET", "/_simulator/state").json["apps"]?["web"]?["calls"]
            }
        }
        let wait = try #require(open.withLock { $0 })
        switch await wait.result {
        case .success(let status): #expect(status == 503)
        case .failure(let error): #expect(error is APIBench.Problem, "the connection was closed")
        }
    }
}
