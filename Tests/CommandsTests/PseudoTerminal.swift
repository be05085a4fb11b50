// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc

/// A terminal without a window, and all that was written to it.
final class PseudoTerminal: Sendable {
    let path: String
    private let master: Int32
    private let reading: Task<String, any Error>
    /// Keeps the terminal open until everything was read.
    private let keeper: Int32

    init(columns: UInt16, rows: UInt16) throws {
        var (master, keeper): (Int32, Int32) = (-1, -1)
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        guard openpty(&master, &keeper, nil, nil, &size) == 0 else {
            throw Trouble("no pseudo-terminal: \(String(cString: strerror(errno)))")
        }
        for descriptor in [master, keeper] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        (self.master, self.keeper) = (master, keeper)
        path = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(keeper)")
        let source = master
        reading = Task {
            try await onThread {
                var bytes: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while true {
                    let count = read(source, &buffer, buffer.count)
                    // The terminal's other end is closed: an error on Linux, not an end.
                    guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
                    bytes += buffer[..<count]
                }
            }
        }
    }

    /// What was written, once whoever wrote it has ended.
    func everything() async throws -> String {
        close(keeper)
        return try await reading.value
    }

    deinit { close(master) }
}
