// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GitHistory
import Model
import Testing

@Suite struct `Exporting commits` {
    let sandbox: Sandbox

    init() throws {
        sandbox = try Sandbox()
        try sandbox.makeRepository()
    }

    /// Every path below a folder with its type, permissions and content, as `find` and the files say.
    func listing(_ folder: String) throws -> String {
        let script =
            "find . -mindepth 1 -printf '%y %m %l %p\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum"
        return String(
            decoding: try sandbox.run("/bin/sh", ["-c", "LC_ALL=C; " + script], in: folder), as: UTF8.self)
    }

    @Test func `ten thousand files are those of git archive`() async throws {
        var input = "commit refs/heads/main\ncommitter A <a@x> 1780000000 +0000\ndata 1\nx\n"
        for number in 0..<10_000 {
            let content = "content \(number)\n"
            let mode = number % 7 == 0 ? "100755" : "100644"
            input += "M \(mode) inline d\(number % 97)/e\(number % 13)/f\(number)\n"
            input += "data \(content.utf8.count)\n\(content)\n"
        }
        for number in 0..<50 { input += "M 120000 inline links/l\(number)\ndata 8\n../d0/e0\n" }
        try sandbox.git("app", "fast-import", "--quiet", input: Data(input.utf8))
        let repository = try await sandbox.open()
        let head = try await repository.resolve("main")
        let report = try await repository.export(head, to: sandbox.path("ours"))
        #expect((report.files, report.symlinks, report.isComplete) == (10_000, 50, true))
        try FileManager.default.createDirectory(atPath: sandbox.path("theirs"), withIntermediateDirectories: true)
        try sandbox.run(
            "/bin/sh", ["-c", "git archive main | tar -x -C ../theirs && chmod -R go-w,a+rX ../theirs"],
            in: sandbox.path("app"))
        #expect(try listing(sandbox.path("ours")) == listing(sandbox.path("theirs")))
        #expect(try await repository.treeEntries(head).count == 10_050)
    }

