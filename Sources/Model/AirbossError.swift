// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// How an airboss process ends. Part of the contract.
package enum ExitCode: Int32, Codable, Sendable {
    /// Deployed and verified, or the query answered.
    case verified = 0
    /// Failed, rolled back, and the rollback verified.
    case rolledBack = 10
    /// Failed, and a person is needed.
    case needsHuman = 11
    /// Refused by a gate, the window or an approval.
    case refused = 12
    /// Another run holds the app.
    case busy = 13
    case usage = 64
    /// The platform, or the state store, is unavailable; nothing changed.
    case unavailable = 69
    /// A pipeline file or fly.toml is invalid.
    case invalidConfiguration = 78
    /// SIGINT, after making safe.
    case interrupted = 130
    /// SIGTERM, after making safe.
    case terminated = 143
}

/// What stops a command: a code from which the exit code follows, what happened, why, and what to do next.
package struct AirbossError: Error, Hashable, Sendable {
    package enum Code: String, Codable, Sendable, CaseIterable {
        case usage
        case configuration
        case refused
        case busy
        case unavailable
        case needsHuman
        case interrupted
        /// Interrupted by SIGTERM.
        case terminated

        package var exitCode: ExitCode {
            switch self {
            case .usage: .usage
            case .configuration: .invalidConfiguration
            case .refused: .refused
            case .busy: .busy
            case .unavailable: .unavailable
            case .needsHuman: .needsHuman
            case .interrupted: .interrupted
            case .terminated: .terminated
            }
        }
    }

    package var code: Code
    /// What happened, in one sentence without a full stop at its end.
    package var message: String
    /// What a person can do about it; empty where nothing sensible can be said.
    package var hint: String
    /// Where in a file it is, as `path:line:column`; empty where it is in no file.
    package var location: String

    package init(_ code: Code, _ message: String, hint: String = "", location: String = "") {
        self.code = code
        self.message = message
        self.hint = hint
        self.location = location
    }
}

extension AirbossError: CustomStringConvertible {
    package var description: String {
        (location.isEmpty ? "" : location + ": ") + message + (hint.isEmpty ? "" : "\n  " + hint)
    }
}
