// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// A recovery whose run's journal is lost: the platform tells what to do, twice: once to know whether anything is to
/// be done, and once more when nobody else can change anything any more.
extension RunMachine {
    mutating func diagnose(_ agenda: inout Agenda) {
        state = .diagnosing
        var stage = Diagnosis(request)
        stage.begin(&agenda)
        diagnosis = stage
    }

    mutating func afterDiagnosis(_ agenda: inout Agenda) {
        guard let diagnosis else { return }
        switch diagnosis.state {
        case .waiting, .asking, .comparing: return
        case .stopped: stopped(.preValidation, changed: [], &agenda)
        case .refused(let refusal): refuse(.preValidation, refusal, &agenda)
        case .done(let finding):
            // Every machine is held before anything is concluded, also that all is well: what a dead run sent can then
            // not happen any more.
            guard !claim.machines.isEmpty || diagnosis.managed.isEmpty else {
                agenda.note(.message(text: "taking \(request.app), to look once more when nobody else can change it"))
                take(diagnosis.managed.map(\.id), in: diagnosis.managed, for: .diagnose, &agenda)
                return
            }
            act(on: finding, &agenda)
        }
    }

    private mutating func act(on finding: Diagnosis.Finding, _ agenda: inout Agenda) {
        switch finding {
        case .whole(let release, let machines):
            let opened = diagnosis?.openReleases.map(\.number.description) ?? []
            close(
                .preValidation, .passed,
                opened.isEmpty
                    ? "nothing to recover: every machine is on \(release)"
                    : "every machine is on \(release); never ended: \(opened.joined(separator: ", "))", &agenda)
            guard !machines.isEmpty else {
                end(.verified, "nothing to recover: \(release)", &agenda)
                return
            }
            beginVerify(request.settings.verify.withoutSoak, machines, &agenda)
        case .restore(let plan):
            close(
                .preValidation, .passed,
                "run \(plan.run) was not finished" + (plan.wasRollback ? " (it was on its way back)" : ""), &agenda)
            for line in plan.story { agenda.note(.message(text: line)) }
            restoration = plan
            changedByDeploy = plan.target.machines.map(\.id.rawValue)
            // It was found when the recovery began; when it came about nobody has seen.
            troubleSince = startedAt ?? agenda.now
            beginRollback(to: plan.target, before: [], &agenda)
        case .verify(let record):
            close(.preValidation, .passed, "\(record.number) was never verified, and is the first release", &agenda)
            adopted = record
            let present = Set(diagnosis?.managed.map(\.id) ?? [])
            let missing = record.machines.filter { !present.contains($0.id) }
            guard missing.isEmpty else {
                agenda.note(.message(text: "making what is missing: \(missing.map(\.name).joined(separator: ", "))"))
                changedByDeploy = missing.map(\.name)
                beginRollback(to: record, before: [], &agenda)
                return
            }
            let expected = record.machines.map { ($0.id, $0.config.checkCount) }
            beginVerify(request.settings.verify.withoutSoak, Dictionary(expected) { first, _ in first }, &agenda)
        case .unclear(let reason, let divergence):
            close(.preValidation, .failed, reason, &agenda)
            end(
                .needsHuman, "nothing was changed: \(reason)", divergence: divergence,
                nextSteps: [
                    "see what runs: airboss status \(request.pipeline)",
                    "bring all machines to one commit: airboss deploy \(request.pipeline) --reason TEXT",
                ], &agenda)
        }
    }

    /// What stood there already is healthy.
    mutating func verifiedInPlace(_ verify: HealthVerify, _ agenda: inout Agenda) {
        close(.verify, .passed, verify.healthStatus.isEmpty ? "healthy" : verify.healthStatus, &agenda)
        if let adopted {
            end(.verified, "\(adopted.number) was never verified; it is healthy, and verified now", &agenda)
        } else if let opened = diagnosis?.openReleases, !opened.isEmpty {
            let names = opened.map(\.number.description).joined(separator: ", ")
            end(.verified, "no machine had been changed; \(names) is closed as interrupted", &agenda)
        } else {
            end(.verified, "nothing to recover: every machine is on one release, and healthy", &agenda)
        }
    }

    mutating func notHealthyInPlace(_ reason: String, _ agenda: inout Agenda) {
        close(.verify, .failed, reason, &agenda)
        let divergence = adopted.map { ["all machines: on \($0.number), which was never verified"] } ?? []
        end(
            .needsHuman, "no run is unfinished, but the app is not healthy: \(reason)", divergence: divergence,
            nextSteps: [
                "look at the logs: fly logs -a \(request.app)",
                "go back to an earlier release: airboss rollback \(request.pipeline) --reason TEXT",
            ], &agenda)
    }

    /// A first release has the machines that it lacked.
    mutating func completed(_ record: ReleaseRecord, _ agenda: inout Agenda) {
        let made = rollback?.rollout?.installed ?? [:]
        var whole = record
        let names = Set(made.values.map(\.name))
        whole.machines = record.machines.filter { !names.contains($0.name) } + made.values.map(RecordedMachine.init)
        whole.machines.sort { $0.id < $1.id }
        adopted = whole
        end(.verified, "\(record.number) was never finished; it has all its machines now, and is verified", &agenda)
    }

    mutating func recovered(_ plan: Diagnosis.Restoration, _ agenda: inout Agenda) {
        let number = plan.target.number
        if plan.wasRollback {
            end(.verified, "run \(plan.run) was on its way back to \(number); it is there now, verified", &agenda)
        } else {
            end(.rolledBack, "run \(plan.run) never ended; rolled back to \(number), verified", &agenda)
        }
    }

    /// What a recovery has to close: the platform's records of releases that never ended, and the ledger's.
    mutating func settleRecovery(_ outcome: RunOutcome, _ agenda: inout Agenda) {
        guard request.kind == .recover, let diagnosis else { return }
        let isWhole = outcome == .verified || outcome == .rolledBack
        // Whoever could not make it whole has still ended the run that never ended; who was interrupted has not.
        guard isWhole || outcome == .needsHuman && (restoration != nil || adopted != nil) else { return }
        let isNowVerified = isWhole ? adopted?.number : nil
        for entry in diagnosis.openReleases {
            let status = entry.number == isNowVerified ? "complete" : "interrupted"
            settling.insert(agenda.perform(.platform(call: .finishRelease(id: entry.id, status: status))))
        }
        let states = diagnosis.history?.states ?? []
        for summary in states where summary.state == .deploying && summary.number != isNowVerified {
            settling.insert(agenda.perform(.ledger(entry: .mark(number: summary.number, state: .failed))))
        }
        guard isWhole, let target = restoration?.target ?? adopted, target.number.value > 0 else { return }
        let isKnown = states.contains { $0.number == target.number }
        settling.insert(
            agenda.perform(
                .ledger(entry: isKnown ? .mark(number: target.number, state: .verified) : .record(release: target))))
    }
}
