// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import Rollouts

/// One run from its first question to its last notice: the stages in their order, and what follows from each end.
///
/// The journal holds the events given to ``apply(_:)``; applying them again gives the same machine and the same
/// actions.
package struct RunMachine: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `preValidation`.
        case waiting
        /// Next: `window`, `rollback` (a run of that kind), `settling`, `notify`.
        case preValidation
        /// Next: `build`, `notify`.
        case window
        /// Next: `deploy`, `notify`.
        case build
        /// Next: `verify`, `rollback`, `settling`, `notify`.
        case deploy
        /// Next: `settling`, `rollback`.
        case verify
        /// Next: `settling`.
        case rollback
        /// The ledger and the platform's release records learn how it ended. Next: `notify`.
        case settling
        /// Next: `finished`.
        case notify
        case finished
    }

    package let request: RunRequest
    package private(set) var state: State = .waiting
    package private(set) var reports: [StageReport]
    /// How the run ended, once that is decided.
    package private(set) var report: RunReport?
    package private(set) var preValidation: PreValidation
    package private(set) var windowGate: WindowGate
    package private(set) var build = Build()
    package private(set) var deploy: Deploy?
    package private(set) var verify: HealthVerify?
    package private(set) var rollback: Rollback?
    package private(set) var notify = Notify()
    package private(set) var startedAt: Timestamp?
    package private(set) var nextAction = 1
    private var warnings: [String] = []
    private var troubleSince: Timestamp?
    private var failureReason = ""
    /// The machines a failed deploy may have left changed.
    private var changedByDeploy: [String] = []
    private var signal: Int32?
    private var settling: Set<ActionID> = []
    private var ending: Ending?

    /// How a run is about to end; its report follows once the ledger knows.
    private struct Ending: Hashable, Codable, Sendable {
        var outcome: RunOutcome
        var headline: String
        var divergence: [String] = []
        var nextSteps: [String] = []
    }

    package init(_ request: RunRequest) {
        self.request = request
        preValidation = PreValidation(request)
        windowGate = WindowGate(request)
        let stages: [StageName] =
            request.kind == .rollback
            ? [.preValidation, .rollback, .notify]
            : [.preValidation, .window, .build, .deploy, .verify, .rollback, .notify]
        reports = stages.map { StageReport(stage: $0) }
    }

    package var isFinished: Bool { state == .finished }

    /// Whether machines may have been changed, or are leased, by this run.
    package var hasTouchedFleet: Bool { deploy?.rollout != nil || rollback?.rollout != nil }

    /// What the run waits for now, for people; empty where it only works.
    package var waitingFor: String {
        switch state {
        case .deploy: deploy?.rollout?.waitingFor ?? ""
        case .verify: verify?.waitingFor ?? ""
        case .rollback: rollback?.verify?.waitingFor ?? rollback?.rollout?.waitingFor ?? ""
        case .waiting, .preValidation, .window, .build, .settling, .notify, .finished: ""
        }
    }

    /// One event's decisions. Throws where the event can't follow what came before.
    package mutating func apply(_ event: RunEvent) throws(IllegalEvent) -> Agenda {
        var agenda = Agenda(now: event.at, nextAction: nextAction)
        switch event.kind {
        case .started:
            guard case .waiting = state else { throw IllegalEvent(state: "\(state)", event: "started") }
            startedAt = event.at
            state = .preValidation
            open(.preValidation, &agenda)
            preValidation.begin(&agenda)
        case .interrupted(let number):
            try interrupt(number, &agenda)
        case .answered(let action, let answer):
            try route(action, answer, &agenda)
        }
        try follow(&agenda)
        nextAction = agenda.nextAction
        return agenda
    }

    private mutating func route(
        _ action: ActionID, _ answer: Answer, _ agenda: inout Agenda
    ) throws(IllegalEvent) {
        guard action.value < nextAction else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action), which was never asked")
        }
        // An answer nobody waits for any more (a cancelled wait, a stage that was stopped) changes nothing.
        switch state {
        case .preValidation where preValidation.awaits(action): try preValidation.handle(action, answer, &agenda)
        case .window where windowGate.awaits(action): try windowGate.handle(action, answer, &agenda)
        case .build where build.awaits(action): try build.handle(action, answer)
        case .deploy where deploy?.awaits(action) == true: try deploy?.handle(action, answer, &agenda)
        case .verify where verify?.awaits(action) == true: try verify?.handle(action, answer, &agenda)
        case .rollback where rollback?.awaits(action) == true: try rollback?.handle(action, answer, &agenda)
        case .settling where settling.contains(action): settled(action, answer, &agenda)
        case .notify where notify.awaits(action): try notify.handle(action, answer, &agenda)
        case .waiting, .preValidation, .window, .build, .deploy, .verify, .rollback, .settling, .notify, .finished:
            break
        }
    }

    /// Stop, make safe, and say what state things are in.
    private mutating func interrupt(_ number: Int32, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard signal == nil else { return }  // a second signal changes nothing: the first is being obeyed
        signal = number
        agenda.note(.warning(text: "interrupted: making safe"))
        switch state {
        case .waiting: end(.interrupted, "interrupted before it began", &agenda)
        case .preValidation: preValidation.stop()
        case .window: windowGate.stop()
        case .build: build.stop(&agenda)
        case .deploy: try deploy?.stop(&agenda)
        case .verify: verify?.stop()
        case .rollback: try rollback?.stop(&agenda)
        case .notify: notify.stop()
        case .settling, .finished: break
        }
    }

    // MARK: - From stage to stage

    /// Goes on as long as a stage has come to its end.
    private mutating func follow(_ agenda: inout Agenda) throws(IllegalEvent) {
        while true {
            let before = state
            switch state {
            case .preValidation: afterPreValidation(&agenda)
            case .window: afterWindow(&agenda)
            case .build: afterBuild(&agenda)
            case .deploy: afterDeploy(&agenda)
            case .verify: afterVerify(&agenda)
            case .rollback: afterRollback(&agenda)
            case .settling: afterSettling(&agenda)
            case .notify: afterNotify(&agenda)
            case .waiting, .finished: break
            }
            if state == before { return }
        }
    }

    private mutating func afterPreValidation(_ agenda: inout Agenda) {
        switch preValidation.state {
        case .waiting, .asking: return
        case .passed:
            let skipped = preValidation.overrides.map(\.gate)
            close(
                .preValidation, skipped.isEmpty ? .passed : .overridden,
                skipped.isEmpty
                    ? "\(preValidation.gates.count) gates passed" : "overridden: \(skipped.joined(separator: ", "))",
                &agenda)
            if request.kind == .rollback, let target = preValidation.facts.wayBack {
                beginRollback(to: target, before: [], &agenda)
            } else {
                state = .window
                open(.window, &agenda)
                windowGate.begin(&agenda)
            }
        case .refused(let refusal): refuse(.preValidation, refusal, &agenda)
        case .stopped: stopped(.preValidation, changed: [], &agenda)
        }
    }

    private mutating func afterWindow(_ agenda: inout Agenda) {
        switch windowGate.state {
        case .waiting, .asking: return
        case .passed(let rule):
            close(.window, .passed, rule, &agenda)
            beginBuild(&agenda)
        case .overridden(let rule):
            close(.window, .overridden, "closed (\(rule)), overridden by \(request.overrides.approvedBy)", &agenda)
            beginBuild(&agenda)
        case .refused(let refusal): refuse(.window, refusal, &agenda)
        case .stopped: stopped(.window, changed: [], &agenda)
        }
    }

    private mutating func beginBuild(_ agenda: inout Agenda) {
        state = .build
        open(.build, &agenda)
        build.begin(request.settings.build, of: preValidation.facts.commit, &agenda)
    }

    private mutating func afterBuild(_ agenda: inout Agenda) {
        switch build.state {
        case .waiting, .building: return
        case .built(let image):
            let (sent, kept) = (RunMachine.megabytes(image.uploadedBytes), RunMachine.megabytes(image.skippedBytes))
            let isPushed = image.uploadedBytes + image.skippedBytes > 0
            let sizes = isPushed ? ", \(sent) uploaded, \(kept) already there" : ""
            close(.build, .passed, "\(image.digest.short)\(sizes)", &agenda)
            // The way back as it was found, recorded before anything changes.
            if let wayBack = preValidation.facts.wayBack, preValidation.facts.history?.current == nil {
                agenda.performAndForget(.ledger(entry: .record(release: wayBack)))
                // A record keeps its state when it is completed: one that failed once and serves now is judged anew.
                if wayBack.run != request.run {
                    agenda.performAndForget(.ledger(entry: .mark(number: wayBack.number, state: .verified)))
                }
            }
            state = .deploy
            open(.deploy, &agenda)
            var stage = Deploy(
                request, commit: preValidation.facts.commit, image: image,
                hasNoMachinesYet: preValidation.facts.hasSeenFleet
                    && !preValidation.facts.fleet.contains(where: \.isManaged))
            stage.begin(&agenda)
            deploy = stage
        case .refused(let refusal): refuse(.build, refusal, &agenda)
        case .stopped: stopped(.build, changed: [], &agenda)
        }
    }

    private mutating func afterDeploy(_ agenda: inout Agenda) {
        guard let deploy else { return }
        switch deploy.state {
        case .waiting, .rechecking, .looking, .numbering, .recording, .rolling, .completing: return
        case .deployed:
            let machines = deploy.release?.machines.count ?? 0
            close(.deploy, .passed, "\(machines) machines on \(deploy.release?.number.description ?? "")", &agenda)
            state = .verify
            open(.verify, &agenda)
            var stage = HealthVerify(request.settings.verify, expected: deploy.expectedChecks)
            stage.begin(&agenda)
            verify = stage
        case .failed(let reason, let changed):
            troubleSince = agenda.now
            close(.deploy, .failed, reason, &agenda)
            failed("the deploy failed: \(reason)", changed: changed, &agenda)
        case .refused(let refusal): refuse(.deploy, refusal, &agenda)
        case .stopped(let changed): stopped(.deploy, changed: changed, &agenda)
        }
    }

    private mutating func afterVerify(_ agenda: inout Agenda) {
        guard let verify else { return }
        switch verify.state {
        case .waiting, .probing, .inspecting, .smoking, .soaking: return
        case .healthy:
            close(.verify, .passed, verify.healthStatus.isEmpty ? "healthy" : verify.healthStatus, &agenda)
            let number = deploy?.release?.number.description ?? ""
            end(.verified, "\(number) is deployed and verified", &agenda)
        case .unhealthy(let reason):
            troubleSince = verify.firstFailureAt
            close(.verify, .failed, reason, &agenda)
            failed(
                "the new release is not healthy: \(reason)",
                changed: deploy?.release?.machines.map(\.id.rawValue) ?? [], &agenda)
        case .stopped:
            stopped(.verify, changed: deploy?.release?.machines.map(\.id.rawValue) ?? [], &agenda)
        }
    }

    /// After a failed deploy or verify: back, if there is a way back and it may be gone automatically.
    private mutating func failed(_ reason: String, changed: [String], _ agenda: inout Agenda) {
        failureReason = reason
        changedByDeploy = changed
        guard !changed.isEmpty else {
            end(.unavailable, "\(reason); nothing changed", &agenda)
            return
        }
        guard let target = preValidation.facts.wayBack else {
            end(
                .needsHuman, "\(reason), and there is no verified release to go back to",
                divergence: changed.map {
                    "\($0): may run \(deploy?.release?.number.description ?? "the new release")"
                },
                nextSteps: [
                    "look at the logs: fly logs -a \(request.app)",
                    "mend it and deploy again: airboss deploy \(request.pipeline) --reason TEXT",
                ], &agenda)
            return
        }
        let command = "airboss rollback \(request.pipeline) --to \(target.number) --reason TEXT"
        guard request.settings.rollsBackAutomatically else {
            end(
                .needsHuman, "\(reason); automatic rollback is switched off in the pipeline",
                nextSteps: ["go back to \(target.number): \(command)"], &agenda)
            return
        }
        guard preValidation.facts.migrations.isEmpty else {
            end(
                .needsHuman, "\(reason); migrations changed since \(target.number), so that a person must decide",
                divergence: preValidation.facts.migrations.map { "migration: \($0)" },
                nextSteps: ["if the old code can run on the new schema: \(command)"], &agenda)
            return
        }
        beginRollback(to: target, before: deploy?.before ?? [], &agenda)
    }

    private mutating func beginRollback(
        to target: ReleaseRecord, before: [FleetMachine], _ agenda: inout Agenda
    ) {
        state = .rollback
        open(.rollback, &agenda)
        agenda.note(.message(text: "rolling back to \(target.number) (\(target.digest.short))"))
        var stage = Rollback(request, to: target, before: before)
        stage.begin(&agenda)
        rollback = stage
    }

    private mutating func afterRollback(_ agenda: inout Agenda) {
        guard let rollback else { return }
        switch rollback.state {
        case .waiting, .looking, .pausing, .restoring, .verifying, .diagnosing: return
        case .restored:
            let target = rollback.target.number
            close(.rollback, .passed, "\(target) is back and verified", &agenda)
            warnIfLate(&agenda)
            if request.kind == .rollback {
                end(.verified, "rolled back to \(target), verified", &agenda)
            } else {
                end(.rolledBack, "\(failureReason); rolled back to \(target), verified", &agenda)
            }
        case .failed(let reason, let divergence):
            close(.rollback, .failed, reason, &agenda)
            let number = rollback.target.number
            end(
                .needsHuman, (failureReason.isEmpty ? "" : failureReason + "; ") + "the rollback failed: \(reason)",
                divergence: divergence,
                nextSteps: [
                    "see what runs: airboss status \(request.pipeline)",
                    "try again: airboss rollback \(request.pipeline) --to \(number) --reason TEXT",
                    "look at a machine: fly machine status ID -a \(request.app)",
                ], &agenda)
        case .stopped(let changed):
            stopped(.rollback, changed: Set(changed).union(changedByDeploy).sorted(), &agenda)
        }
    }

    private mutating func warnIfLate(_ agenda: inout Agenda) {
        guard let allowed = request.settings.rollbackWithin,
            let began = reports.first(where: { $0.stage == .rollback })?.startedAt, agenda.now - began > allowed
        else { return }
        let text = "the rollback took \(Int((agenda.now - began).inSeconds)) s, allowed are \(Int(allowed.inSeconds)) s"
        warnings.append(text)
        agenda.note(.warning(text: text))
    }

    // MARK: - Ending

    private mutating func refuse(_ stage: StageName, _ refusal: Refusal, _ agenda: inout Agenda) {
        close(stage, refusal.outcome == .refused ? .refused : .failed, refusal.reason, &agenda)
        end(refusal.outcome, refusal.reason, nextSteps: refusal.hints, &agenda)
    }

    private mutating func stopped(_ stage: StageName, changed: [String], _ agenda: inout Agenda) {
        close(stage, .failed, "interrupted", &agenda)
        let back = preValidation.facts.wayBack?.number
        let headline =
            changed.isEmpty
            ? "interrupted; nothing changed"
            : "interrupted; the fleet is mixed: \(changed.joined(separator: ", ")) may have changed"
        let steps =
            changed.isEmpty
            ? []
            : back.map { ["go back: airboss rollback \(request.pipeline) --to \($0) --reason TEXT"] }
                ?? ["deploy again: airboss deploy \(request.pipeline) --reason TEXT"]
        end(.interrupted, headline, nextSteps: steps, &agenda)
    }

    private mutating func end(
        _ outcome: RunOutcome, _ headline: String, divergence: [String] = [], nextSteps: [String] = [],
        _ agenda: inout Agenda
    ) {
        ending = Ending(outcome: outcome, headline: headline, divergence: divergence, nextSteps: nextSteps)
        state = .settling
        settle(outcome, &agenda)
    }

    /// Tells the ledger and the platform which release is what now.
    private mutating func settle(_ outcome: RunOutcome, _ agenda: inout Agenda) {
        func mark(_ number: ReleaseNumber, _ mark: ReleaseRecord.State) {
            settling.insert(agenda.perform(.ledger(entry: .mark(number: number, state: mark))))
        }
        if let release = deploy?.release {
            if deploy?.isRecorded == true { mark(release.number, outcome == .verified ? .verified : .failed) }
            let status = outcome == .verified ? "complete" : outcome == .interrupted ? "interrupted" : "failed"
            settling.insert(
                agenda.perform(.platform(call: .finishRelease(id: release.platformID, status: status))))
        }
        guard let rollback, rollback.state == .restored else { return }
        if request.kind == .rollback, let current = preValidation.facts.history?.current,
            current.number != rollback.target.number
        {
            mark(current.number, .withdrawn)
        }
        mark(rollback.target.number, .verified)
    }

    private mutating func settled(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) {
        settling.remove(action)
        if case .failed(let failure) = answer {
            let text = "how the run ended could not be recorded everywhere: \(failure.text)"
            warnings.append(text)
            agenda.note(.warning(text: text))
        }
    }

    private mutating func afterSettling(_ agenda: inout Agenda) {
        guard settling.isEmpty, let ending else { return }
        for index in reports.indices where reports[index].state == .waiting && reports[index].stage != .notify {
            reports[index].state = .skipped
        }
        state = .notify
        open(.notify, &agenda)
        let report = makeReport(ending, agenda.now)
        self.report = report
        // An interrupted run has seconds left: what can't be written at once waits in the outbox.
        let deferred = signal == nil ? [] : request.settings.channels.filter { $0 != .summary }
        notify.begin(report, over: request.settings.channels, deferring: deferred, &agenda)
    }

    private mutating func afterNotify(_ agenda: inout Agenda) {
        guard notify.state == .done else { return }
        let failures = notify.failures.sorted { $0.key.rawValue < $1.key.rawValue }
        for (channel, reason) in failures {
            report?.warnings.append("notice by \(channel.rawValue) not sent: \(reason)")
        }
        let sent =
            (notify.delivered.map { "sent: \($0.rawValue)" }
            + notify.kept.map { "kept for the next run: \($0.rawValue)" })
            .joined(separator: ", ")
        close(
            .notify, failures.isEmpty ? .passed : .failed,
            failures.isEmpty
                ? (sent.isEmpty ? "nobody else to tell" : sent)
                : "not sent, will be tried again: \(failures.map(\.key.rawValue).joined(separator: ", "))", &agenda)
        report?.stages = reports
        state = .finished
    }

    private func makeReport(_ ending: Ending, _ now: Timestamp) -> RunReport {
        let facts = preValidation.facts
        var overrides = preValidation.overrides
        let rule: String? = if case .overridden(let rule) = windowGate.state { rule } else { deploy?.overriddenRule }
        if let rule {
            overrides.append(
                Override(
                    gate: GateName.window.rawValue, who: request.overrides.approvedBy, reason: request.reason,
                    wouldHaveSaid: "closed: \(rule)"))
        }
        let isBack = rollback?.state == .restored
        let serving = isBack ? rollback?.target : nil
        let release = serving?.number ?? deploy?.release?.number
        let previous =
            request.kind == .rollback || isBack && request.kind != .rollback
            ? (request.kind == .rollback ? facts.history?.current?.number : deploy?.release?.number)
            : facts.history?.current?.number ?? facts.wayBack?.number
        let built: BuiltImage? = if case .built(let image) = build.state { image } else { nil }
        return RunReport(
            run: request.run, kind: request.kind, pipeline: request.pipeline, app: request.app,
            outcome: ending.outcome, exitCode: ending.outcome.exitCode(signal: signal ?? 2).rawValue,
            headline: ending.headline, actor: request.actor, reason: request.reason,
            commit: request.kind == .rollback ? rollback?.target.commit : facts.commit?.id,
            subject: request.kind == .rollback ? rollback?.target.subject ?? "" : facts.commit?.subject ?? "",
            image: (request.kind == .rollback ? rollback?.target.image : built?.reference) ?? "",
            release: release, previousRelease: previous,
            startedAt: startedAt ?? now, finishedAt: now, stages: reports, overrides: overrides,
            healthStatus: rollback?.verify?.healthStatus ?? verify?.healthStatus ?? "",
            timeToRestore: isBack ? troubleSince.map { now - $0 } : nil,
            divergence: ending.divergence, nextSteps: ending.nextSteps,
            warnings: facts.warnings + warnings, url: request.settings.url, runURL: request.settings.runURL)
    }

    // MARK: - Stage reports

    private mutating func open(_ stage: StageName, _ agenda: inout Agenda) {
        guard let index = reports.firstIndex(where: { $0.stage == stage }) else { return }
        reports[index].state = .running
        reports[index].startedAt = agenda.now
        agenda.note(.stage(report: reports[index]))
    }

    private mutating func close(_ stage: StageName, _ state: StageState, _ detail: String, _ agenda: inout Agenda) {
        guard let index = reports.firstIndex(where: { $0.stage == stage }) else { return }
        reports[index].state = state
        reports[index].finishedAt = agenda.now
        reports[index].detail = detail
        agenda.note(.stage(report: reports[index]))
    }

    private static func megabytes(_ bytes: Int64) -> String {
        let tenths = (bytes * 10 + 524_288) / 1_048_576
        return "\(tenths / 10).\(tenths % 10) MB"
    }
}
