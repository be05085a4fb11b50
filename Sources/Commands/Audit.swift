// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import GitHistory
internal import Journals
internal import Model
internal import PipelineFiles

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "The record of who did what, when and why: list it, verify it, take it elsewhere.",
        discussion: """
            Every gate's answer, override, change of the platform and release is recorded in the state store, in a \
            chain in which each record names the hash of the one before it.

            Examples:
              airboss audit list production --since 24h
              airboss audit verify
              airboss audit export --output-file audit.jsonl
            """,
        subcommands: [AuditListCommand.self, AuditVerifyCommand.self, AuditExportCommand.self])
}

struct AuditListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List audit records, newest first.",
        discussion: """
            Examples:
              airboss audit list
              airboss audit list production --run 01KAJ3
              airboss audit list --since 2026-11-01T00:00:00Z --output json
            """)

    /// The most records that are listed.
    static let maxLimit = 100_000

    @Argument(help: "Only records of this pipeline.")
    var pipeline: String?

    @Option(name: .long, help: "Only records of this run: its id, or its beginning.")
    var run: String?

    @Option(
        name: .long, help: ArgumentHelp("Only records since then: 24h, 30m, or a time in RFC 3339.", valueName: "time"))
    var since: String?

    @Option(name: .long, help: "How many at most.")
    var limit = 50

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        guard (1...AuditListCommand.maxLimit).contains(limit) else {
            throw ValidationError("--limit is from 1 to \(AuditListCommand.maxLimit).")
        }
        _ = try begin(at: .fromSystemClock())
    }

    private func begin(at now: Timestamp) throws -> Timestamp? {
        try since.map { try AuditListCommand.time($0, before: now) }
    }

    /// A time, or so long before now.
    static func time(_ text: String, before now: Timestamp) throws -> Timestamp {
        if let time = Timestamp(text) { return time }
        if let duration = DurationText.parse(text) { return now - duration }
        throw ValidationError("--since is a duration (24h, 30m) or a time (2026-11-01T00:00:00Z), not “\(text)”.")
    }

    func run() async throws {
        let context: PipelineContext? = if let pipeline { try options.load(pipeline) } else { nil }
        let store = try await options.openStore(for: context)
        var filter = AuditFilter(
            pipeline: context?.pipeline.name, since: try begin(at: .fromSystemClock()))
        if let run {
            guard let record = try await store.run(run) else {
                throw AirbossError(.usage, "there is no run “\(run)”", hint: "list them with: airboss runs")
            }
            filter.run = record.header.run
        }
        let records = try await store.auditRecords(filter, limit: limit)
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1,
                "records": .array(
                    records.map { record in
                        var json = record.json
                        json["hash"] = .string(record.hash)
                        return json
                    }),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            guard !records.isEmpty else {
                StandardStreams.output("No records.\n")
                return
            }
            var table = Table(["NUMBER", "TIME", "BY", "PIPELINE", "KIND", "SUBJECT", "DETAIL"])
            for record in records {
                let json = record.json
                func text(_ name: String) -> String { TerminalText.line(json[name]?.string ?? "") }
                table.add([
                    String(record.sequence), text("at"), text("actor"), text("pipeline"), text("kind"),
                    text("subject"), AuditListCommand.detail(of: json),
                ])
            }
            StandardStreams.output(table.text)
        }
    }

    /// What a record says, in one line.
    private static func detail(of json: JSONValue) -> String {
        var parts: [String] = []
        if let state = json["after"]?["state"]?.string { parts.append(state) }
        if let detail = json["detail"]?.string, !detail.isEmpty, detail != parts.first { parts.append(detail) }
        if let who = json["after"]?["approved_by"]?.string { parts.append("approved by \(who)") }
        if let outcome = json["after"]?["outcome"]?.string { parts.append(outcome) }
        return TerminalText.line(parts.joined(separator: ", "))
    }
}

