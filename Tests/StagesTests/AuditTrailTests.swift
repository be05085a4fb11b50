// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// What the audit record tells of whole runs, drawn at random as ``Properties`` draws them.
@Suite struct AuditTrailTests {
    private static let runs: UInt64 = 300

    /// The entries of a run, event by event, as a driver gets them.
    private static func entries(of simulation: Simulation) throws -> [[AuditEntry]] {
        var machine = RunMachine(simulation.run.request)
        var trail = AuditTrail()
        return try simulation.history.map { event, _ in
            var next = machine
            let agenda = try next.apply(event)
            defer { machine = next }
            return trail.entries(for: event, agenda, before: machine, after: next)
        }
    }

    private static func changes(_ effect: Effect) -> Bool {
        switch effect {
        case .platform(.refreshLease): false
        case .platform(let call): call.isMutation
        case .image(.build), .image(.copy): true
        case .ledger(.record), .ledger(.mark): true
        case .image, .git, .github, .probe, .window, .ledger, .notify, .approvals, .elsewhere, .wake, .cancel: false
        }
    }

    @Test func `every change that a run asks for is recorded with the event that led to it, and once`() throws {
        var recorded = 0
        for seed in 0..<AuditTrailTests.runs {
            var simulation = Properties.draw(seed).simulation
            try simulation.go()
            let entries = try AuditTrailTests.entries(of: simulation)
            for (step, told) in zip(simulation.history, entries) {
                let wanted = step.actions.filter { AuditTrailTests.changes($0.effect) }.map { Int64($0.id.value) }
                let asked = told.filter { $0.kind != AuditEntry.Kind.mutationAnswered.rawValue }
                    .filter { $0.kind != AuditEntry.Kind.imageAnswered.rawValue && $0.after["failure"] == nil }
                    .compactMap { $0.after["action"]?.integer.map(Int64.init) }
                #expect(asked == wanted, "seed \(seed): \(told)")
                #expect(told.allSatisfy { $0.at == step.event.at })
                recorded += told.count
            }
            let all = entries.flatMap { $0 }
            #expect(all.first?.kind == "run.started", "seed \(seed)")
            #expect(all.count { $0.kind == "run.finished" } == 1, "seed \(seed)")
            #expect(all.last?.kind == "run.finished", "seed \(seed)")
            #expect(all.last?.after["outcome"]?.string == simulation.run.report?.outcome.rawValue)
            // Every answer that came is there, and none of a call that was not asked for.
            let asked = Set(all.filter { $0.kind == "mutation.asked" }.compactMap { $0.after["action"]?.integer })
            let answered = all.filter { $0.kind == "mutation.answered" }.compactMap { $0.after["action"]?.integer }
            #expect(Set(answered).isSubset(of: asked) && Set(answered).count == answered.count, "seed \(seed)")
            // What proves a lease, or may be a secret, stays out.
            for nonce in simulation.history.flatMap(\.actions).compactMap(AuditTrailTests.nonce) {
                #expect(!all.contains { "\($0)".contains(nonce.rawValue) }, "seed \(seed)")
            }
            #expect(!all.contains { $0.after["config"]?.object != nil || $0.before["config"]?.object != nil })
        }
        print("\(AuditTrailTests.runs) runs, seeds 0..<\(AuditTrailTests.runs), \(recorded) entries")
    }

    private static func nonce(_ action: Action) -> LeaseNonce? {
        switch action.effect {
        case .platform(.update(_, _, _, let nonce, _)), .platform(.releaseLease(_, let nonce)),
            .platform(.destroy(_, let nonce)):
            nonce
        default: nil
        }
    }

    @Test func `every gate is there with what it said, and an override with who answers for it`() throws {
        let overrides = RunRequest.Overrides(
            isEmergency: true, approvedBy: "Grace", skippedGates: ["clean-worktree"])
        let request = Sample.request(overrides: overrides) {
            $0.hasWindow = true
            $0.requiresCleanWorktree = true
        }
        var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(3), behaviours: [:]))
        simulation.world.dirtyPaths = ["notes.txt"]
        simulation.world.windows = [WindowAnswer(isOpen: false, rule: "Sunday", nextOpen: nil, closes: nil)]
        try simulation.go()
        let all = try AuditTrailTests.entries(of: simulation).flatMap { $0 }
        let gates = Set(all.filter { $0.kind == "gate.decided" }.map(\.subject))
        #expect(gates.isSuperset(of: ["token", "app", "commit", "fleet", "serving-floor", "way-back"]), "\(gates)")
        let overridden = all.filter { $0.kind == "gate.overridden" }
        #expect(Set(overridden.map(\.subject)) == ["clean-worktree", "window"])
        #expect(overridden.allSatisfy { $0.after["approved_by"]?.string == "Grace" })
        #expect(overridden.contains { $0.after["would_have_said"]?.string?.contains("notes.txt") == true })
        #expect(overridden.contains { $0.after["would_have_said"]?.string?.contains("Sunday") == true })
        #expect(all.first?.after["approved_by"]?.string == "Grace")
    }

    @Test func `an update tells what was there, what was wanted and what came of it`() throws {
        var simulation = Simulation(Sample.request(), on: SimulatedFly(Sample.fleet(3), behaviours: [:]))
        try simulation.go()
        let all = try AuditTrailTests.entries(of: simulation).flatMap { $0 }
        for machine in ["m1", "m2", "m3"] {
            let asked = try #require(
                all.first { $0.subject == machine && $0.kind == "mutation.asked" && $0.detail == "update" })
            #expect(asked.before["image"]?.string == Sample.reference(Sample.oldDigest))
            #expect(asked.after["image"]?.string == Sample.reference(Sample.newDigest))
            let answered = try #require(
                all.first { $0.kind == "mutation.answered" && $0.after["action"] == asked.after["action"] })
            #expect(answered.detail == "update: done")
            #expect(answered.after["machine"]?["image"]?.string == Sample.reference(Sample.newDigest))
        }
        #expect(all.contains { $0.kind == "release.marked" && $0.detail == "verified" })
    }

    @Test func `a run that another process goes on with says so, and its answers are its own`() throws {
        var simulation = Simulation(Sample.request(), on: SimulatedFly(Sample.fleet(3), behaviours: [:]))
        try simulation.go { $0.calls.contains { $0.hasPrefix("update") } }
        try simulation.crash()
        try simulation.recoverWarm()
        try simulation.go()
        let all = try AuditTrailTests.entries(of: simulation).flatMap { $0 }
        #expect(all.count { $0.kind == "run.resumed" } == 1)
        #expect(all.count { $0.kind == "run.finished" } == 1)
        // The driver that goes on begins with an empty trail, and says the same from there on.
        let resumed = try #require(simulation.history.firstIndex { $0.event.kind == .resumed })
        var machine = RunMachine(simulation.run.request)
        for step in simulation.history[..<resumed] { _ = try machine.apply(step.event) }
        var trail = AuditTrail()
        var later: [AuditEntry] = []
        for step in simulation.history[resumed...] {
            var next = machine
            let agenda = try next.apply(step.event)
            later += trail.entries(for: step.event, agenda, before: machine, after: next)
            machine = next
        }
        #expect(later == Array(all.suffix(later.count)))
    }
}
