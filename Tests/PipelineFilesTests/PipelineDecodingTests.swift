// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import PipelineFiles
import Testing

@Suite struct PipelineDecodingTests {
    static let path = "pipelines/production.yml"

    static func parse(_ text: String, _ environment: [String: String] = [:]) throws -> Pipeline {
        try Pipeline(parsing: text, path: path, environment: environment)
    }

    private static func times(_ period: Pipeline.Window.Closed) -> String {
        switch period.times {
        case .dates(let from, let to): "\(from.value) to \(to.value)"
        case .every(let days): "every \(days.value)"
        }
    }

    @Test(
        arguments: [
            ("", [ApprovalKind.ssh, .review], [], Duration.zero, Duration.seconds(604_800)),
            (
                ", approval_environments: [production]", [.ssh, .review, .environment], ["production"], .zero,
                .seconds(604_800)
            ),
            (
                ", approvals_accept: [ssh], wait_for_approvals: 2h, approvals_expire: 24h", [.ssh], [], .seconds(7200),
                .seconds(86_400)
            ),
        ] as [(String, [ApprovalKind], [String], Duration, Duration)])
    func `what counts as an approval`(
        _ more: String, _ kinds: [ApprovalKind], _ environments: [String], _ patience: Duration, _ lifetime: Duration
    ) throws {
        let gates = try Self.parse(
            "version: 1\napp: a\nfly_toml: f.toml\nbuild: { image: a/b:c }\ngates: { approvals: 1\(more) }\n"
        ).gates
        #expect(gates.approvalsAccept == kinds)
        #expect(gates.approvalEnvironments == environments)
        #expect(gates.waitForApprovals == patience)
        #expect(gates.approvalsExpire == lifetime)
    }

