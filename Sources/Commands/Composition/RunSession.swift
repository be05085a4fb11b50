// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyPlatform
internal import FoundationEssentials
internal import GitHistory
internal import HTTPTransport
internal import Images
internal import Journals
internal import Model
internal import Notifications
internal import Orchestration
internal import PipelineFiles
internal import Ports
internal import Stages

/// One run of a pipeline in this process: holds the app, drives the run, and closes its record.
struct RunSession {
    let context: PipelineContext
    let options: GlobalOptions
    let view: any RunView

    /// A holder on another host that was silent for this long counts as gone.
    static let holderSilence = Duration.seconds(120)
    /// How often a run says that it still holds the app.
    static let heartbeatInterval = Duration.seconds(20)

    /// Runs what `makeRequest` asks for and returns its report; throws an ``AirbossError`` where no run could begin, or
    /// where its events could no longer be kept.
    func run(
        _ kind: RunKind,
        _ makeRequest: (RunID, String, [NoticeOrder.Channel]) async throws(AirbossError) -> RunRequest
    ) async throws -> RunReport {
        let environment = context.environment
        let clock = SteadyClock(startingAt: Timestamp.fromSystemClock())
        let endpoints = try FlyEndpoints(environment: environment)
        let token = try FlyToken(environment: environment)
        let http = HTTPClient(.init(userAgent: "airboss/\(Version.current)"))
        let platform = FlyClient(
            endpoints: endpoints, token: token, http: http, userAgent: "airboss/\(Version.current)",
            observer: options.callObserver)
        let repository = try await openRepository(for: kind)
        let actor = await actorName(repository)
        let run = RunID(ULID.make(at: clock.now))
        let channels = try context.noticeChannels(of: kind) { view.warn($0) }
        let request = try await makeRequest(run, actor, channels.available)

        // Whatever the files say wrong is found before the app is held.
        let plan = Plan(
            channels: channels, window: try window(at: clock.now),
            layers: kind == .rollback ? nil : try context.imageLayers())

        let store = try await options.openStore(for: context)
        let holder = Holder.process(at: clock.now)
        try await hold(store, run, holder, clock.now)
        do {
            let report = try await drive(
                request, plan, store: store, holder: holder, clock: clock, http: http, platform: platform,
                token: token, endpoints: endpoints, repository: repository)
            await http.shutdown()
            return report
        } catch {
            // The record stays open: what happened is in the journal, and the next run sees that this one never ended.
            await http.shutdown()
            throw error
        }
    }

    /// What the pipeline asks for beside the run itself.
    private struct Plan {
        var channels: NoticeChannels
        var window: any WindowPort
        var layers: ImageLayers?
    }

    private func window(at now: Timestamp) throws(AirbossError) -> any WindowPort {
        guard let description = context.pipeline.window else { return NoWindow() }
        return try LiveWindow(description, environment: context.environment, now: now)
    }

    private func drive(
        _ request: RunRequest, _ plan: Plan, store: any StateStore, holder: Holder, clock: SteadyClock,
        http: HTTPClient,
        platform: FlyClient, token: FlyToken, endpoints: FlyEndpoints, repository: GitRepository?
    ) async throws -> RunReport {
        let run = request.run
        let app = request.app
        let sender = NoticeSender(
            channels: plan.channels, http: http, mail: MailTransport(),
            outbox: StoredOutbox(store: store))
        let images = LiveImages(
            builder: ImageBuilder(
                registry: RegistryClient(
                    http: http,
                    credentials: [endpoints.registryHost: .fly(token: token.registryPassword)])),
            repository: repository, layers: plan.layers, registryHost: endpoints.registryHost, app: app)
        let journal = LiveJournal(store, run: run, after: 0)
        try await opened(store, request, holder, clock.now)
        try await journal.begin(request, at: clock.now)
        let ports = RunPorts(
            platform: LivePlatform(
                client: platform, app: app, description: "airboss \(request.kind.rawValue) \(run) by \(request.actor)"),
            source: repository.map { LiveSource(repository: $0) } ?? NoSource(),
            images: images, probes: LiveProbes(http: http), window: plan.window,
            ledger: LiveLedger(store: store, app: app), notices: sender)
        let heartbeat = Task {
            while !Task.isCancelled {
                // A heartbeat that can't be written shows in the journal's own writes, which end the run.
                try? await Task.sleep(for: RunSession.heartbeatInterval)
                _ = try? await store.heartbeat(app, run: run, at: clock.now)
            }
        }
        defer { heartbeat.cancel() }
        _ = await StoredOutbox(store: store).deliverOverdue(of: request.pipeline, with: sender, at: clock.now)
        view.begin(request)
        let advice = context.diagnostics.filter { $0.severity == .warning }.map {
            "\($0.location): \($0.message)" + ($0.suggestion.isEmpty ? "" : "; \($0.suggestion)")
        }
        for text in advice { view.warn(text) }
        let signals = Signals()
        defer { signals.stop() }
        let driver = RunDriver(ports: ports, journal: journal, clock: clock) { [view] in view.show($0) }
        let machine = try await driver.run(request, signals: signals.stream)
        guard var report = machine.report else {
            throw AirbossError(.needsHuman, "the run ended without saying how; see airboss show \(run)")
        }
        report.finishedAt = clock.now
        report.warnings.insert(contentsOf: advice, at: 0)
        let record = RunFinished(report: report, flyAPICalls: platform.callCount)
        try await store.closeRun(
            run, outcome: report.outcome.rawValue, exitCode: report.exitCode, finishedAt: report.finishedAt,
            summary: try record.data())
        try await store.release(app, run: run)
        view.finish(record)
        return report
    }

