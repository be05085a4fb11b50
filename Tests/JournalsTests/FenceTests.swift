// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

@testable import Journals

/// A process that lost the app while it slept, and wakes up.
@Suite struct FenceTests {
    let me = Holder.process(at: start)
    let silence = Duration.seconds(60)

    /// On another machine, and silent since `start`.
    private let sleeper = Holder(
        host: "runner-2", bootID: "another boot", processNamespace: "pid:[1]", processID: 7, processStart: 5,
        startedAt: start)

    private func acquire(
        _ store: any SQLStore, _ run: RunID, _ holder: Holder, at time: Timestamp = start
    ) async throws -> Fence {
        let answer = try await store.acquire(app, run: run, holder: holder, at: time, silence: silence)
        guard case .acquired(let token) = answer else {
            Issue.record("\(run) did not get the app: \(answer)")
            return Fence(app: app, run: run, token: 0)
        }
        return Fence(app: app, run: run, token: token)
    }

    @Test(arguments: StoreKind.available)
    func `tokens only grow, also after the app was given back, each app's own`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        var last: Int64 = 0
        for number in 1...4 {
            let fence = try await acquire(store, RunID("01R\(number)"), me)
            #expect(fence.token > last)
            #expect(try await store.hold(app)?.fence == fence.token)
            last = fence.token
            try await store.release(app, run: fence.run)
        }
        let other = try await store.acquire("other", run: "01B", holder: me, at: start, silence: silence)
        #expect(other == .acquired(fence: 1))
    }

    @Test(arguments: StoreKind.available, ["taken over", "another's", "free"])
    func `whoever lost the app writes nothing any more`(kind: StoreKind, since: String) async throws {
        let place = try await Place(kind)
        let store = try await place.open()
        try await store.openRun(header("01A"))
        let lost = try await acquire(store, "01A", sleeper)
        try await store.append(
            run: "01A", expectedSequence: 0, kind: "event", payload: payload("1"), at: start, fence: lost)
        // What the sleeper's own connection knows of the journal must not help it either.
        try await store.recordRelease(release(5, run: "01A"), fence: lost)
        #expect(try await store.heartbeat(app, run: "01A", fence: lost.token, at: start))

        let later = start + .seconds(100)
        let other = try await place.open()
        switch since {
        case "taken over": _ = try await acquire(other, "01A", me, at: later)
        case "another's":
            try await other.release(app, run: "01A")
            _ = try await acquire(other, "01B", me, at: later)
        default: try await other.release(app, run: "01A")
        }
        let hold = try await other.hold(app)
        #expect((hold == nil) == (since == "free"))
        let before = try await place.dump()

        #expect(try await store.heartbeat(app, run: "01A", fence: lost.token, at: later) == false)
        #expect(try await store.release(app, run: "01A", fence: lost.token) == false)
        let refused = [
            await failure { () throws(StateError) in
                try await store.append(
                    run: "01A", expectedSequence: 1, kind: "event", payload: payload("2"), at: later, fence: lost)
            },
            await failure { () throws(StateError) in
                try await store.closeRun(
                    "01A", outcome: "verified", exitCode: 0, finishedAt: later, summary: Data(), fence: lost)
            },
            await failure { () throws(StateError) in
                try await store.recordRelease(release(6, run: "01A"), fence: lost)
            },
            await failure { () throws(StateError) in
                try await store.markRelease(app, ReleaseNumber(5), .verified, at: later, fence: lost)
            },
        ]
        for error in refused {
            #expect(error?.code == .fenced(holder: hold))
            #expect(error?.asAirbossError.code == .busy)
            if let hold {
                #expect(error?.message.contains(hold.run.rawValue) == true)
                #expect(error?.message.contains(hold.acquiredAt.description) == true)
                #expect(error?.message.contains(hold.holder.host) == true)
            }
        }
        #expect(try await place.dump() == before)
    }

    @Test(arguments: StoreKind.available)
    func `with its fence a run writes as before, and repeats what was lost`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        try await store.openRun(header("01A"))
        let fence = try await acquire(store, "01A", me)
        for number in 0..<3 {
            for _ in 0..<2 {
                let sequence = try await store.append(
                    run: "01A", expectedSequence: Int64(number), kind: "event", payload: payload("\(number)"),
                    at: start, fence: fence)
                #expect(sequence == Int64(number) + 1)
            }
        }
        try await store.recordRelease(release(5, run: "01A"), fence: fence)
        try await store.markRelease(app, ReleaseNumber(5), .verified, at: start, fence: fence)
        try await store.closeRun(
            "01A", outcome: "verified", exitCode: 0, finishedAt: start, summary: Data(), fence: fence)
        #expect(try await store.events("01A").entries.count == 3)
        #expect(try await store.release(app, run: "01A", fence: fence.token))
    }

    @Test(arguments: StoreKind.available)
    func `of two processes that race for an app exactly one gets it`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        try await place.open().close()
        for round in 0..<3 {
            let name = AppName("app-\(round)")
            async let first = raceInAnotherProcess(place, name, "01A")
            async let second = raceInAnotherProcess(place, name, "01B")
            let won = try await [first, second]
            #expect(won.filter { $0 }.count == 1)
            #expect(try await place.open().hold(name)?.run == (won[0] ? "01A" : "01B"))
        }
    }

    /// Whether the other process got the app.
    private func raceInAnotherProcess(_ place: Place, _ name: AppName, _ run: RunID) async throws -> Bool {
        let mark = FileManager.default.temporaryDirectory.appending(path: "airboss-race-\(UUID().uuidString)").path
        await #expect(processExitsWith: .success) {
            [
                kind = place.kind.rawValue as String, location = place.location as String,
                name = name.rawValue as String, run = run.rawValue as String, mark = mark as String
            ] in
            let store: any SQLStore =
                kind == "sqlite" ? try await SQLiteStore(path: location) : try await PostgresStore(url: location)
            let answer = try await store.acquire(
                AppName(name), run: RunID(run), holder: .process(at: start), at: start, silence: .seconds(60))
            switch answer {
            case .acquired: #expect(creat(mark, 0o600) >= 0)
            // The winner's process may have ended by then.
            case .heldBy, .abandonedBy: break
            case .queued: Issue.record("nobody waits")
            }
        }
        defer { unlink(mark) }
        return access(mark, F_OK) == 0
    }
}
