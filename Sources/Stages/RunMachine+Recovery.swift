// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// How a run takes its app, goes on after its process died or slept, and leaves.
///
/// The policy: what had changed nothing ends; a deploy that was not verified goes back to the release that served, and
/// where there is none it goes on; a rollback goes on; a verified release is finished.
extension RunMachine {
    /// Whether the run may change machines now, and so must hold the app.
    var needsClaim: Bool {
        switch state {
        case .deploy: deploy?.isWithdrawing != true
        case .confirming, .verify, .rollback, .reaping: true
        case .waiting, .preValidation, .diagnosing, .window, .build, .claiming, .settling, .leaving, .notify, .finished:
            false
        }
    }

    /// The stage that people see working.
    var runningStage: StageName { reports.last { $0.state == .running }?.stage ?? .preValidation }

    // MARK: - Taking the app

    /// - Parameter fleet: where the run's turn is to be waited for; empty for a run that goes on.
    mutating func take(
        _ machines: [MachineID], in fleet: [FleetMachine] = [], for intent: Intent, _ agenda: inout Agenda
    ) {
        let judgesAgain = request.settings.judgesAgain == true
        if judgesAgain, claim.isGone(at: agenda.now) {
            takeOver(machines, others: [:], for: intent, &agenda)
            return
        }
        self.intent = intent
        state = .claiming
        let minds = request.settings.waitsInLine == true
        let since = queuedAt ?? agenda.now
        if judgesAgain, !fleet.isEmpty { queuedAt = since }
        let turn = AppClaim.Turn(
            request.run, by: request.actor, in: fleet, since: judgesAgain ? since : nil, looksAgain: judgesAgain)
        claim.take(machines, wait: request.settings.waitForApp, turn: minds ? turn : nil, &agenda)
    }

    /// What was asked before the app was this run's may be of the past by now: somebody else had it, or it was long.
    private func mustJudgeAgain(for intent: Intent) -> Bool {
        guard request.settings.judgesAgain == true, deploy == nil, rollback == nil else { return false }
        switch intent {
        case .judge: return true
        case .deploy: return claim.hasWaited || preValidation.contention != nil
        case .rollback: return request.kind == .rollback && (claim.hasWaited || preValidation.contention != nil)
        case .undo, .diagnose, .reap: return false
        }
    }

    /// Whether the fleet may be another than it was, and nothing hangs on that yet.
    var mayLookAnew: Bool {
        request.settings.judgesAgain == true && resumptions == 0 && signal == nil
            && goneLooks < RunMachine.maxGoneLooks
    }

    /// The one way in which a run asks a second time, whatever it has waited for.
    mutating func judgeAgain(because reason: String, _ agenda: inout Agenda) {
        intent = nil
        state = .preValidation
        let isBuilt = if case .built = build.state { true } else { false }
        let isHolding = claim.state == .held && !claim.nonces.isEmpty
        claim.forgetWait()
        preValidation.askAgain(because: reason, isHolding: isHolding, isBuilt: isBuilt, &agenda)
    }

