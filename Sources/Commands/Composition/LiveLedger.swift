// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Journals
internal import Model
internal import Ports

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
