// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Foundation
import Model
import Rollouts
import Stages
import Testing

/// Runs drawn at random: fleets, images, latencies, losses, signals. Every complaint names the seed that leads to it
/// again: `AIRBOSS_SEED=n swift test --filter Properties`.
@Suite struct Properties {
    /// `AIRBOSS_RUNS` asks for more.
    static let runs = ProcessInfo.processInfo.environment["AIRBOSS_RUNS"].flatMap(Int.init) ?? 800
    /// A run may not take longer than this, once nothing fails any more.
    static let longestRun = Duration.seconds(2 * 3600)

    private static var seeds: [UInt64] {
        if let text = ProcessInfo.processInfo.environment["AIRBOSS_SEED"], let seed = UInt64(text) { return [seed] }
        // New ones every day, the same ones all day: what fails in the morning can be mended by the evening.
        let today = UInt64(Date().timeIntervalSince1970 / 86_400)
        return (0..<UInt64(runs)).map { today &* 1_000_003 &+ $0 }
    }

    struct Drawn: Sendable {
        var simulation: Simulation
        var before: [FleetMachine]
        var isNewGood: Bool
        var signal: Timestamp?
    }

    static func draw(_ seed: UInt64) -> Drawn {
        var random = SeededRandom(seed: seed)
        let healths: [SimulatedFly.Behaviour.Health] = [
            .good, .good, .good, .neverPasses, .exits(after: .milliseconds(50)), .failsProbes,
        ]
        let new = healths.randomElement(using: &random) ?? .good
        let count = Int.random(in: 1...6, using: &random)
        let isRollback = random.oneIn(5)
        var fleet = (1...count).map { number in
            let digest = isRollback || random.oneIn(8) ? Sample.newDigest : Sample.oldDigest
            return Sample.machine(number, digest: digest, state: number > 2 && random.oneIn(6) ? "stopped" : "started")
        }
        if random.oneIn(4) { fleet.append(Sample.machine(9, isManaged: false)) }
        let isFirst = !isRollback && random.oneIn(12)
        if isFirst { fleet = [] }
        let floor = count > 1 ? Int.random(in: 0..<count, using: &random) : 0
        let width = Int.random(in: 1...3, using: &random)
        let boot = random.milliseconds(100...30_000)
        let request = Sample.request(isRollback ? .rollback : .deploy) { settings in
            settings.servingFloor = floor
            settings.maxUnavailable = .count(machines: width)
            settings.waitTimeout = .seconds(120)
            settings.channels = [.email]
            settings.verify.soak = random.oneIn(4) ? .seconds(30) : .zero
        }
        var fly = SimulatedFly(
            fleet,
            behaviours: [
                Sample.newDigest: .init(boot: boot, checks: random.milliseconds(0...5_000), health: new),
                Sample.oldDigest: .init(boot: boot, checks: random.milliseconds(0...5_000)),
            ])
        if fly.available >= floor, !isRollback { fly.floor = floor }
        if random.oneIn(6), let machine = fleet.first(where: \.isManaged) {
            fly.leaseForAnother(machine.id, until: Sample.start + random.milliseconds(1_000...90_000))
        }
        var simulation = Simulation(request, on: fly, seed: seed ^ 0x5EED)
        simulation.world.records = isFirst ? [] : [Sample.release(71, machines: count)]
        if isRollback { simulation.world.records.append(Sample.release(72, digest: Sample.newDigest, state: .failed)) }
        simulation.faults.latency = 5...Int.random(in: 20...1500, using: &random)
        simulation.faults.hasStaleLists = random.oneIn(3)
        simulation.faults.oneCallIn = random.oneIn(2) ? 0 : Int.random(in: 4...40, using: &random)
        let signal = random.oneIn(4) ? Sample.start + random.milliseconds(0...90_000) : nil
        if let signal { simulation.interrupt(at: signal) }
        let isGood = if case .good = new { true } else { false }
        return Drawn(simulation: simulation, before: fleet, isNewGood: isGood, signal: signal)
    }

    private static func run(_ seed: UInt64) -> (complaints: [String], outcome: RunOutcome?) {
        let drawn = draw(seed)
        var simulation = drawn.simulation
        do { try simulation.go() } catch { return (["seed \(seed): \(error)"], nil) }
        return (complaints(simulation, drawn).map { "seed \(seed): \($0)" }, simulation.run.report?.outcome)
    }

