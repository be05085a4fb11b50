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
internal import Rollouts
internal import Stages
internal import Verification

/// A pipeline that was read, with everything its environment says.
struct PipelineContext {
    let environment: [String: String]
    let pipeline: Pipeline
    let flyToml: FlyToml
    let diagnostics: [Diagnostic]

    /// Finds and reads a pipeline; throws an ``AirbossError`` (78) with everything that is wrong with it.
    init(named name: String, in directory: String, environment: [String: String]) throws(AirbossError) {
        let path = try PipelineLoader.find(name: name, in: directory)
        do throws(PipelineFileErrors) {
            (pipeline, flyToml, diagnostics) = try PipelineLoader.load(path: path, environment: environment)
        } catch {
            throw error.airbossError
        }
        self.environment = environment
        let errors = diagnostics.filter { $0.severity == .error }
        guard errors.isEmpty else { throw PipelineFileErrors(errors).airbossError }
        let redact = pipeline.notify.redact
        RedactionRules.add(values: knownSecrets, patterns: redact.patterns, allowed: redact.allow)
    }

    /// The text with its variables read; throws an ``AirbossError`` that names file, line and variable.
    func resolve(_ text: EnvironmentText) throws(AirbossError) -> String {
        do throws(PipelineFileErrors) {
            return try text.resolve(in: environment)
        } catch {
            throw error.airbossError
        }
    }

    func resolve(_ text: EnvironmentText?) throws(AirbossError) -> String? {
        guard let text else { return nil }
        return try resolve(text)
    }

    /// The folder the repository is in.
    func repositoryPath() throws(AirbossError) -> String {
        let path = try resolve(pipeline.source.repository)
        return path.hasPrefix("/") ? path : folder + "/" + path
    }

    /// The folder of the pipeline file.
    var folder: String {
        let parts = pipeline.path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let folder = parts.joined(separator: "/")
        return folder.isEmpty ? (pipeline.path.hasPrefix("/") ? "/" : ".") : folder
    }

    // MARK: - What a run is asked to do

    /// How the pipeline wants its health verified.
    func verifyPlan() throws(AirbossError) -> VerifyPlan {
        let verify = pipeline.verify
        let base = (try resolve(verify.url) ?? flyToml.publicURL).map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
        guard let base else {
            return VerifyPlan(
                health: nil, attempts: verify.attempts, interval: verify.interval, consecutive: verify.consecutive,
                soak: verify.soak)
        }
        let health = verify.health
        let body = health.body.mapValues { $0.map { $0.string ?? $0.text() } }
        return VerifyPlan(
            health: HealthProbe(
                name: health.path, url: base + health.path, timeout: health.timeout,
                criteria: HealthCriteria(statuses: health.status, body: body, within: health.within)),
            fallback: health.path == "/"
                ? nil
                : HealthProbe(
                    name: "/", url: base + "/", timeout: health.timeout,
                    criteria: HealthCriteria(statuses: [200, 302], within: health.within)),
            attempts: verify.attempts, interval: verify.interval, consecutive: verify.consecutive,
            smoke: verify.smoke.map {
                HealthProbe(
                    name: $0.path, url: base + $0.path, timeout: health.timeout,
                    criteria: HealthCriteria(statuses: $0.status, within: $0.within))
            },
            soak: verify.soak)
    }

    /// What must be healthy elsewhere: a URL, or the health endpoint of another pipeline.
    private func healthyElsewhere() throws(AirbossError) -> (probes: [HealthProbe], apps: [String: AppName]) {
        var probes: [HealthProbe] = []
        var apps: [String: AppName] = [:]
        for entry in pipeline.gates.healthy {
            let text = try resolve(entry)
            if text.hasPrefix("http://") || text.hasPrefix("https://") {
                probes.append(
                    HealthProbe(name: text, url: text, timeout: .seconds(10), criteria: HealthCriteria()))
                continue
            }
            let other = try PipelineContext(named: text, in: folder, environment: environment)
            do throws(AirbossError) {
                probes.append(try other.elsewhere().probe)
            } catch {
                throw AirbossError(
                    error.code, error.message, hint: error.hint, location: entry.location.description)
            }
            apps[other.pipeline.name] = other.pipeline.app
        }
        return (probes, apps)
    }

