// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import PipelineFiles
internal import Stages

/// Watches a rehearsal and notes down whatever a run must never do. It knows what truly happened, which no run does,
/// and it trusts nothing that a run says.
struct Checker: Sendable {
    /// Violations kept of one rehearsal.
    static let maxViolations = 20
    /// The longest time a lease may be asked for.
    static let longestLeaseSeconds = 300

    /// What one process did.
    struct Facts: Sendable {
        let who: Who
        var hasEnded = false
        var isDead = false
        var report: RunReport?
        var endedAt: Timestamp?
        /// When the first and the last change of the fleet that was made left the process.
        var changes: ClosedRange<Timestamp>?
        var target: ReleaseRecord?
        var isRollingBack = false
        /// Changes under way, by the action that asked.
        var open: [ActionID: String] = [:]
        /// Counts the looks at the fleet that were answered.
        var looks = 0
        /// The look after which a change was sent last, by its operation.
        var sent: [String: SentChange] = [:]
        var notices: [NoticeOrder.Channel: Int] = [:]
        /// When it took its place in the line, and when it had the app then.
        var queuedAt: Timestamp?
        var tookAt: Timestamp?
    }

    struct SentChange: Sendable {
        var looks: Int
        var name: String
        var isRefused = false
    }

    struct LeaseFact: Sendable {
        var run: RunID
        var process: Int
        var machine: MachineID
        var isKnown = false
        var isReleaseSent = false
    }

    struct OpenRelease: Sendable {
        var run: RunID
        var process: Int
        var openedAt: Timestamp
        /// Whether its process was told of it.
        var isKnown = false
        var isCloseSent = false
    }

    /// Runs that closed a release of which they can't have been told: one of the two that a doubled call opened.
    var closersOfTwins: Set<RunID> = []
    var now = Scenario.start
    var violations: [Violation] = []
    var serving = ServingRecord()
    /// By the number of the process; nil for one that was refused before it began.
    var facts: [Facts?] = []
    var leases: [LeaseNonce: LeaseFact] = [:]
    var releases: [String: OpenRelease] = [:]
    /// The run that made a machine.
    var makers: [String: RunID] = [:]
    /// The version that a run put on a machine last.
    var installed: [RunID: [String: String]] = [:]
    var standings: [String: Standing] = [:]
    /// Releases that some run failed, withdrew or verified.
    var judged: [RunID: [Int: ReleaseRecord.State]] = [:]
    var failedMarks: Set<RunID> = []
    /// What some run, or somebody before them, found good.
    var verifiedDigests: Set<ImageDigest> = [Scenario.oldDigest]
    var isFleetChanged = false
    let prepared: PreparedScenario
    let wantedGroups: Set<ProcessGroup>
    private var servingCount = 0

    init(_ prepared: PreparedScenario) {
        self.prepared = prepared
        // What is to be gone back from was good once; and where there is no way back, a recovery goes on.
        if prepared.scenario.kind == .rollback || prepared.scenario.past == .none {
            verifiedDigests.insert(Scenario.newDigest)
        }
        wantedGroups = Set(prepared.scenario.settings.flyToml.groups)
    }

    mutating func complain(_ check: CheckName, _ message: String) {
        guard violations.count < Checker.maxViolations else { return }
        violations.append(Violation(check.rawValue, message, at: now - Scenario.start))
    }

    // MARK: - The fleet

    mutating func begin(_ world: World) {
        for id in prepared.machines {
            guard let machine = world.machines[id] else { continue }
            let standing = Standing(machine, at: Scenario.start - .seconds(1))
            standings[id] = standing
            count(standing, +1)
        }
        let groups = Set(standings.values.filter { $0.isManaged && $0.hasServices }.map(\.group))
        serving.begin(serving: servingCount, floor: groups.map { floor(of: $0, isBack: false) }.max() ?? 0)
    }

    private mutating func count(_ standing: Standing, _ change: Int) {
        guard standing.isManaged, standing.isAvailable, standing.exists else { return }
        if standing.hasServices { servingCount += change }
    }