    @Test func `runs keep every promise, whatever happens around them`() async {
        var complaints: [String] = []
        var outcomes: [RunOutcome: Int] = [:]
        await withTaskGroup(of: [(complaints: [String], outcome: RunOutcome?)].self) { group in
            for half in 0..<2 {
                group.addTask {
                    var results: [(complaints: [String], outcome: RunOutcome?)] = []
                    for seed in Self.seeds where seed % 2 == half {
                        results.append(Self.run(seed))
                        // Other tests must not starve meanwhile: some of them wait for real time.
                        await Task.yield()
                    }
                    return results
                }
            }
            for await results in group {
                for result in results {
                    complaints += result.complaints
                    if let outcome = result.outcome { outcomes[outcome, default: 0] += 1 }
                }
            }
        }
        complaints.sort()
        #expect(
            complaints.isEmpty,
            "\(complaints.count) complaints, \(outcomes):\n\(complaints.prefix(20).joined(separator: "\n"))")
        guard Self.seeds.count > 1 else { return }
        // A search that never gets anywhere interesting proves nothing.
        for outcome in RunOutcome.allCases {
            #expect(outcomes[outcome, default: 0] >= 3, "only \(outcomes) of \(Self.runs) runs")
        }
    }

    private static func complaints(_ simulation: Simulation, _ drawn: Drawn) -> [String] {
        guard let report = simulation.run.report else { return ["it ended without a report"] }
        var complaints = simulation.fly.violations
        if simulation.now - Sample.start > longestRun { complaints.append("it took until \(simulation.now)") }
        if !simulation.fly.heldLeases.isEmpty { complaints.append("leases left: \(simulation.fly.heldLeases)") }
        let names = simulation.fly.fleet.map(\.name)
        if Set(names).count != names.count { complaints.append("two machines of one name: \(names)") }
        let unmanaged = drawn.before.filter { !$0.isManaged }
        if simulation.fly.fleet.filter({ !$0.isManaged }) != unmanaged { complaints.append("unmanaged were touched") }
        let gone = Set(drawn.before.map(\.id)).subtracting(simulation.fly.fleet.map(\.id))
        if !gone.isEmpty { complaints.append("machines are gone: \(gone)") }
        let isBusy = report.outcome == .refused && report.exitCode == ExitCode.busy.rawValue
        if report.exitCode != report.outcome.exitCode().rawValue, !isBusy {
            complaints.append("exit code \(report.exitCode)")
        }
        if report.stages.contains(where: { $0.state == .running || $0.state == .waiting }) {
            complaints.append("a stage is left open: \(report.stages)")
        }
        let managed = simulation.fly.fleet.filter(\.isManaged)
        let digests = Set(managed.map(\.imageDigest))
        let isRollback = simulation.run.request.kind == .rollback
        let isUntouched =
            simulation.fly.fleet.map(\.config) == drawn.before.map(\.config)
            && simulation.fly.fleet.map(\.instance) == drawn.before.map(\.instance)
        switch report.outcome {
        case .verified:
            let wanted = isRollback ? Sample.oldDigest : Sample.newDigest
            if digests != [wanted] { complaints.append("verified, and the fleet runs \(digests)") }
            if !isRollback, !drawn.isNewGood, !isUntouched { complaints.append("a bad image was verified") }
        case .rolledBack:
            if digests != [Sample.oldDigest] { complaints.append("rolled back, and the fleet runs \(digests)") }
        case .refused, .unavailable:
            if !isUntouched { complaints.append("\(report.outcome), and the fleet was changed: \(report.headline)") }
        case .needsHuman:
            if report.divergence.isEmpty && report.nextSteps.isEmpty { complaints.append("nobody is told what to do") }
        case .interrupted:
            if drawn.signal == nil { complaints.append("interrupted by nobody") }
            if report.headline.contains("nothing changed"), !isUntouched {
                complaints.append("said to be unchanged: \(report.headline)")
            }
        }
        return complaints
    }

    @Test func `a run applied again is the same run`() throws {
        for seed in Self.seeds.prefix(100) {
            var simulation = Self.draw(seed).simulation
            try simulation.go()
            var again = RunMachine(simulation.run.request)
            for (event, actions) in simulation.history {
                let agenda = try again.apply(event)
                guard agenda.actions == actions else {
                    Issue.record("seed \(seed): other actions after \(event)")
                    break
                }
            }
            #expect(again == simulation.run, "seed \(seed)")
        }
    }

    @Test func `a run survives being written down at any moment`() throws {
        let encoder = JSONEncoder()
        let decoder = JSONDecoder()
        for seed in Self.seeds.prefix(12) {
            let drawn = Self.draw(seed)
            var simulation = drawn.simulation
            try simulation.go()
            let request = simulation.run.request
            #expect(try decoder.decode(RunRequest.self, from: encoder.encode(request)) == request, "seed \(seed)")
            var run = RunMachine(try decoder.decode(RunRequest.self, from: encoder.encode(request)))
            for (index, (event, actions)) in simulation.history.enumerated() {
                let read = try decoder.decode(RunEvent.self, from: encoder.encode(event))
                #expect(read == event, "seed \(seed): \(event)")
                #expect(try decoder.decode([Action].self, from: encoder.encode(actions)) == actions, "seed \(seed)")
                let agenda = try run.apply(read)
                #expect(agenda.actions == actions, "seed \(seed)")
                guard index % 7 == 0 else { continue }
                let restored = try decoder.decode(RunMachine.self, from: encoder.encode(run))
                #expect(restored == run, "seed \(seed), after event \(index)")
                // From here on with what was read back.
                run = restored
            }
            #expect(run == simulation.run, "seed \(seed)")
        }
    }
}
