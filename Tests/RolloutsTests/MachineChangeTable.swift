// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts

/// What every event does in every state of one machine's change.
enum MachineChangeTable {
    static let states = [
        "ready", "leasing", "leaseTaken", "held", "updating", "looking", "creating", "seeking", "pausing", "starting",
        "checking", "securing", "releasing", "finished",
    ]

    static let events =
        [
            "begin", "proceed", "leased", "changed", "created", "absent", "reached", "waitTimedOut", "observed",
            "released",
            "woke", "abandon",
        ] + MachineChange.Step.allCases.map { "failed." + $0.rawValue }

    static let table = TransitionTable(
        "MachineChange", states: states, events: events,
        """
        ready | begin | leasing | acquire
        ready+new | begin | creating | create
        ready | proceed, observed, woke | =
        ready | abandon | finished/unchanged
        ready | leased, changed, absent, reached, waitTimedOut, released, created | !
        ready | failed.lease, failed.refresh, failed.update, failed.look, failed.create, failed.seek | !
        ready | failed.wait, failed.release | !

        leasing | leased | held | wake+41
        leasing+proceed | leased | updating | update wake+41
        leasing+abandoned | leased | releasing/unchanged | release
        leasing | failed.lease/held, failed.lease/down | leaseTaken | wake+3
        leasing | failed.lease/forbidden, failed.lease/late | finished/unchanged
        leasing+abandoned | failed.lease/held | finished/unchanged
        leasing | proceed, abandon, observed, woke | =
        leasing | begin, changed, absent, reached, waitTimedOut, released, created | !
        leasing | failed.refresh, failed.update, failed.look, failed.create, failed.seek, failed.wait | !
        leasing | failed.release | !

        leaseTaken | woke | leasing | acquire
        leaseTaken | proceed, observed | =
        leaseTaken | abandon | finished/unchanged
        leaseTaken | begin, leased, changed, absent, reached, waitTimedOut, released, created | !
        leaseTaken | failed.lease, failed.refresh, failed.update, failed.look, failed.create, failed.seek | !
        leaseTaken | failed.wait, failed.release | !

        held | proceed | updating | update
        held | woke, observed | =
        held | woke/due | = | refresh
        held+refreshing | woke/due | =
        held | leased | held | wake+41
        held | failed.refresh, abandon | releasing/unchanged | release
        held | begin, changed, absent, reached, waitTimedOut, released, created | !
        held | failed.lease, failed.update, failed.look, failed.create, failed.seek, failed.wait | !
        held | failed.release | !

        updating | changed | starting | wait60 wake+40
        updating+resting | changed | releasing/ok | release
        updating+abandoned | changed | releasing/changed | release
        updating | failed.update/ambiguous, failed.update/conflict | looking | look
        updating+abandoned | failed.update/ambiguous | looking | look
        updating | failed.update/refused | releasing/unchanged | release
        updating | leased | updating | wake+41
        updating | woke/due | = | refresh
        updating | woke, failed.refresh, proceed, observed, abandon | =
        updating | begin, absent, reached, waitTimedOut, released, created | !
        updating | failed.lease, failed.look, failed.create, failed.seek, failed.wait, failed.release | !

        looking | changed/ours | starting | wait60 wake+40
        looking | changed/untouched | pausing | wake+2
        looking+unrefreshed | changed/untouchedDue | pausing | wake+42 refresh
        looking+last | changed/untouched | releasing/changed | release
        looking | changed/foreign, failed.look | releasing/changed | release
        looking+abandoned | changed/ours | releasing/changed | release
        looking+abandoned | changed/untouched | releasing/changed | release
        looking | leased | looking | wake+41
        looking | woke/due | = | refresh
        looking | woke, failed.refresh, proceed, observed, abandon | =
        looking | begin, absent, reached, waitTimedOut, released, created | !
        looking | failed.lease, failed.update, failed.create, failed.seek, failed.wait, failed.release | !

        creating | created | starting | wait60 wake+40
        creating | created/unleased | starting | wait60 wake+121
        creating+abandoned | created | releasing/changed | release
        creating+abandoned | created/unleased | finished/changed
        creating+guard | created | starting | wait60 wake+121
        creating | failed.create/ambiguous, failed.create/conflict | seeking | seek
        creating+abandoned | failed.create/ambiguous | seeking | seek
        creating | failed.create/capacity | finished/unchanged
        creating | abandon, proceed, observed, woke | =
        creating | begin, leased, changed, absent, reached, waitTimedOut, released | !
        creating | failed.lease, failed.refresh, failed.update, failed.look, failed.seek, failed.wait | !
        creating | failed.release | !

        seeking | changed | starting | wait60 wake+121
        seeking+abandoned | changed | finished/changed
        seeking | absent | pausing | wake+2
        seeking+last | absent | finished/changed
        seeking+abandoned | absent | finished/changed
        seeking | failed.seek | finished/changed
        seeking | abandon, proceed, observed, woke | =
        seeking | begin, leased, reached, waitTimedOut, released, created | !
        seeking | failed.lease, failed.refresh, failed.update, failed.look, failed.create, failed.wait | !
        seeking | failed.release | !

        pausing | woke | held
        pausing | woke/early, proceed, observed | =
        pausing | leased | pausing | wake+41
        pausing | failed.refresh, abandon | releasing/changed | release
        pausing | begin, changed, absent, reached, waitTimedOut, released, created | !
        pausing | failed.lease, failed.update, failed.look, failed.create, failed.seek, failed.wait | !
        pausing | failed.release | !
        pausing+fourth | woke/due | = | refresh
        pausing+fourth | leased | pausing/4 | wake+41
        pausing+fourth | woke/late | held | refresh
        pausing+created | woke | creating/2 | create
        pausing+created | woke/early, proceed, observed | =
        pausing+created | abandon | finished/changed
        pausing+created | leased, failed.refresh, failed.create, failed.seek | !

        starting | reached | checking | look
        starting+created | reached | checking | look
        starting+unchecked | reached | releasing/ok | release
        starting | observed/healthy, changed/healthy | releasing/ok | cancelWait release
        starting+created | observed/healthy | releasing/ok | cancelWait release
        starting+unleased | observed/healthy | finished/ok | cancelWait
        starting+guard | observed/healthy | finished/ok | cancelWait
        starting+guard | observed/exited | finished/changed | cancelWait
        starting+unknown | observed/healthy | securing | cancelWait acquire
        starting | observed/starting, observed/stale, changed/starting | =
        starting | observed/foreign, observed/exited, observed/outOfMemory | releasing/changed | cancelWait release
        starting | observed/failed, observed/destroyed | releasing/changed | cancelWait release
        starting+unleased | observed/exited | finished/changed | cancelWait
        starting | waitTimedOut | = | wait60
        starting | waitTimedOut/late, failed.wait/late | releasing/changed | release
        starting | failed.wait | = | look
        starting | woke/due | = | refresh
        starting | woke/late, failed.refresh, abandon | releasing/changed | cancelWait release
        starting+unleased | woke/late, abandon | finished/changed | cancelWait
        starting+unleased | woke/due | =
        starting+created | woke/due | = | refresh
        starting | leased | starting | wake+41
        starting | woke, failed.look, proceed | =
        starting | begin, absent, released, created | !
        starting | failed.lease, failed.update, failed.create, failed.seek, failed.release | !

        checking | observed/healthy, changed/healthy | releasing/ok | release
        checking+created | observed/healthy | releasing/ok | release
        checking+unleased | observed/healthy | finished/ok
        checking | observed/starting, observed/stale, changed/starting | =
        checking | observed/foreign, observed/exited, observed/outOfMemory | releasing/changed | release
        checking | observed/failed, observed/destroyed, observed/late | releasing/changed | release
        checking | woke/due | = | refresh
        checking | woke/late, failed.refresh, abandon | releasing/changed | release
        checking+unleased | woke/late, abandon | finished/changed
        checking | leased | checking | wake+41
        checking | woke, failed.look, failed.wait, reached, waitTimedOut, proceed | =
        checking | begin, absent, released, created | !
        checking | failed.lease, failed.update, failed.create, failed.seek, failed.release | !

        securing | leased | checking | look
        securing | failed.lease/held, failed.lease/down | securing | wake+3
        securing | failed.lease/forbidden, failed.lease/late | finished/changed
        securing+pausing | woke | securing | acquire
        securing+pausing | abandon | finished/changed
        securing+pausing | leased | !
        securing+abandoned | leased | finished/changed
        securing+abandoned | failed.lease/held | finished/changed
        securing | abandon, proceed, observed, woke, changed, reached, waitTimedOut, failed.wait, failed.look | =
        securing | begin, absent, released, created | !
        securing | failed.refresh, failed.update, failed.create, failed.seek, failed.release | !

        releasing | released, failed.release | finished/ok
        releasing | leased, observed, changed, reached, waitTimedOut, proceed, abandon, woke, created | =
        releasing | failed.lease, failed.refresh, failed.update, failed.look, failed.create, failed.seek | =
        releasing | failed.wait | =
        releasing | begin, absent | !

        finished | begin, proceed, leased, changed, absent, reached, waitTimedOut, observed, released, woke, created | =
        finished | abandon, failed.lease, failed.refresh, failed.update, failed.look, failed.create | =
        finished | failed.seek, failed.wait, failed.release | =
        """)

