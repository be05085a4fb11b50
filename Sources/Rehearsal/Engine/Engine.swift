// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import Stages

/// The scheduler of one rehearsal: virtual time, the platform, the processes, and whatever goes wrong between them.
/// Equal plans give equal rehearsals.
struct Engine {
    /// What is to happen at some time.
    enum Due {
        case start(Launch)
        case deliver(process: Int, kind: RunEvent.Kind)
        /// A call arrives at the platform.
        case arrive(call: Int)
        /// The client learns that nothing will come of a call.
        case giveUp(call: Int, failure: Failure)
        /// An effect that is not the platform's is done.
        case local(process: Int, action: Action)
        case world(WorldEvent)
        /// The checks of a machine change their minds.
        case flap(machine: String, boot: Int, isPassing: Bool)
        case wakeUp(process: Int)
        /// Something of the plan that hangs on the time alone.
        case disturb(Disturbance)
    }

    /// How a process comes to be.
    enum Launch {
        case run(kind: RunKind, store: Int, name: String)
        /// Somebody goes on with what a process left.
        case recover(after: Int, kind: Recovery.Kind)
    }

    /// One call on its way.
    struct OpenCall {
        var process: Int
        var action: ActionID
        var call: PlatformCall
        var fault: CallFault?
        /// When it was sent last.
        var sentAt: Timestamp
        var attempt = 1
        /// Whether an earlier attempt may have been done.
        var mayHaveHappened = false
        /// Whether its sender still waits for an answer.
        var isAwaited = true
        /// When the platform did it, or the instant that its list shows.
        var doneAt: Timestamp?
        /// What its sender's last list showed when it was sent.
        var knownAt: Timestamp
        /// Whether its process dies as soon as it is done.
        var killsWhenApplied = false

        /// Of a call that arrives twice: whether the answer to the second arrival goes back.
        var isSecondAnswered: Bool {
            if case .duplicated(_, let isSecondAnswered) = fault { isSecondAnswered } else { false }
        }
    }

    struct HeldProbe: Hashable {
        var process: Int
        var action: ActionID
    }

    /// How often the proxy looks whether a machine that a visitor waits for is there.
    static let proxyLookMilliseconds = 200
    /// Events that one rehearsal may take before it counts as one that never ends.
    static let maxEvents = 60_000
    /// Virtual time that one rehearsal may take, all recoveries included.
    static let longestRehearsal = Duration.seconds(8 * 3600)
    /// After the last process ended: what is still under way arrives, and leases end.
    static let afterglow = Duration.seconds(130)
    /// Recoveries that a person starts anew because the one before ended without an effect.
    static let maxRepeatedRecoveries = 5
    /// Between an end without an effect and the next try.
    static let repeatPause = Duration.seconds(45)

    let prepared: PreparedScenario
    let plan: RehearsalPlan
    let saboteur: Saboteur?
    var sabotage = SabotageState()
    /// What was asked under each action; kept for a saboteur only.
    var sabotagedCalls: [ActionID: PlatformCall] = [:]
    var now = Scenario.start
    var world: World
    var queue = EventQueue<Due>()
    var stores: [RehearsalStore]
    var processes: [RunProcess] = []
    var calls: [OpenCall] = []
    var checker: Checker
    var story: Chronicle
    var events = 0
    var apiCalls = 0
    var recoveries = 0
    var repeatedRecoveries = 0
    var followUps: [RunKind]
    var isOver = false
    /// The first sign of trouble that people would see: a bad answer of the app, or a run that died.
    var troubleAt: Timestamp?
    var faults: [InjectedFault] = []
    /// Lists as they were, newest last; kept only where the plan wants stale ones.
    var pastLists: [(at: Timestamp, list: [WorldMachine])] = []
    let keepsLists: Bool
    let keepsMarks: Bool
    var outages: [ClosedRange<Int64>] = []
    var registryOutages: [ClosedRange<Int64>] = []
    /// Visitors that wait for a machine, and when they give up.
    var heldProbes: [HeldProbe: Timestamp] = [:]
    var badProbes: [ClosedRange<Int64>] = []
    /// How the image to be deployed behaves.
    let newImage: GuestBehaviour
    var slowBoots: [(range: ClosedRange<Int64>, extra: Int)] = []

    var scenario: Scenario { prepared.scenario }

