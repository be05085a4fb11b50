// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GitHistory
import Model
import Testing

@Suite struct `History between commits` {
    let sandbox: Sandbox

    init() throws {
        sandbox = try Sandbox()
        try sandbox.makeRepository()
    }

    @Test func `forward, back, the same, and apart`() async throws {
        let ids = try sandbox.commits(6)
        try sandbox.git("app", "checkout", "--quiet", "-b", "side", ids[2].rawValue)
        let side = try sandbox.commits(2, from: 10)
        let repository = try await sandbox.open()

        let forward = try await repository.commitsBetween(ids[1], ids[5])
        #expect(forward.relation == .forward)
        #expect(forward.commits.map(\.id) == [ids[5], ids[4], ids[3], ids[2]])
        #expect((forward.count, forward.undoneCount, forward.isTruncated) == (4, 0, false))

        let bounded = try await repository.commitsBetween(ids[0], ids[5], limit: 2)
        #expect(bounded.commits.map(\.id) == [ids[5], ids[4]])
        #expect((bounded.count, bounded.isTruncated) == (5, true))

        let back = try await repository.commitsBetween(ids[5], ids[2])
        #expect((back.relation, back.count, back.undoneCount) == (.backward, 0, 3))
        #expect(try await repository.commitsBetween(ids[3], ids[3]).relation == .same)

        let apart = try await repository.commitsBetween(ids[5], side[1])
        #expect(apart.relation == .diverged)
        #expect(apart.commits.map(\.id) == [side[1], side[0]])
        #expect(apart.undoneCount == 3)

        #expect(try await repository.isAncestor(ids[2], of: side[1]))
        #expect(try await repository.isAncestor(ids[2], of: ids[2]))
        #expect(try await !repository.isAncestor(ids[3], of: side[1]))
        await gitError(.notFound) {
            try await repository.isAncestor(CommitID(String(repeating: "1", count: 40)), of: ids[0])
        }
    }

