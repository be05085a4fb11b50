// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension Pipeline {
    /// Decodes a pipeline file's text. The environment is asked only for `app` and `fly_toml`, which must be known to
    /// know anything; every other `${NAME}` is read when it is used. Throws ``PipelineFileErrors`` with all that is
    /// wrong in the file.
    package init(parsing text: String, path: String, environment: [String: String]) throws(PipelineFileErrors) {
        let document = try YAMLReading.document(text, path: path)
        var check = ShapeCheck(document: PipelineKeys.document)
        check.check(document, against: PipelineKeys.root)
        var decoder = PipelineDecoding(path: path, check: check, environment: environment)
        let pipeline = decoder.pipeline(SectionReader(document, PipelineKeys.root))
        let errors = decoder.check.diagnostics.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
        guard errors.isEmpty, let pipeline else {
            throw PipelineFileErrors(Array(errors.prefix(FileLimits.maxDiagnostics)))
        }
        self = pipeline
    }
}

/// One pass over a checked document: values, defaults, and the rules between several keys.
private struct PipelineDecoding {
    let path: String
    var check: ShapeCheck
    let environment: [String: String]
    var unsupported: [Diagnostic] = []
    var warnings: [Diagnostic] = []

    private var start: SourceLocation { SourceLocation(path: path, line: 1, column: 1) }

    private func place(_ key: String) -> SourceLocation { check.locations[key] ?? start }

    private mutating func fail(_ key: String, _ message: String, _ suggestion: String = "") {
        check.report(Diagnostic(.error, at: place(key), message, suggestion: suggestion))
    }

    private mutating func lack(_ key: String, _ message: String, _ suggestion: String) {
        unsupported.append(Diagnostic(.error, at: place(key), message, suggestion: suggestion))
    }

    /// Nil where something without which there is no pipeline is missing; the error is reported by then.
    mutating func pipeline(_ root: SectionReader) -> Pipeline? {
        _ = root.integer("version")
        let app = resolved(root.text("app"))
        let flyToml = resolved(root.text("fly_toml"))
        if let app { checkAppName(app) }
        let build = self.build(root.reader("build", PipelineKeys.build))
        let source = self.source(root.reader("source", PipelineKeys.source))
        let github = self.github(root.reader("github", PipelineKeys.githubRepository))
        let gates = self.gates(root.reader("gates", PipelineKeys.gates))
        let window = self.window(root.reader("window", PipelineKeys.window))
        let deploy = self.deploy(root.reader("deploy", PipelineKeys.deploy))
        let verify = self.verify(root.reader("verify", PipelineKeys.verify))
        let rollback = self.rollback(root.reader("rollback", PipelineKeys.rollback))
        let notify = self.notify(root.reader("notify", PipelineKeys.notify))
        let url = root.reader("state", PipelineKeys.state).text("url")
        guard let app, let flyToml, let build else { return nil }
        return Pipeline(
            name: FilePaths.stem(of: path), path: path, app: AppName(app),
            flyToml: FilePaths.join(FilePaths.folder(of: path), flyToml), source: source, github: github,
            gates: gates, window: window, build: build, deploy: deploy, verify: verify, rollback: rollback,
            notify: notify,
            state: Pipeline.State(
                url: url ?? EnvironmentText(Pipeline.State.defaultURL, at: start), isStated: url != nil),
            unsupportedFeatures: unsupported, warnings: warnings, locations: check.locations)
    }

    private mutating func resolved(_ text: EnvironmentText?) -> String? {
        guard let text, case .success = EnvironmentText.parts(of: text.source) else { return nil }
        do {
            let value = try text.resolve(in: environment)
            return value.isEmpty ? nil : value
        } catch {
            for diagnostic in error.diagnostics { check.report(diagnostic) }
            return nil
        }
    }

    /// Fly's names: lower-case letters, digits and dashes.
    private mutating func checkAppName(_ name: String) {
        let isValid =
            name.utf8.count <= 63 && name.utf8.first != UInt8(ascii: "-")
            && name.utf8.allSatisfy { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D }
        if !isValid {
            fail("app", "“app” is not an app's name", "Fly's names have lower-case letters, digits and dashes")
        }
    }

    private func source(_ reader: SectionReader) -> Pipeline.Source {
        Pipeline.Source(
            repository: reader.text("repository") ?? EnvironmentText(".", at: start), branch: reader.text("branch"))
    }

