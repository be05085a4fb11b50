// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Orchestration
import Stages
import Synchronization
import Testing

/// The driver does what the machine says, keeps what comes in first, and decides nothing.
@Suite struct RunDriverTests {
    private func request(_ kind: RunKind = .deploy) -> RunRequest {
        Sample.request(kind) {
            $0.waitTimeout = .seconds(600)
            $0.verify.interval = .milliseconds(500)
            $0.channels = [.summary]
        }
    }

    private func run(
        _ world: FakeWorld, _ request: RunRequest, signals: AsyncStream<Int32> = AsyncStream { $0.finish() },
        observe: @escaping @Sendable (RunProgress) -> Void = { _ in }
    ) async throws -> RunMachine {
        try await RunDriver(ports: world.ports, journal: world, clock: world.clock, observe: observe)
            .run(request, signals: signals)
    }

    @Test func `a deploy from its first question to its last notice`() async throws {
        let world = FakeWorld()
        let seen = Mutex<[RunProgress]>([])
        let machine = try await run(world, request()) { progress in seen.withLock { $0.append(progress) } }
        #expect(machine.report?.outcome == .verified)
        let state = world.state.withLock { $0 }
        #expect(state.fly.fleet.allSatisfy { $0.imageDigest == Sample.newDigest })
        #expect(state.fly.heldLeases.isEmpty)
        #expect(state.notices.map(\.report?.outcome) == [.verified])
        let progress = seen.withLock { $0 }
        #expect(progress.count == state.events.count)
        #expect(progress.last?.stages == machine.reports)
        #expect(progress.contains { $0.waitingFor.hasPrefix("m1 ") })
    }

    @Test func `what was kept leads to the same run again`() async throws {
        let world = FakeWorld(new: .init(boot: .seconds(1), health: .failsProbes))
        let machine = try await run(world, request())
        #expect(machine.report?.outcome == .rolledBack)
        var again = RunMachine(request())
        for event in world.state.withLock({ $0.events }) { _ = try again.apply(event) }
        #expect(again == machine)
    }

