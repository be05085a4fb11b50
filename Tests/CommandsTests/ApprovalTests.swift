// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// The ssh-keygen of this machine.
enum Keygen {
    static let isInstalled: Bool = {
        let isThere = FileManager.default.isExecutableFile(atPath: "/usr/bin/ssh-keygen")
        if !isThere { print("skipped: ssh-keygen is not installed") }
        return isThere
    }()
}

/// Approvals signed and verified by the real ssh-keygen, through the real program.
@Suite("Approvals", .serialized, .enabled(if: Keygen.isInstalled), .workshop(.model, deployed: true))
struct ApprovalTests {
    /// Keys of two approvers, of the commits' author, and of somebody nobody knows.
    private func prepare(_ workshop: Workshop, needed: Int = 1) async throws {
        var signers = "# who may approve\n"
        for name in ["grace", "linus", "tess", "mallory"] {
            let key = "\(workshop.folder)/\(name)"
            if !FileManager.default.fileExists(atPath: key) {
                let made = try await RunningProgram.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key])
                try #require(made.status == 0, "\(made.everything)")
            }
            let publicKey = try String(contentsOfFile: key + ".pub", encoding: .utf8)
            if name != "mallory" { signers += "\(name)@example.invalid \(publicKey)" }
        }
        try workshop.write("pipelines/allowed_signers", signers)
        let gates = "gates: { approvals: \(needed) }\n"
        try workshop.write(
            "pipelines/production.yml",
            workshop.pipeline().replacing("build:\n", with: gates + "build:\n", maxReplacements: 1))
        try await workshop.commit("Ask for \(needed) approvals \(UUID().uuidString)", ["message=hello"])
    }

    private func approve(_ workshop: Workshop, _ name: String, _ more: String...) async throws -> Outcome {
        try await workshop.start(
            ["approve", "production", "--commit", "HEAD", "--key", "\(workshop.folder)/\(name)"] + more
        ).end()
    }

    private func deploy(_ workshop: Workshop, _ more: String...) async throws -> JSONRun {
        let outcome = try await workshop.start(
            ["deploy", "production", "--reason", "Approved", "--output", "json"] + more
        ).end()
        return try JSONRun(outcome)
    }

    @Test("a commit is deployed once it is approved, and the approval is used up")
    func story() async throws {
        let workshop = try #require(Workshop.current)
        try await prepare(workshop)
        let before = try await workshop.standing()
        let refused = try await deploy(workshop)
        #expect(refused.status == 12 && refused.message.contains("0 of 1 approvals"), "\(refused.outcome.everything)")
        #expect(refused.last["next_steps"]?.text().contains("airboss approve production --commit") == true)
        #expect(try await workshop.standing() == before)

        let file = workshop.folder + "/approval.json"
        let approved = try await approve(workshop, "grace", "--reason", "Looks good", "--to", file)
        #expect(approved.status == 0, "\(approved.everything)")
        #expect(approved.output.contains("grace@example.invalid approves"))

        // Refused by something else first: the approval is still there afterwards.
        try workshop.write("notes.txt", "x")
        #expect(try await deploy(workshop).status == 12)
        try workshop.remove("notes.txt")
        let deployed = try await deploy(workshop)
        #expect(deployed.status == 0, "\(deployed.outcome.everything)")
        let gate = deployed.events("gate").first {
            $0["gate"]?.string == "approvals" || $0["name"]?.string == "approvals"
        }
        #expect(gate?.text().contains("grace@example.invalid") == true, "\(deployed.events("gate"))")

        // Replayed, from the store and from the file.
        for arguments in [[], ["--approval", file]] {
            let outcome = try await workshop.start(
                ["deploy", "production", "--reason", "Again", "--output", "json"] + arguments
            ).end()
            #expect(outcome.status == 12 && outcome.output.contains("has used it"), "\(outcome.everything)")
        }
        let audit = try await workshop.query("audit", "list", "production", "--limit", "1000").text()
        for kind in ["approval.granted", "approval.used"] { #expect(audit.contains(kind)) }
        #expect(try await workshop.airboss("audit", "verify").status == 0)
        #expect(
            try await workshop.airboss("rollback", "production", "--reason", "No approval is asked for").status == 0)
    }

    @Test("forged, expired, foreign and altered approvals are refused and change nothing")
    func forgeries() async throws {
        let workshop = try #require(Workshop.current)
        try await prepare(workshop)
        // A store of its own, so that only the file tells.
        let file = workshop.folder + "/one.json"
        let made = try await approve(
            workshop, "grace", "--to", file, "--state", "sqlite:\(workshop.folder)/elsewhere.sqlite")
        try #require(made.status == 0, "\(made.everything)")
        let good = try JSONValue(parsing: try Data(contentsOf: URL(filePath: file)))
        let before = try await workshop.standing()
        func check(_ name: String, _ document: JSONValue?, _ raw: String? = nil, says: String) async throws {
            let path = "\(workshop.folder)/\(UUID().uuidString).json"
            try Data((raw ?? document?.text() ?? "").utf8).write(to: URL(filePath: path))
            let run = try await deploy(workshop, "--approval", path)
            #expect(run.status == 12, "\(name): \(run.outcome.everything)")
            #expect(run.message.contains(says), "\(name): \(run.message)")
        }
        // Every member that is signed.
        let other = String(repeating: "a", count: 40)
        for (member, value) in [
            "commit": .string(other), "expires_at": "2099-01-01T00:00:00Z", "approver": "linus@example.invalid",
            "pipeline": "staging", "app": "other", "nonce": .string(String(repeating: "0", count: 32)),
            "reason": "another",
        ] as [String: JSONValue] {
            var forged = good
            forged["approval"]?[member] = value
            try await check(member, forged, says: "its signature is not one of")
        }
        var unsigned = good
        unsigned["signature"] = ""
        try await check("unsigned", unsigned, says: "its signature is not one of")
        try await check("no JSON", nil, "approve!", says: "it is no approval")
        try await check("empty", nil, "", says: "it is no approval")
        /// The approval with changed members, signed by a key for a purpose.
        func signed(_ key: String, namespace: String = "airboss-approval", _ members: [String: JSONValue])
            async throws -> JSONValue
        {
            var approval = good["approval"] ?? [:]
            for (name, value) in members { approval[name] = value }
            let path = "\(workshop.folder)/\(UUID().uuidString)"
            try Data(approval.text().utf8).write(to: URL(filePath: path))
            let outcome = try await RunningProgram.run(
                ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", "\(workshop.folder)/\(key)", path])
            try #require(outcome.status == 0, "\(outcome.everything)")
            let signature = try String(contentsOfFile: path + ".sig", encoding: .utf8)
            return ["schema": 1, "approval": approval, "signature": .string(signature)]
        }
        let expired: [String: JSONValue] = [
            "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z",
        ]
        try await check("unknown signer", try await signed("mallory", [:]), says: "its signature is not one of")
        let mallory: [String: JSONValue] = ["approver": "mallory@example.invalid"]
        try await check("no line for the signer", try await signed("mallory", mallory), says: "its signature is not")
        try await check("another's name", try await signed("linus", [:]), says: "its signature is not one of grace")
        try await check(
            "another purpose", try await signed("grace", namespace: "git", [:]), says: "its signature is not")
        try await check("expired", try await signed("grace", expired), says: "it expired at")
        try await check("wrong commit", try await signed("grace", ["commit": .string(other)]), says: "it is for commit")
        try await check("wrong pipeline", try await signed("grace", ["pipeline": "staging"]), says: "it is for staging")
        let author: [String: JSONValue] = ["approver": "tess@example.invalid"]
        try await check("the author", try await signed("tess", author), says: "is the commit's author")
        try await check(
            "lives for ever", try await signed("grace", ["expires_at": "2099-01-01T00:00:00Z"]), says: "for too long")
        #expect(try await workshop.standing() == before)
        // What was altered above counts as it was made.
        #expect(try await deploy(workshop, "--approval", file).status == 0)
    }

    @Test("two approvals are those of two people")
    func two() async throws {
        let workshop = try #require(Workshop.current)
        try await prepare(workshop, needed: 2)
        for _ in 0..<2 { #expect(try await approve(workshop, "grace").status == 0) }
        let one = try await deploy(workshop)
        #expect(one.status == 12 && one.message.contains("1 of 2 approvals"), "\(one.message)")
        #expect(try await approve(workshop, "linus").status == 0)
        #expect(try await deploy(workshop).status == 0)
    }

    @Test("whoever can't approve is told so at once")
    func approving() async throws {
        let workshop = try #require(Workshop.current)
        try await prepare(workshop)
        let unknown = try await approve(workshop, "mallory")
        #expect(unknown.status == 12 && unknown.errors.contains("has no line with the key"), "\(unknown.everything)")
        #expect(unknown.errors.contains("YOUR-EMAIL ssh-ed25519 "))
        let pretended = try await approve(workshop, "mallory", "--as", "grace@example.invalid")
        #expect(pretended.status == 12, "\(pretended.everything)")
        #expect(try await approve(workshop, "nobody").status != 0)
        #expect(try await approve(workshop, "grace", "--expires", "30d").status == 64)
        let missing = try await workshop.airboss(
            "approve", "production", "--commit", "nonsense", "--key", "\(workshop.folder)/grace")
        #expect(missing.status == 12, "\(missing.everything)")
        #expect(try await deploy(workshop).message.contains("0 of 1 approvals"))
    }
}
