// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import Rollouts
internal import Verification

/// What of a run's events and of the decisions that follow from them belongs into the audit record.
///
/// One mapping for everything a run does: whoever keeps an event keeps what this says of it in the same breath. A
/// mutation is there twice, when it is about to be sent and when it was answered, so that one whose answer never came
/// is there as well. That a lease is prolonged is not recorded: it changes nothing, and stands in the journal.
package struct AuditTrail: Hashable, Sendable {
    /// What was asked of the world and not answered yet.
    private var open: [ActionID: Effect] = [:]

    package init() {}

    /// The entries for one event of a run.
    ///
    /// - Parameters:
    ///   - agenda: what the run decided upon it.
    ///   - before: the run as it was when the event came.
    ///   - run: the run as it is since.
    package mutating func entries(
        for event: RunEvent, _ agenda: Agenda, before: RunMachine, after run: RunMachine
    ) -> [AuditEntry] {
        var entries = came(event, to: run)
        for note in agenda.notes { entries += noted(note, run, at: event.at) }
        for action in agenda.actions { entries += asked(action, run, at: event.at) }
        if run.isFinished, !before.isFinished, let report = run.report {
            entries.append(AuditTrail.finished(report, at: event.at))
        }
        return entries
    }

    // MARK: - What came in

    private mutating func came(_ event: RunEvent, to run: RunMachine) -> [AuditEntry] {
        switch event.kind {
        case .started:
            let request = run.request
            var after: JSONValue = ["kind": .string(request.kind.rawValue)]
            switch request.kind {
            case .deploy, .promote:
                after["revision"] = .string(request.revision)
                if let promotion = request.promotion {
                    after["promoted_from"] = .string(promotion.source.probe.name)
                    after["promoted_release"] = .integer(Int64(promotion.release.value))
                    after["digest"] = .string(promotion.digest.rawValue)
                }
            case .rollback: after["target"] = request.target.map { .integer(Int64($0.value)) } ?? .null
            case .recover: break
            }
            if !request.overrides.approvedBy.isEmpty {
                after["emergency"] = .bool(request.overrides.isEmergency)
                after["approved_by"] = .string(request.overrides.approvedBy)
                after["skip"] = .array(request.overrides.skippedGates.map(JSONValue.string))
            }
            return [
                AuditEntry(
                    .runStarted, of: request.run.rawValue, "\(request.kind.rawValue) of \(request.pipeline)",
                    after: after, at: event.at)
            ]
        case .resumed:
            // The answers to whatever was open are lost.
            open = [:]
            return [
                AuditEntry(
                    .runResumed, of: run.request.run.rawValue, "another process goes on with the run", at: event.at)
            ]
        case .interrupted(let signal):
            return [
                AuditEntry(
                    .runInterrupted, of: run.request.run.rawValue, "told to stop",
                    after: ["signal": .integer(Int64(signal))], at: event.at)
            ]
        case .answered(let action, let answer):
            guard let effect = open.removeValue(forKey: action) else { return [] }
            return answered(effect, answer, action, run, at: event.at)
        case .fenced: return []
        }
    }

    private func answered(
        _ effect: Effect, _ answer: Answer, _ action: ActionID, _ run: RunMachine, at time: Timestamp
    ) -> [AuditEntry] {
        var after: JSONValue = ["action": .integer(Int64(action.value))]
        var detail = "done"
        if case .failed(let failure) = answer {
            detail = failure.isAmbiguous ? "no answer: \(failure.text)" : "failed: \(failure.text)"
            after["failure"] = .string(failure.code.rawValue)
        }
        switch (effect, answer) {
        case (.platform(let call), _):
            switch answer {
            case .machine(let machine), .created(let machine, _): after["machine"] = AuditTrail.summary(of: machine)
            default: break
            }
            if case .platformRelease(let id, let number) = answer {
                after["release"] = .integer(Int64(number.value))
                after["platform_id"] = .string(id)
            }
            return [
                AuditEntry(
                    .mutationAnswered, of: call.auditSubject, "\(call.auditName): \(detail)", after: after, at: time)
            ]
        case (.approvals(.spend(let approvals)), _):
            let counted = Dictionary(run.preValidation.facts.approvals.map { ($0.nonce, $0) }) { first, _ in first }
            return approvals.map { approval in
                var after = counted[approval.nonce]?.json ?? ["nonce": .string(approval.nonce)]
                after["commit"] = .string(approval.commit.rawValue)
                return AuditEntry(
                    .approvalUsed, of: approval.approver, "approval of \(approval.commit.short): \(detail)",
                    after: after, at: time)
            }
        case (.image(let task), _):
            var name = "build"
            if case .copy = task { name = "copy" }
            if case .image(let image) = answer {
                after["image"] = .string(image.reference)
                after["uploaded_bytes"] = .integer(image.uploadedBytes)
            }
            return [AuditEntry(.imageAnswered, of: "image", "\(name): \(detail)", after: after, at: time)]
        case (.ledger(.record(let release)), .failed):
            return [AuditEntry(.releaseRecorded, of: release.number.description, detail, after: after, at: time)]
        case (.ledger(.mark(let release, _)), .failed):
            return [AuditEntry(.releaseMarked, of: release.description, detail, after: after, at: time)]
        default: return []
        }
    }

    // MARK: - What was decided

    private func noted(_ note: RunNote, _ run: RunMachine, at time: Timestamp) -> [AuditEntry] {
        let overrides = run.request.overrides
        func overridden(_ gate: String, _ said: String) -> AuditEntry {
            AuditEntry(
                .gateOverridden, of: gate, "it would have said: \(said)",
                after: [
                    "approved_by": .string(overrides.approvedBy), "emergency": .bool(overrides.isEmergency),
                    "would_have_said": .string(said),
                ], at: time)
        }
        switch note {
        case .gate(let name, let state, let detail):
            if state == .overridden { return [overridden(name, detail)] }
            return [
                AuditEntry(.gateDecided, of: name, detail, after: ["state": .string(state.rawValue)], at: time)
            ]
        case .stage(let report):
            let entry = AuditEntry(
                .stageChanged, of: report.stage.rawValue, report.detail,
                after: ["state": .string(report.state.rawValue)], at: time)
            // The window is a stage and a gate in one; what other gates said is told by them.
            let isGate = report.stage == .window && report.state == .overridden
            return isGate ? [overridden(GateName.window.rawValue, report.detail), entry] : [entry]
        case .machine, .message, .warning: return []
        }
    }

    // MARK: - What is about to be done

    private mutating func asked(_ action: Action, _ run: RunMachine, at time: Timestamp) -> [AuditEntry] {
        let number: JSONValue = .integer(Int64(action.id.value))
        switch action.effect {
        case .platform(.refreshLease), .platform(.setMetadata), .platform(.removeMetadata): return []
        case .platform(let call):
            guard call.isMutation else { return [] }
            open[action.id] = action.effect
            var after = call.auditDetail
            after["action"] = number
            let before = call.auditMachine.flatMap { id in run.knownMachine(id) }
            return [
                AuditEntry(
                    .mutationAsked, of: call.auditSubject, call.auditName,
                    before: before.map(AuditTrail.summary) ?? .null, after: after, at: time)
            ]
        case .image(.build(let commit, let tag)):
            open[action.id] = action.effect
            return [
                AuditEntry(
                    .imageAsked, of: "image", "build",
                    after: ["action": number, "commit": .string(commit.rawValue), "tag": .string(tag)], at: time)
            ]
        case .image(.copy(let reference)):
            open[action.id] = action.effect
            return [
                AuditEntry(
                    .imageAsked, of: "image", "copy", after: ["action": number, "image": .string(reference)], at: time)
            ]
        case .approvals(.spend):
            open[action.id] = action.effect
            return []
        case .ledger(.record(let release)):
            open[action.id] = action.effect
            return [
                AuditEntry(
                    .releaseRecorded, of: release.number.description, release.subject,
                    after: [
                        "state": .string(release.state.rawValue), "image": .string(release.image),
                        "commit": release.commit.map { .string($0.rawValue) } ?? .null, "action": number,
                    ], at: time)
            ]
        case .ledger(.mark(let release, let state)):
            open[action.id] = action.effect
            let known = run.preValidation.facts.history?.states.first { $0.number == release }
            return [
                AuditEntry(
                    .releaseMarked, of: release.description, state.rawValue,
                    before: known.map { ["state": .string($0.state.rawValue)] } ?? .null,
                    after: ["state": .string(state.rawValue), "action": number], at: time)
            ]
        default: return []  // questions, probes, waits and notices change nothing that is deployed
        }
    }

    /// How a run ended, also one that somebody else ends for it.
    package static func finished(_ report: RunReport, at time: Timestamp) -> AuditEntry {
        AuditEntry(
            .runFinished, of: report.run.rawValue, report.headline,
            before: ["release": report.previousRelease.map { .integer(Int64($0.value)) } ?? .null],
            after: [
                "outcome": .string(report.outcome.rawValue), "exit_code": .integer(Int64(report.exitCode)),
                "release": report.release.map { .integer(Int64($0.value)) } ?? .null, "image": .string(report.image),
                "commit": report.commit.map { .string($0.rawValue) } ?? .null,
                "overrides": .array(report.overrides.map { .string($0.gate) }),
                "approvals": .array((report.approvals ?? []).map(\.json)),
                "divergence": .array(report.divergence.map(JSONValue.string)),
            ], at: time)
    }

    /// What of a machine can be told: its config may hold secrets, so it is there by its fingerprint.
    private static func summary(of machine: FleetMachine) -> JSONValue {
        [
            "instance": .string(machine.instance.rawValue), "state": .string(machine.state),
            "image": .string(machine.config.image ?? ""), "config": .string(machine.config.fingerprint),
        ]
    }
}

