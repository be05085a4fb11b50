// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FlyPlatform
internal import FoundationEssentials
internal import GitHistory
internal import HTTPTransport
internal import Journals
internal import Model
internal import Notifications
internal import PipelineFiles

struct IncidentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "incident",
        abstract: "Evidence of what went wrong.",
        subcommands: [IncidentExportCommand.self])
}

struct IncidentExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write what is known of an incident into a folder, with a manifest that proves it.",
        discussion: """
            Makes INC-yyyymmdd-hhmmss with the timeline, runs, releases, what the two newest releases differ in, the \
            machines as they are now, and the audit records. What can't be had is named in the manifest with the \
            reason. Secrets are removed. Verify it later with: airboss audit verify --evidence FOLDER

            Examples:
              airboss incident export production --type outage --severity SEV-1 --details "502 since 14:00"
              airboss incident export production --type latency --severity SEV-2 --details "P95 2.4 s" --since 6h
            """)

    /// The most runs, releases and audit records of one export.
    private static let maxRuns = 200
    private static let maxReleases = 50
    private static let maxRecords = 20_000
    private static let maxCommits = 250

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: "What kind of incident: outage, latency, data, security, ….")
    var type: String

    @Option(name: .long, help: "SEV-1, SEV-2 or SEV-3; critical, warning and info mean the same.")
    var severity: String

    @Option(name: .long, help: "What happened, in a sentence.")
    var details: String

    @Option(name: .long, help: ArgumentHelp("How far back the evidence goes: 72h, or a time.", valueName: "time"))
    var since = "72h"

    @Option(name: .long, help: ArgumentHelp("The folder in which the evidence's folder is made.", valueName: "dir"))
    var to = "."

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        guard level != nil else { throw ValidationError("--severity is SEV-1, SEV-2 or SEV-3, not “\(severity)”.") }
        for (name, text) in [("--type", type), ("--details", details)]
        where !text.contains(where: { !$0.isWhitespace }) {
            throw ValidationError("\(name) is empty: say it, for whoever reads the evidence later.")
        }
        _ = try AuditListCommand.time(since, before: .fromSystemClock())
    }

    private var level: String? {
        switch severity.lowercased() {
        case "sev-1", "sev1", "critical": "SEV-1"
        case "sev-2", "sev2", "warning": "SEV-2"
        case "sev-3", "sev3", "info": "SEV-3"
        default: nil
        }
    }

    func run() async throws {
        let now = Timestamp.fromSystemClock()
        let begin = try AuditListCommand.time(since, before: now)
        let context = try options.load(pipeline)
        let name = context.pipeline.name
        let app = context.pipeline.app
        let store = try await options.openStore(for: context)
        let stamp = now.description.filter(\.isNumber)
        let id = "INC-\(stamp.prefix(8))-\(stamp.dropFirst(8).prefix(6))"
        var evidence = try EvidenceFolder((to.hasSuffix("/") ? String(to.dropLast()) : to) + "/" + id)

        let runs = try await store.runs(RunFilter(pipeline: name), limit: IncidentExportCommand.maxRuns)
            .filter { ($0.end?.finishedAt ?? now) >= begin }
        let releases = try await store.releases(app, limit: IncidentExportCommand.maxReleases)
        let records = try await store.auditRecords(
            AuditFilter(pipeline: name, since: begin), limit: IncidentExportCommand.maxRecords
        ).sorted { ($0.chain, $0.sequence) < ($1.chain, $1.sequence) }

        let incident: JSONValue = [
            "id": .string(id), "type": .string(Redactor.redact(type)), "severity": .string(level ?? severity),
            "details": .string(Redactor.redact(details)), "pipeline": .string(name), "app": .string(app.rawValue),
            "exported_at": .string(now.description), "since": .string(begin.description),
            "airboss": .string(Version.current),
        ]
        try evidence.add("incident.json", incident)
        let timeline = try await timeline(store, app, runs, releases, records, since: begin)
        try evidence.add(
            "timeline.json",
            [
                "schema": 1,
                "events": .array(
                    timeline.map {
                        ["at": .string($0.at.description), "what": .string($0.what), "by": .string($0.by)]
                    }),
            ])
        try evidence.add("timeline.md", Data(IncidentExportCommand.markdown(incident, timeline).utf8))
        try evidence.add("runs.json", ["schema": 1, "runs": .array(runs.map(IncidentExportCommand.run))])
        try evidence.add(
            "releases.json", ["schema": 1, "releases": .array(releases.map(IncidentExportCommand.release))])
        if releases.count >= 2 {
            let difference = await difference(releases[1], releases[0], context)
            try evidence.add("release-diff.json", difference)
        } else {
            evidence.lack("release-diff.json", "fewer than two releases of \(app) are known")
        }
        try await addMachines(app, &evidence)
        evidence.lack("logs", "this version of Airboss reads no logs; keep those of: fly logs -a \(app)")
        try evidence.add(
            EvidenceFolder.auditName, Data(records.map { $0.line + "\n" }.joined().utf8))
        if records.count == IncidentExportCommand.maxRecords {
            evidence.lack("older audit records", "only the newest \(records.count) are here: airboss audit export")
        }

        let heads = try await store.auditHeads()
        let hash = try evidence.finish(incident, heads: heads)
        try await options.record(
            AuditEntry(
                .incidentExported, of: id, Redactor.redact(details),
                after: ["manifest_sha256": .string(hash), "severity": .string(level ?? severity)], at: now),
            in: store, pipeline: name, app: app, reason: details)
        show(evidence, id, hash)
    }

    private func show(_ evidence: EvidenceFolder, _ id: String, _ hash: String) {
        switch options.output {
        case .json:
            let document: JSONValue = [
                "schema": 1, "incident": .string(id), "folder": .string(evidence.path),
                "manifest_sha256": .string(hash), "files": .array(evidence.files),
                "missing": .array(evidence.missing),
            ]
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            var table = Table(["FILE", "BYTES", "SHA-256"])
            for file in evidence.files {
                table.add([
                    file["name"]?.string ?? "", String(file["bytes"]?.integer ?? 0), file["sha256"]?.string ?? "",
                ])
            }
            let lacking = evidence.missing.map {
                "not there: \($0["what"]?.string ?? ""): \(TerminalText.line($0["why"]?.string ?? ""))\n"
            }
            StandardStreams.output(
                "\(evidence.path)\n" + table.text + lacking.joined()
                    + "Verify it with: airboss audit verify --evidence \(evidence.path)\n")
        }
    }

    // MARK: - The timeline

    private struct Moment {
        var at: Timestamp
        var what: String
        var by: String
    }

    /// Runs, states of releases, and what the audit tells beside them, oldest first.
    private func timeline(
        _ store: any StateStore, _ app: AppName, _ runs: [RunRecord], _ releases: [ReleaseRecord],
        _ records: [SealedAuditRecord], since begin: Timestamp
    ) async throws -> [Moment] {
        var moments: [Moment] = []
        for run in runs {
            let header = run.header
            moments.append(
                Moment(
                    at: header.startedAt, what: "run \(header.run): \(header.kind) begins: \(header.reason)",
                    by: header.actor))
            if let end = run.end {
                moments.append(
                    Moment(
                        at: end.finishedAt, what: "run \(header.run): \(header.kind) ends: \(end.outcome)",
                        by: header.actor))
            }
        }
        for release in releases {
            for change in try await store.releaseHistory(app, release.number) where change.at >= begin {
                moments.append(
                    Moment(
                        at: change.at,
                        what: "release \(release.number) is \(change.state.rawValue): \(release.subject)",
                        by: ""))
            }
        }
        // Runs and releases are there already; of the rest, what a reader must know.
        let told: Set<String> = [
            "gate.overridden", "run.resumed", "run.interrupted", "approval.granted", "mutation.asked", "stage.changed",
        ]
        for record in records {
            let json = record.json
            guard let kind = json["kind"]?.string, let at = json["at"]?.string.flatMap(Timestamp.init) else { continue }
            let state = json["after"]?["state"]?.string ?? ""
            let isRefusal = kind == "gate.decided" && state != "passed"
            let isLease = json["detail"]?.string?.contains("lease") == true && kind == "mutation.asked"
            guard told.contains(kind) && !isLease || isRefusal else { continue }
            let parts = [kind, json["subject"]?.string ?? "", state, json["detail"]?.string ?? ""]
            moments.append(
                Moment(
                    at: at, what: parts.filter { !$0.isEmpty }.joined(separator: " "),
                    by: json["actor"]?.string ?? ""))
        }
        return moments.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map {
            _, moment in
            Moment(
                at: moment.at, what: TerminalText.line(moment.what), by: TerminalText.line(moment.by))
        }
    }

    private static func markdown(_ incident: JSONValue, _ timeline: [Moment]) -> String {
        func text(_ name: String) -> String { cell(incident[name]?.string ?? "") }
        var lines = [
            "# \(text("id")): \(text("type")), \(text("severity"))", "", text("details"), "",
            "App \(text("app")) (pipeline \(text("pipeline"))), from \(text("since")) to \(text("exported_at")), UTC.",
            "", "| time | what | by |", "|---|---|---|",
        ]
        lines += timeline.map { "| \($0.at) | \(cell($0.what)) | \(cell($0.by)) |" }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Text that can't leave its place in a table, nor become a link or an element.
    private static func cell(_ text: String) -> String {
        var result = ""
        for character in TerminalText.line(text) {
            if "\\|<>[]`*_#@".contains(character) { result.append("\\") }
            result.append(character)
        }
        return result
    }

    // MARK: - Runs and releases

    private static func run(_ run: RunRecord) -> JSONValue {
        var json = RunsCommand.json(run).redacted
        if let end = run.end, let summary = try? JSONDecoder().decode(RunFinished.self, from: end.summary) {
            // A run that was ended by another has an empty summary.
            json["report"] =
                RunFinished(
                    report: Redactor.redact(summary.report), flyAPICalls: summary.flyAPICalls
                ).json
        }
        return json
    }

    private static func release(_ release: ReleaseRecord) -> JSONValue {
        [
            "release": .integer(Int64(release.number.value)), "state": .string(release.state.rawValue),
            "commit": RunFinished.optional(release.commit?.rawValue),
            "subject": .string(Redactor.redact(release.subject)), "image": .string(release.image),
            "run": .string(release.run.rawValue), "created_at": .string(release.createdAt.description),
            "verified_at": RunFinished.optional(release.verifiedAt?.description),
            "reason": .string(Redactor.redact(release.reason)),
            "machines": .array(
                release.machines.map { machine in
                    [
                        "id": .string(machine.id.rawValue), "name": .string(machine.name),
                        "region": .string(machine.region), "cordoned": .bool(machine.isCordoned),
                        "config": machine.config.json.withoutConfigSecrets,
                    ]
                }),
        ]
    }

    /// What two releases differ in: image, each group's config, and the commits between them.
    private func difference(
        _ old: ReleaseRecord, _ new: ReleaseRecord, _ context: PipelineContext
    ) async -> JSONValue {
        func configs(_ release: ReleaseRecord) -> [ProcessGroup: JSONValue] {
            Dictionary(
                release.machines.map { ($0.config.processGroup, $0.config.substance.withoutConfigSecrets) }
            ) { first, _ in first }
        }
        let (before, after) = (configs(old), configs(new))
        var groups: JSONValue = [:]
        for group in Set(before.keys).union(after.keys).sorted() {
            let lines: [String]
            switch (before[group], after[group]) {
            case (nil, _): lines = ["the group is new"]
            case (_, nil): lines = ["the group is gone"]
            case (let old?, let new?): lines = new.differences(from: old)
            }
            groups[group.rawValue] = .array(lines.map(JSONValue.string))
        }
        var result: JSONValue = [
            "schema": 1, "from": .integer(Int64(old.number.value)), "to": .integer(Int64(new.number.value)),
            "image": [
                "from": .string(old.image), "to": .string(new.image), "same": .bool(old.digest == new.digest),
            ],
            "config": groups,
            "commits": [
                "from": RunFinished.optional(old.commit?.rawValue), "to": RunFinished.optional(new.commit?.rawValue),
            ],
        ]
        guard let from = old.commit, let to = new.commit else { return result }
        var commits = result["commits"] ?? [:]
        do {
            let repository = try await GitRepository.open(at: try context.repositoryPath())
            let range = try await repository.commitsBetween(from, to, limit: IncidentExportCommand.maxCommits)
            commits["relation"] = .string(range.relation.rawValue)
            commits["list"] = .array(
                range.commits.map { commit in
                    [
                        "commit": .string(commit.id.rawValue), "author": .string(Redactor.redact(commit.author.name)),
                        "subject": .string(Redactor.redact(commit.subject)),
                        "committed_at": .string(commit.committedAt.description),
                    ]
                })
        } catch let error as GitError {
            commits["unknown"] = .string(Redactor.redact(error.message))
        } catch {
            commits["unknown"] = .string(Redactor.redact("\(error)"))
        }
        result["commits"] = commits
        return result
    }

    // MARK: - The machines now

    private func addMachines(_ app: AppName, _ evidence: inout EvidenceFolder) async throws {
        let http = HTTPClient(.init(userAgent: "airboss/\(Version.current)"))
        var why: String?
        do {
            let client = FlyClient(
                endpoints: try FlyEndpoints(environment: options.environment),
                token: try FlyToken(environment: options.environment), http: http,
                userAgent: "airboss/\(Version.current)")
            let machines = try await client.machines(app)
            try evidence.add(
                "machines.json",
                [
                    "schema": 1, "asked_at": .string(Timestamp.fromSystemClock().description),
                    "machines": .array(machines.sorted { $0.id < $1.id }.map(IncidentExportCommand.machine)),
                ])
        } catch let error as FlyError {
            why = "the platform could not be asked: \(error.description)"
        } catch let error as AirbossError where error.code != .unavailable {
            why = "the platform could not be asked: \(error.message)"
        } catch {
            await http.shutdown()
            throw error
        }
        await http.shutdown()
        if let why { evidence.lack("machines.json", why) }
    }

    private static func machine(_ machine: FleetMachine) -> JSONValue {
        [
            "id": .string(machine.id.rawValue), "name": .string(machine.name), "state": .string(machine.state),
            "region": .string(machine.region), "instance": .string(machine.instance.rawValue),
            "image": RunFinished.optional(machine.imageDigest?.rawValue ?? machine.config.image),
            "host": .string(machine.hostStatus), "cordoned": .bool(machine.isCordoned),
            "managed": .bool(machine.isManaged), "config": machine.config.json.withoutConfigSecrets,
            "checks": .array(
                machine.checks.map {
                    [
                        "name": .string($0.name), "status": .string($0.status),
                        "output": .string(Redactor.redact($0.output)),
                        "updated_at": RunFinished.optional($0.updatedAt?.description),
                    ]
                }),
            "events": .array(
                machine.events.map {
                    [
                        "type": .string($0.type), "status": .string($0.status), "at": .string($0.at.description),
                        "exit_code": $0.exitCode.map { .integer(Int64($0)) } ?? .null,
                        "oom_killed": .bool($0.isOutOfMemory), "requested": .bool($0.wasRequested),
                    ]
                }),
        ]
    }
}
