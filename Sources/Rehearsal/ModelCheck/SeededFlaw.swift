// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// A bug put around a machine's decisions, to prove that the model check would find it in them.
package enum SeededFlaw: String, Codable, Sendable, CaseIterable {
    /// An update that got no answer is taken for one that did not happen.
    case skipsTheLook
    /// Changes machines without showing a lease, whoever holds it.
    case ignoresTheLease
    /// Changes whatever version stands there.
    case ignoresTheVersion
    /// Goes on as if the lease had been prolonged.
    case proceedsAfterLostRefresh
    /// Ends without giving its lease back.
    case keepsTheLease
    /// A create that got no answer is sent again under another name.
    case repeatsTheCreate

    /// What the bug does, in a sentence.
    package var text: String {
        switch self {
        case .skipsTheLook: "an update that got no answer is taken for one that did not happen"
        case .ignoresTheLease: "machines are changed without showing a lease"
        case .ignoresTheVersion: "machines are changed whatever version stands there"
        case .proceedsAfterLostRefresh: "a refused refresh is taken for a lease that was prolonged"
        case .keepsTheLease: "the lease is never given back"
        case .repeatsTheCreate: "a create that got no answer is sent again under another name"
        }
    }

    /// What becomes of an answer on its way to the machine.
    enum Heard {
        case answer(Answer)
        /// The machine hears nothing; the call is made instead, for the same action.
        case instead(PlatformCall)
    }

    func heard(_ answer: Answer, to call: PlatformCall, at now: Timestamp) -> Heard {
        guard case .failed(var failure) = answer else { return .answer(answer) }
        switch (self, call) {
        case (.skipsTheLook, .update):
            failure.isAmbiguous = false
            return .answer(.failed(failure: failure))
        case (.ignoresTheLease, .acquireLease) where failure.code == .leaseHeld:
            return .answer(.lease(lease: Lease(nonce: "", expiresAt: now + MachineChange.leaseTimeToLive)))
        case (.proceedsAfterLostRefresh, .refreshLease(_, let nonce, _)):
            return .answer(.lease(lease: Lease(nonce: nonce, expiresAt: now + MachineChange.leaseTimeToLive)))
        case (.repeatsTheCreate, .create(let name, let region, let config, let skipLaunch, let seconds))
        where failure.isAmbiguous:
            return .instead(
                .create(
                    name: name + "-again", region: region, config: config, skipLaunch: skipLaunch, leaseSeconds: seconds
                ))
        case (.skipsTheLook, _), (.ignoresTheLease, _), (.proceedsAfterLostRefresh, _), (.repeatsTheCreate, _),
            (.ignoresTheVersion, _), (.keepsTheLease, _):
            return .answer(answer)
        }
    }

    /// What is sent in place of a call; nil where it is not sent and counts as done.
    func sent(_ call: PlatformCall) -> PlatformCall? {
        switch (self, call) {
        case (.ignoresTheLease, .update(let id, let config, let version, _, let skipLaunch)):
            .update(machine: id, config: config, currentVersion: version, nonce: "", skipLaunch: skipLaunch)
        case (.ignoresTheVersion, .update(let id, let config, _, let nonce, let skipLaunch)):
            .update(machine: id, config: config, currentVersion: "", nonce: nonce, skipLaunch: skipLaunch)
        case (.keepsTheLease, .releaseLease): nil
        case (.skipsTheLook, _), (.ignoresTheLease, _), (.proceedsAfterLostRefresh, _), (.repeatsTheCreate, _),
            (.ignoresTheVersion, _), (.keepsTheLease, _):
            call
        }
    }
}
