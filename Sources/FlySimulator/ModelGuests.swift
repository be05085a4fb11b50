// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import Model
internal import Synchronization

/// Guests without processes: each starts after the boot time, and its checks pass. Variables of the machine's own
/// environment make it misbehave:
/// `SIMULATED_EXIT_CODE` lets it exit with that code, `SIMULATED_EXIT_AFTER_MS` so long after its start (0);
/// `SIMULATED_CHECKS` (`passing`, `warning`, `critical`) is what its checks say; `SIMULATED_BOOT_FAILURE` is the reason
/// why it does not start at all.
final class ModelGuests: GuestRunning, CheckRunning {
    private struct Guest {
        var number: Int
        var spec: GuestSpec
        var events: @Sendable (GuestEvent) -> Void
        var hasStarted = false
    }

    private struct State {
        var guests: [String: Guest] = [:]
        var count = 0
    }

    private let bootTime: Duration
    /// Delivers the news in order.
    private let queue = DispatchQueue(label: "airboss.simulator.model-guests")
    private let state = Mutex(State())

    init(bootTime: Duration) {
        self.bootTime = bootTime
    }

    func start(_ spec: GuestSpec, events: @escaping @Sendable (GuestEvent) -> Void) {
        let number = state.withLock { state in
            state.count += 1
            state.guests[spec.machine] = Guest(number: state.count, spec: spec, events: events)
            return state.count
        }
        queue.asyncAfter(deadline: .now() + bootTime.inSeconds) { self.boot(spec.machine, number) }
    }

    private func boot(_ machine: String, _ number: Int) {
        let guest = state.withLock { state -> Guest? in
            guard let guest = state.guests[machine], guest.number == number else { return nil }
            if guest.spec.environment["SIMULATED_BOOT_FAILURE"] != nil { state.guests[machine] = nil }
            state.guests[machine]?.hasStarted = true
            return guest
        }
        guard let guest else { return }
        if let reason = guest.spec.environment["SIMULATED_BOOT_FAILURE"] {
            return guest.events(.failedToStart(reason: reason))
        }
        guest.events(.started(imageDigest: ImageReference(parsing: guest.spec.image)?.digest?.rawValue ?? ""))
        guard let code = guest.spec.environment["SIMULATED_EXIT_CODE"].flatMap(Int32.init) else { return }
        let after = guest.spec.environment["SIMULATED_EXIT_AFTER_MS"].flatMap(Int.init) ?? 0
        queue.asyncAfter(deadline: .now() + .milliseconds(after)) {
            self.end(machine, number: number, code: code, signal: nil)
        }
    }

    private func end(_ machine: String, number: Int? = nil, code: Int32, signal: Int32?) {
        let guest = state.withLock { state -> Guest? in
            guard let guest = state.guests[machine], number ?? guest.number == guest.number else { return nil }
            state.guests[machine] = nil
            return guest
        }
        guest?.events(.exited(code: code, signal: signal, isOutOfMemory: false))
    }

    func stop(machine: String, signal: String, timeout: Duration) {
        queue.async { self.end(machine, code: 0, signal: nil) }
    }

    func signal(machine: String, signal: String) {
        guard signal == "SIGKILL" else { return }
        kill(machine: machine)
    }

    func kill(machine: String) {
        queue.async { self.end(machine, code: 137, signal: 9) }
    }

    func socketPath(machine: String, port: Int) -> String? {
        nil
    }

    // MARK: Checks

    func begin(
        machine: String, checks: [CheckSpec],
        report: @escaping @Sendable (_ check: String, _ standing: CheckStanding, _ output: String) -> Void
    ) {
        queue.async {
            let environment = self.state.withLock { $0.guests[machine]?.spec.environment }
            let standing = environment?["SIMULATED_CHECKS"].flatMap(CheckStanding.init(rawValue:)) ?? .passing
            for check in checks { report(check.name, standing, "modelled: \(standing.rawValue)") }
        }
    }

    func end(machine: String) {}

    func shutdown() async {
        state.withLock { $0.guests = [:] }
    }
}
