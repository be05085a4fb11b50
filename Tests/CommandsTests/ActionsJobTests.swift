// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// The real program as a step of a GitHub Actions job: what its runner reads.
@Suite("A step of a job", .serialized, .workshop(.model, deployed: true))
struct ActionsJobTests {
    private struct Step {
        var outcome: Outcome
        var outputs: [String: String]

        /// The runner's commands, in their order: lines that begin with two colons, on either stream.
        var commands: [String] {
            (outcome.errors + outcome.output).split(separator: "\n").map { String($0.drop { $0 == " " }) }
                .filter { $0.hasPrefix("::") }
        }
    }

    /// The file as the runner reads it. Source: actions/runner, FileCommandManager.cs, SetOutputFileCommand.
    private static func parse(_ text: String) throws -> [String: String] {
        var outputs: [String: String] = [:]
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        while let line = lines.popFirst() {
            guard !line.isEmpty else { continue }
            let equals = line.firstIndex(of: "=") ?? line.endIndex
            guard let heredoc = line.firstRange(of: "<<"), heredoc.lowerBound < equals else {
                guard equals < line.endIndex else { throw Trouble("no output: \(line)") }
                outputs[String(line[..<equals])] = String(line[line.index(after: equals)...])
                continue
            }
            var value: [Substring] = []
            while let next = lines.popFirst(), next != line[heredoc.upperBound...] { value.append(next) }
            outputs[String(line[..<heredoc.lowerBound])] = value.joined(separator: "\n")
        }
        return outputs
    }

    private func step(_ arguments: String..., with changes: [String: String?] = [:]) async throws -> Step {
        let workshop = try #require(Workshop.current)
        let file = workshop.folder + "/output"
        try Data().write(to: URL(filePath: file))
        let outcome = try await workshop.start(
            arguments, ["GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": file].merging(changes) { $1 }
        ).end()
        let text = String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
        return Step(outcome: outcome, outputs: try Self.parse(text))
    }

