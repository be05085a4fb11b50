// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyPlatform
internal import FoundationEssentials
internal import GitHistory
internal import GitHub
internal import HTTPTransport
internal import Images
internal import Journals
internal import Model
internal import Notifications
internal import Orchestration
internal import PipelineFiles
internal import Ports
internal import Stages

/// The runs of a pipeline in this process: takes the app, finishes or undoes what died before, drives the run, and
/// closes its record.
struct RunSession {
    let context: PipelineContext
    let options: GlobalOptions
    let view: any RunView
    /// How long another run that works on the app is waited for; nil for not at all.
    var wait: Duration?
    /// Approvals that were brought as files.
    var approvalFiles: [String] = []

    /// A holder on another host that was silent for this long counts as gone.
    static let holderSilence = Duration.seconds(120)
    /// How often a run says that it still holds the app.
    static let heartbeatInterval = Duration.seconds(20)
    /// How often a run that waits says that it still waits.
    static let queueInterval = Duration.seconds(15)

    /// Runs what `makeRequest` asks for and returns its report; throws an ``AirbossError`` where no run could begin, or
    /// where its events could no longer be kept.
    ///
    /// A run of this app whose process is gone is finished or undone first. Where that already was the rollback that
    /// was asked for, its report is returned.
    func run(
        _ kind: RunKind,
        _ makeRequest: (RunID, String, [NoticeOrder.Channel]) async throws(AirbossError) -> RunRequest
    ) async throws -> RunReport {
        try await telling(kind) { equipment in
            let request = try await makeRequest(
                RunID(ULID.make(at: equipment.clock.now)), equipment.origin.actor, equipment.channels.available)
            let recovered = try await recoverAbandoned(equipment)
            if let last = recovered.last {
                guard last.outcome != .needsHuman || kind == .rollback else {
                    throw AirbossError(
                        .needsHuman, "run \(last.run) had died, and could not be made whole: \(last.headline)",
                        hint: (last.divergence + last.nextSteps).joined(separator: "\n"))
                }
                if kind == .rollback, request.target == nil, last.outcome == .rolledBack { return last }
            }
            return try await begin(request, equipment)
        }
    }

    /// Finishes or undoes what a run left behind whose process is gone: from its journal, or, where there is none or
    /// `ignoringJournal` asks for it, from what the platform shows.
    func recover(ignoringJournal: Bool) async throws -> RunReport {
        try await telling(.recover) { equipment in
            if ignoringJournal {
                try await closeAbandoned(equipment)
            } else if let last = try await recoverAbandoned(equipment).last {
                return last
            }
            let request = try context.request(
                .recover, run: RunID(ULID.make(at: equipment.clock.now)), actor: equipment.origin.actor,
                reason: "recovery", wait: wait, channels: equipment.channels.available)
            return try await begin(request, equipment)
        }
    }

    /// The step of a job learns the end of the run that was asked for, not of one that was found dead before it.
    private func telling(
        _ kind: RunKind, _ body: (Equipment) async throws -> RunReport
    ) async throws -> RunReport {
        let report = try await equipped(for: kind, body)
        if let problem = options.job?.writeOutputs(of: report) { view.warn(problem) }
        return report
    }

    // MARK: - What every run needs

    struct Equipment {
        var clock: SteadyClock
        var endpoints: FlyEndpoints
        var token: FlyToken
        var http: HTTPClient
        var platform: FlyClient
        var repository: GitRepository?
        var origin: AuditOrigin
        var channels: NoticeChannels
        var window: any WindowPort
        var layers: ImageLayers?
        var store: any StateStore
        var holder: Holder
    }

    /// Whatever the files say wrong is found before the app is held.
    func equipped<Result: Sendable>(
        for kind: RunKind, _ body: (Equipment) async throws -> Result
    ) async throws -> Result {
        let clock = SteadyClock(startingAt: Timestamp.fromSystemClock())
        if let problem = PlausibleClock.problem(clock.now) {
            // Nothing that a rollback decides hangs on the time of day; what is recorded does.
            guard kind == .rollback || kind == .recover else { throw problem }
            view.warn(problem.message + "; what is recorded now is dated wrongly")
        }
        let endpoints = try FlyEndpoints(environment: context.environment)
        let token = try FlyToken(environment: context.environment)
        let http = HTTPClient(.init(userAgent: "airboss/\(Version.current)"))
        let repository = try await openRepository(for: kind)
        let window = try window(for: kind, at: clock.now)
        let store = try await options.openStore(for: context)
        let equipment = Equipment(
            clock: clock, endpoints: endpoints, token: token, http: http,
            platform: FlyClient(
                endpoints: endpoints, token: token, http: http, userAgent: "airboss/\(Version.current)",
                observer: options.callObserver),
            repository: repository,
            origin: await AuditOrigin.process(
                environment: context.environment, repository: repository, at: clock.now),
            channels: try context.noticeChannels(of: kind) { view.warn($0) }, window: RunSession.reading(store, window),
            layers: kind != .deploy ? nil : try context.imageLayers(),
            store: store, holder: Holder.process(at: clock.now))
        do {
            let result = try await body(equipment)
            await http.shutdown()
            return result
        } catch {
            // The record stays open: what happened is in the journal, and the next run sees that this one never ended.
            await http.shutdown()
            throw error
        }
    }

