// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model

/// What the checks must know of a machine; the parts that hang on its config are read once per version.
struct Standing: Sendable {
    let instance: String
    let isManaged: Bool
    let group: ProcessGroup
    let hasServices: Bool
    private let expectedChecks: Int
    private let startsOnDemand: Bool
    /// Serves, or would at the first request.
    private(set) var isAvailable = false
    private(set) var exists = true
    let firstSeen: Timestamp
    /// When it last began or ceased to be available.
    var since: Timestamp
    /// Whether it ceased to be because a run changed it.
    var isTakenAway = false

    /// - Parameter firstSeen: when the machine was first seen, where it had another version then.
    init(_ machine: WorldMachine, at now: Timestamp, firstSeen: Timestamp? = nil) {
        since = now
        self.firstSeen = firstSeen ?? now
        instance = machine.instance
        let config = machine.config
        isManaged = config.metadata("fly_platform_version") == "v2"
        group = config.processGroup
        hasServices = config.hasServices
        expectedChecks = config.checkCount
        startsOnDemand = (config.json["services"]?.array ?? []).contains { $0["autostart"]?.bool == true }
        look(machine)
    }

    mutating func look(_ machine: WorldMachine) {
        exists = machine.state != .destroyed && machine.state != .destroying
        guard machine.hostStatus == "ok", !machine.isCordoned else {
            isAvailable = false
            return
        }
        switch machine.state {
        case .started:
            isAvailable =
                machine.checks.count >= expectedChecks && machine.checks.allSatisfy { $0.standing == .passing }
        case .stopped, .suspended: isAvailable = startsOnDemand
        case .created, .starting, .stopping, .restarting, .replacing, .failed, .destroying, .destroyed:
            isAvailable = false
        }
    }
}

/// How many machines served over the time of a rehearsal.
struct ServingRecord: Sendable {
    /// The floor over all machines that take traffic.
    private(set) var floor = 0
    private(set) var fewest = Int.max
    private(set) var timeBelowFloor = Duration.zero
    private(set) var downtime = Duration.zero
    /// When fewer served than the floor for the first time.
    private(set) var firstLossAt: Timestamp?
    private var current = 0
    private var since = Scenario.start
    private var isCounted = false

    mutating func begin(serving: Int, floor: Int) {
        current = serving
        fewest = serving
        self.floor = floor
        // An app that serves nobody at the beginning has nothing to lose.
        isCounted = serving > 0
    }

    mutating func change(to serving: Int, at now: Timestamp) {
        guard isCounted, serving != current else { return }
        count(until: now)
        current = serving
        fewest = min(fewest, serving)
        if serving < floor, firstLossAt == nil { firstLossAt = now }
    }

    mutating func count(until now: Timestamp) {
        guard isCounted else { return }
        if current < floor { timeBelowFloor += now - since }
        if current == 0 { downtime += now - since }
        since = now
    }
}
