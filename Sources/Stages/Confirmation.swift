// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Whether an app is still as a run left it that died or slept: somebody else may have recovered it meanwhile, and
/// deployed since.
package struct Confirmation: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `asking`.
        case waiting
        /// Next: `pausing`, `done`.
        case asking
        /// The platform did not answer. Next: `asking`.
        case pausing(action: ActionID)
        case done(verdict: Verdict)
    }

    package enum Verdict: Hashable, Codable, Sendable {
        case unchanged
        /// What somebody else has done.
        case taken(by: String)
        case unknown(reason: String)
    }

    private enum Question: Hashable, Codable, Sendable { case machines, releases }

    /// Looks before a platform that does not answer is given up.
    package static let maxLooks = 5
    package static let lookPause = Duration.seconds(5)
    /// Releases of the platform that are looked at.
    package static let maxReleases = 10

    package private(set) var state: State = .waiting
    private let run: RunID
    /// The release that the run has opened itself, and not closed.
    private let opened: ReleaseNumber?
    /// The newest release the run knew when it began.
    private let newest: ReleaseNumber?
    /// The runs whose marks stood on the machines when the run looked last.
    private let known: Set<String>
    private var routes: [ActionID: Question] = [:]
    private var looks = 0
    private var intruder: String?
    /// The fleet as it is now.
    package private(set) var fleet: [FleetMachine] = []

    package init(run: RunID, opened: ReleaseNumber?, newest: ReleaseNumber?, seen fleets: [[FleetMachine]]) {
        self.run = run
        self.opened = opened
        self.newest = newest
        known = Set(fleets.joined().compactMap(Confirmation.mark(of:))).union([run.rawValue])
    }

    private static func mark(of machine: FleetMachine) -> String? {
        machine.isManaged ? machine.config.metadata(Bookkeeping.run) : nil
    }

    package func awaits(_ action: ActionID) -> Bool {
        if case .pausing(action) = state { return true }
        return routes[action] != nil
    }

    package mutating func begin(_ agenda: inout Agenda) {
        looks += 1
        state = .asking
        intruder = nil
        routes = [agenda.perform(.platform(call: .machines)): .machines]
        routes[agenda.perform(.platform(call: .releases(limit: Confirmation.maxReleases)))] = .releases
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        if case .pausing(action) = state {
            begin(&agenda)
            return
        }
        guard let question = routes.removeValue(forKey: action) else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        switch (question, answer) {
        case (.machines, .machines(let list)):
            fleet = list
            judge(list)
        case (.releases, .platformReleases(let list)): judge(list)
        case (_, .failed(let failure)):
            routes = [:]
            if looks < Confirmation.maxLooks {
                state = .pausing(action: agenda.perform(.wake(at: agenda.now + Confirmation.lookPause)))
            } else {
                state = .done(verdict: .unknown(reason: failure.text))
            }
            return
        default: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
        if routes.isEmpty { state = .done(verdict: intruder.map { .taken(by: $0) } ?? .unchanged) }
    }

    /// Not by when a run began: the clocks of two runners may be an hour apart.
    private mutating func judge(_ fleet: [FleetMachine]) {
        let others = Set(fleet.compactMap(Confirmation.mark(of:))).subtracting(known)
        if let other = others.max() { intruder = "run \(other) has changed the fleet" }
    }

    /// What is open is nobody's work yet, or the other half of a call that was sent twice. What was closed as
    /// interrupted was given up, perhaps by this run itself after it had lost its journal: its machines tell the rest.
    private mutating func judge(_ list: [PlatformReleaseEntry]) {
        let concluded = list.filter { !$0.isOpen && $0.status != "interrupted" }
        if let opened, let entry = concluded.first(where: { $0.number == opened }) {
            intruder = intruder ?? "somebody has closed \(opened) as \(entry.status)"
        }
        guard let last = opened ?? newest else { return }
        if let later = concluded.map(\.number).filter({ $0 > last }).max() {
            intruder = intruder ?? "\(later) was released"
        }
    }
}
