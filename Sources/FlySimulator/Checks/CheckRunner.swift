// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Synchronization

/// Makes the checks of running guests on their schedules.
final class CheckRunner: CheckRunning {
    private struct State {
        var tasks: [String: [Task<Void, Never>]] = [:]
        var isShutDown = false
    }

    private let socketPath: @Sendable (_ machine: String, _ port: Int) -> String?
    private let state = Mutex(State())

    /// `socketPath` gives the socket that leads to a port of a machine while it runs.
    init(socketPath: @escaping @Sendable (_ machine: String, _ port: Int) -> String?) {
        self.socketPath = socketPath
    }

    func begin(
        machine: String, checks: [CheckSpec],
        report: @escaping @Sendable (_ check: String, _ standing: CheckStanding, _ output: String) -> Void
    ) {
        let socketPath = socketPath
        let earlier = state.withLock { state -> [Task<Void, Never>] in
            guard !state.isShutDown else { return [] }
            let tasks = checks.map { check in
                Task {
                    await CheckRunner.keep(
                        check, path: { socketPath(machine, check.port) },
                        report: { report(check.name, $0.standing, $0.output) })
                }
            }
            return state.tasks.updateValue(tasks, forKey: machine) ?? []
        }
        for task in earlier { task.cancel() }
    }

    func end(machine: String) {
        let tasks = state.withLock { $0.tasks.removeValue(forKey: machine) } ?? []
        for task in tasks { task.cancel() }
    }

    func shutdown() async {
        let tasks = state.withLock { state in
            state.isShutDown = true
            defer { state.tasks = [:] }
            return state.tasks.values.flatMap { $0 }
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    /// One check until its task is cancelled. The path is asked for each time: it ends with the guest.
    private static func keep(
        _ check: CheckSpec, path: @Sendable () -> String?, report: @Sendable (CheckProbe.Result) -> Void
    ) async {
        var schedule = CheckSchedule(CheckSchedule.Timing(check.definition))
        let probe = CheckProbe(spec: check, timeout: schedule.timing.timeout)
        let clock = ContinuousClock()
        let start = clock.now
        while !Task.isCancelled {
            do {
                try await clock.sleep(until: start + schedule.due.at)
            } catch {
                return  // Cancelled.
            }
            let begun = clock.now - start
            switch schedule.due.step {
            case .knock:
                let isListening = await probe.isListening(path())
                if schedule.knocked(isListening: isListening, at: clock.now - start), !Task.isCancelled {
                    report(CheckProbe.refused)
                }
            case .check:
                let result = await probe.run(path())
                let isTold = schedule.checked(
                    isPassing: result.standing == .passing, begun: begun, at: clock.now - start)
                if isTold, !Task.isCancelled { report(result) }
            }
        }
    }
}
