// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Journals
internal import Model
internal import PipelineFiles
internal import Windows

/// A pipeline's maintenance windows in the state store.
///
/// An announcement, a close and a withdrawal are runs of the kind `maintenance`, each with one entry in its journal:
/// the time of a record is its own, its checksum guards it, and `airboss runs` lists it among what else was done.
struct MaintenanceRecords {
    let store: any StateStore
    let pipeline: Pipeline

    static let kind = "maintenance"
    /// The version of an entry's encoding.
    static let schema = 1
    /// Runs among which announcements are looked for.
    private static let maxRunsRead = 5_000
    /// Clocks of machines that share a store may differ by this much.
    private static let clockTolerance = Duration.seconds(600)

    enum Deed: String, Codable {
        case announced, closed, withdrawn
    }

    private struct Entry: Codable {
        var deed: Deed
        /// The announcement this is about; its own record for an announcement.
        var maintenance: RunID
        var from: Timestamp?
        var to: Timestamp?
        var reason: String?
    }

    /// All maintenance that is known, by its beginning, each as far as it has come by `now`.
    func all(at now: Timestamp) async throws(StateError) -> [Maintenance] {
        let runs = try await store.runs(
            RunFilter(pipeline: pipeline.name), limit: MaintenanceRecords.maxRunsRead
        ).filter { $0.header.startedAt <= now }
        var announced: [Maintenance] = []
        var deeds: [(entry: Entry, at: Timestamp)] = []
        for run in runs where run.header.kind == MaintenanceRecords.kind && run.header.app == pipeline.app {
            // What has no whole entry was never announced: its process died before.
            guard let entry = try await entry(run) else { continue }
            guard entry.deed == .announced else {
                deeds.append((entry, run.header.startedAt))
                continue
            }
            guard let from = entry.from, let to = entry.to else { continue }
            announced.append(
                Maintenance(
                    MaintenanceWindow(
                        id: run.header.run, from: from, to: to, reason: entry.reason ?? "",
                        announcedAt: run.header.startedAt, announcedBy: run.header.actor)))
        }
        let known = runs.flatMap(MaintenanceRecords.events)
        return announced.map { maintenance in
            var events = known.filter { maintenance.window.from <= $0.began && $0.began < maintenance.window.to }
                .map { (at: $0.at, event: $0.event) }
            for deed in deeds where deed.entry.maintenance == maintenance.window.id {
                events.append((deed.at, deed.entry.deed == .closed ? .close : .withdraw))
            }
            var maintenance = maintenance
            for (at, event) in events.sorted(by: { $0.at < $1.at }) {
                // Two people at once: what came second changes nothing any more.
                try? maintenance.apply(event, at: at)
            }
            if maintenance.window.to <= now { try? maintenance.apply(.timeOver, at: now) }  // never illegal
            return maintenance
        }.sorted { ($0.window.from, $0.window.id.rawValue) < ($1.window.from, $1.window.id.rawValue) }
    }

    /// What a run means for the maintenance it began in; nothing where it changed nothing.
    private static func events(_ run: RunRecord) -> [(began: Timestamp, at: Timestamp, event: Maintenance.Event)] {
        let (id, began) = (run.header.run, run.header.startedAt)
        guard RunKind(rawValue: run.header.kind) != nil else { return [] }
        let beginning = (began: began, at: began, event: Maintenance.Event.began(run: id))
        guard let end = run.end else { return [beginning] }
        let isHealthy: Bool
        switch RunOutcome(rawValue: end.outcome) {
        case .refused, .unavailable: return []
        case .verified, .rolledBack: isHealthy = true
        case .needsHuman, .interrupted, nil: isHealthy = false
        }
        return [beginning, (began, end.finishedAt, .ended(run: id, isHealthy: isHealthy))]
    }

    private func entry(_ run: RunRecord) async throws(StateError) -> Entry? {
        guard run.header.schema <= MaintenanceRecords.schema,
            let payload = try await store.events(run.header.run).entries.first?.payload
        else { return nil }
        // An entry of a later version opens nothing.
        return try? JSONDecoder().decode(Entry.self, from: payload)
    }

    /// Records an announcement. Throws `refused` where the policy does not allow it, or the clock is wrong.
    func announce(
        from: Timestamp, to: Timestamp, reason: String, by actor: String, at now: Timestamp, policy: MaintenancePolicy,
        rules: TimeZoneRules
    ) async throws -> MaintenanceWindow {
        try await checkClock(now)
        let run = RunID(ULID.make(at: now))
        let window = MaintenanceWindow(
            id: run, from: from, to: to, reason: reason, announcedAt: now, announcedBy: actor)
        do throws(WindowError) {
            try window.validate(policy, rules: rules)
        } catch {
            throw AirbossError(.refused, error.message, hint: error.hint)
        }
        try await record(
            Entry(deed: .announced, maintenance: run, from: from, to: to, reason: reason), as: run, by: actor,
            reason: "maintenance from \(from) to \(to): \(reason)", at: now)
        return window
    }

    /// Records that a maintenance was closed or withdrawn.
    func record(_ deed: Deed, of maintenance: Maintenance, by actor: String, at now: Timestamp) async throws {
        try await checkClock(now)
        try await record(
            Entry(deed: deed, maintenance: maintenance.window.id), as: RunID(ULID.make(at: now)), by: actor,
            reason: "maintenance \(maintenance.window.id) \(deed.rawValue)", at: now)
    }

    private func record(
        _ entry: Entry, as run: RunID, by actor: String, reason: String, at now: Timestamp
    ) async throws {
        let holder = Holder.process(at: now)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let payload = try encoder.encode(entry)
        do throws(StateError) {
            try await store.openRun(
                RunHeader(
                    run: run, pipeline: pipeline.name, app: pipeline.app, kind: MaintenanceRecords.kind, actor: actor,
                    reason: reason, host: holder.host, processID: holder.processID, startedAt: now,
                    schema: MaintenanceRecords.schema))
            try await store.append(
                run: run, expectedSequence: 0, kind: MaintenanceRecords.kind, payload: payload, at: now)
            try await store.closeRun(
                run, outcome: entry.deed.rawValue, exitCode: ExitCode.verified.rawValue, finishedAt: now,
                summary: payload)
        } catch {
            throw error.asAirbossError
        }
    }

    /// The notice is counted by clocks, so a clock that shows a time before the last record is not believed.
    private func checkClock(_ now: Timestamp) async throws {
        guard now >= DeploymentWindow.earliestCredibleTime else {
            throw AirbossError(
                .refused, "this machine's clock says \(now), which can't be", hint: "set the machine's clock")
        }
        let last: RunRecord?
        do throws(StateError) {
            last = try await store.runs(RunFilter(pipeline: pipeline.name), limit: 1).first
        } catch {
            throw error.asAirbossError
        }
        guard let last, last.header.startedAt > now + MaintenanceRecords.clockTolerance else { return }
        throw AirbossError(
            .refused,
            "this machine's clock says \(now), but run \(last.header.run) was recorded at \(last.header.startedAt)",
            hint: "set the machine's clock")
    }
}
