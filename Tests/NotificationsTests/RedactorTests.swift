// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Notifications

/// Tokens are put together here so that no scanner takes this file for a leak.
private func token(_ parts: String...) -> String { parts.joined() }

private let mixed = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3h"

/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

@Suite struct RedactorTests {
    static let secrets: [String] = [
        token("ghp", "_", mixed), token("gho", "_", mixed), token("ghs", "_", mixed), token("ghu", "_", mixed),
        token("github", "_pat_", "11ABCDEFG0", mixed), token("glpat", "-", "Ab3dE6gH9jK2mN5pQ8sT"),
        token("fm2", "_lJPECAAAAAAAAT", mixed, "+/=="), token("fm1r", "_", mixed),
        token("FlyV1 ", "fm2_", mixed, ",fm2_", mixed),
        token("sk", "_live_", "4eC39HqLyjWDarjtT1zdp7dc"), token("rk", "_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
        token("sk", "-ant-", "api03-abcDEF123456"), token("sk", "-proj-", mixed), token("sk", "-", mixed),
        token("whsec", "_", mixed), token("xoxb", "-123456789012-1234567890123-", "AbCdEfGhIjKl"),
        token("xoxp", "-1234567890-abcdef"), token("AKIA", "IOSFODNN7EXAMPLE"), token("ASIA", "IOSFODNN7EXAMPLE"),
        token("AIza", "SyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU1v"), token("ya29.", "a0AfH6SMBx", mixed),
        token("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0In0", ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"),
        token("SG.", "ngeVfQFYQlKU0ufo8x5d1A", ".TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr"),
        token("npm", "_", mixed, "ab"), token("shpat", "_", "0123456789abcdef0123456789abcdef"),
        token("sbp", "_", "0123456789abcdef0123456789abcdef01234567"), token("hvs.", "CAESIJ1bC2dE3fG4hI5j"),
        token("dop", "_v1_", "0123456789abcdef0123456789abcdef"), token("pypi", "-AgEIcHlwaS5vcmc", mixed),
        token("wJalrXUtnFEMI", "/K7MDENG/bPxRfiCYzEXAMPLEKEY"), token("dGhpcyBpcyBhIHNlY3JldCB0", "aGF0IGlzIGxvbmcy"),
        token("k7j3h2k9q4m5x8v1", "b6n0c3z2w7t5"), token("Zx9Kq2", "Lm8Rt4Vb7Nc1Pd5", "Hs3Gf6"),
        token("0123456789abcdef", "0123456789abcdef", "0123456789abcdef0"),
    ]

    @Test(arguments: secrets)
    func `a token goes wherever it stands`(secret: String) {
        for text in [
            secret, "a \(secret) b", "(\(secret))", "\"\(secret)\"", "see:\(secret).", "x=\(secret)&y", "\(secret)\n",
        ] {
            let redacted = Redactor.redact(text)
            let core = secret.split(separator: " ").last.map(String.init) ?? secret
            #expect(!redacted.contains(core), "\(text) became \(redacted)")
            #expect(!redacted.contains(core.dropFirst(8).dropLast(4)), "\(text) became \(redacted)")
            #expect(redacted.contains(Redactor.mark))
            #expect(Redactor.redact(redacted) == redacted)
        }
    }

    /// What is written, and the part that must be gone.
    static let values: [(String, String)] = [
        ("postgres://app:hunter2@db.internal:5432/app", "hunter2"),
        ("DATABASE_URL=postgresql://postgres:p@ss/w0rd@db.supabase.co:5432/postgres", "w0rd"),
        ("redis://:s3cr3t@redis:6379", "s3cr3t"), ("see https://bob:pa55@example.org/x?y=1 and", "pa55"),
        ("https://" + mixed + "@github.com/o/r", mixed), ("amqps://u:p%40x@mq/v", "p%40x"),
        ("PASSWORD=hunter2", "hunter2"), ("password = \"correct horse battery\"", "horse"),
        ("SUPABASE_SERVICE_KEY=abc", "abc"), ("DB_PASSWORD='a b'", "a b"), ("{\"api_key\": \"xyzzy\"}", "xyzzy"),
        ("{\"password\":\"xyzzy\"}", "xyzzy"), ("client-secret: 9aX-77bQ!z", "9aX-77bQ"),
        ("Authorization: Bearer abc123def456", "abc123def456"), ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("deploy --token a1b2c3d4e5 now", "a1b2c3d4e5"), ("--password=hunter2", "hunter2"),
        ("X-API-Key: 8f3b1c9d2e", "8f3b1c9d2e"), ("SHOPIFY_API_SECRET=8f3b", "8f3b"),
        ("auth_token => 'q1w2e3r4t5'", "q1w2e3r4t5"),
        ("Cookie: session=abc123def; other=1", "abc123def"), ("SECRET=a&b", "SECRET=a"),
        ("https://hooks.slack.com/services/T000/B000/" + "XXXXxxxx", "T000"),
        ("https://discord.com/api/webhooks/123/abc", "123/abc"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----", "MIIE"),
        ("x -----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn", "b3Blbn"),
        ("https://api.example.org/?access_token=abc123&x=1", "abc123"), ("https://x/?key=a1b2c3d4", "a1b2c3d4"),
    ]

    @Test(arguments: values)
    func `the value of what means a secret goes, the rest stays`(text: String, secret: String) {
        let redacted = Redactor.redact(text)
        #expect(!redacted.contains(secret), "\(text) became \(redacted)")
        #expect(redacted.contains(Redactor.mark))
        #expect(Redactor.redact(redacted) == redacted)
    }

    @Test func `what surrounds a secret stays readable`() {
        #expect(
            Redactor.redact("postgres://app:hunter2@db:5432/app?x=1") == "postgres://app:[redacted]@db:5432/app?x=1")
        #expect(Redactor.redact("Set PASSWORD=hunter2, then go") == "Set PASSWORD=[redacted], then go")
        #expect(Redactor.redact("a\n  \"api_key\": \"xyzzy\",\n b") == "a\n  \"api_key\": \"[redacted]\",\n b")
        #expect(Redactor.redact("Authorization: Bearer abc123def456") == "Authorization: Bearer [redacted]")
        #expect(
            Redactor.redact("k: -----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY----- end") == "k: [redacted] end"
        )
    }

    static let harmless: [String] = [
        "4f9d2c71e8a05b36d1c7f4e2a9b8c0d3e5f60718", "4f9d2c71e8", "fix in 4f9d2c7 and b7e1f0a2c3d4",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "registry.fly.io/hotdash-production:deployment-01KAH7Q3ZV5M8N2P4R6T8W0Y1B",
        "registry.fly.io/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "01KAH7Q3ZV5M8N2P4R6T8W0Y1B", "01kah7q3zv5m8n2p4r6t8w0y1b", "(fly-request-id 01KAHC8ZAV5M8N2P4R6T8W0Y1B-ord)",
        "550e8400-e29b-41d4-a716-446655440000", "machine 3d8d9e6f042789 (ord)", "d41d8cd98f00b204e9800998ecf8427e",
        "https://github.com/hotdash/hotdash/actions/runs/17301239911", "git@github.com:o/r.git",
        "ssh://git@github.com/o/r",
        "https://example.org:8080/@scope/package@1.0", "postgres://localhost:5432/app",
        "https://x.dev/path?page=2&size=10",
        "Sources/Journals/SQLiteStore+Journal.swift", "NonisolatedNonsendingByDefault",
        "apps/web/src/components/v2/List.tsx",
        "Merge pull request #1234 from hotdash/feature/approval-queue-v2", "Fix token refresh",
        "rotate secret: see the wiki",
        "the password: it must be long", "key: value", "primary_key=id", "sort_key=created_at", "max_tokens=4096",
        "TOKEN=$TOKEN",
        "PASSWORD=${DB_PASSWORD}", "secret=<your secret>", "API_KEY=", "password=***", "auth=none",
        "use --token to log in",
        "node_modules/@types/node/index.d.ts", "2026-11-20T17:04:05.250Z", "deploy v71 -> v74 in 1092s",
        "disk-usage-over-threshold",
        "task-runner-configuration-file", "risk-assessment-2026-11", "internationalization",
        "pneumonoultramicroscopicsilicovolcanoconiosis",
        "hotdash-llamaindex-mcp-production-2", "America/Los_Angeles", "-----BEGIN CERTIFICATE-----",
        "re_export the re_named module",
        "npm_config_registry", "npm_package_scripts_build_production", "cc -O2 -fno-omit-frame-pointer",
        "GITHUB_STEP_SUMMARY",
        "integrity sha512-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08==", "PORT=3000",
        "author=dana@example.org",
        "x86_64-unknown-linux-gnu", "libcurl4-openssl-dev_7.88.1-10+deb12u8_amd64.deb", "00:1b:44:11:3a:b7",
        "fdaa:0:1da6:a7b::3",
        "error[E0308]: mismatched types", "com.apple.Foundation.NSURLErrorDomain",
        "createReleaseAndWaitForMachinesToBecomeHealthy",
    ]

    @Test(arguments: harmless)
    func `what only looks like a secret stays`(text: String) {
        #expect(Redactor.redact(text) == text)
    }

    // Process-wide and only growing: words that no other test uses.
    @Test func `what the pipeline names is a secret, and what it allows is none`() {
        let allowed = "Qw3Er5Ty7Ui9Op1As3Df5Gh7Jk9Lz1Xc3"
        #expect(Redactor.redact(allowed) == Redactor.mark)
        RedactionRules.add(
            values: ["correct-horse-battery", "short", "correct-horse-battery-staple"],
            patterns: ["hotdash-[a-z]{4}-[0-9]{6}", "("], allowed: [allowed, "abc"])
        #expect(Redactor.redact("key hotdash-abcd-123456 end") == "key [redacted] end")
        #expect(Redactor.redact("hotdash-abcd-12345") == "hotdash-abcd-12345")
        #expect(
            Redactor.redact("at correct-horse-battery-staple, or correct-horse-battery")
                == "at [redacted], or [redacted]")
        #expect(Redactor.redact("a short word") == "a short word")
        for text in [allowed, "see \(allowed), and (\(allowed))", "id=\(allowed)"] {
            #expect(Redactor.redact(text) == text)
            #expect(Redactor.redact(Redactor.redact(text)) == text)
        }
        // Within a longer word it may be part of a secret.
        #expect(!Redactor.redact("x\(allowed)Yb4Nm6").contains(allowed))
        // An allowed word saves no secret beside it, and none that holds it.
        #expect(Redactor.redact("\(allowed) \(mixed)") == "\(allowed) [redacted]")
        #expect(!Redactor.redact("postgres://u:\(mixed)@h and \(allowed)").contains(mixed))
    }

