// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What went wrong between here and the server.
struct PostgresFailure: Error {
    enum Kind: Hashable {
        /// No connection could be made; `isFinal` where trying again would not help.
        case connecting(isFinal: Bool)
        /// The connection broke, or the server stopped answering: what was under way may have happened or not.
        case lost
        /// The server refused, with the standard's error code; nothing of the transaction happened.
        case refused(state: String)
    }

    var kind: Kind
    /// For people, redacted, without a full stop.
    var message: String

    /// Whether the same transaction may succeed when it is run again.
    var isTransient: Bool {
        switch kind {
        case .connecting(let isFinal): return !isFinal
        case .lost: return true
        case .refused(let state):
            // 40001: not to be put in order with others; 40P01: a deadlock.
            return state == "40001" || state == "40P01" || isConnectionLost
        }
    }

    /// Whether the connection is of no use any more.
    var isConnectionLost: Bool {
        switch kind {
        case .connecting, .lost: return true
        case .refused(let state):
            // 08: connection exceptions, also of poolers. 53300: too many connections. 57P0…: the server goes down,
            // went down, or is not up yet; 57P05: it closed an idle connection. 25P03: it ended an idle transaction.
            return state.hasPrefix("08") || state == "53300" || state.hasPrefix("57P0") || state == "25P03"
        }
    }

    /// The same as callers of a store are told it.
    func explained(_ place: String) -> StateError {
        switch kind {
        case .connecting, .lost: return StateError(.cannotOpen, store: place, detail: message)
        case .refused(let state): return StateError(PostgresFailure.code(state), store: place, detail: message)
        }
    }

    /// The codes of postgresql.org/docs/current/errcodes-appendix.html that mean something to callers.
    private static func code(_ state: String) -> StateError.Code {
        switch state {
        case "40001", "40P01", "55P03", "57014": .locked
        case "25006", "42501": .readOnly
        case "53100": .diskFull
        case "XX001", "XX002": .corrupt
        // Tables or columns that the version says are there are not.
        case "3F000", "42P01", "42703": .corrupt
        case _ where state.hasPrefix("08") || state.hasPrefix("28") || state.hasPrefix("53") || state.hasPrefix("57P"):
            .cannotOpen
        default: .failed
        }
    }
}
