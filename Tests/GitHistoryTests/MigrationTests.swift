// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GitHistory
import Model
import Testing

/// Which commits change migrations, and what they declare, in repositories made by the real git.
@Suite struct `Migrations between commits` {
    let sandbox: Sandbox
    private static let folder = "prisma/migrations"

    init() throws {
        sandbox = try Sandbox()
        try sandbox.makeRepository()
    }

    private func migrate(_ name: String, _ message: String, at time: Int) throws -> CommitID {
        try sandbox.write("app/\(Self.folder)/\(name).sql", "alter \(name) \(time)")
        return try sandbox.commit(message, at: time)
    }

    private func found(_ from: CommitID, _ to: CommitID, _ paths: [String] = [folder]) async throws -> MigrationChanges
    {
        try await sandbox.open().migrations(from: from, to: to, paths: paths)
    }

    @Test func `every commit that changes them is told, and no other`() async throws {
        let first = try sandbox.commits(2)[1]
        let one = try migrate("1", "Add orders", at: 10)
        _ = try sandbox.commits(3, from: 20)
        let two = try migrate("2", "Add prices\n\nWhy not.\n\nMigration: reversible", at: 30)
        try sandbox.write("app/prisma/migrations-old/readme", "no migration")
        let last = try sandbox.commit("Read me", at: 40)
        for paths in [[Self.folder], [Self.folder + "/"], ["./" + Self.folder], ["other", Self.folder]] {
            let changes = try await found(first, last, paths)
            #expect(changes.paths == ["prisma/migrations/1.sql", "prisma/migrations/2.sql"], "\(paths)")
            #expect(changes.commits.map(\.commit) == [two, one], "\(paths)")
            #expect(changes.commits.map(\.isReversible) == [true, false], "\(paths)")
            #expect(changes.commits.map(\.subject) == ["Add prices", "Add orders"], "\(paths)")
            #expect(changes.needsPerson, "\(paths)")
        }
        #expect(try await !found(one, last).needsPerson)
        #expect(try await !found(first, last, ["prisma/migration"]).needsPerson)
        #expect(try await found(last, last) == MigrationChanges(paths: [], commits: []))
        // The other way round the same lies between.
        #expect(try await found(last, first).commits.map(\.commit) == [two, one])
    }

    @Test func `what was changed and changed back is told by its commits`() async throws {
        let first = try sandbox.commits(1)[0]
        _ = try migrate("1", "Add orders", at: 10)
        try FileManager.default.removeItem(atPath: sandbox.path("app/\(Self.folder)/1.sql"))
        let last = try sandbox.commit("Take it back", at: 20)
        let changes = try await found(first, last)
        #expect(changes.paths.isEmpty && changes.commits.count == 2 && changes.needsPerson)
    }

    @Test func `a merge declares nothing for what it only brings together`() async throws {
        let first = try sandbox.commits(1)[0]
        try sandbox.git("app", "checkout", "--quiet", "-b", "side", at: 5)
        let side = try migrate("2", "Side\n\nMigration: reversible", at: 10)
        try sandbox.git("app", "checkout", "--quiet", "main", at: 11)
        let main = try migrate("1", "Main\n\nMigration: reversible", at: 12)
        try sandbox.git("app", "merge", "--quiet", "--no-ff", "-m", "Merge side", "side", at: 20)
        let merge = CommitID(try sandbox.git("app", "rev-parse", "HEAD"))
        let changes = try await found(first, merge)
        #expect(Set(changes.commits.map(\.commit)) == [side, main])
        #expect(!changes.needsPerson)
        // One that adds something of its own has to say so itself.
        try sandbox.write("app/\(Self.folder)/3.sql", "slipped in")
        try sandbox.git("app", "add", "--all", at: 21)
        try sandbox.git("app", "commit", "--quiet", "--amend", "--no-edit", at: 21)
        let evil = CommitID(try sandbox.git("app", "rev-parse", "HEAD"))
        let changed = try await found(first, evil)
        #expect(changed.commits.first?.commit == evil && changed.needsPerson)
    }

    @Test func `commits of both sides count where histories have parted`() async throws {
        let first = try sandbox.commits(1)[0]
        let here = try migrate("1", "Here", at: 10)
        try sandbox.git("app", "checkout", "--quiet", "-b", "side", first.rawValue, at: 11)
        let there = try migrate("2", "There\n\nMigration: reversible", at: 12)
        let changes = try await found(here, there)
        #expect(Set(changes.commits.map(\.commit)) == [here, there])
        #expect(changes.needsPerson)
    }

    @Test func `more than is told is said to be more, and counts as not declared`() async throws {
        let first = try sandbox.commits(1)[0]
        for number in 1...5 { _ = try migrate("\(number)", "M\n\nMigration: reversible", at: 10 + number) }
        let last = CommitID(try sandbox.git("app", "rev-parse", "HEAD"))
        let repository = try await sandbox.open()
        let fewCommits = try await repository.migrations(from: first, to: last, paths: [Self.folder], maxCommits: 4)
        #expect(fewCommits.commits.count == 4 && fewCommits.isTruncated && fewCommits.needsPerson)
        let fewPaths = try await repository.migrations(from: first, to: last, paths: [Self.folder], maxPaths: 4)
        #expect(fewPaths.paths.count == 4 && fewPaths.isTruncated && fewPaths.needsPerson)
        #expect(try await !found(first, last).needsPerson)
    }

    static let messages: [(message: String, isReversible: Bool)] = [
        ("Add orders\n\nMigration: reversible", true),
        ("Add orders\n\nWhy.\n\nSigned-off-by: Ada <ada@example.com>\nMigration: reversible", true),
        ("Add orders\n\nmigration:   Reversible  ", true),
        // Not in the last paragraph.
        ("Add orders\n\nMigration: reversible\n\nAnd then more is said.", false),
        ("Migration: reversible", false),
        ("Add orders\n\nThis is no Migration: reversible", false),
        ("Add orders\n\nMigration: irreversible", false),
        ("Add orders\n\nMigration: reversible\nMigration: not reversible", false),
        ("Add orders\n\nMigrations: reversible", false),
        ("Add orders\n\n> Migration: reversible", false),
        ("Add orders\nMigration: reversible", false),
    ]

    @Test(arguments: messages.indices) func `the trailer is read as git reads trailers`(_ index: Int) async throws {
        let (message, isReversible) = Self.messages[index]
        let first = try sandbox.commits(1)[0]
        let last = try migrate("1", message, at: 10)
        #expect(try await found(first, last).commits.map(\.isReversible) == [isReversible], "\(message)")
        // Git's own word on it.
        let trailers = try sandbox.run(
            "/usr/bin/git", ["log", "-1", "--format=%(trailers:key=Migration,valueonly,separator=%x2C)"],
            in: sandbox.path("app"))
        let values = String(decoding: trailers, as: UTF8.self).split(whereSeparator: { ",\n".contains($0) })
            .map { $0.lowercased().filter { $0 != " " } }
        #expect((!values.isEmpty && values.allSatisfy { $0 == "reversible" }) == isReversible, "\(values)")
    }

    @Test func `a clone that hides a part of the way says so`() async throws {
        let first = try sandbox.commits(1)[0]
        _ = try migrate("1", "Add orders", at: 10)
        let last = try sandbox.commits(2, from: 20)[1]
        try sandbox.git(
            "", "clone", "--quiet", "--depth", "1", "file://" + sandbox.path("app"), sandbox.path("shallow"))
        let shallow = try await sandbox.open("shallow")
        await gitError(.shallow) { try await shallow.migrations(from: first, to: last, paths: [Self.folder]) }
    }
}
