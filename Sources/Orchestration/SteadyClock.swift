// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import Ports

/// Wall-clock time that does not jump: read once at the start, then carried on by a clock that only goes forward.
package struct SteadyClock: DriverClock {
    private let start: Timestamp
    private let origin: ContinuousClock.Instant

    /// - Parameter start: the wall-clock time now.
    package init(startingAt start: Timestamp) {
        self.start = start
        origin = .now
    }

    package var now: Timestamp {
        start + (ContinuousClock.now - origin)
    }

    package func sleep(until time: Timestamp) async throws {
        let pause = time - now
        if pause > .zero { try await Task.sleep(for: pause, clock: .continuous) }
    }
}
