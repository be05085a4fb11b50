// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import Glibc
internal import Model

/// The file that becomes the summary of a GitHub Actions job.
enum StepSummary {
    /// GitHub drops a summary longer than this; what is in the file already counts too. Source: GitHub Actions,
    /// "Workflow commands", step isolation and limits.
    static let maxFileBytes = 1024 * 1024

    private static let queue = DispatchQueue(label: "airboss.summary")

    /// Appends in one write, on a queue of its own; returns why not.
    static func append(_ markdown: String, to path: String) async -> Failure? {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: write(markdown, path)) }
        }
    }

    private static func write(_ markdown: String, _ path: String) -> Failure? {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o644)
        guard descriptor >= 0 else { return failure("opened") }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return failure("read") }
        let before = Int(information.st_size)
        // What stands there may not end its line.
        let bytes = Array(((before > 0 ? "\n\n" : "") + markdown).utf8)
        guard before + bytes.count <= maxFileBytes else {
            return Failure(.refused, "The step summary is full (\(maxFileBytes) bytes)")
        }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return failure("written") }
            written += count
        }
        return nil
    }

    private static func failure(_ what: String) -> Failure {
        Failure(.refused, "The step summary cannot be \(what): " + String(cString: strerror(errno)))
    }
}
