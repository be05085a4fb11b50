// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Model
import PipelineFiles
import Testing

@Suite struct PipelineLoaderTests {
    static let flyToml = "app = \"hotdash\"\n[http_service]\ninternal_port = 3000\n"
    static let pipeline = "version: 1\napp: hotdash\nfly_toml: fly.toml\nbuild: { image: a/b:c }\n"

    @Test func `a pipeline and its fly.toml are read together`() throws {
        let loaded = try PipelineLoader.load(path: Fixtures.folder + "/full.yml", environment: [:])
        #expect(loaded.pipeline.name == "full")
        #expect(loaded.flyToml.app == "hotdash-production")
        #expect(loaded.diagnostics.map(\.severity) == [.warning])
        let groups = try PipelineLoader.load(path: Fixtures.folder + "/groups.yml", environment: [:])
        #expect(groups.flyToml.groups == ["web", "worker"])
        #expect(groups.diagnostics.isEmpty)
        let worker = groups.flyToml.machineConfig(for: "worker")
        let contents = worker.json["files"]?.array?.compactMap { $0["raw_value"]?.string }
        #expect(contents == [Data("extra file\n".utf8).base64EncodedString()])
    }

    @Test(arguments: [
        ("missing.yml", "cannot be read: there is no such file"), ("empty.yml", "the file is empty"),
        ("latin.yml", "the file is not UTF-8 text"), ("large.yml", "cannot be read: it is larger than 256 KiB"),
        (".", "cannot be read: it is a folder"), ("nofly.yml", "cannot be read: there is no such file"),
    ])
    func `files that cannot be read`(_ name: String, _ message: String) throws {
        let scratch = try Scratch()
        _ = try scratch.write(" \n\n", to: "empty.yml")
        _ = try scratch.write(Array("version: 1\napp: \"caf".utf8) + [0xE9] + Array("\"\n".utf8), to: "latin.yml")
        _ = try scratch.write(String(repeating: "# comment\n", count: 30_000), to: "large.yml")
        _ = try scratch.write(Self.pipeline, to: "nofly.yml")
        let path = scratch.path + "/" + name
        let error = #expect(throws: PipelineFileErrors.self) { try PipelineLoader.load(path: path, environment: [:]) }
        #expect(error?.diagnostics.map { $0.message.hasSuffix(message) } == [true], "\(String(describing: error))")
        let lines = ["latin.yml": 2, "nofly.yml": 3]
        #expect(error?.diagnostics.first?.line == lines[name] ?? 1)
    }

    @Test func `a mark at the start of a file is no part of it`() throws {
        let scratch = try Scratch()
        _ = try scratch.write("\u{FEFF}" + Self.flyToml, to: "fly.toml")
        let path = try scratch.write("\u{FEFF}" + Self.pipeline, to: "a.yml")
        #expect(try PipelineLoader.load(path: path, environment: [:]).pipeline.app == "hotdash")
    }