    init(
        _ prepared: PreparedScenario, _ plan: RehearsalPlan, saboteur: Saboteur? = nil, isTold: Bool = false,
        keepsMarks: Bool = false
    ) {
        self.prepared = prepared
        self.plan = plan
        self.saboteur = saboteur
        self.keepsMarks = keepsMarks
        newImage = plan.newImage ?? prepared.scenario.newImage
        world = prepared.world
        stores = [RehearsalStore(records: prepared.records)]
        checker = Checker(prepared)
        story = Chronicle(isTold: isTold)
        followUps = prepared.scenario.followUps
        keepsLists = plan.disturbances.contains {
            if case .call(_, _, .stale) = $0 { true } else { false }
        }
        checker.begin(world)
        launch(.run(kind: prepared.scenario.kind, store: 0, name: "run"), at: now)
        if let rival = plan.rival ?? prepared.scenario.rival {
            if !rival.sharesStore { stores.append(RehearsalStore(records: prepared.records)) }
            launch(
                .run(kind: rival.kind, store: rival.sharesStore ? 0 : 1, name: "second run"),
                at: now + .milliseconds(rival.afterMilliseconds))
        }
        for (index, other) in prepared.scenario.others.enumerated() {
            if !other.sharesStore { stores.append(RehearsalStore(records: prepared.records)) }
            launch(
                .run(
                    kind: other.kind, store: other.sharesStore ? 0 : stores.count - 1,
                    name: index == 0 ? "third run" : "run \(index + 3)"),
                at: now + .milliseconds(other.afterMilliseconds))
        }
        for disturbance in prepared.scenario.disturbances + plan.disturbances { place(disturbance) }
    }

    mutating func schedule(_ due: Due, at time: Timestamp) { queue.insert(due, at: time) }

    mutating func launch(_ launch: Launch, at time: Timestamp) {
        launchesAhead += 1
        schedule(.start(launch), at: time)
    }

    // MARK: - The loop

    /// Goes on until nobody is left who could do anything.
    mutating func run() {
        let end = Scenario.start + Engine.longestRehearsal
        while !isOver, let (at, due) = queue.popFirst() {
            now = max(now, at)
            checker.now = now
            events += 1
            guard events <= Engine.maxEvents, now <= end else {
                complain(.termination, "it goes on and on: \(waiting)")
                break
            }
            take(due)
            if case .world = due { continue }
            lookForEnd()
        }
        if !isOver, processes.contains(where: \.isAlive) {
            complain(.termination, "nothing is under way and somebody still waits: \(waiting)")
        }
        letItFade()
        checker.end(self)
        for violation in checker.violations.dropFirst(story.violationsTold) { story.violated(violation) }
    }

    private var waiting: String {
        processes.filter(\.isAlive).map { "\($0.name) is in \($0.machine.state)" }.joined(separator: ", ")
    }

    private mutating func take(_ due: Due) {
        switch due {
        case .start(let launch): start(launch)
        case .deliver(let process, let kind): deliver(kind, to: process)
        case .arrive(let call): arrive(call)
        case .giveUp(let call, let failure): giveUp(call, failure)
        case .local(let process, let action): doLocally(action, process)
        case .world(let event): apply(event)
        case .flap(let machine, let boot, let isPassing): flap(machine, boot, isPassing)
        case .wakeUp(let process): wakeUp(process)
        case .disturb(let disturbance): disturb(disturbance)
        }
    }

    /// Over once every process has ended, no recovery is to come, and nobody starts another run.
    private mutating func lookForEnd() {
        guard !processes.isEmpty, !processes.contains(where: \.isAlive), launchesAhead == 0 else { return }
        if !followUps.isEmpty {
            let kind = followUps.removeFirst()
            launch(.run(kind: kind, store: 0, name: "next run"), at: now + .seconds(10))
            return
        }
        isOver = true
    }

    /// Launches that are scheduled and have not happened.
    var launchesAhead = 0

    /// What is still on its way arrives; nobody is there any more to decide anything.
    private mutating func letItFade() {
        guard !plan.disturbances.isEmpty || !scenario.disturbances.isEmpty else { return }
        let end = now + Engine.afterglow
        while let time = queue.nextTime, time <= end, let (at, due) = queue.popFirst() {
            now = max(now, at)
            checker.now = now
            take(due)
        }
        now = end
        checker.now = now
    }

    mutating func complain(_ check: CheckName, _ message: String) {
        checker.complain(check, message)
    }
}