struct AuditVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Verify that no audit record was changed, removed or moved.",
        discussion: """
            Reads every record of the state store and verifies the chain of hashes up to its end, and that the records \
            every run made are there. Ends with 11 where something is not as it was recorded.

            Somebody who can write the database, and knows how the chain is made, can make all of it anew. Note its \
            end down elsewhere, as verify and export print it, and give it back with --head: then that is found as well.

            Examples:
              airboss audit verify
              airboss audit verify --head 5f0c…:128:9bc0…
              airboss audit verify --file audit.jsonl
              airboss audit verify --evidence INC-20261121-143000
            """)

    @Option(
        name: .long, parsing: .singleValue,
        help: ArgumentHelp("Where a chain ended, as printed before. May be repeated.", valueName: "chain:number:hash"))
    var head: [String] = []

    @Option(name: .long, help: ArgumentHelp("Verify an exported file instead of the store.", valueName: "file"))
    var file: String?

    @Option(name: .long, help: ArgumentHelp("Verify the folder of an incident's evidence.", valueName: "dir"))
    var evidence: String?

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        guard evidence == nil || file == nil && head.isEmpty else {
            throw ValidationError("--evidence names everything itself: give neither --file nor --head with it.")
        }
        for text in head where AuditHead(text) == nil {
            throw ValidationError("--head is CHAIN:NUMBER:HASH as airboss audit verify prints it, not “\(text)”.")
        }
    }

    func run() async throws {
        if let evidence { return try await verifyEvidence(evidence) }
        let heads = head.compactMap(AuditHead.init)
        let verdict: AuditVerdict
        let place: String
        if let file {
            place = file
            let text = try TextFile.read(file)
            verdict = AuditChain.verify(lines: text.split(separator: "\n"), against: heads)
        } else {
            let (url, folder) = try options.storePlace(for: nil)
            place = Redacted.url(url)
            // A store that is not there must not be made, and then found whole.
            verdict = try await StateStores.openAsItIs(url, relativeTo: folder).verifyAudit(against: heads)
        }
        switch options.output {
        case .json: StandardStreams.output(AuditVerifyCommand.json(verdict).text(pretty: true) + "\n")
        case .text: StandardStreams.output(AuditVerifyCommand.text(verdict))
        }
        guard verdict.isWhole else {
            let count = verdict.findings.count == 1 ? "one place" : "\(verdict.findings.count) places"
            throw AirbossError(
                .needsHuman, "the audit record in \(place) is not as it was written, in \(count)",
                hint: "keep a copy of it as it is, and compare it with an export or a backup made before")
        }
    }

    private func verifyEvidence(_ folder: String) async throws {
        var check = try EvidenceCheck(folder)
        let (url, place) = try options.storePlace(for: nil)
        var why = ""
        do throws(StateError) {
            try await check.compare(with: try await StateStores.openAsItIs(url, relativeTo: place))
        } catch {
            // Whoever was only given the folder has no store; what the manifest proves by itself is proven.
            why = error.message
        }
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1, "whole": .bool(check.findings.isEmpty), "files": .integer(Int64(check.files)),
                "compared_with_store": .bool(check.isCompared),
                "findings": .array(check.findings.map(JSONValue.string)),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            var lines = check.findings.map { "NOT WHOLE: \(TerminalText.line($0))" }
            lines.append("\(check.files) files\(check.findings.isEmpty ? ", all as the manifest says" : "").")
            lines.append(
                check.isCompared
                    ? "Compared with the audit record in \(Redacted.url(url))."
                    : "Not compared with an audit record, so the manifest itself is taken on trust: \(why).")
            StandardStreams.output(lines.joined(separator: "\n") + "\n")
        }
        guard check.findings.isEmpty else {
            throw AirbossError(
                .needsHuman, "the evidence in \(folder) is not as it was written",
                hint: "keep it as it is, and compare it with another copy")
        }
    }

    static func text(_ verdict: AuditVerdict) -> String {
        var lines = verdict.findings.map { finding in
            "NOT WHOLE: \(TerminalText.line(finding.detail))"
                + (finding.chain.isEmpty ? "" : " (chain \(TerminalText.line(finding.chain)))")
        }
        if verdict.findings.count == AuditVerdict.maxFindings { lines.append("… and there may be more.") }
        lines.append(
            "\(verdict.records) records\(verdict.isWhole && verdict.records > 0 ? ", all as they were written" : "").")
        lines += verdict.heads.map { "head: \(TerminalText.line($0.description))" }
        return lines.joined(separator: "\n") + "\n"
    }

    static func json(_ verdict: AuditVerdict) -> JSONValue {
        [
            "schema": 1, "whole": .bool(verdict.isWhole), "records": .integer(verdict.records),
            "heads": .array(verdict.heads.map(\.json)),
            "findings": .array(
                verdict.findings.map {
                    [
                        "chain": .string($0.chain), "sequence": $0.sequence.map { .integer($0) } ?? .null,
                        "detail": .string($0.detail),
                    ]
                }),
        ]
    }
}

