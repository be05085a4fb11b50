// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import Journals
internal import Model

struct StateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state",
        abstract: "Look after the store of runs and releases: bring it up to date, verify it, move it.",
        discussion: """
            A store is named by its URL: sqlite:PATH, or postgres://USER@HOST/DATABASE for a team.

            Examples:
              airboss state check
              airboss state migrate "$AIRBOSS_STATE"
              airboss state copy sqlite:.airboss/state.sqlite "$AIRBOSS_STATE"
            """,
        subcommands: [StateMigrateCommand.self, StateCheckCommand.self, StateCopyCommand.self])
}

struct StateMigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Make a store, or bring its tables up to date.",
        discussion: """
            Every command does this by itself when it first meets an older store. Doing it by hand lets one user own the
            tables and others only use them. A store of a later Airboss is left as it is.

            Examples:
              airboss state migrate
              airboss state migrate postgres://owner@db.example.com/airboss?sslmode=verify-full
            """)

    @Argument(help: "The store's URL; without it, the one that other commands would use.")
    var url: String?

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let place = try options.storePlace(for: nil)
        let migration = try await StateStores.migrate(url ?? place.url, relativeTo: place.folder)
        if let former = migration.from, former < migration.to {
            let store = try await StateStores.open(url ?? place.url, relativeTo: place.folder)
            try await options.recordMigration(of: store, from: former)
        }
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1, "store": .string(migration.store),
                "from": migration.from.map { .integer(Int64($0)) } ?? .null, "to": .integer(Int64(migration.to)),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            let what =
                switch migration.from {
                case nil: "made, with schema \(migration.to)"
                case migration.to: "up to date already, with schema \(migration.to)"
                case .some(let from): "brought from schema \(from) to \(migration.to)"
                }
            StandardStreams.output("\(migration.store): \(what).\n")
        }
    }
}

