// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import GitHistory

@Suite struct `Opening repositories` {
    let sandbox: Sandbox

    init() throws {
        sandbox = try Sandbox()
        try sandbox.makeRepository()
    }

    @Test func `from a folder inside`() async throws {
        try sandbox.write("app/deep/er/file", "x")
        let id = try sandbox.commit("one")
        let repository = try await sandbox.open("app/deep/er")
        #expect(try await repository.resolve("HEAD") == id)
        #expect(repository.workTree == sandbox.path("app/"))
        #expect(await !repository.isBare)
        #expect(await !repository.isShallow)
        #expect(try await repository.currentBranch == "main")
    }

    @Test func `bare, linked and detached`() async throws {
        let ids = try sandbox.commits(2)
        try sandbox.git("app", "clone", "--quiet", "--bare", ".", sandbox.path("bare.git"))
        let bare = try await sandbox.open("bare.git")
        #expect(await bare.isBare)
        #expect(try await bare.resolve("main") == ids[1])
        await gitError(.bareRepository, mentions: "clean_worktree") { try await bare.workTreeState() }

        try sandbox.git("app", "worktree", "add", "--quiet", "--detach", sandbox.path("linked"), "HEAD~1")
        let linked = try await sandbox.open("linked")
        #expect(try await linked.resolve("HEAD") == ids[0])
        #expect(try await linked.currentBranch == nil)
        #expect(try await linked.workTreeState().isClean)
        #expect(try await linked.branchContains(ids[0], branch: "main").isContained)
    }

    @Test func `none, and what is none`() async throws {
        await gitError(.noRepository, mentions: "above it") { try await GitRepository.open(at: sandbox.root) }
        await gitError(.noRepository) { try await GitRepository.open(at: sandbox.path("nowhere")) }
        await gitError(.noRepository) { try await GitRepository.open(at: "a\0b") }
        try sandbox.write("broken/.git", "gitdir: /nonexistent")
        await gitError(.noRepository) { try await sandbox.open("broken") }
    }

    @Test func `object names it can't read`() async throws {
        try FileManager.default.createDirectory(atPath: sandbox.path("long"), withIntermediateDirectories: true)
        try sandbox.git("long", "init", "--quiet", "--object-format=sha256")
        await gitError(.unsupported, mentions: "SHA-1") { try await sandbox.open("long") }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a repository away"))
    func `another user's`() async throws {
        try sandbox.commit("one")
        try sandbox.run("/bin/chown", ["-R", "65534:65534", "app"], in: sandbox.root)
        await gitError(.notOwner, mentions: "safe.directory \(sandbox.path("app"))") {
            try await sandbox.open("app")
        }
    }

    @Test func `a checkout of a part, and a clone without contents`() async throws {
        let ids = try sandbox.commits(4)
        try sandbox.git("app", "config", "uploadpack.allowFilter", "true")
        try sandbox.git(
            "app", "clone", "--quiet", "--no-checkout", "--filter=blob:none", "file://" + sandbox.path("app"),
            sandbox.path("part"))
        try sandbox.git("part", "sparse-checkout", "set", "--no-cone", "/file1.txt")
        try sandbox.git("part", "checkout", "--quiet", "main")
        let part = try await sandbox.open("part")
        #expect(try await part.resolve("HEAD") == ids[3])
        #expect(try await part.workTreeState().dirty == [])
        let changed = try await part.changedPaths(from: ids[0], to: ids[1])
        #expect(changed.map(\.path.description) == ["file1.txt"])
        await gitError(.missingObject, mentions: "--filter") {
            try await part.export(ids[3], to: sandbox.path("out"))
        }
        #expect(!FileManager.default.fileExists(atPath: sandbox.path("out")))
    }

    @Test func `user and remotes`() async throws {
        let repository = try await sandbox.open()
        #expect(try await repository.remoteURL() == nil)
        try sandbox.git("app", "config", "user.name", "Ada Lovelace")
        try sandbox.git("app", "config", "user.email", "ada@example.com")
        try sandbox.git("app", "remote", "add", "origin", "https://x-access-token:ghs_secret@github.com/o/r.git")
        #expect(try await repository.remoteURL() == "https://github.com/o/r.git")
        #expect(try await repository.user == Commit.Person(name: "Ada Lovelace", email: "ada@example.com"))
    }

    @Test(arguments: [
        ("https://github.com/o/r.git", "https://github.com/o/r.git"),
        ("https://token@github.com/o/r", "https://github.com/o/r"),
        ("https://u:p@ss@host:8443/o/r?token=x#y", "https://host:8443/o/r"),
        ("https://u:p/ss@host/r", "https://[redacted]"),
        ("ssh://git@host/r", "ssh://host/r"),
        ("git@github.com:o/r.git", "github.com:o/r.git"),
        ("u:p@github.com:o/r.git", "github.com:o/r.git"),
        ("../other", "../other"), ("/srv/git/r@2.git", "/srv/git/r@2.git"),
        ("https://host/scope/@team/r", "https://host/scope/@team/r"),
    ])
    func `addresses without secrets`(address: String, shown: String) {
        #expect(RemoteAddress.redacted(address) == shown)
    }
}

@Suite struct `Resolving revisions` {
    let sandbox: Sandbox