    /// This pipeline as others look at it; throws (78) where it has no URL to ask.
    func elsewhere(running digest: ImageDigest? = nil) throws(AirbossError) -> ElsewhereGate.Place {
        guard let health = try verifyPlan().health else {
            throw AirbossError(
                .configuration, "the pipeline “\(pipeline.name)” has no URL by which its health could be asked",
                hint: "set verify.url in it")
        }
        return ElsewhereGate.Place(
            probe: HealthProbe(
                name: pipeline.name, url: health.url, timeout: health.timeout, criteria: health.criteria),
            app: pipeline.app, digest: digest)
    }

    private var checksPolicy: ChecksPolicy? {
        let gates = pipeline.gates
        guard !gates.checks.isEmpty else { return nil }
        return ChecksPolicy(names: gates.checks, accepted: gates.checksAccept, patience: gates.waitForChecks)
    }

    /// The run that the pipeline and the command line ask for.
    func request(
        _ kind: RunKind, run: RunID, actor: String, reason: String, revision: String = "HEAD", image: String? = nil,
        target: ReleaseNumber? = nil, overrides: RunRequest.Overrides = .init(), wait: Duration? = nil,
        channels: [NoticeOrder.Channel]
    ) throws(AirbossError) -> RunRequest {
        let build: RunRequest.Build
        if let image {
            build = .image(reference: image)
        } else if kind == .rollback || kind == .recover || kind == .promote {
            // A rollback builds nothing, and what its image is called today must not stand in its way.
            build = .layers
        } else {
            switch pipeline.build {
            case .image(let reference): build = .image(reference: try resolve(reference))
            case .layers: build = .layers
            case .dockerfile, .command:
                throw AirbossError(.configuration, "this kind of build is not available in this version")
            }
        }
        let deploy = pipeline.deploy
        var counts: [ProcessGroup: Int] = [:]
        for group in flyToml.groups { counts[group] = deploy.machines.count(for: group) }
        let verify = try verifyPlan()
        let isRollback = kind == .rollback || kind == .recover
        let elsewhere: (probes: [HealthProbe], apps: [String: AppName]) =
            isRollback ? ([], [:]) : try healthyElsewhere()
        var request = RunRequest(
            run: run, kind: kind, pipeline: pipeline.name, app: pipeline.app, actor: Redactor.redact(actor),
            reason: Redactor.redact(reason), revision: revision, target: target, overrides: overrides.withoutSecrets,
            settings: RunRequest.Settings(
                branch: isRollback ? nil : try resolve(pipeline.source.branch),
                requiresCleanWorktree: pipeline.gates.cleanWorktree, requiredSecrets: pipeline.gates.secrets,
                checks: isRollback ? nil : checksPolicy,
                healthyElsewhere: elsewhere.probes,
                hasWindow: pipeline.window != nil, build: build, flyToml: flyToml,
                maxUnavailable: {
                    switch deploy.maxUnavailable {
                    case .count(let machines): .count(machines: machines)
                    case .fraction(let share): .fraction(share: share)
                    }
                }(),
                servingFloor: deploy.servingFloor, waitTimeout: deploy.waitTimeout, machineCounts: counts,
                verify: verify, rollsBackAutomatically: pipeline.rollback.automatic,
                rollbackWithin: pipeline.rollback.within,
                migrationPaths: pipeline.rollback.migrations, channels: channels,
                url: try resolve(pipeline.verify.url) ?? flyToml.publicURL ?? "", runURL: runURL,
                waitForApp: wait,
                approvals: isRollback ? nil : approvalRule))
        request.settings.appsElsewhere = elsewhere.apps.isEmpty ? nil : elsewhere.apps
        return request
    }

    /// Nil where nobody has to approve.
    private var approvalRule: ApprovalRule? {
        let gates = pipeline.gates
        guard gates.approvals > 0 else { return nil }
        // Elsewhere than in a job the variable means nothing.
        let run = environment["GITHUB_ACTIONS"] == "true" ? environment["GITHUB_RUN_ID"] : nil
        return ApprovalRule(
            needed: gates.approvals, authorMayApprove: gates.authorMayApprove, kinds: gates.approvalsAccept,
            environments: gates.approvalEnvironments,
            workflowRun: run.flatMap { $0.isEmpty || !$0.utf8.allSatisfy { (0x30...0x39).contains($0) } ? nil : $0 },
            patience: gates.waitForApprovals, lifetime: gates.approvalsExpire)
    }

