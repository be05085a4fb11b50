// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import TestSupport
import Testing

/// A repository, a token or a platform that is wrong.
@Suite("Bad repositories, tokens and platforms", .serialized, .workshop(.model, deployed: true))
struct BadWorldTests {
    private static let repositories: [BadInput] = [
        .pipeline(
            "no repository", 12, replacing: "repository: ..", by: "repository: /", names: ["no git repository at /"]),
        .pipeline(
            "a branch that is not there", 12, replacing: "branch: main", by: "branch: trunk", names: ["trunk"]),
        BadInput(
            "a commit that is not there", 12, names: ["no-such-tag"],
            arguments: ["deploy", "production", "--commit", "no-such-tag", "--reason", "Try"]),
        BadInput(
            "commit that is not on the branch", 12, names: ["main"],
            spoil: { workshop in
                try await workshop.git("checkout", "-q", "-b", "side")
                try await workshop.git("commit", "-q", "--allow-empty", "-m", "On the side")
            }, mend: { try await $0.git("checkout", "-q", "main") }),
        BadInput(
            "dirty tree", 12, names: ["left-over.txt", "clean-worktree"],
            spoil: { try $0.write("left-over.txt", "x") }, mend: { try $0.remove("left-over.txt") }),
        .pipeline(
            "entrypoint that is not in the image", 12, replacing: "[/app/server]", by: "[/app/sevrer]",
            names: ["/app/sevrer"]),
        .pipeline(
            "a copied folder that is not in the commit", 12, replacing: "from: app", by: "from: ap", names: ["ap"]),
        .pipeline(
            "unborn branch", 12, replacing: "repository: ..", by: "repository: ../../unborn",
            names: ["main", "no commit"]),
    ]

    @Test("a repository", arguments: repositories)
    func repository(_ input: BadInput) async throws {
        let workshop = try #require(Workshop.current)
        let unborn = workshop.folder + "/unborn"
        if !FileManager.default.fileExists(atPath: unborn) {
            try await workshop.git("init", "-q", "-b", "main", unborn)
        }
        try await input.check()
    }

    private static let tokens: [BadInput] = [
        BadInput("missing", 78, names: ["FLY_API_TOKEN is not set"], environment: ["FLY_API_TOKEN": nil]),
        BadInput("empty", 78, names: ["FLY_API_TOKEN is empty"], environment: ["FLY_API_TOKEN": ""]),
        BadInput("with a space", 78, names: ["FLY_API_TOKEN"], environment: ["FLY_API_TOKEN": "fm2_one two"]),
        BadInput("with a line break", 78, names: ["line break"], environment: ["FLY_API_TOKEN": "fm2_one\n"]),
        BadInput("with an empty entry", 78, names: ["empty entry"], environment: ["FLY_API_TOKEN": "fm2_one,,x"]),
        BadInput("with quotes", 78, names: ["quotes"], environment: ["FLY_API_TOKEN": "\"fm2_one\""]),
    ]

    @Test("a token that can be none", arguments: tokens)
    func token(_ input: BadInput) async throws {
        try await input.check()
    }

    /// Status, what the run ends with, and what the message says.
    private static let refusals: [(status: Int, exit: Int32, names: [String])] = [
        (401, 12, ["token"]), (403, 12, ["token"]),
    ]

    @Test("a token that is rejected, or another organisation's", arguments: refusals)
    func rejectedToken(_ refusal: (status: Int, exit: Int32, names: [String])) async throws {
        let secret = "fm2_do-not-show-this-token"
        let server = try LoopbackServer { _ in .json(refusal.status, "{\"error\":\"refused for \(secret)\"}") }
        defer { server.stop() }
        try await BadInput(
            "\(refusal.status)", refusal.exit, names: refusal.names + ["\(refusal.status)"],
            environment: [
                "FLY_FLAPS_BASE_URL": server.url, "FLY_API_BASE_URL": server.url, "FLY_API_TOKEN": secret,
            ]
        ).check()
        #expect(!server.requests.isEmpty)
        let workshop = try #require(Workshop.current)
        let run = try await workshop.airboss(
            "deploy", "production", "--reason", "Try", "--verbose",
            with: ["FLY_FLAPS_BASE_URL": server.url, "FLY_API_BASE_URL": server.url, "FLY_API_TOKEN": secret])
        #expect(!run.everything.contains("do-not-show"))
    }

    @Test("an app that is not there")
    func missingApp() async throws {
        try await BadInput(
            "app", 12, names: ["pier", "fly apps create"],
            spoil: { workshop in
                try workshop.write("bad.toml", Workshop.flyToml.replacing("harbour", with: "pier"))
                try workshop.write(
                    "pipelines/bad.yml",
                    workshop.pipeline().replacing("app: harbour", with: "app: pier")
                        .replacing("../fly.toml", with: "../bad.toml"))
            }
        ).check()
    }

    private static func fault(_ effect: JSONValue) -> JSONValue {
        ["count": .null, "effect": effect]
    }

