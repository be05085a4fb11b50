// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GRDB
import Model
import Testing

@testable import Journals

@Suite struct StoreFileTests {
    let scratch: Scratch
    let path: String

    init() throws {
        scratch = try Scratch()
        path = scratch.file()
    }

    private func openingError(
        _ path: String, _ options: SQLiteStore.Options = .init(), sourceLocation: SourceLocation = #_sourceLocation
    ) async -> StateError? {
        await failure(
            { () throws(StateError) in try await SQLiteStore(path: path, options: options) },
            sourceLocation: sourceLocation)
    }

    /// Another connection, which may keep a transaction open between calls.
    private func lockingConnection() throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        return try DatabaseQueue(path: path, configuration: configuration)
    }

    @Test func `a missing folder and file are made, for this user only`() async throws {
        let path = scratch.file("a/b/state.sqlite")
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        func permissions(_ path: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        }
        #expect(try permissions(scratch.file("a/b")) == 0o700)
        for suffix in ["", "-wal", "-shm"] { #expect(try permissions(path + suffix) == 0o600) }
    }

    @Test func `every commit waits for the disk`() async throws {
        let store = try await SQLiteStore(path: path)
        let settings = try await store.read { session in
            try ["journal_mode", "synchronous", "foreign_keys"].map { try session.rows("PRAGMA \($0)")[0].values[0] }
        }
        #expect(settings == [.text("wal"), .integer(2), .integer(1)])  // 2 is FULL
    }

    @Test func `many that make the same store at once all get it`() async throws {
        let path = self.path
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    let store = try await SQLiteStore(path: path)
                    try await store.openRun(header(RunID("01R\(number)")))
                }
            }
            try await group.waitForAll()
        }
        #expect(try await SQLiteStore(path: path).runs(.all, limit: 99).count == 8)
    }

    @Test func `locked by another connection`() async throws {
        let store = try await SQLiteStore(path: path, options: .init(busyTimeout: .milliseconds(50)))
        let other = try lockingConnection()
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        let error = await failure { () throws(StateError) in try await store.openRun(header("01A")) }
        #expect(error?.code == .locked)
        #expect(try await store.runs(.all, limit: 1).isEmpty)  // reading goes on
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        try await store.openRun(header("01A"))
    }

    @Test func `locked while opening`() async throws {
        try await SQLiteStore(path: path).close()
        let other = try lockingConnection()
        try await other.writeWithoutTransaction {
            try $0.execute(sql: "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        }
        #expect(await openingError(path, .init(busyTimeout: .milliseconds(50)))?.code == .locked)
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
    }

    @Test func `a store of a later Airboss is left as it is`() async throws {
        try await SQLiteStore(path: path).close()
        try tamper(path, "PRAGMA user_version = 99")
        let before = try Data(contentsOf: URL(filePath: path))
        let error = await openingError(path)
        #expect(error?.code == .newerVersion(found: 99, supported: SQLiteSchema.version))
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
    }

    @Test(arguments: ["text", "noise", "short", "database", "versioned"])
    func `a file of something else is refused and left as it is`(kind: String) async throws {
        switch kind {
        case "text": try Data(String(repeating: "not a database\n", count: 500).utf8).write(to: URL(filePath: path))
        case "noise": try Data((0..<8192).map { _ in UInt8.random(in: 0...255) }).write(to: URL(filePath: path))
        case "short": try Data("x".utf8).write(to: URL(filePath: path))
        case "database": try tamper(path, "CREATE TABLE run (id INTEGER)")
        default: try tamper(path, "PRAGMA user_version = 1")
        }
        let before = try Data(contentsOf: URL(filePath: path))
        let error = try #require(await openingError(path))
        #expect(error.code == .notOurs)
        #expect(error.message.contains(path) && error.hint.contains("--state"))
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
        #expect(error.asAirbossError.code.exitCode == .unavailable)
    }

    @Test func `a file of the first version is brought up to date and keeps what it had`() async throws {
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        for number in 1...3 {
            try await store.append(
                run: "01A", expectedSequence: Int64(number - 1), kind: "event", payload: payload("\(number)"), at: start
            )
        }
        try await store.recordRelease(release(7))
        let me = Holder.process(at: start)
        _ = try await store.acquire(app, run: "01A", holder: me, at: start, silence: .seconds(60))
        let before = try await store.events("01A")
        try await store.close()
        // What later versions brought is taken away again: the file is one of the first.
        try tamper(path, "DROP TABLE snapshot")
        try tamper(path, "DROP TABLE audit; DROP TABLE audit_chain; DROP TABLE approval")
        try tamper(path, "ALTER TABLE run DROP COLUMN audit_records")
        try tamper(path, "DROP TABLE app; DROP TABLE waiter; ALTER TABLE hold DROP COLUMN fence")
        try tamper(path, "PRAGMA user_version = 1")

        let looked = await failure { () throws(StateError) in
            try await SQLiteStore(path: path, opening: .asItIs)
        }
        #expect(looked?.code == .olderVersion(found: 1, supported: SQLiteSchema.version))
        let migrated = try await SQLiteStore(path: path)
        #expect(try await migrated.schemaVersion() == SQLiteSchema.version)
        #expect(try await migrated.events("01A") == before)
        #expect(try await migrated.releases(app, limit: 9) == [release(7)])
        #expect(try await migrated.hold(app)?.fence == 1)
        // Its holder goes on with what it has, and the next one's token is greater.
        #expect(
            try await migrated.acquire(app, run: "01A", holder: me, at: start, silence: .seconds(60))
                == .acquired(fence: 1))
        try await migrated.release(app, run: "01A")
        #expect(
            try await migrated.acquire(app, run: "01B", holder: me, at: start, silence: .seconds(60))
                == .acquired(fence: 2))
    }

    @Test func `an empty file becomes a store`() async throws {
        try Data().write(to: URL(filePath: path))
        try await SQLiteStore(path: path).openRun(header("01A"))
    }

    @Test(arguments: ["folder", "fileAsFolder", "proc", "device"])
    func `what cannot be a store is said`(kind: String) async throws {
        let target: String
        switch kind {
        case "folder": target = scratch.path
        case "fileAsFolder":
            try Data().write(to: URL(filePath: path))
            target = path + "/state.sqlite"
        case "proc": target = "/proc/airboss/state.sqlite"
        default: target = "/dev/full"
        }
        let error = try #require(await openingError(target))
        #expect(error.code == .cannotOpen)
        #expect(error.message.contains(target) && !error.detail.isEmpty)
    }

    @Test func `a full store says so, keeps what it had, and takes the next write that fits`() async throws {
        let store = try await SQLiteStore(path: path, options: .init(maxStoreBytes: 512 * 1024))
        try await store.openRun(header("01A"))
        let large = Data(repeating: 0x20, count: 100_000)
        var written: Int64 = 0
        var error: StateError?
        while error == nil, written < 100 {
            do throws(StateError) {
                written = try await store.append(
                    run: "01A", expectedSequence: written, kind: "large", payload: large, at: start)
            } catch let full {
                error = full
            }
        }
        #expect(error?.code == .diskFull)
        #expect((1...5).contains(written))
        #expect(try await store.events("01A").lastSequence == written)
        try await store.closeRun("01A", outcome: "needs_human", exitCode: 11, finishedAt: start, summary: Data())
    }

    @Test func `pages of noise in the middle are damage, not entries`() async throws {
        let store = try await SQLiteStore(path: path)
        try await store.openRun(header("01A"))
        for number in 0..<40 {
            try await store.append(
                run: "01A", expectedSequence: Int64(number), kind: "event",
                payload: Data(repeating: UInt8(number), count: 3000), at: start)
        }
        try await store.close()
        var bytes = try Data(contentsOf: URL(filePath: path))
        for index in stride(from: 8192 * 2, to: bytes.count, by: 7) { bytes[index] = ~bytes[index] }
        try bytes.write(to: URL(filePath: path))
        do throws(StateError) {
            _ = try await SQLiteStore(path: path).events("01A")
            Issue.record("noise was read as a journal")
        } catch {
            #expect(error.code == .corrupt)
        }
    }

    @Test func `a store that was closed says so`() async throws {
        let store = try await SQLiteStore(path: path)
        try await store.close()
        #expect(await failure { () throws(StateError) in try await store.runs(.all, limit: 1) }?.code == .failed)
    }

    @Test(
        arguments: [
            .locked, .readOnly, .newerVersion(found: 2, supported: 1), .notOurs, .corrupt, .diskFull, .cannotOpen,
            .sequenceConflict(expected: 1, found: 2), .alreadyClosed(outcome: "verified"), .unknownRun,
            .ambiguousRun(matches: ["01A"]), .unknownRelease, .failed, .olderVersion(found: 1, supported: 2),
            .unknownKind,
            .fenced(holder: nil), .fenced(holder: someHold), .active(holder: someHold),
        ] as [StateError.Code])
    func `every error says what happened and what to do`(code: StateError.Code) {
        for store in ["/var/lib/state.sqlite", "postgres://db.example/airboss"] { check(code, store) }
    }

    private func check(_ code: StateError.Code, _ store: String) {
        let error = StateError(code, store: store, detail: "a detail")
        #expect(!error.message.isEmpty && !error.message.hasSuffix(".") && error.hint.hasSuffix("."))
        #expect(error.description == error.message + "\n  " + error.hint)
        let reported = error.asAirbossError
        #expect(reported.message == error.message && reported.hint == error.hint)
    }
}
