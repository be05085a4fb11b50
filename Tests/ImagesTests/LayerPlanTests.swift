// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@testable import Images

@Suite struct LayerPlanTests {
    static let tree: MemoryTree = {
        var tree = MemoryTree()
        tree.add("dist/server", "s", kind: .executable)
        tree.add("dist/lib/a.so", "a")
        tree.add("dist/lib/b.so", "b")
        tree.add("config.json", "{}")
        tree.add("distant/x", "x")
        tree.add("link", "dist", kind: .symlink)
        tree.add("modules/sub", "", kind: .submodule)
        tree.add("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
        tree.add("odd/.wh.gone", "")
        return tree
    }()

    static func plan(
        _ copies: [(String, String)], base: ImageLayers.Base = .scratch, workdir: String? = nil
    ) throws(ImageError) -> [String] {
        let layers = ImageLayers(
            base: base, copies: copies.map { ImageLayers.Copy(from: $0.0, to: $0.1) }, workdir: workdir)
        let plan = try LayerPlan(layers: layers, entries: tree.files.map(\.entry))
        return plan.layers.flatMap { layer in
            layer.entries.map { entry in
                switch entry.kind {
                case .directory: entry.path.text + "/"
                case .symlink: entry.path.text + "@"
                case .file(_, let mode): entry.path.text + (mode & 0o111 == 0 ? "" : "*")
                }
            }
        }
    }

    @Test func `Files land where a reader of the pipeline expects them`() throws {
        let lib = ["app/lib/", "app/lib/a.so", "app/lib/b.so", "app/server*"]
        #expect(try Self.plan([("dist", "/app")]) == ["app/"] + lib)
        #expect(try Self.plan([("./dist/", "app/")]) == ["app/"] + lib)
        #expect(try Self.plan([("dist/lib/../lib", "/")]) == ["a.so", "b.so"])
        #expect(try Self.plan([("config.json", "/etc/app/")]) == ["etc/", "etc/app/", "etc/app/config.json"])
        #expect(try Self.plan([("config.json", "/etc/settings")]) == ["etc/", "etc/settings"])
        #expect(try Self.plan([("config.json", "x")], workdir: "/srv") == ["srv/", "srv/x"])
        #expect(try Self.plan([("config.json", "/x")], workdir: "/srv/deep") == ["srv/", "srv/deep/", "x"])
        #expect(try Self.plan([("link", "/l")]) == ["l@"])
    }

    @Test func `On a base image folders that may be the base's are left alone`() throws {
        let base = ImageLayers.Base.image(reference: ImageReference(registry: "r.example", repository: "b"))
        #expect(
            try Self.plan([("dist", "/usr")], base: base) == [
                "usr/lib/", "usr/lib/a.so", "usr/lib/b.so", "usr/server*",
            ])
        #expect(try Self.plan([("config.json", "/etc/app/x")], base: base) == ["etc/app/x"])
        #expect(try Self.plan([], base: base, workdir: "/w") == [])
    }

    @Test func `A later copy replaces a file, never a folder`() throws {
        #expect(try Self.plan([("dist/lib/a.so", "/x"), ("config.json", "/x")]) == ["x", "x"])
        #expect(throws: ImageError.self) { try Self.plan([("dist", "/x"), ("config.json", "/x")]) }
        #expect(throws: ImageError.self) { try Self.plan([("config.json", "/x"), ("dist", "/x")]) }
        #expect(throws: ImageError.self) { try Self.plan([("link", "/x"), ("config.json", "/x/y")]) }
    }

    @Test(arguments: [
        ("dits", "/app", ImageError.Code.copySourceMissing, "“dist”"),
        ("lib", "/app", .copySourceMissing, "“dist/lib”"),
        ("config.json/", "/app", .copySourceMissing, "“config.json”"),
        ("../secret", "/app", .copySourceMissing, "repository's root"),
        ("/etc/passwd", "/app", .copySourceMissing, "repository's root"),
        ("", "/app", .copySourceMissing, "repository's root"),
        ("dist", "../app", .copyTargetOutsideRoot, "can't leave it"),
        ("dist", "/a/../../b", .copyTargetOutsideRoot, "can't leave it"),
        ("dist", "", .copyTargetOutsideRoot, "can't leave it"),
        ("modules", "/m", .submodule, "without submodules"),
        ("modules/sub", "/m", .submodule, "without submodules"),
        ("modules/sub/file", "/m", .submodule, "without submodules"),
        (".", "/all", .submodule, "without submodules"),
        ("odd", "/o", .unsafePath, "whiteouts"),
    ])
    func `What can't be copied is refused`(from: String, to: String, code: ImageError.Code, hint: String) throws {
        do {
            _ = try Self.plan([(from, to)])
            Issue.record("no error")
        } catch {
            #expect(error.code == code)
            #expect(error.hint.contains(hint), "\(error)")
        }
    }

