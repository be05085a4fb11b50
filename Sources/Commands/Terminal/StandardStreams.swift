// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Glibc

/// Standard output is for data, standard error for progress.
enum StandardStreams {
    static func output(_ text: String) { write(text, to: STDOUT_FILENO) }
    static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Whether standard error goes to a file, which keeps what is written.
    static var isErrorFile: Bool {
        var information = stat()
        return fstat(STDERR_FILENO, &information) != 0 || information.st_mode & S_IFMT == S_IFREG
    }

    static var isErrorTerminal: Bool { isatty(STDERR_FILENO) == 1 }
    static var isOutputTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                return  // whoever read this is gone; there is nobody to tell
            }
            bytes = bytes.dropFirst(count)
        }
    }
}
