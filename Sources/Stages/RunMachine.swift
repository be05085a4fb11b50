// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import Rollouts

/// One run from its first question to its last notice: the stages in their order, and what follows from each end.
///
/// The journal holds the events given to ``apply(_:)``; applying them again gives the same machine and the same
/// actions.
package struct RunMachine: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `preValidation`, `diagnosing` (a recovery).
        case waiting
        /// Also once more, after a wait for the app. Next: `window`, `claiming` (a rollback; a fleet that somebody is
        /// at work on; an image that is built), `settling`.
        case preValidation
        /// What a lost run has left behind. Next: `claiming`, `verify`, `settling`.
        case diagnosing
        /// Next: `build`, `settling`.
        case window
        /// Next: `claiming`, `deploy` (an app without machines), `settling`.
        case build
        /// The app is taken for this run, for the first time or again. Next: whatever the claim is for; `preValidation`
        /// (what was known is of the past); `settling`.
        case claiming
        /// Is the app still as the run left it? Next: whatever the claim is for; `settling`.
        case confirming
        /// Next: `verify`, `rollback`, `claiming`, `preValidation` (the fleet is another than just now), `settling`.
        case deploy
        /// Next: `rollback`, `claiming`, `settling`.
        case verify
        /// Next: `claiming`, `settling`.
        case rollback
        /// The ledger and the platform's release records learn how it ended. Next: `reaping`, `leaving`.
        case settling
        /// What the run leaves over is destroyed. Next: `claiming`, `leaving`.
        case reaping
        /// The app is given back. Next: `notify`, `finished` (a run that another has taken over).
        case leaving
        /// Next: `finished`.
        case notify
        case finished
    }

    package let request: RunRequest
    package internal(set) var state: State = .waiting
    package internal(set) var reports: [StageReport]
    /// How the run ended, once that is decided.
    package internal(set) var report: RunReport?
    package internal(set) var preValidation: PreValidation
    package internal(set) var windowGate: WindowGate
    package internal(set) var build = Build()
    package internal(set) var deploy: Deploy?
    package internal(set) var verify: HealthVerify?
    package internal(set) var rollback: Rollback?
    package internal(set) var notify = Notify()
    package internal(set) var startedAt: Timestamp?
    package internal(set) var claim = AppClaim()
    package internal(set) var diagnosis: Diagnosis?
    package internal(set) var reaping: Reaping?
    package internal(set) var confirmation: Confirmation?
    /// Whether another run has gone on with the app: what it recorded of this one stands.
    var isSuperseded = false
    /// Whether the app was not held for a while, so that somebody else may have been at work.
    var mustConfirm = false
    package internal(set) var nextAction = 1
    /// How often it was gone on with after its process had died or slept.
    package internal(set) var resumptions = 0
    /// What the claim is for.
    var intent: Intent?
    /// When it first asked for the app.
    var queuedAt: Timestamp?
    /// How often the machines to be held were gone when their turn came.
    var goneLooks = 0
    /// Why the run goes back, or on, after it was resumed; empty where it never was.
    var resumedBecause = ""
    /// Until when a creation that nobody waits for any more may still happen.
    var lateCreations: Timestamp?
    /// Leases that were asked for and not answered.
    var acquisitions: [ActionID: MachineID] = [:]
    /// Who has taken the run over; nil while it is this process's.
    var fencedBy: String?
    /// By when the app is left, whether or not the platform has answered.
    var leaveBy: ActionID?
    /// What a recovery brings back.
    var restoration: Diagnosis.Restoration?
    /// A first release that a recovery found unfinished and unverified, and finishes and verifies.
    package internal(set) var adopted: ReleaseRecord?
    var warnings: [String] = []
    var troubleSince: Timestamp?
    var failureReason = ""
    /// The machines a failed deploy may have left changed.
    var changedByDeploy: [String] = []
    var signal: Int32?
    var settling: Set<ActionID> = []
    /// Whether a record of the run was opened elsewhere: waiting for its turn, or under way.
    var announced: Announcement?
    /// Whether people were asked for their approval.
    var hasAskedPeople = false
    /// The question which release records of runs that are gone are still open.
    var abandonedReleases: ActionID?
    var abandonedLooks = 0
    var ending: Ending?

    enum Announcement: Hashable, Codable, Sendable {
        case queued, underWay
    }

    /// How a run is about to end; its report follows once the ledger knows.
    struct Ending: Hashable, Codable, Sendable {
        var outcome: RunOutcome
        var headline: String
        var divergence: [String] = []
        var nextSteps: [String] = []
        /// Where it is not the outcome's own.
        var exitCode: ExitCode?
        /// Why it was refused, as far as people can do something about it.
        var approval: ApprovalWanted?
        var opening: WindowOpening?
    }

    /// What follows once the app is held.
    indirect enum Intent: Hashable, Codable, Sendable {
        case deploy
        case rollback(target: ReleaseRecord)
        /// A deploy whose process died: back, or, where there is no way back, on.
        case undo(reason: String, changed: [String])
        case diagnose
        /// To judge the fleet when nobody else is at work on it.
        case judge
        case reap
    }

    /// A call that got no answer is carried out within this time or never; as long as no HTTP client waits for it.
    package static let latestArrival = Duration.seconds(60)
    /// How long leaving an app may take before its leases are left to end by themselves.
    package static let leavingPatience = Duration.seconds(4)
    /// How often a fleet is looked at anew because its first machine was gone before it could be held.
    package static let maxGoneLooks = 5

    package init(_ request: RunRequest) {
        self.request = request
        preValidation = PreValidation(request)
        windowGate = WindowGate(request)
        let stages: [StageName] =
            switch request.kind {
            case .rollback: [.preValidation, .rollback, .notify]
            case .recover: [.preValidation, .verify, .rollback, .notify]
            case .deploy, .promote: [.preValidation, .window, .build, .deploy, .verify, .rollback, .notify]
            }
        reports = stages.map { StageReport(stage: $0) }
    }

    package var isFinished: Bool { state == .finished }

    /// Whether machines may have been changed, or are leased, by this run.
    package var hasTouchedFleet: Bool { deploy?.rollout != nil || rollback?.rollout != nil || claim.state != .idle }

    /// What the run waits for now, for people; empty where it only works.
    package var waitingFor: String {
        switch state {
        case .deploy: deploy?.rollout?.waitingFor ?? ""
        case .verify: verify?.waitingFor ?? ""
        case .rollback: rollback?.verify?.waitingFor ?? rollback?.rollout?.waitingFor ?? ""
        case .claiming: claim.waitingFor
        case .confirming: "the platform to tell whether somebody else was at work"
        case .preValidation: preValidation.waitingFor
        case .waiting, .diagnosing, .window, .build, .settling, .reaping, .leaving, .notify, .finished: ""
        }
    }

    /// One event's decisions. Throws where the event can't follow what came before.
    package mutating func apply(_ event: RunEvent) throws(IllegalEvent) -> Agenda {
        var agenda = Agenda(now: event.at, nextAction: nextAction)
        switch event.kind {
        case .started:
            guard case .waiting = state else { throw IllegalEvent(state: "\(state)", event: "started") }
            startedAt = event.at
            begin(&agenda)
        case .resumed: try resume(because: "its process ended before the run did", &agenda)
        case .fenced(let other): fence(by: other, &agenda)
        case .interrupted(let number): try interrupt(number, &agenda)
        case .answered(let action, let answer):
            if needsClaim, signal == nil, case .held = claim.state, !claim.isLive(at: event.at) {
                // It slept, or the platform was gone, for so long that the app may be another's by now.
                salvage(action, answer, &agenda)
                try resume(because: "the run stood still for longer than its leases lived", &agenda)
            } else {
                try route(action, answer, &agenda)
            }
        }
        try follow(&agenda)
        announceWaiting(&agenda)
        askForApproval(&agenda)
        if let end = claim.innerEnd { agenda.shortenLeases(to: end, except: claim.machines) }
        for action in agenda.actions {
            if case .platform(.acquireLease(let machine, _)) = action.effect { acquisitions[action.id] = machine }
        }
        nextAction = agenda.nextAction
        return agenda
    }

    private mutating func route(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard action.value < nextAction else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action), which was never asked")
        }
        let leased = acquisitions.removeValue(forKey: action)
        if claim.awaits(action) {
            try claim.handle(action, answer, &agenda)
            if needsClaim, signal == nil, case .lost(let reason) = claim.state { try resume(because: reason, &agenda) }
            return
        }
        // An answer nobody waits for any more (a cancelled wait, a stage that was stopped) changes nothing.
        switch state {
        case .preValidation where preValidation.awaits(action): try preValidation.handle(action, answer, &agenda)
        case .diagnosing where diagnosis?.awaits(action) == true: try diagnosis?.handle(action, answer, &agenda)
        case .confirming where confirmation?.awaits(action) == true:
            try confirmation?.handle(action, answer, &agenda)
        case .window where windowGate.awaits(action): try windowGate.handle(action, answer, &agenda)
        case .build where build.awaits(action): try build.handle(action, answer)
        case .deploy where deploy?.awaits(action) == true:
            try deploy?.handle(action, answer, &agenda)
            for (machine, lease) in (deploy?.takeKeptLeases() ?? [:]).sorted(by: { $0.key < $1.key }) {
                claim.adopt(machine, lease, &agenda)
            }
            if state == .deploy, signal == nil, deploy?.rollout?.wasUnheld == true {
                // What was nobody's for a while may be somebody else's work by now.
                try resume(because: "the answer to the creation of the app's first machine was lost", &agenda)
            }
        case .verify where verify?.awaits(action) == true: try verify?.handle(action, answer, &agenda)
        case .rollback where rollback?.awaits(action) == true: try rollback?.handle(action, answer, &agenda)
        case .settling where settling.contains(action): settled(action, answer, &agenda)
        case .reaping where reaping?.awaits(action) == true: try reaping?.handle(action, answer, &agenda)
        case .leaving where action == leaveBy: leaveBy = nil
        case .notify where notify.awaits(action): try notify.handle(action, answer, &agenda)
        case .waiting, .preValidation, .diagnosing, .window, .build, .claiming, .confirming, .deploy, .verify,
            .rollback, .settling,
            .reaping, .leaving, .notify, .finished:
            // A lease that nobody waits for any more keeps everybody from the machine, the run itself as well.
            switch answer {
            case .lease(let lease): giveBack(lease, of: leased, &agenda)
            case .created(let machine, let lease?): giveBack(lease, of: machine.id, &agenda)
            // Opened while the run went on after a sleep: nobody else knows of it.
            case .platformRelease(let id, _) where id != deploy?.release?.platformID:
                agenda.performAndForget(.platform(call: .finishRelease(id: id, status: "interrupted")))
            default: break
            }
        }
    }

    /// Takes from an answer that comes too late to go on with what must not be lost: what was opened or leased.
    private mutating func salvage(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) {
        let leased = acquisitions.removeValue(forKey: action)
        switch answer {
        case .lease(let lease): giveBack(lease, of: leased, &agenda)
        case .created(let machine, let lease?): giveBack(lease, of: machine.id, &agenda)
        case .platformRelease: deploy?.learn(action, answer, at: agenda.now)
        default: break
        }
    }

    private func giveBack(_ lease: Lease, of machine: MachineID?, _ agenda: inout Agenda) {
        guard let machine else { return }
        agenda.performAndForget(.platform(call: .releaseLease(machine: machine, nonce: lease.nonce)))
    }

    private mutating func begin(_ agenda: inout Agenda) {
        open(.preValidation, &agenda)
        if request.kind == .recover {
            diagnose(&agenda)
        } else {
            state = .preValidation
            preValidation.begin(&agenda)
        }
    }

    /// Stop, make safe, and say what state things are in.
    private mutating func interrupt(_ number: Int32, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard signal == nil else { return }  // a second signal changes nothing: the first is being obeyed
        signal = number
        agenda.note(.warning(text: "interrupted: making safe"))
        switch state {
        case .waiting: end(.interrupted, "interrupted before it began", &agenda)
        case .preValidation: preValidation.stop()
        case .diagnosing: diagnosis?.stop()
        case .claiming where ending != nil, .confirming where ending != nil: endStands(with: "interrupted", &agenda)
        case .claiming, .confirming: stopped(runningStage, changed: changedByDeploy, &agenda)
        case .window: windowGate.stop()
        case .build: build.stop(&agenda)
        case .deploy: try deploy?.stop(&agenda)
        case .verify: verify?.stop()
        case .rollback: try rollback?.stop(&agenda)
        case .notify: notify.stop()
        case .reaping: reaping?.stop(&agenda)
        case .settling, .leaving, .finished: break
        }
    }

    /// Goes on as long as a stage has come to its end.
    private mutating func follow(_ agenda: inout Agenda) throws(IllegalEvent) {
        while true {
            let before = (state, intent)
            switch state {
            case .preValidation: afterPreValidation(&agenda)
            case .diagnosing: afterDiagnosis(&agenda)
            case .window: afterWindow(&agenda)
            case .build: afterBuild(&agenda)
            case .claiming: try afterClaiming(&agenda)
            case .confirming: try afterConfirming(&agenda)
            case .deploy: afterDeploy(&agenda)
            case .verify: afterVerify(&agenda)
            case .rollback: afterRollback(&agenda)
            case .settling: afterSettling(&agenda)
            case .reaping: afterReaping(&agenda)
            case .leaving: afterLeaving(&agenda)
            case .notify: afterNotify(&agenda)
            case .waiting, .finished: break
            }
            if state == before.0, intent == before.1 { return }
        }
    }
}
