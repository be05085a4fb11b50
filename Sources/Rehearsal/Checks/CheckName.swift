// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The invariants of the design as they are checked, by the names that violations carry.
package enum CheckName: String, Hashable, Codable, Sendable, CaseIterable {
    /// 1. No change takes a machine away where the floor needs it. A machine that breaks by itself (its process exits,
    /// its checks turn, its host goes away) is not the run's doing and does not count, until the run, which could know
    /// of it, takes a further one away.
    case servingFloor = "serving-floor"
    /// 2. Machines that are not Airboss's are neither changed, leased, nor destroyed.
    case unmanagedUntouched = "unmanaged-untouched"
    /// 2. Destroyed is only what a run created itself and takes back, or what belongs to a process group that fly.toml
    /// no longer has, and that only once the new release is verified.
    case nothingForeignDestroyed = "nothing-foreign-destroyed"
    /// 2. Machines are created only for a group that has none, or in the place of one that is gone.
    case emptyListIsNoFirstDeploy = "empty-list-is-no-first-deploy"
    /// 2. At the end no machine carries the mark of a run that did not put it into the final fleet, or twice the same
    /// operation.
    case noLeftovers = "no-leftovers"
    /// 3. Every change of a machine is made under a live lease of the same run.
    case liveLease = "live-lease"
    /// 3. Only one's own leases are released.
    case ownLease = "own-lease"
    /// 3. No lease outlives its run, or after a crash its time to live.
    case leasesEnd = "leases-end"
    /// 4. At the end the fleet is of one piece, or a person is told what differs.
    case homogeneousFleet = "homogeneous-fleet"
    /// 4. Verified is only what runs on every machine, and rolled back what is back on every machine.
    case honestOutcome = "honest-outcome"
    /// 5. Two runs never change the fleet in turns.
    case oneActiveRun = "one-active-run"
    /// 5. Of runs that wait on the platform, the one that began earlier has the app earlier. Judged where they began
    /// eight seconds apart or more, and nobody slept and no call went wrong.
    case lineOrder = "line-order"
    /// 6. A rollback goes to a verified release that has not failed since, and happens once per run.
    case rollbackTarget = "rollback-target"
    /// 7. Every run has exactly one end.
    case oneTerminalRecord = "one-terminal-record"
    /// 7. People are told at least once, and never before what they are told is recorded.
    case noticeAfterRecord = "notice-after-record"
    /// 8. What is done was kept before.
    case intentBeforeEffect = "intent-before-effect"
    /// 8. The journal replayed gives the machine that kept it.
    case replay = "replay"
    /// 9. Every run ends.
    case termination = "termination"
    /// 10. A release record that was opened on the platform is closed.
    case releaseClosed = "release-closed"
    /// A wait names the version that the last change made.
    case waitNamesVersion = "wait-names-version"
    /// A change whose answer was lost is sent again only after a look.
    case noBlindRepeat = "no-blind-repeat"
    /// No answer, however odd its time, finds a machine that does not take it.
    case legalEvents = "legal-events"
}
