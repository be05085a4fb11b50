// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension Effect {
    /// The effect's short name in tables and stories, without its payload.
    package var name: String {
        switch self {
        case .platform(let call): call.name
        case .git(.commit): "commit"
        case .git(.isOnBranch): "branch"
        case .git(.isClean): "clean"
        case .git(.changes): "changes"
        case .git(.migrations): "migrations"
        case .github(.checks): "checks"
        case .github(.pullRequests): "pullRequests"
        case .github(.reviews): "reviews"
        case .github(.workflowRun): "workflowRun"
        case .image(.resolve): "resolve"
        case .image(.build): "build"
        case .image(.assemble): "assemble"
        case .image(.copy): "copy"
        case .elsewhere: "elsewhere"
        case .image(.provePullable): "provePullable"
        case .probe: "probe"
        case .window: "window"
        case .ledger(.history): "history"
        case .ledger(.record): "record"
        case .ledger(.mark(_, let state)): "mark-" + state.rawValue
        case .notify(let order):
            (order.isQueued == true
                ? "queue-" : order.isOpening == true ? "open-" : order.isDeferred ? "keep-" : "notify-")
                + order.channel.rawValue
        case .approvals(.find): "approvals"
        case .approvals(.check): "approvalCheck"
        case .approvals(.spend): "spend"
        case .wake: "wake"
        case .cancel: "cancel"
        }
    }
}

extension PlatformCall {
    /// The call's short name in tables and stories, without its payload.
    package var name: String {
        switch self {
        case .app: "app"
        case .machines: "machines"
        case .observe: "observe"
        case .machine: "machine"
        case .acquireLease: "acquireLease"
        case .refreshLease: "refreshLease"
        case .releaseLease: "releaseLease"
        case .update: "update"
        case .create: "create"
        case .wait: "wait"
        case .cordon: "cordon"
        case .uncordon: "uncordon"
        case .secretNames: "secretNames"
        case .createRelease: "createRelease"
        case .finishRelease(_, let status): "finishRelease-" + status
        case .releases: "releases"
        case .destroy: "destroy"
        case .versions: "versions"
        case .lease: "lease"
        case .metadata: "metadata"
        case .setMetadata: "setMetadata"
        case .removeMetadata: "removeMetadata"
        }
    }

    /// The machine the call is about; the name where it is to be created; empty for calls about the app.
    package var machineName: String {
        switch self {
        case .machine(let id), .acquireLease(let id, _), .refreshLease(let id, _, _), .releaseLease(let id, _),
            .update(let id, _, _, _, _), .wait(let id, _, _, _), .cordon(let id, _), .uncordon(let id, _),
            .destroy(let id, _), .versions(let id), .lease(let id), .metadata(let id, _),
            .setMetadata(let id, _, _), .removeMetadata(let id, _):
            id.rawValue
        case .create(let name, _, _, _, _): name
        case .app, .machines, .observe, .secretNames, .createRelease, .finishRelease, .releases: ""
        }
    }
}

extension Answer {
    /// The kind of the answer, as tables name it.
    package var kind: String {
        switch self {
        case .done: "done"
        case .failed: "failed"
        case .app: "app"
        case .machines: "machines"
        case .observations: "observations"
        case .machine: "machine"
        case .created: "created"
        case .lease: "lease"
        case .waitTimedOut: "waitTimedOut"
        case .names: "names"
        case .platformRelease: "platformRelease"
        case .platformReleases: "platformReleases"
        case .versions: "versions"
        case .leaseHolder: "leaseHolder"
        case .metadata: "metadata"
        case .commit: "commit"
        case .onBranch: "onBranch"
        case .dirtyPaths: "dirtyPaths"
        case .changes: "changes"
        case .checks: "checks"
        case .pullRequests: "pullRequests"
        case .image: "image"
        case .probe: "probe"
        case .window: "window"
        case .history: "history"
        case .approvals: "approvals"
        case .elsewhere: "elsewhere"
        case .approvalCheck: "approvalCheck"
        case .reviews: "reviews"
        case .workflowRun: "workflowRun"
        case .migrations: "migrations"
        case .woke: "woke"
        }
    }

    /// One answer of each kind; a test holds that none is forgotten.
    package static let samples: [Answer] = [
        .done, .failed(failure: Failure(.unavailable, "the platform is down")), .app(organization: "acme"),
        .machines(list: Sample.fleet(3)), .observations(list: Sample.fleet(3).map(Observation.init(of:))),
        .machine(machine: Sample.machine(1)), .created(machine: Sample.machine(1), lease: nil),
        .lease(lease: Lease(nonce: "n1", expiresAt: Sample.start + .seconds(60))), .waitTimedOut,
        .names(list: ["DATABASE_URL"]), .platformRelease(id: "rel_72", number: ReleaseNumber(72)),
        .platformReleases(list: [
            PlatformReleaseEntry(id: "rel_71", number: ReleaseNumber(71), status: "complete", image: "")
        ]), .versions(list: []), .leaseHolder(holder: nil), .metadata(values: [:]), .commit(commit: Sample.commit("c")),
        .onBranch(isOn: true, reference: "refs/heads/main"), .dirtyPaths(paths: []),
        .changes(changes: ChangeSet(commits: [], paths: [], isTruncated: false, goesBack: false)),
        .checks(found: .allSuccessful(["Tests"], on: Sample.commit("c").id)), .pullRequests(list: []),
        .image(image: Sample.image(Sample.newDigest)),
        .probe(result: ProbeResult(status: 200, elapsed: .milliseconds(20))),
        .window(decision: WindowAnswer(isOpen: true, rule: "Mon-Fri 09:00-17:00", nextOpen: nil, closes: nil)),
        .history(history: ReleaseHistory(current: nil, verified: [], states: [])), .approvals(list: []),
        .elsewhere(standing: ElsewhereStanding(isKnown: false, release: nil, digest: nil, machines: [])), .woke,
        .approvalCheck(spentBy: [:], names: [:]), .reviews(list: []),
        .workflowRun(
            run: WorkflowRun(
                id: "77", commit: Sample.commit("c").id, status: "in_progress", startedAt: Sample.start,
                approvals: [])),
        .migrations(found: MigrationChanges(paths: [], commits: [])),
    ]

    /// The sample of a kind; traps where there is none.
    package static func sample(_ kind: String) -> Answer {
        guard let answer = samples.first(where: { $0.kind == kind }) else {
            preconditionFailure("no sample of the answer \(kind)")
        }
        return answer
    }
}
