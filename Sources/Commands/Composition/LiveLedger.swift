// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Journals
internal import Model
internal import Orchestration
internal import Ports
internal import Stages

/// The ledger of one app, in the state store.
struct LiveLedger: LedgerPort {
    let store: any StateStore
    let app: AppName
    /// Without it nothing is written: the app may be another run's by now.
    let fence: Fence

    /// Releases whose states a run is told.
    static let maxReleases = 50

    func answer(_ entry: LedgerEntry, at now: Timestamp) async -> Answer {
        do {
            switch entry {
            case .history:
                return .history(history: try await store.history(app, limit: LiveLedger.maxReleases))
            case .record(let release):
                try await store.recordRelease(release, fence: fence)
            case .mark(let number, let state):
                try await store.markRelease(app, number, state, at: now, fence: fence)
            }
            return .done
        } catch {
            return .failed(failure: Failure(.unavailable, error.message, hint: error.hint))
        }
    }
}

/// A run's journal, in the state store.
actor LiveJournal: JournalPort {
    private let store: any StateStore
    private let fence: Fence
    private let audited: AuditedRun
    private var sequence: Int64
    private let encoder = JSONEncoder()

    /// - Parameters:
    ///   - fence: the run's hold on its app; without it nothing is kept.
    ///   - audited: what every record of the audit says of the run.
    ///   - sequence: the number of the last entry; 0 for a new journal.
    init(_ store: any StateStore, fence: Fence, audited: AuditedRun, after sequence: Int64) {
        self.store = store
        self.fence = fence
        self.audited = audited
        self.sequence = sequence
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    /// The kind under which the request is kept, before all events.
    static let requestKind = "request"
    /// The version of the events' encoding.
    static let schema = 2

    /// Keeps what the run was asked to do: with it the events can be replayed.
    func begin(_ request: RunRequest, at now: Timestamp) async throws {
        try await append(LiveJournal.requestKind, try encoder.encode(request), [], at: now)
    }

    func append(_ event: RunEvent, audit: [AuditEntry]) async throws {
        let payload = try encoder.encode(event)
        let kind =
            switch event.kind {
            case .started: "started"
            case .answered: "answered"
            case .interrupted: "interrupted"
            case .resumed: "resumed"
            case .fenced: "fenced"
            }
        try await append(kind, payload, audit, at: event.at)
    }

    private func append(_ kind: String, _ payload: Data, _ audit: [AuditEntry], at now: Timestamp) async throws {
        do throws(StateError) {
            sequence = try await store.append(
                run: fence.run, expectedSequence: sequence, kind: kind, payload: payload, at: now, fence: fence,
                audit: audit.map(audited.record))
        } catch {
            switch error.code {
            case .alreadyClosed:
                // Only whoever took the run over can have ended it.
                throw AirbossError(
                    .busy, "another process has ended this run meanwhile: \(error.message)", hint: error.hint)
            default:
                throw error.asAirbossError
            }
        }
    }

    /// Reads a run that another process began, and the machine it leads to.
    ///
    /// - Throws: an ``AirbossError`` that says why the journal can't be gone on with; nothing is changed then.
    static func read(
        _ record: RunRecord, from store: any StateStore
    ) async throws -> (RunMachine, lastSequence: Int64) {
        let run = record.header.run
        let byPlatform = "go by what the platform shows: airboss recover \(record.header.pipeline) --from-platform"
        guard record.header.schema <= schema else {
            throw AirbossError(
                .unavailable,
                "run \(run) was written by a later Airboss (its events are of version \(record.header.schema), "
                    + "this one knows up to \(schema)); nothing was changed",
                hint: "recover with that version, or \(byPlatform)")
        }
        let reading: JournalReading
        do throws(StateError) {
            reading = try await store.events(run)
            if reading.tornTail != nil { try await store.discardTornTail(run) }
        } catch {
            throw AirbossError(error.asAirbossError.code, error.message, hint: error.hint + "\n" + byPlatform)
        }
        do {
            let decoder = JSONDecoder()
            guard let first = reading.entries.first, first.kind == requestKind else {
                throw AirbossError(
                    .unavailable, "the journal of run \(run) does not say what the run was asked to do",
                    hint: byPlatform)
            }
            let request = try decoder.decode(RunRequest.self, from: first.payload)
            guard request.run == run, request.app == record.header.app else {
                throw AirbossError(
                    .unavailable, "the journal of run \(run) tells of app \(request.app), not \(record.header.app)",
                    hint: byPlatform)
            }
            let events = try await RunReplay.events(reading.entries.dropFirst().map(\.payload))
            return (try RunReplay.machine(request, events: events), reading.lastSequence)
        } catch let error as IllegalEvent {
            throw AirbossError(
                .unavailable, "the journal of run \(run) can't be replayed: \(error); nothing was changed",
                hint: "it was written by another version, or is damaged; \(byPlatform)")
        } catch let error as DecodingError {
            throw AirbossError(
                .unavailable, "an entry in the journal of run \(run) can't be read: \(LiveJournal.place(of: error))",
                hint: byPlatform)
        }
    }

    private static func place(of error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): "“\(key.stringValue)” is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            context.codingPath.isEmpty
                ? "it is no JSON of ours" : "at \(context.codingPath.map(\.stringValue).joined(separator: "."))"
        @unknown default: "it is of another shape"
        }
    }
}
