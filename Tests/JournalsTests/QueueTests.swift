// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

@testable import Journals

@Suite struct QueueTests {
    let me = Holder.process(at: start)
    let silence = Duration.seconds(60)

    private func elsewhere(_ number: Int) -> Holder {
        Holder(
            host: "runner-\(number)", bootID: "boot \(number)", processNamespace: "pid:[1]", processID: Int32(number),
            processStart: 5, startedAt: start)
    }

    /// This process as it would be known had its id been given out before: gone.
    private var gone: Holder {
        var holder = me
        holder.processStart -= 1
        return holder
    }

    private func ask(
        _ store: any SQLStore, _ run: RunID, _ holder: Holder? = nil, at time: Timestamp = start
    ) async throws -> Acquisition {
        try await store.acquire(app, run: run, holder: holder ?? me, at: time, silence: silence)
    }

    @Test(arguments: StoreKind.available)
    func `the app goes to those who wait, in the order in which they came`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(try await ask(store, "01A") == .acquired(fence: 1))
        #expect(try await store.joinQueue(app, run: "01C", holder: me, at: start) == 1)
        #expect(try await store.joinQueue(app, run: "01B", holder: elsewhere(2), at: start) == 2)
        #expect(try await store.joinQueue(app, run: "01C", holder: me, at: start + .seconds(1)) == 1)  // a sign of life
        #expect(try await store.joinQueue("other", run: "01B", holder: me, at: start) == 1)
        let waiting = try await store.queue(app)
        #expect(waiting.map(\.run) == ["01C", "01B"])
        #expect(waiting[0].joinedAt == start && waiting[0].heartbeatAt == start + .seconds(1))
        #expect(waiting[1].holder == elsewhere(2))
        guard case .heldBy = try await ask(store, "01C") else {
            Issue.record("somebody has it")
            return
        }

