// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// A run that is held to a plan refuses, before its first change, where it finds something else.
@Suite struct PlannedStartTests {
    private func simulation(_ planned: PlannedStart, _ fleet: [FleetMachine] = Sample.fleet(3)) -> Simulation {
        var request = Sample.request()
        request.planned = planned
        return Simulation(request, on: SimulatedFly(fleet, behaviours: [:]))
    }

    @Test func `what is as it was planned goes`() throws {
        var simulation = simulation(PlannedStart(image: Sample.newDigest, fleet: Sample.fleet(3)))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
    }

    @Test func `another image is refused before the app is taken`() throws {
        var simulation = simulation(PlannedStart(image: Sample.oldDigest, fleet: Sample.fleet(3)))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .refused)
        #expect(simulation.run.report?.headline.contains("not the one that was planned") == true)
        #expect(!simulation.calls.contains { $0.hasPrefix("acquireLease") })
    }

    @Test func `a fleet that somebody changed since is refused under its leases, and they are given back`() throws {
        var changed = Sample.fleet(3)
        changed[2].instance = "m3-2"
        var simulation = simulation(PlannedStart(image: Sample.newDigest, fleet: changed))
        try simulation.go()
        let report = try #require(simulation.run.report)
        #expect(report.outcome == .refused && report.exitCode == 12)
        #expect(report.headline.contains("m3 was version m3-2"), "\(report.headline)")
        #expect(!simulation.calls.contains { $0.hasPrefix("update") || $0 == "createRelease" })
        #expect(simulation.fly.heldLeases.isEmpty)
    }

    @Test func `machines that came and went are named`() {
        let planned = PlannedStart(image: nil, fleet: Sample.fleet(2))
        #expect(planned.difference(in: Sample.fleet(2)) == nil)
        #expect(planned.difference(in: Sample.fleet(3)) == "m3 is new")
        #expect(planned.difference(in: Sample.fleet(1)) == "m2 is gone")
        #expect(planned.difference(in: Sample.fleet(2) + [Sample.machine(9, isManaged: false)]) == nil)
    }
}
