// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlyWorld
import Foundation
import Model
import Testing

@testable import FlySimulator

/// The Machines and Platform API over real sockets, in the shapes of Fly's OpenAPI description.
@Suite struct APITests {
    @Test func `apps are made, found, listed and removed`() async throws {
        try await APIBench.with { bench in
            let made = try await bench.call("POST", "/v1/apps", ["name": "web", "org_slug": "hot"])
            #expect(made.status == 201)
            let again = try await bench.call("POST", "/v1/apps", ["name": "web", "org_slug": "hot"])
            #expect(again.status == 422)
            #expect(try again.json["status"] == "name_taken")
            let app = try await bench.call("GET", "/v1/apps/web")
            #expect(try app.json["name"] == "web" && app.json["organization"]?["slug"] == "hot")
            #expect(try app.json["status"] == "pending" && app.json["machine_count"] == 0)
            let list = try await bench.call("GET", "/v1/apps?org_slug=hot")
            #expect(try list.json["total_apps"] == 1 && list.json["apps"]?[0]?["name"] == "web")
            #expect(try await bench.call("GET", "/v1/apps?org_slug=cold").json["total_apps"] == 0)
            #expect(try await bench.call("DELETE", "/v1/apps/web").status == 202)
            let gone = try await bench.call("GET", "/v1/apps/web")
            #expect(gone.status == 404)
            #expect(try gone.json["error"]?.string != nil)
        }
    }

    @Test func `a machine object has the fields of the description`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let (id, instance) = try await bench.makeMachine(["not_yet_invented": ["a": 1]])
            let answer = try await bench.call("GET", "/v1/apps/web/machines/\(id)")
            let machine = try answer.json
            #expect(answer.headers["fly-request-id"]?.isEmpty == false)
            #expect(machine["state"] == "started" && machine["host_status"] == "ok")
            #expect(machine["instance_id"]?.string == instance)
            for key in ["id", "name", "region", "private_ip"] { #expect(machine[key]?.string?.isEmpty == false) }
            for key in ["created_at", "updated_at"] {
                #expect(machine[key]?.string.flatMap { Timestamp($0) } != nil)
            }
            #expect(machine["image_ref"]?["registry"] == "registry.fly.io")
            #expect(machine["image_ref"]?["repository"] == "web" && machine["image_ref"]?["tag"] == "1")
            #expect(ImageReference.isDigest(machine["image_ref"]?["digest"]?.string ?? ""))
            #expect(machine["config"]?["not_yet_invented"] == ["a": 1])
            #expect(machine["config"]?["services"]?[0]?["autostop"] == false, "reads back as a boolean")
            let check = try #require(machine["checks"]?[0])
            #expect(check["name"] == "servicecheck-00-http-8080" && check["status"] == "passing")
            let events = try #require(machine["events"]?.array)
            #expect(events.map { $0["type"]?.string } == ["start", "launch"], "newest first")
            #expect((events[0]["timestamp"]?.integer ?? 0) > 1_600_000_000_000, "milliseconds")
            let summary = try await bench.call("GET", "/v1/apps/web/machines?summary=true").json
            for key in ["config", "checks", "events", "nonce"] { #expect(summary[0]?[key] == nil) }
            #expect(summary[0]?["id"]?.string == id)
        }
    }

    @Test func `an update answers with a new version and a wait for it with that version`() async throws {
        try await APIBench.with(change: { $0.bootTime = .milliseconds(100) }) { bench in
            try await bench.makeApp()
            let (id, old) = try await bench.makeMachine()
            let path = "/v1/apps/web/machines/\(id)"
            let config = APIBench.config(image: "registry.fly.io/web:2")
            let stale = try await bench.call("POST", path, ["config": config, "current_version": "01OLD"])
            #expect(stale.status == 412)
            let updated = try await bench.call("POST", path, ["config": config, "current_version": .string(old)])
            let new = try #require(try updated.json["instance_id"]?.string)
            #expect(updated.status == 200 && new != old)
            #expect(try updated.json["state"] == "replacing")
            let short = try await bench.call("GET", path + "/wait?state=started&version=\(old)&timeout=1")
            #expect(short.status == 408)
            let waited = try await bench.call("GET", path + "/wait?state=started&version=\(new)&timeout=10")
            #expect(waited.status == 200)
            #expect(try waited.json["ok"] == true && waited.json["version"]?.string == new)
            #expect(try waited.json["event_id"]?.string?.isEmpty == false)
            let versions = try await bench.call("GET", path + "/versions").json
            #expect(versions.array?.map { $0["version"]?.string } == [new, old])
            #expect(versions[1]?["user_config"]?["image"] == "registry.fly.io/web:1")
        }
    }