    /// The machine may be another now; by itself, or because a run changed it.
    mutating func changed(_ id: String, _ world: World, byRun: Bool = false) {
        guard let machine = world.machines[id] else { return }
        var standing: Standing
        if let old = standings[id] {
            count(old, -1)
            standing = old
            if old.instance == machine.instance {
                standing.look(machine)
            } else {
                standing = Standing(machine, at: now, firstSeen: old.firstSeen)
            }
            if old.isAvailable == standing.isAvailable {
                standing.since = old.since
                standing.isTakenAway = old.isTakenAway || byRun && !standing.isAvailable
            } else {
                standing.since = now
                standing.isTakenAway = byRun
            }
        } else {
            standing = Standing(machine, at: now)
        }
        standings[id] = standing
        count(standing, +1)
        serving.change(to: servingCount, at: now)
    }

    mutating func changedAnywhere(_ world: World) {
        for id in standings.keys { changed(id, world) }
    }

    /// The fewest available machines that a change may leave in a group: as asked, else one wherever one can be spared;
    /// on the way back never so many that nothing could be changed.
    private func floor(of group: ProcessGroup, isBack: Bool) -> Int {
        let members = standings.values.count { $0.isManaged && $0.exists && $0.group == group }
        let floor = prepared.scenario.settings.servingFloor ?? (members > 1 ? 1 : 0)
        return isBack ? min(floor, max(0, members - 1)) : floor
    }

    // MARK: - Processes

    /// What every process did that began.
    var everyone: [Facts] { facts.compactMap(\.self) }

    mutating func started(_ who: Who) {
        while facts.count <= who.ordinal { facts.append(nil) }
        facts[who.ordinal] = Facts(who: who)
    }

    func isRollingBack(_ who: Who) -> Bool { facts[who.ordinal]?.isRollingBack ?? false }

    mutating func rollsBack(to target: ReleaseRecord, _ who: Who, _ store: RehearsalStore) {
        facts[who.ordinal]?.isRollingBack = true
        facts[who.ordinal]?.target = target
        let known = store.records.first { $0.number == target.number }
        if target.state != .verified {
            complain(.rollbackTarget, "\(who.name) goes back to \(target.number), which is \(target.state.rawValue)")
        } else if let known, known.state == .failed || known.state == .deploying {
            complain(.rollbackTarget, "\(who.name) goes back to \(target.number), which is \(known.state.rawValue) now")
        } else if known == nil, !verifiedDigests.contains(target.digest) {
            complain(.rollbackTarget, "\(who.name) goes back to \(target.number), of which nobody knows")
        }
    }

    mutating func died(_ who: Who) {
        facts[who.ordinal]?.isDead = true
        facts[who.ordinal]?.endedAt = now
    }

    mutating func replayed(_ machine: RunMachine, of old: RunProcess, events: Int) {
        guard !old.isFenced else { return }
        guard events == old.applied else {
            complain(.replay, "\(old.name) had decided on \(old.applied) events, and its journal has \(events)")
            return
        }
        if machine != old.machine { complain(.replay, "the journal of \(old.name) gives another machine than it had") }
    }

    mutating func performs(_ action: ActionID, _ who: Who, kept: Int, applied: Int) {
        if kept < applied {
            complain(.intentBeforeEffect, "\(who.name) does \(action) before the event it follows from is kept")
        }
    }

    /// - Parameter isCutOff: whether the process could not have let go of anything, for nobody listens to it.
    mutating func finished(_ who: Who, _ report: RunReport?, isFenced: Bool, isCutOff: Bool, _ world: World) {
        facts[who.ordinal]?.hasEnded = true
        facts[who.ordinal]?.endedAt = now
        facts[who.ordinal]?.report = isFenced ? nil : report
        guard !isCutOff else { return }
        for (nonce, lease) in leases.sorted(by: { $0.key < $1.key })
        where lease.process == who.ordinal && lease.isKnown && !lease.isReleaseSent {
            let held = world.machines[lease.machine.rawValue]?.liveLease(at: now)
            if held?.nonce == nonce.rawValue {
                complain(.leasesEnd, "\(who.name) has ended and still holds \(name(lease.machine, world))")
            }
        }
    }