    private mutating func github(_ reader: SectionReader) -> Pipeline.GitHub {
        let repository = reader.text("repository")
        if let repository, repository.variables.isEmpty,
            repository.source.split(separator: "/", omittingEmptySubsequences: false).count(where: { !$0.isEmpty }) != 2
        {
            fail("github.repository", "“repository” is not a repository's name", "write it as owner/name")
        }
        return Pipeline.GitHub(repository: repository)
    }

    private mutating func gates(_ reader: SectionReader) -> Pipeline.Gates {
        let environments = reader.strings("approval_environments")
        var kinds: [ApprovalKind] = [.ssh, .review] + (environments.isEmpty ? [] : [.environment])
        if reader.value("approvals_accept") != nil {
            kinds = reader.strings("approvals_accept").compactMap(ApprovalKind.init(rawValue:))
            let asksEnvironments = kinds.contains(.environment)
            if asksEnvironments, environments.isEmpty {
                fail(
                    "gates.approvals_accept", "“approvals_accept” has environment, and no environment is named",
                    "name those whose reviewers count in gates.approval_environments")
            } else if !asksEnvironments, !environments.isEmpty {
                fail(
                    "gates.approval_environments",
                    "“approval_environments” names environments, and “approvals_accept” leaves environment out",
                    "add environment to gates.approvals_accept, or remove gates.approval_environments")
            }
        }
        return Pipeline.Gates(
            cleanWorktree: reader.boolean("clean_worktree") ?? true, checks: reader.strings("checks"),
            waitForChecks: reader.duration("wait_for_checks") ?? .seconds(600),
            checksAccept: reader.value("checks_accept") == nil ? ["success"] : reader.strings("checks_accept"),
            healthy: reader.texts("healthy"), approvals: reader.integer("approvals") ?? 0,
            authorMayApprove: reader.boolean("author_may_approve") ?? false, approvalsAccept: kinds,
            approvalEnvironments: environments, waitForApprovals: reader.duration("wait_for_approvals") ?? .zero,
            approvalsExpire: reader.duration("approvals_expire") ?? Approval.longestLife,
            secrets: reader.strings("secrets"))
    }

    private mutating func window(_ reader: SectionReader) -> Pipeline.Window? {
        guard let timeZone = reader.located("time_zone") else { return nil }
        func periods(_ key: String, _ section: Section) -> [Pipeline.Window.Closed] {
            reader.readers(key, section).compactMap { entry in
                let times: Pipeline.Window.Closed.Times
                if let from = entry.located("from"), let to = entry.located("to") {
                    times = .dates(from: from, to: to)
                } else if let days = entry.located("every") {
                    times = .every(days: days)
                } else {
                    return nil  // the check has said so
                }
                return Pipeline.Window.Closed(
                    times: times, timeZone: entry.located("time_zone"),
                    name: section["name"] == nil ? "" : entry.string("name") ?? "",
                    reason: entry.string("reason") ?? "")
            }
        }
        let maintenance = reader.reader("maintenance", PipelineKeys.maintenance)
        return Pipeline.Window(
            timeZone: timeZone, open: reader.locatedList("open"), closed: periods("closed", PipelineKeys.closed),
            highTraffic: periods("high_traffic", PipelineKeys.highTraffic),
            holidays: reader.locatedList("holidays"), mustFinish: reader.boolean("must_finish") ?? false,
            maintenance: maintenance.node == nil
                ? nil
                : Pipeline.Window.Maintenance(
                    notice: maintenance.duration("notice") ?? .seconds(86_400),
                    longest: maintenance.duration("longest") ?? .seconds(8 * 3600)))
    }

    private mutating func build(_ reader: SectionReader) -> Pipeline.Build? {
        if let reference = reader.text("image") {
            checkImage(reference, "build.image")
            return .image(reference: reference)
        }
        if reader.value("layers") != nil {
            return .layers(recipe: layers(reader.reader("layers", PipelineKeys.layers)))
        }
        if reader.value("dockerfile") != nil {
            lack(
                "build.dockerfile", "building from a Dockerfile is not available in this version",
                "build the image elsewhere and use image, or use layers")
            let recipe = reader.reader("dockerfile", PipelineKeys.dockerfile)
            return .dockerfile(
                recipe: Pipeline.Dockerfile(
                    path: recipe.string("path") ?? "Dockerfile", context: recipe.string("context"),
                    target: recipe.string("target"), args: recipe.textMap("args")))
        }
        let recipe = reader.reader("command", PipelineKeys.command)
        guard reader.value("command") != nil, let image = recipe.text("image") else { return nil }
        lack(
            "build.command", "building with a command is not available in this version",
            "run the command before airboss and use image, or use layers")
        return .command(recipe: Pipeline.Command(run: recipe.texts("run"), image: image))
    }