    private func openRepository(for kind: RunKind) async throws -> GitRepository? {
        guard case .layers = context.pipeline.build, kind != .rollback else {
            // An image can be deployed without a repository; then commits are simply not known.
            return try? await GitRepository.open(at: try context.repositoryPath())
        }
        do {
            return try await GitRepository.open(at: try context.repositoryPath())
        } catch let error as GitError {
            throw AirbossError(.refused, error.message, hint: error.hint)
        }
    }

    /// Who runs this: GitHub's actor, else git's user, else the user of the shell.
    private func actorName(_ repository: GitRepository?) async -> String {
        let environment = context.environment
        if let actor = environment["GITHUB_ACTOR"], !actor.isEmpty { return actor }
        // A repository whose config can't be read names nobody; the shell's user is asked next.
        if let user = try? await repository?.user, !user.name.isEmpty { return user.name }
        return environment["USER"] ?? environment["LOGNAME"] ?? "unknown"
    }

    /// Takes the app for this run, also from a run whose process is gone.
    private func hold(_ store: any StateStore, _ run: RunID, _ holder: Holder, _ now: Timestamp) async throws {
        let app = context.pipeline.app
        do throws(any Error) {
            for _ in 0..<3 {
                switch try await store.acquire(
                    app, run: run, holder: holder, at: now, silence: RunSession.holderSilence)
                {
                case .acquired:
                    return
                case .heldBy(let hold):
                    throw AirbossError(
                        .busy,
                        "run \(hold.run) holds \(app) since \(hold.acquiredAt), from \(hold.holder.host) "
                            + "(process \(hold.holder.processID))",
                        hint: "wait for it to end, or see what it does: airboss show \(hold.run)")
                case .abandonedBy(let hold):
                    // Nobody works on it any more. This run looks at the fleet as it is and brings all of it to one
                    // release, so that nothing of the other's is built upon.
                    view.warn(
                        "run \(hold.run) never ended: its process is gone. Going on from what the platform shows.")
                    try await end(hold.run, in: store, at: now)
                    try await store.release(app, run: hold.run)
                }
            }
            throw AirbossError(.busy, "several runs want \(app) at once", hint: "try again")
        } catch let error as StateError {
            throw error.asAirbossError
        }
    }

    private func end(_ run: RunID, in store: any StateStore, at now: Timestamp) async throws {
        guard let record = try await store.run(run.rawValue), record.end == nil else { return }
        try await store.closeRun(
            run, outcome: RunOutcome.interrupted.rawValue, exitCode: ExitCode.interrupted.rawValue, finishedAt: now,
            summary: Data("{}".utf8))
    }

    private func opened(
        _ store: any StateStore, _ request: RunRequest, _ holder: Holder, _ now: Timestamp
    ) async throws {
        do throws(StateError) {
            try await store.openRun(
                RunHeader(
                    run: request.run, pipeline: request.pipeline, app: request.app, kind: request.kind.rawValue,
                    actor: request.actor, reason: request.reason, host: holder.host, processID: holder.processID,
                    startedAt: now, schema: LiveJournal.schema))
        } catch {
            throw error.asAirbossError
        }
    }
}

extension NoticeChannels {
    /// The channels that are set up.
    var available: [NoticeOrder.Channel] {
        var result: [NoticeOrder.Channel] = []
        if summaryPath != nil { result.append(.summary) }
        if email != nil { result.append(.email) }
        if slackWebhook != nil { result.append(.slack) }
        return result
    }
}

/// A pipeline without a repository, whose image is named.
struct NoSource: SourcePort {
    func answer(_ query: GitQuery) async -> Answer {
        .failed(failure: Failure(.refused, "the pipeline's repository was not found"))
    }
}