    /// What a run says of its end, held against what is so at that moment.
    mutating func reported(_ report: RunReport, _ who: Who, knownAt: Timestamp, _ world: World) {
        // Whoever has changed the fleet since its last look, a run tells what it saw.
        let isOutdated = everyone.contains { other in
            other.who.ordinal != who.ordinal && other.changes.map { $0.upperBound > knownAt } ?? false
        }
        guard !isOutdated else { return }
        let wanted: ImageDigest?
        switch report.outcome {
        case .verified:
            wanted = who.kind == .recover ? nil : prepared.images[report.image]
        case .rolledBack:
            wanted = facts[who.ordinal]?.target?.digest
        case .refused, .unavailable, .interrupted, .needsHuman: return
        }
        for machine in managed(world) where wantedGroups.contains(machine.config.processGroup) {
            guard let wanted, machine.imageDigest != wanted.rawValue else { continue }
            complain(
                .honestOutcome,
                "\(who.name) ends \(report.outcome.rawValue), and \(machine.name) runs another image")
        }
    }

    func managed(_ world: World) -> [WorldMachine] {
        (world.apps[prepared.scenario.app.rawValue]?.machines ?? []).compactMap { world.machines[$0] }.filter {
            $0.state != .destroyed && $0.state != .destroying
                && $0.config.metadata("fly_platform_version") == "v2"
        }
    }

    func name(_ machine: MachineID, _ world: World) -> String {
        world.machines[machine.rawValue]?.name ?? machine.rawValue
    }

    // MARK: - The ledger and people

    mutating func marked(
        _ number: ReleaseNumber, _ state: ReleaseRecord.State, _ digest: ImageDigest?, _ who: Who
    ) {
        // Without a record there was nothing to mark.
        if digest == nil { failedMarks.insert(who.run) }
        if let digest, state == .verified { verifiedDigests.insert(digest) }
        let earlier = judged[who.run]?[number.value]
        if let earlier, earlier != state {
            complain(
                .oneTerminalRecord, "\(who.name) calls \(number) \(state.rawValue) after \(earlier.rawValue)")
        }
        judged[who.run, default: [:]][number.value] = state
    }

    mutating func notified(_ order: NoticeOrder, _ who: Who, _ records: [ReleaseRecord]) {
        guard order.isOpening != true, let report = order.report, !report.isUnderWay else { return }
        facts[who.ordinal]?.notices[order.channel, default: 0] += 1
        guard !failedMarks.contains(who.run) else { return }
        if report.outcome == .verified, let number = report.release,
            let record = records.first(where: { $0.number == number }), record.state != .verified
        {
            complain(
                .noticeAfterRecord, "\(who.name) tells that \(number) is verified, and it is \(record.state.rawValue)")
        }
        if let open = records.first(where: { $0.run == who.run && $0.state == .deploying }) {
            complain(
                .noticeAfterRecord, "\(who.name) tells how it ended while \(open.number) is still deploying")
        }
        for release in releases.values where release.process == who.ordinal {
            guard release.isKnown, !release.isCloseSent else { continue }
            complain(.noticeAfterRecord, "\(who.name) tells how it ended before it closed its release")
        }
    }

    // MARK: - The floor

    /// A change has taken a machine out of service. It is held against what its run could know: a machine that became
    /// available after the run's last look is nothing it knew to be there, and one that broke by itself after it is
    /// nothing it knew to be gone.
    ///
    /// - Parameters:
    ///   - before: the machine as it was right before the change.
    ///   - knownAt: the instant that the run's last list showed when it sent the change.
    mutating func checkFloor(
        _ id: String, before: Standing, knownAt: Timestamp, _ who: Who, _ what: String
    ) {
        guard before.isAvailable, before.since <= knownAt, before.hasServices, standings[id]?.isAvailable != true else {
            return
        }
        let isBack = isRollingBack(who) || who.kind != .deploy
        let floor = floor(of: before.group, isBack: isBack)
        let left = standings.values.count { other in
            other.isManaged && other.exists && other.group == before.group
                && (other.isAvailable || (!other.isTakenAway && other.since > knownAt))
        }
        if left < floor {
            complain(
                .servingFloor,
                "\(who.name): \(what) leaves \(left) of group \(before.group) available, the floor is \(floor)")
        }
    }
}
