// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
package import Model
internal import PipelineFiles
internal import Rollouts
internal import Stages
internal import Verification

/// One change of one machine, with what it does to whoever is served.
package struct PlanStep: Hashable, Codable, Sendable {
    package enum Action: String, Hashable, Codable, Sendable, CaseIterable {
        case update, create, destroy, cordon, uncordon
    }

    package var action: Action
    /// The machine's id, or the name it will be created with.
    package var machine: String
    package var group: ProcessGroup
    package var region: String
    /// Whether the machine rests, and is changed without being started.
    package var staysAtRest: Bool
    /// The fewest available machines its group may have.
    package var floor: Int
    /// Available machines of its group right before the change, right after it was begun, and once the machine is
    /// available again.
    package var before: Int
    package var during: Int
    package var after: Int
}

/// What is left of a run after its preview, carried out on a model of the platform in virtual time, where nothing goes
/// wrong: the same machine decides, so that the steps are the ones a run takes.
struct PlanSimulation {
    private enum Due {
        case arrive(Action)
        case local(Action, heldUntil: Timestamp)
        case deliver(ActionID, Answer)
        case world(WorldEvent)
    }

    /// One way of a call.
    private static let callTime = Duration.milliseconds(40)
    private static let probeTime = Duration.milliseconds(25)
    private static let bootTime = Duration.seconds(2)
    private static let checkTime = Duration.milliseconds(500)
    private static let exitTime = Duration.milliseconds(100)
    private static let proxyLookTime = Duration.milliseconds(200)
    /// Events after which a run counts as one whose end can't be foretold.
    static let maxEvents = 200_000

    private(set) var machine: RunMachine
    private(set) var steps: [PlanStep] = []
    /// Calls of the platform that it made.
    private(set) var calls: [PlatformCall] = []
    /// Whole configs that machines are given, in the order of the steps: what was there, and what comes.
    private(set) var configs: [(machine: String, group: ProcessGroup, old: MachineConfig?, new: MachineConfig)] = []

    private let answers: [Effect: Answer]
    private let app: String
    private let images: [String: ImageDigest]
    private var world: World
    private var now: Timestamp
    private var queue = EventQueue<Due>()
    /// Actions whose answers nobody waits for any more.
    private var cancelled: Set<ActionID> = []
    private var waiting: [UInt64: Action] = [:]
    /// Steps whose machine is not available again yet, by their index.
    private var unsettled: [String: Int] = [:]
    /// Machines by the name they were created with.
    private var names: [String: String] = [:]

    init(_ preview: RunPreview, at start: Timestamp) {
        machine = preview.machine
        answers = preview.answers
        now = start
        app = preview.machine.request.app.rawValue
        let facts = preview.machine.preValidation.facts
        world = World(
            seed: 1, app: app, organization: "found", found: facts.fleet, releases: facts.platformReleases, at: start)
        world.settings.isRateLimited = false
        images = PlanSimulation.images(preview.machine)
        perform(preview.heldBack)
    }

    /// What references to images mean, as far as the run knows them.
    private static func images(_ machine: RunMachine) -> [String: ImageDigest] {
        var images: [String: ImageDigest] = [:]
        for found in machine.preValidation.facts.fleet {
            if let reference = found.config.image, let digest = found.imageDigest { images[reference] = digest }
        }
        for release in [machine.preValidation.facts.wayBack].compactMap({ $0 }) {
            images[release.image] = release.digest
            for recorded in release.machines { images[recorded.config.image ?? ""] = release.digest }
        }
        if case .built(let image) = machine.build.state { images[image.reference] = image.digest }
        return images
    }

    /// Goes on to the run's end; false where it comes to none.
    mutating func run() -> Bool {
        var events = 0
        while !machine.isFinished, let (at, due) = queue.popFirst() {
            events += 1
            guard events <= PlanSimulation.maxEvents else { return false }
            now = max(now, at)
            switch due {
            case .arrive(let action): arrive(action)
            case .local(let action, let end): answerLocally(action, heldUntil: end)
            case .deliver(let action, let answer):
                guard deliver(action, answer) else { return false }
            case .world(let event): apply(event)
            }
        }
        for index in unsettled.values { steps[index].after = available(steps[index].group) }
        return machine.isFinished
    }