    @Test func `modes, links, strange names, whatever the umask`() async throws {
        try sandbox.write("app/plain", "plain\r\n")
        try sandbox.write("app/tool", "#!/bin/sh\n")
        try sandbox.write("app/.gitattributes", "* text=auto eol=crlf\nplain export-ignore\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: sandbox.path("app/tool"))
        try FileManager.default.createSymbolicLink(atPath: sandbox.path("app/away"), withDestinationPath: "/etc/passwd")
        try FileManager.default.createSymbolicLink(atPath: sandbox.path("app/broken"), withDestinationPath: "no/where")
        try sandbox.commit("one")
        // A name that is no UTF-8 and one with a line feed.
        let blob = try sandbox.git("app", "hash-object", "-w", "--stdin", input: Data("odd".utf8))
        var index = Data("100644 \(blob)\tdir/caf".utf8)
        index += Data([0xE9, 0]) + Data("100644 \(blob)\ta\nb\0".utf8)
        try sandbox.git("app", "update-index", "-z", "--index-info", input: index)
        try sandbox.git("app", "commit", "--quiet", "--message", "odd names")
        let repository = try await sandbox.open()
        let head = try await repository.resolve("HEAD")
        let entries = try await repository.treeEntries(head)
        #expect(
            entries.map { "\($0.path) \($0.kind) \($0.size)" } == [
                ".gitattributes file 41", "a\\x0Ab file 3", "away symlink 11", "broken symlink 8",
                "dir/caf\\xE9 file 3",
                "plain file 6", "tool executable 10",
            ])
        #expect(entries[4].path.text == nil)
        #expect(
            try await repository.changedPaths(from: repository.resolve("HEAD~1"), to: head).map(\.path) == [
                entries[1].path, entries[4].path,
            ])
        let report = try await repository.export(head, to: sandbox.path("out"))
        #expect((report.files, report.symlinks) == (5, 2))
        let out = sandbox.path("out")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: out + "/away") == "/etc/passwd")
        let lines = try listing(out).split(separator: "\n").map(String.init)
        #expect(
            lines.contains("f 755  ./tool") && lines.contains("l 777 no/where ./broken")
                && lines.contains("d 755  ./dir"))
        // Bytes as committed: no line-end conversion, nothing left out.
        let plain = try #require(entries.first { $0.path == "plain" })
        let content = try Data(contentsOf: URL(filePath: out + "/plain"))
        #expect(try await repository.blob(plain.object) == content)
        #expect(content.count == plain.size)
    }

    @Test func `only some paths`() async throws {
        for name in ["dist/app.js", "dist/lib/x.js", "distant/no", "README"] { try sandbox.write("app/\(name)", name) }
        let head = try sandbox.commit("one")
        let repository = try await sandbox.open()
        let report = try await repository.export(head, to: sandbox.path("out"), paths: ["./dist/"])
        #expect(report.files == 2)
        #expect(
            try await repository.treeEntries(head, paths: ["dist/lib", "README"]).map(\.path) == [
                "README", "dist/lib/x.js",
            ])
        #expect(try await repository.treeEntries(head, paths: ["."]).count == 4)
        await gitError(.notFound, mentions: "did you mean dist") {
            try await repository.treeEntries(head, paths: ["dits"])
        }
        await gitError(.notFound) { try await repository.treeEntries(head, paths: ["../app"]) }
    }

    @Test func `submodules and LFS pointers are reported`() async throws {
        let pointer =
            "version https://git-lfs.github.com/spec/v1\noid sha256:\(String(repeating: "ab", count: 32))\nsize 12345\n"
        try sandbox.write("app/model.bin", pointer)
        try sandbox.write("app/docs.md", "version https://git-lfs.github.com/spec/v1 is how pointers begin")
        try sandbox.commit("one")
        let other = String(repeating: "12", count: 20)
        try sandbox.git("app", "update-index", "--add", "--cacheinfo", "160000,\(other),vendor/lib")
        try sandbox.git("app", "commit", "--quiet", "--message", "submodule")
        let repository = try await sandbox.open()
        let report = try await repository.export(repository.resolve("HEAD"), to: sandbox.path("out"))
        #expect(!report.isComplete)
        #expect(report.submodules.map { "\($0.path) \($0.object)" } == ["vendor/lib \(other)"])
        #expect(report.lfsPointers.map { "\($0.path) \($0.size)" } == ["model.bin 12345"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: sandbox.path("out/vendor/lib")) == [])
        #expect(try String(contentsOfFile: sandbox.path("out/model.bin"), encoding: .utf8) == pointer)
    }

    @Test(arguments: ["..", ".git", ".GIT", ".", "a/b", "/etc/x"])
    func `names that lead out are refused before anything is written`(name: String) async throws {
        let blob = try sandbox.git("app", "hash-object", "-w", "--stdin", input: Data("x".utf8))
        let inner = try sandbox.tree([("100644", "file", blob)])
        let trees = [
            try sandbox.tree([("100644", name, blob)]), try sandbox.tree([("40000", name, inner)]),
            try sandbox.tree([("40000", "deep", try sandbox.tree([("100644", "aaa", blob), ("120000", name, blob)]))]),
        ]
        let repository = try await sandbox.open()
        for tree in trees {
            let commit = try sandbox.commitOfTree(tree)
            await gitError(.unsafePath, mentions: "must not be written") {
                try await repository.export(commit, to: sandbox.path("out"))
            }
            #expect(!FileManager.default.fileExists(atPath: sandbox.path("out")))
        }
    }

    @Test func `no file is written through a link`() async throws {
        let outside = try sandbox.git("app", "hash-object", "-w", "--stdin", input: Data(sandbox.path("outside").utf8))
        let inner = try sandbox.tree([("100644", "file", outside)])
        try FileManager.default.createDirectory(atPath: sandbox.path("outside"), withIntermediateDirectories: true)
        let repository = try await sandbox.open()
        for entries in [
            [("120000", "a", outside), ("40000", "a", inner)], [("40000", "a", inner), ("120000", "a", outside)],
            [("120000", "a", outside), ("100644", "a", outside)],
        ] {
            let commit = try sandbox.commitOfTree(try sandbox.tree(entries))
            await gitError(.unsafePath) { try await repository.export(commit, to: sandbox.path("out")) }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: sandbox.path("outside")) == [])
    }

    @Test func `folders that can't be used`() async throws {
        try sandbox.write("app/file", "x")
        let head = try sandbox.commit("one")
        let repository = try await sandbox.open()
        try sandbox.write("full/other", "x")
        await gitError(.destination, mentions: "empty") { try await repository.export(head, to: sandbox.path("full")) }
        await gitError(.destination) { try await repository.export(head, to: sandbox.path("full/other")) }
        await gitError(.destination) { try await repository.export(head, to: sandbox.path("full/other/below")) }
        try FileManager.default.createDirectory(atPath: sandbox.path("empty"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: sandbox.path("link"), withDestinationPath: sandbox.path("empty"))
        await gitError(.destination) { try await repository.export(head, to: sandbox.path("link")) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: sandbox.path("full")) == ["other"])
        #expect(try await repository.export(head, to: sandbox.path("empty")).files == 1)
    }

    @Test func `a damaged repository leaves nothing behind`() async throws {
        try sandbox.write("app/a", "first")
        try sandbox.write("app/b", "second")
        let head = try sandbox.commit("one")
        let blob = try sandbox.git("app", "rev-parse", "HEAD:b")
        let file = sandbox.path("app/.git/objects/\(blob.prefix(2))/\(blob.dropFirst(2))")
        try FileManager.default.removeItem(atPath: file)
        let repository = try await sandbox.open()
        await gitError(.missingObject, mentions: "git fsck") {
            try await repository.export(head, to: sandbox.path("out"))
        }
        #expect(!FileManager.default.fileExists(atPath: sandbox.path("out")))
    }

    @Test func `contents in order`() async throws {
        for name in ["a", "b", "c"] { try sandbox.write("app/\(name)", "content of \(name)") }
        let head = try sandbox.commit("one")
        let repository = try await sandbox.open()
        let entries = try await repository.treeEntries(head)
        let target = sandbox.path("joined")
        try Data().write(to: URL(filePath: target))
        let file = try FileHandle(forWritingTo: URL(filePath: target))
        try await repository.readBlobs(entries) { entry, bytes in
            try file.write(contentsOf: Data("\(entry.path)=".utf8) + Data(bytes))
        }
        try file.close()
        #expect(
            try String(contentsOfFile: target, encoding: .utf8) == "a=content of ab=content of bc=content of c")
        struct Stop: Error {}
        await #expect(throws: Stop.self) { () async throws in
            try await repository.readBlobs(entries) { _, _ in throw Stop() }
        }
    }

    @Test func `a cancelled task stops`() async throws {
        try sandbox.write("app/file", "x")
        let head = try sandbox.commit("one")
        let repository = try await sandbox.open()
        let target = sandbox.path("out")
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await repository.export(head, to: target)
        }
        task.cancel()
        await gitError(.cancelled) { try await task.value }
        #expect(!FileManager.default.fileExists(atPath: target))
    }
}
