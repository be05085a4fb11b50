// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

extension ModelCheck {
    /// What must hold in every situation.
    package enum Law: String, Codable, Sendable, CaseIterable {
        /// A machine is changed only under its live lease and at the version that was expected.
        case fencing
        /// A change that was acknowledged is replaced only by somebody who saw it.
        case noLostUpdate
        /// Two participants never both believe in a live lease of one machine.
        case oneHolder
        /// Who was told that a lease is lost sends no update under it.
        case lostMeansLost
        /// An update never leaves fewer healthy machines than the floor.
        case servingFloor
        /// One intent makes one machine.
        case oneMachinePerIntent
        /// Nothing is destroyed that no run created.
        case destroysOnlyItsOwn
        /// Who has finished holds no lease that it knows of, and asks for none.
        case finishedHoldsNothing
        /// A success is what stands there; what is said to be unchanged never changes.
        case honestEnd
        /// Two runs never change an app in turns.
        case oneRunPerApp
        /// Whatever the platform answers can follow.
        case everyAnswerFits
        /// Somebody who has not finished always has something that can happen next.
        case noDeadlock
        /// No way goes round in a circle, so that every way has an end.
        case everyWayEnds

        /// The law as a sentence.
        package var text: String {
            switch self {
            case .fencing: "a machine is changed only under its live lease and at the version that was expected"
            case .noLostUpdate: "an acknowledged change is replaced only by somebody who saw it"
            case .oneHolder: "two runs never both believe in a live lease of one machine"
            case .lostMeansLost: "who was told that a lease is lost sends no update under it"
            case .servingFloor: "an update never leaves fewer healthy machines than the floor"
            case .oneMachinePerIntent: "one intent makes one machine"
            case .destroysOnlyItsOwn: "nothing is destroyed that no run created"
            case .finishedHoldsNothing: "who has finished holds no lease that it knows of"
            case .honestEnd: "what is claimed at the end is so, and stays so"
            case .oneRunPerApp: "two runs never change an app in turns"
            case .everyAnswerFits: "whatever the platform answers can follow"
            case .noDeadlock: "who has not finished always has something that can happen next"
            case .everyWayEnds: "every way has an end"
            }
        }
    }
}

/// A law that a step has broken.
struct BrokenLaw: Sendable {
    var law: ModelCheck.Law
    /// What happened, in a sentence without its subject's name.
    var what: String

    init(_ law: ModelCheck.Law, _ what: String) {
        self.law = law
        self.what = what
    }

    static let deadlock = BrokenLaw(.noDeadlock, "somebody has not finished, and nothing can happen any more")
}
