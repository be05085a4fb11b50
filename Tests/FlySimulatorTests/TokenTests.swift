// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import FlySimulator

/// Tokens that come and go while the simulator runs, and what its own endpoints show of leases and releases.
@Suite struct TokenTests {
    static func status(_ bench: APIBench, _ token: String) async throws -> Int {
        try await bench.call("GET", "/v1/apps/web", token: token).status
    }

    @Test func `any token is good until it is revoked`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            #expect(try await TokenTests.status(bench, "one") == 200)
            #expect(try await bench.call("DELETE", "/_simulator/tokens", ["token": "one"]).status == 204)
            #expect(try await TokenTests.status(bench, "one") == 401)
            #expect(try await TokenTests.status(bench, "two") == 200)
            #expect(try await TokenTests.status(bench, "one,two") == 200, "one of a list is enough")
            let basic = "Basic " + Data("x:one".utf8).base64EncodedString()
            let pull = try await bench.call("GET", "/v2/", token: nil, headers: ["Authorization": basic])
            #expect(pull.status == 401)
            #expect(try await bench.call("GET", "/v2/", token: nil).status == 200, "as before, without credentials")
            #expect(try await bench.call("POST", "/_simulator/tokens", ["token": "one"]).status == 204)
            #expect(try await TokenTests.status(bench, "one") == 200)
        }
    }

    @Test func `a set of tokens can be replaced, added to and taken from`() async throws {
        try await APIBench.with(change: { $0.tokens = ["first": []] }) { bench in
            #expect(try await bench.call("GET", "/v2/", token: nil).status == 401)
            #expect(try await TokenTests.status(bench, "first") == 404, "there is no app yet, but it may ask")
            #expect(try await TokenTests.status(bench, "second") == 401)
            try await bench.call("POST", "/_simulator/tokens", ["token": "second", "organizations": ["cold"]])
            #expect(try await TokenTests.status(bench, "second") == 404)
            #expect(
                try await bench.call("GET", "/_simulator/tokens").json == ["known": 2, "revoked": 0], "counts only")
            try await bench.call("PUT", "/_simulator/tokens", ["tokens": ["third"]])
            let statuses = try await [
                TokenTests.status(bench, "first"), TokenTests.status(bench, "second"),
                TokenTests.status(bench, "third"),
            ]
            #expect(statuses == [401, 401, 404])
            try await bench.call("PUT", "/_simulator/tokens", ["tokens": nil])
            #expect(try await TokenTests.status(bench, "first") == 404)
            for body: JSONValue in [[:], ["token": ""], ["token": 7]] {
                #expect(try await bench.call("DELETE", "/_simulator/tokens", body).status == 400)
            }
            #expect(try await bench.call("PUT", "/_simulator/tokens", ["tokens": "x"]).status == 400)
        }
    }

    @Test func `an expired lease is none, and a live one says whose it is`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let (id, _) = try await bench.makeMachine()
            func shown() async throws -> JSONValue? {
                try await bench.call("GET", "/_simulator/state").json["apps"]?["web"]?["machines"]?[0]
            }
            #expect(try await shown()?["leased"] == false)
            let lease = "/v1/apps/web/machines/\(id)/lease"
            #expect(try await bench.call("GET", lease).status == 404)
            let taken = try await bench.call("POST", lease, ["ttl": 600, "description": "run 1 on runner-7"])
            let held = try await bench.call("GET", lease).json["data"]
            #expect(held?["description"] == "run 1 on runner-7")
            #expect(held?["owner"]?.string?.hasSuffix("@tokens.fly.io") == true)
            #expect(held?["expires_at"]?.integer != nil && held?["version"]?.string != nil)
            #expect(try await shown()?["leased"] == true)
            #expect(try await shown()?["lease"]?["description"] == "run 1 on runner-7")
            let nonce = try taken.json["data"]?["nonce"]?.string
            #expect(try await bench.call("DELETE", lease, nonce: nonce).status == 200)
            #expect(try await shown()?["leased"] == false)
            try await bench.call("POST", lease, ["ttl": 1])
            while try await bench.call("GET", lease).status != 404 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(try await shown()?["leased"] == false)
            #expect(try await shown()?["lease"] == .null)
        }
    }

    @Test func `the state shows releases`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let made = try await bench.call(
                "POST", "/api/v1/releases", ["app_name": "web", "image": "i", "strategy": "ROLLING"])
            let id = try made.json["release"]?["id"]?.string ?? "-"
            let list = try await bench.call("GET", "/api/v1/apps/web/releases").json["releases"]
            #expect(list?[0]?["status"] == "running" && list?[0]?["in_progress"] == true)
            #expect(try await bench.call("PATCH", "/api/v1/releases/\(id)", ["status": "complete"]).status == 200)
            #expect(try await bench.call("PATCH", "/api/v1/releases/\(id)", ["status": "failed"]).status == 422)
            let state = try await bench.call("GET", "/_simulator/state").json["apps"]?["web"]?["releases"]
            #expect(state == [["id": .string(id), "version": 1, "status": "complete", "image": "i"]])
        }
    }

    @Test func `a visitor starts a machine, and idleness stops it`() async throws {
        try await APIBench.with(change: { $0.autostopsAfter = .seconds(1) }) { bench in
            try await bench.makeApp()
            let service: JSONValue = [
                "internal_port": 8080, "autostop": "stop", "autostart": true, "checks": [["type": "tcp"]],
            ]
            // It may have stopped before anybody could wait for its start.
            var config = APIBench.config()
            config["services"] = [service]
            let made = try await bench.call("POST", "/v1/apps/web/machines", ["config": config])
            let id = try #require(try made.json["id"]?.string)
            let stopped = "/v1/apps/web/machines/\(id)/wait?state=stopped&timeout=30"
            #expect(try await bench.call("GET", stopped).status == 200)
            let visit = try await bench.call("GET", "/", host: "web.localhost")
            #expect(visit.status == 200 && visit.headers["fly-instance-id"] == id)
            #expect(try await bench.call("GET", stopped).status == 200)
        }
    }
}