    mutating func afterClaiming(_ agenda: inout Agenda) throws(IllegalEvent) {
        guard case .claiming = state, let intent else { return }
        switch claim.state {
        case .held where mustJudgeAgain(for: intent):
            let waited = queuedAt.map { agenda.now - $0 } ?? .zero
            judgeAgain(
                because:
                    "\(request.app) is this run's after \(waited.words): asking all gates again, for time has passed",
                &agenda)
        case .gone where mayLookAnew:
            goneLooks += 1
            judgeAgain(because: "the app's first machine is gone: looking at the fleet anew", &agenda)
        case .gone:
            self.intent = nil
            close(runningStage, .failed, "the app's first machine is another at every look", &agenda)
            end(
                .unavailable, "the app's first machine is another at every look; nothing changed",
                nextSteps: ["somebody else changes the fleet; try again when they are done"], &agenda)
        case .held where (resumptions > 0 || mustConfirm) && intent != .diagnose:
            state = .confirming
            let own = deploy?.release?.number
            let known = preValidation.facts.platformReleases.map(\.number).max()
            var stage = Confirmation(
                run: request.run, opened: intent == .reap ? nil : own, newest: own ?? known,
                seen: [preValidation.facts.fleet, deploy?.before ?? [], diagnosis?.managed ?? []])
            stage.begin(&agenda)
            confirmation = stage
        case .held:
            self.intent = nil
            try proceed(intent, &agenda)
        case .busy(let holder):
            self.intent = nil
            let reason = "another run works on \(request.app): \(holder)"
            if endStands(with: reason, &agenda) { return }
            guard changedByDeploy.isEmpty else {
                close(runningStage, .failed, reason, &agenda)
                end(
                    .needsHuman, "\(resumedBecause); \(reason)",
                    divergence: changedByDeploy.map { "\($0): may run what this run put there" },
                    nextSteps: ["when that run has ended, see what it left: airboss recover \(request.pipeline)"],
                    &agenda)
                return
            }
            refuseBusy(reason, "wait for it to end, or queue with --wait 15m", &agenda)
        case .queued(let ahead):
            self.intent = nil
            let reason = "others wait for \(request.app): \(ahead)"
            if endStands(with: reason, &agenda) { return }
            refuseBusy(reason, "queue behind them with --wait 15m", &agenda)
        case .refused(let failure):
            self.intent = nil
            let reason = "\(request.app) could not be taken: \(failure.text)"
            if endStands(with: reason, &agenda) { return }
            close(runningStage, .failed, reason, &agenda)
            let hasChanged = !changedByDeploy.isEmpty
            let isDown = failure.code == .unavailable || failure.code == .timedOut || failure.code == .rateLimited
            end(
                hasChanged ? .needsHuman : isDown ? .unavailable : .refused,
                resumedBecause.isEmpty ? reason : "\(resumedBecause); \(reason)",
                divergence: changedByDeploy.map { "\($0): may run what this run put there" },
                nextSteps: hasChanged
                    ? ["when the platform answers again: airboss recover \(request.pipeline)"]
                    : failure.hint.isEmpty ? [] : [failure.hint], &agenda)
        case .idle, .abandoning, .queueing, .leasing, .asking, .pausing, .lost, .releasing, .released: return
        }
    }

    /// Somebody else has the app, or has its turn, and nothing was changed.
    private mutating func refuseBusy(_ reason: String, _ advice: String, _ agenda: inout Agenda) {
        let waited = request.settings.waitForApp
        let reason = reason + (waited.map { ", and still did after \($0.words)" } ?? "")
        close(runningStage, .refused, reason, &agenda)
        let next = waited == nil ? advice : "queue for longer, or see what it does: airboss runs \(request.pipeline)"
        end(.refused, reason, nextSteps: [next], exitCode: .busy, &agenda)
    }

    /// Whether the run had its end before its process died: then that stands, and only what it leaves over is told.
    @discardableResult mutating func endStands(with reason: String, _ agenda: inout Agenda) -> Bool {
        guard ending != nil else { return false }
        leftOver(["what is left over could not be destroyed: \(reason)"])
        leave(&agenda)
        return true
    }

