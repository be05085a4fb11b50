// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a call is answered with.
package indirect enum WorldAnswer: Hashable, Sendable {
    /// Nothing but success.
    case done
    case app(WorldApp, machineCount: Int)
    case apps([WorldApp])
    case machine(WorldMachine, nonce: String?)
    case machines([WorldMachine])
    case started(previous: MachineState)
    case reached(state: MachineState, version: String, event: String)
    case versions([MachineVersion])
    case events([MachineEvent])
    /// `isNew` is false where a lease was only looked at.
    case lease(WorldLease, isNew: Bool)
    case metadata([String: String])
    /// The values are there only where they were asked for.
    case secrets([String: WorldApp.Secret], values: [String: String]?, version: Int)
    case release(WorldRelease, isNew: Bool)
    case releases([WorldRelease])
    case logs([LogRing.Line], next: Int)
    case failure(WorldFailure)
}

/// An error answer in the platform's shape.
package struct WorldFailure: Hashable, Sendable {
    /// The HTTP status.
    package var status: Int
    package var message: String
    /// `insufficient_capacity`, `name_taken`…; often absent.
    package var code: String?
    package var retryAfterSeconds: Int?

    package init(_ status: Int, _ message: String, code: String? = nil, retryAfterSeconds: Int? = nil) {
        self.status = status
        self.message = message
        self.code = code
        self.retryAfterSeconds = retryAfterSeconds
    }
}

/// An answer with how it travels.
package struct WorldResponse: Hashable, Sendable {
    /// What becomes of the answer on its way.
    package enum Delivery: Hashable, Sendable {
        case intact
        /// The connection ends; the caller can't know whether the call was applied.
        case lost
        case html(status: Int)
        case truncated
        case noise(bytes: Int)
    }

    package var answer: WorldAnswer
    package var delay: Duration
    package var delivery: Delivery

    package init(_ answer: WorldAnswer, delay: Duration = .zero, delivery: Delivery = .intact) {
        self.answer = answer
        self.delay = delay
        self.delivery = delivery
    }
}

/// What handling a request comes to.
package struct WorldOutcome: Hashable, Sendable {
    /// Nil where the answer is deferred: it comes as a `respond` effect.
    package var response: WorldResponse?
    package var effects: [WorldEffect]
}

/// A guest to start.
package struct GuestOrder: Hashable, Sendable {
    package var app: String
    package var machine: String
    package var instance: String
    /// Goes back with every news of this guest.
    package var boot: Int
    package var image: String
    package var imageDigest: String?
    package var config: MachineConfig
    package var environment: [String: String]
}

/// What the driver of the world has to do.
package enum WorldEffect: Hashable, Sendable {
    case respond(to: UInt64, WorldResponse)
    indirect case startGuest(GuestOrder)
    case stopGuest(machine: String, boot: Int, signal: String, timeout: Duration)
    case signalGuest(machine: String, signal: String)
    case killGuest(machine: String)
    case beginChecks(machine: String, boot: Int, [CheckDefinition])
    case endChecks(machine: String)
    /// Nothing of the machine is needed any more.
    case forgetMachine(String)
    /// Apply `woke` at this time, or soon after.
    case wakeAt(Timestamp)
}

/// What happens to the world from outside the API.
package enum WorldEvent: Hashable, Sendable {
    case guestStarted(machine: String, boot: Int, imageDigest: String?)
    case guestFailedToStart(machine: String, boot: Int, reason: String)
    case guestExited(machine: String, boot: Int, code: Int32, signal: Int32?, isOutOfMemory: Bool)
    case guestLogged(machine: String, line: String, isError: Bool)
    case checkReported(machine: String, boot: Int, name: String, standing: CheckResult.Standing, output: String)
    case hostChanged(machine: String, status: String)
    /// A request of an app's user came, and no machine takes it.
    case visitorWaits(app: String)
    /// A request of an app's user reached a machine.
    case visitBegan(machine: String)
    case visitEnded(machine: String)
    /// The caller of a deferred answer went away.
    case callerLeft(UInt64)
    case woke
    /// The platform itself was started again: no guest runs, no caller waits.
    case resumed
}
