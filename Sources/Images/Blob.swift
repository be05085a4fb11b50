// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
internal import Dispatch
package import FoundationEssentials
internal import Glibc
internal import Model

/// Some bytes of an image in a local file, named by their digest.
package struct Blob: Hashable, Sendable {
    package var path: String
    package var descriptor: Descriptor
}

/// A folder for what an image is assembled from; removed with everything in it when the last reference goes.
package final class WorkFolder: Sendable {
    package let path: String

    /// Throws ``ImageError`` (`fileFailed`).
    package init(inside parent: String = FileManager.default.temporaryDirectory.path) throws {
        path = parent + "/airboss-image-" + UUID().uuidString
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw ImageError(
                .fileFailed, "the temporary folder \(path) can't be made: \(error)",
                hint: "Set TMPDIR to a folder with room for the image.")
        }
    }

    deinit {
        // What can't be removed is left to whoever cleans the temporary folder: the image is done by now.
        try? FileManager.default.removeItem(atPath: path)
    }

    package func file(_ name: String) -> String {
        path + "/" + name
    }
}

/// Blocking work on files, off the cooperative thread pool.
enum FileWork {
    private static let queue = DispatchQueue(label: "airboss.images.files", attributes: .concurrent)

    static func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async {
                continuation.resume(with: Result(catching: work))
            }
        }
    }
}

/// A file being written from its start, with its digest computed on the way.
struct HashingFile: ~Copyable {
    /// Small writes are gathered up to this many bytes.
    static let bufferBytes = 256 * 1024

    private let path: String
    private let descriptor: Int32
    private var hasher = SHA256()
    private var buffer: [UInt8] = []
    private(set) var size: Int64 = 0

    init(path: String) throws(ImageError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        if descriptor < 0 { throw HashingFile.failure(path, errno) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    mutating func write(_ bytes: some Sequence<UInt8>) throws(ImageError) {
        let before = buffer.count
        buffer += bytes
        size += Int64(buffer.count - before)
        if buffer.count >= HashingFile.bufferBytes { try flush() }
    }

    /// The digest of everything written; nothing may be written after it.
    mutating func finish() throws(ImageError) -> ImageDigest {
        try flush()
        return ImageDigest(hexadecimalOf: hasher.finalize())
    }

    private mutating func flush() throws(ImageError) {
        hasher.update(data: buffer)
        var done = 0
        while done < buffer.count {
            let count = buffer.withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                throw HashingFile.failure(path, code)
            }
            done += count
        }
        buffer.removeAll(keepingCapacity: true)
    }

    private static func failure(_ path: String, _ code: Int32) -> ImageError {
        ImageError(
            .fileFailed, "\(path) can't be written: \(String(cString: strerror(code)))",
            hint: code == ENOSPC ? "Set TMPDIR to a folder with room for the image." : "")
    }
}

extension ImageDigest {
    init(hexadecimalOf digest: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        let text = digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        self.init("sha256:" + String(decoding: text, as: UTF8.self))
    }

    /// The digest of some bytes in memory.
    package init(of data: Data) {
        self.init(hexadecimalOf: SHA256.hash(data: data))
    }

    /// The digest and the size of a file, read piece by piece; blocks.
    static func ofFile(_ path: String) throws(ImageError) -> (digest: ImageDigest, size: Int64) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        func failure() -> ImageError {
            ImageError(.fileFailed, "\(path) can't be read: \(String(cString: strerror(errno)))")
        }
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var hasher = SHA256()
        var size: Int64 = 0
        var buffer = [UInt8](repeating: 0, count: HashingFile.bufferBytes)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure() }
            if count == 0 { return (ImageDigest(hexadecimalOf: hasher.finalize()), size) }
            buffer.withUnsafeBytes { hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            size += Int64(count)
        }
    }
}