    private mutating func deliver(_ action: ActionID, _ answer: Answer) -> Bool {
        guard cancelled.remove(action) == nil else { return true }
        do throws(IllegalEvent) {
            perform(try machine.apply(RunEvent(at: now, kind: .answered(action: action, answer: answer))).actions)
            return true
        } catch {
            // The simulated platform and the machine do not fit together: nothing can be foretold.
            return false
        }
    }

    private mutating func perform(_ actions: [Action]) {
        for action in actions {
            switch action.effect {
            case .platform(let call):
                calls.append(call)
                queue.insert(.arrive(action), at: now + PlanSimulation.callTime)
            case .wake(let time): queue.insert(.deliver(action.id, .woke), at: max(now, time))
            case .cancel(let other): cancelled.insert(other)
            case .probe(let probe):
                queue.insert(
                    .local(action, heldUntil: now + probe.timeout), at: now + PlanSimulation.probeTime)
            case .git, .github, .image, .window, .ledger, .notify, .approvals, .elsewhere:
                queue.insert(.local(action, heldUntil: now), at: now + .milliseconds(1))
            }
        }
    }

    // MARK: - Others than the platform

    private mutating func answerLocally(_ action: Action, heldUntil end: Timestamp) {
        let answer: Answer
        switch action.effect {
        case .probe(let probe):
            guard !world.routableMachines(of: app).isEmpty else {
                // The proxy starts a machine for a visitor, and lets the visitor wait for it.
                apply(.visitorWaits(app: app))
                if now < end, world.isMachineComing(for: app) {
                    queue.insert(.local(action, heldUntil: end), at: now + PlanSimulation.proxyLookTime)
                    return
                }
                answer = .probe(result: ProbeResult(status: 503, elapsed: PlanSimulation.probeTime))
                break
            }
            answer = .probe(result: goodResult(of: probe))
        case .ledger(.record), .ledger(.mark), .notify, .approvals(.spend): answer = .done
        case .git, .github, .image, .window, .ledger(.history), .approvals(.find), .approvals(.check), .elsewhere:
            answer =
                answers[action.effect]
                ?? .failed(failure: Failure(.unavailable, "nobody was asked when this was planned"))
        case .platform, .wake, .cancel: return
        }
        queue.insert(.deliver(action.id, answer), at: now)
    }

    /// What a healthy app answers.
    private func goodResult(of probe: Probe) -> ProbeResult {
        let verify = machine.request.settings.verify
        let known = [verify.health, verify.fallback].compactMap { $0 } + verify.smoke
        guard let wanted = known.first(where: { $0.probe == probe })?.criteria else {
            return ProbeResult(status: 200, elapsed: PlanSimulation.probeTime)
        }
        return ProbeResult(
            status: wanted.statuses.first ?? 200, elapsed: PlanSimulation.probeTime,
            fields: wanted.body.compactMapValues(\.first))
    }

    // MARK: - The platform

    private mutating func arrive(_ action: Action) {
        guard case .platform(let call) = action.effect else { return }
        let request = PlatformTranslation.request(
            call, id: UInt64(action.id.value), app: machine.request.app, caller: WorldCaller(name: "airboss"),
            note: "a plan", digest: { ImageReference(parsing: $0)?.digest ?? images[$0] })
        let former = call.target.flatMap { world.machines[$0.rawValue] }
        let before = former.map { available($0.config.processGroup) }
        let outcome = world.handle(request, at: now)
        if let answer = outcome.response?.answer {
            if case .failure = answer {} else { note(call, former, before ?? 0, answer) }
            respond(answer, to: action)
        } else {
            waiting[request.id] = action
        }
        perform(outcome.effects)
    }

    private mutating func respond(_ answer: WorldAnswer, to action: Action) {
        guard case .platform(let call) = action.effect else { return }
        queue.insert(
            .deliver(action.id, PlatformTranslation.answer(answer, to: call, sentAt: now - PlanSimulation.callTime)),
            at: now + PlanSimulation.callTime)
    }

