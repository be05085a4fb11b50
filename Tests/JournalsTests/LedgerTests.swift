// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Journals

@Suite struct LedgerTests {
    private func record(_ store: any SQLStore, _ number: Int, _ states: ReleaseRecord.State...) async throws {
        try await store.recordRelease(release(number))
        for (index, state) in states.enumerated() {
            try await store.markRelease(app, ReleaseNumber(number), state, at: start + .seconds(1000 * number + index))
        }
    }

    private func lastVerified(_ store: any SQLStore, before number: Int?) async throws -> Int? {
        try await store.lastVerified(app, before: number.map { ReleaseNumber($0) })?.number.value
    }

    @Test(arguments: StoreKind.available)
    func `a release comes back as recorded, its configs with every unknown field`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        var recorded = release(71)
        recorded.commit = nil
        recorded.verifiedAt = start + .seconds(5)
        recorded.state = .verified
        try await store.recordRelease(recorded)
        #expect(try await store.release(app, ReleaseNumber(71)) == recorded)
        #expect(try await store.release(app, ReleaseNumber(70)) == nil)
        #expect(try await store.release("other", ReleaseNumber(71)) == nil)
        #expect(
            try await store.releaseHistory(app, ReleaseNumber(71))
                == [ReleaseStateChange(state: .verified, at: start + .seconds(5))])
    }

    @Test(arguments: StoreKind.available)
    func `after v72 and v73 failed, the way back from v73 is v71`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await record(store, 70, .verified)
        try await record(store, 71, .verified)
        try await record(store, 72, .failed)
        try await record(store, 73, .failed)
        #expect(try await lastVerified(store, before: 73) == 71)
        #expect(try await lastVerified(store, before: nil) == 71)
        #expect(try await lastVerified(store, before: 71) == 70)
        #expect(try await lastVerified(store, before: 70) == nil)
        try await record(store, 74, .verified)
        #expect(try await lastVerified(store, before: nil) == 74)
        #expect(try await lastVerified(store, before: 74) == 71)
        let history = try await store.history(app, limit: 3)
        #expect(history.current?.number == ReleaseNumber(74))
        #expect(history.verified.map(\.number.value) == [71, 70])
        #expect(history.states.map(\.number.value) == [74, 73, 72])
        #expect(history.states.map(\.state) == [.verified, .failed, .failed])
    }

    @Test(
        arguments: StoreKind.available,
        [
            ([.verified], true), ([], false), ([.failed], false), ([.verified, .failed], false),
            ([.verified, .withdrawn], false), ([.failed, .verified], true), ([.verified, .failed, .verified], true),
            ([.verified, .deploying], true), ([.verified, .failed, .deploying], false),
        ] as [([ReleaseRecord.State], Bool)])
    func `a release counts while the last judgement on it is good`(
        kind: StoreKind, judged: (states: [ReleaseRecord.State], counts: Bool)
    ) async throws {
        let (states, counts) = judged
        let store = try await Place(kind).open()
        try await store.recordRelease(release(5))
        for state in states { try await store.markRelease(app, ReleaseNumber(5), state, at: start) }
        #expect(try await lastVerified(store, before: nil) == (counts ? 5 : nil))
        #expect(try await store.history(app, limit: 9).current?.number.value == (counts ? 5 : nil))
        #expect(try await store.releaseHistory(app, ReleaseNumber(5)).map(\.state) == [.deploying] + states)
    }

    @Test(arguments: StoreKind.available)
    func `marking the state a release has changes nothing; verification has its time`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await store.recordRelease(release(5))
        try await store.markRelease(app, ReleaseNumber(5), .verified, at: start + .seconds(60))
        try await store.markRelease(app, ReleaseNumber(5), .verified, at: start + .seconds(90))
        try await store.markRelease(app, ReleaseNumber(5), .failed, at: start + .seconds(120))
        let found = try #require(try await store.release(app, ReleaseNumber(5)))
        #expect(found.state == .failed && found.verifiedAt == start + .seconds(60))
        #expect(try await store.releaseHistory(app, ReleaseNumber(5)).count == 3)
        let error = await failure { () throws(StateError) in
            try await store.markRelease(app, ReleaseNumber(6), .failed, at: start)
        }
        #expect(error?.code == .unknownRelease)
    }

    @Test(arguments: StoreKind.available)
    func `a run may record its release again, with what it knows by then; another run may not`(kind: StoreKind)
        async throws
    {
        let store = try await Place(kind).open()
        try await store.recordRelease(release(5))
        try await store.markRelease(app, ReleaseNumber(5), .verified, at: start)
        var again = release(5)
        again.machines = []
        again.platformID = "later"
        try await store.recordRelease(again)
        let found = try #require(try await store.release(app, ReleaseNumber(5)))
        #expect(found.machines.isEmpty && found.platformID == "later" && found.state == .verified)
        let error = await failure { () throws(StateError) in try await store.recordRelease(release(5, run: "01B")) }
        #expect(error?.code == .conflict)
    }

    @Test(arguments: StoreKind.available)
    func `releases are listed newest first, each app's own`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        for number in [9, 10, 11] { try await store.recordRelease(release(number)) }
        try await store.recordRelease(release(12, app: "other"))
        #expect(try await store.releases(app, limit: 2).map(\.number.value) == [11, 10])
        #expect(try await store.releases("none", limit: 2).isEmpty)
    }
}

