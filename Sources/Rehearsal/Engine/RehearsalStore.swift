// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What a state store keeps: the ledger, the journals of runs, how they ended, and who holds the app. Whatever is
/// written here is durable.
struct RehearsalStore: Sendable {
    /// A holder that was silent for this long counts as gone.
    static let holderSilence = Duration.seconds(120)

    struct Hold: Sendable {
        var process: Int
        var run: RunID
        /// When its holder was last heard of.
        var seenAt: Timestamp
    }

    var records: [ReleaseRecord]
    /// Every judgement of a release, oldest first.
    private var judgements: [(number: ReleaseNumber, state: ReleaseRecord.State)]
    var journals: [RunID: [RunEvent]] = [:]
    /// The ends of runs, as often as they were written.
    var ends: [RunID: Int] = [:]
    var hold: Hold?

    init(records: [ReleaseRecord]) {
        self.records = records
        judgements = records.map { ($0.number, $0.state) }
    }

    /// As the ledger answers: a release is verified where its last judgement says so, and the one verified last serves.
    var history: ReleaseHistory {
        let newest = records.sorted { $0.number > $1.number }
        let verified = newest.filter { record in
            judgements.last { $0.number == record.number && $0.state != .deploying }?.state == .verified
        }
        let serving = judgements.last { judgement in
            judgement.state == .verified && verified.contains { $0.number == judgement.number }
        }?.number
        return ReleaseHistory(
            current: verified.first { $0.number == serving }, verified: verified.filter { $0.number != serving },
            states: newest.map { .init(number: $0.number, state: $0.state, commit: $0.commit) })
    }

    /// Nil where it was kept, else why not.
    mutating func record(_ release: ReleaseRecord) -> Failure? {
        guard let index = records.firstIndex(where: { $0.number == release.number }) else {
            records.append(release)
            judgements.append((release.number, release.state))
            return nil
        }
        guard records[index].run == release.run, records[index].digest == release.digest else {
            return Failure(.conflict, "release \(release.number) is another run's")
        }
        // A record keeps its state when it is completed.
        records[index].platformID = release.platformID
        records[index].image = release.image
        records[index].machines = release.machines
        return nil
    }

    /// Nil where it was kept, else why not.
    mutating func mark(_ number: ReleaseNumber, _ state: ReleaseRecord.State, at now: Timestamp) -> Failure? {
        guard let index = records.firstIndex(where: { $0.number == number }) else {
            return Failure(.notFound, "there is no release \(number)")
        }
        if records[index].state == state, state != .verified { return nil }
        records[index].state = state
        if state == .verified { records[index].verifiedAt = now }
        judgements.append((number, state))
        return nil
    }

    /// Takes the app for a run; the holder where it is somebody else who was heard of not long ago.
    ///
    /// - Parameter isDead: whether a process is known to be no more, as its own host knows.
    mutating func acquire(_ process: Int, run: RunID, at now: Timestamp, isDead: (Int) -> Bool) -> Hold? {
        if let hold, hold.process != process, !isDead(hold.process), now - hold.seenAt < RehearsalStore.holderSilence {
            return hold
        }
        hold = Hold(process: process, run: run, seenAt: now)
        return nil
    }
}