    /// The window as the files have it. Nothing in it keeps anybody from going back.
    private func window(for kind: RunKind, at now: Timestamp) throws(AirbossError) -> any WindowPort {
        do {
            return try LiveWindow(context.pipeline, environment: context.environment, now: now) ?? NoWindow()
        } catch {
            guard kind == .rollback || kind == .recover else { throw error }
            view.warn("the deployment window can't be read: \(error.location): \(error.message)")
            return UnreadableWindow(reason: error)
        }
    }

    private static func reading(_ store: any StateStore, _ window: any WindowPort) -> any WindowPort {
        guard var live = window as? LiveWindow else { return window }
        live.store = store
        return live
    }

    private func openRepository(for kind: RunKind) async throws -> GitRepository? {
        guard case .layers = context.pipeline.build, kind == .deploy else {
            // An image can be deployed without a repository; then commits are simply not known.
            return try? await GitRepository.open(at: try context.repositoryPath())
        }
        do {
            return try await GitRepository.open(at: try context.repositoryPath())
        } catch let error as GitError {
            throw AirbossError(.refused, error.message, hint: error.hint)
        }
    }

    // MARK: - One run

    private func begin(_ request: RunRequest, _ equipment: Equipment) async throws -> RunReport {
        let store = equipment.store
        let fence = try await take(request.run, equipment)
        do throws(StateError) {
            try await store.openRun(
                RunHeader(
                    run: request.run, pipeline: request.pipeline, app: request.app, kind: request.kind.rawValue,
                    actor: request.actor, reason: request.reason, host: equipment.holder.host,
                    processID: equipment.holder.processID, startedAt: equipment.clock.now, schema: LiveJournal.schema))
        } catch {
            throw error.asAirbossError
        }
        let journal = LiveJournal(store, fence: fence, audited: audited(request, equipment), after: 0)
        try await journal.begin(request, at: equipment.clock.now)
        return try await drive(request, fence, journal, equipment) { driver, signals in
            try await driver.run(request, signals: signals)
        }
    }

    /// What the audit says of a run that this process drives, whoever began it.
    private func audited(_ request: RunRequest, _ equipment: Equipment) -> AuditedRun {
        AuditedRun(
            origin: equipment.origin, pipeline: request.pipeline, app: request.app, run: request.run,
            reason: request.reason)
    }

    /// Goes on with a run whose process is gone.
    private func resume(_ record: RunRecord, _ fence: Fence, _ equipment: Equipment) async throws -> RunReport {
        let replayed = try await LiveJournal.read(record, from: equipment.store)
        let machine = replayed.machine
        view.warn(
            "run \(record.header.run) (\(record.header.kind) by \(record.header.actor), \(record.header.startedAt)) "
                + "never ended: its process is gone. Going on with it from its journal.")
        let journal = LiveJournal(
            equipment.store, fence: fence, audited: audited(machine.request, equipment),
            after: replayed.lastSequence, snapshotSequence: replayed.snapshotSequence)
        var report = try await drive(machine.request, fence, journal, equipment) { driver, signals in
            // A run that was finished and only not closed has nothing left to do.
            machine.isFinished ? machine : try await driver.resume(machine, signals: signals)
        }
        // That a dead run had changed nothing is a good end of a recovery.
        if report.outcome == .interrupted, report.headline.hasSuffix("nothing changed") { report.exitCode = 0 }
        return report
    }

