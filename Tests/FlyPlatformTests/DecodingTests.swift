// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import HTTPTransport
import Model
import Testing

@testable import FlyPlatform

@Suite struct DecodingTests {
    static let digest = "sha256:" + String(repeating: "ab", count: 32)

    static let machineText = """
        {"id":"91857","name":"little-sky","state":"started","region":"ord","instance_id":"01VERSION","nonce":"n7",
         "private_ip":"fdaa:0:1::3","host_status":"ok","cordoned":true,"future":{"field":1},
         "image_ref":{"registry":"registry.fly.io","repository":"shop","tag":"deployment-1","digest":"\(digest)"},
         "config":{"image":"registry.fly.io/shop:deployment-1","guest":{"cpu_kind":"shared","cpus":2,"memory_mb":2048},
           "big":9007199254740993,"rate":0.25,"nothing":null,"flag":false,"autostop":"suspend",
           "metadata":{"fly_platform_version":"v2","fly_process_group":"web"},"unheard_of":[{"deep":[1,[2,{"x":""}]]}]},
         "checks":[{"name":"servicecheck-00-http-8080","status":"passing","output":"200 OK",
            "updated_at":"2026-11-21T09:00:00.5Z"},
           {"name":"bg_deployments_compat_1","status":"critical"}],
         "events":[
           {"type":"exit","status":"stopped","source":"flyd","timestamp":1795000000123,
            "request":{"MonitorEvent":{"exit_event":{"exit_code":137,"oom_killed":true,"requested_stop":false}},
                       "exit_event":{"exit_code":1}}},
           {"type":"exit","status":"stopped","timestamp":1794999999000,
            "request":{"exit_event":{"requested_stop":true}}},
           {"type":"start","status":"started","timestamp":1794999998000}]}
        """

