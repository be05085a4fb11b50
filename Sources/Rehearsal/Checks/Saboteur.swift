// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import Rollouts
internal import Stages

/// A bug put into a run on purpose, so that the checks can be checked: each must be caught, by name.
package enum Saboteur: String, Hashable, Codable, Sendable, CaseIterable {
    /// A machine is destroyed as soon as it is healthy.
    case reapsHealthyMachines = "reaps-healthy-machines"
    /// An old machine is destroyed while the new one does not serve yet.
    case deletesBeforeTrafficMoved = "deletes-before-traffic-moved"
    /// A run that goes on takes another's finished steps for its own.
    case inheritsFinishedSteps = "inherits-finished-steps"
    /// A create whose answer was lost is sent again at once.
    case repeatsCreateBlindly = "repeats-create-blindly"
    /// A create that is sent again gets another name, so that both can happen.
    case repeatsCreateUnderNewName = "repeats-create-under-new-name"
    /// An update whose answer was lost is sent again at once.
    case repeatsUpdateBlindly = "repeats-update-blindly"
    /// A lease is released that somebody else holds.
    case releasesOthersLease = "releases-others-lease"
    /// A machine is changed without its lease.
    case changesWithoutLease = "changes-without-lease"
    /// A wait names no version.
    case waitsWithoutVersion = "waits-without-version"
    /// A wait names the version that was there before.
    case waitsForOldVersion = "waits-for-old-version"
    /// An empty list is taken for an app that was never deployed.
    case takesEmptyListForFirstDeploy = "takes-empty-list-for-first-deploy"
    /// People are told before the ledger is.
    case tellsBeforeRecording = "tells-before-recording"
    /// Nobody is told.
    case tellsNobody = "tells-nobody"
    /// It goes back to a release that failed.
    case goesBackToUnverified = "goes-back-to-unverified"
    /// All machines are changed at once.
    case ignoresServingFloor = "ignores-serving-floor"
    /// A machine that is not Airboss's is changed like the others.
    case changesUnmanaged = "changes-unmanaged"
    /// Leases are not released.
    case keepsLeases = "keeps-leases"
    /// The platform's release record stays open.
    case leavesReleaseOpen = "leaves-release-open"
    /// The end is written twice.
    case endsTwice = "ends-twice"
    /// Effects come before their event is kept.
    case actsBeforeKeeping = "acts-before-keeping"
    /// It says verified though a machine was forgotten.
    case claimsSuccess = "claims-success"
    /// The last event of the journal is lost.
    case losesLastEvent = "loses-last-event"
    /// An answer is never handed on.
    case swallowsAnswer = "swallows-answer"
    /// It begins though another run has the app, and takes the other's leases for its own.
    case ignoresHold = "ignores-hold"
    /// One run sees no tickets, and another sees one that does not exist.
    case garblesLine = "garbles-line"

    /// The check that must catch it.
    package var caughtBy: CheckName {
        switch self {
        case .reapsHealthyMachines: .nothingForeignDestroyed
        case .deletesBeforeTrafficMoved, .ignoresServingFloor: .servingFloor
        case .inheritsFinishedSteps, .losesLastEvent: .replay
        case .repeatsCreateBlindly, .repeatsCreateUnderNewName, .repeatsUpdateBlindly: .noBlindRepeat
        case .releasesOthersLease: .ownLease
        case .changesWithoutLease: .liveLease
        case .waitsWithoutVersion, .waitsForOldVersion: .waitNamesVersion
        case .takesEmptyListForFirstDeploy: .emptyListIsNoFirstDeploy
        case .tellsBeforeRecording, .tellsNobody: .noticeAfterRecord
        case .goesBackToUnverified: .rollbackTarget
        case .changesUnmanaged: .unmanagedUntouched
        case .keepsLeases: .leasesEnd
        case .leavesReleaseOpen: .releaseClosed
        case .endsTwice: .oneTerminalRecord
        case .actsBeforeKeeping: .intentBeforeEffect
        case .claimsSuccess: .honestOutcome
        case .swallowsAnswer: .termination
        case .ignoresHold: .oneActiveRun
        case .garblesLine: .lineOrder
        }
    }

    /// A scenario in which the bug shows, and what has to happen in it for that.
    package var stage: (scenario: Scenario, plan: RehearsalPlan) {
        switch self {
        case .deletesBeforeTrafficMoved:
            var scenario = Scenario.rolling
            scenario.settings.servingFloor = 2
            return (scenario, RehearsalPlan())
        case .inheritsFinishedSteps:
            var scenario = Scenario.rolling
            scenario.followUps = [.deploy]
            let death = Disturbance.kill(process: 1, effect: 10, point: .beforeSent, recovery: Recovery(.warm))
            return (scenario, RehearsalPlan(disturbances: [death]))
        case .losesLastEvent:
            let death = Disturbance.kill(process: 0, effect: 20, point: .beforeSent, recovery: Recovery(.warm))
            return (.rolling, RehearsalPlan(disturbances: [death]))
        case .repeatsCreateBlindly, .repeatsCreateUnderNewName:
            return (.firstDeploy, RehearsalPlan())
        case .goesBackToUnverified:
            return (.failingVerify, RehearsalPlan())
        case .changesUnmanaged:
            return (.mixedFleet, RehearsalPlan())
        case .ignoresHold:
            return (.sharedStore, RehearsalPlan())
        case .garblesLine:
            return (.waitingLine, RehearsalPlan())
        case .ignoresServingFloor, .reapsHealthyMachines, .releasesOthersLease, .changesWithoutLease,
            .repeatsUpdateBlindly, .waitsWithoutVersion, .waitsForOldVersion, .takesEmptyListForFirstDeploy,
            .tellsBeforeRecording,
            .tellsNobody, .keepsLeases, .leavesReleaseOpen, .endsTwice, .actsBeforeKeeping, .claimsSuccess,
            .swallowsAnswer:
            return (.rolling, RehearsalPlan())
        }
    }
}