    /// The GitHub Actions run this process is part of; empty elsewhere.
    var runURL: String {
        guard environment["GITHUB_ACTIONS"] == "true", let repository = environment["GITHUB_REPOSITORY"],
            let run = environment["GITHUB_RUN_ID"]
        else { return "" }
        return "\(environment["GITHUB_SERVER_URL"] ?? "https://github.com")/\(repository)/actions/runs/\(run)"
    }

    // MARK: - What it is done with

    /// Where notices go. A rollback goes on without a channel whose variables are not set, and says so through `warn`:
    /// nobody's site stays down for want of a mail address.
    func noticeChannels(of kind: RunKind, warn: (String) -> Void) throws(AirbossError) -> NoticeChannels {
        var channels = NoticeChannels()
        channels.summaryPath = environment["GITHUB_STEP_SUMMARY"].flatMap { $0.isEmpty ? nil : $0 }
        channels.recordsDeployments = pipeline.notify.github.deployment
        channels.keepsIncidents = pipeline.notify.github.issueOnFailure
        do {
            channels.email = try emailChannel()
        } catch {
            guard kind == .rollback || kind == .recover else { throw error }
            warn("no e-mail will be sent: \(error.location): \(error.message)")
        }
        do {
            channels.slackWebhook = try resolve(pipeline.notify.slack)
        } catch {
            guard kind == .rollback || kind == .recover else { throw error }
            warn("nothing will be sent to Slack: \(error.location): \(error.message)")
        }
        do {
            channels.webhook = try webhookChannel()
        } catch {
            guard kind == .rollback || kind == .recover else { throw error }
            warn("nothing will be sent to the webhook: \(error.location): \(error.message)")
        }
        return channels
    }

    private func webhookChannel() throws(AirbossError) -> NoticeChannels.Webhook? {
        typealias Webhook = Pipeline.Notify.Webhook
        guard let webhook = pipeline.notify.webhook else { return nil }
        let (url, secret) = (try resolve(webhook.url), try resolve(webhook.secret))
        if let problem = Webhook.problem(withURL: url) {
            throw AirbossError(
                .configuration, "notify.webhook.url: \(problem)", hint: "write it with https://",
                location: webhook.url.location.description)
        }
        if let problem = Webhook.problem(withSecret: secret) {
            throw AirbossError(
                .configuration, "notify.webhook.secret: \(problem)", hint: "draw one: openssl rand -hex 32",
                location: webhook.secret.location.description)
        }
        return .init(url: url, secret: secret)
    }

    private func emailChannel() throws(AirbossError) -> NoticeChannels.Email? {
        guard let email = pipeline.notify.email else { return nil }
        var recipients: [String] = []
        for text in email.to {
            recipients += try resolve(text).split(separator: ",").map { $0.filter { $0 != " " } }
        }
        return .init(server: try resolve(email.smtp), from: try resolve(email.from), to: recipients)
    }

    /// The pipeline's layers, with variables read; nil where nothing is built from the commit.
    func imageLayers() throws(AirbossError) -> ImageLayers? {
        guard case .layers(let recipe) = pipeline.build else { return nil }
        let base: ImageLayers.Base
        switch recipe.base {
        case .scratch: base = .scratch
        case .image(let text):
            let name = try resolve(text)
            guard let reference = ImageReference(parsing: name) else {
                throw AirbossError(
                    .configuration, "“\(name)” is not an image name", location: text.location.description)
            }
            base = .image(reference: reference)
        }
        func words(_ texts: [EnvironmentText]) throws(AirbossError) -> [String]? {
            var result: [String] = []
            for text in texts { result.append(try resolve(text)) }
            return result.isEmpty ? nil : result
        }
        func values(_ texts: [String: EnvironmentText]) throws(AirbossError) -> [String: String] {
            var result: [String: String] = [:]
            for (key, text) in texts { result[key] = try resolve(text) }
            return result
        }
        return ImageLayers(
            base: base,
            copies: recipe.copy.map { .init(from: $0.from, to: $0.to, mode: $0.mode.map(UInt16.init)) },
            entrypoint: try words(recipe.entrypoint), cmd: try words(recipe.cmd), env: try values(recipe.env),
            workdir: recipe.workdir, user: recipe.user, labels: try values(recipe.labels),
            exposedPorts: recipe.ports.map(String.init))
    }
}