    // MARK: - States

    static let t0 = Sample.start
    static let lease = Lease(nonce: "n1", expiresAt: t0 + .seconds(60))
    static let operation = OperationID("run/1")

    static func plan(isNew: Bool = false, skipLaunch: Bool = false, hasChecks: Bool = true, keepsLease: Bool = false)
        -> MachineChange.Plan
    {
        var config = Sample.config(Sample.newDigest, toml: hasChecks ? Sample.flyToml : Sample.workerToml)
        config.metadata[Bookkeeping.operation] = operation.rawValue
        var plan = MachineChange.Plan(
            target: isNew ? .new(name: "name-1", region: "ord") : .existing(machine: "m1", version: "m1-1"),
            config: config, operation: operation, skipLaunch: skipLaunch, waitTimeout: .seconds(120))
        plan.keepsLease = keepsLease
        return plan
    }

    /// A change in the state of that name, brought there by events.
    static func change(in state: String) throws -> MachineChange {
        let down = Failure(.unavailable, "no answer", isAmbiguous: true)
        let updating: [MachineChange.Event] = [.proceed, .begin, .leased(lease: lease)]
        let creating: [MachineChange.Event] = [.proceed, .begin]
        let updated = updating + [.changed(machine: machine())]
        let created = creating + [.created(machine: machine(), lease: lease)]
        let unleased = creating + [.created(machine: machine(), lease: nil)]
        let lostUpdate = MachineChange.Event.failed(step: .update, failure: down)
        let lostCreate = MachineChange.Event.failed(step: .create, failure: down)
        let untouched = MachineChange.Event.changed(machine: machine(instance: "m1-1", operation: ""))
        let (plan, events): (MachineChange.Plan, [MachineChange.Event]) =
            switch state {
            case "ready": (plan(), [])
            case "ready+new": (plan(isNew: true), [])
            case "leasing": (plan(), [.begin])
            case "leasing+proceed": (plan(), [.proceed, .begin])
            case "leasing+abandoned": (plan(), [.begin, .abandon])
            case "leaseTaken": (plan(), [.begin, .failed(step: .lease, failure: Failure(.leaseHeld, "taken"))])
            case "held": (plan(), [.begin, .leased(lease: lease)])
            case "updating": (plan(), updating)
            case "updating+abandoned": (plan(), updating + [.abandon])
            case "updating+resting": (plan(skipLaunch: true), updating)
            case "looking": (plan(), updating + [lostUpdate])
            case "looking+abandoned": (plan(), updating + [lostUpdate, .abandon])
            case "looking+unrefreshed": (plan(), updating + [lostUpdate])
            case "looking+last": (plan(), updating + again(lostUpdate, untouched, 4) + [lostUpdate])
            case "creating": (plan(isNew: true), creating)
            case "creating+guard": (plan(isNew: true, keepsLease: true), creating)
            case "creating+abandoned": (plan(isNew: true), creating + [.abandon])
            case "seeking": (plan(isNew: true), creating + [lostCreate])
            case "seeking+abandoned": (plan(isNew: true), creating + [lostCreate, .abandon])
            case "seeking+last": (plan(isNew: true), creating + again(lostCreate, .absent, 4) + [lostCreate])
            case "pausing": (plan(), updating + [lostUpdate, untouched])
            case "pausing+fourth": (plan(), updating + again(lostUpdate, untouched, 3) + [lostUpdate])
            case "pausing+created": (plan(isNew: true), creating + [lostCreate, .absent])
            case "starting": (plan(), updated)
            case "starting+created": (plan(isNew: true), created)
            case "starting+unleased": (plan(isNew: true), unleased)
            case "starting+guard": (plan(isNew: true, keepsLease: true), created)
            case "starting+unknown":
                (plan(isNew: true, keepsLease: true), creating + [lostCreate, .changed(machine: machine())])
            case "securing", "securing+pausing", "securing+abandoned":
                (
                    plan(isNew: true, keepsLease: true),
                    creating + [lostCreate, .changed(machine: machine()), .observed(observation: seen())]
                        + (state == "securing+pausing"
                            ? [.failed(step: .lease, failure: Failure(.leaseHeld, "born"))] : [])
                        + (state == "securing+abandoned" ? [.abandon] : [])
                )
            case "starting+unchecked": (plan(hasChecks: false), updated)
            case "checking": (plan(), updated + [.reached])
            case "checking+created": (plan(isNew: true), created + [.reached])
            case "checking+unleased": (plan(isNew: true), unleased + [.reached])
            case "releasing": (plan(), updated + [.observed(observation: seen())])
            case "finished": (plan(), updated + [.observed(observation: seen()), .released])
            case "held+refreshing": (plan(), [.begin, .leased(lease: lease)])
            default: throw UnknownName(name: state)
            }
        var change = MachineChange(plan)
        var now = t0
        for event in events {
            if event == .woke, case .pausing(_, _, let until) = change.state { now = until }
            _ = try change.apply(event, at: now)
        }
        if state == "held+refreshing" { _ = try change.apply(.woke, at: t0 + .seconds(41)) }
        // So late that the lease needs its refresh before the pause is over.
        if state == "pausing+fourth" { _ = try change.apply(untouched, at: t0 + .seconds(36)) }
        return change
    }

