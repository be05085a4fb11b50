// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Synchronization
import Testing

@testable import Journals

/// A cancelled run does not wait for a store that does not answer.
@Suite struct StorePatienceTests {
    /// How long a hang is waited for before it is a failure; what it took is printed.
    private static let longest = Duration.seconds(30)

    private func isGivenUp(_ result: Result<Int, StateError>) -> Bool {
        guard case .failure(let error) = result else { return false }
        return error.code == .cannotOpen && error.detail.contains("told to stop")
    }

    @Test func `a call that never answers ends once there is no patience, and no other is begun`() async throws {
        let patience = StorePatience(afterCancellation: .milliseconds(50))
        let late = Mutex<(@Sendable (Result<Int, StateError>) -> Void)?>(nil)
        async let hanging = patience.wait("a store") { answer in late.withLock { $0 = answer } }
        while late.withLock({ $0 == nil }) { await Task.yield() }
        patience.hurry()
        patience.hurry()
        #expect(isGivenUp(await hanging))
        // Its answer comes too late, and is nobody's.
        late.withLock { $0 }?(.success(1))
        let next = await patience.wait("a store") { (_: @escaping @Sendable (Result<Int, StateError>) -> Void) in
            Issue.record("it was begun")
        }
        #expect(isGivenUp(next))
    }

    @Test func `a store that answers is asked as before, also in a hurry`() async throws {
        let patience = StorePatience(afterCancellation: .seconds(60))
        for number in 0..<100 {
            if number == 50 { patience.hurry() }
            let answer = await patience.wait("a store") { $0(.success(number)) }
            #expect(answer == .success(number))
        }
        #expect(!patience.isExhausted)
    }

    @Test(arguments: StoreKind.available)
    func `a store in a hurry keeps what it is given`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await store.openRun(header("01A"))
        store.hurry()
        for number in 1...20 {
            try await store.append(
                run: "01A", expectedSequence: Int64(number - 1), kind: "event", payload: payload("\(number)"), at: start
            )
        }
        #expect(try await store.events("01A").entries.count == 20)
        try await store.close()
    }

    @Test func `a file that another process keeps locked is given up`() async throws {
        let scratch = try Scratch()
        let store = try await SQLiteStore(path: scratch.file(), options: .init(busyTimeout: .seconds(25)))
        try await store.openRun(header("01A"))
        let holder = try await SQLiteStore(path: scratch.file())
        let (held, hold) = AsyncStream.makeStream(of: Void.self)
        let release = DispatchSemaphore(value: 0)
        async let holding: Void = holder.write([]) { _ in
            hold.finish()
            release.wait()
        }
        for await _ in held {}
        let begin = ContinuousClock.now
        async let appending = failure { () throws(StateError) in
            try await store.append(run: "01A", expectedSequence: 0, kind: "event", payload: payload("1"), at: start)
        }
        store.hurry()
        #expect(await appending?.code == .cannotOpen)
        print("a locked file: given up after \(ContinuousClock.now - begin)")
        release.signal()
        try await holding
    }

    @Test(.enabled(if: PostgresServer.isInstalled), arguments: [SIGSTOP, SIGKILL])
    func `a server that says nothing any more, or is gone, is given up`(_ signal: Int32) async throws {
        let server = try await PostgresServer()
        let store = try await PostgresStore(url: server.url(of: try await server.makeDatabase()))
        try await store.openRun(header("01A"))
        try await store.append(run: "01A", expectedSequence: 0, kind: "event", payload: payload("1"), at: start)
        if signal == SIGKILL { try await server.killAll() } else { try server.signalAll(signal) }
        let begin = ContinuousClock.now
        async let appending = failure { () throws(StateError) in
            try await store.append(run: "01A", expectedSequence: 1, kind: "event", payload: payload("2"), at: start)
        }
        store.hurry()
        #expect(await appending?.code == .cannotOpen)
        let took = ContinuousClock.now - begin
        let next = await failure { () throws(StateError) in try await store.hold(app) }
        #expect(next?.code == .cannotOpen)
        print(
            "signal \(signal) to the server: given up after \(took), the next call after \(ContinuousClock.now - begin)"
        )
        #expect(took < StorePatienceTests.longest)
        if signal == SIGSTOP { try server.signalAll(SIGCONT) } else { try await server.start() }
        // What was given up happened or not; the journal is whole either way.
        let again = try await PostgresStore(url: server.url(of: "place_1"))
        let reading = try await again.events("01A")
        #expect(reading.tornTail == nil && (1...2).contains(reading.entries.count))
        try await again.close()
        try await server.stop()
    }
}