    @Test(arguments: ["../x", "a//b", "a/./b", "/a", "a/", ""])
    func `Paths no git would make are refused`(path: String) {
        let layers = ImageLayers(copies: [.init(from: ".", to: "/")])
        #expect(throws: ImageError.self) {
            try LayerPlan(layers: layers, entries: [TreeEntry(path: path, kind: .file, size: 0)])
        }
    }

    @Test func `A Git LFS pointer among the copied files is refused`() async throws {
        let layers = ImageLayers(
            copies: [.init(from: "big.bin", to: "/b"), .init(from: "dist", to: "/app")], entrypoint: ["/app/server"])
        let code = try await code {
            _ = try await offlineBuilder().assemble(source: Self.tree, layers: layers, created: committedAt)
        }
        #expect(code == .lfsPointer)
    }

    static func entrypoint(_ words: [String]?, cmd: [String]? = nil, workdir: String? = nil) -> ImageLayers {
        ImageLayers(
            copies: [
                .init(from: "dist", to: "/app"), .init(from: "config.json", to: "/app/config.json"),
                .init(from: "link", to: "/current"), .init(from: "link", to: "/app/loop/link"),
            ], entrypoint: words, cmd: cmd, workdir: workdir)
    }

    @Test(
        arguments: [
            (entrypoint(["/app/server"]), nil),
            (entrypoint(["./server"], workdir: "/app"), nil),
            (entrypoint(nil, cmd: ["/app/server"]), nil),
            (entrypoint(["server"]), nil),
            (entrypoint(["/app/serve"]), ImageError.Code.entrypointMissing),
            (entrypoint(["/app/config.json"]), .entrypointNotExecutable),
            (entrypoint(["/app"]), .entrypointNotExecutable),
            (entrypoint(["/current"]), .entrypointMissing),
            (entrypoint(nil), .noCommand),
            (entrypoint([]), .noCommand),
            (entrypoint([""]), .invalidLayers),
            (ImageLayers(), .invalidLayers),
            (ImageLayers(copies: [.init(from: "dist", to: "/a", mode: 0o4755)]), .invalidLayers),
            (ImageLayers(copies: [.init(from: "dist", to: "/a")], workdir: "relative"), .invalidLayers),
            (ImageLayers(copies: [.init(from: "dist", to: "/a")], env: ["A=B": "c"]), .invalidLayers),
            (ImageLayers(copies: [.init(from: "dist", to: "/a")], exposedPorts: ["http"]), .invalidLayers),
        ] as [(ImageLayers, ImageError.Code?)])
    func `An image that can't start is refused`(layers: ImageLayers, expected: ImageError.Code?) async throws {
        let actual = try await code {
            _ = try await offlineBuilder().assemble(source: Self.tree, layers: layers, created: committedAt)
        }
        #expect(actual == expected)
    }

    @Test func `The entrypoint is found through links, and loops end`() async throws {
        var tree = MemoryTree()
        tree.add("bin/server", "s", kind: .executable)
        tree.add("latest", "releases/1", kind: .symlink)
        tree.add("releases/1", "../bin", kind: .symlink)
        tree.add("a", "b", kind: .symlink)
        tree.add("b", "/a", kind: .symlink)
        for (program, expected) in [("/latest/server", nil), ("/a", ImageError.Code.entrypointMissing)] {
            let layers = ImageLayers(copies: [.init(from: ".", to: "/")], entrypoint: [program])
            let source = tree
            let actual = try await code {
                _ = try await offlineBuilder().assemble(source: source, layers: layers, created: committedAt)
            }
            #expect(actual == expected)
        }
    }

    @Test func `A mode of the copy makes files executable, links stay links`() throws {
        let layers = ImageLayers(copies: [
            .init(from: "dist", to: "/", mode: 0o755), .init(from: "link", to: "/l", mode: 0o600),
        ])
        let plan = try LayerPlan(layers: layers, entries: Self.tree.files.map(\.entry))
        guard case .file(_, 0o755) = plan.files[TreePath(bytes: "lib/a.so".utf8)]?.kind,
            case .symlink = plan.files[TreePath(bytes: "l".utf8)]?.kind
        else {
            Issue.record("\(plan.files)")
            return
        }
    }
}
