// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import PipelineFiles
internal import Rollouts
internal import Verification

/// What follows from each end of each stage.
extension RunMachine {
    mutating func afterPreValidation(_ agenda: inout Agenda) {
        switch preValidation.state {
        case .waiting, .asking: return
        // Who may wait has its image built meanwhile.
        case .passed
        where preValidation.contention != nil && (request.kind == .rollback || request.settings.waitForApp == nil):
            takeFleet(for: .judge, &agenda)
        case .passed:
            passed(&agenda)
            if request.kind == .rollback, let target = preValidation.facts.wayBack {
                if runningStage != .rollback { open(.rollback, &agenda) }
                takeFleet(for: .rollback(target: target), &agenda)
            } else if case .built = build.state {
                takeFleet(for: .deploy, &agenda)
            } else {
                state = .window
                open(.window, &agenda)
                windowGate.begin(&agenda)
            }
        case .refused(var refusal):
            if runningStage != .preValidation { refusal.reason += " (asked again after the wait)" }
            refuse(runningStage, refusal, &agenda)
        case .stopped: stopped(runningStage, changed: [], &agenda)
        }
    }

    private mutating func passed(_ agenda: inout Agenda) {
        let (skipped, count) = (preValidation.overrides.map(\.gate), preValidation.gates.count)
        guard runningStage == .preValidation else {
            agenda.note(.message(text: "\(count) gates passed again"))
            return
        }
        let later = preValidation.contention == nil ? "" : "; the fleet is judged when this run has the app"
        close(
            .preValidation, skipped.isEmpty ? .passed : .overridden,
            (skipped.isEmpty ? "\(count) gates passed" : "overridden: \(skipped.joined(separator: ", "))") + later,
            &agenda)
    }

    /// Asks for the app by the machines that it has, as far as is known.
    private mutating func takeFleet(for intent: Intent, _ agenda: inout Agenda) {
        let fleet = preValidation.facts.fleet
        take(AppClaim.guards(of: fleet, staying: stayingGroups), in: fleet, for: intent, &agenda)
    }

    /// The way back as it was found, recorded before anything changes.
    mutating func recordWayBack(_ agenda: inout Agenda) {
        guard let wayBack = preValidation.facts.wayBack,
            preValidation.facts.history?.current?.number != wayBack.number
        else { return }
        agenda.performAndForget(.ledger(entry: .record(release: wayBack)))
        // A record keeps its state when it is completed: one that failed once and serves now is judged anew.
        if wayBack.run != request.run {
            agenda.performAndForget(.ledger(entry: .mark(number: wayBack.number, state: .verified)))
        }
    }