    mutating func afterConfirming(_ agenda: inout Agenda) throws(IllegalEvent) {
        guard let intent, let confirmation, case .done(let verdict) = confirmation.state else { return }
        self.intent = nil
        // Machines that a first deploy has made may be what other runs meet, and not be held yet.
        let unheld = AppClaim.guards(of: confirmation.fleet, staying: stayingGroups).filter { !claim.holds($0) }
        if case .unchanged = verdict, !unheld.isEmpty {
            take(unheld, for: intent, &agenda)
            return
        }
        switch verdict {
        case .unchanged: try proceed(intent, &agenda)
        case .taken(let other):
            if endStands(with: other, &agenda) { return }
            isSuperseded = true
            close(runningStage, .failed, other, &agenda)
            end(
                .needsHuman, "\(resumedBecause); meanwhile \(other), so that nothing more was changed",
                divergence: changedByDeploy.map { "\($0): was changed by this run, and perhaps again since" }
                    + differences(in: confirmation.fleet),
                nextSteps: ["see what runs: airboss status \(request.pipeline)"], &agenda)
        case .unknown(let reason):
            if endStands(with: reason, &agenda) { return }
            close(runningStage, .failed, reason, &agenda)
            end(
                .needsHuman, "\(resumedBecause); what became of the app since can't be seen: \(reason)",
                divergence: changedByDeploy.map { "\($0): may run what this run put there" },
                nextSteps: ["when the platform answers again: airboss recover \(request.pipeline)"], &agenda)
        }
    }

    /// What each machine runs, where they do not all run the same.
    private func differences(in fleet: [FleetMachine]) -> [String] {
        let managed = fleet.filter(\.isManaged).sorted { $0.id < $1.id }
        let configs = Dictionary(grouping: managed, by: \.config.processGroup).mapValues {
            Set($0.map(\.config.substance))
        }
        guard Set(managed.map(\.imageDigest)).count > 1 || configs.values.contains(where: { $0.count > 1 }) else {
            return []
        }
        return managed.map { machine in
            let release = machine.config.metadata(Bookkeeping.release).map { " (\($0))" } ?? ""
            return "\(machine.id): runs \(machine.imageDigest?.short ?? "an unknown image")\(release)"
        }
    }

    private mutating func proceed(_ intent: Intent, _ agenda: inout Agenda) throws(IllegalEvent) {
        switch intent {
        case .deploy:
            if request.settings.judgesAgain == true { recordWayBack(&agenda) }
            beginDeploy(&agenda)
        case .judge: return  // answered before
        case .rollback(let target): beginRollback(to: target, before: deploy?.before ?? [], &agenda)
        case .undo(let reason, let changed): undo(reason, changed, &agenda)
        case .diagnose:
            state = .diagnosing
            diagnosis?.begin(&agenda)
        case .reap: beginReaping(&agenda)
        }
    }

    private mutating func undo(_ reason: String, _ changed: [String], _ agenda: inout Agenda) {
        guard preValidation.facts.wayBack == nil else {
            failed(reason, changed: changed, &agenda)
            return
        }
        agenda.note(.message(text: "there is no release to go back to: the deploy goes on"))
        state = .deploy
        // What was verified in part is verified anew.
        deploy?.resume(leases: claim.nonces, &agenda)
    }

    /// Before anybody is asked how the app does: the platform starts no machine for a request while it is leased. What
    /// is kept are the leases by which runs meet, but for those of machines at rest.
    mutating func loosenClaim(_ fleet: [MachineID: Observation], _ agenda: inout Agenda) {
        let known = diagnosis?.managed ?? deploy?.before ?? preValidation.facts.fleet
        let guards = Set(AppClaim.guards(of: known, staying: stayingGroups))
        claim.keep(
            only: claim.machines.filter { machine in
                guards.contains(machine)
                    && !(fleet[machine].map { FleetPlan.restingStates.contains($0.state) } ?? false)
            }, &agenda)
    }

    // MARK: - Going on

