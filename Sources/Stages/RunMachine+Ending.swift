// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// How a run ends, and what it tells.
extension RunMachine {
    mutating func refuse(_ stage: StageName, _ refusal: Refusal, _ agenda: inout Agenda) {
        close(stage, refusal.outcome == .refused ? .refused : .failed, refusal.reason, &agenda)
        end(refusal.outcome, refusal.reason, nextSteps: refusal.hints, &agenda)
        ending?.approval = refusal.approval
        ending?.opening = refusal.opening
    }

    mutating func stopped(_ stage: StageName, changed: [String], _ agenda: inout Agenda) {
        let cause = resumedBecause.isEmpty || signal != nil ? "interrupted" : resumedBecause
        close(stage, .failed, cause, &agenda)
        let back = preValidation.facts.wayBack?.number
        let headline =
            changed.isEmpty
            ? "\(cause); nothing changed"
            : "\(cause); the fleet is mixed: \(changed.joined(separator: ", ")) may have changed"
        let steps =
            changed.isEmpty
            ? []
            : back.map { ["go back: airboss rollback \(request.pipeline) --to \($0) --reason TEXT"] } ?? [
                "deploy again: airboss deploy \(request.pipeline) --reason TEXT"
            ]
        end(.interrupted, headline, nextSteps: steps, &agenda)
    }

    mutating func end(
        _ outcome: RunOutcome, _ headline: String, divergence: [String] = [], nextSteps: [String] = [],
        exitCode: ExitCode? = nil, _ agenda: inout Agenda
    ) {
        ending = Ending(
            outcome: outcome, headline: headline, divergence: divergence, nextSteps: nextSteps, exitCode: exitCode)
        state = .settling
        settle(outcome, &agenda)
    }

    /// Tells the ledger and the platform which release is what now.
    mutating func settle(_ outcome: RunOutcome, _ agenda: inout Agenda) {
        func mark(_ number: ReleaseNumber, _ mark: ReleaseRecord.State) {
            settling.insert(agenda.perform(.ledger(entry: .mark(number: number, state: mark))))
        }
        if let release = deploy?.release {
            if deploy?.isRecorded == true { mark(release.number, outcome == .verified ? .verified : .failed) }
            let status = outcome == .verified ? "complete" : outcome == .interrupted ? "interrupted" : "failed"
            settling.insert(agenda.perform(.platform(call: .finishRelease(id: release.platformID, status: status))))
        }
        // Who holds the app is alone with it: what was open before and is open still, nobody else will close.
        let hasFoundOpen = preValidation.facts.platformReleases.contains(where: \.isOpen)
        let isBack = request.kind == .rollback && rollback?.state == .restored
        let isFirst = deploy?.hasNoMachinesYet == true && outcome == .verified
        if deploy?.release != nil && hasFoundOpen || isBack || isFirst, outcome != .interrupted, !isSuperseded {
            listAbandoned(&agenda)
        }
        settleRecovery(outcome, &agenda)
        guard request.kind != .recover, let rollback, rollback.state == .restored else { return }
        let served = preValidation.facts.servedByMarks
        if request.kind == .rollback, let current = preValidation.facts.history?.current,
            current.number != rollback.target.number, served.map({ $0 == current.number }) ?? true
        {
            mark(current.number, .withdrawn)
        }
        let states = preValidation.facts.history?.states ?? []
        if served != nil, !states.contains(where: { $0.number == rollback.target.number }) {
            settling.insert(agenda.perform(.ledger(entry: .record(release: rollback.target))))
        } else {
            mark(rollback.target.number, .verified)
        }
    }

    private mutating func listAbandoned(_ agenda: inout Agenda) {
        abandonedLooks += 1
        let action = agenda.perform(.platform(call: .releases(limit: Confirmation.maxReleases)))
        abandonedReleases = action
        settling.insert(action)
    }

    /// How often the platform is asked for releases that were left open, and the pause between two times.
    private static let maxAbandonedLooks = 3
    private static let abandonedLookPause = Duration.seconds(2)

    mutating func settled(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) {
        settling.remove(action)
        if action == abandonedReleases {
            switch answer {
            case .woke:
                listAbandoned(&agenda)
                return
            case .failed where abandonedLooks < RunMachine.maxAbandonedLooks && signal == nil:
                let pause = agenda.perform(.wake(at: agenda.now + RunMachine.abandonedLookPause))
                abandonedReleases = pause
                settling.insert(pause)
                return
            default: break
            }
        }
        if action == abandonedReleases, case .platformReleases(let list) = answer {
            // A rollback opens none, so that none is its own.
            let before = Set(preValidation.facts.platformReleases.filter(\.isOpen).map(\.number))
            // Of those who began an app's first deploy together one has made it, and the others have ended.
            let first = deploy?.hasNoMachinesYet == true ? deploy?.release?.number : nil
            for entry in list
            where entry.isOpen
                && (request.kind == .rollback || before.contains(entry.number)
                    || first.map { entry.number < $0 } ?? false)
            {
                let call = PlatformCall.finishRelease(id: entry.id, status: "interrupted")
                settling.insert(agenda.perform(.platform(call: call)))
            }
        }
        // What another run has closed need not be closed again.
        if case .failed(let failure) = answer, !isSuperseded {
            let text = "how the run ended could not be recorded everywhere: \(failure.text)"
            warnings.append(text)
            agenda.note(.warning(text: text))
        }
    }