    mutating func afterWindow(_ agenda: inout Agenda) {
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

    mutating func beginBuild(_ agenda: inout Agenda) {
        state = .build
        open(.build, &agenda)
        build.begin(request.settings.build, of: preValidation.facts.commit, &agenda)
    }

    mutating func afterBuild(_ agenda: inout Agenda) {
        switch build.state {
        case .waiting, .building: return
        case .built(let image) where request.planned?.image.map { $0 != image.digest } ?? false:
            let planned = request.planned?.image?.short ?? ""
            refuse(
                .build,
                Refusal(
                    .refused,
                    "the image is not the one that was planned: it is \(image.digest.short), and not \(planned)",
                    hints: ["make a new plan: airboss plan \(request.pipeline)"]), &agenda)
        case .built(let image):
            let (sent, kept) = (RunMachine.megabytes(image.uploadedBytes), RunMachine.megabytes(image.skippedBytes))
            let isPushed = image.uploadedBytes + image.skippedBytes > 0
            let sizes = isPushed ? ", \(sent) uploaded, \(kept) already there" : ""
            close(.build, .passed, "\(image.digest.short)\(sizes)", &agenda)
            // What is found may be another's by the time at which this run has the app.
            if request.settings.judgesAgain != true { recordWayBack(&agenda) }
            open(.deploy, &agenda)
            takeFleet(for: .deploy, &agenda)
        case .refused(let refusal): refuse(.build, refusal, &agenda)
        case .stopped: stopped(.build, changed: [], &agenda)
        }
    }

    mutating func afterDeploy(_ agenda: inout Agenda) {
        guard let deploy else { return }
        switch deploy.state {
        case .waiting, .rechecking, .looking, .surveying, .numbering, .seeking, .pausing, .recording, .rolling,
            .completing:
            return
        case .deployed:
            let machines = deploy.release?.machines.count ?? 0
            close(.deploy, .passed, "\(machines) machines on \(deploy.release?.number.description ?? "")", &agenda)
            beginVerify(
                request.settings.verify, deploy.expectedChecks, versions: deploy.versions, &agenda)
        case .failed(let reason, let changed):
            if troubleSince == nil { troubleSince = agenda.now }
            noteLateCreations(deploy.remains, agenda.now)
            close(.deploy, .failed, reason, &agenda)
            failed("the deploy failed: \(reason)", changed: everChanged(and: changed), &agenda)
        // One that goes on after its process died may be refused with machines changed already.
        case .refused(let refusal) where !changedByDeploy.isEmpty:
            close(.deploy, .failed, refusal.reason, &agenda)
            failed("the deploy could not go on: \(refusal.reason)", changed: changedByDeploy, &agenda)
        case .refused(let refusal) where refusal.isOvertaken == true && mayLookAnew:
            self.deploy = nil
            goneLooks += 1
            judgeAgain(because: "\(refusal.reason): looking at the fleet anew", &agenda)
        case .refused(let refusal): refuse(.deploy, refusal, &agenda)
        case .stopped(let changed): stopped(.deploy, changed: everChanged(and: changed), &agenda)
        }
    }

    /// With the machines that the deploy had changed before its process died.
    private func everChanged(and changed: [String]) -> [String] { Set(changed).union(changedByDeploy).sorted() }

    mutating func afterVerify(_ agenda: inout Agenda) {
        guard let verify else { return }
        switch verify.state {
        case .waiting, .probing, .inspecting, .smoking, .soaking: return
        case .healthy where request.kind == .recover: verifiedInPlace(verify, &agenda)
        case .unhealthy(let reason) where request.kind == .recover: notHealthyInPlace(reason, &agenda)
        case .healthy:
            close(.verify, .passed, verify.healthStatus.isEmpty ? "healthy" : verify.healthStatus, &agenda)
            let number = deploy?.release?.number.description ?? ""
            let origin = request.promotion.map { ", promoted from \($0.source.probe.name) \($0.release)" } ?? ""
            end(.verified, "\(number) is deployed and verified\(origin)", &agenda)
        case .unhealthy(let reason):
            if troubleSince == nil { troubleSince = verify.firstFailureAt }
            close(.verify, .failed, reason, &agenda)
            failed(
                "the new release is not healthy: \(reason)",
                changed: deploy?.release?.machines.map(\.id.rawValue) ?? [], &agenda)
        case .stopped where request.kind == .recover: stopped(.verify, changed: [], &agenda)
        case .stopped: stopped(.verify, changed: deploy?.release?.machines.map(\.id.rawValue) ?? [], &agenda)
        }
    }

    /// After a failed deploy or verify: back, if there is a way back and it may be gone automatically.
    mutating func failed(_ reason: String, changed: [String], _ agenda: inout Agenda) {
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
                nextSteps: [
                    "if the old code can run on the new schema: \(command) --skip migrations --approved-by WHO"
                ], &agenda)
            return
        }
        // What may yet happen to a machine must not happen once the machine was looked at: with new leases it can't.
        let uncertain = deploy?.remains.uncertain ?? []
        guard uncertain.isEmpty || resumptions > 0 else {
            // The old leases end before new ones are taken: somebody else may come in between.
            mustConfirm = true
            open(.rollback, &agenda)
            takeOver(uncertain, others: [:], for: .rollback(target: target), &agenda)
            return
        }
        // Leases were given back so that machines at rest could be verified; who has been here since?
        let guards = AppClaim.guards(of: deploy?.before ?? [], staying: stayingGroups)
        guard guards.allSatisfy(claim.holds) else {
            mustConfirm = true
            open(.rollback, &agenda)
            takeOver(guards, others: [:], for: .rollback(target: target), &agenda)
            return
        }
        beginRollback(to: target, before: deploy?.before ?? [], &agenda)
    }

    /// The process groups that the pipeline's fly.toml names.
    var stayingGroups: Set<ProcessGroup> { Set(request.settings.flyToml.groups) }

    mutating func beginDeploy(_ agenda: inout Agenda) {
        guard case .built(let image) = build.state else { return }
        state = .deploy
        announce(&agenda)
        let facts = preValidation.facts
        var stage = Deploy(
            request, commit: facts.commit, image: image,
            hasNoMachinesYet: facts.hasSeenFleet && !facts.fleet.contains(where: \.isManaged), leases: claim.nonces,
            newestRelease: facts.platformReleases.map(\.number).max(), hasWaited: claim.hasMetOthers)
        stage.begin(&agenda)
        deploy = stage
    }

    mutating func beginVerify(
        _ plan: VerifyPlan, _ expected: [MachineID: Int], versions: [MachineID: InstanceID] = [:],
        _ agenda: inout Agenda
    ) {
        state = .verify
        if reports.first(where: { $0.stage == .verify })?.state != .running { open(.verify, &agenda) }
        var seen = deploy?.rollout?.view ?? [:]
        for machine in diagnosis?.managed ?? [] { seen[machine.id] = Observation(of: machine) }
        loosenClaim(seen, &agenda)
        var stage = HealthVerify(plan, expected: expected, versions: versions)
        stage.begin(&agenda)
        verify = stage
    }

    mutating func beginRollback(to target: ReleaseRecord, before: [FleetMachine], _ agenda: inout Agenda) {
        state = .rollback
        if reports.first(where: { $0.stage == .rollback })?.state != .running { open(.rollback, &agenda) }
        agenda.note(.message(text: "rolling back to \(target.number) (\(target.digest.short))"))
        var stage = Rollback(
            request, to: target, before: before, leases: claim.nonces, attempt: resumptions,
            suspects: Set(changedByDeploy.map { MachineID($0) }),
            seen: preValidation.facts.fleet + (deploy?.before ?? []) + (confirmation?.fleet ?? [])
                + (deploy?.rollout?.installed.values.map(\.self) ?? []))
        stage.begin(&agenda)
        rollback = stage
    }

    mutating func afterRollback(_ agenda: inout Agenda) {
        guard let rollback else { return }
        switch rollback.state {
        case .verifying: loosenClaim(rollback.rollout?.view ?? [:], &agenda)
        case .waiting, .looking, .confirming, .pausing, .restoring, .removing, .diagnosing: return
        case .restored:
            let target = rollback.target.number
            close(.rollback, .passed, "\(target) is back and verified", &agenda)
            warnIfLate(&agenda)
            if let restoration {
                recovered(restoration, &agenda)
            } else if let adopted {
                completed(adopted, &agenda)
            } else if request.kind == .rollback {
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
        case .stopped(let changed): stopped(.rollback, changed: everChanged(and: changed), &agenda)
        }
    }

    mutating func warnIfLate(_ agenda: inout Agenda) {
        guard let allowed = request.settings.rollbackWithin,
            let began = reports.first(where: { $0.stage == .rollback })?.startedAt, agenda.now - began > allowed
        else { return }
        let text = "the rollback took \(Int((agenda.now - began).inSeconds)) s, allowed are \(Int(allowed.inSeconds)) s"
        warnings.append(text)
        agenda.note(.warning(text: text))
    }
}