struct StateCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Verify every journal, the ledger and the audit record of a store, and change nothing.",
        discussion: """
            Reads every entry of every run and verifies its chain of checksums, compares releases with their histories,
            and says who holds or waits for an app. Ends with 69 where something is wrong.

            Examples:
              airboss state check
              airboss state check sqlite:/backup/state.sqlite --output json
            """)

    @Argument(help: "The store's URL; without it, the one that other commands would use.")
    var url: String?

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let check = try await StateStores.check(
            try url ?? options.storePlace(for: nil).url, relativeTo: options.storePlace(for: nil).folder,
            at: .fromSystemClock(), silence: RunSession.holderSilence)
        switch options.output {
        case .json: StandardStreams.output(StateCheckCommand.json(check).text(pretty: true) + "\n")
        case .text: StandardStreams.output(StateCheckCommand.text(check))
        }
        guard check.problems.isEmpty else {
            let count = check.problems.count == 1 ? "one problem" : "\(check.problems.count) problems"
            throw AirbossError(
                .unavailable, "the state store \(check.store) has \(count)",
                hint: "keep a copy of it as it is; a run whose last entries are torn can go on with airboss recover,"
                    + " anything else has to come from a backup")
        }
    }

    private static func text(_ check: StateCheck) -> String {
        var lines = [
            "\(check.store): schema \(check.schema)",
            "\(check.runs) runs (\(check.unfinishedRuns) unfinished), \(check.entries) entries in their journals",
            "\(check.releases) releases, \(check.notices) notices (\(check.waitingNotices) not sent yet)",
            "\(check.auditRecords) audit records",
        ]
        for held in check.holds {
            let hold = held.hold
            lines.append(
                "\(hold.app): run \(hold.run) has it since \(hold.acquiredAt),"
                    + " from \(TerminalText.line(hold.holder.host)) (process \(hold.holder.processID))"
                    + (held.isAbandoned ? ", and nobody works on it" : ""))
        }
        for (index, waiter) in check.queue.enumerated() {
            let place = check.queue[..<index].filter { $0.app == waiter.app }.count + 1
            lines.append(
                "\(waiter.app): run \(waiter.run) waits, number \(place), since \(waiter.joinedAt),"
                    + " from \(TerminalText.line(waiter.holder.host)) (process \(waiter.holder.processID))")
        }
        lines += check.problems.map { "PROBLEM: \(TerminalText.line($0))" }
        if check.problems.isEmpty { lines.append("Everything is sound.") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func json(_ check: StateCheck) -> JSONValue {
        [
            "schema": 1, "store": .string(check.store), "store_schema": .integer(Int64(check.schema)),
            "runs": .integer(Int64(check.runs)), "unfinished_runs": .integer(Int64(check.unfinishedRuns)),
            "entries": .integer(check.entries), "releases": .integer(Int64(check.releases)),
            "notices": .integer(Int64(check.notices)), "waiting_notices": .integer(Int64(check.waitingNotices)),
            "audit_records": .integer(check.auditRecords),
            "holds": .array(
                check.holds.map { held in
                    let hold = held.hold
                    return [
                        "app": .string(hold.app.rawValue), "run": .string(hold.run.rawValue),
                        "host": .string(hold.holder.host), "process": .integer(Int64(hold.holder.processID)),
                        "acquired_at": .string(hold.acquiredAt.description),
                        "heartbeat_at": .string(hold.heartbeatAt.description), "fence": .integer(hold.fence),
                        "abandoned": .bool(held.isAbandoned),
                    ]
                }),
            "queue": .array(
                check.queue.map { waiter in
                    [
                        "app": .string(waiter.app.rawValue), "run": .string(waiter.run.rawValue),
                        "host": .string(waiter.holder.host), "process": .integer(Int64(waiter.holder.processID)),
                        "joined_at": .string(waiter.joinedAt.description),
                    ]
                }),
            "problems": .array(check.problems.map { .string($0) }),
        ]
    }
}

struct StateCopyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Copy every run, release and notice of one store into another.",
        discussion: """
            Journals go over entry by entry with their checksums. Refuses while a run is active at FROM, and where TO
            has something else under the same id. A copy that broke off is finished by running it again. FROM is not
            changed.

            Examples:
              airboss state copy sqlite:.airboss/state.sqlite postgres://owner@db.example.com/airboss
            """)

    @Argument(help: "The URL of the store to copy.")
    var from: String

    @Argument(help: "The URL of the store to copy into; made where it is missing.")
    var to: String

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let showsProgress = options.output == .text && StandardStreams.isErrorTerminal
        let copy = try await StateStores.copy(
            from: from, to: to, relativeTo: options.storePlace(for: nil).folder, at: .fromSystemClock(),
            silence: RunSession.holderSilence
        ) { progress in
            guard showsProgress else { return }
            let isLast = progress.runs == progress.runsInAll
            StandardStreams.error(
                "\r  run \(progress.runs) of \(progress.runsInAll), \(progress.entries) entries" + (isLast ? "\n" : ""))
        }
        let target = try await StateStores.open(to, relativeTo: options.storePlace(for: nil).folder)
        try await options.record(
            AuditEntry(
                .stateCopied, of: copy.target, "from \(copy.source)",
                after: [
                    "runs": .integer(Int64(copy.runs.copied)), "releases": .integer(Int64(copy.releases.copied)),
                    "notices": .integer(Int64(copy.notices.copied)), "audit": .integer(Int64(copy.audit.copied)),
                ], at: .fromSystemClock()), in: target)
        switch options.output {
        case .json:
            func json(_ count: StateCopy.Count) -> JSONValue {
                [
                    "copied": .integer(Int64(count.copied)),
                    "already_there": .integer(Int64(count.alreadyThere)),
                ]
            }
            let document: JSONValue = [
                "schema": 1, "from": .string(copy.source), "to": .string(copy.target), "runs": json(copy.runs),
                "entries": json(copy.entries), "releases": json(copy.releases), "notices": json(copy.notices),
                "audit": json(copy.audit),
                "verified": true,
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            func line(_ what: String, _ count: StateCopy.Count) -> String {
                "\(what): \(count.copied) copied, \(count.alreadyThere) there already\n"
            }
            StandardStreams.output(
                "From \(copy.source) to \(copy.target)\n" + line("runs", copy.runs) + line("entries", copy.entries)
                    + line("releases", copy.releases) + line("notices", copy.notices)
                    + line("audit records", copy.audit)
                    + "Verified: every run, checksum and release is the same at both.\n"
                    + "Point AIRBOSS_STATE, or state.url in the pipelines, at the new store.\n")
        }
    }
}