    /// A change that is lost, is seen not to have happened, and is sent again after its pause, so many times.
    private static func again(_ lost: MachineChange.Event, _ seen: MachineChange.Event, _ count: Int) -> [MachineChange
        .Event]
    { (0..<count).flatMap { _ in [lost, seen, .woke, .proceed] } }

    struct UnknownName: Error { var name: String }

    // MARK: - Events

    /// The event of that name, and how long after the state was reached it comes.
    static func event(_ name: String) throws -> (MachineChange.Event, after: Duration) {
        let soon = Duration.seconds(1)
        let late = Duration.seconds(121)
        func failed(_ step: MachineChange.Step, _ failure: Failure) -> MachineChange.Event {
            .failed(step: step, failure: failure)
        }
        let parts = name.split(separator: "/").map(String.init)
        let variant = parts.count > 1 ? parts[1] : ""
        if parts[0].hasPrefix("failed."), let step = MachineChange.Step(rawValue: String(parts[0].dropFirst(7))) {
            switch variant {
            case "", "down": return (failed(step, Failure(.unavailable, "down")), soon)
            case "held": return (failed(step, Failure(.leaseHeld, "taken")), soon)
            case "forbidden": return (failed(step, Failure(.forbidden, "not yours")), soon)
            case "ambiguous": return (failed(step, Failure(.timedOut, "no answer", isAmbiguous: true)), soon)
            case "conflict": return (failed(step, Failure(.conflict, "changed")), soon)
            case "refused": return (failed(step, Failure(.invalid, "bad config")), soon)
            case "capacity": return (failed(step, Failure(.capacity, "no room")), soon)
            case "late": return (failed(step, Failure(.unavailable, "down")), step == .lease ? .seconds(119) : late)
            default: throw UnknownName(name: name)
            }
        }
        switch (parts[0], variant) {
        case ("begin", ""): return (.begin, soon)
        case ("proceed", ""): return (.proceed, soon)
        case ("leased", ""): return (.leased(lease: Lease(nonce: "n1", expiresAt: t0 + .seconds(61))), soon)
        case ("changed", ""), ("changed", "ours"), ("changed", "starting"): return (.changed(machine: machine()), soon)
        case ("changed", "untouched"): return (.changed(machine: machine(instance: "m1-1", operation: "")), soon)
        case ("changed", "untouchedDue"):
            return (.changed(machine: machine(instance: "m1-1", operation: "")), .seconds(41))
        case ("changed", "foreign"): return (.changed(machine: machine(instance: "m1-9", operation: "other/1")), soon)
        case ("changed", "healthy"): return (.changed(machine: machine(state: "started")), soon)
        case ("created", ""): return (.created(machine: machine(), lease: lease), soon)
        case ("created", "unleased"): return (.created(machine: machine(), lease: nil), soon)
        case ("absent", ""): return (.absent, soon)
        case ("reached", ""): return (.reached, soon)
        case ("waitTimedOut", ""): return (.waitTimedOut, soon)
        case ("waitTimedOut", "late"): return (.waitTimedOut, late)
        case ("observed", ""), ("observed", "starting"):
            return (.observed(observation: seen("created", checks: 0)), soon)
        case ("observed", "late"): return (.observed(observation: seen("started", checks: 0)), late)
        case ("observed", "healthy"): return (.observed(observation: seen()), soon)
        case ("observed", "stale"): return (.observed(observation: seen(instance: "m1-1")), soon)
        case ("observed", "foreign"): return (.observed(observation: seen(instance: "m1-9")), soon)
        case ("observed", "exited"): return (.observed(observation: seen("stopped", exitCode: 1)), soon)
        case ("observed", "outOfMemory"):
            return (.observed(observation: seen("started", exitCode: 137, isOutOfMemory: true)), soon)
        case ("observed", "failed"): return (.observed(observation: seen("failed", checks: 0)), soon)
        case ("observed", "destroyed"): return (.observed(observation: seen("destroyed", checks: 0)), soon)
        case ("released", ""): return (.released, soon)
        case ("woke", ""): return (.woke, soon)
        case ("woke", "early"): return (.woke, .milliseconds(999))
        case ("woke", "due"): return (.woke, .seconds(41))
        case ("woke", "late"): return (.woke, late)
        case ("abandon", ""): return (.abandon, soon)
        default: throw UnknownName(name: name)
        }
    }