    private func drive(
        _ request: RunRequest, _ fence: Fence, _ journal: LiveJournal, _ equipment: Equipment,
        _ body: (RunDriver, AsyncStream<Int32>) async throws -> RunMachine
    ) async throws -> RunReport {
        let (store, clock, app) = (equipment.store, equipment.clock, request.app)
        let sender = NoticeSender(
            channels: equipment.channels, http: equipment.http, mail: MailTransport(),
            outbox: StoredOutbox(store: store),
            github: await LiveGitHubNotices.make(
                context, origin: equipment.repository, http: equipment.http, clock: clock,
                observer: options.githubObserver))
        let ports = await ports(
            request, fence, equipment, notices: sender,
            leaseNote: "airboss \(request.kind.rawValue), run \(request.run) by \(request.actor) on "
                + "\(equipment.holder.host) since \(clock.now)")
        let heartbeat = Task {
            while !Task.isCancelled {
                // A heartbeat that can't be written, or comes too late, shows in the journal's own writes.
                try? await Task.sleep(for: RunSession.heartbeatInterval)
                _ = try? await store.heartbeat(app, run: fence.run, fence: fence.token, at: clock.now)
            }
        }
        defer { heartbeat.cancel() }
        _ = await StoredOutbox(store: store).deliverOverdue(of: request.pipeline, with: sender, at: clock.now)
        view.begin(request)
        var advice = context.diagnostics.filter { $0.severity == .warning }.map {
            "\($0.location): \($0.message)" + ($0.suggestion.isEmpty ? "" : "; \($0.suggestion)")
        }
        if request.kind == .rollback, case .window(let decision) = await equipment.window.answer(at: clock.now),
            let exemption = WindowGate.exemption(decision)
        {
            advice.append(exemption)
        }
        for text in advice { view.warn(text) }
        // Who cancels a job waits for seconds; a store that does not answer may not take them all.
        let signals = Signals { store.hurry() }
        defer { signals.stop() }
        let driver = RunDriver(ports: ports, journal: journal, clock: clock) { [view] in view.show($0) }
        let machine = try await body(driver, signals.stream)
        guard var report = machine.report else {
            throw AirbossError(.needsHuman, "the run ended without saying how; see airboss show \(request.run)")
        }
        report.finishedAt = clock.now
        report.warnings.insert(contentsOf: advice, at: 0)
        let record = RunFinished(report: report, flyAPICalls: equipment.platform.callCount)
        let summary = try record.data()
        do throws(StateError) {
            try await store.closeRun(
                request.run, outcome: report.outcome.rawValue, exitCode: report.exitCode,
                finishedAt: report.finishedAt, summary: summary, fence: fence)
            try await store.release(app, run: request.run, fence: fence.token)
        } catch {
            let error = error.asAirbossError
            guard error.code == .unavailable else { throw error }
            // The run is over, and its journal says how; only its record stays open.
            view.warn(
                "\(error.message); what is missing there is recorded by the next run of the app, or by"
                    + " airboss recover \(request.pipeline)")
        }
        view.finish(record)
        return report
    }

    /// Everything a run, or the plan of one, reaches the world through.
    func ports(
        _ request: RunRequest, _ fence: Fence, _ equipment: Equipment, notices: any NoticePort, leaseNote: String
    ) async -> RunPorts {
        let images = LiveImages(
            builder: ImageBuilder(
                registry: RegistryClient(
                    http: equipment.http,
                    credentials: [
                        equipment.endpoints.registryHost: .fly(token: equipment.token.registryPassword)
                    ])),
            repository: equipment.repository, layers: equipment.layers,
            registryHost: equipment.endpoints.registryHost, app: request.app)
        return RunPorts(
            platform: LivePlatform(
                client: equipment.platform, app: request.app, description: leaseNote, clock: equipment.clock),
            source: equipment.repository.map { LiveSource(repository: $0) } ?? NoSource(),
            github: await github(equipment), images: images, probes: LiveProbes(http: equipment.http),
            window: equipment.window, ledger: LiveLedger(store: equipment.store, app: request.app, fence: fence),
            notices: notices,
            approvals: LiveApprovals(
                store: equipment.store, signatures: SSHSignatures(allowedSigners: context.allowedSigners),
                files: approvalFiles, app: request.app, fence: fence),
            elsewhere: LiveElsewhere(store: equipment.store, client: equipment.platform)
        ).withoutSecrets
    }

    /// The repository on GitHub; without a token, or where nothing names the repository, what is asked goes unanswered.
    func github(_ equipment: Equipment) async -> any GitHubPort {
        do {
            return LiveGitHub(client: try await githubClient(equipment))
        } catch {
            return NoGitHub(failure: Failure(.refused, error.message, hint: error.hint))
        }
    }

    private func githubClient(_ equipment: Equipment) async throws(AirbossError) -> GitHubClient {
        try await context.githubClient(
            origin: equipment.repository, http: equipment.http, clock: equipment.clock,
            observer: options.githubObserver)
    }

    // MARK: - Taking the app

