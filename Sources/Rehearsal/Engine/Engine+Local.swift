// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model

/// Everything a run asks of others than the platform: its repository, the registry, the app, its ledger, and people.
extension Engine {
    func localLatency(of effect: Effect) -> Int {
        switch effect {
        case .ledger, .git, .window, .approvals, .elsewhere: 1
        case .image: 40
        case .github: 60
        case .probe: 25
        case .notify: 30
        case .platform, .wake, .cancel: 0
        }
    }

    mutating func doLocally(_ action: Action, _ index: Int) {
        guard processes[index].isRunning else {
            // A process that sleeps or is gone does nothing; one that goes on does it then.
            if processes[index].isAlive, case .asleep(let until) = processes[index].life {
                schedule(.local(process: index, action: action), at: until)
            }
            return
        }
        if case .probe(let request) = action.effect, isHeldByProxy(request, action.id, index) {
            schedule(.local(process: index, action: action), at: now + .milliseconds(Engine.proxyLookMilliseconds))
            return
        }
        let answer = answer(to: action.effect, index)
        if isWorthTelling(action.effect) {
            tell(.call, index) { "\($0.describe(action.effect)): \($0.describe(answer))" }
        }
        if processes[index].killsAtAnswer == action.id {
            kill(index, KillPoint.afterApplied.rawValue + ": " + describe(action.effect))
            return
        }
        deliver(.answered(action: action.id, answer: answer), to: index)
    }

    private func isWorthTelling(_ effect: Effect) -> Bool {
        switch effect {
        case .ledger, .notify, .probe, .image, .github: true
        case .platform, .git, .window, .approvals, .elsewhere, .wake, .cancel: false
        }
    }

    private mutating func answer(to effect: Effect, _ index: Int) -> Answer {
        let store = processes[index].store
        switch effect {
        case .git(.commit): return .commit(commit: prepared.commit)
        case .git(.isOnBranch): return .onBranch(isOn: true, reference: "refs/heads/main")
        case .git(.isClean): return .dirtyPaths(paths: [])
        case .git(.changes):
            return .changes(changes: ChangeSet(commits: [], paths: [], isTruncated: false, goesBack: false))
        case .github(.checks(let commit, let names)): return .checks(found: .allSuccessful(names, on: commit))
        case .git(.migrations): return .migrations(found: MigrationChanges(paths: [], commits: []))
        case .github(.pullRequests): return .pullRequests(list: [])
        case .github(.reviews): return .reviews(list: [])
        case .github(.workflowRun(let id)):
            return .workflowRun(
                run: WorkflowRun(id: id, commit: nil, status: "in_progress", startedAt: nil, approvals: []))
        case .image(.resolve), .image(.build), .image(.assemble), .image(.copy):
            return image(scenario.reference(Scenario.newDigest))
        case .image(.provePullable(let reference)): return image(reference)
        case .probe:
            let result = probe()
            if result.status != 200, checker.isFleetChanged, troubleAt == nil { troubleAt = now }
            return .probe(result: result)
        case .window: return .window(decision: WindowAnswer(isOpen: true, rule: "always open"))
        case .ledger(.history): return .history(history: stores[store].history)
        case .ledger(.record(let release)):
            guard !processes[index].isFenced else { return fencedOut }
            return stores[store].record(release).map { .failed(failure: $0) } ?? .done
        case .ledger(.mark(let number, let state)):
            guard !processes[index].isFenced else { return fencedOut }
            let failure = stores[store].mark(number, state, at: now)
            let digest = stores[store].records.first { $0.number == number }?.digest
            checker.marked(number, state, digest, processes[index].who)
            return failure.map { .failed(failure: $0) } ?? .done
        case .notify: return .done
        // People are not rehearsed: no scenario asks for approvals.
        case .approvals(.find): return .approvals(list: [])
        case .approvals(.check): return .approvalCheck(spentBy: [:], names: [:])
        case .approvals(.spend): return .done
        // No scenario looks at other apps.
        case .elsewhere: return .failed(failure: Failure(.unavailable, "there is no other app"))
        case .platform, .wake, .cancel: return .done
        }
    }

    private var fencedOut: Answer {
        .failed(failure: Failure(.conflict, "another process goes on with this run"))
    }

    private func image(_ reference: String) -> Answer {
        guard let digest = pullable(reference) else {
            return .failed(failure: Failure(.unavailable, "the registry does not answer"))
        }
        return .image(image: BuiltImage(reference: reference, digest: digest))
    }

    /// Whether the proxy keeps a visitor waiting, because a machine that visitors start is on its way.
    private mutating func isHeldByProxy(_ probe: Probe, _ action: ActionID, _ index: Int) -> Bool {
        let app = scenario.app.rawValue
        guard world.routableMachines(of: app).isEmpty else { return false }
        apply(.visitorWaits(app: app))
        guard world.isMachineComing(for: app) else { return false }
        let key = HeldProbe(process: index, action: action)
        let end = heldProbes[key] ?? now + probe.timeout
        heldProbes[key] = end
        return now < end
    }

    /// The app's own answer, by one of the machines that take traffic.
    private mutating func probe() -> ProbeResult {
        let routable = world.routableMachines(of: scenario.app.rawValue)
        guard !routable.isEmpty else {
            return ProbeResult(status: 503, elapsed: .milliseconds(10))
        }
        let time = now.milliseconds
        if !badProbes.isEmpty, badProbes.contains(where: { $0.contains(time) }) {
            note(.flakyProbes) { _ in "a probe" }
            return ProbeResult(status: 503, elapsed: .milliseconds(25))
        }
        let chosen = routable[SeededDraws.number(0...(routable.count - 1), seed: plan.seed, 9_000, events)]
        if chosen.imageDigest == Scenario.newDigest.rawValue, case .failsProbes = newImage.health {
            return ProbeResult(status: 503, elapsed: .milliseconds(25))
        }
        if chosen.imageDigest == Scenario.oldDigest.rawValue, case .failsProbes = scenario.oldImage.health {
            return ProbeResult(status: 503, elapsed: .milliseconds(25))
        }
        return ProbeResult(status: 200, elapsed: .milliseconds(25))
    }
}