    /// The event's kind; a new case must be given a name here and a line for every state above.
    static func kind(of event: MachineChange.Event) -> String {
        switch event {
        case .begin: "begin"
        case .proceed: "proceed"
        case .leased: "leased"
        case .changed: "changed"
        case .created: "created"
        case .absent: "absent"
        case .reached: "reached"
        case .waitTimedOut: "waitTimedOut"
        case .observed: "observed"
        case .released: "released"
        case .failed(let step, _): "failed." + step.rawValue
        case .woke: "woke"
        case .abandon: "abandon"
        }
    }

    static func machine(instance: InstanceID = "m1-2", state: String = "created", operation: String = "run/1")
        -> FleetMachine
    {
        var machine = Sample.machine(1, digest: Sample.newDigest, state: state)
        machine.instance = instance
        machine.config.metadata[Bookkeeping.operation] = operation
        return machine
    }

    static func seen(
        _ state: String = "started", instance: InstanceID = "m1-2", checks: Int = 1, exitCode: Int? = nil,
        isOutOfMemory: Bool = false
    ) -> Observation {
        Observation(
            id: "m1", state: state, instance: instance, operation: operation, checksPassing: checks,
            checksReported: checks, exit: exitCode.map { .init(code: $0, isOutOfMemory: isOutOfMemory, at: t0) })
    }

