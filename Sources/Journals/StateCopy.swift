// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Moves what a store remembers into another one: every run with its journal, entry by entry with the same checksums,
/// every release with its states in their order, every notice, every approval, and the audit record as it is: its chain
/// is kept beside the target's own. Who holds or waits for an app is not copied, and while somebody works at the source
/// nothing is.
///
/// Each run, each app's ledger and each notice goes over in a transaction of its own or not at all, and what is there
/// already is left as it is, so that a copy that broke off is finished by running it again. Where the target has
/// something else under the same name, the copy refuses before it writes.
package struct StateCopy: Hashable, Sendable {
    /// How far a copy has got.
    package struct Progress: Hashable, Sendable {
        package var runs: Int
        package var runsInAll: Int
        package var entries: Int64
    }

    /// What was written, and what was there before.
    package struct Count: Hashable, Sendable {
        package var copied = 0
        package var alreadyThere = 0

        mutating func add(_ wasWritten: Bool, _ number: Int = 1) {
            if wasWritten { copied += number } else { alreadyThere += number }
        }
    }

    package var source: String
    package var target: String
    package var runs = Count()
    package var entries = Count()
    package var releases = Count()
    package var notices = Count()
    package var audit = Count()

    init(
        from source: any SQLStore, to target: any SQLStore, seenFrom here: Holder, at now: Timestamp,
        silence: Duration, progress: (Progress) -> Void = { _ in }
    ) async throws(StateError) {
        self.source = source.place
        self.target = target.place
        try await StateCopy.refuseActive(source, here, now, silence)
        let records = try await source.allRuns()
        for record in records { try await StateCopy.refuseOther(record, at: target, than: source) }

        var copied: Int64 = 0
        for (index, record) in records.enumerated() {
            let run = try await source.stored(record.header.run)
            let wasWritten = try await target.store(run)
            runs.add(wasWritten)
            entries.add(wasWritten, run.rows.count)
            copied += Int64(run.rows.count)
            progress(Progress(runs: index + 1, runsInAll: records.count, entries: copied))
        }
        for app in try await source.apps() {
            let ledger = try await source.ledger(app).map(\.record)
            let wasWritten = try await target.store(
                ledger, try await source.stateOrder(app), of: app, fence: try await source.lastFence(app))
            releases.add(wasWritten, ledger.count)
        }
        for notice in try await source.allNotices() { notices.add(try await target.store(notice)) }
        for approval in try await source.allApprovals() { try await target.store(approval) }
        try await copyAudit(source, target)
        try await StateCopy.verify(source, target)
        try await StateCopy.refuseActive(source, here, now, silence)
    }

    /// Chains go over record by record with the same hashes; a damaged one does not.
    private mutating func copyAudit(_ source: any SQLStore, _ target: any SQLStore) async throws(StateError) {
        if let finding = try await source.verifyAudit(against: []).findings.first {
            throw source.error(.corrupt, "in the audit record, \(finding.detail)")
        }
        for chain in try await source.chains() {
            var last: Int64 = 0
            while last < chain.sequence {
                let rows = try await source.auditRows(of: chain.id, after: last, limit: SQLiteStore.rowsPerStatement)
                guard let newest = rows.last?.sequence else { break }
                let added = try await target.store(rows, of: chain.id)
                audit.add(true, added)
                audit.add(false, rows.count - added)
                last = newest
            }
        }
    }

    private static func refuseActive(
        _ source: any SQLStore, _ here: Holder, _ now: Timestamp, _ silence: Duration
    ) async throws(StateError) {
        for hold in try await source.holds() where !hold.isAbandoned(seenFrom: here, at: now, silence: silence) {
            throw source.error(.active(holder: hold))
        }
    }

    /// What is there under a run's id must be that run, up to its last entry.
    private static func refuseOther(
        _ record: RunRecord, at target: any SQLStore, than source: any SQLStore
    ) async throws(StateError) {
        guard let there = try await target.journalHead(record.header.run) else { return }
        guard there == (try await source.journalHead(record.header.run)) else {
            throw target.error(.conflict, "run \(record.header.run) is there and is not the same")
        }
    }

    /// Reads both stores anew: every run of the source is at the target, and both chains end with the same checksum.
    private static func verify(_ source: any SQLStore, _ target: any SQLStore) async throws(StateError) {
        for record in try await source.allRuns() {
            let run = record.header.run
            guard let head = try await source.journalHead(run), head == (try await target.journalHead(run)),
                try await target.stored(run).record == record
            else {
                throw target.error(.failed, "run \(run) changed at \(source.place) while it was copied")
            }
        }
        for app in try await source.apps() {
            guard try await source.ledger(app) == (try await target.ledger(app)) else {
                throw target.error(.failed, "the releases of \(app) changed at \(source.place) while they were copied")
            }
        }
        let chains = try await target.chains()
        for chain in try await source.chains() {
            guard let there = chains.first(where: { $0.id == chain.id }), there.sequence >= chain.sequence,
                there.sequence > chain.sequence || there.checksum == chain.checksum
            else {
                throw target.error(
                    .failed, "the audit chain \(chain.id) changed at \(source.place) while it was copied")
            }
        }
        let keys = Set(try await target.allNotices().map(\.key))
        for notice in try await source.allNotices() where !keys.contains(notice.key) {
            throw target.error(.failed, "the notice \(notice.key) came to \(source.place) while it was copied")
        }
    }
}
