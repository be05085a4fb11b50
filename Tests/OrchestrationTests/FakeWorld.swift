// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Orchestration
import Ports
import Stages
import Synchronization

/// Time that runs four times as fast as it does: quick, and slow enough for leases to live on a busy machine.
struct FastClock: DriverClock {
    static let speed = 4
    private let origin = ContinuousClock.now

    var now: Timestamp { Sample.start + (ContinuousClock.now - origin) * FastClock.speed }

    func sleep(until time: Timestamp) async throws {
        let pause = time - now
        if pause > .zero { try await Task.sleep(for: pause / FastClock.speed) }
    }
}

/// Every port of a run, on the simulated platform.
final class FakeWorld: PlatformPort, SourcePort, GitHubPort, ImagePort, ProbePort, WindowPort, LedgerPort, NoticePort,
    JournalPort
{
    struct State {
        var fly: SimulatedFly
        var records = [Sample.release(71)]
        var calls: [String] = []
        var cancelled: [String] = []
        var events: [RunEvent] = []
        var audit: [AuditEntry] = []
        var notices: [NoticeOrder] = []
        /// What was appended and done, in its order.
        var log: [String] = []
        /// The event that can't be kept; nil where all can.
        var failingEvent: Int?
        /// What is waited for before it is said that it can't.
        var beforeFailing: (@Sendable () async -> Void)?
    }

    let clock = FastClock()
    let state: Mutex<State>

    init(_ fleet: [FleetMachine] = Sample.fleet(3), new: SimulatedFly.Behaviour = .init(boot: .seconds(1))) {
        state = Mutex(State(fly: SimulatedFly(fleet, behaviours: [Sample.newDigest: new])))
    }

    var ports: RunPorts {
        RunPorts(
            platform: self, source: self, github: self, images: self, probes: self, window: self, ledger: self,
            notices: self)
    }

    var callCount: Int { state.withLock { $0.calls.count } }

    func append(_ event: RunEvent, audit: [AuditEntry]) async throws {
        let wait = state.withLock { state in
            state.failingEvent.map { state.events.count >= $0 } == true ? state.beforeFailing : nil
        }
        await wait?()
        try state.withLock { state in
            if let failing = state.failingEvent, state.events.count >= failing {
                state.log.append("failed to append")
                throw AirbossError(.unavailable, "the journal is full")
            }
            state.events.append(event)
            state.audit += audit
            state.log.append("append")
        }
    }

    func answer(_ call: PlatformCall) async -> Answer {
        state.withLock { state in
            state.calls.append(call.name)
            state.log.append(call.name)
        }
        let deadline = clock.now + .seconds(60)
        while true {
            let now = clock.now
            let (answer, next) = state.withLock { state in
                state.fly.advance(to: now)
                return (state.fly.answer(call), state.fly.nextChange)
            }
            if let answer { return answer }
            if now >= deadline { return .waitTimedOut }
            do {
                try await clock.sleep(until: min(next ?? deadline, deadline))
            } catch {
                // The run no longer waits for it.
                state.withLock { $0.cancelled.append(call.name) }
                return .failed(failure: Failure(.cancelled, "cancelled"))
            }
        }
    }

    func answer(_ query: GitQuery) async -> Answer {
        switch query {
        case .commit: .commit(commit: Sample.commit("c"))
        case .isOnBranch: .onBranch(isOn: true, reference: "refs/heads/main")
        case .isClean: .dirtyPaths(paths: [])
        case .changes: Answer.sample("changes")
        case .migrations: Answer.sample("migrations")
        }
    }

    func answer(_ call: GitHubCall) async -> Answer {
        switch call {
        case .checks(let commit, let names): .checks(found: .allSuccessful(names, on: commit))
        case .pullRequests: .pullRequests(list: [])
        case .reviews: Answer.sample("reviews")
        case .workflowRun: Answer.sample("workflowRun")
        }
    }

    func answer(_ task: ImageTask) async -> Answer { .image(image: Sample.image(Sample.newDigest)) }

    func answer(_ probe: Probe) async -> Answer {
        let now = clock.now
        return state.withLock { state in
            state.fly.advance(to: now)
            return .probe(result: state.fly.probe())
        }
    }

    func answer(at now: Timestamp) async -> Answer { Answer.sample("window") }

    func answer(_ entry: LedgerEntry, at now: Timestamp) async -> Answer {
        state.withLock { state in
            switch entry {
            case .history:
                var world = Simulation.World()
                world.records = state.records
                return .history(history: world.history)
            case .record(let record):
                state.records.removeAll { $0.number == record.number }
                state.records.append(record)
                return .done
            case .mark(let number, let mark):
                for index in state.records.indices where state.records[index].number == number {
                    state.records[index].state = mark
                }
                return .done
            }
        }
    }

    func answer(_ order: NoticeOrder, at now: Timestamp) async -> Answer {
        state.withLock { $0.notices.append(order) }
        return .done
    }
}