struct AuditExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write every audit record as JSON Lines, and last where its chain ends.",
        discussion: """
            Each line is a record exactly as it was hashed: its SHA-256 is what the next line names as “previous”. \
            Whoever has the file can verify it without the store: airboss audit verify --file FILE.

            Examples:
              airboss audit export > audit.jsonl
              airboss audit export --output-file audit.jsonl
            """)

    /// Records read at a time.
    private static let page = 1_000

    @Option(
        name: .customLong("output-file"),
        help: ArgumentHelp("Write to this file, which must not be there yet.", valueName: "file"))
    var outputFile: String?

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let (url, folder) = try options.storePlace(for: nil)
        let store = try await StateStores.openAsItIs(url, relativeTo: folder)
        let heads = try await store.auditHeads()
        var text = ""
        var count: Int64 = 0
        let sink = try outputFile.map { try NewFile($0) }
        for head in heads {
            var last: Int64 = 0
            while last < head.sequence {
                let wanted = min(Int64(AuditExportCommand.page), head.sequence - last)
                let records = try await store.auditRecords(of: head.chain, after: last, limit: Int(wanted))
                guard let newest = records.last else { break }
                for record in records { text += record.line + "\n" }
                count += Int64(records.count)
                last = newest.sequence
                try flush(&text, to: sink)
            }
            text += (["schema": 1, "head": head.json] as JSONValue).text() + "\n"
            try flush(&text, to: sink)
        }
        try sink?.close()
        guard let outputFile else { return }
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1, "file": .string(outputFile), "records": .integer(count),
                "heads": .array(heads.map(\.json)),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            StandardStreams.output(
                "\(count) records in \(outputFile)\n" + heads.map { "head: \($0)\n" }.joined())
        }
    }

    private func flush(_ text: inout String, to sink: NewFile?) throws {
        if let sink { try sink.write(text) } else { StandardStreams.output(text) }
        text = ""
    }
}

extension GlobalOptions {
    /// Records something that this process did outside a run.
    func record(
        _ entry: AuditEntry, in store: any StateStore, pipeline: String = "", app: AppName? = nil, run: RunID? = nil,
        reason: String = ""
    ) async throws(StateError) {
        // Where there is no repository, git names nobody.
        let repository = try? await GitRepository.open(at: pipelinesFolder)
        let origin = await AuditOrigin.process(environment: environment, repository: repository, at: entry.at)
        try await store.audit([
            AuditRecord(entry, by: origin, pipeline: pipeline, app: app, run: run, reason: reason).redacted
        ])
    }

    func recordMigration(of store: any StateStore, from former: Int) async throws(StateError) {
        let version = try await (store as? any SQLStore)?.schemaVersion()
        try await record(
            AuditEntry(
                .stateMigrated, of: "state store", "the tables were brought up to date",
                before: ["schema": .integer(Int64(former))],
                after: ["schema": version.map { .integer(Int64($0)) } ?? .null], at: .fromSystemClock()), in: store)
    }
}