    init() throws {
        sandbox = try Sandbox()
        try sandbox.makeRepository()
    }

    @Test func `names, ids and expressions`() async throws {
        let ids = try sandbox.commits(3)
        try sandbox.git("app", "tag", "light", "HEAD~1")
        try sandbox.git("app", "tag", "--annotate", "v1", "--message", "one", "HEAD~2")
        try sandbox.git("app", "tag", "--annotate", "v1-again", "--message", "tag of a tag", "v1")
        try sandbox.git("app", "branch", "release/1", "HEAD~1")
        let repository = try await sandbox.open()
        for (revision, index) in [
            ("HEAD", 2), ("main", 2), ("refs/heads/main", 2), ("HEAD~2", 0), ("main^", 1), ("@", 2), ("light", 1),
            ("v1", 0), ("v1-again", 0), ("release/1", 1), (ids[1].rawValue, 1), (ids[1].short, 1), ("v1^{}", 0),
        ] {
            #expect(try await repository.resolve(revision) == ids[index], "\(revision)")
        }
        let commit = try await repository.commit(ids[0])
        #expect(commit.tags == ["v1", "v1-again"])
    }

    @Test(arguments: [
        ("maim", GitError.Code.notFound, "did you mean main"), ("v1.O", .notFound, "did you mean v1.0"),
        ("HEAD~9", .notFound, "HEAD"), ("deadbeefdeadbeef", .notFound, "No branch"),
        (String(repeating: "ab", count: 20), .notFound, "No branch"), ("", .invalidRevision, "not a revision"),
        ("-rf", .invalidRevision, "not a revision"), ("a\nb", .invalidRevision, "a?b"),
        ("main..HEAD", .invalidRevision, "range"), ("HEAD:file0.txt", .notACommit, "blob"),
        ("HEAD^{tree}", .notACommit, "tree"), ("HEAD^{", .invalidRevision, "not a revision"),
        (String(repeating: "x", count: 5000), .invalidRevision, "not a revision"),
        ("both", .ambiguous, "refs/tags/both"), ("only-remote", .notFound, "origin/only-remote"),
    ])
    func `what can't be resolved`(revision: String, code: GitError.Code, mentions: String) async throws {
        _ = try sandbox.commits(2)
        try sandbox.git("app", "tag", "v1.0")
        try sandbox.git("app", "tag", "both", "HEAD~1")
        try sandbox.git("app", "branch", "both")
        try sandbox.git("app", "update-ref", "refs/remotes/origin/only-remote", "HEAD")
        let repository = try await sandbox.open()
        await gitError(code, mentions: mentions) { try await repository.resolve(revision) }
    }

    @Test func `the beginning of two ids`() async throws {
        let id = try sandbox.commit("one")
        // Blobs are stored until two objects begin alike; a thousand of them meet in four digits, as birthdays do.
        var seen = [String(id.rawValue.prefix(4)): id.rawValue]
        var shared = ""
        let input = (0..<1500).map { "blob\nmark :\($0 + 1)\ndata \(String($0).utf8.count)\n\($0)\n" }.joined()
        try sandbox.git("app", "fast-import", "--quiet", "--export-marks=marks", input: Data(input.utf8))
        let marks = try String(contentsOfFile: sandbox.path("app/marks"), encoding: .utf8)
        for line in marks.split(separator: "\n") {
            let object = String(line.split(separator: " ")[1])
            if seen.updateValue(object, forKey: String(object.prefix(4))) != nil { shared = String(object.prefix(4)) }
        }
        try #require(!shared.isEmpty)
        let repository = try await sandbox.open()
        await gitError(.ambiguous, mentions: "digits") { try await repository.resolve(shared) }
    }

    @Test func `a branch without a commit`() async throws {
        let repository = try await sandbox.open()
        #expect(try await repository.currentBranch == "main")
        for revision in ["HEAD", "main", "HEAD~1", "@"] {
            await gitError(.unbornBranch, mentions: "main has no commit yet") { try await repository.resolve(revision) }
        }
        await gitError(.notFound) { try await repository.resolve("other") }
        try sandbox.write("app/new", "x")
        #expect(try await repository.workTreeState().count == 1)
    }