    mutating func afterSettling(_ agenda: inout Agenda) {
        guard settling.isEmpty, let ending else { return }
        for index in reports.indices where reports[index].state == .waiting && reports[index].stage != .notify {
            reports[index].state = .skipped
        }
        guard let scope = reapingScope(after: ending) else {
            leave(&agenda)
            return
        }
        guard signal != nil else {
            if claim.isGone(at: agenda.now) {
                // It slept once it had its end: whatever it would destroy may serve somebody else by now.
                mustConfirm = true
                takeOver([], others: [:], for: .reap, &agenda)
            } else {
                beginReaping(&agenda)
            }
            return
        }
        let groups = scope.goneGroups.map(\.rawValue).sorted().joined(separator: ", ")
        leftOver([groups.isEmpty ? "machines that this run made" : "the machines of \(groups)"])
        leave(&agenda)
    }

    mutating func beginNotify(_ agenda: inout Agenda) {
        guard let ending else { return }
        state = .notify
        open(.notify, &agenda)
        let report = makeReport(ending, agenda.now)
        self.report = report
        // An interrupted run has seconds left: what can't be written at once waits in the outbox. A record that was
        // opened elsewhere is tried to be closed all the same, for nobody may come after this run.
        let isHurried = signal != nil
        let deferred =
            isHurried
            ? request.settings.channels.filter { $0 != .summary && ($0 != .deployment || !isAnnounced) } : []
        notify.begin(
            report, over: request.settings.channels, deferring: deferred, isHurried: isHurried && isAnnounced, &agenda)
    }

    mutating func afterNotify(_ agenda: inout Agenda) {
        guard notify.state == .done else { return }
        let failures = notify.failures.sorted { $0.key.rawValue < $1.key.rawValue }
        for (channel, reason) in failures {
            report?.warnings.append("notice by \(channel.rawValue) not sent: \(reason)")
        }
        let sent =
            (notify.delivered.map { "sent: \($0.rawValue)" }
            + notify.kept.map { "kept for the next run: \($0.rawValue)" }).joined(separator: ", ")
        close(
            .notify, failures.isEmpty ? .passed : .failed,
            failures.isEmpty
                ? (sent.isEmpty ? "nobody else to tell" : sent)
                : "not sent, will be tried again: \(failures.map(\.key.rawValue).joined(separator: ", "))", &agenda)
        report?.stages = reports
        state = .finished
    }

    func makeReport(_ ending: Ending, _ now: Timestamp) -> RunReport {
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
        let goesBack = request.kind == .rollback || request.kind == .recover
        let serving = isBack ? rollback?.target : nil
        let release = serving?.number ?? deploy?.release?.number ?? adopted?.number
        let previous =
            request.kind == .rollback || isBack && request.kind != .rollback
            ? (request.kind == .rollback
                ? facts.servedByMarks ?? facts.history?.current?.number : deploy?.release?.number)
            : facts.history?.current?.number ?? facts.wayBack?.number
        let built: BuiltImage? = if case .built(let image) = build.state { image } else { nil }
        return RunReport(
            run: request.run, kind: request.kind, pipeline: request.pipeline, app: request.app, outcome: ending.outcome,
            exitCode: (ending.exitCode ?? ending.outcome.exitCode(signal: signal ?? 2)).rawValue,
            headline: ending.headline, actor: request.actor, reason: request.reason,
            commit: goesBack ? rollback?.target.commit : facts.commit?.id,
            subject: goesBack ? rollback?.target.subject ?? "" : facts.commit?.subject ?? "",
            image: (goesBack ? rollback?.target.image ?? adopted?.image : built?.reference) ?? "", release: release,
            previousRelease: previous, startedAt: startedAt ?? now, finishedAt: now, stages: reports,
            overrides: overrides, healthStatus: rollback?.verify?.healthStatus ?? verify?.healthStatus ?? "",
            timeToRestore: isBack ? troubleSince.map { now - $0 } : nil, divergence: ending.divergence,
            nextSteps: ending.nextSteps,
            warnings: facts.warnings + (diagnosis?.warnings ?? []) + warnings
                + (deploy?.hasLostRelease == true ? [unseenRelease] : []),
            url: request.settings.url, runURL: request.settings.runURL, approval: ending.approval,
            opening: ending.opening, approvals: facts.approvals, wasAnnounced: isAnnounced ? true : nil)
    }

    /// What nobody could look for may be open until somebody can.
    private var unseenRelease: String {
        RunMachine.unseenRelease + "; the next run closes it, or: airboss recover \(request.pipeline)"
    }

    package static let unseenRelease =
        "a release record of this run may be open on the platform, which could not be asked"

    // MARK: - Stage reports

    mutating func open(_ stage: StageName, _ agenda: inout Agenda) {
        guard let index = reports.firstIndex(where: { $0.stage == stage }) else { return }
        reports[index].state = .running
        reports[index].startedAt = agenda.now
        agenda.note(.stage(report: reports[index]))
    }

    mutating func close(_ stage: StageName, _ state: StageState, _ detail: String, _ agenda: inout Agenda) {
        guard let index = reports.firstIndex(where: { $0.stage == stage }) else { return }
        reports[index].state = state
        reports[index].finishedAt = agenda.now
        reports[index].detail = detail
        agenda.note(.stage(report: reports[index]))
    }

    static func megabytes(_ bytes: Int64) -> String {
        let tenths = (bytes * 10 + 524_288) / 1_048_576
        return "\(tenths / 10).\(tenths % 10) MB"
    }
}
