// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What a store holds, and what is wrong with it.
package struct StateCheck: Hashable, Sendable {
    /// An app that a run has.
    package struct Held: Hashable, Sendable {
        package var hold: Hold
        /// Whether nobody works on the run any more, as far as can be seen from here.
        package var isAbandoned: Bool
    }

    package var store: String
    package var schema: Int
    package var runs = 0
    package var unfinishedRuns = 0
    package var entries: Int64 = 0
    package var releases = 0
    package var notices = 0
    /// Notices neither sent nor given up.
    package var waitingNotices = 0
    package var auditRecords: Int64 = 0
    package var holds: [Held] = []
    package var queue: [Waiter] = []
    /// For people, each in a sentence without a full stop; empty for a sound store.
    package var problems: [String] = []

    init(
        of store: any SQLStore, seenFrom here: Holder, at now: Timestamp, silence: Duration
    ) async throws(StateError) {
        self.store = store.place
        schema = try await store.schemaVersion()
        problems = try await store.storageProblems()
        // Journals one by one: no more than one is in memory.
        for run in try await store.allRuns() {
            runs += 1
            if run.end == nil { unfinishedRuns += 1 }
            do throws(StateError) {
                let reading = try await store.events(run.header.run)
                entries += Int64(reading.entries.count)
                if let torn = reading.tornTail {
                    problems.append("in the journal of run \(run.header.run), \(torn.detail)")
                }
            } catch {
                guard error.code == .corrupt else { throw error }
                problems.append(error.detail)
            }
        }
        for app in try await store.apps() {
            do throws(StateError) {
                let found = try await store.ledger(app)
                releases += found.count
                for release in found where release.history.last?.state != release.record.state {
                    problems.append(
                        "release \(release.record.number) of \(app) is \(release.record.state.rawValue), and its"
                            + " history ends with \(release.history.last?.state.rawValue ?? "nothing")")
                }
            } catch {
                guard error.code == .corrupt else { throw error }
                problems.append("in the ledger of \(app), \(error.detail)")
            }
            if let hold = try await store.hold(app) {
                holds.append(
                    Held(hold: hold, isAbandoned: hold.isAbandoned(seenFrom: here, at: now, silence: silence)))
            }
            queue += try await store.queue(app)
        }
        let outbox = try await store.allNotices()
        notices = outbox.count
        waitingNotices = outbox.filter { $0.nextAttemptAt != nil }.count
        let audit = try await store.verifyAudit(against: [])
        auditRecords = audit.records
        problems += audit.findings.map { "in the audit record, \($0.detail)" }
    }
}
