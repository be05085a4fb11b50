// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import GitHistory
internal import HTTPTransport
internal import Journals
internal import Model
internal import Notifications
internal import PipelineFiles
internal import Windows

struct WindowAnnounceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "announce",
        abstract: "Announce maintenance, in which deployments may begin although the window is closed.",
        discussion: """
            It must be announced as long before as window.maintenance.notice says, and is recorded in the state store.

            Example:
              airboss window announce production --from 2026-12-05T22:00 --to 2026-12-05T23:30 --reason "New database"
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(
        name: .long,
        help: ArgumentHelp(
            "When it begins: RFC 3339, or a time on the clocks of the window's zone.", valueName: "instant"))
    var from: String

    @Option(name: .long, help: ArgumentHelp("When it ends.", valueName: "instant"))
    var to: String

    @Option(name: .long, help: "What is done, and why then.")
    var reason: String

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        try Checks.reason(reason)
        try WindowTime.check(from)
        try WindowTime.check(to)
    }

    func run() async throws {
        let desk = try await MaintenanceDesk(pipeline, options)
        let (live, rules) = (desk.live, desk.live.rules)
        let window = try await desk.records.announce(
            from: WindowTime.instant(from, in: rules), to: WindowTime.instant(to, in: rules),
            reason: Redactor.redact(reason),
            by: desk.actor, at: desk.now, policy: desk.policy, rules: rules)
        let isOpenAnyway = live.window.timeline(from: window.from, to: window.to, rules: rules)
            .allSatisfy(\.isOpen)
        await desk.show(
            Maintenance(window), .announced, opensWindow: !isOpenAnyway,
            [
                "Announced: maintenance from \(rules.described(window.from)) to \(rules.described(window.to)).",
                isOpenAnyway
                    ? "The window is open then anyway." : "Deployments may begin in it although the window is closed.",
                "After the last one: airboss window close \(pipeline) \(window.id)",
            ])
    }
}

struct WindowWithdrawCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "withdraw", abstract: "Withdraw announced maintenance in which nothing was done yet.")

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Argument(help: "The announcement's id, or its beginning; not needed where there is only one.")
    var id: String?

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let desk = try await MaintenanceDesk(pipeline, options)
        var maintenance = try await desk.find(id)
        do {
            try maintenance.apply(.withdraw, at: desk.now)
        } catch {
            throw AirbossError(
                .refused, "the maintenance is \(maintenance.state.name), so it can't be withdrawn",
                hint: "close it after a good deploy: airboss window close \(pipeline) \(maintenance.window.id)")
        }
        try await desk.records.record(.withdrawn, of: maintenance, by: desk.actor, at: desk.now)
        let reason = TerminalText.line(maintenance.window.reason)
        await desk.show(maintenance, .withdrawn, ["Withdrawn: \(reason). It opens nothing."])
    }
}

struct WindowCloseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "close",
        abstract: "Close maintenance before its time, once what was deployed in it has passed its smoke tests.")

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Argument(help: "The announcement's id, or its beginning; not needed where there is only one.")
    var id: String?

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let desk = try await MaintenanceDesk(pipeline, options)
        var maintenance = try await desk.find(id)
        do {
            try maintenance.apply(.close, at: desk.now)
        } catch {
            throw refusal(maintenance)
        }
        try await desk.records.record(.closed, of: maintenance, by: desk.actor, at: desk.now)
        await desk.show(maintenance, .closed, ["Closed: \(TerminalText.line(maintenance.window.reason))."])
    }

    private func refusal(_ maintenance: Maintenance) -> AirbossError {
        switch maintenance.state {
        case .announced:
            AirbossError(
                .refused, "nothing was deployed in the maintenance yet",
                hint: "withdraw it: airboss window withdraw \(pipeline) \(maintenance.window.id)")
        case .executing(let run):
            AirbossError(
                .refused, "run \(run) is at work in the maintenance, or died in it",
                hint: "wait for it, or: airboss recover \(pipeline)")
        case .failed(let run):
            AirbossError(
                .refused, "run \(run) left something that did not pass its smoke tests",
                hint: "mend it within the maintenance, by a deploy or by: airboss rollback \(pipeline) --reason TEXT")
        case .smoked, .closed, .withdrawn, .lapsed:
            AirbossError(.refused, "the maintenance is \(maintenance.state.name) already")
        }
    }
}

/// What the commands on maintenance work with.
private struct MaintenanceDesk {
    let live: LiveWindow
    let policy: MaintenancePolicy
    let records: MaintenanceRecords
    let context: PipelineContext
    let actor: String
    let now = Timestamp.fromSystemClock()
    let options: GlobalOptions

    init(_ name: String, _ options: GlobalOptions) async throws {
        let context = try options.load(name)
        guard let live = try LiveWindow(context.pipeline, environment: context.environment, now: now),
            let policy = live.policy
        else {
            throw AirbossError(
                .refused, "the pipeline “\(context.pipeline.name)” knows no maintenance windows",
                hint: "add to its window: maintenance: { notice: 24h }",
                location: context.pipeline.window?.timeZone.location.description ?? "")
        }
        (self.live, self.policy, self.options, self.context) = (live, policy, options, context)
        records = MaintenanceRecords(store: try await options.openStore(for: context), pipeline: context.pipeline)
        // Without a repository the shell's user is named.
        let repository = try? await GitRepository.open(at: context.repositoryPath())
        actor = await AuditOrigin.process(
            environment: context.environment, repository: repository, at: .fromSystemClock()
        ).actor
    }

    /// The maintenance whose id begins so, or the only one that is not over.
    func find(_ id: String?) async throws -> Maintenance {
        let all: [Maintenance]
        do throws(StateError) {
            all = try await records.all(at: now)
        } catch {
            throw error.asAirbossError
        }
        let found = all.filter { maintenance in
            if let id { return maintenance.window.id.rawValue.hasPrefix(id.uppercased()) }
            switch maintenance.state {
            case .announced, .executing, .smoked, .failed: return true
            case .closed, .withdrawn, .lapsed: return false
            }
        }
        if let only = found.first, found.count == 1 { return only }
        let list = (found.isEmpty ? all.suffix(5) : found[...]).map {
            "\($0.window.id) \($0.state.name), from \(live.rules.described($0.window.from))"
        }
        throw AirbossError(
            .usage,
            found.isEmpty
                ? "there is no such maintenance" : "there are \(found.count) such maintenances; say which by its id",
            hint: list.isEmpty ? "announce one: airboss window announce" : list.joined(separator: "\n"))
    }

    /// Prints what was done, once it was told to whoever the pipeline names.
    func show(
        _ maintenance: Maintenance, _ deed: MaintenanceNotice.Deed, opensWindow: Bool = false, _ lines: [String]
    ) async {
        let told = await tell(maintenance, deed, opensWindow: opensWindow)
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1,
                "maintenance": WindowView.json(maintenance, opens: live.isAnnouncedInTime(maintenance)),
                "notices": .array(
                    told.map { channel, problem in
                        [
                            "channel": .string(channel.rawValue), "sent": .bool(problem == nil),
                            "error": problem.map(JSONValue.string) ?? .null,
                        ]
                    }),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            var lines = lines
            let sent = told.filter { $0.problem == nil }.map(\.channel.rawValue)
            if !sent.isEmpty { lines.append("Told by \(sent.joined(separator: ", ")).") }
            for (channel, problem) in told {
                guard let problem else { continue }
                lines.append(
                    "Not told by \(channel.rawValue): \(problem). The next run tries again, or: "
                        + "airboss notices resend \(context.pipeline.name)")
            }
            StandardStreams.output(lines.joined(separator: "\n") + "\n")
        }
    }

    /// Tells people over every channel of the pipeline that they read; what can't be told waits in the outbox.
    ///
    /// What was recorded stands however that goes: nobody withdraws maintenance because a mail server was down.
    private func tell(
        _ maintenance: Maintenance, _ deed: MaintenanceNotice.Deed, opensWindow: Bool
    ) async -> [(channel: NoticeOrder.Channel, problem: String?)] {
        var problems: [String] = []
        let channels: NoticeChannels
        do {
            // As for a rollback: a channel whose variables are not set here is named, and no reason to fail.
            channels = try context.noticeChannels(of: .rollback) { problems.append($0) }
        } catch {
            channels = NoticeChannels()
            problems.append(error.message)
        }
        for problem in problems { StandardStreams.error("warning: \(TerminalText.line(problem))\n") }
        let window = maintenance.window
        let notice = MaintenanceNotice(
            deed: deed, id: window.id, pipeline: context.pipeline.name, app: context.pipeline.app, from: window.from,
            to: window.to, fromWords: live.rules.described(window.from), toWords: live.rules.described(window.to),
            reason: window.reason, actor: actor, at: now, opensWindow: opensWindow, runURL: context.runURL)
        let http = HTTPClient(.init(userAgent: "airboss/\(Version.current)"))
        let sender = NoticeSender(
            channels: channels, http: http, mail: MailTransport(), outbox: StoredOutbox(store: records.store))
        var told: [(channel: NoticeOrder.Channel, problem: String?)] = []
        for channel in channels.available where channel.isForPeople {
            let answer = await sender.answer(NoticeOrder(channel: channel, maintenance: notice), at: now)
            if case .failed(let failure) = answer {
                told.append((channel, TerminalText.line(failure.text)))
            } else {
                told.append((channel, nil))
            }
        }
        await http.shutdown()
        return told
    }
}