extension RunMachine {
    /// A machine as the run saw it before it changed anything.
    fileprivate func knownMachine(_ id: MachineID) -> FleetMachine? {
        preValidation.facts.fleet.first { $0.id == id }
    }
}

extension PlatformCall {
    /// The call's name in the audit record.
    fileprivate var auditName: String {
        switch self {
        case .app: "app"
        case .machines: "machines"
        case .observe: "observe"
        case .machine: "machine"
        case .acquireLease: "lease"
        case .refreshLease: "prolong lease"
        case .releaseLease: "give lease back"
        case .update: "update"
        case .create: "create"
        case .wait: "wait"
        case .destroy: "destroy"
        case .versions: "versions"
        case .lease: "lease holder"
        case .metadata: "metadata"
        case .setMetadata: "set metadata"
        case .removeMetadata: "remove metadata"
        case .cordon: "cordon"
        case .uncordon: "uncordon"
        case .secretNames: "secret names"
        case .createRelease: "create release"
        case .finishRelease: "finish release"
        case .releases: "releases"
        }
    }

    /// The machine the call is about; nil where it is about none that is there already.
    fileprivate var auditMachine: MachineID? {
        switch self {
        case .machine(let id), .acquireLease(let id, _), .refreshLease(let id, _, _), .releaseLease(let id, _),
            .update(let id, _, _, _, _), .wait(let id, _, _, _), .destroy(let id, _), .versions(let id), .lease(let id),
            .cordon(let id, _), .uncordon(let id, _), .metadata(let id, _), .setMetadata(let id, _, _),
            .removeMetadata(let id, _):
            id
        case .app, .machines, .observe, .create, .secretNames, .createRelease, .finishRelease, .releases: nil
        }
    }

    fileprivate var auditSubject: String {
        if let auditMachine { return auditMachine.rawValue }
        return switch self {
        case .create(let name, _, _, _, _): name
        case .finishRelease(let id, _): id
        default: "release"
        }
    }

    /// What the call wants; the nonces of leases prove something, and stay out.
    fileprivate var auditDetail: JSONValue {
        switch self {
        case .update(_, let config, let version, _, let skipLaunch):
            [
                "image": .string(config.image ?? ""), "config": .string(config.fingerprint),
                "expected": .string(version.rawValue), "launch": .bool(!skipLaunch),
            ]
        case .create(let name, let region, let config, let skipLaunch, _):
            [
                "name": .string(name), "region": .string(region), "image": .string(config.image ?? ""),
                "config": .string(config.fingerprint), "launch": .bool(!skipLaunch),
            ]
        case .acquireLease(_, let seconds): ["seconds": .integer(Int64(seconds))]
        case .createRelease(let image, let strategy): ["image": .string(image), "strategy": .string(strategy)]
        case .finishRelease(_, let status): ["status": .string(status)]
        default: [:]
        }
    }
}