    private mutating func checkImage(_ text: EnvironmentText, _ key: String) {
        // With variables in it, the name is known only when it is used.
        guard text.variables.isEmpty, case .success = EnvironmentText.parts(of: text.source) else { return }
        guard let image = ImageReference(parsing: text.source) else {
            return fail(key, "“\(text.source.prefix(80))” is not an image's name", "write host/repository:tag")
        }
        if image.tag == nil, image.digest == nil {
            fail(key, "the image has neither a tag nor a digest", "write \(text.source.prefix(80)):TAG")
        }
    }

    private mutating func layers(_ reader: SectionReader) -> Pipeline.Layers {
        let base = reader.text("base")
        let isScratch = base == nil || base?.source == "scratch"
        if let base, !isScratch { checkImage(base, "build.layers.base") }
        let copies = reader.readers("copy", PipelineKeys.copy).compactMap { entry -> Pipeline.Layers.Copy? in
            guard let from = entry.located("from"), let to = entry.string("to") else { return nil }
            return Pipeline.Layers.Copy(
                from: from.value, to: to, mode: entry.value("mode").flatMap(OctalMode.parse), location: from.location)
        }
        for copy in copies where copy.from.hasPrefix("/") || copy.from.split(separator: "/").contains("..") {
            check.report(
                Diagnostic(
                    .error, at: copy.location, "“from” leaves the commit's tree",
                    suggestion: "name a file or folder of the repository, relative to its root"))
        }
        return Pipeline.Layers(
            base: isScratch ? .scratch : base.map { .image(reference: $0) } ?? .scratch, copy: copies,
            entrypoint: reader.texts("entrypoint"), cmd: reader.texts("cmd"), env: reader.textMap("env"),
            workdir: reader.string("workdir"), user: reader.string("user"), labels: reader.textMap("labels"),
            ports: reader.integers("ports") ?? [])
    }

    private mutating func deploy(_ reader: SectionReader) -> Pipeline.Deploy {
        let strategy = reader.string("strategy").flatMap(Pipeline.Deploy.Strategy.init) ?? .rolling
        if strategy != .rolling {
            lack(
                "deploy.strategy", "strategy \(strategy.rawValue) is not available in this version",
                "use rolling")
        }
        var maxUnavailable = Pipeline.Deploy.MaxUnavailable.count(machines: 1)
        switch reader.value("max_unavailable")?.content {
        case .integer(let count): maxUnavailable = .count(machines: count)
        case .number(let share): maxUnavailable = .fraction(ofFleet: share)
        case .null, .boolean, .text, .list, .mapping, .other, nil: break
        }
        var machines = Pipeline.Deploy.Machines(everyGroup: nil, groups: [:])
        if let node = reader.value("machines") {
            machines.everyGroup = node.integer
            for entry in node.entries ?? [] {
                machines.groups[ProcessGroup(entry.key)] = entry.value.integer
            }
        }
        return Pipeline.Deploy(
            strategy: strategy, maxUnavailable: maxUnavailable, servingFloor: reader.integer("serving_floor"),
            waitTimeout: reader.duration("wait_timeout") ?? .seconds(300), machines: machines)
    }

    private mutating func verify(_ reader: SectionReader) -> Pipeline.Verify {
        let healthReader = reader.reader("health", PipelineKeys.health)
        let timeout = healthReader.duration("timeout") ?? .seconds(5)
        let within = healthReader.duration("within")
        if let within, within > timeout {
            fail(
                "verify.health.within",
                "“within” is \(DurationText.words(within)), longer than the timeout of \(DurationText.words(timeout))",
                "raise timeout, or lower within")
        }
        var body: [String: [JSONValue]] = [:]
        for entry in healthReader.value("body")?.entries ?? [] {
            body[entry.key] = (entry.value.list ?? [entry.value]).map(\.json)
        }
        let attempts = reader.integer("attempts") ?? 10
        let consecutive = reader.integer("consecutive") ?? min(3, attempts)
        if consecutive > attempts {
            fail(
                reader.value("consecutive") == nil ? "verify.attempts" : "verify.consecutive",
                "\(consecutive) consecutive successes cannot come from \(attempts) attempts",
                "raise attempts to at least \(consecutive)")
        }
        if let url = reader.text("url"), url.variables.isEmpty { checkURL(url, "verify.url", ["http", "https"]) }
        let smoke = reader.readers("smoke", PipelineKeys.smoke).compactMap { entry -> Pipeline.Verify.Smoke? in
            guard let path = entry.string("path") else { return nil }
            return Pipeline.Verify.Smoke(
                path: path, status: entry.integers("status") ?? [200], within: entry.duration("within"))
        }
        return Pipeline.Verify(
            url: reader.text("url"),
            health: Pipeline.Verify.Health(
                path: healthReader.string("path") ?? "/health", status: healthReader.integers("status") ?? [200],
                body: body, timeout: timeout, within: within ?? timeout),
            attempts: attempts, interval: reader.duration("interval") ?? .seconds(10), consecutive: consecutive,
            smoke: smoke, soak: reader.duration("soak") ?? .zero)
    }

