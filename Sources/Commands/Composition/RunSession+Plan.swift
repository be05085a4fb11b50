// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Images
internal import Journals
internal import Model
internal import Orchestration
internal import PipelineFiles
internal import Ports
internal import Rehearsal
internal import Stages

extension RunSession {
    /// The run that a plan is made of; it is never begun.
    private static let plannedRun = RunID("PLAN")
    /// Past runs looked at for how long they took.
    private static let maxPastRuns = 25

    /// What a run of this kind would do now. Changes nothing: it takes no app and no lease, pushes no image, uses no
    /// approval up, and keeps no record.
    func plan(
        _ kind: RunKind,
        _ makeRequest: (RunID, String, [NoticeOrder.Channel]) async throws(AirbossError) -> RunRequest
    ) async throws -> DeploymentPlan {
        try await equipped(for: kind) { equipment in
            let request = try await makeRequest(
                RunSession.plannedRun, equipment.origin.actor, equipment.channels.available
            ).impatient
            // Nothing is written under it: no run ever has this token.
            let fence = Fence(app: request.app, run: request.run, token: -1)
            let ports = await ports(request, fence, equipment, notices: NoNotices(), leaseNote: "a plan")
            let driver = PreviewDriver(ports: ports, clock: equipment.clock)
            let asked = try await driver.preview(request)
            var onward: RunPreview?
            if asked.machine.report?.outcome == .refused {
                onward = try await driver.preview(request.overridingAll, knowing: asked.answers)
            }
            var plan = DeploymentPlan(asked: asked, onward: onward, at: equipment.clock.now)
            try await add(whatIsKeptOf: request, to: &plan, equipment)
            return plan
        }
    }

    /// What only the state store knows: how long such runs took, and who is at work.
    private func add(
        whatIsKeptOf request: RunRequest, to plan: inout DeploymentPlan, _ equipment: Equipment
    ) async throws {
        do throws(StateError) {
            let isRollback = request.kind == .rollback
            let runs = try await equipment.store.runs(
                RunFilter(pipeline: request.pipeline), limit: RunSession.maxPastRuns)
            plan.pastDurations = runs.compactMap { run in
                let kinds: [RunKind] = isRollback ? [.rollback] : [.deploy, .promote]
                guard kinds.contains(where: { $0.rawValue == run.header.kind }), let end = run.end,
                    end.outcome == RunOutcome.verified.rawValue
                else { return nil }
                return end.finishedAt - run.header.startedAt
            }
            let hold = try await equipment.store.hold(request.app)
            if let hold {
                plan.warnings.append(
                    "run \(hold.run) holds \(request.app) since \(hold.acquiredAt): what it changes is not planned for")
            }
        } catch {
            throw error.asAirbossError
        }
        for record in try await unfinished(equipment)
        where !plan.warnings.contains(where: {
            $0.hasPrefix("run \(record.header.run) ")
        }) {
            plan.warnings.append(
                "run \(record.header.run) never ended: a deploy or rollback goes on with it first, "
                    + "or do it now with airboss recover \(context.pipeline.name)")
        }
        let advice = context.diagnostics.filter { $0.severity == .warning }
        plan.warnings += advice.map {
            "\($0.location): \($0.message)" + ($0.suggestion.isEmpty ? "" : "; \($0.suggestion)")
        }
    }
}

extension DeploymentPlan {
    /// By what another plan is told to be the same.
    var hash: PlanHash {
        PlanHash(hashedContents) { text in
            String(ImageDigest(of: Data(text.utf8)).rawValue.dropFirst("sha256:".count))
        }
    }
}

/// Nobody is told of a plan.
private struct NoNotices: NoticePort {
    func answer(_ order: NoticeOrder, at now: Timestamp) async -> Answer {
        .failed(failure: Failure(.refused, "a plan tells nobody"))
    }
}