    @Test func `ids of no commit`() async throws {
        try sandbox.write("app/file", "x")
        try sandbox.commit("one")
        let repository = try await sandbox.open()
        let blob = try sandbox.git("app", "rev-parse", "HEAD:file")
        await gitError(.notACommit) { try await repository.commit(CommitID(blob)) }
        await gitError(.notFound) { try await repository.commit(CommitID(String(repeating: "1", count: 40))) }
        await gitError(.invalidRevision) { try await repository.commit("main") }
    }
}

@Suite struct `Reading commits` {
    let sandbox: Sandbox

    init() throws {
        sandbox = try Sandbox()
        try sandbox.makeRepository()
    }

    @Test func `people, times, parents and tree`() async throws {
        let ids = try sandbox.commits(2)
        let repository = try await sandbox.open()
        let commit = try await repository.commit(ids[1])
        #expect(commit.author == Commit.Person(name: "Ada", email: "ada@example.com"))
        #expect(commit.committer == Commit.Person(name: "Grace", email: "grace@example.com"))
        #expect(commit.committedAt == Timestamp(secondsSinceEpoch: 1_780_000_001))
        #expect(commit.parents == [ids[0]])
        #expect(commit.tree == (try sandbox.git("app", "rev-parse", "HEAD^{tree}")))
        #expect(commit.message == "commit 1")
    }

    @Test func `eight parents`() async throws {
        let base = try sandbox.commit("base")
        var parents: [CommitID] = []
        for number in 0..<8 {
            parents.append(
                CommitID(
                    try sandbox.git(
                        "app", "commit-tree", "HEAD^{tree}", "-p", base.rawValue, "-m", "\(number)", at: number + 1)))
        }
        var arguments = ["commit-tree", "HEAD^{tree}", "-m", "octopus"]
        for parent in parents { arguments += ["-p", parent.rawValue] }
        let output = try sandbox.run("/usr/bin/git", arguments, in: sandbox.path("app"), at: 20)
        let octopus = CommitID(String(decoding: output.prefix(40), as: UTF8.self))
        let repository = try await sandbox.open()
        #expect(try await repository.commit(octopus).parents == parents)
        let range = try await repository.commitsBetween(base, octopus)
        #expect(range.relation == .forward)
        #expect(range.commits.map(\.id) == [octopus] + parents.reversed())
    }

    @Test func `signatures are no part of a message`() async throws {
        try sandbox.commit("one")
        let tree = try sandbox.git("app", "rev-parse", "HEAD^{tree}")
        let content = """
            tree \(tree)
            author Ada <ada@example.com> 1780000000 +0000
            committer Ada <ada@example.com> 1780000000 +0000
            gpgsig -----BEGIN SSH SIGNATURE-----
             U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg
             -----END SSH SIGNATURE-----

            Signed work

            Body
            -----BEGIN PGP SIGNATURE-----

            iQEzBAABCAAdFiEE
            -----END PGP SIGNATURE-----


            """
        let id = CommitID(try sandbox.store("commit", Data(content.utf8)))
        let repository = try await sandbox.open()
        let commit = try await repository.commit(id)
        #expect(commit.message == "Signed work\n\nBody")
        #expect(commit.subject == "Signed work")
    }

    @Test func `control characters and other encodings are kept as data`() async throws {
        try sandbox.commit("one")
        let tree = try sandbox.git("app", "rev-parse", "HEAD^{tree}")
        func store(_ header: String, _ message: [UInt8]) throws -> CommitID {
            let head = "tree \(tree)\nauthor A <a@x> 1780000000 +0000\ncommitter A <a@x> 1780000000 +0000\n\(header)\n"
            return CommitID(try sandbox.store("commit", Data(head.utf8) + Data(message)))
        }
        let repository = try await sandbox.open()
        let plain = try store("", Array("a\u{1B}[31mred\u{07}\r\nb\tc${{ secrets.X }}`id`\n".utf8))
        #expect(try await repository.commit(plain).message == "a\u{1B}[31mred\u{07}\r\nb\tc${{ secrets.X }}`id`")
        let latin = try store("encoding ISO-8859-1\n", [0x67, 0x72, 0xFC, 0xDF])
        #expect(try await repository.commit(latin).message == "grüß")
        let broken = try store("", [0x61, 0xFF, 0x62])
        #expect(try await repository.commit(broken).message == "a\u{FFFD}b")
        let empty = try store("", [])
        #expect(try await repository.commit(empty).message == "")
    }
}
