// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

@testable import Journals

@Suite struct HoldTests {
    let silence = Duration.seconds(60)
    let me = Holder.process(at: start)

    private func acquire(
        _ store: any SQLStore, _ run: RunID, _ holder: Holder, at time: Timestamp = start
    ) async throws -> Acquisition {
        try await store.acquire(app, run: run, holder: holder, at: time, silence: silence)
    }

    private func elsewhere(_ host: String = "runner-2") -> Holder {
        Holder(
            host: host, bootID: "another boot", processNamespace: "pid:[1]", processID: 1, processStart: 5,
            startedAt: start)
    }

    @Test func `this process can be described and is running`() {
        #expect(!me.host.isEmpty && !me.bootID.isEmpty && me.processNamespace.hasPrefix("pid:["))
        #expect(me.processID == getpid() && me.processStart > 0)
        #expect(me.liveness(seenFrom: me) == .running)
    }

    @Test(arguments: StoreKind.available)
    func `one run has the app until it gives it back`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(try await store.hold(app) == nil)
        #expect(try await acquire(store, "01A", me) == .acquired(fence: 1))
        #expect(try await acquire(store, "01A", me) == .acquired(fence: 1))  // the same again, after a lost answer
        let hold = try #require(try await store.hold(app))
        #expect(hold == Hold(app: app, run: "01A", holder: me, acquiredAt: start, heartbeatAt: start, fence: 1))
        #expect(try await acquire(store, "01B", me) == .heldBy(hold: hold))
        #expect(
            try await store.acquire("other", run: "01B", holder: me, at: start, silence: silence) == .acquired(fence: 1)
        )
        #expect(try await store.release(app, run: "01B") == false)
        #expect(try await store.release(app, run: "01A"))
        #expect(try await store.release(app, run: "01A") == false)
        #expect(try await acquire(store, "01B", me) == .acquired(fence: 2))
    }

    @Test(arguments: StoreKind.available)
    func `a holder whose process has ended is abandoned, and its run can be taken over, no other`(kind: StoreKind)
        async throws
    {
        let store = try await Place(kind).open()
        let child = Process()
        child.executableURL = URL(filePath: "/bin/sleep")
        child.arguments = ["60"]
        try child.run()
        let theirs = Holder.process(child.processIdentifier, at: start)
        #expect(theirs.liveness(seenFrom: me) == .running)
        #expect(try await acquire(store, "01A", theirs) == .acquired(fence: 1))
        let hold = try #require(try await store.hold(app))
        #expect(try await acquire(store, "01B", me) == .heldBy(hold: hold))
        #expect(try await acquire(store, "01A", me) == .heldBy(hold: hold))  // the same run twice at a time

        kill(child.processIdentifier, SIGKILL)  // SIGTERM may be blocked in a child of a dispatch thread
        child.waitUntilExit()
        #expect(theirs.liveness(seenFrom: me) == .gone)
        #expect(try await acquire(store, "01B", me) == .abandonedBy(hold: hold))
        #expect(try await acquire(store, "01A", me) == .acquired(fence: 2))
        #expect(try await store.hold(app)?.holder == me)
    }

    @Test(arguments: StoreKind.available)
    func `a process id that was given out again is another process`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        var former = me
        former.processStart -= 1
        #expect(former.liveness(seenFrom: me) == .gone)
        #expect(try await acquire(store, "01A", former) == .acquired(fence: 1))
        guard case .abandonedBy = try await acquire(store, "01B", me) else {
            Issue.record("a process that is gone still holds the app")
            return
        }
    }

    @Test(arguments: StoreKind.available, ["boot", "namespace", "host"])
    func `who cannot be looked at is trusted as long as it gives a sign`(
        kind: StoreKind, difference: String
    ) async throws {
        let store = try await Place(kind).open()
        var theirs = me
        theirs.processStart -= 1  // would count as gone if it were looked for here
        switch difference {
        case "boot": theirs.bootID = "another boot"
        case "namespace": theirs.processNamespace = "pid:[1]"
        default: theirs = elsewhere()
        }
        #expect(theirs.liveness(seenFrom: me) == .unknown)
        #expect(try await acquire(store, "01A", theirs) == .acquired(fence: 1))
        guard case .heldBy = try await acquire(store, "01B", me, at: start + silence) else {
            Issue.record("silent for exactly the allowed time, yet abandoned")
            return
        }
        #expect(try await store.heartbeat(app, run: "01A", at: start + .seconds(50)))
        guard case .heldBy = try await acquire(store, "01B", me, at: start + .seconds(100)) else {
            Issue.record("a heartbeat was not heard")
            return
        }
        guard case .abandonedBy(let hold) = try await acquire(store, "01B", me, at: start + .seconds(111)) else {
            Issue.record("silent for too long, yet held")
            return
        }
        #expect(hold.run == "01A" && hold.heartbeatAt == start + .seconds(50))
        #expect(try await acquire(store, "01A", me, at: start + .seconds(111)) == .acquired(fence: 2))
        #expect(try await store.heartbeat(app, run: "01B", at: start) == false)
    }

    @Test(arguments: StoreKind.available)
    func `a heartbeat from a slow clock does not move time back`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(try await acquire(store, "01A", elsewhere()) == .acquired(fence: 1))
        #expect(try await store.heartbeat(app, run: "01A", at: start + .seconds(9)))
        #expect(try await store.heartbeat(app, run: "01A", at: start + .seconds(3)))
        #expect(try await store.hold(app)?.heartbeatAt == start + .seconds(9))
    }

    @Test(arguments: StoreKind.available)
    func `of many that ask at once, one gets the app`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        let me = self.me
        let winners = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<12 {
                group.addTask {
                    let own = try await place.open()
                    let answer = try await own.acquire(
                        app, run: RunID("01R\(number)"), holder: me, at: start, silence: .seconds(60))
                    return answer == .acquired(fence: 1)
                }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(winners == 1)
    }
}
