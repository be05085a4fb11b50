// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import HTTPTransport
import Model
import Testing

@testable import FlyPlatform

/// What goes over the wire, to the byte.
@Suite struct RequestTests {
    struct Golden: Sendable, CustomTestStringConvertible {
        let line: String
        var body: String?
        var nonce: String?
        let answer: String
        let run: @Sendable (FlyClient) async throws -> Void
        var testDescription: String { line }

        init(
            _ line: String, body: String? = nil, nonce: String? = nil, answer: String = "{}",
            run: @escaping @Sendable (FlyClient) async throws -> Void
        ) {
            self.line = line
            self.body = body
            self.nonce = nonce
            self.answer = answer
            self.run = run
        }
    }

    static let machine = AnyCall.machineJSON
    static let config = MachineConfig(["image": "registry.test/a@sha256:1", "unknown": ["z": 1, "a": [1, 2.5, nil]]])
    static let configText = #"{"image":"registry.test/a@sha256:1","unknown":{"a":[1,2.5,null],"z":1}}"#
    static let m = "https://machines.test/v1/apps/shop"
    static let p = "https://platform.test/api/v1"

    static let goldens: [Golden] = [
        Golden("GET \(m)", answer: #"{"name":"shop"}"#) { _ = try await $0.app("shop") },
        Golden("GET https://machines.test/v1/apps/a%2Fb%20%3F", answer: #"{"name":"x"}"#) {
            _ = try await $0.app("a/b ?")
        },
        Golden("GET \(m)/machines", answer: "[]") { _ = try await $0.machines("shop") },
        Golden(
            "GET \(m)/machines?include_deleted=true&region=ord&metadata.airboss_run=01%20A&metadata.b=%26", answer: "[]"
        ) {
            _ = try await $0.machines(
                "shop", metadata: ["b": "&", "airboss_run": "01 A"], region: "ord", includeDeleted: true)
        },
        Golden("GET \(m)/machines/m1", answer: machine) { _ = try await $0.machine("shop", "m1") },
        Golden("POST \(m)/machines", body: #"{"config":\#(configText),"region":"ord"}"#, answer: machine) {
            _ = try await $0.createMachine("shop", region: "ord", config: config)
        },
        Golden(
            "POST \(m)/machines",
            body: #"{"config":\#(configText),"lease_ttl":13,"min_secrets_version":4,"name":"n","region":"iad","#
                + #""skip_launch":true}"#, answer: machine
        ) {
            _ = try await $0.createMachine(
                "shop", name: "n", region: "iad", config: config, skipLaunch: true, leaseTTL: .milliseconds(12_500),
                minSecretsVersion: 4)
        },
        Golden(
            "POST \(m)/machines/m1", body: #"{"config":\#(configText),"current_version":"01V"}"#, nonce: "n1",
            answer: machine
        ) {
            _ = try await $0.updateMachine("shop", "m1", config: config, currentVersion: "01V", leaseNonce: "n1")
        },
        Golden(
            "POST \(m)/machines/m1",
            body: #"{"config":\#(configText),"current_version":"01V","min_secrets_version":9,"region":"ord","#
                + #""skip_launch":true}"#, nonce: "n1", answer: machine
        ) {
            _ = try await $0.updateMachine(
                "shop", "m1", config: config, currentVersion: "01V", leaseNonce: "n1", skipLaunch: true, region: "ord",
                minSecretsVersion: 9)
        },
        Golden("GET \(m)/machines/m1/wait?state=started&version=01V&timeout=60") {
            _ = try await $0.waitFor("shop", "m1", states: [.started], version: "01V", timeout: .seconds(600))
        },
        Golden("GET \(m)/machines/m1/wait?state=stopped&state=failed&version=01V&timeout=1") {
            _ = try await $0.waitFor("shop", "m1", states: [.stopped, .failed], version: "01V", timeout: .zero)
        },
        Golden(
            "POST \(m)/machines/m1/lease?ttl=13", body: #"{"description":"run 1","ttl":13}"#, answer: AnyCall.leaseJSON
        ) { _ = try await $0.acquireLease("shop", "m1", ttl: .seconds(13), description: "run 1") },
        Golden("POST \(m)/machines/m1/lease?ttl=13", body: #"{"ttl":13}"#, nonce: "n1", answer: AnyCall.leaseJSON) {
            _ = try await $0.refreshLease("shop", "m1", nonce: "n1", ttl: .seconds(13))
        },
        Golden("DELETE \(m)/machines/m1/lease", nonce: "n1") {
            try await $0.releaseLease("shop", "m1", nonce: "n1")
        },
        Golden("GET \(m)/machines/m1/lease", answer: AnyCall.leaseJSON) {
            _ = try await $0.leaseHolder("shop", "m1")
        },
        Golden("POST \(m)/machines/m1/cordon") { try await $0.cordon("shop", "m1") },
        Golden("POST \(m)/machines/m1/cordon", nonce: "n1") { try await $0.cordon("shop", "m1", leaseNonce: "n1") },
        Golden("POST \(m)/machines/m1/uncordon", nonce: "n1") { try await $0.uncordon("shop", "m1", leaseNonce: "n1") },
        Golden("POST \(m)/machines/m1/start", nonce: "n1") { try await $0.start("shop", "m1", leaseNonce: "n1") },
        Golden("POST \(m)/machines/m1/stop", body: "{}", nonce: "n1") {
            try await $0.stop("shop", "m1", leaseNonce: "n1")
        },
        Golden("POST \(m)/machines/m1/stop", body: #"{"signal":"SIGINT","timeout":"10s"}"#) {
            try await $0.stop("shop", "m1", signal: "SIGINT", timeout: .seconds(10))
        },
        Golden("POST \(m)/machines/m1/restart") { try await $0.restart("shop", "m1") },
        Golden("POST \(m)/machines/m1/restart?timeout=1500ms&signal=SIGTERM", nonce: "n1") {
            try await $0.restart(
                "shop", "m1", signal: "SIGTERM", timeout: .milliseconds(1500), leaseNonce: "n1")
        },
        Golden("DELETE \(m)/machines/m1") { try await $0.destroy("shop", "m1") },
        Golden("DELETE \(m)/machines/m1?force=true", nonce: "n1") {
            try await $0.destroy("shop", "m1", force: true, leaseNonce: "n1")
        },
        Golden("GET \(m)/machines/m1/versions", answer: "null") { _ = try await $0.versions("shop", "m1") },
        Golden("GET \(m)/machines/m1/metadata") { _ = try await $0.metadata("shop", "m1") },
        Golden("POST \(m)/machines/m1/metadata/a%2Fb", body: #"{"value":"v"}"#) {
            try await $0.setMetadata("shop", "m1", key: "a/b", value: "v")
        },
        Golden(
            "PATCH \(m)/machines/m1/metadata", body: #"{"machine_version":"01V","metadata":{"gone":null,"k":"v"}}"#
        ) { try await $0.patchMetadata("shop", "m1", ["k": "v", "gone": nil], expecting: "01V") },
        Golden("DELETE \(m)/machines/m1/metadata/k") { try await $0.deleteMetadata("shop", "m1", key: "k") },
        Golden("GET \(m)/secrets", answer: #"{"secrets":null}"#) { _ = try await $0.secrets("shop") },
        Golden("DELETE \(m)") { try await $0.deleteApp("shop") },
        Golden("GET https://machines.test/v1/platform/regions", answer: #"{"regions":[]}"#) {
            _ = try await $0.regions()
        },
        Golden(
            "POST https://machines.test/v1/platform/placements",
            body: #"{"compute":{"cpus":1},"count":2,"org_slug":"o","region":"ord"}"#, answer: #"{"regions":[]}"#
        ) { _ = try await $0.placements(organization: "o", region: "ord", guest: ["cpus": 1], count: 2) },
        Golden(
            "POST \(p)/releases",
            body: #"{"app_name":"shop","build_id":0,"definition":{"app":"shop"},"image":"i","strategy":"ROLLING"}"#,
            answer: #"{"release":{"id":"r1","version":7}}"#
        ) { _ = try await $0.createRelease("shop", image: "i", strategy: .rolling, definition: ["app": "shop"]) },
        Golden("PATCH \(p)/releases/r1", body: #"{"metadata":{"by":"me"},"status":"interrupted"}"#) {
            try await $0.finishRelease("r1", status: .interrupted, metadata: ["by": "me"])
        },
        Golden("GET \(p)/apps/shop/releases?limit=5", answer: #"{"releases":[]}"#) {
            _ = try await $0.releases("shop", limit: 5)
        },
        Golden("GET \(p)/apps/shop/releases/current", answer: #"{"id":"r","version":1}"#) {
            _ = try await $0.currentRelease("shop")
        },
        Golden("GET \(p)/apps/shop/logs?next_token=t%3D1&region=ord&instance=m1", answer: #"{"data":[]}"#) {
            _ = try await $0.logs("shop", nextToken: "t=1", region: "ord", instance: "m1")
        },
    ]

    @Test(arguments: goldens)
    func `a request is encoded`(_ golden: Golden) async throws {
        let http = ScriptedHTTP([.ok(golden.answer)])
        try await golden.run(makeClient(http))
        let request = try #require(http.requests.first)
        #expect("\(request.method) \(request.url)" == golden.line)
        #expect(request.bodyText == golden.body)
        #expect(request.headers["fly-machine-lease-nonce"] == golden.nonce)
        #expect(request.headers["authorization"] == "FlyV1 " + testToken)
        #expect(request.headers["accept"] == "application/json")
        #expect(request.headers["content-type"] == (golden.body == nil ? nil : "application/json"))
        #expect(request.maxRedirects == 0)
        #expect(request.timeouts.stall >= request.timeouts.total)
    }

    @Test func `user tokens go as Bearer, and with macaroons only to the platform API`() async throws {
        let http = ScriptedHTTP([.ok("[]"), .ok(#"{"releases":[]}"#), .ok(#"{"data":[]}"#)])
        let client = try makeClient(http, token: "fo1_u,fm2_m")
        _ = try await client.machines("a")
        _ = try await client.releases("a")
        _ = try await client.logs("a")
        #expect(
            http.requests.map { $0.headers["authorization"] } == ["FlyV1 fm2_m", "FlyV1 fm2_m,fo1_u", "FlyV1 fm2_m"])
        let plain = ScriptedHTTP([.ok("[]")])
        _ = try await makeClient(plain, token: "fo1_u").machines("a")
        #expect(plain.requests[0].headers["authorization"] == "Bearer fo1_u")
    }

    @Test(arguments: [1, 30, 60])
    func `a wait's transfer outlasts the wait`(_ seconds: Int) async throws {
        let http = ScriptedHTTP([.ok("{}")])
        _ = try await makeClient(http).waitFor(
            "a", "m", states: [.started], version: "v", timeout: .seconds(seconds))
        #expect(http.requests[0].timeouts.total == .seconds(seconds) + FlyTimeouts.waitGrace)
        #expect(http.requests[0].timeouts.stall >= .seconds(seconds))
    }

    @Test(arguments: ["", ".", ".."])
    func `a name that is no part of a path is refused before anything is sent`(_ name: String) async throws {
        let http = ScriptedHTTP([])
        let client = try makeClient(http)
        let error = try await #require(throws: FlyError.self) { try await client.destroy("a", MachineID(name)) }
        #expect(error.code == .badRequest && error.isDefinite)
        await #expect(throws: FlyError.self) { try await client.deleteApp(AppName(name)) }
        await #expect(throws: FlyError.self) { try await client.setMetadata("a", "m", key: name, value: "") }
        #expect(client.callCount == 0)
    }

    @Test(arguments: [JSONValue.null, .object([:]), .string("x")])
    func `a config that is none is refused before anything is sent`(_ json: JSONValue) async throws {
        let client = try makeClient(ScriptedHTTP([]))
        await #expect(throws: FlyError.self) {
            _ = try await client.updateMachine(
                "a", "m", config: MachineConfig(json), currentVersion: "v", leaseNonce: "n")
        }
        await #expect(throws: FlyError.self) {
            _ = try await client.createMachine("a", region: "ord", config: MachineConfig(json))
        }
        #expect(client.callCount == 0)
    }
}