    @Test(arguments: ["timeout=0", "timeout=61", "timeout=soon", "state=flying"])
    func `a wait outside its bounds is refused`(query: String) async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let (id, _) = try await bench.makeMachine()
            let answer = try await bench.call("GET", "/v1/apps/web/machines/\(id)/wait?\(query)")
            #expect(answer.status == 400)
            #expect(try answer.json["error"]?.string != nil)
        }
    }

    @Test func `leases are granted, refreshed, shown and released`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let (id, instance) = try await bench.makeMachine()
            let path = "/v1/apps/web/machines/\(id)"
            let granted = try await bench.call("POST", path + "/lease?ttl=300", ["ttl": 300, "description": "deploy"])
            #expect(granted.status == 201)
            let lease = try #require(try granted.json["data"])
            #expect(try granted.json["status"] == "success")
            let nonce = try #require(lease["nonce"]?.string)
            #expect(lease["owner"]?.string?.contains("secret") == false && lease["version"]?.string == instance)
            let left = (lease["expires_at"]?.integer ?? 0) - Int(Date().timeIntervalSince1970)
            #expect((200...300).contains(left))
            let refused = try await bench.call("POST", path + "/lease?ttl=300", token: "another")
            #expect(refused.status == 409)
            #expect(try refused.json["error"]?.string?.contains("lease currently held by") == true)
            #expect(try await bench.call("POST", path + "/stop", [:]).status == 409)
            let refreshed = try await bench.call("POST", path + "/lease?ttl=310", nonce: nonce)
            #expect(try refreshed.json["data"]?["nonce"]?.string == nonce)
            #expect(try await bench.call("GET", path + "/lease").json["data"]?["nonce"]?.string == nonce)
            #expect(try await bench.call("POST", path + "/cordon", nonce: nonce).status == 200)
            #expect(try await bench.call("DELETE", path + "/lease", nonce: nonce).status == 200)
            #expect(try await bench.call("GET", path + "/lease").status == 404)
        }
    }

    @Test func `metadata is read and written by key and as a whole`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let (id, instance) = try await bench.makeMachine()
            let path = "/v1/apps/web/machines/\(id)/metadata"
            #expect(try await bench.call("POST", path + "/run%2Fid", ["value": "01"]).status == 204)
            #expect(try await bench.call("GET", path).json["run/id"] == "01")
            #expect(try await bench.call("GET", path + "/run%2Fid").json == ["value": "01"])
            #expect(try await bench.call("DELETE", path + "/run%2Fid").status == 204)
            #expect(try await bench.call("GET", path + "/run%2Fid").status == 404)
            let put = try await bench.call(
                "PUT", path, ["metadata": ["a": "1", "fly_process_group": nil], "machine_version": .string(instance)])
            #expect(put.status == 204)
            #expect(try await bench.call("GET", path).json == ["a": "1", "fly_platform_version": "v2"])
            #expect(try await bench.call("PUT", path, ["metadata": [:], "machine_version": "01X"]).status == 412)
            let kept = try await bench.call("GET", "/v1/apps/web/machines?metadata.a=1").json
            #expect(kept.array?.count == 1)
            #expect(try await bench.call("GET", "/v1/apps/web/machines?metadata.a=2").json == [])
        }
    }

    @Test func `a machine is stopped, started, signalled and destroyed`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let (id, _) = try await bench.makeMachine()
            let path = "/v1/apps/web/machines/\(id)"
            #expect(try await bench.call("POST", path + "/stop").status == 400, "the body must be an object")
            #expect(try await bench.call("POST", path + "/stop", ["signal": "SIGODD"]).status == 400)
            #expect(try await bench.call("POST", path + "/stop", ["timeout": "2 weeks"]).status == 400)
            let stopped = try await bench.call("POST", path + "/stop", ["signal": "SIGTERM", "timeout": "10s"])
            #expect(stopped.status == 200)
            #expect(try stopped.json["ok"] == true)
            #expect(try await bench.call("GET", path + "/wait?state=stopped&timeout=10").status == 200)
            let event = try #require(try await bench.call("GET", path + "/events?limit=1").json[0])
            #expect(event["type"] == "exit")
            #expect(event["request"]?["exit_event"]?["requested_stop"] == true)
            #expect(event["request"]?["exit_event"]?["exit_code"] == 0)
            #expect(event["request"]?["exit_event"]?["oom_killed"] == false)
            let started = try await bench.call("POST", path + "/start")
            #expect(try started.json["previous_state"] == "stopped")
            #expect(try await bench.call("GET", path + "/wait?state=started&timeout=10").status == 200)
            #expect(try await bench.call("POST", path + "/signal", ["signal": "SIGUSR1"]).status == 200)
            #expect(try await bench.call("DELETE", path).status == 412)
            #expect(try await bench.call("DELETE", path + "?force=true").status == 200)
            #expect(try await bench.call("GET", path + "/wait?state=destroyed&timeout=10").status == 200)
            #expect(try await bench.call("GET", "/v1/apps/web/machines").json == [])
            #expect(try await bench.call("GET", "/v1/apps/web/machines?include_deleted=true").json.array?.count == 1)
        }
    }

    @Test func `secrets and releases are kept`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let set = try await bench.call("POST", "/v1/apps/web/secrets", ["values": ["A": "1", "B": "2"]])
            #expect(try set.json["version"] == 1)
            let unset = try await bench.call("POST", "/v1/apps/web/secrets", ["values": ["B": nil]])
            #expect(try unset.json["version"] == 2)
            let list = try await bench.call("GET", "/v1/apps/web/secrets").json["secrets"]?.array ?? []
            #expect(list.count == 1 && list[0]["name"] == "A" && list[0]["value"] == nil)
            let tooNew = try await bench.call(
                "POST", "/v1/apps/web/machines", ["config": APIBench.config(), "min_secrets_version": 3])
            #expect(tooNew.status == 412)

            #expect(try await bench.call("GET", "/api/v1/apps/web/releases/current").status == 404)
            let made = try await bench.call(
                "POST", "/api/v1/releases",
                ["app_name": "web", "image": "registry.fly.io/web:1", "strategy": "ROLLING", "definition": [:]])
            #expect(made.status == 201)
            let release = try #require(try made.json["release"])
            #expect(release["version"] == 1 && release["status"] == "running" && release["in_progress"] == true)
            let id = try #require(release["id"]?.string)
            let done = try await bench.call(
                "PATCH", "/api/v1/releases/\(id)", ["status": "complete", "metadata": ["run": "1"]])
            #expect(try done.json["status"] == "complete")
            #expect(try await bench.call("GET", "/api/v1/apps/web/releases/current").json["id"]?.string == id)
            let all = try await bench.call("GET", "/api/v1/apps/web/releases?limit=3").json
            #expect(all["releases"]?.array?.count == 1)
            #expect(try await bench.call("GET", "/api/v1/apps/web/logs").json["data"] == [])
        }
    }

    @Test func `who may do what`() async throws {
        let tokens: [String: Set<String>] = ["good": ["hot"], "other": ["cold"], "root": []]
        try await APIBench.with(change: { $0.tokens = tokens }) { bench throws in
            let make: JSONValue = ["name": "web", "org_slug": "hot"]
            #expect(try await bench.call("POST", "/v1/apps", make, token: nil).status == 401)
            #expect(try await bench.call("POST", "/v1/apps", make, token: "bad").status == 401)
            #expect(try await bench.call("POST", "/v1/apps", make, token: "other").status == 403)
            #expect(try await bench.call("POST", "/v1/apps", make, token: "good").status == 201)
            #expect(try await bench.call("GET", "/v1/apps/web", token: "other").status == 403)
            #expect(try await bench.call("GET", "/v1/apps/web", token: "root").status == 200)
            let scheme = ["Authorization": "FlyV1 fm2_x,good"]
            #expect(try await bench.call("GET", "/v1/apps/web", token: nil, headers: scheme).status == 200)
            let registry = ["Authorization": "Basic " + Data("x:good".utf8).base64EncodedString()]
            #expect(try await bench.call("GET", "/v2/", token: nil, headers: registry).status == 200)
            #expect(try await bench.call("GET", "/v2/", token: nil).status == 401)
        }
    }

    @Test(arguments: [
        ("GET", "/v1/nothing", 404), ("GET", "/v3", 404), ("GET", "/v1/apps/none/machines", 404),
        ("GET", "/v1/apps/web/machines/none", 404), ("POST", "/v1/apps", 400), ("POST", "/v1/apps/web/machines", 400),
    ])
    func `what is not there, or not said, is an error in Fly's shape`(
        method: String, path: String, status: Int
    ) async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let answer = try await bench.call(method, path)
            #expect(answer.status == status)
            #expect(try answer.json["error"]?.string?.isEmpty == false)
            #expect(answer.headers["fly-request-id"]?.isEmpty == false)
        }
    }

    @Test func `a body that is no JSON is refused`() async throws {
        try await APIBench.with { bench in
            let headers = ["Host": bench.address.description, "Authorization": "Bearer x", "Connection": "close"]
            let answer = try await bench.send("POST", "/v1/apps", headers: headers, body: Data("{\"name\": ".utf8))
            #expect(answer.status == 400)
        }
    }

    @Test func `calls beyond the burst are told when to come back`() async throws {
        try await APIBench.with(change: { $0.isRateLimited = true }) { bench in
            try await bench.makeApp()
            // A slow machine gives the bucket time to fill between two calls: so many at once empty it all the same.
            let answers = try await bench.ask(60, for: "/v1/apps/web/machines")
            let late = answers.filter { $0.status == 429 }
            #expect(answers.count { $0.status == 200 } >= 3)
            #expect(!late.isEmpty && answers.allSatisfy { $0.status == 200 || $0.status == 429 })
            #expect(late.allSatisfy { $0.headers["retry-after"] == "1" })
            let state = try await bench.call("GET", "/_simulator/state").json
            #expect(state["throttled"] == .integer(Int64(late.count)))
            #expect(state["apps"]?["web"]?["calls"]?["listMachines"] == .integer(Int64(answers.count)))
        }
    }

    @Test func `app traffic goes by host name to healthy machines`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            #expect(try await bench.call("GET", "/", host: "web.fly.dev").status == 503)
            let (id, _) = try await bench.makeMachine()
            let answer = try await bench.call("GET", "/v1/apps", host: "web.localhost:80")
            #expect(answer.status == 200 && answer.headers["fly-instance-id"] == id)
            try await bench.call("POST", "/v1/apps/web/machines/\(id)/cordon")
            #expect(try await bench.call("GET", "/", host: "web.fly.dev").status == 503)
            #expect(try await bench.call("GET", "/", host: "none.fly.dev").status == 404)
        }
    }

    @Test func `a machine that exits shows it, and one that can't start fails`() async throws {
        try await APIBench.with { bench in
            try await bench.makeApp()
            let restart: JSONValue = ["policy": "no"]
            let config = APIBench.config(["env": ["SIMULATED_EXIT_CODE": "7"], "restart": restart])
            let made = try await bench.call("POST", "/v1/apps/web/machines", ["config": config])
            let id = try #require(try made.json["id"]?.string)
            let path = "/v1/apps/web/machines/\(id)"
            #expect(try await bench.call("GET", path + "/wait?state=stopped&timeout=10").status == 200)
            let event = try await bench.call("GET", path).json["events"]?[0]
            #expect(event?["request"]?["exit_event"]?["exit_code"] == 7)
            #expect(event?["request"]?["exit_event"]?["requested_stop"] == false)
            let broken = APIBench.config(["env": ["SIMULATED_BOOT_FAILURE": "no entrypoint"]])
            #expect(try await bench.call("POST", path, ["config": broken]).status == 200)
            #expect(try await bench.call("GET", path).json["state"] == "stopped", "an update does not start it")
            try await bench.call("POST", path + "/start")
            let failed = try await bench.call("GET", path + "/wait?state=failed&state=started&timeout=10")
            #expect(try failed.json["state"] == "failed")
            let logs = try await bench.call("GET", "/api/v1/apps/web/logs").json
            #expect(logs["data"]?[0]?["attributes"]?["message"] == "no entrypoint")
            #expect(logs["data"]?[0]?["attributes"]?["level"] == "error")
            let token = try #require(logs["meta"]?["next_token"]?.string)
            #expect(try await bench.call("GET", "/api/v1/apps/web/logs?next_token=\(token)").json["data"] == [])
        }
    }
}
