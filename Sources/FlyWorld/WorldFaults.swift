// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What the platform does wrong, as data: rules in order, the first that fits a call decides.
package struct WorldFaults: Hashable, Codable, Sendable {
    package var rules: [FaultRule]

    package init(rules: [FaultRule] = []) {
        self.rules = rules
    }

    /// The effect for this call, counting it against the rule that fits; nil where the call goes through.
    mutating func strike(_ request: WorldRequest) -> FaultRule.Effect? {
        for index in rules.indices where rules[index].fits(request) {
            if rules[index].skip > 0 {
                rules[index].skip -= 1
                continue
            }
            let effect = rules[index].effect
            if let count = rules[index].count {
                rules[index].count = count - 1
                if count <= 1 { rules.remove(at: index) }
            }
            return effect
        }
        return nil
    }
}

/// One fault: which calls it hits, and how.
package struct FaultRule: Hashable, Codable, Sendable {
    /// Nil fits every call.
    package var call: WorldCall.Kind?
    package var app: String?
    package var machine: String?
    /// Fitting calls that pass before the first one is hit.
    package var skip: Int
    /// Calls to hit; nil is all of them.
    package var count: Int?
    package var effect: Effect

    package enum Effect: Hashable, Codable, Sendable {
        /// Answered with an error, and nothing done.
        case refuse(status: Int, message: String, retryAfterSeconds: Int?)
        /// Done, but answered with an error.
        case refuseAfterApplying(status: Int, message: String)
        /// The connection ends without an answer, and nothing was done.
        case dropBeforeApplying
        /// The connection ends without an answer, but it was done.
        case dropAfterApplying
        /// Done and answered, but late.
        case delay(milliseconds: Int)
        /// Done, but answered with a page of HTML.
        case html(status: Int)
        /// Done; the answer's body ends half-way, its length header promising the whole.
        case truncate
        /// Done; the answer is this many bytes of noise.
        case noise(bytes: Int)
        /// Delivered twice, and so done twice where that is possible; answered with what came of the second delivery,
        /// or of the first. Waits are delivered once.
        case duplicate(answersSecond: Bool)
        /// Never answered, with the call applied or not; the connection stays open until the caller gives up.
        case hang(isApplied: Bool)
    }

    package init(
        call: WorldCall.Kind? = nil, app: String? = nil, machine: String? = nil, skip: Int = 0, count: Int? = 1,
        effect: Effect
    ) {
        self.call = call
        self.app = app
        self.machine = machine
        self.skip = skip
        self.count = count
        self.effect = effect
    }

    func fits(_ request: WorldRequest) -> Bool {
        (call == nil || call == request.call.kind)
            && (app == nil || app == request.app)
            && (machine == nil || machine == request.machine)
    }
}