        try await store.release(app, run: "01A")
        #expect(try await ask(store, "01B", elsewhere(2)) == .queued(ahead: [try await store.queue(app)[0]]))
        #expect(try await ask(store, "01Z") == .queued(ahead: try await store.queue(app)))  // never joined
        #expect(try await ask(store, "01C") == .acquired(fence: 2))
        #expect(try await store.queue(app).map(\.run) == ["01B"])
        try await store.release(app, run: "01C")
        #expect(try await ask(store, "01B", elsewhere(2)) == .acquired(fence: 3))
        #expect(try await store.queue(app).isEmpty)
        try await store.release(app, run: "01B")
        #expect(try await ask(store, "01Z") == .acquired(fence: 4))
    }

    @Test(arguments: StoreKind.available)
    func `whoever died or fell silent while waiting is skipped and taken out`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(try await ask(store, "01A") == .acquired(fence: 1))
        #expect(try await store.joinQueue(app, run: "01S", holder: elsewhere(1), at: start) == 1)
        #expect(try await store.joinQueue(app, run: "01D", holder: gone, at: start + .seconds(50)) == 2)
        // Who joins elsewhere can't see that the process of 01D has ended; who joins here can.
        #expect(try await store.joinQueue(app, run: "01L", holder: elsewhere(3), at: start + .seconds(50)) == 3)
        #expect(try await store.joinQueue(app, run: "01M", holder: me, at: start + .seconds(50)) == 3)
        #expect(try await store.queue(app).map(\.run) == ["01S", "01L", "01M"])
        try await store.release(app, run: "01A")
        // 01S has said nothing for 61 seconds, 01L for 11.
        guard case .queued(let ahead) = try await ask(store, "01M", at: start + .seconds(61)) else {
            Issue.record("01L lives and came before")
            return
        }
        #expect(ahead.map(\.run) == ["01L"])
        #expect(try await store.queue(app).map(\.run) == ["01L", "01M"])
        #expect(try await ask(store, "01M", at: start + .seconds(111)) == .acquired(fence: 2))
    }

    @Test(arguments: StoreKind.available)
    func `a stopped process that waits does not keep others from the app`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        // It is running, as far as the kernel says, but says nothing.
        #expect(try await store.joinQueue(app, run: "01A", holder: me, at: start) == 1)
        #expect(try await ask(store, "01B", at: start + .seconds(61)) == .acquired(fence: 1))
    }

    @Test(arguments: StoreKind.available)
    func `an abandoned app is the first waiter's to recover, and its own run needs no place`(
        kind: StoreKind
    ) async throws {
        let store = try await Place(kind).open()
        #expect(try await ask(store, "01A", gone) == .acquired(fence: 1))
        let hold = try #require(try await store.hold(app))
        _ = try await store.joinQueue(app, run: "01B", holder: me, at: start)
        #expect(try await ask(store, "01Z") == .queued(ahead: try await store.queue(app)))
        #expect(try await ask(store, "01B") == .abandonedBy(hold: hold))
        #expect(try await ask(store, "01A") == .acquired(fence: 2))
        #expect(try await store.queue(app).map(\.run) == ["01B"])
    }

    @Test(arguments: StoreKind.available)
    func `whoever leaves the queue is not waited for`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        #expect(try await store.leaveQueue(app, run: "01A") == false)
        _ = try await store.joinQueue(app, run: "01A", holder: me, at: start)
        _ = try await store.joinQueue(app, run: "01B", holder: me, at: start)
        #expect(try await store.leaveQueue(app, run: "01A"))
        #expect(try await store.leaveQueue(app, run: "01A") == false)
        #expect(try await store.joinQueue(app, run: "01B", holder: me, at: start) == 1)
        #expect(try await ask(store, "01B") == .acquired(fence: 1))
    }

    @Test(arguments: StoreKind.available, ["release", "acquire", "join", "leave"])
    func `whoever waits hears of every change, also of one before he listened`(
        kind: StoreKind, what: String
    ) async throws {
        let place = try await Place(kind)
        let (waiting, other) = (try await place.open(), try await place.open())
        if what == "release" { _ = try await ask(other, "01A") }
        if what == "leave" { _ = try await other.joinQueue(app, run: "01X", holder: elsewhere(1), at: start) }
        _ = try await ask(waiting, "01B")
        if what == "acquire" { try await waiting.release(app, run: "01B") }
        @Sendable func change() async throws {
            switch what {
            case "release": try await other.release(app, run: "01A")
            case "acquire": _ = try await ask(other, "01C")
            case "join": _ = try await other.joinQueue(app, run: "01C", holder: me, at: start)
            default: try await other.leaveQueue(app, run: "01X")
            }
        }
        // Before: what was answered to 01B is no longer so.
        _ = try await waiting.changed(app, within: .zero)
        try await change()
        #expect(try await waiting.changed(app, within: .seconds(60)))
        // Nothing more happened.
        #expect(try await waiting.changed(app, within: .milliseconds(300)) == false)
        // While it waits; other apps do not matter.
        async let heard = waiting.changed(app, within: .seconds(60))
        try await Task.sleep(for: .milliseconds(100))
        _ = try await other.joinQueue("other", run: "01Q", holder: me, at: start)
        _ = try await other.joinQueue(app, run: "01Q", holder: me, at: start)
        #expect(try await heard)
    }

    @Test(arguments: StoreKind.available)
    func `many wait, one after another gets the app, in order`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        let holding = try await place.open()
        #expect(try await ask(holding, "01A") == .acquired(fence: 1))
        let runs = (0..<4).map { RunID("01W\($0)") }
        for run in runs { _ = try await holding.joinQueue(app, run: run, holder: me, at: start) }
        let order = try await withThrowingTaskGroup(of: (RunID, Int64).self) { group in
            for run in runs.shuffled() {
                group.addTask { try await waitForApp(place, run, me) }
            }
            try await holding.release(app, run: "01A")
            var order: [(run: RunID, fence: Int64)] = []
            for try await one in group { order.append(one) }
            return order.sorted { $0.fence < $1.fence }.map(\.run)
        }
        #expect(order == runs)
    }

    @Test(arguments: StoreKind.available)
    func `a wait ends with its task`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        let task = Task { try await store.changed(app, within: .seconds(600)) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        #expect(try await task.value == false)
    }
}

/// Waits until the run has the app, gives it back, and says under which token it had it.
private func waitForApp(_ place: Place, _ run: RunID, _ holder: Holder) async throws -> (RunID, Int64) {
    let store = try await place.open()
    while true {
        let answer = try await store.acquire(app, run: run, holder: holder, at: start, silence: .seconds(60))
        if case .acquired(let fence) = answer {
            try await store.release(app, run: run, fence: fence)
            return (run, fence)
        }
        try await store.changed(app, within: .seconds(60))
    }
}
