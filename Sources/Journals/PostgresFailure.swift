// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What went wrong between here and the server.
struct PostgresFailure: Error {
    enum Kind: Hashable {
        /// No connection could be made; `isFinal` where trying again would not help.
        case connecting(isFinal: Bool)
        /// The server is not shown to be the one that the URL names, or it can't be spoken to in secret.
        case untrusted
        /// The server's disk is too full even for a connection.
        case full
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
        case .untrusted, .full: return false
        case .lost: return true
        case .refused(let state):
            // 40001: not to be put in order with others; 40P01: a deadlock.
            return state == "40001" || state == "40P01" || isConnectionLost
        }
    }

    /// Whether the connection is of no use any more.
    var isConnectionLost: Bool {
        switch kind {
        case .connecting, .untrusted, .full, .lost: return true
        case .refused(let state):
            // 08: connection exceptions, also of poolers. 53300: too many connections. 57P0…: the server goes down,
            // went down, or is not up yet; 57P05: it closed an idle connection. 25P03: it ended an idle transaction.
            return state.hasPrefix("08") || state == "53300" || state.hasPrefix("57P0") || state == "25P03"
        }
    }

    /// What a connection that could not be made says. libpq does not tell the error code, only the text.
    static func connecting(_ message: String, needsPassword: Bool) -> PostgresFailure {
        if needsPassword {
            return PostgresFailure(
                kind: .connecting(isFinal: true), message: "the server asks for a password and the URL has none")
        }
        func says(_ words: [String]) -> Bool { words.contains { message.contains($0) } }
        let kind: Kind =
            if says(["certificate", "does not support SSL"]), !says(["client certificate"]) {
                .untrusted
            } else if says(["No space left on device"]) {
                .full
            } else {
                // Whether trying again for some seconds has any sense.
                .connecting(
                    isFinal: says([
                        "password", "authentication", "pg_hba", "does not exist", "permission", "not found",
                        "certificate", "invalid",
                    ]))
            }
        return PostgresFailure(kind: kind, message: message)
    }

    /// The same as callers of a store are told it.
    func explained(_ place: String) -> StateError {
        switch kind {
        case .connecting, .lost: return StateError(.cannotOpen, store: place, detail: message)
        case .untrusted: return StateError(.untrustedServer, store: place, detail: message)
        case .full: return StateError(.diskFull, store: place, detail: message)
        case .refused(let state): return StateError(PostgresFailure.code(state), store: place, detail: message)
        }
    }

    /// The codes of postgresql.org/docs/current/errcodes-appendix.html that mean something to callers.
    private static func code(_ state: String) -> StateError.Code {
        switch state {
        case "40001", "40P01", "55P03", "57014": .locked
        // 0A000 is what a standby says to a transaction that is to write.
        case "25006", "42501", "0A000": .readOnly
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
