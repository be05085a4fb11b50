// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import GitHistory
internal import HTTPTransport
internal import Journals
internal import Model
internal import Notifications
internal import Orchestration
internal import PipelineFiles

struct NoticesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notices",
        abstract: "List the notices of runs, and send again what did not go out.",
        discussion: """
            Every notice is kept before it is sent. One that could not be sent is tried again by the next run of its \
            pipeline, up to \(StoredOutbox.maxAttempts) times; resend does it now.

            Examples:
              airboss notices
              airboss notices production --unsent
              airboss notices resend production
              airboss notices resend production --run 01KB3Z8M2T0000000000000000
            """,
        subcommands: [NoticesListCommand.self, NoticesResendCommand.self],
        defaultSubcommand: NoticesListCommand.self)
}

/// A notice with what it tells, as far as this version can read it.
private struct KeptNotice {
    var notice: OutboxNotice
    var order: NoticeOrder?

    init(_ notice: OutboxNotice) {
        self.notice = notice
        // One of a later version is listed all the same.
        order = try? JSONDecoder().decode(NoticeOrder.self, from: notice.payload)
    }

    var pipeline: String? { order?.pipeline }

    var state: String {
        if notice.sentAt != nil { return "sent" }
        let isLeft = notice.nextAttemptAt == nil || notice.attempts >= StoredOutbox.maxAttempts
        return isLeft ? "given up" : notice.attempts == 0 ? "waiting" : "to be tried again"
    }

    var json: JSONValue {
        [
            "key": .string(notice.key), "channel": .string(notice.channel),
            "run": notice.run.map { .string($0.rawValue) } ?? .null,
            "pipeline": pipeline.map(JSONValue.string) ?? .null,
            "outcome": order?.report.map { .string($0.outcome.rawValue) } ?? .null,
            "tells": order.map { .string($0.tells) } ?? .null, "state": .string(state),
            "attempts": .integer(Int64(notice.attempts)), "queued_at": .string(notice.enqueuedAt.description),
            "next_attempt_at": notice.nextAttemptAt.map { .string($0.description) } ?? .null,
            "sent_at": notice.sentAt.map { .string($0.description) } ?? .null,
            "error": notice.lastError.map { .string(TerminalText.line($0)) } ?? .null,
        ]
    }
}

struct NoticesListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List notices, newest first.")

    /// The most notices that are looked at.
    static let maxLimit = 1_000

    @Argument(help: "Only notices of this pipeline.")
    var pipeline: String?

    @Flag(name: .long, help: "Only those that did not go out.")
    var unsent = false

    @Option(name: .long, help: "How many at most.")
    var limit = 50

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        guard (1...NoticesListCommand.maxLimit).contains(limit) else {
            throw ValidationError("--limit is from 1 to \(NoticesListCommand.maxLimit).")
        }
    }

    func run() async throws {
        let context: PipelineContext? = if let pipeline { try options.load(pipeline) } else { nil }
        let store = try await options.openStore(for: context)
        let all = try await store.notices(run: nil, limit: NoticesListCommand.maxLimit).map(KeptNotice.init)
        let notices = all.filter {
            (context == nil || $0.pipeline == context?.pipeline.name) && !(unsent && $0.notice.sentAt != nil)
        }.prefix(limit)
        switch options.output {
        case .json:
            let document: JSONValue = ["schema": 1, "notices": .array(notices.map(\.json))]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            guard !notices.isEmpty else {
                StandardStreams.output(unsent ? "Every notice went out.\n" : "No notices yet.\n")
                return
            }
            var table = Table(["RUN", "CHANNEL", "PIPELINE", "TELLS", "STATE", "TRIES", "QUEUED", "ERROR"])
            for kept in notices {
                table.add([
                    kept.notice.run?.rawValue ?? "-", kept.notice.channel, kept.pipeline ?? "?",
                    kept.order?.tells ?? "?", kept.state, String(kept.notice.attempts),
                    kept.notice.enqueuedAt.description, kept.notice.lastError.map(TerminalText.line) ?? "",
                ])
            }
            StandardStreams.output(table.text)
        }
    }
}

struct NoticesResendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resend",
        abstract: "Send the notices that did not go out, now.",
        discussion: """
            Those that wait, and those that were given up. One that went out is sent again only where --run and \
            --again ask for it; its receiver can tell it by its key. Exit codes: 0 all sent, or nothing to send; 69 \
            one could not be sent.

            Examples:
              airboss notices resend production
              airboss notices resend production --run 01KB3Z8M2T0000000000000000 --again
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: ArgumentHelp("Only the notices of this run.", valueName: "run"))
    var run: String?

    @Flag(name: .long, help: "Also those that went out; needs --run.")
    var again = false

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        guard !again || run != nil else { throw ValidationError("--again needs --run.") }
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let store = try await options.openStore(for: context)
        let all = try await store.notices(run: run.map { RunID($0) }, limit: NoticesListCommand.maxLimit)
        // In the order in which they were to be sent.
        let wanted = all.reversed().map(KeptNotice.init).filter {
            $0.pipeline == context.pipeline.name && (again || $0.notice.sentAt == nil)
        }
        // Without a repository GitHub's is told by the environment or the pipeline, or not at all.
        let repository = try? await GitRepository.open(at: context.repositoryPath())
        let http = HTTPClient(.init(userAgent: "airboss/\(Version.current)"))
        let clock = SteadyClock(startingAt: .fromSystemClock())
        var failed = 0
        var results: [JSONValue] = []
        do {
            let sender = NoticeSender(
                channels: try context.noticeChannels(of: .deploy) { StandardStreams.error("warning: \($0)\n") },
                http: http, mail: MailTransport(), outbox: StoredOutbox(store: store),
                github: await LiveGitHubNotices.make(
                    context, origin: repository, http: http, clock: clock, observer: options.githubObserver))
            for kept in wanted {
                guard var order = kept.order else { continue }
                order.isDeferred = false
                let answer = await sender.answer(order, at: clock.now)
                var problem: String?
                if case .failed(let failure) = answer { problem = TerminalText.line(failure.text) }
                if problem != nil { failed += 1 }
                try await options.record(
                    AuditEntry(
                        .noticeResent, of: kept.notice.key, problem.map { "not sent: \($0)" } ?? "sent",
                        at: clock.now), in: store, pipeline: context.pipeline.name, app: context.pipeline.app,
                    run: kept.notice.run)
                results.append([
                    "key": .string(kept.notice.key), "sent": .bool(problem == nil),
                    "error": problem.map(JSONValue.string) ?? .null,
                ])
                if options.output == .text {
                    StandardStreams.output(
                        problem.map { "not sent: \(kept.notice.key): \($0)\n" } ?? "sent: \(kept.notice.key)\n")
                }
            }
            await http.shutdown()
        } catch {
            await http.shutdown()
            throw error
        }
        switch options.output {
        case .json:
            let document: JSONValue = ["schema": 1, "notices": .array(results)]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text: if wanted.isEmpty { StandardStreams.output("Every notice went out; there is nothing to send.\n") }
        }
        if failed > 0 { throw ArgumentParser.ExitCode(Model.ExitCode.unavailable.rawValue) }
    }
}
