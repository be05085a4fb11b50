// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import Model
internal import Synchronization

/// How long callers of a store wait for it: as long as it takes, until the run is cancelled.
final class StorePatience: Sendable {
    /// How long a call may take once the run was told to stop. With the four seconds for leaving the app
    /// (`RunMachine.leavingPatience`) it stays within the 7.5 s that a CI job gives.
    static let afterCancellation = Duration.seconds(2)

    private struct State {
        var isHurried = false
        /// Whether the store was waited for in vain.
        var isExhausted = false
        var nextNumber = 0
        /// What gives each call up that is under way.
        var underWay: [Int: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())
    private let limit: Duration

    init(afterCancellation limit: Duration = StorePatience.afterCancellation) {
        self.limit = limit
    }

    /// Whether nothing is tried again any more.
    var isExhausted: Bool { state.withLock { $0.isExhausted } }

    /// Waits no longer than the limit from now on.
    func hurry() {
        let waiting = state.withLock { state in
            if state.isHurried { return [Int]() }
            state.isHurried = true
            return Array(state.underWay.keys)
        }
        for number in waiting { giveUpLater(number) }
    }

    /// Waits for what `begin` begins and ends by calling what it is given; no longer than there is patience.
    func wait<Value: Sendable>(
        _ place: String,
        _ begin: (@escaping @Sendable (Result<Value, StateError>) -> Void) -> Void
    ) async -> Result<Value, StateError> {
        let givenUp = StateError(
            .cannotOpen, store: place,
            detail: "the run was told to stop, and the store did not answer within \(limit.words)")
        if isExhausted { return .failure(givenUp) }
        return await withCheckedContinuation { continuation in
            let answer = Once(continuation)
            let (number, isHurried) = state.withLock { state in
                state.nextNumber += 1
                state.underWay[state.nextNumber] = { answer.give(.failure(givenUp)) }
                return (state.nextNumber, state.isHurried)
            }
            if isHurried { giveUpLater(number) }
            begin { [self] result in
                state.withLock { $0.underWay[number] = nil }
                answer.give(result)
            }
        }
    }

    private func giveUpLater(_ number: Int) {
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(Int(limit.wholeMilliseconds))) { [self] in
            let giveUp = state.withLock { state in
                let giveUp = state.underWay.removeValue(forKey: number)
                if giveUp != nil { state.isExhausted = true }
                return giveUp
            }
            giveUp?()
        }
    }

    /// The answer to a call: the first one counts.
    private final class Once<Value: Sendable>: Sendable {
        private let continuation: Mutex<CheckedContinuation<Value, Never>?>

        init(_ continuation: CheckedContinuation<Value, Never>) { self.continuation = Mutex(continuation) }

        func give(_ value: Value) {
            let waiting = continuation.withLock { continuation in
                defer { continuation = nil }
                return continuation
            }
            waiting?.resume(returning: value)
        }
    }
}
