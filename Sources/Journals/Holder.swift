// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// The process that works on a run, precise enough to tell later whether it still exists.
package struct Holder: Hashable, Codable, Sendable {
    /// The machine's name, for people; two machines may share one.
    package var host: String
    /// The kernel's id of this boot; empty where it cannot be read.
    package var bootID: String
    /// The namespace in which `processID` means something; containers of one machine have different ones.
    package var processNamespace: String
    package var processID: Int32
    /// When the process started, in clock ticks since boot: an id that was given out again belongs to another process.
    package var processStart: UInt64
    package var startedAt: Timestamp

    package init(
        host: String, bootID: String, processNamespace: String, processID: Int32, processStart: UInt64,
        startedAt: Timestamp
    ) {
        self.host = host
        self.bootID = bootID
        self.processNamespace = processNamespace
        self.processID = processID
        self.processStart = processStart
        self.startedAt = startedAt
    }

    /// Describes a process of this machine, by default the calling one, from `/proc` (proc(5)).
    package static func process(_ id: Int32 = ProcessInfo.processInfo.processIdentifier, at now: Timestamp) -> Holder {
        Holder(
            host: line("/proc/sys/kernel/hostname") ?? "",
            bootID: line("/proc/sys/kernel/random/boot_id") ?? "",
            processNamespace: link("/proc/self/ns/pid") ?? "",
            processID: id,
            processStart: status(of: id)?.start ?? 0,
            startedAt: now
        )
    }

    /// Whether both mean one process; when each was described does not matter.
    package func isSameProcess(as other: Holder) -> Bool {
        var copy = other
        copy.startedAt = startedAt
        return copy == self && processStart != 0
    }

    package enum Liveness: Hashable, Sendable {
        case running
        case gone
        /// On another machine, in another container, or `/proc` does not say.
        case unknown
    }

    /// Whether the process still exists, as far as `here`, a process of this machine, can see.
    package func liveness(seenFrom here: Holder) -> Liveness {
        guard !bootID.isEmpty, bootID == here.bootID, !processNamespace.isEmpty,
            processNamespace == here.processNamespace, here.processStart != 0, processStart != 0
        else { return .unknown }
        guard let status = Holder.status(of: processID), status.start == processStart else { return .gone }
        // A zombie has ended; only its exit code is still to be fetched.
        return status.letter == "Z" || status.letter == "X" ? .gone : .running
    }

    /// State and start time of a process: fields 3 and 22 of `/proc/PID/stat`. Field 2, the command's name, may contain
    /// anything, so that what follows is counted from its last parenthesis.
    private static func status(of id: Int32) -> (letter: Character, start: UInt64)? {
        guard let text = line("/proc/\(id)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let letter = fields[0].first, let start = UInt64(fields[19]) else { return nil }
        return (letter, start)
    }

    private static func line(_ path: String) -> String? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        let text = String(decoding: data, as: UTF8.self)
        return text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    private static func link(_ path: String) -> String? {
        // Without /proc the namespace stays unknown, and only the heartbeat speaks for the process.
        try? FileManager.default.destinationOfSymbolicLink(atPath: path)
    }
}