    @Test func `random words are caught, ids of the same letters are not`() {
        var generator = SplitMix(state: 0x1234_5678_9ABC_DEF0)
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        let caught = (0..<1000).count { _ in
            let word = String((0..<40).map { _ in alphabet.randomElement(using: &generator)! })
            return Redactor.redact(word) == Redactor.mark
        }
        #expect(caught >= 990)
        let hex = Array("0123456789abcdef")
        for _ in 0..<200 {
            let commit = String((0..<40).map { _ in hex.randomElement(using: &generator)! })
            #expect(Redactor.redact("at \(commit)") == "at \(commit)")
            let digits = String((0..<32).map { _ in hex.randomElement(using: &generator)! })
            let id = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { range in
                String(digits.dropFirst(range.lowerBound).prefix(range.count))
            }.joined(separator: "-")
            #expect(Redactor.redact("id \(id)") == "id \(id)")
        }
    }

    @Test func `every text of a report is gone over`() throws {
        let secret = token("ghp", "_", mixed)
        var report = Samples.needsHuman
        report.headline = secret
        report.actor = secret
        report.reason = secret
        report.subject = secret
        report.image = secret
        report.healthStatus = secret
        report.divergence = [secret]
        report.nextSteps = [secret]
        report.warnings = [secret]
        report.url = "https://x/" + secret
        report.runURL = "https://x/" + secret
        report.stages[0].detail = secret
        report.overrides = [Override(gate: "g", who: secret, reason: secret, wouldHaveSaid: secret)]
        let content = NoticeContent(report)
        let outputs = [
            NoticeRenderer.terminal(content, color: true), NoticeRenderer.markdown(content),
            NoticeRenderer.emailText(content), NoticeRenderer.emailHTML(content), SlackMessage.json(content).text(),
        ]
        for output in outputs {
            #expect(!output.contains(mixed))
            #expect(output.contains("redacted"))
        }
    }
}
