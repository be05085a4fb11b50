// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Journals
internal import Model
internal import PipelineFiles
internal import Ports
internal import Stages
internal import Windows

/// A pipeline's deployment window with the rules of its zone, and what the state store knows of maintenance and of past
/// deploys.
struct LiveWindow: WindowPort {
    /// As the pipeline file has it, without maintenance.
    let window: DeploymentWindow
    let rules: TimeZoneRules
    /// Nil where the pipeline knows no maintenance windows.
    let policy: MaintenancePolicy?
    let mustFinish: Bool
    let pipeline: Pipeline
    /// Nil where nothing is asked of it.
    var store: (any StateStore)?

    /// Reads the window, its zones and its files; throws an ``AirbossError`` (78) with the place of what is wrong. Nil
    /// where the pipeline has no window.
    init?(_ pipeline: Pipeline, environment: [String: String], now: Timestamp) throws(AirbossError) {
        let (window, diagnostics) = LiveWindow.read(pipeline, environment: environment, now: now)
        let errors = diagnostics.filter { $0.severity == .error }
        guard errors.isEmpty else { throw PipelineFileErrors(errors).airbossError }
        guard let window else { return nil }
        self = window
    }

    init(
        window: DeploymentWindow, rules: TimeZoneRules, policy: MaintenancePolicy?, mustFinish: Bool,
        pipeline: Pipeline
    ) {
        self.window = window
        self.rules = rules
        self.policy = policy
        self.mustFinish = mustFinish
        self.pipeline = pipeline
    }

    /// Whether an answer needs the state store.
    var needsStore: Bool { policy != nil || mustFinish }

    func answer(at now: Timestamp) async -> Answer {
        guard now >= DeploymentWindow.earliestCredibleTime else {
            return .failed(
                failure: Failure(
                    .invalid, "this machine's clock says \(now), which can't be", hint: "set the machine's clock"))
        }
        do {
            let decision = try await complete(at: now).decide(at: now, rules: rules)
            return .window(
                decision: WindowAnswer(
                    isOpen: decision.isOpen, rule: decision.rule, nextOpen: decision.nextOpen, closes: decision.closes,
                    forecast: decision.isOpen ? try await forecast() : nil,
                    nextOpenWords: decision.nextOpen.map(rules.described)))
        } catch {
            return .failed(failure: Failure(.unavailable, error.message, hint: error.hint))
        }
    }

    /// The window with the maintenance that was announced for it.
    func complete(at now: Timestamp) async throws(StateError) -> DeploymentWindow {
        var window = window
        window.maintenance = try await maintenance(at: now).filter(isAnnouncedInTime).compactMap(\.opens)
        return window
    }

    /// All maintenance that is known, by its beginning; empty where the pipeline knows none.
    func maintenance(at now: Timestamp) async throws(StateError) -> [Maintenance] {
        guard policy != nil, let store else { return [] }
        return try await MaintenanceRecords(store: store, pipeline: pipeline).all(at: now)
    }

    /// The notice is looked at again: the pipeline may ask for more than when it was announced.
    func isAnnouncedInTime(_ maintenance: Maintenance) -> Bool {
        policy.map { maintenance.window.notice >= $0.notice } ?? false
    }

    /// What past deploys took; nil where the pipeline does not ask whether a deploy can finish.
    func forecast() async throws(StateError) -> FinishForecast? {
        guard mustFinish, let store else { return nil }
        let (deploy, verify) = (pipeline.deploy, pipeline.verify)
        var forecast = FinishForecast(
            past: [], soak: verify.soak, assumed: deploy.waitTimeout + verify.interval * verify.attempts,
            assumption: "wait_timeout \(deploy.waitTimeout.words), and \(verify.attempts) attempts "
                + "\(verify.interval.words) apart")
        let runs = try await store.runs(RunFilter(pipeline: pipeline.name), limit: LiveWindow.maxRunsRead)
        for run in runs where forecast.past.count < FinishForecast.maxPastDeploys {
            guard let past = try await pastDeploy(run, store) else { continue }
            forecast.past.append(past)
        }
        return forecast
    }

    /// Runs looked at for past deploys.
    private static let maxRunsRead = 200

    /// What a verified deploy took without its soak, which its journal tells; nil for any other run.
    private func pastDeploy(
        _ run: RunRecord, _ store: any StateStore
    ) async throws(StateError) -> FinishForecast.PastDeploy? {
        let kinds = [RunKind.deploy.rawValue, RunKind.promote.rawValue]
        guard kinds.contains(run.header.kind), let end = run.end, end.outcome == RunOutcome.verified.rawValue
        else { return nil }
        // A run of a version that wrote these otherwise is no sample; the others are.
        guard let report = try? JSONDecoder().decode(RunFinished.self, from: end.summary).report,
            let first = try await store.events(run.header.run).entries.first, first.kind == LiveJournal.requestKind,
            let request = try? JSONDecoder().decode(RunRequest.self, from: first.payload)
        else { return nil }
        func stage(_ name: StageName) -> StageReport? { report.stages.first { $0.stage == name } }
        guard let verified = stage(.verify)?.finishedAt, let deploy = stage(.deploy)?.startedAt else { return nil }
        let soak = request.settings.verify.soak
        return FinishForecast.PastDeploy(
            fromWindow: max(.zero, verified - (stage(.window)?.startedAt ?? deploy) - soak),
            fromDeploy: max(.zero, verified - deploy - soak))
    }
}

/// A pipeline without a window: always open.
struct NoWindow: WindowPort {
    func answer(at now: Timestamp) async -> Answer {
        .window(decision: WindowAnswer(isOpen: true, rule: "the pipeline has no window"))
    }
}

/// A window that can't be read, for runs that may begin without it.
struct UnreadableWindow: WindowPort {
    let reason: AirbossError

    func answer(at now: Timestamp) async -> Answer {
        .failed(failure: Failure(.invalid, "\(reason.location): \(reason.message)", hint: reason.hint))
    }
}
