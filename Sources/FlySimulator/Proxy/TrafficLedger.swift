// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Synchronization

/// Which machine has how many requests, and who may get the next one. All choices are made under one lock, so that a
/// drain that has begun sees every request that could still reach its machine.
final class TrafficLedger: Sendable {
    private struct State {
        var inFlight: [String: Int] = [:]
        var draining: [String: Int] = [:]
        /// Requests that hold a list of routes and have not chosen yet.
        var choosing: Set<UInt64> = []
        var nextTicket: UInt64 = 0
        var turn = 0
        var waiting: [Waiting] = []
    }

    private struct Waiting {
        var id: UInt64
        var machine: String
        /// Requests that were choosing when the drain began, and may hold the machine in their list.
        var choosing: Set<UInt64>
        var continuation: CheckedContinuation<Void, Never>
    }

    private let state = Mutex(State())
    /// Told of every place that is taken or given back, in no lock.
    private let observer: @Sendable (_ route: Route, _ isBeginning: Bool) -> Void

    init(observer: @escaping @Sendable (_ route: Route, _ isBeginning: Bool) -> Void = { _, _ in }) {
        self.observer = observer
    }

    /// A request on a machine; it counts until the last copy is gone.
    final class Place: Sendable {
        let route: Route
        private let ledger: TrafficLedger

        fileprivate init(_ route: Route, _ ledger: TrafficLedger) {
            self.route = route
            self.ledger = ledger
        }

        deinit {
            ledger.leave(route.machine)
            ledger.observer(route, false)
        }
    }

    enum Choice {
        case place(Place)
        /// Every machine left has as many requests as its hard limit allows.
        case full
        case none
    }

    /// Begins a choice: to be called before the routes are looked up, and ended with ``endChoice(_:)``.
    func beginChoice() -> UInt64 {
        state.withLock { state in
            state.nextTicket += 1
            state.choosing.insert(state.nextTicket)
            return state.nextTicket
        }
    }

    func endChoice(_ ticket: UInt64) {
        resume { $0.choosing.remove(ticket) }
    }

    /// Takes a place on the least loaded of the routes; those below their soft limit come first, and equals take turns.
    func choose(_ routes: [Route], excluding tried: Set<String>) -> Choice {
        let (chosen, isFull) = state.withLock { state -> (Route?, Bool) in
            let candidates = routes.filter { !tried.contains($0.machine) && state.draining[$0.machine] == nil }
            let open = candidates.filter { state.inFlight[$0.machine, default: 0] < $0.hardLimit ?? .max }
            func load(_ route: Route) -> (Int, Int) {
                let count = state.inFlight[route.machine, default: 0]
                return (count < route.softLimit ?? .max ? 0 : 1, count)
            }
            guard let least = open.map(load).min(by: <) else { return (nil, !candidates.isEmpty) }
            let equals = open.filter { load($0) == least }
            state.turn &+= 1
            let route = equals[Int(UInt(bitPattern: state.turn) % UInt(equals.count))]
            state.inFlight[route.machine, default: 0] += 1
            return (route, false)
        }
        if let chosen {
            observer(chosen, true)
            return .place(Place(chosen, self))
        }
        return isFull ? .full : .none
    }

    /// The requests a machine has now.
    func inFlight(_ machine: String) -> Int {
        state.withLock { $0.inFlight[machine, default: 0] }
    }

    /// Gives the machine no further request and waits until it has none, or until the time is over.
    func drain(_ machine: String, upTo limit: Duration) async {
        let id = state.withLock { state in
            state.draining[machine, default: 0] += 1
            state.nextTicket += 1
            return state.nextTicket
        }
        let alarm = Task {
            // Cancelled when the machine is idle in time: then there is nothing to give up.
            guard (try? await Task.sleep(for: limit)) != nil else { return }
            self.giveUp(id)
        }
        await withCheckedContinuation { continuation in
            state.withLock { state in
                state.waiting.append(
                    Waiting(id: id, machine: machine, choosing: state.choosing, continuation: continuation))
            }
            resume { _ in }
        }
        alarm.cancel()
        state.withLock { state in
            let count = state.draining[machine, default: 1] - 1
            state.draining[machine] = count > 0 ? count : nil
        }
    }

    private func leave(_ machine: String) {
        resume { state in
            let count = state.inFlight[machine, default: 1] - 1
            state.inFlight[machine] = count > 0 ? count : nil
        }
    }

    private func giveUp(_ id: UInt64) {
        let waiting = state.withLock { state -> Waiting? in
            guard let index = state.waiting.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiting.remove(at: index)
        }
        waiting?.continuation.resume()
    }

    /// Makes a change, then wakes the drains that have nothing left to wait for.
    private func resume(after change: (inout sending State) -> Void) {
        let done = state.withLock { state in
            change(&state)
            var done: [CheckedContinuation<Void, Never>] = []
            state.waiting.removeAll { waiting in
                let isIdle = state.inFlight[waiting.machine] == nil && state.choosing.isDisjoint(with: waiting.choosing)
                if isIdle { done.append(waiting.continuation) }
                return isIdle
            }
            return done
        }
        for continuation in done { continuation.resume() }
    }
}
