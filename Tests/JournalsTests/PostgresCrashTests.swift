// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Synchronization
import Testing

@testable import Journals

/// The server dies under load and comes back.
@Suite(.enabled(if: PostgresServer.isInstalled)) struct PostgresCrashTests {
    /// What a writer has been told is written.
    private struct Confirmed: Sendable {
        var entries = 0
        var notices: [String] = []
    }

    /// What all writers share.
    private final class Load: Sendable {
        let writes = Atomic(0)
        let isOver = Atomic(false)
    }

    static let writers = 6
    static let crashes = 3

    @Test func `nothing confirmed is lost and nothing is doubled when the server is killed`() async throws {
        let server = try await PostgresServer()
        let url = server.url(of: try await server.makeDatabase())
        try await PostgresStore(url: url).close()
        let load = Load()
        let confirmed = try await withThrowingTaskGroup(of: Confirmed?.self) { group in
            for writer in 0..<PostgresCrashTests.writers {
                group.addTask {
                    // Whatever ends one of them ends the others as well.
                    defer { load.isOver.store(true, ordering: .relaxed) }
                    return try await write(url, writer, load)
                }
            }
            group.addTask {
                defer { load.isOver.store(true, ordering: .relaxed) }
                for _ in 0..<PostgresCrashTests.crashes {
                    // Under load: some hundred writes since it came up.
                    let before = load.writes.load(ordering: .relaxed)
                    while load.writes.load(ordering: .relaxed) < before + 200 {
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    try await server.killAll()
                    try await server.start()
                }
                return nil
            }
            var confirmed: [Int: Confirmed] = [:]
            for try await one in group {
                guard let one else { continue }
                confirmed[Int(one.notices.first?.split(separator: "/").first ?? "") ?? -1] = one
            }
            return confirmed
        }
        #expect(confirmed.count == PostgresCrashTests.writers)

        let store = try await PostgresStore(url: url)
        for (writer, promised) in confirmed {
            let run = RunID("01W\(writer)")
            let reading = try await store.events(run)
            #expect(reading.tornTail == nil)
            // Every call came back in the end, so there is neither one fewer nor one more.
            #expect(reading.entries.map(\.payload) == (0..<promised.entries).map { payload("\(writer)/\($0)") })
            let notices = try await store.notices(run: run, limit: 100_000)
            #expect(Set(notices.map(\.key)) == Set(promised.notices) && notices.count == promised.notices.count)
            // An attempt that is counted is not idempotent by itself.
            #expect(notices.allSatisfy { $0.attempts == 1 })
        }
        print(
            "PostgreSQL: \(load.writes.load(ordering: .relaxed)) writes by \(PostgresCrashTests.writers) writers over "
                + "\(PostgresCrashTests.crashes) crashes, nothing lost, nothing doubled")
        try await store.close()
        try await server.stop()
    }

    @Test func `a commit whose answer is lost is looked up, not repeated`() async throws {
        let server = try await PostgresServer()
        let name = try await server.makeDatabase()
        let store = try await PostgresStore(url: server.url(of: name))
        // A standby that never answers: a commit is done here, and its answer waits. When that begins to hold nobody
        // says, so there are writes until one is caught.
        try await server.script("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", in: name)
        try await server.script("SELECT pg_reload_conf()", in: name)
        let load = Load()
        async let written = markUntilOver(store, load)
        let cut = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE wait_event = 'SyncRep' AND datname = '\(name)'
            """
        while try await server.script(cut, in: name) != "1" { try await Task.sleep(for: .milliseconds(5)) }
        load.isOver.store(true, ordering: .relaxed)
        try await server.script("ALTER SYSTEM RESET synchronous_standby_names", in: name)
        try await server.script("SELECT pg_reload_conf()", in: name)
        let count = try await written
        // Repeated, it would have counted two attempts.
        #expect(
            try await store.notices(run: nil, limit: count + 1).map(\.attempts) == Array(repeating: 1, count: count))
        let reading = try await store.events("01A")
        #expect(reading.tornTail == nil && reading.entries.map(\.payload) == (0..<count).map { payload("\($0)") })
        try await store.close()
        try await server.stop()
    }

    /// Queues notices, counts one attempt of each, and appends an entry for it; returns how many.
    private func markUntilOver(_ store: PostgresStore, _ load: Load) async throws -> Int {
        var count = 0
        try await store.openRun(header("01A"))
        while !load.isOver.load(ordering: .relaxed) {
            let isNew = try await store.enqueue(key: "\(count)", channel: "slack", payload: Data(), run: nil, at: start)
            #expect(isNew)
            try await store.markFailed("\(count)", error: "refused", nextAttemptAt: start)
            try await store.append(
                run: "01A", expectedSequence: Int64(count), kind: "event", payload: payload("\(count)"), at: start)
            count += 1
        }
        return count
    }

    /// Appends, queues notices and counts their attempts until it is over; every call is made once and returns.
    private func write(
        _ url: String, _ writer: Int, _ load: Load
    ) async throws -> Confirmed {
        let store = try await PostgresStore(url: url)
        let run = RunID("01W\(writer)")
        let name = AppName("app-\(writer)")
        try await store.openRun(header(run, app: name))
        let answer = try await store.acquire(
            name, run: run, holder: .process(at: start), at: start, silence: .seconds(60))
        #expect(answer == .acquired(fence: 1))
        let fence = Fence(app: name, run: run, token: 1)
        var confirmed = Confirmed()
        while !load.isOver.load(ordering: .relaxed) {
            let number = confirmed.entries
            try await store.append(
                run: run, expectedSequence: Int64(number), kind: "event", payload: payload("\(writer)/\(number)"),
                at: start, fence: fence)
            confirmed.entries += 1
            load.writes.add(1, ordering: .relaxed)
            guard number % 5 == 0 else { continue }
            let key = "\(writer)/\(number)"
            let isNew = try await store.enqueue(key: key, channel: "slack", payload: Data(), run: run, at: start)
            #expect(isNew)
            try await store.markFailed(key, error: "refused", nextAttemptAt: start)
            confirmed.notices.append(key)
            load.writes.add(1, ordering: .relaxed)
        }
        try await store.close()
        return confirmed
    }
}