    // MARK: - Names

    static func name(of state: MachineChange.State) -> String {
        func times(_ name: String, _ attempt: Int) -> String { attempt == 1 ? name : "\(name)/\(attempt)" }
        func outcome(_ result: MachineChange.Result) -> String {
            switch result {
            case .succeeded: "ok"
            case .failed(_, let mayHaveChanged): mayHaveChanged ? "changed" : "unchanged"
            }
        }
        return switch state {
        case .ready: "ready"
        case .leasing: "leasing"
        case .leaseTaken: "leaseTaken"
        case .held: "held"
        case .updating(_, let attempt): times("updating", attempt)
        case .looking(_, let attempt): times("looking", attempt)
        case .creating(let attempt): times("creating", attempt)
        case .seeking(let attempt): times("seeking", attempt)
        case .pausing(_, let attempt, _): times("pausing", attempt)
        case .starting: "starting"
        case .checking: "checking"
        case .securing: "securing"
        case .releasing(_, let result): "releasing/" + outcome(result)
        case .finished(let result): "finished/" + outcome(result)
        }
    }

    static func name(of action: MachineChange.Action) -> String {
        switch action {
        case .acquireLease: "acquire"
        case .refreshLease: "refresh"
        case .update: "update"
        case .look: "look"
        case .create: "create"
        case .seek: "seek"
        case .wait(_, _, let seconds): "wait\(seconds)"
        case .cancelWait: "cancelWait"
        case .releaseLease: "release"
        case .wake(let at): "wake+\(Int((at - t0).inSeconds))"
        }
    }
}
