// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import Rollouts
internal import Verification

/// Decides whether what was deployed is healthy: consecutive good answers, the platform's checks and machine states,
/// the smoke list, then the soak.
package struct HealthVerify: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `probing`, `inspecting`.
        case waiting
        /// Next: `inspecting`, `unhealthy`, `stopped`.
        case probing
        /// The machines themselves. Next: `smoking`, `soaking`, `healthy`, `unhealthy`, `stopped`.
        case inspecting
        /// Next: `soaking`, `healthy`, `unhealthy`, `stopped`.
        case smoking(index: Int)
        /// Next: `healthy`, `unhealthy`, `stopped`.
        case soaking(until: Timestamp)
        case healthy
        case unhealthy(reason: String)
        case stopped
    }

    private enum Question: Hashable, Codable, Sendable {
        case health, pause, inspection, smoke, soakHealth, soakInspection, soakPause
    }

    /// Tries of one smoke probe before it counts as failed.
    package static let maxSmokeTries = 3
    /// Between two tries of a smoke probe, and between two looks at machines that are not all well yet.
    package static let retryPause = Duration.seconds(2)

    package let plan: VerifyPlan
    /// The machines that must be well, with the checks their configs name.
    package let expected: [MachineID: Int]
    /// The version each machine must be on, where that is known.
    package let versions: [MachineID: InstanceID]
    package private(set) var state: State = .waiting
    /// When the first bad answer came; nil where there was none.
    package private(set) var firstFailureAt: Timestamp?
    /// What was last seen, for people.
    package private(set) var healthStatus = ""
    private var routes: [ActionID: Question] = [:]
    private var probesMade = 0
    private var goodInARow = 0
    private var badInARow = 0
    private var lastFault = ""
    private var usesFallback = false
    /// Whether the health endpoint ever answered anything but that it does not exist.
    private var hasHealthEndpoint = false
    private var inspections = 0
    private var smokeTries = 0

    /// - Parameters:
    ///   - expected: the machines that must be well, with the number of checks each one's config names.
    ///   - versions: the version each machine must be on, where that is known.
    package init(_ plan: VerifyPlan, expected: [MachineID: Int], versions: [MachineID: InstanceID] = [:]) {
        self.plan = plan
        self.expected = expected
        self.versions = versions
    }

    package func awaits(_ action: ActionID) -> Bool { routes[action] != nil }

    package var isDecided: Bool {
        switch state {
        case .healthy, .unhealthy, .stopped: true
        case .waiting, .probing, .inspecting, .smoking, .soaking: false
        }
    }

    /// What people are told it waits for.
    package var waitingFor: String {
        switch state {
        case .waiting, .healthy, .unhealthy, .stopped: ""
        case .probing: "\(goodInARow) of \(plan.consecutive) good answers in a row" + because
        case .inspecting: "all machines and their checks to be well" + because
        case .smoking(let index): "smoke test \(plan.smoke[index].name)" + because
        case .soaking(let until): "the soak to end at \(until)" + because
        }
    }

    private var because: String { lastFault.isEmpty ? "" : " (\(lastFault))" }

    package mutating func begin(_ agenda: inout Agenda) {
        guard plan.health != nil else {
            inspect(&agenda)
            return
        }
        state = .probing
        probe(.health, &agenda)
    }

    package mutating func stop() {
        guard !isDecided else { return }
        routes = [:]
        state = .stopped
    }

    package mutating func handle(
        _ action: ActionID, _ answer: Answer, _ agenda: inout Agenda
    ) throws(IllegalEvent) {
        guard let question = routes.removeValue(forKey: action) else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        switch (state, question, answer) {
        case (.probing, .health, .probe(let result)): probed(result, &agenda)
        case (.probing, .pause, .woke): probe(.health, &agenda)
        case (.inspecting, .inspection, .observations(let list)): inspected(fault(in: list), &agenda)
        case (.inspecting, .inspection, .failed(let failure)):
            inspected("the platform can't be asked: \(failure.text)", &agenda)
        case (.inspecting, .pause, .woke): inspect(&agenda)
        case (.smoking(let index), .smoke, .probe(let result)): smoked(index, result, &agenda)
        case (.smoking(let index), .pause, .woke): smoke(index, &agenda)
        case (.soaking, .soakPause, .woke): soak(&agenda)
        case (.soaking(let until), .soakHealth, .probe(let result)):
            let fault = criteria.fault(in: result)
            note(result, fault)
            soaked(fault, until, &agenda)
            if !isDecided { ask(.soakInspection, .platform(call: .observe), &agenda) }
        case (.soaking(let until), .soakInspection, .observations(let list)):
            if let crash = crash(in: list) {
                fail(crash, &agenda)
            } else {
                soaked(fault(in: list), until, &agenda)
                if !isDecided { pauseSoak(until, &agenda) }
            }
        case (.soaking(let until), .soakInspection, .failed):
            // The platform's API being down says nothing about the app.
            pauseSoak(until, &agenda)
        default:
            throw IllegalEvent(state: "\(state)", event: "\(question): \(answer)")
        }
    }

    // MARK: - Probing

    private var criteria: HealthCriteria {
        (usesFallback ? plan.fallback?.criteria : plan.health?.criteria) ?? HealthCriteria()
    }

    private mutating func probe(_ question: Question, _ agenda: inout Agenda) {
        guard let probe = usesFallback ? plan.fallback : plan.health else { return }
        probesMade += 1
        ask(question, .probe(request: probe.probe), &agenda)
    }

    private mutating func probed(_ result: ProbeResult, _ agenda: inout Agenda) {
        // Only an app that has no health endpoint may be judged by its front page; one that answers unhealthy may not.
        if let status = result.status, status != 404 { hasHealthEndpoint = true }
        if result.status == 404, !usesFallback, !hasHealthEndpoint, let fallback = plan.fallback {
            usesFallback = true
            probesMade = 0  // the question that could not be answered takes nothing from the one that can
            agenda.note(
                .message(
                    text: "\(plan.health?.name ?? "health") does not exist (404): judging by \(fallback.name) instead"))
            probe(.health, &agenda)
            return
        }
        let fault = criteria.fault(in: result)
        note(result, fault)
        if let fault {
            goodInARow = 0
            lastFault = fault
            if firstFailureAt == nil { firstFailureAt = agenda.now }
            agenda.note(.message(text: "health: \(fault) (\(probesMade) of \(plan.attempts))"))
        } else {
            goodInARow += 1
            lastFault = ""
            let progress = "(\(goodInARow) of \(plan.consecutive) in a row)"
            agenda.note(.message(text: "health: good, \(result.elapsed.wholeMilliseconds) ms \(progress)"))
        }
        if goodInARow >= plan.consecutive {
            inspect(&agenda)
        } else if plan.attempts - probesMade < plan.consecutive - goodInARow {
            fail("health: \(lastFault.isEmpty ? "not enough good answers in a row" : lastFault)", &agenda)
        } else {
            pause(plan.interval, .pause, &agenda)
        }
    }

    private mutating func note(_ result: ProbeResult, _ fault: String?) {
        healthStatus =
            fault ?? "healthy (\(result.status.map(String.init) ?? "") in \(result.elapsed.wholeMilliseconds) ms)"
    }

    // MARK: - Machines

    private mutating func inspect(_ agenda: inout Agenda) {
        state = .inspecting
        inspections += 1
        ask(.inspection, .platform(call: .observe), &agenda)
    }

    private mutating func inspected(_ fault: String?, _ agenda: inout Agenda) {
        guard let fault else {
            lastFault = ""
            smokeOrSoak(&agenda)
            return
        }
        lastFault = fault
        if firstFailureAt == nil { firstFailureAt = agenda.now }
        guard inspections < plan.attempts else {
            fail(fault, &agenda)
            return
        }
        pause(min(plan.interval, HealthVerify.retryPause), .pause, &agenda)
    }

    /// Why the machines are not all well, or nil where they are.
    private func fault(in list: [Observation]) -> String? {
        if let crash = crash(in: list) { return crash }
        for (machine, checks) in expected.sorted(by: { $0.key < $1.key }) {
            guard let observation = list.first(where: { $0.id == machine }) else { return "machine \(machine) is gone" }
            // A list may be older than what stands there; and what somebody else put there is not what is verified.
            if let version = versions[machine], observation.instance != version {
                return "machine \(machine) is on another version than was put there"
            }
            if FleetPlan.restingStates.contains(observation.state) { continue }
            guard observation.state == "started" else { return "machine \(machine) is \(observation.state)" }
            guard observation.checksReported >= checks, observation.checksPassing == observation.checksReported else {
                let check = observation.failingCheck
                return "machine \(machine): \(check.isEmpty ? "no result of its checks yet" : check)"
            }
        }
        return nil
    }

    private func crash(in list: [Observation]) -> String? {
        for observation in list.sorted(by: { $0.id < $1.id }) where expected[observation.id] != nil {
            if let exit = observation.exit {
                let cause = exit.isOutOfMemory ? "ran out of memory" : "exited with code \(exit.code)"
                return "machine \(observation.id): the process \(cause)"
                    + (observation.restarts > 0 ? " (\(observation.restarts) restarts)" : "")
            }
        }
        return nil
    }

    // MARK: - Smoke and soak

    private mutating func smokeOrSoak(_ agenda: inout Agenda) {
        if plan.smoke.isEmpty { beginSoak(&agenda) } else { smoke(0, &agenda) }
    }

    private mutating func smoke(_ index: Int, _ agenda: inout Agenda) {
        state = .smoking(index: index)
        smokeTries += 1
        ask(.smoke, .probe(request: plan.smoke[index].probe), &agenda)
    }

    private mutating func smoked(_ index: Int, _ result: ProbeResult, _ agenda: inout Agenda) {
        let probe = plan.smoke[index]
        if let fault = probe.criteria.fault(in: result) {
            lastFault = "\(probe.name) \(fault)"
            if firstFailureAt == nil { firstFailureAt = agenda.now }
            agenda.note(.message(text: "smoke: \(lastFault)"))
            guard smokeTries < HealthVerify.maxSmokeTries else {
                fail("smoke test: \(lastFault)", &agenda)
                return
            }
            pause(HealthVerify.retryPause, .pause, &agenda)
            return
        }
        lastFault = ""
        smokeTries = 0
        agenda.note(.message(text: "smoke: \(probe.name) good"))
        if index + 1 < plan.smoke.count { smoke(index + 1, &agenda) } else { beginSoak(&agenda) }
    }

    private mutating func beginSoak(_ agenda: inout Agenda) {
        guard plan.soak > .zero else {
            state = .healthy
            return
        }
        let until = agenda.now + plan.soak
        state = .soaking(until: until)
        agenda.note(.message(text: "soaking until \(until)"))
        pauseSoak(until, &agenda)
    }

    private mutating func pauseSoak(_ until: Timestamp, _ agenda: inout Agenda) {
        guard agenda.now < until else {
            state = .healthy
            return
        }
        ask(.soakPause, .wake(at: min(agenda.now + plan.interval, until)), &agenda)
    }

    private mutating func soak(_ agenda: inout Agenda) {
        if plan.health == nil {
            ask(.soakInspection, .platform(call: .observe), &agenda)
        } else {
            probe(.soakHealth, &agenda)
        }
    }

    /// One bad moment is weather; as many in a row as good ones were asked for is not.
    private mutating func soaked(_ fault: String?, _ until: Timestamp, _ agenda: inout Agenda) {
        guard let fault else {
            if lastFault.isEmpty { badInARow = 0 }
            lastFault = ""
            return
        }
        lastFault = fault
        badInARow += 1
        if firstFailureAt == nil { firstFailureAt = agenda.now }
        agenda.note(.message(text: "soak: \(fault) (\(badInARow) in a row)"))
        if badInARow >= plan.consecutive { fail("during the soak: \(fault)", &agenda) }
    }

    // MARK: - Asking

    private mutating func fail(_ reason: String, _ agenda: inout Agenda) {
        if firstFailureAt == nil { firstFailureAt = agenda.now }
        routes = [:]
        state = .unhealthy(reason: reason)
    }

    private mutating func pause(_ duration: Duration, _ question: Question, _ agenda: inout Agenda) {
        ask(question, .wake(at: agenda.now + duration), &agenda)
    }

    private mutating func ask(_ question: Question, _ effect: Effect, _ agenda: inout Agenda) {
        routes[agenda.perform(effect)] = question
    }
}