    /// Takes the app for this run, in its turn where others wait.
    private func take(_ run: RunID, _ equipment: Equipment) async throws -> Fence {
        let (store, app) = (equipment.store, context.pipeline.app)
        let deadline = wait.map { equipment.clock.now + $0 }
        var isWaiting = false
        var told = ""
        do {
            while true {
                let now = equipment.clock.now
                let who: String
                switch try await store.acquire(
                    app, run: run, holder: equipment.holder, at: now, silence: RunSession.holderSilence)
                {
                case .acquired(let token):
                    return Fence(app: app, run: run, token: token)
                case .abandonedBy(let hold):
                    // Recovered already, or closed and not let go: nothing is left to be done for it.
                    try await store.release(app, run: hold.run)
                    continue
                case .heldBy(let hold):
                    who =
                        "run \(hold.run) holds \(app) since \(hold.acquiredAt), from \(hold.holder.host) "
                        + "(process \(hold.holder.processID))"
                case .queued(let ahead):
                    let first = ahead.first.map { "run \($0.run) from \($0.holder.host)" } ?? "another run"
                    who = "\(first) is next for \(app)"
                }
                guard let deadline, now < deadline else {
                    if isWaiting { try await store.leaveQueue(app, run: run) }
                    let waited = wait.map { ", and still did after \(TerminalText.duration($0))" } ?? ""
                    throw AirbossError(
                        .busy, who + waited,
                        hint: (wait == nil ? "wait for it to end, queue with --wait 15m, or " : "")
                            + "see what it does: airboss runs \(context.pipeline.name)")
                }
                let place = try await store.joinQueue(app, run: run, holder: equipment.holder, at: now)
                isWaiting = true
                if told != who { view.warn("\(who); waiting in place \(place) until \(deadline)") }
                told = who
                _ = try await store.changed(app, within: min(RunSession.queueInterval, deadline - now))
            }
        } catch let error as StateError {
            throw error.asAirbossError
        }
    }

    // MARK: - Runs whose process is gone

    /// Finishes or undoes, from their journals, the runs of this app whose process is gone; returns their reports.
    private func recoverAbandoned(_ equipment: Equipment) async throws -> [RunReport] {
        var reports: [RunReport] = []
        for record in try await unfinished(equipment) {
            guard let fence = try await takeOver(record.header.run, equipment) else { break }
            reports.append(try await resume(record, fence, equipment))
        }
        return reports
    }

    /// Closes the records of such runs without going on with them.
    private func closeAbandoned(_ equipment: Equipment) async throws {
        for record in try await unfinished(equipment) {
            let run = record.header.run
            guard let fence = try await takeOver(run, equipment) else { break }
            view.warn("run \(run) never ended; its journal is left aside")
            let audited = AuditedRun(
                origin: equipment.origin, pipeline: record.header.pipeline, app: record.header.app, run: run,
                reason: record.header.reason)
            do throws(StateError) {
                try await equipment.store.audit([
                    audited.record(
                        AuditEntry(
                            .runFinished, of: run.rawValue, "closed without going on with its journal",
                            after: ["outcome": .string(RunOutcome.interrupted.rawValue)], at: equipment.clock.now))
                ])
                try await equipment.store.closeRun(
                    run, outcome: RunOutcome.interrupted.rawValue, exitCode: ExitCode.interrupted.rawValue,
                    finishedAt: equipment.clock.now, summary: Data("{}".utf8), fence: fence)
                try await equipment.store.release(context.pipeline.app, run: run, fence: fence.token)
            } catch {
                throw error.asAirbossError
            }
        }
    }

    func unfinished(_ equipment: Equipment) async throws -> [RunRecord] {
        do throws(StateError) {
            // What a dead process left of an announcement is nothing to go on with.
            return try await equipment.store.unfinishedRuns(context.pipeline.app)
                .filter { $0.header.kind != MaintenanceRecords.kind }
        } catch {
            throw error.asAirbossError
        }
    }

    /// Takes the app for a run that another process began; nil where somebody works on it.
    private func takeOver(_ run: RunID, _ equipment: Equipment) async throws -> Fence? {
        let (store, app) = (equipment.store, context.pipeline.app)
        do throws(StateError) {
            while true {
                switch try await store.acquire(
                    app, run: run, holder: equipment.holder, at: equipment.clock.now,
                    silence: RunSession.holderSilence)
                {
                case .acquired(let token):
                    return Fence(app: app, run: run, token: token)
                case .abandonedBy(let hold):
                    // Of several dead runs only one can have been at work; each is looked at in its turn.
                    try await store.release(app, run: hold.run)
                case .heldBy, .queued:
                    return nil
                }
            }
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
        if webhook != nil { result.append(.webhook) }
        if recordsDeployments { result.append(.deployment) }
        if keepsIncidents { result.append(.issue) }
        return result
    }
}

/// A pipeline without a repository, whose image is named.
struct NoSource: SourcePort {
    func answer(_ query: GitQuery) async -> Answer {
        .failed(failure: Failure(.refused, "the pipeline's repository was not found"))
    }
}