@Suite struct OutboxTests {
    private func due(_ store: any SQLStore, _ time: Timestamp) async throws -> [String] {
        try await store.due(time, limit: 10).map(\.key)
    }

    @Test(arguments: StoreKind.available)
    func `a notice is queued once, sent once, and never due again`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(
            try await store.enqueue(key: "01A/slack", channel: "slack", payload: payload("1"), run: "01A", at: start))
        #expect(
            try await store.enqueue(key: "01A/slack", channel: "slack", payload: payload("2"), run: "01A", at: start)
                == false)
        #expect(try await due(store, start - .milliseconds(1)) == [])
        #expect(try await due(store, start) == ["01A/slack"])
        try await store.markSent("01A/slack", at: start + .seconds(1))
        try await store.markSent("01A/slack", at: start + .seconds(2))
        #expect(try await due(store, start + .seconds(99)) == [])
        let notice = try #require(try await store.notices(run: "01A", limit: 5).first)
        #expect(notice.sentAt == start + .seconds(1) && notice.attempts == 1 && notice.payload == payload("1"))
        #expect(
            try await store.enqueue(key: "01A/slack", channel: "slack", payload: payload("3"), run: nil, at: start)
                == false)
    }

    @Test(arguments: StoreKind.available)
    func `a failed notice waits for its next attempt, and is given up where there is none`(kind: StoreKind) async throws
    {
        let store = try await Place(kind).open()
        try await store.enqueue(key: "a", channel: "email", payload: payload("1"), run: nil, at: start)
        try await store.enqueue(key: "b", channel: "email", payload: payload("2"), run: nil, at: start + .seconds(1))
        try await store.markFailed("a", error: "the server refused", nextAttemptAt: start + .seconds(30))
        #expect(try await due(store, start + .seconds(29)) == ["b"])
        #expect(try await due(store, start + .seconds(30)) == ["b", "a"])
        #expect(try await store.due(start + .seconds(30), limit: 1).map(\.key) == ["b"])
        try await store.markFailed("a", error: "no such mailbox", nextAttemptAt: nil)
        #expect(try await due(store, start + .seconds(9999)) == ["b"])
        let given = try #require(try await store.notices(run: nil, limit: 9).first { $0.key == "a" })
        #expect(given.attempts == 2 && given.lastError == "no such mailbox" && given.sentAt == nil)
    }

    @Test(arguments: StoreKind.available)
    func `a late failure does not unsend a notice`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await store.enqueue(key: "a", channel: "email", payload: payload("1"), run: nil, at: start)
        try await store.markSent("a", at: start)
        try await store.markFailed("a", error: "timed out", nextAttemptAt: start)
        #expect(try await due(store, start + .seconds(9)) == [])
    }

    @Test(arguments: StoreKind.available)
    func `a notice nobody queued is an error`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(
            await failure { () throws(StateError) in try await store.markSent("x", at: start) }?.code == .unknownNotice)
        let error = await failure { () throws(StateError) in
            try await store.markFailed("x", error: "", nextAttemptAt: nil)
        }
        #expect(error?.code == .unknownNotice)
    }
}
