// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Journals
package import Model
internal import Orchestration
internal import Ports
package import Stages

/// A run's journal, in the state store.
package actor LiveJournal: JournalPort {
    private let store: any StateStore
    private let fence: Fence
    private let audited: AuditedRun
    private let build: String?
    private let entriesBetweenSnapshots: Int64
    private var sequence: Int64
    /// The last entry that is in a snapshot; 0 where there is none.
    private var snapshotSequence: Int64
    private let encoder = JSONEncoder()

    /// A run that is gone on with is replayed from no further back than so many entries: some 50 ms. Most runs have
    /// fewer, and make no snapshot.
    package static let entriesBetweenSnapshots: Int64 = 1_000

    /// - Parameters:
    ///   - fence: the run's hold on its app; without it nothing is kept.
    ///   - audited: what every record of the audit says of the run.
    ///   - sequence: the number of the last entry; 0 for a new journal.
    ///   - snapshotSequence: the number of the last entry that is in a snapshot; 0 where there is none.
    ///   - build: this program; nil where it can't be told from others, and no snapshot is made.
    package init(
        _ store: any StateStore, fence: Fence, audited: AuditedRun, after sequence: Int64,
        snapshotSequence: Int64 = 0, build: String? = BuildIdentity.current,
        entriesBetweenSnapshots: Int64 = LiveJournal.entriesBetweenSnapshots
    ) {
        self.store = store
        self.fence = fence
        self.audited = audited
        self.sequence = sequence
        self.snapshotSequence = snapshotSequence
        self.build = build
        self.entriesBetweenSnapshots = entriesBetweenSnapshots
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    /// The kind under which the request is kept, before all events.
    static let requestKind = "request"
    /// The version of the events' encoding.
    package static let schema = 2

    /// Keeps what the run was asked to do: with it the events can be replayed.
    package func begin(_ request: RunRequest, at now: Timestamp) async throws {
        try await append(LiveJournal.requestKind, try encoder.encode(request), [], at: now)
    }

    package func append(_ event: RunEvent, audit: [AuditEntry]) async throws {
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

    package func reached(_ state: some Codable & Equatable & Sendable) async {
        guard let build, sequence - snapshotSequence >= entriesBetweenSnapshots else { return }
        // Also where it can't be kept: it would be tried at every event.
        snapshotSequence = sequence
        do {
            let data = try encoder.encode(state)
            // What does not come back as it was must not be gone on from.
            guard try JSONDecoder().decode(type(of: state), from: data) == state else { return }
            try await store.keepSnapshot(of: fence.run, after: sequence, build: build, state: data, fence: fence)
        } catch {
            // Without it a recovery only takes longer; where the store is gone, the next append says so.
        }
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

    /// A run as its journal leads to it.
    package struct Replayed: Sendable {
        package var machine: RunMachine
        package var lastSequence: Int64
        /// The number of the last entry that is in a usable snapshot; 0 where there is none.
        package var snapshotSequence: Int64
        /// Events that were applied, after the snapshot.
        package var applied: Int
    }

    /// Reads a run that another process began, and the machine it leads to.
    ///
    /// - Parameter build: whose snapshots may be gone on from; nil for none.
    /// - Throws: an ``AirbossError`` that says why the journal can't be gone on with; nothing is changed then.
    package static func read(
        _ record: RunRecord, from store: any StateStore, build: String? = BuildIdentity.current
    ) async throws -> Replayed {
        let run = record.header.run
        let byPlatform = "go by what the platform shows: airboss recover \(record.header.pipeline) --from-platform"
        guard record.header.schema <= schema else {
            throw AirbossError(
                .unavailable,
                "run \(run) was written by a later Airboss (its events are of version \(record.header.schema), "
                    + "this one knows up to \(schema)); nothing was changed",
                hint: "recover with that version, or \(byPlatform)")
        }
        let replay: JournalReplay
        do throws(StateError) {
            replay = try await store.replay(run, build: build)
            if replay.tornTail != nil { try await store.discardTornTail(run) }
        } catch {
            throw AirbossError(error.asAirbossError.code, error.message, hint: error.hint + "\n" + byPlatform)
        }
        do {
            guard let first = replay.first, first.kind == requestKind else {
                throw AirbossError(
                    .unavailable,
                    "the journal of run \(run) does not say what the run was asked to do; nothing was changed",
                    hint: byPlatform)
            }
            let request = try JSONDecoder().decode(RunRequest.self, from: first.payload)
            guard request.run == run, request.app == record.header.app else {
                throw AirbossError(
                    .unavailable,
                    "the journal of run \(run) tells of app \(request.app), not \(record.header.app); nothing was"
                        + " changed",
                    hint: byPlatform)
            }
            let payloads = replay.entries.map(\.payload)
            guard let snapshot = replay.snapshot else {
                return Replayed(
                    machine: try await RunReplay.machine(request, payloads: payloads),
                    lastSequence: replay.lastSequence, snapshotSequence: 0, applied: payloads.count)
            }
            guard let machine = await RunReplay.machine(request, from: snapshot.state, payloads: payloads) else {
                return try await read(record, from: store, build: nil)
            }
            return Replayed(
                machine: machine, lastSequence: replay.lastSequence, snapshotSequence: snapshot.sequence,
                applied: payloads.count)
        } catch let error as RunReplay.BadEvent {
            let entry = "entry \(replay.entries[error.index].sequence) in the journal of run \(run)"
            switch error.reason {
            case .illegal(let reason):
                throw AirbossError(
                    .unavailable, "\(entry) can't follow those before it: \(reason); nothing was changed",
                    hint: "it was written by another version, or is damaged; \(byPlatform)")
            case .unreadable(let reason):
                throw AirbossError(
                    .unavailable, "\(entry) can't be read: \(place(of: reason)); nothing was changed",
                    hint: byPlatform)
            }
        } catch let error as DecodingError {
            throw AirbossError(
                .unavailable,
                "entry 1 in the journal of run \(run), what the run was asked to do, can't be read:"
                    + " \(place(of: error)); nothing was changed",
                hint: byPlatform)
        }
    }

    private static func place(of error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): "“\(key.stringValue)” is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            context.codingPath.isEmpty
                ? "it is no JSON of ours"
                : "“\(context.codingPath.map(\.stringValue).joined(separator: "."))” is not what it should be"
        @unknown default: "it is of another shape"
        }
    }
}
