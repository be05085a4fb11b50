// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Why the state store could not do what was asked.
package struct StateError: Error, Hashable, Sendable {
    package enum Code: Hashable, Sendable {
        /// Another process kept the store locked for longer than the store waits.
        case locked
        case readOnly
        /// Written by a later Airboss; the numbers are schema versions.
        case newerVersion(found: Int, supported: Int)
        /// Written by an earlier Airboss and only to be looked at; the numbers are schema versions, 0 where nothing is
        /// there yet.
        case olderVersion(found: Int, supported: Int)
        /// A URL with a scheme no store has.
        case unknownKind
        /// A database of another program, or no database at all.
        case notOurs
        case corrupt
        case diskFull
        case cannotOpen
        /// A server that is not shown to be the one that was named.
        case untrustedServer
        case sequenceConflict(expected: Int64, found: Int64)
        case alreadyClosed(outcome: String)
        /// The app was taken from the run that wanted to write; who has it now, nil where nobody has.
        case fenced(holder: Hold?)
        /// A run is active that must end first.
        case active(holder: Hold)
        case unknownRun
        case ambiguousRun(matches: [RunID])
        case unknownRelease
        case unknownNotice
        /// The same id with other content.
        case conflict
        /// Anything else the database says.
        case failed
    }

    package var code: Code
    /// Where the store is: a path, or a URL without user information.
    package var store: String
    /// What is particular to this case; one sentence without a full stop, empty where the code says it all.
    package var detail: String

    package init(_ code: Code, store: String, detail: String = "") {
        self.code = code
        self.store = store
        self.detail = detail
    }
}

extension StateError: CustomStringConvertible {
    /// What happened, without a full stop at its end.
    package var message: String {
        let because = detail.isEmpty ? "" : ": " + detail
        return switch code {
        case .locked: "The state store \(store) is locked by another process" + because
        case .readOnly:
            isServer
                ? "The state store \(store) may not be used like this by the URL's user" + because
                : "The state store \(store) cannot be written" + because
        case .newerVersion(let found, let supported):
            "The state store \(store) was written by a later Airboss"
                + " (its schema is \(found), this one knows up to \(supported))"
        case .olderVersion(found: 0, _): "There is no Airboss state store at \(store) yet"
        case .olderVersion(let found, let supported):
            "The state store \(store) was written by an earlier Airboss"
                + " (its schema is \(found), this one needs \(supported))"
        case .unknownKind: "The state store “\(store)” is of no kind this version knows"
        case .notOurs: "\(store) is not an Airboss state store" + because
        case .corrupt: "The state store \(store) is damaged" + because
        case .diskFull: "There is no room left for the state store \(store)" + because
        case .cannotOpen: "The state store \(store) cannot be opened" + because
        case .untrustedServer: "The server of the state store \(store) is not shown to be the one named" + because
        case .sequenceConflict(let expected, let found):
            "Somebody else wrote to this run's journal: it ends at entry \(found), not \(expected)"
        case .alreadyClosed(let outcome):
            "The run has already ended with the outcome \(outcome)" + because
        case .fenced(let holder):
            "This process has lost the app: " + (holder.map(StateError.who) ?? "nobody has it now")
                + because
        case .active(let holder):
            "The app \(holder.app) is being worked on: \(StateError.who(holder))" + because
        case .unknownRun: "There is no such run in the state store \(store)" + because
        case .ambiguousRun(let matches):
            "Several runs begin like that: \(matches.map(\.rawValue).joined(separator: ", "))"
        case .unknownRelease: "There is no such release in the state store \(store)" + because
        case .unknownNotice: "There is no such notice in the state store \(store)" + because
        case .conflict: "The state store \(store) already holds something else under this id" + because
        case .failed: "The state store \(store) failed" + because
        }
    }

    /// Who has an app, since when, from where.
    private static func who(_ hold: Hold) -> String {
        "run \(hold.run) has it since \(hold.acquiredAt), from \(hold.holder.host)"
            + " (process \(hold.holder.processID))"
    }

    private var isServer: Bool { store.hasPrefix("postgres") }

    /// What a person can do about it.
    package var hint: String {
        switch code {
        case .locked: "Wait for the other process to finish, or end it, and run the command again."
        case .readOnly:
            isServer
                ? "Grant the user USAGE on the schema airboss, and SELECT, INSERT, UPDATE and DELETE on its tables (and"
                    + " CREATE on the database, where the store is still to be made), let the URL name the primary"
                    + " server where it names a standby, or name another store with --state."
                : "Give this user permission to write the file and its folder, or name another store with --state."
        case .newerVersion: "Use the Airboss that wrote it, or a later one; nothing was changed."
        case .olderVersion(found: 0, _): "Make it with airboss state migrate or a first deploy; nothing was changed."
        case .olderVersion: "Bring it up to date with airboss state migrate; nothing was changed."
        case .unknownKind: "Use sqlite:PATH or postgres://USER@HOST/DATABASE."
        case .notOurs:
            isServer
                ? "Check --state and AIRBOSS_STATE; nothing was changed. Airboss needs the schema airboss to itself."
                : "Check --state and AIRBOSS_STATE; nothing was changed. A new path gets a new store."
        case .corrupt:
            isServer
                ? "Nothing was changed. Restore the database from a backup, or name another store with --state and run"
                    + " airboss recover: the platform still knows what this run did."
                : "Nothing was changed. Copy the file aside with its -wal and -shm files, then restore a backup, or"
                    + " move it away and run airboss recover: the platform still knows what this run did."
        case .diskFull: "Free some space and run the command again; nothing of this step was recorded."
        case .cannotOpen:
            isServer
                ? "Check that the server runs and that the URL's host, database, user and password are right, or name"
                    + " another store with --state."
                : "Check that the path is a file in a folder this user may write, or name another with --state."
        case .untrustedServer:
            "Nothing was changed. Let the URL name the host that the server's certificate names, and the file of the"
                + " authority that issued it as sslrootcert=FILE."
        case .sequenceConflict: "Another process works on the same run; let it finish."
        case .fenced(let holder):
            "It was silent for too long and somebody else went on; nothing more of it was recorded."
                + (holder.map { " See airboss show \($0.run)." } ?? "")
        case .active(let holder): "Wait for it to end, or see what it does: airboss show \(holder.run)."
        case .alreadyClosed: "Look at it with airboss show; start a new run to try again."
        case .unknownRun: "List the runs with airboss runs."
        case .ambiguousRun: "Give more letters of the run's id."
        case .unknownRelease: "List the releases with airboss releases."
        case .unknownNotice, .conflict: ""
        case .failed: "Run the command again; if it fails again, report it with this message."
        }
    }

    /// The error as commands report it, with the exit code that follows.
    package var asAirbossError: AirbossError {
        let code: AirbossError.Code =
            switch code {
            case .sequenceConflict, .fenced, .active: .busy
            case .unknownRun, .ambiguousRun, .unknownRelease, .unknownKind: .usage
            case .locked, .readOnly, .newerVersion, .olderVersion, .notOurs, .corrupt, .diskFull, .cannotOpen,
                .untrustedServer:
                .unavailable
            case .alreadyClosed, .unknownNotice, .conflict, .failed: .unavailable
            }
        return AirbossError(code, message, hint: hint)
    }

    package var description: String {
        message + (hint.isEmpty ? "" : "\n  " + hint)
    }
}
