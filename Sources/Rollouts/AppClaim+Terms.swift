// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The words of an app's claim, and the machines by which runs meet.
extension AppClaim {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `leasing`, `queueing`, `held`.
        case idle
        /// Leases of a process that is gone are ended, so that nothing it sent can still be done under them. Next:
        /// `leasing`, `queueing`, `held`.
        case abandoning
        /// Who waits before this run? Next: `leasing`, `asking`, `pausing`.
        case queueing(machine: MachineID)
        /// Next: `leasing` (the next machine), `asking`, `pausing`, `held`, `refused`, `gone`.
        case leasing(machine: MachineID)
        /// Somebody holds the lease: who? Next: `pausing`, `busy`, `queued`, `refused`.
        case asking(machine: MachineID)
        /// Next: `leasing`, `queueing`.
        case pausing(machine: MachineID)
        /// Next: `lost`, `releasing`.
        case held
        /// Another run works on the app. Next: `releasing`.
        case busy(holder: String)
        /// Nobody holds the app, and others wait for it who came before. Next: `releasing`.
        case queued(ahead: String)
        /// A machine that was to be held is no more: runs meet elsewhere now. Next: `queueing`, `leasing`, `held` (the
        /// app is taken as it is now), `releasing`.
        case gone
        /// Next: `releasing`.
        case refused(failure: Failure)
        /// A lease ended before it could be refreshed: the app may be another's by now. Next: `releasing`.
        case lost(reason: String)
        /// Next: `released`.
        case releasing
        case released
    }

    /// What a run that may have to wait for its turn needs to know.
    package struct Turn: Hashable, Codable, Sendable {
        package var run: RunID
        /// Who had the run made.
        package var who: String
        /// The machine by which all runs meet.
        package var machine: MachineID
        /// Its tickets, as they were seen last.
        package var tickets: [String: String]

        /// Since when it waits; nil for from now on.
        package var since: Timestamp?
        /// Whether a machine that is no more ends in ``State/gone``.
        package var looksAgain: Bool

        /// Nil where there is no machine yet.
        package init?(
            _ run: RunID, by who: String, in fleet: [FleetMachine], since: Timestamp? = nil, looksAgain: Bool = false
        ) {
            guard let machine = AppClaim.meetingPoint(of: fleet) else { return nil }
            (self.run, self.who, self.machine, tickets) = (run, who, machine.id, machine.tickets ?? [:])
            (self.since, self.looksAgain) = (since, looksAgain)
        }
    }

    // MARK: - Where runs meet

    private static func candidates(in fleet: [FleetMachine]) -> [FleetMachine] {
        fleet.filter { $0.isManaged && !$0.config.processGroup.rawValue.hasPrefix("fly_app_") }
    }

    /// The machine by which all runs meet; nil where there is none yet.
    package static func meetingPoint(of fleet: [FleetMachine]) -> FleetMachine? {
        candidates(in: fleet).min(by: precedes)
    }

    /// The machines that a run must hold before it changes a fleet: the first one, by which all runs meet; and the
    /// first of those that stay, for the run that destroys the others.
    package static func guards(of fleet: [FleetMachine], staying: Set<ProcessGroup>) -> [MachineID] {
        let candidates = candidates(in: fleet)
        let first = candidates.min(by: precedes)?.id
        let stays = candidates.filter { staying.contains($0.config.processGroup) }.min(by: precedes)?.id
        return Set([first, stays].compactMap(\.self)).sorted()
    }

    /// The order of machines by which all runs agree on the first one: the oldest, by the platform's clock, which all
    /// runs share. What a run makes while another looks never comes before what was there. The platform tells whole
    /// seconds: among the machines of one second a run makes the one with the first name first.
    package static func precedes(_ left: FleetMachine, _ right: FleetMachine) -> Bool {
        let (since, sinceRight) = (seconds(left), seconds(right))
        return since == sinceRight ? (left.name, left.id) < (right.name, right.id) : since < sinceRight
    }

    private static func seconds(_ machine: FleetMachine) -> Int64 { machine.createdAt?.secondsSinceEpoch ?? 0 }
}
