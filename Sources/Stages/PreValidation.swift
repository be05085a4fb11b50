// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import PipelineFiles
internal import Rollouts
internal import Verification

/// The first stage: asks every gate at once and answers with all refusals together.
///
/// Later questions follow from earlier answers (the branch from the commit, the way back from the ledger).
package struct PreValidation: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `asking`, `stopped`.
        case waiting
        /// Next: `passed`, `refused`, `stopped`.
        case asking
        case passed
        case refused(refusal: Refusal)
        case stopped
    }

    /// What was learned on the way, for the stages that follow.
    package struct Facts: Hashable, Codable, Sendable {
        package var commit: Commit?
        package var changes: ChangeSet?
        package var fleet: [FleetMachine] = []
        /// Whether ``fleet`` is what the platform said, and not only what nobody said.
        package var hasSeenFleet = false
        package var history: ReleaseHistory?
        /// The release a rollback restores; nil where there is none to go back to.
        package var wayBack: ReleaseRecord?
        package var platformReleases: [PlatformReleaseEntry] = []
        /// Changed paths that hold migrations not declared reversible.
        package var migrations: [String] = []
        /// The approvals that were counted.
        package var approvals: [CountedApproval] = []
        package var warnings: [String] = []
        /// What serves by the machines' own marks; set where a rollback's way back was read from the platform, for the
        /// ledger names none or does not know what serves.
        package var servedByMarks: ReleaseNumber?
    }

    enum Question: Hashable, Codable, Sendable {
        case app, machines, releases, secrets, history, commit, branch, clean, changes, pullable
        case healthURL
        case baseline
        case spending(approvals: [FoundApproval])
        case window
        case migrations
        case versions(machine: MachineID)
        /// Who is at work on the fleet?
        case holder(machine: MachineID)
    }

    package private(set) var state: State = .waiting
    package internal(set) var facts = Facts()
    package internal(set) var gates: [GateName: GateResult] = [:]
    var routes: [ActionID: Question] = [:]
    /// CI's word on the commit; nil where the pipeline asks for none, and until the commit is known.
    var checks: ChecksGate?
    /// What must be well elsewhere, and where a promoted digest comes from.
    var elsewhere: [ElsewhereGate] = []
    /// Who has approved the commit; nil where nobody has to, and until the commit is known.
    package internal(set) var search: ApprovalSearch?
    /// The commit that approvals were waited for: what is deployed is that, wherever the revision points by now.
    var pinned: CommitID?
    var hasAskedWindow = false
    /// When the window opens that refuses the run.
    var opening: WindowOpening?
    /// The configs that machines have had, for a rollback whose ledger knows no way back.
    var versions: [MachineID: [MachineVersionEntry]] = [:]
    var hasAskedPast = false
    /// What changed of migrations since a rollback's target, as far as it is known.
    var undone: [MigrationChanges] = []
    /// Refusals that are due to what the fleet looks like, while somebody may be at work on it.
    var withheld: [GateName: GateResult] = [:]
    /// Who is at work on a fleet that would be refused as it is now, for people: it is judged when this run has it.
    /// Nil where there is no such fleet, or nobody.
    package internal(set) var contention: String?
    /// Who was at work when it asked before.
    var formerHolder: String?
    /// Whether it asks once more, for a run that has the app or its turn by now.
    var isSecondTime = false
    /// Whether nobody else can be at work on the fleet.
    var isHolding = false
    /// The release that a rollback chose when it asked first; it goes to no other for having waited.
    var chosenTarget: ReleaseNumber?
    /// Approvals that are used up by this run.
    var spent: Set<String> = []
    let request: RunRequest

    package init(_ request: RunRequest) { self.request = request }

    package func awaits(_ action: ActionID) -> Bool {
        routes[action] != nil || checks?.awaits(action) == true || search?.awaits(action) == true
            || elsewhere.contains { $0.awaits(action) }
    }

    /// Whether it waits for others to be done with their part: CI, or people.
    package var isWaitingForOthers: Bool {
        guard case .asking = state else { return false }
        return checks?.state == .pausing || search?.state == .pausing
    }

    /// What it waits for, for people; empty where it only asks.
    package var waitingFor: String {
        guard case .asking = state else { return "" }
        return search?.waitingFor ?? ""
    }

    /// Overrides that took effect, with what each gate would have said.
    package var overrides: [Override] {
        gates.values.filter { $0.verdict == .overridden }.sorted { $0.gate.rawValue < $1.gate.rawValue }.map {
            Override(
                gate: $0.gate.rawValue, who: request.overrides.approvedBy, reason: request.reason,
                wouldHaveSaid: $0.detail)
        }
    }

    package mutating func begin(_ agenda: inout Agenda) {
        state = .asking
        ask(.app, .platform(call: .app), &agenda)
        ask(.history, .ledger(entry: .history), &agenda)
        switch request.kind {
        case .rollback: break  // a rollback asks nobody's permission, only whether it can work
        case .deploy, .promote, .recover:
            let revision = pinned?.rawValue ?? request.revision
            ask(.commit, .git(query: .commit(revision: revision)), &agenda)
            // What is promoted was built from another checkout.
            if request.settings.requiresCleanWorktree, request.kind != .promote, gates[.cleanWorktree] == nil {
                ask(.clean, .git(query: .isClean), &agenda)
            }
            ask(.releases, .platform(call: .releases(limit: Confirmation.maxReleases)), &agenda)
            if !neededSecrets.isEmpty { ask(.secrets, .platform(call: .secretNames), &agenda) }
            if let health = request.settings.verify.health { ask(.healthURL, .probe(request: health.probe), &agenda) }
            elsewhere = ElsewhereGate.gates(of: request)
            for index in elsewhere.indices { elsewhere[index].begin(&agenda) }
        }
        ask(.machines, .platform(call: .machines), &agenda)
    }

    package mutating func stop() {
        switch state {
        case .waiting, .asking:
            routes = [:]
            checks?.stop()
            search?.stop()
            elsewhere = []
            state = .stopped
        case .passed, .refused, .stopped: break
        }
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        if case .asking = state, checks?.awaits(action) == true {
            try checks?.handle(action, answer, &agenda)
            settle(&agenda)
            return
        }
        if case .asking = state, let index = elsewhere.firstIndex(where: { $0.awaits(action) }) {
            try elsewhere[index].handle(action, answer)
            if let result = elsewhere[index].result {
                set(result.gate, result.verdict, result.detail, hint: result.hint, &agenda)
            }
            settle(&agenda)
            return
        }
        if case .asking = state, search?.awaits(action) == true {
            try search?.handle(action, answer, &agenda)
            settle(&agenda)
            return
        }
        guard case .asking = state, let question = routes.removeValue(forKey: action) else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        switch (question, answer) {
        case (.app, .app): heard(.token, .app, &agenda)
        case (.app, .failed(let failure)): appFailed(failure, &agenda)
        case (.machines, .machines(let list)):
            facts.fleet = list
            facts.hasSeenFleet = true
        case (.releases, .platformReleases(let list)): facts.platformReleases = list
        case (.versions(let machine), .versions(let list)): versions[machine] = list
        case (.secrets, .names(let names)): judgeSecrets(names, &agenda)
        case (.history, .history(let history)):
            facts.history = history
            judgeHistory(history, &agenda)
        case (.commit, .commit(let commit)):
            facts.commit = commit
            set(.commit, .passed, "\(commit.id.short) \(commit.subject)", &agenda)
            if let branch = request.settings.branch {
                ask(.branch, .git(query: .isOnBranch(commit: commit.id, branch: branch)), &agenda)
            }
            askForChanges(&agenda)
            askForChecks(of: commit, &agenda)
            searchForApprovals(of: commit, &agenda)
        case (.spending(let approvals), .done):
            spent.formUnion(approvals.compactMap { $0.approval?.nonce })
            approved(approvals, &agenda)
        case (.holder(let machine), .leaseHolder(let holder)): learn(holder, of: machine, &agenda)
        // Who it is can't be read: the fleet is judged as it looks.
        case (.holder, .failed): tellWithheld(&agenda)
        case (.window, _): try judgeWindow(answer, &agenda)
        case (.branch, .onBranch(let isOn, let reference)):
            let branch = request.settings.branch ?? ""
            if isOn {
                set(.branch, .passed, "on \(reference)", &agenda)
            } else {
                set(
                    .branch, .refused, "the commit is not on \(branch) (read as \(reference))",
                    hint: "merge it to \(branch) first, or deploy a commit that is there with --commit", &agenda)
            }
        case (.clean, .dirtyPaths(let paths)):
            if paths.isEmpty {
                set(.cleanWorktree, .passed, "nothing uncommitted", &agenda)
            } else {
                let shown = paths.prefix(5).joined(separator: ", ") + (paths.count > 5 ? ", …" : "")
                set(
                    .cleanWorktree, .refused, "the work tree differs from the commit: \(shown)",
                    hint: "commit or stash the changes; only what is committed is deployed", &agenda)
            }
        case (.changes, .changes(let changes)):
            facts.changes = changes
        case (.migrations, .migrations(let found)): judgeMigrations(found, &agenda)
        case (.healthURL, .probe(let result)): judgeHealthURL(result, &agenda)
        case (.pullable, .image):
            set(.wayBack, .passed, "\(facts.wayBack?.number.description ?? "the way back") can be pulled", &agenda)
        case (.pullable, .failed(let failure)):
            facts.wayBack = nil
            let verdict: GateResult.Verdict = failure.code == .unavailable ? .unanswered : .refused
            set(
                .wayBack, verdict, "the release to go back to can't be pulled: \(failure.text)",
                hint: "without it a failed deploy could not be undone; --skip way-back goes on all the same", &agenda)
        case (.baseline, .probe(let result)): judgeBaseline(result, &agenda)
        case (_, .failed(let failure)): unanswered(question, failure, &agenda)
        default: throw IllegalEvent(state: "asking \(question)", event: "\(answer)")
        }
        if case .machines = question { judgeFleetIfKnown(&agenda) }
        if case .releases = question { judgeFleetIfKnown(&agenda) }
        if case .history = question { judgeFleetIfKnown(&agenda) }
        if case .versions = question { judgeFleetIfKnown(&agenda) }
        settle(&agenda)
    }

    // MARK: - Judging

    private mutating func heard(_ first: GateName, _ second: GateName, _ agenda: inout Agenda) {
        set(first, .passed, "accepted", &agenda)
        set(second, .passed, request.app.rawValue, &agenda)
    }

    private mutating func appFailed(_ failure: Failure, _ agenda: inout Agenda) {
        switch failure.code {
        case .unauthorized: set(.token, .refused, failure.text, hint: failure.hint, &agenda)
        case .forbidden: set(.token, .refused, failure.text, hint: failure.hint, &agenda)
        case .notFound:
            set(.token, .passed, "accepted", &agenda)
            set(
                .app, .refused, "there is no app “\(request.app)”: \(failure.text)",
                hint: "create it with: fly apps create \(request.app)", &agenda)
        case .leaseHeld, .conflict, .capacity, .rateLimited, .invalid, .unavailable, .refused, .timedOut, .cancelled:
            set(.app, .unanswered, failure.text, hint: failure.hint, &agenda)
        }
    }

    /// Secrets that the pipeline names, and those that fly.toml makes files of: a machine whose file has no secret does
    /// not start.
    private var neededSecrets: [String] {
        let named = request.settings.requiredSecrets
        return named + request.settings.flyToml.fileSecrets.map(\.name).filter { !named.contains($0) }
    }

    private mutating func judgeSecrets(_ names: [String], _ agenda: inout Agenda) {
        let needed = neededSecrets
        let missing = needed.filter { !names.contains($0) }
        if missing.isEmpty {
            set(.secrets, .passed, "all \(needed.count) are set", &agenda)
        } else {
            let files = Dictionary(
                request.settings.flyToml.fileSecrets.map { ($0.name, $0.path) }, uniquingKeysWith: { first, _ in first }
            )
            let told = missing.map { name in files[name].map { "\(name) (fly.toml makes \($0) of it)" } ?? name }
            let assignments = missing.map { "\($0)=…" }.joined(separator: " ")
            set(
                .secrets, .refused, "not set on the app: \(told.joined(separator: ", "))",
                hint: "set them with: fly secrets set --stage -a \(request.app) \(assignments)", &agenda)
        }
    }

    /// What the app answers now says nothing of the release to come; a host without an address never will.
    private mutating func judgeHealthURL(_ result: ProbeResult, _ agenda: inout Agenda) {
        if result.isUnresolvable {
            set(
                .healthURL, .refused, "the release could never be verified: \(result.failure)",
                hint: "correct verify.url, or give the app an address: fly ips list -a \(request.app)", &agenda)
        } else {
            set(.healthURL, .passed, "its host has an address", &agenda)
        }
    }

    private mutating func judgeHistory(_ history: ReleaseHistory, _ agenda: inout Agenda) {
        askForChanges(&agenda)
        switch request.kind {
        case .rollback: break  // the target hangs on what the machines run as well
        case .deploy, .promote, .recover:
            // Whoever had the app before may have released since: the fleet tells.
            guard let current = history.current, !isHolding else { return }
            keepWayBack(to: current, &agenda)
        }
    }

    private mutating func askForChecks(of commit: Commit, _ agenda: inout Agenda) {
        guard let policy = request.settings.checks else { return }
        let isSkipped = request.overrides.skippedGates.contains(GateName.checks.rawValue)
        var gate = ChecksGate(policy, of: commit, pipeline: request.pipeline, isSkipped: isSkipped)
        gate.begin(&agenda)
        checks = gate
    }

    /// Whether the gate of CI checks has said its last word. Nobody waits for checks where the run is refused anyway,
    /// or where it has the app, which others want.
    private mutating func haveChecksSettled(_ agenda: inout Agenda) -> Bool {
        guard checks != nil, gates[.checks] == nil else { return true }
        if isHolding || routes.isEmpty && areElsewhereSettled && isRefusedAnyway { checks?.giveUp(&agenda) }
        guard case .settled(let result) = checks?.state else { return false }
        set(.checks, result.verdict, result.detail, hint: result.hint, &agenda)
        return true
    }

    private mutating func askForChanges(_ agenda: inout Agenda) {
        guard let target = facts.commit?.id, let deployed = facts.history?.current?.commit, target != deployed else {
            return
        }
        ask(.changes, .git(query: .changes(from: deployed, to: target)), &agenda)
        let paths = request.settings.migrationPaths
        if !paths.isEmpty {
            ask(.migrations, .git(query: .migrations(from: deployed, to: target, paths: paths)), &agenda)
        }
    }

    /// The gate a question belongs to, for a question that got no answer.
    private mutating func unanswered(_ question: Question, _ failure: Failure, _ agenda: inout Agenda) {
        let refusal: GateResult.Verdict = failure.code == .refused || failure.code == .invalid ? .refused : .unanswered
        switch question {
        case .app: appFailed(failure, &agenda)
        case .machines, .releases: set(.fleet, .unanswered, failure.text, hint: failure.hint, &agenda)
        case .versions(let machine):
            warn("the former configs of \(machine) could not be read: \(failure.text)", &agenda)
        case .secrets: set(.secrets, .unanswered, failure.text, hint: failure.hint, &agenda)
        case .history: set(.wayBack, .unanswered, failure.text, hint: failure.hint, &agenda)
        case .commit: set(.commit, .refused, failure.text, hint: failure.hint, &agenda)
        case .branch: set(.branch, refusal, failure.text, hint: failure.hint, &agenda)
        case .clean: set(.cleanWorktree, refusal, failure.text, hint: failure.hint, &agenda)
        case .changes:
            // Only what people are told hangs on it.
            warn("the commits between the releases could not be read: \(failure.text)", &agenda)
        case .migrations where request.kind == .rollback:
            let hints = [failure.hint, PreValidation.migrationOverride].filter { !$0.isEmpty }
            set(
                .migrations, .unanswered, "migrations since the release could not be looked for: \(failure.text)",
                hint: hints.joined(separator: "; or "), &agenda)
        case .migrations:
            // What could not be seen counts as changed.
            leaveToPerson(
                [], because: "migrations between the releases could not be looked for (\(failure.text))", &agenda)
        case .healthURL: set(.healthURL, .unanswered, failure.text, hint: failure.hint, &agenda)
        case .window:
            set(
                .window, .refused, "the deployment window could not be read: \(failure.text)", hint: failure.hint,
                &agenda)
        case .spending: set(.approvals, refusal, failure.text, hint: failure.hint, &agenda)
        case .holder: tellWithheld(&agenda)
        case .pullable, .baseline:
            facts.wayBack = nil
            set(.wayBack, .unanswered, failure.text, hint: failure.hint, &agenda)
        }
    }

    mutating func set(
        _ gate: GateName, _ verdict: GateResult.Verdict, _ detail: String, hint: String = "", _ agenda: inout Agenda
    ) {
        var result = GateResult(gate, verdict, detail, hint: hint)
        if verdict != .passed, gate.canBeSkipped, request.overrides.skippedGates.contains(gate.rawValue) {
            result.verdict = .overridden
        }
        gates[gate] = result
        agenda.note(.gate(name: gate.rawValue, state: result.stageState, detail: detail))
    }

    mutating func warn(_ text: String, _ agenda: inout Agenda) {
        facts.warnings.append(text)
        agenda.note(.warning(text: text))
    }

    mutating func ask(_ question: Question, _ effect: Effect, _ agenda: inout Agenda) {
        routes[agenda.perform(effect)] = question
    }

    /// Whether a gate has refused the run.
    var isRefusedAnyway: Bool {
        gates.values.contains { $0.verdict == .refused || $0.verdict == .unanswered }
    }

    var areElsewhereSettled: Bool { elsewhere.allSatisfy { $0.result != nil } }

    private mutating func settle(_ agenda: inout Agenda) {
        var (known, isSettled) = (-1, false)
        // Each of the two gives up once the other has refused.
        while known != gates.count {
            known = gates.count
            let isSearched = haveApprovalsSettled(&agenda)
            isSettled = haveChecksSettled(&agenda) && isSearched
        }
        guard isSettled, routes.isEmpty, areElsewhereSettled else { return }
        // A fleet that was skipped unseen leaves the way back unjudged; that is not a yes.
        if gates[.wayBack] == nil, withheld[.wayBack] == nil, gates[.fleet]?.verdict == .overridden {
            set(
                .wayBack, .unanswered, "no verified release is known, and the fleet could not be judged",
                hint: "--skip way-back deploys without a way back", &agenda)
        }
        let bad = gates.values.filter { $0.verdict == .refused || $0.verdict == .unanswered }.sorted {
            $0.gate.rawValue < $1.gate.rawValue
        }
        guard !bad.isEmpty else {
            state = .passed
            return
        }
        // The platform that could not be asked comes first: all else may follow from it.
        let isPlatformDown = gates[.app]?.verdict == .unanswered
        let outcome: RunOutcome = isPlatformDown ? .unavailable : .refused
        let shown = isPlatformDown ? bad.filter { $0.gate == .app } : bad
        state = .refused(
            refusal: Refusal(
                outcome, shown.map { "\($0.gate.rawValue): \($0.detail)" }.joined(separator: "; "),
                hints: shown.map(\.hint).filter { !$0.isEmpty }, approval: approvalWanted(among: shown),
                opening: shown.contains { $0.gate == .window } ? opening : nil))
    }

    /// What is asked of people, where approvals are missing; nil where they are not, or could not be looked up.
    private func approvalWanted(among bad: [GateResult]) -> ApprovalWanted? {
        guard let rule = request.settings.approvals,
            let gate = bad.first(where: { $0.gate == .approvals && $0.verdict == .refused })
        else { return nil }
        return ApprovalWanted(
            needed: rule.needed, found: gate.detail, how: gate.hint.isEmpty ? [] : [gate.hint],
            isAllThatLacks: bad.count == 1)
    }
}
