// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model

/// Calls, answers and effects in the words of a story.
extension Engine {
    private func name(_ machine: MachineID) -> String { world.machines[machine.rawValue]?.name ?? machine.rawValue }

    func describe(_ call: PlatformCall) -> String {
        switch call {
        case .app: "app"
        case .machines: "list machines"
        case .observe: "poll machines"
        case .machine(let id): "look at \(name(id))"
        case .acquireLease(let id, let seconds): "lease \(name(id)) for \(seconds) s"
        case .refreshLease(let id, _, _): "refresh lease of \(name(id))"
        case .releaseLease(let id, _): "release lease of \(name(id))"
        case .update(let id, let config, _, _, _):
            "update \(name(id)) (op \(operation(config)), image \(image(config)))"
        case .create(let name, _, let config, _, _):
            "create \(name) (op \(operation(config)), image \(image(config)))"
        case .wait(let id, let version, let state, let seconds):
            "wait for \(name(id)) \(version.rawValue.suffix(4)) to be \(state), \(seconds) s"
        case .destroy(let id, _): "destroy \(name(id))"
        case .versions(let id): "versions of \(name(id))"
        case .lease(let id): "who leases \(name(id))"
        case .metadata(let id, let prefix): "metadata \(prefix)… of \(name(id))"
        case .setMetadata(let id, let key, _): "set metadata \(key) of \(name(id))"
        case .removeMetadata(let id, let key): "remove metadata \(key) of \(name(id))"
        case .cordon(let id, _): "cordon \(name(id))"
        case .uncordon(let id, _): "uncordon \(name(id))"
        case .secretNames: "secret names"
        case .createRelease: "open a release"
        case .finishRelease(let id, let status): "close release \(number(ofRelease: id)) as \(status)"
        case .releases: "list releases"
        }
    }

    private func number(ofRelease id: String) -> String {
        let release = world.apps[scenario.app.rawValue]?.releases.first { $0.id == id }
        return release.map { "v\($0.version)" } ?? id
    }

    private func operation(_ config: MachineConfig) -> String {
        let operation = config.metadata[Bookkeeping.operation] ?? "none"
        return String(operation.drop { $0 == "0" || $0 == "1" || $0.isLetter })
    }

    private func image(_ config: MachineConfig) -> String {
        guard let digest = config.image.flatMap({ prepared.images[$0] }) else { return "unknown" }
        return digest == Scenario.newDigest ? "new" : digest == Scenario.oldDigest ? "old" : "stray"
    }

    func faultText(_ fault: CallFault?) -> String {
        switch fault {
        case nil: ""
        case .lostBefore: " … lost on its way"
        case .lostAfter: " … its answer lost"
        case .late(_, let arrives): " … arrives after \(arrives) ms"
        case .duplicated(let after, _): " … arrives again \(after) ms later"
        case .serverError: " … 503"
        case .serverErrorAfter: " … done, 502"
        case .malformed: " … done, answered with a page"
        case .slow(let milliseconds): " … \(milliseconds) ms slower"
        case .capacity: " … no room"
        case .rateLimited(let seconds): " … 429, again in \(seconds) s"
        case .stale(let milliseconds): " … \(milliseconds) ms old"
        }
    }

    func describe(_ effect: Effect) -> String {
        switch effect {
        case .platform(let call): describe(call)
        case .git(.commit): "read the commit"
        case .git(.isOnBranch): "is it on the branch"
        case .git(.isClean): "is the work tree clean"
        case .git(.changes): "list the changes"
        case .git(.migrations): "look for migrations"
        case .github(.checks): "ask for the CI checks"
        case .github(.pullRequests): "ask for the pull request"
        case .github(.reviews): "ask for reviews"
        case .github(.workflowRun): "ask for the workflow run"
        case .image(.resolve): "resolve the image"
        case .image(.build): "build the image"
        case .image(.assemble): "assemble the image"
        case .image(.copy): "copy the image"
        case .elsewhere(let app): "look at \(app)"
        case .image(.provePullable): "can the old image be pulled"
        case .probe: "probe"
        case .window: "ask the window"
        case .ledger(.history): "read the ledger"
        case .ledger(.record(let release)): "record release \(release.number)"
        case .ledger(.mark(let number, let state)): "mark release \(number) \(state.rawValue)"
        case .notify(let order): "\(order.isDeferred ? "keep" : "send") the notice by \(order.channel.rawValue)"
        case .approvals(.find): "look for approvals"
        case .approvals(.check): "look up who approved"
        case .approvals(.spend): "use the approvals up"
        case .wake: "wake up"
        case .cancel: "cancel"
        }
    }

    func describe(_ answer: Answer) -> String {
        switch answer {
        case .done: "done"
        case .failed(let failure): "failed (\(failure.code.rawValue)\(failure.isAmbiguous ? "?" : "")): \(failure.text)"
        case .app, .names, .platformReleases, .versions, .commit, .onBranch, .dirtyPaths, .changes, .checks,
            .pullRequests, .approvals, .elsewhere, .approvalCheck, .reviews, .workflowRun, .migrations, .woke:
            "answered"
        case .machines(let list):
            list.map { "\($0.name) \($0.state)\($0.isServing ? " healthy" : "")" }.joined(separator: ", ")
        case .observations(let list):
            list.map { "\(name($0.id)) \($0.state) \($0.checksPassing)/\($0.checksReported)" }.joined(separator: ", ")
        case .machine(let machine): "\(machine.name) \(machine.state), version \(machine.instance.rawValue.suffix(4))"
        case .created(let machine, let lease): "\(machine.name)\(lease == nil ? "" : ", leased")"
        case .lease(let lease): "until \(Words.clock(lease.expiresAt - Scenario.start))"
        case .leaseHolder(let holder): holder.map { "\($0.owner) (\($0.description))" } ?? "nobody"
        case .metadata(let values): "\(values.count) \(values.count == 1 ? "value" : "values")"
        case .waitTimedOut: "not within the time"
        case .platformRelease(_, let number): number.description
        case .image(let image): image.digest.short
        case .probe(let result): result.status.map(String.init) ?? result.failure
        case .window(let decision): decision.isOpen ? "open" : "closed"
        case .history(let history): history.current?.number.description ?? "nothing"
        }
    }
}