    private static let faults: [BadInput] = [
        ("answers with HTML", ["html": ["status": 502]], ["web page", "502"]),
        ("answers 200 with HTML", ["html": ["status": 200]], ["web page"]),
        ("breaks off its JSON", ["truncate": [:]], ["broke off"]),
        ("answers 10 MB of noise", ["noise": ["bytes": 10_000_000]], ["longer than 8388608 bytes"]),
        ("answers 1 MB of noise", ["noise": ["bytes": 1_000_000]], ["1000000 bytes", "JSON"]),
        ("answers 500", ["refuse": ["status": 500, "message": "oops"]], ["500", "oops"]),
        ("hangs up", ["dropBeforeApplying": [:]], ["could not be reached"]),
    ].map { (what: String, effect: JSONValue, names: [String]) in
        BadInput(
            what, 69, names: names, arguments: ["deploy", "production", "--reason", "Try"],
            spoil: { try await $0.fly.breakDown(fault(effect)) }, mend: { try await $0.fly.heal() })
    }

    @Test("a platform that", arguments: faults)
    func platform(_ input: BadInput) async throws { try await input.check() }

    @Test("a platform that is down")
    func down() async throws {
        let url = "http://127.0.0.1:\(try LoopbackServer.unusedPort())"
        try await BadInput(
            "down", 69, names: [url, "could not be reached"],
            environment: ["FLY_FLAPS_BASE_URL": url, "FLY_API_BASE_URL": url]
        ).check()
    }

    @Test("a platform under a name that does not resolve, or no URL")
    func address() async throws {
        try await BadInput(
            "name", 69, names: ["fly.invalid"], environment: ["FLY_FLAPS_BASE_URL": "https://fly.invalid"]
        ).check()
        try await BadInput(
            "no encryption", 78, names: ["unencrypted", "fly.invalid"],
            environment: ["FLY_FLAPS_BASE_URL": "http://fly.invalid"]
        ).check()
        try await BadInput(
            "no URL", 78, names: ["FLY_FLAPS_BASE_URL"], environment: ["FLY_FLAPS_BASE_URL": "fly.invalid:80"]
        ).check()
    }

    @Test("a platform that is slow is waited for")
    func slow() async throws {
        let workshop = try #require(Workshop.current)
        try await workshop.fly.breakDown(["count": 3, "effect": ["delay": ["milliseconds": 2000]]])
        let run = try await workshop.run("deploy", "production", "--reason", "Slowly")
        try await workshop.fly.heal()
        #expect(run.status == 0, "\(run.outcome.everything)")
        #expect((run.last["duration_ms"]?.integer ?? 0) >= 2000)
    }

    @Test("a registry that refuses, or is down")
    func registry() async throws {
        for (answer, names) in [(LoopbackAnswer.json(403, "{}"), ["403"]), (.html(200), []), (.status(401), ["401"])] {
            let server = try LoopbackServer { _ in answer }
            defer { server.stop() }
            let run = try await deploy(registry: "127.0.0.1:\(server.port)")
            #expect(run.status == 12 || run.status == 69, "\(run.outcome.everything)")
            #expect(run.stage("build")?["state"]?.string != "passed")
            #expect(run.message.contains("127.0.0.1:\(server.port)"), "\(run.message)")
            for name in names { #expect(run.message.contains(name), "\(run.message)") }
        }
        let port = try LoopbackServer.unusedPort()
        let run = try await deploy(registry: "127.0.0.1:\(port)")
        #expect(run.status == 69)
        #expect(run.message.contains("127.0.0.1:\(port)"), "\(run.message)")
    }

    private func deploy(registry: String) async throws -> JSONRun {
        let workshop = try #require(Workshop.current)
        let before = try await workshop.standing()
        let run = try await workshop.run(
            "deploy", "production", "--reason", "Try", with: ["FLY_REGISTRY_HOST": registry])
        #expect(try await workshop.standing() == before)
        return run
    }

    @Test("an image that can't be pulled")
    func missingImage() async throws {
        let workshop = try #require(Workshop.current)
        let image = "\(workshop.fly.address)/harbour:never-pushed"
        try await BadInput(
            "image", 12, names: [image], arguments: ["deploy", "production", "--image", image, "--reason", "Try"]
        ).check()
    }

    @Test("a health URL that does not resolve is refused before anything changes")
    func healthURL() async throws {
        let workshop = try #require(Workshop.current)
        let before = try await workshop.fly.machines(Workshop.app).map { $0["image_ref"]?["digest"] }
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline().replacing("harbour.localhost:\(workshop.fly.port)", with: "harbour.invalid"))
        let run = try await workshop.run("deploy", "bad", "--reason", "Try")
        #expect(run.status == 12, "\(run.outcome.everything)")
        #expect(run.message.contains("health-url"), "\(run.message)")
        #expect(run.message.contains("harbour.invalid"), "\(run.message)")
        #expect(run.last["next_steps"]?.array?.isEmpty == false)
        #expect(try await workshop.fly.machines(Workshop.app).map { $0["image_ref"]?["digest"] } == before)
        #expect(try await workshop.fly.leased(Workshop.app) == [])
    }
}
