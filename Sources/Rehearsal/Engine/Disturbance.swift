// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Something that goes wrong in a rehearsal, and where.
///
/// Processes are numbered in the order of their starts (0 is the run itself); effects and platform calls count within
/// one process. A disturbance whose place never comes does nothing.
package enum Disturbance: Hashable, Codable, Sendable {
    /// The n-th platform call of a process, from 0.
    case call(process: Int, call: Int, fault: CallFault)
    /// The process dies at its n-th effect, and what follows it.
    case kill(process: Int, effect: Int, point: KillPoint, recovery: Recovery)
    /// A signal arrives with the n-th effect.
    case signal(process: Int, effect: Int, number: Int32)
    /// The process stops at its n-th effect, as with SIGSTOP; what came meanwhile comes at once when it goes on.
    case sleep(process: Int, effect: Int, milliseconds: Int, recovery: Recovery?)
    /// From its n-th effect on the platform does not accept the process's token.
    case tokenRevoked(process: Int, effect: Int)
    /// The machine with this place in the fleet has a host that can't be reached.
    case hostAway(machine: Int, fromMilliseconds: Int, forMilliseconds: Int)
    /// The process of the machine exits by itself.
    case machineExit(machine: Int, atMilliseconds: Int)
    /// The platform stops the machine for want of traffic.
    case machineStop(machine: Int, atMilliseconds: Int)
    /// Every call is answered 503.
    case outage(fromMilliseconds: Int, forMilliseconds: Int)
    /// The registry gives out no image.
    case registryAway(fromMilliseconds: Int, forMilliseconds: Int)
    /// The app's address answers 503 though its machines are well.
    case badProbes(fromMilliseconds: Int, forMilliseconds: Int)
    /// Everything boots slower than it should.
    case slowBoots(fromMilliseconds: Int, forMilliseconds: Int, extraMilliseconds: Int)
}

/// What becomes of one platform call.
package enum CallFault: Hashable, Codable, Sendable {
    /// It never arrives, and its sender learns nothing.
    case lostBefore(noticedMilliseconds: Int, isGivenUp: Bool)
    /// It is done, and the answer is lost.
    case lostAfter(noticedMilliseconds: Int, isGivenUp: Bool)
    /// It arrives long after its sender gave it up.
    case late(noticedMilliseconds: Int, arrivesMilliseconds: Int)
    /// It arrives twice; the second answer is the one that counts, or the first.
    case duplicated(afterMilliseconds: Int, isSecondAnswered: Bool)
    /// 503, and nothing was done.
    case serverError(isGivenUp: Bool)
    /// 502 from a proxy, though it was done.
    case serverErrorAfter(isGivenUp: Bool)
    /// Done; the answer is a page of HTML.
    case malformed
    /// Done and answered, but late.
    case slow(milliseconds: Int)
    /// There is no room for the machine.
    case capacity
    /// 429, and to come again after this many seconds.
    case rateLimited(seconds: Int)
    /// A list as it was so long ago.
    case stale(milliseconds: Int)
}

/// Where in an effect a process dies.
package enum KillPoint: String, Hashable, Codable, Sendable, CaseIterable {
    /// Its event is in the journal, and nothing was sent yet.
    case beforeSent = "before it is sent"
    /// What was asked for has happened, and the answer found nobody.
    case afterApplied = "applied, the answer lost"
    /// The answer was there, and is not in the journal.
    case beforeJournaled = "answered, not journaled"
}

/// How somebody goes on after a process died.
package struct Recovery: Hashable, Codable, Sendable {
    package enum Kind: String, Hashable, Codable, Sendable, CaseIterable {
        /// From the journal, under the same run.
        case warm
        /// The journal and the ledger are lost; all there is, is the platform.
        case cold
    }

    package var kind: Kind
    /// From the death to the new process.
    package var pauseMilliseconds: Int

    package init(_ kind: Kind, pauseMilliseconds: Int = 2000) {
        self.kind = kind
        self.pauseMilliseconds = pauseMilliseconds
    }
}
