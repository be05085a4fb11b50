// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GitHistory
import Model
import Testing

/// Real repositories in a folder of their own, made by the real git.
final class Sandbox: Sendable {
    let root: String

    init() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "airboss-git-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        root = folder.resolvingSymlinksInPath().path
    }

    deinit {
        // Best effort: the system clears the folder for temporary files.
        try? FileManager.default.removeItem(atPath: root)
    }

    func path(_ name: String) -> String { root + "/" + name }

    /// Runs a program and returns what it wrote, as bytes.
    @discardableResult
    func run(_ program: String, _ arguments: [String], in folder: String, input: Data = Data(), at time: Int = 0) throws
        -> Data
    {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.currentDirectoryURL = URL(filePath: folder)
        let date = "\(1_780_000_000 + time) +0200"
        process.environment = [
            "PATH": "/usr/bin:/bin", "HOME": root, "LC_ALL": "C", "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_COMMITTER_NAME": "Grace", "GIT_COMMITTER_EMAIL": "grace@example.com", "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
        ]
        let (standardInput, standardOutput, standardError) = (Pipe(), Pipe(), Pipe())
        process.standardInput = standardInput
        process.standardOutput = standardOutput
        process.standardError = standardError
        try process.run()
        if !input.isEmpty { try standardInput.fileHandleForWriting.write(contentsOf: input) }
        try standardInput.fileHandleForWriting.close()
        let output = standardOutput.fileHandleForReading.readDataToEndOfFile()
        let errors = standardError.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failed(what: "\(program) \(arguments): \(String(decoding: errors, as: UTF8.self))")
        }
        return output
    }

    struct Failed: Error {
        var what: String
    }

    /// The first line of what git wrote.
    @discardableResult
    func git(_ repository: String, _ arguments: String..., input: Data = Data(), at time: Int = 0) throws -> String {
        let output = try run("/usr/bin/git", arguments, in: path(repository), input: input, at: time)
        return String(decoding: output, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
    }

    func makeRepository(_ name: String = "app") throws {
        try FileManager.default.createDirectory(atPath: path(name), withIntermediateDirectories: true)
        try git(name, "init", "--quiet", "--initial-branch=main")
    }

    func write(_ name: String, _ content: String) throws {
        let file = path(name)
        let folder = URL(filePath: file).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(content.utf8).write(to: URL(filePath: file))
    }

    /// Commits all that is there, `time` seconds after the fixed beginning.
    @discardableResult
    func commit(_ message: String, at time: Int = 0) throws -> CommitID {
        try git("app", "add", "--all", at: time)
        try git("app", "commit", "--quiet", "--allow-empty", "--message", message, at: time)
        return CommitID(try git("app", "rev-parse", "HEAD"))
    }

    /// `count` commits in a row, each with a change of its own.
    func commits(_ count: Int, from start: Int = 0) throws -> [CommitID] {
        try (start..<start + count).map { number in
            try write("app/file\(number % 3).txt", "\(number)")
            return try commit("commit \(number)", at: number)
        }
    }

    func open(_ name: String = "app") async throws -> GitRepository {
        try await GitRepository.open(at: path(name))
    }

    /// Stores an object without git's own checks.
    func store(_ type: String, _ content: Data, in repository: String = "app") throws -> String {
        try git(repository, "hash-object", "-t", type, "-w", "--stdin", "--literally", input: content)
    }

    /// A tree made of raw entries, however wrong.
    func tree(_ entries: [(mode: String, name: String, object: String)], in repository: String = "app") throws -> String
    {
        var content = Data()
        for entry in entries {
            content += Data("\(entry.mode) \(entry.name)\0".utf8)
            let digits = Array(entry.object)
            for index in stride(from: 0, to: digits.count, by: 2) {
                content.append(try #require(UInt8(String(digits[index...index + 1]), radix: 16)))
            }
        }
        return try store("tree", content, in: repository)
    }

    func commitOfTree(_ tree: String, in repository: String = "app") throws -> CommitID {
        CommitID(try git(repository, "commit-tree", tree, "-m", "made by hand"))
    }
}

/// The error of an asynchronous call; a missing one is recorded.
func gitError<Value>(
    _ code: GitError.Code, mentions: String = "", sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Value
) async {
    let error = await #expect(throws: GitError.self, sourceLocation: sourceLocation) { _ = try await body() }
    guard let error else { return }
    #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
    if !mentions.isEmpty {
        #expect(error.description.contains(mentions), "\(error)", sourceLocation: sourceLocation)
    }
    #expect(!error.message.hasSuffix("."), "\(error)", sourceLocation: sourceLocation)
}
