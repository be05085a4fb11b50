// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// Files that are wrong: a clear error with its place, and nothing is changed.
@Suite("Bad pipelines and fly.toml files", .serialized, .workshop(.model, deployed: true))
struct BadPipelineTests {
    private static let files: [BadInput] = [
        BadInput(
            "missing pipeline", 78, names: ["nowhere", "production"],
            arguments: ["deploy", "nowhere", "--reason", "Try"]),
        BadInput(
            "missing pipeline by its path", 78, names: ["elsewhere/nowhere.yml"],
            arguments: ["deploy", "elsewhere/nowhere.yml", "--reason", "Try"]),
        BadInput(
            "a folder for a pipeline", 78, names: ["./pipelines", "folder"],
            arguments: ["deploy", "./pipelines", "--reason", "Try"]),
        BadInput(
            "a pipeline that is no text", 78, names: ["bad.yml", "UTF-8"],
            spoil: { workshop in
                let place = workshop.repository + "/pipelines/bad.yml"
                try Data([0xFF, 0xFE, 0x00, 0x80]).write(to: URL(filePath: place))
            }),
        BadInput(
            "an empty pipeline", 78, names: ["bad.yml", "empty"],
            spoil: { try $0.write("pipelines/bad.yml", "") }),
        BadInput(
            "a pipeline that is no YAML", 78, names: ["bad.yml:2"],
            spoil: { try $0.write("pipelines/bad.yml", "version: 1\n\tapp: harbour\n") }),
        .pipeline("unknown key", replacing: "verify:", by: "verfy:", names: ["bad.yml:", "verfy", "“verify”"]),
        .pipeline("wrong type", replacing: "machines: 3", by: "machines: three", names: ["bad.yml:", "machines"]),
        .pipeline(
            "two build kinds", replacing: "build:", by: "build:\n  image: some/image:1", names: ["image", "layers"]),
        .pipeline(
            "a build kind that comes later", replacing: "build:\n",
            by: "build: { dockerfile: { path: Dockerfile } }\nx:\n", names: ["bad.yml:"]),
        .pipeline(
            "unset variable", replacing: "url: \"http", by: "url: \"${HARBOUR_SCHEME}http",
            names: ["bad.yml:", "HARBOUR_SCHEME"]),
        .pipeline(
            "unset variable of a notice", by: "notify: { slack: { webhook: \"${HARBOUR_SLACK}\" } }",
            names: ["bad.yml:", "HARBOUR_SLACK"]),
        .pipeline(
            "zone that does not exist", by: "window: { time_zone: Mars/Phobos, open: [\"Mon 09:00-17:00\"] }",
            names: ["bad.yml:", "Mars/Phobos"]),
        .pipeline(
            "hours that are none", by: "window: { time_zone: UTC, open: [\"Mon-Fri 09:00-09:00\"] }",
            names: ["bad.yml:", "Mon-Fri 09:00-09:00"]),
        .pipeline(
            "window that can never open",
            by: "window: { time_zone: UTC, open: [\"daily 00:00-24:00\"], "
                + "closed: [{ from: 2020-01-01, to: 2120-01-01, reason: Sabbath }] }",
            names: ["bad.yml:", "does not open", "Sabbath"]),
        .pipeline(
            "serving floor that leaves nothing to change", replacing: "serving_floor: 2", by: "serving_floor: 3",
            names: ["bad.yml:", "serving floor of 3"]),
        .pipeline(
            "image without an entrypoint", replacing: "    entrypoint: [/app/server]\n", by: "",
            names: ["bad.yml:", "entrypoint"]),
        .pipeline(
            "missing fly.toml", replacing: "../fly.toml", by: "../fly.nowhere.toml", names: ["fly.nowhere.toml"]),
        .flyToml("fly.toml for another app", replacing: "\"harbour\"", by: "\"pier\"", names: ["pier", "harbour"]),
        .flyToml(
            "unknown fly.toml key that would matter", replacing: "[[vm]]",
            by: "[experimental]\nenable_consul = true\n[[vm]]", names: ["bad.toml:", "enable_consul"]),
        .flyToml(
            "misspelt fly.toml key", replacing: "kill_timeout", by: "kill_timeuot",
            names: ["bad.toml:", "kill_timeuot", "kill_timeout"]),
        .flyToml("fly.toml that is no TOML", replacing: "[[vm]]", by: "[[vm]", names: ["bad.toml:"]),
    ]

    @Test("is refused with its place", arguments: files)
    func file(_ input: BadInput) async throws { try await input.check() }

    @Test("validate says the same, with 78")
    func validate() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write("pipelines/bad.yml", workshop.pipeline().replacing("verify:", with: "verfy:"))
        let text = try await workshop.airboss("validate", "bad")
        #expect(text.status == 78)
        #expect(text.output.contains("pipelines/bad.yml:") && text.output.contains("verfy"), "\(text.output)")
        let json = try await workshop.airboss("validate", "bad", "--output", "json")
        #expect(json.status == 78)
        #expect(json.output.contains("\"valid\" : false") || json.output.contains("\"valid\":false"), "\(json.output)")
    }

    @Test("a width that breaks the floor is narrowed, and said")
    func width() async throws {
        let workshop = try #require(Workshop.current)
        try workshop.write(
            "pipelines/bad.yml",
            workshop.pipeline().replacing("max_unavailable: 1", with: "max_unavailable: 3"))
        let run = try await workshop.run("deploy", "bad", "--reason", "Wide")
        #expect(run.status == 0, "\(run.outcome.everything)")
        let warnings = run.last["warnings"]?.text() ?? ""
        #expect(warnings.contains("serving floor of 2") && warnings.contains("max_unavailable"), "\(warnings)")
    }
}