    @Test(arguments: [0, 1, 5, 15, 25])
    func `an event that can't be kept ends the run before it has an effect`(_ failing: Int) async throws {
        let world = FakeWorld()
        world.state.withLock { $0.failingEvent = failing }
        await #expect(throws: AirbossError.self) { try await run(world, request()) }
        let log = world.state.withLock { $0.log }
        // What was under way may still arrive; nothing that would follow from the lost event is begun.
        #expect(log.count { $0 == "append" } == failing)
        if failing == 0 { #expect(log == ["failed to append"]) }
        #expect(log.count { $0 == "failed to append" } == 1)
    }

    @Test(arguments: [22, 26, 30, 34])
    func `a journal lost in mid-rollout is made safe, and a person is told`(_ failing: Int) async throws {
        let world = FakeWorld()
        world.state.withLock { $0.failingEvent = failing }
        let error = await #expect(throws: AirbossError.self) { try await run(world, request()) }
        let state = world.state.withLock { $0 }
        #expect(state.log.contains { $0.hasPrefix("acquireLease") })
        #expect(state.fly.heldLeases.isEmpty)
        #expect(error?.code == .needsHuman)
        #expect(error?.message.contains("the run was stopped: interrupted") == true, "\(String(describing: error))")
    }

    /// The signal comes while the journal does not answer, and is obeyed once the journal is given up.
    @Test(arguments: [5, 26] as [Int], [(2, 130), (15, 143)] as [(Int32, Int32)])
    func `a run cancelled while its journal hangs is made safe, and its end is the signal's`(
        failing: Int, signal: (number: Int32, exitCode: Int32)
    ) async throws {
        let world = FakeWorld()
        let (hanging, hang) = AsyncStream.makeStream(of: Void.self)
        let (heard, hear) = AsyncStream.makeStream(of: Void.self)
        let isSent = Atomic(false)
        let signals = AsyncStream<Int32>(unfolding: {
            guard !isSent.exchange(true, ordering: .relaxed) else {
                // Asked for the next one: the first has been taken note of.
                hear.finish()
                return nil
            }
            for await _ in hanging {}
            return signal.number
        })
        world.state.withLock { state in
            state.failingEvent = failing
            state.beforeFailing = {
                hang.finish()
                for await _ in heard {}
            }
        }
        let error = await #expect(throws: AirbossError.self) { try await run(world, request(), signals: signals) }
        #expect(error?.code.exitCode.rawValue == signal.exitCode, "\(String(describing: error))")
        #expect(error?.message.contains("interrupted") == true, "\(String(describing: error))")
        #expect(error?.message.contains("the journal is full") == true, "\(String(describing: error))")
        #expect(error?.hint.contains("airboss recover") == true, "\(String(describing: error))")
        let state = world.state.withLock { $0 }
        #expect(state.fly.heldLeases.isEmpty)
        #expect(state.log.count { $0 == "failed to append" } == 1)
    }

    @Test func `every effect comes after the event it follows from`() async throws {
        let world = FakeWorld()
        let machine = try await run(world, request())
        // Replayed, the machine says after how many events each call may have been made.
        var again = RunMachine(request())
        var earliest: [String: [Int]] = [:]
        let (events, log) = world.state.withLock { ($0.events, $0.log) }
        for (index, event) in events.enumerated() {
            for action in try again.apply(event).actions {
                if case .platform(let call) = action.effect { earliest[call.name, default: []].append(index + 1) }
            }
        }
        var appended = 0
        for entry in log {
            if entry == "append" {
                appended += 1
            } else if var allowed = earliest[entry], !allowed.isEmpty {
                #expect(appended >= allowed.removeFirst(), "\(entry) came before its event was kept")
                earliest[entry] = allowed
            }
        }
        #expect(machine.isFinished)
    }

    @Test func `a signal makes safe and ends the run`() async throws {
        let world = FakeWorld(new: .init(boot: .seconds(30)))
        let (signals, send) = AsyncStream.makeStream(of: Int32.self)
        let machine = try await run(world, request(), signals: signals) { progress in
            if progress.waitingFor.hasPrefix("m1 starting") { send.yield(15) }
        }
        #expect(machine.report?.outcome == .interrupted)
        #expect(machine.report?.exitCode == 143)
        let state = world.state.withLock { $0 }
        #expect(state.fly.heldLeases.isEmpty)
        #expect(state.fly.openReleases.isEmpty)
        #expect(state.calls.count { $0 == "update" } == 1)
        // The wait for the machine was told to stop.
        #expect(state.cancelled == ["wait"])
    }

    @Test func `a signal before anything began`() async throws {
        let world = FakeWorld()
        let (signals, send) = AsyncStream.makeStream(of: Int32.self)
        send.yield(2)
        send.finish()
        let machine = try await run(world, request(), signals: signals)
        #expect(machine.report?.outcome == .interrupted)
        #expect(world.state.withLock { $0.calls }.allSatisfy { !["update", "acquireLease", "create"].contains($0) })
    }

    @Test func `a rollback`() async throws {
        let world = FakeWorld((1...3).map { Sample.machine($0, digest: Sample.newDigest) })
        world.state.withLock { $0.records.append(Sample.release(72, digest: Sample.newDigest, state: .failed)) }
        let machine = try await run(world, request(.rollback))
        #expect(machine.report?.outcome == .verified)
        #expect(world.state.withLock { $0.fly.fleet }.allSatisfy { $0.imageDigest == Sample.oldDigest })
    }
}

@Suite struct SteadyClockTests {
    @Test func `it starts where it is told and only goes forward`() async throws {
        let clock = SteadyClock(startingAt: Sample.start)
        let first = clock.now
        #expect(first >= Sample.start)
        try await clock.sleep(until: first + .milliseconds(20))
        #expect(clock.now >= first + .milliseconds(20))
        // A time that has passed is no wait at all.
        try await clock.sleep(until: Sample.start - .seconds(3600))
    }

    @Test func `a sleep that is cancelled ends`() async throws {
        let clock = SteadyClock(startingAt: Sample.start)
        let task = Task { try await clock.sleep(until: clock.now + .seconds(3600)) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