    private mutating func checkURL(_ text: EnvironmentText, _ key: String, _ schemes: [String]) {
        let fits = schemes.contains { text.source.hasPrefix($0 + "://") && text.source.count > $0.count + 3 }
        if !fits {
            fail(
                key, "“\(key.split(separator: ".").last ?? "")” is not an address",
                "start it with " + schemes.map { $0 + "://" }.joined(separator: " or "))
        }
    }

    private func rollback(_ reader: SectionReader) -> Pipeline.Rollback {
        Pipeline.Rollback(
            automatic: reader.boolean("automatic") ?? true, within: reader.duration("within") ?? .seconds(300),
            migrations: reader.strings("migrations"))
    }

    private mutating func notify(_ reader: SectionReader) -> Pipeline.Notify {
        let mail = reader.reader("email", PipelineKeys.email)
        let email = mail.text("smtp").map {
            Pipeline.Notify.Email(to: mail.texts("to"), smtp: $0, from: mail.text("from"))
        }
        let slack = reader.reader("slack", PipelineKeys.slack).text("webhook")
        if let smtp = email?.smtp, smtp.variables.isEmpty {
            checkURL(smtp, "notify.email.smtp", ["smtp", "smtps"])
            if smtp.source.contains("@") { warnLiteralSecret("notify.email.smtp") }
        }
        if let slack, slack.variables.isEmpty {
            checkURL(slack, "notify.slack.webhook", ["https", "http"])
            warnLiteralSecret("notify.slack.webhook")
        }
        let github = reader.reader("github", PipelineKeys.github)
        let record = Pipeline.Notify.GitHub(
            deployment: github.boolean("deployment") ?? false,
            issueOnFailure: github.boolean("issue_on_failure") ?? false, assignees: github.strings("assignees"))
        return Pipeline.Notify(
            email: email, slack: slack, webhook: webhook(reader.reader("webhook", PipelineKeys.webhook)),
            github: record, redact: redact(reader.reader("redact", PipelineKeys.redact)))
    }

    private mutating func webhook(_ reader: SectionReader) -> Pipeline.Notify.Webhook? {
        guard let url = reader.text("url"), let secret = reader.text("secret") else { return nil }
        if url.variables.isEmpty {
            checkURL(url, "notify.webhook.url", ["https", "http"])
            if let problem = Pipeline.Notify.Webhook.problem(withURL: url.source) {
                fail("notify.webhook.url", problem, "write it with https://")
            }
        }
        if secret.variables.isEmpty {
            warnLiteralSecret("notify.webhook.secret")
            if let problem = Pipeline.Notify.Webhook.problem(withSecret: secret.source) {
                fail("notify.webhook.secret", problem, "draw one: openssl rand -hex 32")
            }
        }
        return Pipeline.Notify.Webhook(url: url, secret: secret)
    }

    private mutating func redact(_ reader: SectionReader) -> Pipeline.Notify.Redact {
        let patterns = reader.strings("patterns")
        for pattern in patterns {
            do {
                guard try Regex(pattern).wholeMatch(in: "") != nil else { continue }
                fail("notify.redact.patterns", "“\(pattern)” matches no text at all", "say what must be there")
            } catch {
                fail("notify.redact.patterns", "“\(pattern)” is not a regular expression", "\(error)")
            }
        }
        let allow = reader.strings("allow")
        for word in allow where word.count < Pipeline.Notify.Redact.minAllowedCharacters {
            fail("notify.redact.allow", "“\(word)” is too short to be allowed everywhere", "write the whole word")
        }
        return Pipeline.Notify.Redact(patterns: patterns, allow: allow)
    }

    private mutating func warnLiteralSecret(_ key: String) {
        warnings.append(
            Diagnostic(
                .warning, at: place(key), "“\(key)” stands in the file, where everyone with the repository can read it",
                suggestion: "keep it in the environment, and write ${NAME} here"))
    }
}
