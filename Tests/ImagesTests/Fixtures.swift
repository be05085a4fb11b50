// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Model
import Testing

@testable import Images

/// A commit's files in memory; content is handed out in small pieces.
struct MemoryTree: TreeSource {
    var files: [(entry: TreeEntry, content: [UInt8])] = []
    var pieceBytes = 7

    mutating func add(_ path: String, _ content: String, kind: TreeEntry.Kind = .file) {
        add(path, Array(content.utf8), kind: kind)
    }

    mutating func add(_ path: String, _ content: [UInt8], kind: TreeEntry.Kind = .file) {
        let size = kind == .submodule ? 0 : Int64(content.count)
        files.append((TreeEntry(path: path, kind: kind, size: size, object: String(files.count)), content))
    }

    func entries() async throws -> [TreeEntry] { files.map(\.entry) }

    func read(_ entry: TreeEntry, to sink: @escaping @Sendable (Data) throws -> Void) async throws {
        var rest = try #require(files.first { $0.entry.object == entry.object }).content[...]
        while !rest.isEmpty {
            try sink(Data(rest.prefix(pieceBytes)))
            rest = rest.dropFirst(pieceBytes)
        }
    }

    /// The image every golden value in these tests belongs to.
    static let service: MemoryTree = {
        var tree = MemoryTree()
        tree.add("dist/server", "#!/bin/true\n", kind: .executable)
        tree.add("dist/public/index.html", "<h1>Hello</h1>\n")
        tree.add("dist/public/é.txt", "one scalar\n")
        tree.add("dist/public/e\u{301}.txt", "two scalars\n")
        tree.add("dist/" + String(repeating: "long/", count: 40) + "name.txt", "deep\n")
        tree.add("dist/current", "public", kind: .symlink)
        tree.add("dist/far", String(repeating: "../", count: 40) + "etc/hostname", kind: .symlink)
        tree.add("dist/empty", "")
        tree.add("README.md", "not copied\n")
        return tree
    }()
}

extension ImageLayers {
    static let service = ImageLayers(
        copies: [Copy(from: "dist", to: "/app")], entrypoint: ["/app/server"], cmd: ["--port", "8080"],
        env: ["PORT": "8080", "MODE": "a \"quoted\" value"], workdir: "/app", user: "1000",
        labels: ["org.opencontainers.image.revision": "abc"], exposedPorts: ["8080"])
}

let committedAt = Timestamp(secondsSinceEpoch: 1_790_000_000)

/// A registry nobody may ask: assembling on scratch needs none.
func offlineBuilder() -> ImageBuilder {
    ImageBuilder(registry: RegistryClient(http: ForbiddenNetwork()))
}

/// A folder that goes when the test ends.
func withFolder<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let folder = try WorkFolder()
    let value = try await body(folder.path)
    withExtendedLifetime(folder) {}
    return value
}

/// The code of the ``ImageError`` thrown, or nil.
func code(of body: () async throws -> Void) async throws -> ImageError.Code? {
    do {
        try await body()
        return nil
    } catch let error as ImageError {
        #expect(!error.message.hasSuffix("."))
        return error.code
    }
}
