// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials

/// What a supervisor needs to run one guest; sent to it over its socket, because it holds secrets.
struct GuestPlan: Codable, Hashable, Sendable {
    struct Overlay: Codable, Hashable, Sendable {
        var lower: String
        var upper: String
        var work: String

        /// The options of mount(2); the escapes are those of the overlay's option parser.
        var options: String {
            func escaped(_ path: String) -> String {
                var text = ""
                for character in path {
                    if character == "\\" || character == ":" || character == "," { text.append("\\") }
                    text.append(character)
                }
                return text
            }
            return "lowerdir=\(escaped(lower)),upperdir=\(escaped(upper)),workdir=\(escaped(work))"
        }
    }

    struct File: Codable, Hashable, Sendable {
        var path: String
        var contents: Data
        var mode: UInt32
    }

    struct Volume: Codable, Hashable, Sendable {
        var source: String
        var target: String
    }

    struct Door: Codable, Hashable, Sendable {
        var port: Int
        var path: String
    }

    /// The folder that becomes the guest's root.
    var root: String
    /// Nil where `root` is a copy of the image already.
    var overlay: Overlay?
    var hostname: String
    var workingDirectory: String
    var arguments: [String]
    /// `NAME=value`.
    var environment: [String]
    var files: [File]
    var volumes: [Volume]
    /// Nil keeps root.
    var user: UInt32?
    var group: UInt32
    /// The Unix sockets that lead into the guest.
    var doors: [Door]
}

/// A request to a supervisor, one per line after the plan.
enum SupervisorCommand: Hashable, Sendable {
    case signal(Int32)
    /// The signal, then SIGKILL after so many milliseconds.
    case stop(Int32, milliseconds: Int64)
    case kill

    var line: String {
        switch self {
        case .signal(let number): "signal \(number)\n"
        case .stop(let number, let milliseconds): "stop \(number) \(milliseconds)\n"
        case .kill: "kill\n"
        }
    }

    init?(_ line: String) {
        let words = line.split(separator: " ")
        switch (words.first, words.count) {
        case ("signal", 2):
            guard let number = Int32(words[1]) else { return nil }
            self = .signal(number)
        case ("stop", 3):
            guard let number = Int32(words[1]), let milliseconds = Int64(words[2]) else { return nil }
            self = .stop(number, milliseconds: milliseconds)
        case ("kill", 1):
            self = .kill
        default:
            return nil
        }
    }
}

/// What a supervisor says, one per line.
enum SupervisorReport: Hashable, Sendable {
    case started
    case failed(String)
    case exited(code: Int32, signal: Int32)

    var line: String {
        switch self {
        case .started: "started\n"
        case .failed(let reason): "failed \(reason)\n"
        case .exited(let code, let signal): "exited \(code) \(signal)\n"
        }
    }

    init?(_ line: String) {
        let words = line.split(separator: " ", maxSplits: 2)
        switch (words.first, words.count) {
        case ("started", 1):
            self = .started
        case ("failed", _):
            self = .failed(String(line.dropFirst(7)))
        case ("exited", 3):
            guard let code = Int32(words[1]), let signal = Int32(words[2]) else { return nil }
            self = .exited(code: code, signal: signal)
        default:
            return nil
        }
    }
}