    private mutating func apply(_ event: WorldEvent) {
        perform(world.apply(event, at: now))
        for (id, index) in unsettled {
            guard let current = world.machines[id].map(FleetMachine.init(ofWorld:)), isAvailable(current) else {
                continue
            }
            steps[index].after = available(steps[index].group)
            unsettled[id] = nil
        }
    }

    private mutating func perform(_ effects: [WorldEffect]) {
        for effect in effects {
            switch effect {
            case .respond(let caller, let response):
                if let action = waiting.removeValue(forKey: caller) { respond(response.answer, to: action) }
            case .startGuest(let order):
                queue.insert(
                    .world(.guestStarted(machine: order.machine, boot: order.boot, imageDigest: nil)),
                    at: now + PlanSimulation.bootTime)
            case .stopGuest(let machine, let boot, _, _): exit(machine, boot, code: 0)
            case .killGuest(let machine), .signalGuest(let machine, _):
                exit(machine, world.machines[machine]?.boot ?? 0, code: 137)
            case .beginChecks(let machine, let boot, let definitions):
                for definition in definitions {
                    queue.insert(
                        .world(
                            .checkReported(
                                machine: machine, boot: boot, name: definition.name, standing: .passing, output: "")),
                        at: now + PlanSimulation.checkTime)
                }
            case .wakeAt(let time): queue.insert(.world(.woke), at: time)
            case .endChecks, .forgetMachine: break
            }
        }
    }

    private mutating func exit(_ machine: String, _ boot: Int, code: Int32) {
        queue.insert(
            .world(.guestExited(machine: machine, boot: boot, code: code, signal: nil, isOutOfMemory: false)),
            at: now + PlanSimulation.exitTime)
    }

    // MARK: - Steps

    private func isAvailable(_ machine: FleetMachine) -> Bool {
        FleetMember(machine).isAvailable(Observation(of: machine))
    }

    private func available(_ group: ProcessGroup) -> Int {
        (world.apps[app]?.machines ?? []).compactMap { world.machines[$0] }.filter { $0.state != .destroyed }
            .map(FleetMachine.init(ofWorld:))
            .count { $0.isManaged && $0.config.processGroup == group && isAvailable($0) }
    }

    /// Remembers a change that the platform took.
    private mutating func note(_ call: PlatformCall, _ former: WorldMachine?, _ before: Int, _ answer: WorldAnswer) {
        let action: PlanStep.Action
        var staysAtRest = false
        var subject = former
        var name = former?.id ?? ""
        switch call {
        case .update(_, let config, _, _, let skipLaunch):
            action = .update
            staysAtRest = skipLaunch
            configs.append((name, config.processGroup, former?.config, config))
        case .create(let wanted, _, let config, let skipLaunch, _):
            guard case .machine(let created, _) = answer else { return }
            action = .create
            staysAtRest = skipLaunch
            subject = created
            name = wanted
            names[wanted] = created.id
            configs.append((wanted, config.processGroup, nil, config))
        case .destroy: action = .destroy
        case .cordon: action = .cordon
        case .uncordon: action = .uncordon
        case .app, .machines, .observe, .machine, .acquireLease, .refreshLease, .releaseLease, .wait, .versions,
            .lease, .metadata, .setMetadata, .removeMetadata, .secretNames, .createRelease, .finishRelease, .releases:
            return
        }
        guard let subject else { return }
        let group = subject.config.processGroup
        let during = available(group)
        steps.append(
            PlanStep(
                action: action, machine: name, group: group, region: subject.region, staysAtRest: staysAtRest,
                floor: floor(of: group), before: action == .create ? during : before, during: during, after: during))
        if action != .destroy { unsettled[subject.id] = steps.count - 1 }
    }

    private func floor(of group: ProcessGroup) -> Int {
        let rollout = machine.rollback?.rollout ?? machine.deploy?.rollout
        return rollout?.floor(of: group) ?? 0
    }
}