    /// Goes on where a process died or slept: what was asked for may have happened, and may happen yet.
    mutating func resume(because reason: String, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard state != .finished else { return }
        resumptions += 1
        signal = nil
        fencedBy = nil
        resumedBecause = reason
        if startedAt == nil { startedAt = agenda.now }
        agenda.note(.message(text: "going on with run \(request.run): \(reason)"))
        switch state {
        case .waiting:
            open(.preValidation, &agenda)
            stopped(.preValidation, changed: [], &agenda)
        case .preValidation where request.kind == .rollback && claim.state != .idle:
            // What was held is held by nobody now.
            claim.takeOver(claim.machines, others: [:], wait: request.settings.waitForApp, &agenda)
            intent = .judge
            state = .claiming
        case .preValidation where request.kind == .rollback:
            preValidation = PreValidation(request)
            preValidation.begin(&agenda)
        case .diagnosing:
            claim.takeOver(claim.machines, others: [:], wait: request.settings.waitForApp, &agenda)
            intent = .diagnose
            state = .claiming
        case .preValidation, .window, .build: stopped(runningStage, changed: [], &agenda)
        case .confirming:
            claim.takeOver([], others: [:], wait: request.settings.waitForApp, &agenda)
            state = .claiming
        case .claiming:
            if case .deploy = intent {
                stopped(.deploy, changed: [], &agenda)
            } else if case .judge = intent, request.kind != .rollback {
                stopped(runningStage, changed: [], &agenda)
            } else {
                // One that has not begun has nothing to go on with: it is judged anew.
                if isUnbegun { intent = .judge }
                claim.takeOver([], others: [:], wait: request.settings.waitForApp, &agenda)
            }
        case .deploy: resumeDeploy(reason, &agenda)
        case .verify where request.kind == .recover: takeOver([], others: [:], for: .diagnose, &agenda)
        case .verify:
            troubleSince = troubleSince ?? agenda.now
            close(.verify, .failed, reason, &agenda)
            changedByDeploy = deploy?.release?.machines.map(\.id.rawValue) ?? []
            takeOver([], others: [:], for: .undo(reason: reason, changed: changedByDeploy), &agenda)
        case .rollback:
            let remains = rollback?.remains ?? .init()
            noteLateCreations(remains, agenda.now)
            changedByDeploy = Set(changedByDeploy).union(remains.changed).sorted()
            guard let target = rollback?.target else { return }
            takeOver(remains.unsettled, others: remains.leases, for: .rollback(target: target), &agenda)
        case .settling:
            guard let ending else { return }
            settling = []
            settle(ending.outcome, &agenda)
        case .reaping: takeOver([], others: reaping?.removal?.ownLease ?? [:], for: .reap, &agenda)
        case .leaving: leave(&agenda)
        case .notify:
            guard let report else { return }
            notify.resume(report, over: request.settings.channels, &agenda)
        case .finished: break
        }
    }

    /// Whether it is a rollback that waits for the app and has not had it.
    private var isUnbegun: Bool {
        request.settings.judgesAgain == true && request.kind == .rollback && rollback == nil
    }

    private mutating func resumeDeploy(_ reason: String, _ agenda: inout Agenda) {
        guard let stage = deploy, stage.hasTouchedFleet else {
            deploy?.withdraw(&agenda)
            return
        }
        troubleSince = troubleSince ?? agenda.now
        let remains = stage.remains
        noteLateCreations(remains, agenda.now)
        let changed = remains.changed
        changedByDeploy = changed
        if preValidation.facts.wayBack != nil { close(.deploy, .failed, reason, &agenda) }
        takeOver(remains.unsettled, others: remains.leases, for: .undo(reason: reason, changed: changed), &agenda)
    }

    mutating func takeOver(
        _ machines: [MachineID], others: [MachineID: LeaseNonce], for intent: Intent, _ agenda: inout Agenda
    ) {
        self.intent = intent
        state = .claiming
        claim.takeOver(machines, others: others, wait: request.settings.waitForApp, &agenda)
    }

    mutating func noteLateCreations(_ remains: RollingRollout.Remains, _ now: Timestamp) {
        guard !remains.unsettledCreates.isEmpty else { return }
        lateCreations = now + RunMachine.latestArrival
    }

    // MARK: - Being taken over

    /// Somebody else has the run or its app: what is held is let go, and everything else is theirs.
    mutating func fence(by other: String, _ agenda: inout Agenda) {
        guard state != .finished, fencedBy == nil else { return }
        fencedBy = other
        if ending == nil {
            ending = Ending(
                outcome: .needsHuman, headline: "this run was taken over: \(other)",
                nextSteps: ["see what became of it: airboss runs \(request.pipeline)"])
        }
        leave(&agenda)
    }