    @Test("has outputs, a group for each stage, and warnings of overrides")
    func verified() async throws {
        let step = try await step(
            "deploy", "production", "--reason", "Try", "--skip", "clean-worktree", "--approved-by", "Ana Lima")
        #expect(step.outcome.status == 0, "\(step.outcome.everything)")
        #expect(Set(step.outputs.keys) == ["outcome", "release", "previous_release", "image", "run", "url"])
        #expect(step.outputs["outcome"] == "verified")
        #expect(step.outputs["image"]?.contains("@sha256:") == true)
        #expect(step.outputs["url"]?.hasPrefix("http://harbour.localhost") == true)
        let shown = try await Workshop.current?.query("show", step.outputs["run"] ?? "")
        #expect(shown?["release"]?.integer.map(String.init) == step.outputs["release"])
        let groups = step.commands.filter { $0.hasPrefix("::group::") || $0 == "::endgroup::" }
        #expect(
            groups.filter { $0 != "::endgroup::" }.map { $0.dropFirst(9) }.prefix(4) == [
                "pre-validation", "window", "build", "deploy",
            ])
        #expect(groups.enumerated().allSatisfy { ($0.offset % 2 == 1) == ($0.element == "::endgroup::") }, "\(groups)")
        #expect(groups.count % 2 == 0)
        #expect(!step.commands.contains { $0.hasPrefix("::error") || $0.hasPrefix("::add-mask") })
        #expect(step.outcome.output.contains("Production Deployment Successful"))
        #expect(!step.outcome.output.contains("::"))
    }

    @Test("outside of a job, or without a file for outputs, has no commands", arguments: ["", "false"])
    func outside(_ actions: String) async throws {
        let changes = ["GITHUB_ACTIONS": actions, "GITHUB_OUTPUT": actions.isEmpty ? nil : ""]
        let step = try await step("deploy", "production", "--reason", "Try", with: changes)
        #expect(step.outcome.status == 0)
        #expect(step.commands.isEmpty && step.outputs.isEmpty)
    }

    @Test("that is refused, or never begins, is annotated, and its exit code is the contract's")
    func refused() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline() + ClosedWindow.yaml(reason: "100 % sure"))
        let step = try await step("deploy", "bad", "--reason", "Try")
        #expect(step.outcome.status == 12)
        #expect(step.outputs["outcome"] == "refused" && step.outputs["release"] == nil)
        let error = step.commands.filter { $0.hasPrefix("::error") }
        #expect(error.count == 1)
        #expect(error.first?.hasPrefix("::error title=Airboss refused::the deployment window is closed") == true)
        #expect(error.first?.contains("100 %25 sure") == true)
        #expect(error.first?.contains("%0A") == true)

        let emergency = try await self.step(
            "deploy", "bad", "--reason", "Now", "--emergency", "--approved-by", "Ana Lima")
        #expect(emergency.outcome.status == 0)
        let warning = emergency.commands.filter { $0.hasPrefix("::warning title=Override::window was overridden") }
        #expect(warning.count == 1 && warning.first?.contains("by Ana Lima: Now%0Ait would have said:") == true)

        let none = try await self.step("deploy", "nowhere", "--reason", "Try")
        #expect(none.outcome.status == 78 && none.outputs.isEmpty)
        #expect(none.commands.count == 1)
        #expect(none.commands.first?.hasPrefix("::error title=Airboss did not begin::") == true)
        let usage = try await self.step("deploy", "bad")
        #expect(usage.outcome.status == 64 && usage.outputs.isEmpty)
        #expect(usage.commands.first?.hasPrefix("::error title=Airboss was not started::") == true)
    }

    @Test("whose standard output is JSON keeps it whole, and annotates on standard error")
    func json() async throws {
        let step = try await step(
            "deploy", "production", "--reason", "See ##[add-path]x", "--output", "json", "--skip", "fleet",
            "--approved-by", "Ana")
        let run = try JSONRun(step.outcome)
        #expect(run.status == 0 && run.last["reason"]?.string == "See ##[add-path]x")
        #expect(!step.outcome.output.contains("##["))
        #expect(step.outcome.output.split(separator: "\n").allSatisfy { $0.hasPrefix("{") })
        #expect(!step.commands.contains { $0.hasPrefix("::group") })
        #expect(step.outputs["outcome"] == "verified")
        let refused = try await self.step("deploy", "nowhere", "--reason", "Try", "--output", "json")
        #expect(refused.outcome.errors.contains("::error title=Airboss did not begin::"))
        #expect(try JSONValue(parsing: refused.outcome.output)["type"] == "error")
    }

    @Test(
        "can't be made to obey what others wrote",
        arguments: [
            "::set-output name=release::666", "  ::add-path::/tmp", "a%0A::error::b", "x ##[add-path]/tmp",
            "release=666", "outcome<<x", "\u{1b}[31m::stop-commands::x",
        ])
    func injected(_ text: String) async throws {
        let workshop = try #require(Workshop.current)
        try await workshop.commit(text + "\n\n" + text, ["message=hello"])
        let step = try await step(
            "deploy", "production", "--reason", text + "\n" + text + "\r::add-path::/tmp", "--skip", "fleet",
            "--approved-by", text)
        #expect(step.outcome.status == 0, "\(step.outcome.everything)")
        #expect(step.outputs["outcome"] == "verified" && step.outputs["release"] != "666")
        #expect(Set(step.outputs.keys) == ["outcome", "release", "previous_release", "image", "run", "url"])
        for command in step.commands {
            #expect(
                command.hasPrefix("::group::") || command == "::endgroup::"
                    || command.hasPrefix("::warning title=Override::")
                    || command.hasPrefix("::warning title=Airboss::"),
                "\(command)")
        }
        #expect(!step.outcome.everything.contains("##["))
    }

    @Test("hides the secrets it was given, where the runner reads, and names them in no file")
    func masks() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/production-notices.yml",
            workshop.pipeline() + #"notify: { webhook: { url: "${HOOK}", secret: "${HOOK_SECRET}" }, "#
                + #"email: { to: [ops@example.com], smtp: "${MAIL_URL}" } }"# + "\n")
        let secrets: [String: String?] = [
            "HOOK": "http://127.0.0.1:1/hook", "HOOK_SECRET": "a-secret-of-32-characters-or-so!",
            "MAIL_URL": "smtp://deploys:pa55%2Fword-long@127.0.0.1:1", "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": workshop.folder + "/output",
        ]
        // As a runner has it: both streams are pipes.
        let piped = try await workshop.start(
            ["window", "production-notices"], secrets,
            wrapper: ["bash", "-o", "pipefail", "-c", "\"$@\" 2>&1 | cat", "bash"]
        ).end()
        #expect(piped.status == 0, "\(piped.everything)")
        let masked = piped.output.split(separator: "\n").filter { $0.hasPrefix("::add-mask::") }
            .map { String($0.dropFirst(12)).replacing("%25", with: "%") }
        let all = [
            Workshop.token, "http://127.0.0.1:1/hook", "a-secret-of-32-characters-or-so!", "pa55%2Fword-long",
            "pa55/word-long",
        ]
        #expect(Set(masked) == Set(all), "\(masked)")
        let inFiles = try await workshop.start(["window", "production-notices"], secrets).end()
        for secret in all { #expect(!inFiles.everything.contains(secret)) }
    }
}
