// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Changes a fleet machine by machine, as many at once as the limits and the serving floor allow.
///
/// It decides every call: leases are taken ahead of their turn, one shared poll a second watches all machines, and the
/// first machine that fails ends the rollout.
package struct RollingRollout: Hashable, Codable, Sendable {
    /// Machines changed at once where none of them serves, or where they are created.
    package static let maxParallelWithoutTraffic = 8
    /// The shared poll's pace: slower than the one call a second that the platform allows, so that the next look at the
    /// whole fleet (to verify it, or to roll it back) finds an allowance left and need not wait.
    package static let pollInterval = Duration.milliseconds(1250)

    private enum Step: Hashable, Codable, Sendable {
        case change(key: String, step: MachineChange.Step)
        case wake(key: String)
        case poll
        case pollDue
    }

    package let limits: Limits
    package private(set) var members: [MachineID: FleetMember]
    package private(set) var view: [MachineID: Observation]
    private let groupSizes: [ProcessGroup: Int]
    /// The groups' sizes once the machines that are to be created are there.
    private let sizesToCome: [ProcessGroup: Int]
    private let servingGroups: Set<ProcessGroup>
    private var pending: [RolloutItem]
    private var active: [String: MachineChange] = [:]
    private var items: [String: RolloutItem]
    private var routes: [ActionID: Step] = [:]
    private var waits: [String: ActionID] = [:]
    private var isPolling = false
    private var pollFailures = 0
    private var blockedSince: Timestamp?
    private var failure: String?
    private var isStopped = false
    /// Names of machines that were not there when their creation was given up: it may yet happen.
    private var uncreated: Set<String> = []
    private var changed: Set<String> = []
    /// The machines created, by the name they were created with.
    package private(set) var created: [String: MachineID] = [:]
    /// What the rollout put on machines, as the answers to its changes showed it: no list is as new as they are.
    package private(set) var installed: [MachineID: FleetMachine] = [:]
    package private(set) var outcome: Outcome?
    private var keptLeases: [MachineID: Lease] = [:]
    /// Whether the app's first machine was leased after it had been there for a while: the lease that it was born with
    /// was lost with the answer to its creation.
    package private(set) var wasUnheld = false
    /// When the looks and polls that are not answered yet were asked.
    private var askedAt: [ActionID: Timestamp] = [:]
    /// When what ``view`` shows was heard.
    private var heardAt: [MachineID: Timestamp] = [:]
    /// The looks and polls that are not answered yet, each with when it was asked and with the machines, in their
    /// order, of which something was heard since. Nothing else is ever asked of `askedAt` and `heardAt`.
    package var heardSinceAsked: [(action: ActionID, askedAt: Timestamp, heard: [MachineID])] {
        askedAt.sorted { $0.key < $1.key }.map { action, asked in
            (action, asked, heardAt.filter { $0.value > asked }.keys.sorted())
        }
    }
    /// Machines that may be better than ``view`` shows: they are not counted on, and not taken for broken.
    private var doubtful: Set<MachineID> = []

    /// The leases of machines that it made and that stay leased: from now on they are the caller's to keep.
    package mutating func takeKeptLeases() -> [MachineID: Lease] {
        defer { keptLeases = [:] }
        return keptLeases
    }

    /// A poll that fails this often in a row ends the rollout.
    package static let maxPollFailures = 60

    package init(_ plan: FleetPlan, view: [Observation], limits: Limits) {
        self.limits = limits
        members = Dictionary(uniqueKeysWithValues: plan.members.map { ($0.id, $0) })
        self.view = Dictionary(uniqueKeysWithValues: view.map { ($0.id, $0) })
        pending = plan.items
        items = Dictionary(uniqueKeysWithValues: plan.items.map { ($0.key, $0) })
        var sizes: [ProcessGroup: Int] = [:]
        for member in plan.members { sizes[member.group, default: 0] += 1 }
        groupSizes = sizes
        for item in plan.items where item.change.target.isNew { sizes[item.group, default: 0] += 1 }
        sizesToCome = sizes
        servingGroups = Set(plan.members.filter(\.hasServices).map(\.group))
    }

    /// Whether an answer belongs to this rollout.
    package func awaits(_ action: ActionID) -> Bool { routes[action] != nil }

    /// What the rollout is waiting for, for people; empty where it is not waiting.
    package var waitingFor: String {
        if blockedSince != nil { return "enough healthy machines to go on without breaking the serving floor" }
        let names = active.filter { !$0.value.isFinished && $0.value.result == nil }.keys.sorted()
        return names.isEmpty ? "" : names.map { "\($0) \(active[$0]?.phase.rawValue ?? "")" }.joined(separator: ", ")
    }

    /// What is left where nobody goes on with the rollout.
    package var remains: Remains {
        var remains = Remains()
        var touched = changed
        for (key, change) in active {
            let isSettled = change.result != nil && !change.isMutationOpen
            if case .existing(let machine, _) = change.plan.target {
                if !change.isFinished { remains.unsettled.append(machine) }
                if let lease = change.ownLease { remains.leases[machine] = lease }
                if change.isUncertain, change.hasNotSucceeded { remains.uncertain.append(machine) }
            } else if let machine = change.guarded {
                remains.unsettled.append(machine)
                if let lease = change.ownLease { remains.leases[machine] = lease }
            } else if change.isMutationOpen || uncreated.contains(key) {
                remains.unsettledCreates.append(key)
            }
            if !isSettled, change.isDisturbing || change.isMutationOpen { touched.insert(key) }
        }
        remains.changed = touched.sorted()
        remains.unsettled.sort()
        remains.uncertain.sort()
        remains.unsettledCreates.sort()
        return remains
    }

    package mutating func start(_ agenda: inout Agenda) throws(IllegalEvent) {
        for item in pending { note(item, .waiting, "", &agenda) }
        try advance(&agenda)
    }

    /// Starts nothing more, releases every lease, and ends.
    package mutating func stop(_ agenda: inout Agenda) throws(IllegalEvent) {
        guard outcome == nil else { return }
        isStopped = true
        pending = []
        for key in active.keys.sorted() { try step(key, .abandon, &agenda) }
        try advance(&agenda)
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard let route = routes.removeValue(forKey: action) else {
            throw IllegalEvent(state: "rolling", event: "an answer to \(action), which was not asked")
        }
        let asked = askedAt.removeValue(forKey: action) ?? agenda.now
        switch route {
        case .pollDue: isPolling = false
        case .poll:
            isPolling = false
            try polled(answer, askedAt: asked, &agenda)
        case .wake(let key): try step(key, .woke, &agenda)
        case .change(let key, let purpose):
            if purpose == .wait { waits[key] = nil }
            let event = try MachineChange.Event(answer, to: purpose, named: key)
            if case .changed(let machine) = event, purpose == .look, isOutdated(machine, askedAt: asked, key) { break }
            try step(key, event, &agenda)
            switch event {
            case .changed(let machine), .created(let machine, _):
                remember(machine, as: purpose, key)
                // A look tells of the host and the checks as well, and the next poll may be long in coming.
                if purpose == .look { see(Observation(of: machine), askedAt: asked, at: agenda.now) }
            default: break
            }
        }
        // An ended wait-for-poll means: poll now.
        if route == .pollDue, needsPolling { poll(&agenda) }
        try advance(&agenda)
    }

    private var needsPolling: Bool {
        outcome == nil && (blockedSince != nil || active.values.contains { $0.result == nil })
    }

    private mutating func poll(_ agenda: inout Agenda) {
        isPolling = true
        let id = agenda.perform(.platform(call: .observe))
        routes[id] = .poll
        askedAt[id] = agenda.now
    }

    private mutating func polled(_ answer: Answer, askedAt: Timestamp, _ agenda: inout Agenda) throws(IllegalEvent) {
        switch answer {
        case .observations(let list):
            pollFailures = 0
            for observation in list { see(observation, askedAt: askedAt, at: agenda.now) }
            for key in active.keys.sorted() {
                guard let machine = active[key]?.machine else { continue }
                guard let observation = list.first(where: { $0.id == machine }) else { continue }
                try step(key, .observed(observation: observation), &agenda)
            }
            try watchTheArrived(list, &agenda)
        case .failed(let failure):
            pollFailures += 1
            if pollFailures >= RollingRollout.maxPollFailures {
                try fail("the platform can't be seen any more: \(failure.text)", &agenda)
            }
        default: throw IllegalEvent(state: "polling", event: "\(answer)")
        }
    }

    /// A process may end after its checks have passed: whoever waited for it to serve would wait in vain.
    private mutating func watchTheArrived(_ list: [Observation], _ agenda: inout Agenda) throws(IllegalEvent) {
        for observation in list where observation.ruin != nil {
            for key in active.keys.sorted() {
                guard case .succeeded(observation.id, observation.instance)? = active[key]?.result,
                    let reason = observation.ruin
                else { continue }
                try fail("\(key): \(reason)", &agenda)
            }
        }
    }

    /// Keeps the newest of what was seen; a list may be older than the answer to an update.
    private mutating func see(_ observation: Observation, askedAt: Timestamp, at now: Timestamp) {
        if let item = items[observation.id.rawValue], let change = active[item.key],
            case .succeeded(_, let version) = change.result, observation.instance != version
        {
            return
        }
        // Nobody knows which of two answers is the newer one whose questions were open at one time: the worse counts,
        // and is not relied on either.
        let isOverlapping = heardAt[observation.id].map { $0 > askedAt } ?? false
        let looksBetter = members[observation.id]?.isAvailable(observation) == true
        guard !isOverlapping || !looksBetter else {
            doubtful.insert(observation.id)
            return
        }
        let wasBetter = view[observation.id].map { members[observation.id]?.isAvailable($0) == true } ?? false
        if isOverlapping, wasBetter || doubtful.contains(observation.id) {
            doubtful.insert(observation.id)
        } else {
            doubtful.remove(observation.id)
        }
        heardAt[observation.id] = now
        view[observation.id] = observation
    }

    /// Whether a look at a machine that comes up says that it is well, and an answer heard since it was asked says
    /// that it is not: the next poll tells.
    private func isOutdated(_ machine: FleetMachine, askedAt: Timestamp, _ key: String) -> Bool {
        guard let change = active[key], change.phase == .starting || change.phase == .checking,
            let heard = heardAt[machine.id], heard > askedAt, let seen = view[machine.id],
            seen.instance == machine.instance
        else { return false }
        return !seen.isRunningHealthily(expectedChecks: change.plan.config.checkCount)
    }

    // MARK: - Choosing what to begin

    private mutating func advance(_ agenda: inout Agenda) throws(IllegalEvent) {
        guard outcome == nil else { return }
        settle()
        guard outcome == nil else { return }
        // What is leased already comes before what is not begun; and a lease of the run's own is there at once.
        var waitsForFloor = try proceedWithHeld(&agenda)
        for item in pending where failure == nil {
            switch decide(item) {
            case .begin:
                pending.removeAll { $0.key == item.key }
                try begin(item, proceeding: true, &agenda)
            case .lease:
                pending.removeAll { $0.key == item.key }
                try begin(item, proceeding: false, &agenda)
            case .wait: break
            case .waitForFloor: waitsForFloor = true
            }
        }
        waitsForFloor = try proceedWithHeld(&agenda) || waitsForFloor
        try watchTheFloor(waitsForFloor, &agenda)
        settle()
        if needsPolling, !isPolling {
            isPolling = true
            routes[agenda.perform(.wake(at: agenda.now + RollingRollout.pollInterval))] = .pollDue
        }
    }

    /// A lease may come long after it was asked for: whether the machine may be taken away is decided when it is there.
    private mutating func proceedWithHeld(_ agenda: inout Agenda) throws(IllegalEvent) -> Bool {
        var waitsForFloor = false
        // Mostly none is: those that are not need no order.
        guard active.values.contains(where: \.isHeld) else { return false }
        for key in active.keys.sorted() {
            guard active[key]?.isHeld == true, failure == nil, let item = items[key] else { continue }
            switch decide(item) {
            case .begin: try step(key, .proceed, &agenda)
            case .lease, .wait: break
            case .waitForFloor: waitsForFloor = true
            }
        }
        return waitsForFloor
    }

    private mutating func watchTheFloor(_ isWaiting: Bool, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard isWaiting, !active.values.contains(where: { $0.mayProceed && $0.result == nil }) else {
            blockedSince = nil
            return
        }
        let since = blockedSince ?? agenda.now
        blockedSince = since
        if agenda.now - since >= limits.patience {
            try fail(
                "the serving floor\(limits.servingFloor.map { " of \($0)" } ?? "") left no machine that could be taken "
                    + "away within " + MachineChange.text(limits.patience) + missing, &agenda)
        }
    }

    /// The machines that the floor can't count on, each with what is wrong with it, in brackets; empty where there are
    /// none.
    private var missing: String {
        let texts = members.keys.sorted().compactMap { machine -> String? in
            guard !isAvailableNow(machine), let seen = view[machine] else { return nil }
            let failing = seen.failingCheck.hasSuffix(": ") ? String(seen.failingCheck.dropLast(2)) : seen.failingCheck
            let check = failing.isEmpty ? seen.state : failing
            return "\(machine): " + (seen.isHostReachable ? check : "its host can't be reached")
        }
        return texts.isEmpty ? "" : " (" + texts.joined(separator: "; ") + ")"
    }

    private enum Choice { case begin, lease, wait, waitForFloor }

    private func decide(_ item: RolloutItem) -> Choice {
        var busy: [String] = []
        for place in active.indices where active.values[place].mayProceed && active.values[place].result == nil {
            busy.append(active.keys[place])
        }
        guard case .existing(let machine, _) = item.change.target else {
            let creating = busy.count { items[$0]?.change.target.isNew == true }
            // The first machine of an app comes alone: two runs that both take it for theirs to make meet at its name.
            let width = members.isEmpty && created.isEmpty ? 1 : RollingRollout.maxParallelWithoutTraffic
            return creating < width ? .begin : .wait
        }
        let isHeld = active[item.key]?.isHeld == true
        let serves = takesTraffic(machine)
        let going = busy.count { isOfGroup($0, item.group) && takesTrafficBefore($0) == serves }
        let leased = active.indices.count { place in
            guard !active.values[place].mayProceed, active.values[place].result == nil,
                isOfGroup(active.keys[place], item.group),
                case .existing(let other, _) = active.values[place].plan.target
            else { return false }
            return takesTraffic(other) == serves
        }
        guard serves else {
            let width = RollingRollout.maxParallelWithoutTraffic
            // It may serve again before what takes another away arrives: an update that waits in a queue, or that got
            // no answer, was allowed because of the machines that were well when it was sent.
            let isLeaving = active.contains { key, change in
                key != item.key && isOfGroup(key, item.group) && takesTrafficBefore(key) && change.mayStillArrive
            }
            if isLeaving, floor(of: item.group) > 0 { return .wait }
            return isHeld ? (going < width ? .begin : .wait) : (going + leased < width ? .lease : .wait)
        }
        let width = limits.maxUnavailable.machines(of: groupSizes[item.group] ?? 1)
        // Asked only where it matters: it looks at every machine.
        func isSpared() -> Bool {
            let available = members.values.count { $0.group == item.group && isAvailableNow($0.id) }
            return (isAvailableNow(machine) ? available - 1 : available) >= floor(of: item.group)
        }
        if isHeld { return going < width ? (isSpared() ? .begin : .waitForFloor) : .wait }
        if going + leased == 0, !isSpared() { return .waitForFloor }
        // One lease ahead for each place, so that the next update leaves as soon as a machine is healthy.
        return going + leased < 2 * width ? .lease : .wait
    }

    private func isOfGroup(_ key: String, _ group: ProcessGroup) -> Bool {
        guard let item = items[key] else { return false }
        return item.group == group && !item.change.target.isNew
    }

    /// The fewest available machines the group may have at any instant. One without services takes no traffic that
    /// could be lost. A machine that is to be created counts: the only one of a group can be spared once there are two.
    package func floor(of group: ProcessGroup) -> Int {
        guard servingGroups.contains(group) else { return 0 }
        let size = sizesToCome[group] ?? 0
        let floor = limits.servingFloor ?? (size > 1 ? 1 : 0)
        return limits.alwaysSparesOne ? min(floor, max(0, size - 1)) : floor
    }

    /// Whether changing the machine takes something away from the app's users.
    private func takesTraffic(_ machine: MachineID) -> Bool {
        guard let member = members[machine], let observation = view[machine] else { return false }
        return observation.isServing(expectedChecks: member.expectedChecks) || doubtful.contains(machine)
    }

    private func takesTrafficBefore(_ key: String) -> Bool { disturbedWhileServing.contains(key) }

    private var disturbedWhileServing: Set<String> = []

    private func isAvailableNow(_ machine: MachineID) -> Bool {
        guard let member = members[machine], let observation = view[machine] else { return false }
        // One whose update got no answer may be taken away by it at any time, whatever a look has shown.
        if let place = active.index(forKey: machine.rawValue),
            active.values[place].mayProceed || active.values[place].isUncertain
        {
            switch active.values[place].result {
            case nil, .failed: return false
            case .succeeded: break
            }
        }
        return member.isAvailable(observation)
    }

    private mutating func begin(_ item: RolloutItem, proceeding: Bool, _ agenda: inout Agenda) throws(IllegalEvent) {
        active[item.key] = MachineChange(item.change)
        if proceeding { try step(item.key, .proceed, &agenda) }
        try step(item.key, .begin, &agenda)
    }

    /// Ends the rollout once nothing is under way and nothing is left.
    private mutating func settle() {
        guard pending.isEmpty, active.values.allSatisfy(\.isFinished) else { return }
        if isStopped {
            outcome = .stopped(changed: changed.sorted())
        } else if let failure {
            outcome = .failed(reason: failure, changed: changed.sorted())
        } else {
            outcome = .succeeded
        }
    }

    private mutating func fail(_ reason: String, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard failure == nil else { return }
        failure = reason
        pending = []
        for key in active.keys.sorted() where active[key]?.result == nil { try step(key, .abandon, &agenda) }
    }

    // MARK: - One machine

    private mutating func step(_ key: String, _ event: MachineChange.Event, _ agenda: inout Agenda) throws(IllegalEvent)
    {
        guard let place = active.index(forKey: key), let item = items[key] else { return }
        let before = active.values[place].phase
        let hadResult = active.values[place].result != nil
        let hadLease = active.values[place].keptLease != nil
        if case .proceed = event, case .existing(let machine, _) = item.change.target, takesTraffic(machine) {
            disturbedWhileServing.insert(key)
        }
        // In its place: a copy costs more than most decisions.
        let actions = try active.values[place].apply(event, at: agenda.now)
        for action in actions { perform(action, for: item, &agenda) }
        let phase = active.values[place].phase
        if active.values[place].isDisturbing { changed.insert(key) }
        if !hadLease, let lease = active.values[place].keptLease, let machine = active.values[place].machine {
            keptLeases[machine] = lease
            if case .leased = event { wasUnheld = true }
        }
        if !hadResult, let result = active.values[place].result {
            switch result {
            case .succeeded(let machine, let version):
                changed.insert(key)
                arrived(machine, version, item)
                note(item, .done, "", &agenda)
            case .failed(let reason, let mayHaveChanged):
                if item.change.target.isNew, mayHaveChanged { uncreated.insert(key) }
                if mayHaveChanged { changed.insert(key) } else { changed.remove(key) }
                note(item, .failed, reason, &agenda)
                try fail("\(key): \(reason)", &agenda)
            }
        } else if before != phase {
            note(item, phase, "", &agenda)
        }
    }

    /// Keeps what an answer shows of a machine that this rollout changed; of any other it keeps nothing.
    private mutating func remember(_ machine: FleetMachine, as step: MachineChange.Step, _ key: String) {
        guard let plan = items[key]?.change else { return }
        let isMarked = machine.config.metadata(Bookkeeping.operation) == plan.operation.rawValue
        // A look may show what was there before; every other answer is about the change itself.
        guard isMarked || step != .look || machine.instance == installed[machine.id]?.instance else { return }
        installed[machine.id] = machine
        // Where the platform can't show the config, what was sent is what stands there.
        if !isMarked || !machine.isConfigComplete { installed[machine.id]?.config = plan.config }
    }

    /// A machine that arrived counts as what it is now, until a poll tells more.
    private mutating func arrived(_ machine: MachineID, _ version: InstanceID, _ item: RolloutItem) {
        if case .new(let name, _) = item.change.target {
            created[name] = machine
            members[machine] = FleetMember(machine, item)
        }
        let checks = item.change.config.checkCount
        var observation =
            view[machine]
            ?? Observation(id: machine, state: "started", instance: version, operation: item.change.operation)
        observation.instance = version
        if !item.change.skipLaunch {
            observation.state = "started"
            observation.checksPassing = checks
            observation.checksReported = checks
        }
        view[machine] = observation
        members[machine]?.expectedChecks = checks
    }

    private mutating func perform(_ action: MachineChange.Action, for item: RolloutItem, _ agenda: inout Agenda) {
        let key = item.key
        let machine = active[key]?.machine ?? MachineID("")
        let seconds = Int(MachineChange.leaseTimeToLive.inSeconds)
        func ask(_ call: PlatformCall, _ step: MachineChange.Step) {
            let id = agenda.perform(.platform(call: call))
            routes[id] = .change(key: key, step: step)
            if step == .wait { waits[key] = id }
            if step == .look { askedAt[id] = agenda.now }
        }
        switch action {
        case .acquireLease: ask(.acquireLease(machine: machine, seconds: seconds), .lease)
        case .refreshLease(let lease):
            ask(.refreshLease(machine: machine, nonce: lease.nonce, seconds: seconds), .refresh)
        case .releaseLease(let lease): ask(.releaseLease(machine: machine, nonce: lease.nonce), .release)
        case .update(let lease):
            guard case .existing(_, let version) = item.change.target else { return }
            ask(
                .update(
                    machine: machine, config: item.change.config, currentVersion: version, nonce: lease.nonce,
                    skipLaunch: item.change.skipLaunch), .update)
        case .look: ask(.machine(id: machine), .look)
        case .create:
            guard case .new(let name, let region) = item.change.target else { return }
            ask(
                .create(
                    name: name, region: region, config: item.change.config, skipLaunch: item.change.skipLaunch,
                    leaseSeconds: item.change.keepsLease ? seconds : nil),
                .create)
        case .seek: ask(.machines, .seek)
        case .wait(let machine, let version, let seconds):
            ask(.wait(machine: machine, version: version, state: "started", seconds: seconds), .wait)
        case .cancelWait:
            if let id = waits.removeValue(forKey: key) {
                routes[id] = nil
                agenda.performAndForget(.cancel(action: id))
            }
        case .wake(let at): routes[agenda.perform(.wake(at: at))] = .wake(key: key)
        }
    }

    private func note(_ item: RolloutItem, _ phase: MachineProgress.Phase, _ detail: String, _ agenda: inout Agenda) {
        agenda.note(
            .machine(
                progress: MachineProgress(
                    machine: item.key, group: item.group, region: item.region, phase: phase, detail: detail)))
    }
}
