// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import PipelineFiles
internal import Rollouts
package import Stages

/// What a run would do, and whether it could: nothing of it was done.
package struct DeploymentPlan: Sendable {
    /// How the deployment window decides.
    package struct Window: Hashable, Sendable {
        package var isOpen: Bool?
        /// The rule that decided, or why it could not be read.
        package var rule: String
        package var nextOpen: Timestamp?
        package var closes: Timestamp?
        /// `passed`, `overridden` or `refused`.
        package var verdict: GateResult.Verdict
    }

    /// Calls of one endpoint.
    package struct Calls: Hashable, Sendable {
        package var call: String
        package var count: Int
        package var changesSomething: Bool
    }

    package var request: RunRequest
    package var at: Timestamp
    package var gates: [GateResult]
    package var window: Window
    /// Why a run would be refused; nil where it could go.
    package var refusal: Refusal?
    package var facts: PreValidation.Facts
    package var image: BuiltImage?
    package var changes: [GroupChange]
    /// Machines that already are what they shall be.
    package var unchanged: [String]
    /// Nil where the steps could not be foretold.
    package var steps: [PlanStep]?
    package var calls: [Calls]
    package var cost: MonthlyCost?
    /// What past runs took, from their beginning to their end; empty where there are none.
    package var pastDurations: [Duration] = []
    package var warnings: [String] = []

    /// The longest list of commits and paths that is printed.
    package static let maxShownPaths = 40

    /// The release that would be gone back to, or nil.
    package var wayBack: ReleaseRecord? { facts.wayBack }

    /// The middle of what past runs took; nil where there are none.
    package var expectedDuration: Duration? {
        let sorted = pastDurations.sorted()
        guard !sorted.isEmpty else { return nil }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    /// How the run would end before its first change: 0 where it could go.
    package var exitCode: ExitCode { refusal?.outcome.exitCode() ?? .verified }

    /// - Parameters:
    ///   - asked: the run that was asked for, up to its first change or its refusal.
    ///   - onward: where it was refused, the same against all gates; nil where nothing could be learned by that.
    package init(asked: RunPreview, onward: RunPreview?, at now: Timestamp) {
        let machine = asked.machine
        let going = (onward ?? asked)
        request = machine.request
        at = now
        gates = GateName.allCases.compactMap { machine.preValidation.gates[$0] }
        window = DeploymentPlan.window(machine.request, going.answers, at: now)
        facts = going.machine.preValidation.facts
        // The warnings of a run that overrides nothing are the ones that count.
        warnings = machine.preValidation.facts.warnings
        if case .built(let built) = going.machine.build.state { image = built } else { image = nil }
        refusal = machine.report.map { Refusal($0.outcome, $0.headline, hints: $0.nextSteps) }
        if refusal?.outcome == .refused, window.verdict == .refused,
            !gates.allSatisfy({ $0.verdict == .passed || $0.verdict == .overridden })
        {
            refusal?.reason += "; window: " + (window.isOpen == false ? "closed (\(window.rule))" : window.rule)
        }
        (changes, unchanged, steps, calls, cost) = ([], [], nil, [], nil)
        let isRefused = going.machine.report != nil
        guard !isRefused, facts.hasSeenFleet else {
            calls = DeploymentPlan.count(asked.platformCalls)
            return
        }
        var simulation = PlanSimulation(going, at: now)
        let isFinished = simulation.run()
        if isFinished, simulation.machine.report?.outcome == .verified {
            steps = simulation.steps
        } else if let report = simulation.machine.report, simulation.steps.isEmpty,
            report.outcome == .refused || report.outcome == .unavailable
        {
            // It waited for an answer that was not there when this was planned.
            refusal = refusal ?? Refusal(report.outcome, report.headline, hints: report.nextSteps)
        } else {
            let why = simulation.machine.report?.headline ?? "the run comes to no end"
            warnings.append("on a platform without faults the run would not succeed: \(why)")
            steps = simulation.steps.isEmpty ? nil : simulation.steps
        }
        calls = DeploymentPlan.count(asked.platformCalls + simulation.calls)
        changes = DeploymentPlan.changes(simulation)
        let changed = Set(simulation.steps.map(\.machine))
        unchanged = facts.fleet.filter(\.isManaged).map(\.id.rawValue).filter { !changed.contains($0) }.sorted()
        cost = DeploymentPlan.cost(facts.fleet, simulation)
    }

    private static func window(
        _ request: RunRequest, _ answers: [Effect: Answer], at now: Timestamp
    ) -> Window {
        var agenda = Agenda(now: now, nextAction: 1)
        var gate = WindowGate(request)
        gate.begin(&agenda)
        if let action = agenda.actions.first?.id, let answer = answers[.window] {
            // An answer of another kind leaves the gate asking, which is told as unanswered.
            try? gate.handle(action, answer, &agenda)
        }
        var window = Window(isOpen: nil, rule: "", verdict: .unanswered)
        if case .window(let decision)? = answers[.window] {
            window.isOpen = decision.isOpen
            window.nextOpen = decision.nextOpen
            window.closes = decision.closes
            window.rule = decision.rule
        }
        switch gate.state {
        case .waiting, .asking, .stopped: window.rule = "it was not asked: the run is refused before"
        case .passed(let rule):
            window.rule = rule
            window.isOpen = window.isOpen ?? true
            window.verdict = .passed
        case .overridden(let rule):
            window.rule = rule
            window.verdict = .overridden
        case .refused(let refusal):
            // One that is open refuses what it would be too late to finish.
            if window.isOpen != false { window.rule = refusal.reason }
            window.verdict = .refused
        }
        return window
    }

    private static func count(_ calls: [PlatformCall]) -> [Calls] {
        var counts: [Calls] = []
        for call in calls {
            if let index = counts.firstIndex(where: { $0.call == call.endpoint }) {
                counts[index].count += 1
            } else {
                counts.append(Calls(call: call.endpoint, count: 1, changesSomething: call.isMutation))
            }
        }
        return counts
    }

    private static func changes(_ simulation: PlanSimulation) -> [GroupChange] {
        var changes: [GroupChange] = []
        for (machine, group, old, new) in simulation.configs {
            let differences = ConfigDifference.between(old, new)
            let isNew = old == nil
            if let index = changes.firstIndex(where: {
                $0.group == group && $0.isNew == isNew && $0.differences == differences
            }) {
                changes[index].machines.append(machine)
            } else {
                changes.append(
                    GroupChange(group: group, machines: [machine], isNew: isNew, differences: differences))
            }
        }
        return changes.sorted { ($0.group, $0.machines.first ?? "") < ($1.group, $1.machines.first ?? "") }
    }

    private static func cost(_ fleet: [FleetMachine], _ simulation: PlanSimulation) -> MonthlyCost {
        let before = fleet.map { (config: $0.config, region: $0.region) }
        var after: [String: (config: MachineConfig, region: String)] = [:]
        for machine in fleet { after[machine.id.rawValue] = (machine.config, machine.region) }
        for (machine, _, _, new) in simulation.configs {
            let region = after[machine]?.region ?? simulation.steps.first { $0.machine == machine }?.region ?? ""
            after[machine] = (new, region)
        }
        for step in simulation.steps where step.action == .destroy { after[step.machine] = nil }
        return MonthlyCost(before: before, after: Array(after.values))
    }

    /// What the plan would do, by the parts of its hash: not what gates say, and no times.
    package var hashedContents: [PlanHash.Part: String] {
        let managed = facts.fleet.filter(\.isManaged).sorted { $0.id < $1.id }
        let target: String =
            request.kind == .rollback
            ? "to \(facts.wayBack?.number.description ?? "nothing")" : facts.commit?.id.rawValue ?? ""
        return [
            .target: "\(request.kind.rawValue) \(request.pipeline) \(request.app) \(target)",
            .image: image?.digest.rawValue ?? (request.kind == .rollback ? facts.wayBack?.digest.rawValue ?? "" : ""),
            .configs: changes.flatMap { change in
                change.differences.filter { $0.key != "image" }.map {
                    "\(change.machines.sorted()) \($0.key): \($0.new?.text() ?? "-")"
                }
            }.joined(separator: "\n"),
            .fleet: managed.map { "\($0.id): \(PlannedStart.standing(of: $0))" }.joined(separator: "\n"),
            .steps: (steps ?? []).map { step in
                "\(step.action.rawValue) \(step.machine) \(step.group) \(step.region) \(step.staysAtRest) "
                    + "\(step.floor) \(step.before) \(step.during) \(step.after)"
            }.joined(separator: "\n"),
        ]
    }

    /// What a run that is held to this plan must find; nil where the plan does not say what is deployed.
    package var plannedStart: PlannedStart { PlannedStart(image: image?.digest, fleet: facts.fleet) }
}

extension PlatformCall {
    /// The call as Fly's documentation names it.
    var endpoint: String {
        let machine = "/v1/apps/{app}/machines/{id}"
        return switch self {
        case .app: "GET /v1/apps/{app}"
        case .machines, .observe: "GET /v1/apps/{app}/machines"
        case .machine: "GET \(machine)"
        case .acquireLease, .refreshLease: "POST \(machine)/lease"
        case .releaseLease: "DELETE \(machine)/lease"
        case .lease: "GET \(machine)/lease"
        case .metadata: "GET \(machine)/metadata"
        case .setMetadata: "POST \(machine)/metadata/{key}"
        case .removeMetadata: "DELETE \(machine)/metadata/{key}"
        case .update: "POST \(machine)"
        case .create: "POST /v1/apps/{app}/machines"
        case .wait: "GET \(machine)/wait"
        case .destroy: "DELETE \(machine)"
        case .versions: "GET \(machine)/versions"
        case .cordon: "POST \(machine)/cordon"
        case .uncordon: "POST \(machine)/uncordon"
        case .secretNames: "GET /v1/apps/{app}/secrets"
        case .createRelease: "POST /api/v1/releases"
        case .finishRelease: "PATCH /api/v1/releases/{id}"
        case .releases: "GET /api/v1/apps/{app}/releases"
        }
    }
}