    @Test(arguments: [
        (
            "deploy: { machines: 1, serving_floor: 1 }\n",
            "5:39: error: a serving floor of 1 leaves no machine to change"
        ),
        ("deploy: { machines: { web: 2 } }\n", "5:28: error: fly.toml has no process group “web”"),
        (
            "deploy: { machines: 3, serving_floor: 1, max_unavailable: 3 }\n",
            "5:59: warning: max_unavailable of 3 would break the serving floor of 1 of 3 machines; 2 at once it is"
        ),
        ("deploy: { machines: 3, serving_floor: 1, max_unavailable: 2 }\n", ""),
    ])
    func `the rules between the two files`(_ tail: String, _ expected: String) throws {
        let scratch = try Scratch()
        _ = try scratch.write(Self.flyToml, to: "fly.toml")
        let path = try scratch.write(Self.pipeline + tail, to: "a.yml")
        let found: [Diagnostic]
        do {
            found = try PipelineLoader.load(path: path, environment: [:]).diagnostics
        } catch {
            found = error.diagnostics
        }
        #expect(found.count == (expected.isEmpty ? 0 : 1))
        if let first = found.first { #expect(first.description.hasPrefix(path + ":" + expected), "\(first)") }
    }

    @Test func `an image from scratch needs a program`() throws {
        let scratch = try Scratch()
        _ = try scratch.write(Self.flyToml, to: "fly.toml")
        let text = "version: 1\napp: hotdash\nfly_toml: fly.toml\nbuild:\n  layers: { copy: [{ from: a, to: /a }] }\n"
        let path = try scratch.write(text, to: "a.yml")
        let error = #expect(throws: PipelineFileErrors.self) { try PipelineLoader.load(path: path, environment: [:]) }
        #expect(error?.diagnostics.map(\.location) == [SourceLocation(path: path, line: 5, column: 11)])
        _ = try scratch.write(Self.flyToml + "processes = [\"app\"]\n[processes]\napp = \"/a/run\"\n", to: "fly.toml")
        #expect(throws: Never.self) { try PipelineLoader.load(path: path, environment: [:]) }
    }

    @Test func `pipelines are found by name or path`() throws {
        let scratch = try Scratch()
        let production = try scratch.write(Self.pipeline, to: "production.yml")
        let staging = try scratch.write(Self.pipeline, to: "staging.yaml")
        #expect(try PipelineLoader.find(name: "production", in: scratch.path) == production)
        #expect(try PipelineLoader.find(name: "staging", in: scratch.path) == staging)
        #expect(try PipelineLoader.find(name: staging, in: "nowhere") == staging)
        #expect(try PipelineLoader.find(name: "staging.yaml", in: scratch.path) == staging)
        #expect(PipelineLoader.names(in: scratch.path) == ["production", "staging"])
        let error = #expect(throws: AirbossError.self) { try PipelineLoader.find(name: "prodution", in: scratch.path) }
        #expect(error?.message == "there is no pipeline “prodution” in \(scratch.path)")
        #expect(error?.hint == "did you mean “production”? there are: production, staging")
        #expect(error?.code.exitCode == .invalidConfiguration)
        #expect(throws: AirbossError.self) { try PipelineLoader.find(name: scratch.path + "/no.yml", in: "x") }
        #expect(throws: AirbossError.self) { try PipelineLoader.find(name: "", in: scratch.path) }
        #expect(throws: AirbossError.self) { try PipelineLoader.find(name: "a", in: scratch.path + "/none") }
        _ = try scratch.write(Self.pipeline, to: "staging.yml")
        #expect(throws: AirbossError.self) { try PipelineLoader.find(name: "staging", in: scratch.path) }
    }

    @Test func `the pipelines of this repository are valid`() throws {
        let folder = Fixtures.repository + "/pipelines"
        let names = PipelineLoader.names(in: folder)
        #expect(names.count >= 5)
        for name in names {
            let path = try PipelineLoader.find(name: name, in: folder)
            let loaded = try PipelineLoader.load(path: path, environment: [:])
            #expect(loaded.diagnostics.isEmpty, "\(loaded.diagnostics)")
            #expect(loaded.flyToml.app == loaded.pipeline.app, "\(name)")
            // What is named as healthy elsewhere is another file of the folder.
            #expect(loaded.pipeline.gates.healthy.allSatisfy { names.contains($0.source) }, "\(name)")
        }
        // A file of fly.toml that no pipeline names would never be checked.
        let used = try names.map { name in
            try PipelineLoader.load(path: PipelineLoader.find(name: name, in: folder), environment: [:]).flyToml.path
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/fly").map { folder + "/fly/" + $0 }
        #expect(files.sorted() == used.sorted())
    }

    @Test(arguments: [
        (1, "", 0, 1), (2, "", 1, 1), (10, "max_unavailable: 0.33", 1, 3), (2, "max_unavailable: 0.33", 1, 1),
        (3, "max_unavailable: 3, serving_floor: 1", 1, 2), (3, "max_unavailable: 3, serving_floor: 0", 0, 3),
        (0, "max_unavailable: 4", 0, 4), (4, "serving_floor: 4", -1, -1), (1, "serving_floor: 1", -1, -1),
        (5, "serving_floor: 9", -1, -1),
    ])
    func `bounds of a rollout`(_ machines: Int, _ deploy: String, _ floor: Int, _ width: Int) throws {
        let text = Self.pipeline + "deploy: { \(deploy) }\n"
        let pipeline = try Pipeline(parsing: text, path: "a.yml", environment: [:])
        let result = pipeline.rolloutBounds(fleet: ["app": machines])
        guard floor >= 0 else {
            #expect(result.bounds == nil)
            return #expect(result.diagnostics.map(\.severity) == [.error])
        }
        #expect(result.bounds == RolloutBounds(servingFloor: floor, maxUnavailable: width))
        #expect(result.diagnostics.allSatisfy { $0.severity == .warning })
    }
}
