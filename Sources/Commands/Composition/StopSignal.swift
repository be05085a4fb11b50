// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Synchronization

/// Whether a signal has asked long work to end. A command has one for all its parts: watching a signal anew while an
/// earlier watch is still being taken down would lose it.
final class StopSignal: Sendable {
    private let signals = Signals()
    private let received = Atomic<Int32>(0)
    private let followUp = Mutex<(@Sendable () -> Void)?>(nil)

    init() {
        Task { [self] in
            for await number in signals.stream {
                received.store(number, ordering: .relaxed)
                followUp.withLock { $0 }?()
                break
            }
            // A second one ends the process at once.
            signals.stop()
        }
    }

    /// The signal that came; nil where none did.
    var number: Int32? {
        let number = received.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Called once a signal came, for who does not want to wait for what is under way; nil forgets it.
    func whenReceived(_ body: (@Sendable () -> Void)?) {
        followUp.withLock { $0 = body }
        if number != nil { body?() }
    }
}