    // MARK: - Leaving

    mutating func leave(_ agenda: inout Agenda) {
        state = .leaving
        var others = deploy?.rollout?.remains.leases ?? [:]
        others.merge(rollback?.rollout?.remains.leases ?? [:]) { own, _ in own }
        claim.release(others: others, &agenda)
        // Leases that can't be given back end by themselves.
        if claim.state == .releasing { leaveBy = agenda.perform(.wake(at: agenda.now + RunMachine.leavingPatience)) }
    }

    mutating func afterLeaving(_ agenda: inout Agenda) {
        guard claim.state == .released || leaveBy == nil else { return }
        leaveBy = nil
        if fencedBy == nil {
            beginNotify(&agenda)
        } else {
            if let ending { report = makeReport(ending, agenda.now) }
            state = .finished
        }
    }

    // MARK: - Leftovers

    /// What is to be destroyed after an end; nil where nothing is.
    func reapingScope(after ending: Ending) -> Reaping.Scope? {
        switch ending.outcome {
        case .verified where request.kind == .deploy || request.kind == .promote:
            let gone = Set((deploy?.before ?? []).filter(\.isManaged).map(\.config.processGroup)).subtracting(
                stayingGroups
            ).filter { !$0.rawValue.hasPrefix("fly_app_") }
            guard !gone.isEmpty || lateCreations != nil else { return nil }
            return Reaping.Scope(
                goneGroups: gone, recorded: recordedMachines,
                runs: lateCreations == nil ? [] : [request.run], kept: Set(deploy?.release?.machines.map(\.id) ?? []))
        case .verified, .rolledBack, .needsHuman, .unavailable:
            guard lateCreations != nil, ending.outcome != .needsHuman || rollback?.state == .restored else {
                return nil
            }
            let restored = Set(rollback?.target.machines.map(\.id) ?? [])
            let made = rollback?.rollout?.created.values.map(\.self) ?? []
            return Reaping.Scope(runs: [request.run], kept: restored.union(made))
        case .refused, .interrupted: return nil
        }
    }

    /// The machines of the releases that the ledger knows, and of the way back.
    private var recordedMachines: Set<MachineID> {
        let facts = preValidation.facts
        let releases = [facts.wayBack, facts.history?.current].compactMap(\.self) + (facts.history?.verified ?? [])
        return Set(releases.flatMap(\.machines).map(\.id))
    }

    /// The run's end is not as good as it was thought: not everything is cleared up.
    mutating func leftOver(_ lines: [String]) {
        guard var end = ending else { return }
        end.divergence += lines
        end.headline += "; machines are left over"
        end.nextSteps.append("destroy what is left over: airboss recover \(request.pipeline)")
        end.outcome = signal == nil ? .needsHuman : .interrupted
        ending = end
    }

    mutating func beginReaping(_ agenda: inout Agenda) {
        guard let ending, let scope = reapingScope(after: ending) else {
            leave(&agenda)
            return
        }
        state = .reaping
        if !scope.goneGroups.isEmpty {
            let names = scope.goneGroups.map(\.rawValue).sorted().joined(separator: ", ")
            agenda.note(.message(text: "destroying the machines of process groups that are no more: \(names)"))
        }
        var stage = Reaping(scope, leases: claim.nonces)
        stage.begin(notBefore: lateCreations, &agenda)
        reaping = stage
    }

    mutating func afterReaping(_ agenda: inout Agenda) {
        guard let reaping, reaping.state == .done else { return }
        for machine in reaping.removal?.removed ?? [] {
            claim.forget(machine)
            agenda.note(.message(text: "destroyed \(machine)"))
        }
        if !reaping.leftovers.isEmpty { leftOver(reaping.leftovers) }
        lateCreations = nil
        leave(&agenda)
    }
}
