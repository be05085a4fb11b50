// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import Rollouts
internal import Stages

/// What a saboteur remembers.
struct SabotageState: Sendable {
    /// Actions of its own have numbers from here on; their answers are nobody's.
    static let firstAction = 1_000_000

    /// What was asked for and is not done; it is answered all the same.
    var swallowed: Set<ActionID> = []
    var actions = SabotageState.firstAction
    var changes: [ActionID: Action] = [:]
    var leases: [MachineID: LeaseNonce] = [:]
    var hasActed = false
    /// Writings of a ticket that nobody writes.
    var beats = 0
}

extension Saboteur {
    func change(_ request: inout RunRequest) {
        guard self == .ignoresServingFloor else { return }
        request.settings.servingFloor = 0
        request.settings.maxUnavailable = .count(machines: 3)
    }

    /// What a process that goes on reads in place of its journal.
    func changeReplay(_ events: inout [RunEvent], _ store: RehearsalStore, _ run: RunID) {
        switch self {
        case .losesLastEvent: events = events.dropLast()
        case .inheritsFinishedSteps:
            let other = store.journals.keys.sorted().first { $0 != run && store.ends[$0] != nil }
            if let other { events = store.journals[other] ?? [] }
        default: break
        }
    }

    /// Changes what a process is told; with actions in the place of being told, where it is not.
    func change(
        _ kind: inout RunEvent.Kind, _ call: PlatformCall?, _ who: Who, _ state: inout SabotageState, _ world: World
    ) -> [Action]? {
        guard case .answered(let action, let answer) = kind else { return nil }
        if action.value >= SabotageState.firstAction { return [] }
        if state.swallowed.contains(action) { kind = .answered(action: action, answer: .done) }
        if case .lease(let lease) = answer, let machine = call?.target { state.leases[machine] = lease.nonce }
        switch (self, answer) {
        case (.swallowsAnswer, .commit): return []
        case (.repeatsCreateBlindly, .created), (.repeatsUpdateBlindly, .machine),
            (.repeatsCreateUnderNewName, .created):
            // As if the answer had been lost.
            guard !state.hasActed, let change = state.changes[action] else { return nil }
            state.hasActed = true
            return [again(change)]
        case (.takesEmptyListForFirstDeploy, .machines):
            kind = .answered(action: action, answer: .machines(list: []))
        case (.takesEmptyListForFirstDeploy, .platformReleases):
            kind = .answered(action: action, answer: .platformReleases(list: []))
        case (.takesEmptyListForFirstDeploy, .history):
            let nothing = ReleaseHistory(current: nil, verified: [], states: [])
            kind = .answered(action: action, answer: .history(history: nothing))
        case (.goesBackToUnverified, .history(var history)):
            history.current?.state = .failed
            kind = .answered(action: action, answer: .history(history: history))
        case (.changesUnmanaged, .machines(var list)):
            for index in list.indices { list[index].config.metadata["fly_platform_version"] = "v2" }
            kind = .answered(action: action, answer: .machines(list: list))
        case (.claimsSuccess, .machines(let list)):
            kind = .answered(action: action, answer: .machines(list: list.dropLast()))
        case (.garblesLine, .metadata) where who.name == "third run":
            kind = .answered(action: action, answer: .metadata(values: [:]))
        case (.garblesLine, .metadata(var values)) where who.name == "second run":
            state.beats += 1
            values[Bookkeeping.ticketPrefix + "00NOBODY"] = "1 \(state.beats) 100 nobody"
            kind = .answered(action: action, answer: .metadata(values: values))
        case (.ignoresHold, .failed(let failure)) where failure.code == .leaseHeld && who.ordinal == 1:
            guard let machine = call?.target, let held = world.machines[machine.rawValue]?.lease else { return nil }
            let lease = Lease(nonce: LeaseNonce(held.nonce), expiresAt: held.expiresAt)
            kind = .answered(action: action, answer: .lease(lease: lease))
        default: break
        }
        return nil
    }

    /// Changes what a process is about to do.
    func change(_ actions: inout [Action], _ state: inout SabotageState, at now: Timestamp) {
        var result: [Action] = []
        for var action in actions {
            if case .platform(let call) = action.effect, call.changesFleet { state.changes[action.id] = action }
            let added = change(&action, &state, at: now)
            result += added
            result.append(action)
        }
        actions = result
    }

    /// What is done before the action.
    private func change(_ action: inout Action, _ state: inout SabotageState, at now: Timestamp) -> [Action] {
        func swallow() {
            state.swallowed.insert(action.id)
            action.effect = .wake(at: now)
        }
        func own(_ call: PlatformCall) -> Action {
            state.actions += 1
            return Action(id: ActionID(state.actions), effect: .platform(call: call))
        }
        switch (self, action.effect) {
        case (.reapsHealthyMachines, .platform(.releaseLease(let machine, let nonce))):
            return [own(.destroy(machine: machine, nonce: nonce))]
        case (.deletesBeforeTrafficMoved, .platform(.wait(let machine, _, _, _))):
            guard !state.hasActed, let other = state.leases.keys.sorted().first(where: { $0 != machine }),
                let nonce = state.leases[other]
            else { return [] }
            state.hasActed = true
            return [own(.destroy(machine: other, nonce: nonce))]
        case (.releasesOthersLease, .platform(.releaseLease(let machine, _))):
            action.effect = .platform(call: .releaseLease(machine: machine, nonce: "somebody-elses"))
        case (.changesWithoutLease, .platform(.update(let machine, let config, let version, _, let skipsLaunch))):
            action.effect = .platform(
                call: .update(
                    machine: machine, config: config, currentVersion: version, nonce: "", skipLaunch: skipsLaunch))
        case (.waitsWithoutVersion, .platform(.wait(let machine, _, let target, let seconds))):
            action.effect = .platform(call: .wait(machine: machine, version: "", state: target, seconds: seconds))
        case (.waitsForOldVersion, .platform(.wait(let machine, _, let target, let seconds))):
            guard let version = oldVersion(of: machine, state) else { return [] }
            action.effect = .platform(
                call: .wait(machine: machine, version: version, state: target, seconds: seconds))
        case (.tellsBeforeRecording, .ledger(.mark)), (.tellsNobody, .notify),
            (.keepsLeases, .platform(.releaseLease)), (.leavesReleaseOpen, .platform(.finishRelease)):
            swallow()
        default: break
        }
        return []
    }

    private func again(_ change: Action) -> Action {
        guard self == .repeatsCreateUnderNewName,
            case .platform(.create(let name, let region, let config, let skipsLaunch, let seconds)) = change.effect
        else { return change }
        return Action(
            id: change.id,
            effect: .platform(
                call: .create(
                    name: name + "-again", region: region, config: config, skipLaunch: skipsLaunch,
                    leaseSeconds: seconds)))
    }

    private func oldVersion(of machine: MachineID, _ state: SabotageState) -> InstanceID? {
        for action in state.changes.values {
            if case .platform(.update(machine, _, let version, _, _)) = action.effect { return version }
        }
        return nil
    }
}