    /// Random graphs with clocks that all stand still, run backwards a little, or jump: git itself is the judge.
    @Test(arguments: ["still", "forward", "skewed"])
    func `agrees with git`(clock: String) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = Generator(state: seed)
        let count = 60
        var input = ""
        for number in 1...count {
            let time =
                switch clock {
                case "still": 1_780_000_000
                case "forward": 1_780_000_000 + number * 50_000
                default: 1_780_000_000 + number * 1000 + Int.random(in: -40_000...40_000, using: &generator)
                }
            let parents =
                number == 1
                ? []
                : Set(
                    (0..<Int.random(in: 1...3, using: &generator)).map { _ in
                        Int.random(in: max(1, number - 8)..<number, using: &generator)
                    }
                ).sorted()
            input += "commit refs/heads/c\(number)\nmark :\(number)\ncommitter A <a@x> \(time) +0000\ndata 1\nx\n"
            for (index, parent) in parents.enumerated() { input += (index == 0 ? "from" : "merge") + " :\(parent)\n" }
            input += "M 100644 inline f\ndata \(String(number).utf8.count)\n\(number)\n"
        }
        try sandbox.git("app", "fast-import", "--quiet", input: Data(input.utf8))
        let repository = try await sandbox.open()
        for _ in 0..<25 {
            let old = "c\(Int.random(in: 1...count, using: &generator))"
            let new = "c\(Int.random(in: 1...count, using: &generator))"
            let (deployed, target) = (try await repository.resolve(old), try await repository.resolve(new))
            let range = try await repository.commitsBetween(deployed, target)
            // All that each side has: git's own difference of the two stops early where clocks are skewed.
            let (ofOld, ofNew) = (try reachable(old), try reachable(new))
            let expected = ofNew.subtracting(ofOld)
            #expect(Set(range.commits.map(\.id.rawValue)) == expected, "\(old)..\(new), \(clock), seed \(seed)")
            #expect(range.undoneCount == ofOld.subtracting(ofNew).count, "\(old)..\(new), \(clock), seed \(seed)")
            #expect(
                try await repository.isAncestor(deployed, of: target)
                    == (range.relation == .forward || range.relation == .same))
        }
    }

    private func reachable(_ revision: String) throws -> Set<String> {
        let output = try sandbox.run("/usr/bin/git", ["rev-list", revision], in: sandbox.path("app"))
        return Set(String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init))
    }

    @Test func `which reference has it`() async throws {
        let ids = try sandbox.commits(3)
        try sandbox.git("app", "update-ref", "refs/remotes/origin/main", ids[1].rawValue)
        let repository = try await sandbox.open()
        let pushed = try await repository.branchContains(ids[1], branch: "main")
        #expect((pushed.isContained, pushed.reference) == (true, "refs/remotes/origin/main"))
        let local = try await repository.branchContains(ids[2], branch: "main")
        #expect((local.isContained, local.reference, local.isRemoteTracking) == (true, "refs/heads/main", false))
        // As actions/checkout leaves it: a detached HEAD and nothing but remote-tracking references.
        try sandbox.git("app", "checkout", "--quiet", "--detach")
        try sandbox.git("app", "branch", "--quiet", "-D", "main")
        let detached = try await repository.branchContains(ids[0], branch: "refs/heads/main")
        #expect((detached.isContained, detached.reference) == (true, "refs/remotes/origin/main"))
        #expect(try await !repository.branchContains(ids[2], branch: "main").isContained)
        await gitError(.notFound, mentions: "did you mean main") {
            try await repository.branchContains(ids[0], branch: "mian")
        }
        await gitError(.notFound, mentions: "git fetch origin") {
            try await repository.branchContains(ids[0], branch: "production")
        }
        await gitError(.notFound) { try await repository.branchContains(ids[0], branch: "a..b~^:") }
    }

    @Test func `a shallow clone says what it can't see`() async throws {
        let ids = try sandbox.commits(8)
        try sandbox.git(
            "app", "clone", "--quiet", "--depth", "3", "file://" + sandbox.path("app"), sandbox.path("shallow"))
        let repository = try await sandbox.open("shallow")
        #expect(await repository.isShallow)
        #expect(try await repository.resolve("HEAD~2") == ids[5])
        await gitError(.shallow, mentions: "fetch-depth: 0") { try await repository.resolve("HEAD~3") }
        await gitError(.shallow, mentions: "--unshallow") { try await repository.resolve(ids[0].rawValue) }
        await gitError(.shallow) { try await repository.commit(ids[0]) }
        await gitError(.notFound) { try await repository.resolve("HEAD:nothing") }
        // What is visible is answered.
        let range = try await repository.commitsBetween(ids[5], ids[7])
        #expect(range.commits.map(\.id) == [ids[7], ids[6]])
        #expect(try await repository.commitsBetween(ids[7], ids[6]).relation == .backward)
        #expect(try await repository.branchContains(ids[5], branch: "main").isContained)
        #expect(try await repository.changedPaths(from: ids[5], to: ids[7]).count == 2)
        // What is not is not guessed.
        await gitError(.shallow) { try await repository.commitsBetween(ids[2], ids[7]) }
        await gitError(.shallow) { try await repository.isAncestor(ids[2], of: ids[7]) }
        await gitError(.shallow) { try await repository.branchContains(ids[2], branch: "main") }
        await gitError(.shallow) { try await repository.isAncestor(ids[7], of: ids[6]) }
        let unrelated = CommitID(try sandbox.git("shallow", "commit-tree", "HEAD^{tree}", "-m", "apart"))
        await gitError(.shallow) { try await repository.branchContains(unrelated, branch: "main") }
        await gitError(.shallow) { try await repository.commitsBetween(ids[7], unrelated) }
        // A linked work tree of a shallow clone is shallow too.
        try sandbox.git("shallow", "worktree", "add", "--quiet", "--detach", sandbox.path("linked"))
        let linked = try await sandbox.open("linked")
        #expect(await linked.isShallow)
    }

    @Test func `paths that changed`() async throws {
        for name in ["kept", "changed", "gone", "link"] { try sandbox.write("app/\(name)", "\(name)\n") }
        try sandbox.write("app/old/moved", String(repeating: "line\n", count: 40))
        let first = try sandbox.commit("one")
        try sandbox.write("app/changed", "otherwise\n")
        try sandbox.write("app/new/added", "new\n")
        try FileManager.default.removeItem(atPath: sandbox.path("app/gone"))
        try FileManager.default.removeItem(atPath: sandbox.path("app/link"))
        try FileManager.default.createSymbolicLink(atPath: sandbox.path("app/link"), withDestinationPath: "kept")
        try sandbox.git("app", "mv", "old/moved", "moved")
        let second = try sandbox.commit("two", at: 1)
        let repository = try await sandbox.open()
        let changes = try await repository.changedPaths(from: first, to: second)
        #expect(
            changes == [
                ChangedPath(path: "changed", status: .modified), ChangedPath(path: "gone", status: .deleted),
                ChangedPath(path: "link", status: .typeChanged),
                ChangedPath(path: "moved", status: .renamed, oldPath: "old/moved"),
                ChangedPath(path: "new/added", status: .added),
            ])
        #expect(try await repository.changedPaths(from: second, to: second).isEmpty)
    }

    @Test func `clean and dirty work trees`() async throws {
        try sandbox.write("app/.gitignore", "ignored\nbuild/\n")
        for name in ["kept", "changed", "gone", "staged"] { try sandbox.write("app/\(name)", name) }
        try sandbox.commit("one")
        try sandbox.write("app/ignored", "x")
        try sandbox.write("app/build/x", "x")
        let repository = try await sandbox.open()
        #expect(try await repository.workTreeState().isClean)
        try sandbox.write("app/changed", "otherwise")
        try sandbox.write("app/staged", "otherwise")
        try sandbox.write("app/added", "x")
        try sandbox.git("app", "add", "staged", "added")
        try FileManager.default.removeItem(atPath: sandbox.path("app/gone"))
        for number in 0..<5 { try sandbox.write("app/folder/\(number)", "x") }
        try sandbox.write("app/untracked", "x")
        let state = try await repository.workTreeState()
        #expect(
            state.dirty.map { "\($0.path) \($0.state)" } == [
                "added added", "changed modified", "folder/ untracked", "gone deleted", "staged modified",
                "untracked untracked",
            ])
        #expect(!state.isClean)
        let bounded = try await repository.workTreeState(limit: 2)
        #expect((bounded.dirty.count, bounded.count, bounded.isTruncated) == (2, 6, true))
        try sandbox.write("app/.git/MERGE_HEAD", try sandbox.git("app", "rev-parse", "HEAD") + "\n")
        #expect(try await repository.workTreeState().operation == "merge")
    }
}

/// A generator whose runs repeat from their seed. Source: S. Vigna, SplitMix64.
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