    @Test func `the contract's example decodes whole`() throws {
        let pipeline = try Self.parse(Fixtures.text("full.yml"))
        #expect(pipeline.name == "production")
        #expect(pipeline.app == "hotdash-production")
        #expect(pipeline.flyToml == "pipelines/fly.production.toml")
        #expect(pipeline.source.repository.source == "..")
        #expect(pipeline.source.branch?.source == "main")
        #expect(pipeline.gates.cleanWorktree)
        #expect(pipeline.gates.checks == ["Docs Policy", "Danger", "Gitleaks", "AI Config", "Health Check"])
        #expect(pipeline.gates.waitForChecks == .seconds(600))
        #expect(pipeline.gates.checksAccept == ["success"])
        #expect(pipeline.gates.healthy.map(\.source) == ["staging"])
        #expect(pipeline.gates.approvals == 1)
        #expect(pipeline.gates.secrets == ["DATABASE_URL", "SUPABASE_URL", "SUPABASE_SERVICE_KEY"])
        let window = try #require(pipeline.window)
        #expect(window.timeZone.value == "America/Los_Angeles")
        #expect(window.timeZone.location == SourceLocation(path: Self.path, line: 12, column: 14))
        #expect(window.open.map(\.value) == ["Mon-Fri 09:00-17:00"])
        #expect(window.open[0].location == SourceLocation(path: Self.path, line: 13, column: 10))
        #expect(window.closed.map(Self.times) == ["2026-12-24 to 2027-01-02"])
        #expect(window.closed.map(\.reason) == ["Holidays"])
        #expect(window.holidays.map(\.value) == ["us-federal"])
        guard case .layers(let layers) = pipeline.build else { return #expect(Bool(false), "not layers") }
        #expect(layers.base == .scratch)
        #expect(layers.copy.map(\.from) == ["dist"])
        #expect(layers.copy.map(\.to) == ["/app"])
        #expect(layers.entrypoint.map(\.source) == ["/app/server"])
        #expect(pipeline.deploy.strategy == .rolling)
        #expect(pipeline.deploy.maxUnavailable == .count(machines: 1))
        #expect(pipeline.deploy.servingFloor == 1)
        #expect(pipeline.deploy.waitTimeout == .seconds(300))
        #expect(pipeline.verify.url?.source == "https://hotdash-production.fly.dev")
        #expect(pipeline.verify.health.path == "/health")
        #expect(pipeline.verify.health.status == [200])
        #expect(pipeline.verify.health.body == ["status": ["ok", "healthy"]])
        #expect(pipeline.verify.health.timeout == .seconds(5))
        #expect(pipeline.verify.health.within == .seconds(2))
        #expect(pipeline.verify.attempts == 10)
        #expect(pipeline.verify.interval == .seconds(10))
        #expect(pipeline.verify.consecutive == 3)
        #expect(pipeline.verify.smoke.map(\.path) == ["/", "/auth/callback"])
        #expect(pipeline.verify.smoke.map(\.status) == [[200, 302], [302]])
        #expect(pipeline.verify.soak == .seconds(900))
        #expect(pipeline.rollback.automatic)
        #expect(pipeline.rollback.within == .seconds(300))
        #expect(pipeline.rollback.migrations == ["prisma/migrations"])
        #expect(pipeline.notify.email?.to.map(\.source) == ["${NOTIFY_EMAIL}"])
        #expect(pipeline.notify.slack?.variables == ["SLACK_WEBHOOK_URL"])
        #expect(pipeline.notify.github.deployment)
        #expect(try pipeline.state.url.resolve(in: [:]) == "sqlite:.airboss/state.sqlite")
        #expect(try pipeline.state.url.resolve(in: ["AIRBOSS_STATE": "sqlite:x"]) == "sqlite:x")
        #expect(pipeline.state.isStated)
    }

    @Test func `a minimal file has every default`() throws {
        let pipeline = try Self.parse(Fixtures.text("minimal.yml"))
        #expect(pipeline.source.repository.source == ".")
        #expect(pipeline.source.branch == nil)
        #expect(pipeline.gates.cleanWorktree)
        #expect(pipeline.gates.approvals == 0)
        #expect(!pipeline.gates.authorMayApprove)
        #expect(pipeline.window == nil)
        #expect(pipeline.deploy.strategy == .rolling)
        #expect(pipeline.deploy.maxUnavailable == .count(machines: 1))
        #expect(pipeline.deploy.servingFloor == nil)
        #expect(pipeline.deploy.waitTimeout == .seconds(300))
        #expect(pipeline.deploy.machines.count(for: "app") == nil)
        #expect(pipeline.verify.health.path == "/health")
        #expect(pipeline.verify.health.within == .seconds(5))
        #expect(pipeline.verify.soak == .zero)
        #expect(pipeline.rollback.automatic)
        #expect(pipeline.notify.email == nil)
        #expect(pipeline.state.url.source == Pipeline.State.defaultURL)
        #expect(!pipeline.state.isStated)
        #expect(pipeline.unsupportedFeatures.isEmpty)
        #expect(pipeline.warnings.isEmpty)
        guard case .image(let reference) = pipeline.build else { return #expect(Bool(false), "not an image") }
        #expect(try reference.resolve(in: ["GITHUB_SHA": "abc"]) == "registry.fly.io/hotdash-staging:abc")
        #expect(try reference.resolve(in: [:]) == "registry.fly.io/hotdash-staging:latest")
    }

    @Test func `layers, machines by group and single statuses`() throws {
        let pipeline = try Self.parse(Fixtures.text("groups.yml"))
        let window = try #require(pipeline.window)
        #expect(window.closed.map(Self.times) == ["11-25 to 12-02", "every Fri 15:00-24:00"])
        #expect(window.highTraffic.map(\.name) == ["Lunch"] && window.closed.map(\.name) == ["", ""])
        #expect(window.highTraffic.map(\.timeZone?.value) == ["America/New_York"])
        #expect(window.highTraffic[0].reason == "orders" && window.highTraffic[0].location.line == 15)
        #expect(window.holidays.map(\.value) == ["us-federal", "holidays/team.txt"])
        #expect(window.mustFinish)
        #expect(window.maintenance?.notice == .seconds(172_800) && window.maintenance?.longest == .seconds(28_800))
        guard case .layers(let layers) = pipeline.build else { return #expect(Bool(false), "not layers") }
        guard case .image(let base) = layers.base else { return #expect(Bool(false), "no base") }
        #expect(base.source == "debian:12-slim")
        #expect(layers.copy.map(\.mode) == [0o755, nil])
        #expect(layers.cmd.map(\.source) == ["--port", "3000"])
        #expect(try layers.env["PRICE"]?.resolve(in: [:]) == "$5")
        #expect(try layers.env["WORKERS"]?.resolve(in: [:]) == "4")
        #expect(try layers.env["GREETING"]?.resolve(in: ["GREETING": "hi"]) == "hi")
        #expect(layers.workdir == "/app")
        #expect(layers.user == "1000")
        #expect(layers.ports == [3000])
        #expect(pipeline.deploy.maxUnavailable == .fraction(ofFleet: 0.5))
        #expect(pipeline.deploy.machines.count(for: "web") == 2)
        #expect(pipeline.deploy.machines.count(for: "worker") == 1)
        #expect(pipeline.deploy.machines.count(for: "cron") == nil)
        #expect(pipeline.verify.health.status == [204])
        #expect(pipeline.verify.health.body == ["ready": [true], "workers": [1, 2], "status": ["ok"]])
        #expect(pipeline.verify.consecutive == 2, "the default adapts to fewer attempts")
        #expect(pipeline.verify.smoke[0].within == .milliseconds(800))
        #expect(pipeline.verify.smoke[0].status == [200])
    }

    @Test(arguments: ["full.yml", "minimal.yml", "groups.yml"])
    func `a pipeline survives being encoded`(_ name: String) throws {
        let pipeline = try Self.parse(Fixtures.text(name))
        let data = try JSONValue.coding(pipeline)
        #expect(data == pipeline)
    }

    @Test func `app and fly_toml are read from the environment at once`() throws {
        let text = """
            version: 1
            app: "hotdash-${STAGE}"
            fly_toml: "../fly.${STAGE}.toml"
            build: { image: "a/b:c" }
            """
        let pipeline = try Self.parse(text, ["STAGE": "staging"])
        #expect(pipeline.app == "hotdash-staging")
        #expect(pipeline.flyToml == "fly.staging.toml")
        let error = #expect(throws: PipelineFileErrors.self) { try Self.parse(text) }
        #expect(
            error?.diagnostics.map(\.description) == [
                "\(Self.path):2:6: error: the environment variable STAGE is not set\n"
                    + "  set STAGE, or write ${STAGE:-DEFAULT} if it may be missing",
                "\(Self.path):3:11: error: the environment variable STAGE is not set\n"
                    + "  set STAGE, or write ${STAGE:-DEFAULT} if it may be missing",
            ])
        #expect(error?.airbossError.code == .configuration)
        #expect(error?.airbossError.code.exitCode == .invalidConfiguration)
    }

    @Test func `an unset variable is an error when it is used, without values`() throws {
        let pipeline = try Self.parse(Fixtures.text("full.yml"))
        let smtp = try #require(pipeline.notify.email?.smtp)
        let secret = "smtp://user:hunter2@mail.example.com:587"
        #expect(try smtp.resolve(in: ["SMTP_URL": secret]) == secret)
        let missing = #expect(throws: PipelineFileErrors.self) { try smtp.resolve(in: ["OTHER": secret]) }
        #expect(
            missing?.description.hasPrefix("\(Self.path):33:43: error: the environment variable SMTP_URL is not set")
                == true)
        let empty = #expect(throws: PipelineFileErrors.self) { try smtp.resolve(in: ["SMTP_URL": ""]) }
        #expect(empty?.diagnostics[0].message == "the environment variable SMTP_URL is empty")
        #expect(!"\(smtp)".contains("hunter2"))
    }

    @Test func `a secret written into the file is warned of and never shown`() throws {
        let text = """
            version: 1
            app: a
            fly_toml: f
            build: { image: "a/b:c" }
            notify:
              email: { to: [a@example.com], smtp: "smtp://user:hunter2@mail.example.com:587" }
              slack: { webhook: "https://hooks.example.com/hunter2" }
            """
        let pipeline = try Self.parse(text)
        #expect(pipeline.warnings.map(\.line) == [6, 7])
        #expect(pipeline.warnings.allSatisfy { $0.severity == .warning })
        #expect(!pipeline.warnings.description.contains("hunter2"))
        var dumped = ""
        dump(pipeline, to: &dumped)
        #expect(!dumped.contains("hunter2"))
        #expect(!"\(pipeline)".contains("hunter2"))
    }

    @Test func `a webhook and what is a secret are read`() throws {
        let text = "version: 1\napp: a\nfly_toml: f\nbuild: { image: a/b:c }\n"
        let pipeline = try Self.parse(
            text + "notify:\n  webhook: { url: \"${HOOK}\", secret: \"${HOOK_SECRET}\" }\n"
                + "  redact: { patterns: [\"hd-[0-9]{4}\"], allow: [harmless-word] }\n")
        #expect(pipeline.notify.webhook?.url.variables == ["HOOK"])
        #expect(pipeline.notify.webhook?.secret.variables == ["HOOK_SECRET"])
        #expect(pipeline.notify.redact.patterns == ["hd-[0-9]{4}"] && pipeline.notify.redact.allow == ["harmless-word"])
        #expect(pipeline.warnings.isEmpty)
        let none = try Self.parse(text)
        #expect(none.notify.webhook == nil && none.notify.redact.patterns.isEmpty)
        for bad in [
            "webhook: { url: \"${HOOK}\" }", "webhook: { secret: \"${S}\" }",
            "webhook: { url: \"http://hooks.example.com/\", secret: \"${S}\" }",
            "webhook: { url: \"ftp://127.0.0.1/\", secret: \"${S}\" }",
            "webhook: { url: \"https://x.example/\", secret: short }", "redact: { patterns: [\"(\"] }",
            "redact: { patterns: [\"a*\"] }", "redact: { allow: [abc] }", "redact: { allowed: [abcd] }",
        ] {
            #expect(throws: PipelineFileErrors.self, "\(bad)") { try Self.parse(text + "notify: { \(bad) }\n") }
        }
        let local = try Self.parse(
            text + "notify: { webhook: { url: \"http://127.0.0.1:8080/x\", secret: sixteen-characters } }\n")
        #expect(local.warnings.count == 1)
    }

    @Test(
        arguments: [
            ("https://x.example/", true), ("http://localhost:80/", true), ("http://127.9.9.9/", true),
            ("http://[::1]:80/", true), ("http://u:p@127.0.0.1/", true), ("http://127.0.0.1.example.com/", false),
            ("http://127.0.0.1@example.com/", false), ("http://example.com/127.0.0.1", false), ("https://", false),
            ("http://localhost.example.com/", false), ("HTTP://localhost/", false), ("", false),
        ])
    func `only a receiver on this machine does without TLS`(url: String, isFine: Bool) {
        #expect((Pipeline.Notify.Webhook.problem(withURL: url) == nil) == isFine)
    }

    @Test func `how CI checks are asked for is read`() throws {
        let text = "version: 1\napp: a\nfly_toml: f\nbuild: { image: a/b:c }\n"
        let pipeline = try Self.parse(
            text + "github: { repository: acme/shop }\n"
                + "gates: { checks: [\"🐳 build\"], wait_for_checks: 0s, checks_accept: [success, skipped] }\n")
        #expect(pipeline.github.repository?.source == "acme/shop")
        #expect(pipeline.gates.checks == ["🐳 build"])
        #expect(pipeline.gates.waitForChecks == .zero)
        #expect(pipeline.gates.checksAccept == ["success", "skipped"])
        #expect(pipeline.unsupportedFeatures.isEmpty)
        #expect(try Self.parse(text).github.repository == nil)
        #expect(throws: PipelineFileErrors.self) { try Self.parse(text + "github: { repository: shop }\n") }
        #expect(throws: PipelineFileErrors.self) { try Self.parse(text + "gates: { checks_accept: [failure] }\n") }
        #expect(throws: PipelineFileErrors.self) { try Self.parse(text + "gates: { checks_accept: [] }\n") }
    }

    @Test func `what this version cannot do is said with its place`() throws {
        let full = try Self.parse(Fixtures.text("full.yml"))
        #expect(full.unsupportedFeatures.isEmpty)
    }

    @Test(arguments: [
        ("strategy: canary", "strategy canary is not available in this version", "use rolling"),
        ("strategy: bluegreen", "strategy bluegreen is not available in this version", "use rolling"),
        ("strategy: immediate", "strategy immediate is not available in this version", "use rolling"),
    ])
    func `strategies that are not built`(_ line: String, _ message: String, _ suggestion: String) throws {
        let text = "version: 1\napp: a\nfly_toml: f\nbuild: { image: a/b:c }\ndeploy:\n  \(line)\n"
        let found = try Self.parse(text).unsupportedFeatures
        #expect(
            found == [
                Diagnostic(
                    .error, at: SourceLocation(path: Self.path, line: 6, column: 13), message, suggestion: suggestion)
            ])
    }

    @Test(arguments: ["dockerfile: { path: Dockerfile }", "command: { run: [make, image], image: a/b:c }"])
    func `build kinds that are not built`(_ line: String) throws {
        let text = "version: 1\napp: a\nfly_toml: f\nbuild:\n  \(line)\n"
        let found = try Self.parse(text).unsupportedFeatures
        #expect(found.map(\.severity) == [.error])
        #expect(found.map(\.line) == [5])
    }

    @Test(arguments: [
        ("500ms", Duration.milliseconds(500)), ("10s", .seconds(10)), ("5m", .seconds(300)),
        ("1h30m", .seconds(5400)), ("1h1m1s1ms", .milliseconds(3_661_001)), ("0s", .zero),
    ])
    func `durations`(_ text: String, _ expected: Duration) throws {
        let file = "version: 1\napp: a\nfly_toml: f\nbuild: { image: a/b:c }\nverify: { soak: \(text) }\n"
        #expect(try Self.parse(file).verify.soak == expected)
    }
}