    @Test func `a machine is read with what matters, and its config whole`() async throws {
        let http = ScriptedHTTP([.ok(Self.machineText)])
        let machine = try await makeClient(http).machine("shop", "91857")
        #expect(machine.id == "91857" && machine.name == "little-sky" && machine.state == "started")
        #expect(machine.region == "ord" && machine.instance == "01VERSION" && machine.isCordoned)
        #expect(machine.imageDigest == ImageDigest(Self.digest))
        #expect(machine.isConfigComplete && machine.isManaged && machine.privateAddress == "fdaa:0:1::3")
        #expect(
            machine.checks == [
                .init(
                    name: "servicecheck-00-http-8080", status: "passing", output: "200 OK",
                    updatedAt: Timestamp("2026-11-21T09:00:00.5Z"))
            ])
        #expect(machine.events.map(\.type) == ["exit", "exit", "start"])
        #expect(machine.events.map(\.exitCode) == [137, 0, nil])
        #expect(machine.events.map(\.isOutOfMemory) == [true, false, false])
        #expect(machine.events.map(\.wasRequested) == [false, true, false])
        #expect(machine.events[0].at == Timestamp(milliseconds: 1_795_000_000_123))
    }

    @Test func `a config read and written back is the same, unknown fields and integers included`() async throws {
        let http = ScriptedHTTP([.ok("[\(Self.machineText)]"), .ok(Self.machineText)])
        let client = try makeClient(http)
        let machine = try await client.machines("shop")[0]
        _ = try await client.updateMachine(
            "shop", machine.id, config: machine.config, currentVersion: machine.instance, leaseNonce: "n")
        let sent = try JSONValue(parsing: try #require(http.requests[1].bodyText))
        let original = try JSONValue(parsing: Self.machineText)
        #expect(sent["config"] == original["config"])
        let text = try #require(sent["config"]).text()
        #expect(text.contains(#""big":9007199254740993"#), "a double would end in 992")
        #expect(text.contains(#""nothing":null"#) && text.contains(#""flag":false"#) && text.contains(#""rate":0.25"#))
    }

    @Test(arguments: [
        (
            #""config":null,"host_status":"unknown","incomplete_config":{"metadata":{"fly_platform_version":"v2"}}"#,
            true
        ),
        (#""incomplete_config":{"metadata":{"fly_platform_version":"v2"}}"#, true), (#""config":null"#, false),
        ("\"x\":1", false),
    ])
    func `a machine whose host is away is known by what there is`(_ members: String, _ isManaged: Bool) async throws {
        let http = ScriptedHTTP([.ok(#"[{"id":"m","state":"started",\#(members)}]"#)])
        let machine = try await makeClient(http).machines("a")[0]
        #expect(!machine.isConfigComplete && machine.isManaged == isManaged && machine.hostStatus != "ok")
    }

    @Test(arguments: [
        "null", "{}", #"{"machines":[]}"#, "\"\"", "0", "[{}]", #"[{"id":"m"}]"#, #"[{"id":"","state":"s"}]"#, "[null]",
        "",
        "[", #"[{"id":"m","state":"started"}"#, "not json", "[]]",
    ])
    func `what is no list of machines never passes for an empty fleet`(_ body: String) async throws {
        let http = ScriptedHTTP([.ok(body)])
        let client = try makeClient(http, policy: .never)
        let error = try await #require(throws: FlyError.self) { _ = try await client.machines("a") }
        #expect(error.code == .malformedAnswer && error.status == 200)
    }

    @Test func `an app's organisation and status`() async throws {
        let http = ScriptedHTTP([
            .ok(#"{"id":"x","name":"shop","status":"deployed","organization":{"name":"Hot Dash","slug":"hotdash"}}"#)
        ])
        #expect(
            try await makeClient(http).app("shop")
                == AppInfo(name: "shop", organization: "hotdash", status: "deployed"))
    }

    @Test func `leases, wrapped or bare`() async throws {
        let expected = Lease(
            nonce: "abc", expiresAt: Timestamp(secondsSinceEpoch: 1_795_000_000), owner: "me@x.test", version: "01V")
        let data = #"{"nonce":"abc","expires_at":1795000000,"owner":"me@x.test","version":"01V"}"#
        let http = ScriptedHTTP([
            .answer(201, #"{"status":"success","data":\#(data)}"#, [:]), .ok(data),
        ])
        let client = try makeClient(http)
        #expect(try await client.acquireLease("a", "m", ttl: .seconds(13), description: "") == expected)
        #expect(try await client.refreshLease("a", "m", nonce: "abc", ttl: .seconds(13)) == expected)
    }

    @Test func `who holds a lease, and that nobody does`() async throws {
        let expected = LeaseHolder(
            owner: "me@x.test", description: "airboss run 01R on runner-7",
            expiresAt: Timestamp(secondsSinceEpoch: 1_795_000_000))
        let data =
            #"{"nonce":"abc","expires_at":1795000000,"owner":"me@x.test","description":"airboss run 01R\non runner-7"}"#
        let http = ScriptedHTTP([
            .ok(#"{"status":"success","data":\#(data)}"#), .ok(data), .status(404, #"{"error":"lease not found"}"#),
            .status(404, #"{"error":"machine ID m has no lease"}"#), .ok(#"{"status":"success","data":null}"#),
        ])
        let clock = JumpingClock()
        let client = try makeClient(http, clock: clock.clientClock)
        #expect(try await client.leaseHolder("a", "m") == expected)
        #expect(try await client.leaseHolder("a", "m") == expected)
        for _ in 1...3 { #expect(try await client.leaseHolder("a", "m") == nil) }
        #expect(clock.now >= .seconds(2), "three at once, then one a second")
    }

    @Test(arguments: [#"{"error":"machine not found"}"#, ""])
    func `a machine that is gone has no lease to speak of: that is an error`(_ body: String) async throws {
        let client = try makeClient(ScriptedHTTP([.status(404, body)]))
        let error = try await #require(throws: FlyError.self) { _ = try await client.leaseHolder("a", "m") }
        #expect(error.code == .machineNotFound)
    }

    @Test func `destroying a machine that is gone is not found, and surely did nothing`() async throws {
        let client = try makeClient(ScriptedHTTP([.status(404, #"{"error":"machine not found"}"#)]))
        let error = try await #require(throws: FlyError.self) {
            try await client.destroy("a", "m", force: true, leaseNonce: "n1")
        }
        #expect(error.code == .machineNotFound && error.isDefinite)
    }

    @Test(arguments: [
        (200, #"{"ok":true,"state":"started","version":"01V","event_id":"e"}"#, WaitOutcome.reached(state: "started")),
        (200, #"{"ok":true}"#, .reached(state: "started")),
        (200, #"{"ok":true,"state":"started","version":"01OLD"}"#, .superseded(by: "01OLD", state: "started")),
        (200, #"{"ok":false,"state":"starting"}"#, .timedOut),
        (408, #"{"error":"deadline exceeded"}"#, .timedOut), (404, #"{"error":"machine not found"}"#, .gone),
        (404, "", .gone),
    ])
    func `how waits end`(_ status: Int, _ body: String, _ expected: WaitOutcome) async throws {
        let http = ScriptedHTTP([.status(status, body)])
        let client = try makeClient(http)
        let outcome = try await client.waitFor(
            "a", "m", states: [.started], version: "01V", timeout: .seconds(5))
        #expect(outcome == expected)
        #expect(client.callCount == 1, "an answer is not asked for twice")
    }

    @Test func `a wait on an app that is missing is an error, not a machine that is gone`() async throws {
        let client = try makeClient(ScriptedHTTP([.status(404, #"{"error":"app not found"}"#)]))
        let error = try await #require(throws: FlyError.self) {
            _ = try await client.waitFor("a", "m", states: [.started], version: "v", timeout: .seconds(1))
        }
        #expect(error.code == .appNotFound)
    }

    @Test func `secrets are names and digests, never values`() async throws {
        let http = ScriptedHTTP([
            .ok(#"{"secrets":[{"name":"DATABASE_URL","digest":"d1","value":"postgres://hush"}],"version":12}"#)
        ])
        let list = try await makeClient(http).secrets("a")
        #expect(list == SecretList(secrets: [.init(name: "DATABASE_URL", digest: "d1")], version: 12))
        #expect(!http.requests[0].url.contains("show_secrets"))
    }

    @Test func `versions, metadata, regions and placements`() async throws {
        let http = ScriptedHTTP([
            .ok(
                #"[{"version":"01B","user_config":{"image":"b","odd":1}},{"version":"01A","user_config":{"a":1}}]"#
            ),
            .ok(#"{"k":"v","odd":1}"#),
            .ok(#"{"nearest":"ord","regions":[{"code":"ord","name":"Chicago","requires_paid_plan":true}]}"#),
            .ok(#"{"regions":[{"region":"ord","count":3,"concurrency":1}]}"#),
        ])
        let client = try makeClient(http)
        let versions = try await client.versions("a", "m")
        #expect(versions.map(\.instance) == ["01B", "01A"] && versions[0].config.json["odd"] == 1)
        #expect(try await client.metadata("a", "m") == ["k": "v"])
        #expect(
            try await client.regions() == [
                Region(code: "ord", name: "Chicago", isDeprecated: false, requiresPaidPlan: true)
            ])
        #expect(
            try await client.placements(organization: "o", region: "ord", count: 3) == [
                Placement(region: "ord", count: 3)
            ])
    }

    @Test func `releases and the current one`() async throws {
        let release = """
            {"id":"r9","version":71,"status":"complete","image_ref":"registry.fly.io/a:x","strategy":"ROLLING",
             "user":"me@x.test","created_at":"2026-11-20T10:00:00Z"}
            """
        let expected = PlatformRelease(
            id: "r9", version: ReleaseNumber(71), status: "complete", image: "registry.fly.io/a:x", strategy: "ROLLING",
            user: "me@x.test", createdAt: Timestamp("2026-11-20T10:00:00Z"))
        let http = ScriptedHTTP([
            .ok(#"{"releases":[\#(release)]}"#), .ok(release), .status(404, "{}"),
            .answer(201, #"{"release":{"id":42,"version":72}}"#, [:]),
            .status(404, #"{"error":"Could not find App"}"#),
        ])
        let client = try makeClient(http)
        #expect(try await client.releases("a") == [expected])
        #expect(try await client.currentRelease("a") == expected)
        #expect(try await client.currentRelease("a") == nil)
        let created = try await client.createRelease("a", image: "i", strategy: .rolling, definition: [:])
        #expect(created.id == "42" && created.version == ReleaseNumber(72))
        await #expect(throws: FlyError.self) { _ = try await client.currentRelease("a") }
    }

    @Test func `log lines and where to go on`() async throws {
        let http = ScriptedHTTP([
            .ok(
                """
                {"data":[{"id":"1","attributes":{"timestamp":"2026-11-21T09:00:00.123Z","message":"boot","level":"info",
                  "instance":"m1","region":"ord","meta":{"x":1}}}],"meta":{"next_token":1795000000123456789}}
                """), .ok(#"{"data":[],"meta":{"next_token":""}}"#),
        ])
        let client = try makeClient(http)
        let page = try await client.logs("a")
        #expect(page.lines.map(\.message) == ["boot"] && page.nextToken == "1795000000123456789")
        #expect(page.lines[0].at == Timestamp("2026-11-21T09:00:00.123Z"))
        #expect(try await client.logs("a") == LogPage(lines: [], nextToken: nil))
    }

    @Test func `a created machine carries the lease that came with it`() async throws {
        let http = ScriptedHTTP([.ok(Self.machineText), .ok(AnyCall.machineJSON)])
        let client = try makeClient(http)
        let with = try await client.createMachine("a", region: "ord", config: AnyCall.config, leaseTTL: .seconds(13))
        #expect(with.leaseNonce == "n7")
        let without = try await client.createMachine("a", region: "ord", config: AnyCall.config)
        #expect(without.leaseNonce == nil && without.machine.id == "m1")
    }
}
