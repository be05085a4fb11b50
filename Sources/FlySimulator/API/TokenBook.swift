// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Synchronization

/// The tokens the platform accepts; may be changed while the simulator runs.
final class TokenBook: Sendable {
    private struct State {
        /// The organisations of each token, none meaning all; nil accepts any token that is not revoked.
        var known: [String: Set<String>]?
        var revoked: Set<String> = []
    }

    private let state: Mutex<State>

    init(_ known: [String: Set<String>]?) {
        state = Mutex(State(known: known))
    }

    enum Standing: Hashable, Sendable {
        case refused
        /// Good for these organisations; nil is all of them.
        case accepted(organizations: Set<String>?)
    }

    /// What a list of tokens may do together.
    func standing(of tokens: [String]) -> Standing {
        state.withLock { state in
            let good = tokens.filter { !state.revoked.contains($0) }
            guard !good.isEmpty else { return .refused }
            guard let known = state.known else { return .accepted(organizations: nil) }
            let found = good.compactMap { known[$0] }
            guard !found.isEmpty else { return .refused }
            if found.contains(where: \.isEmpty) { return .accepted(organizations: nil) }
            return .accepted(organizations: found.reduce(into: []) { $0.formUnion($1) })
        }
    }

    /// Accepts a token, also one that was revoked; where any token was good, any other still is.
    func add(_ token: String, organizations: Set<String>) {
        state.withLock { state in
            state.revoked.remove(token)
            state.known?[token] = organizations
        }
    }

    /// Refuses a token from now on.
    func revoke(_ token: String) {
        state.withLock { state in
            state.known?[token] = nil
            state.revoked.insert(token)
        }
    }

    /// Accepts exactly these; nil accepts any.
    func replace(_ known: [String: Set<String>]?) {
        state.withLock { $0 = State(known: known) }
    }

    /// How many are known, nil where any is good, and how many are revoked: the tokens themselves are secrets.
    var counts: (known: Int?, revoked: Int) {
        state.withLock { ($0.known?.count, $0.revoked.count) }
    }
}
