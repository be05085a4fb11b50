// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Journals
internal import Model
internal import Ports
internal import Stages

/// The ledger of one app, in the state store.
struct LiveLedger: LedgerPort {
    let store: any StateStore
    let app: AppName

    /// Releases whose states a run is told.
    static let maxReleases = 50

    func answer(_ entry: LedgerEntry, at now: Timestamp) async -> Answer {
        do {
            switch entry {
            case .history:
                return .history(history: try await store.history(app, limit: LiveLedger.maxReleases))
            case .record(let release):
                try await store.recordRelease(release)
            case .mark(let number, let state):
                try await store.markRelease(app, number, state, at: now)
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
    private let run: RunID
    private var sequence: Int64
    private let encoder = JSONEncoder()

    init(_ store: any StateStore, run: RunID, after sequence: Int64) {
        self.store = store
        self.run = run
        self.sequence = sequence
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    /// The kind under which the request is kept, before all events.
    static let requestKind = "request"
    /// The version of the events' encoding.
    static let schema = 1

    /// Keeps what the run was asked to do: with it the events can be replayed.
    func begin(_ request: RunRequest, at now: Timestamp) async throws {
        try await append(LiveJournal.requestKind, try encoder.encode(request), at: now)
    }

    func append(_ event: RunEvent) async throws {
        let payload = try encoder.encode(event)
        let kind =
            switch event.kind {
            case .started: "started"
            case .answered: "answered"
            case .interrupted: "interrupted"
            }
        try await append(kind, payload, at: event.at)
    }

    private func append(_ kind: String, _ payload: Data, at now: Timestamp) async throws {
        do {
            sequence = try await store.append(
                run: run, expectedSequence: sequence, kind: kind, payload: payload, at: now)
        } catch {
            throw error.asAirbossError
        }
    }
}
