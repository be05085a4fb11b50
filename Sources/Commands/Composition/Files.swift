// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc
internal import Model

/// Reading a file that a person named.
enum TextFile {
    /// Larger files are none of ours.
    static let maxBytes = 1 << 30

    static func read(_ path: String) throws(AirbossError) -> String {
        String(decoding: try data(path), as: UTF8.self)
    }

    static func data(_ path: String) throws(AirbossError) -> Data {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw AirbossError(.usage, "\(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG,
            information.st_size <= off_t(maxBytes)
        else { throw AirbossError(.usage, "\(path) is not a file of at most \(maxBytes >> 20) MB") }
        var bytes = [UInt8](repeating: 0, count: Int(information.st_size))
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw AirbossError(.usage, "\(path) cannot be read: \(String(cString: strerror(errno)))")
            }
            if count == 0 { break }
            filled += count
        }
        return Data(bytes.prefix(filled))
    }
}

/// A file that was not there before, for this user only; what is written is on disk once it is closed.
struct NewFile {
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws(AirbossError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            let isThere = errno == EEXIST
            throw AirbossError(
                .usage, "\(path) cannot be made: \(String(cString: strerror(errno)))",
                hint: isThere ? "name another file, or move this one away: nothing is written over" : "")
        }
    }

    func write(_ text: String) throws(AirbossError) { try write(Data(text.utf8)) }

    func write(_ data: Data) throws(AirbossError) {
        var bytes = Array(data)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure() }
            bytes = bytes.dropFirst(count)
        }
    }

    func close() throws(AirbossError) {
        let isSynced = fsync(descriptor) == 0
        guard Glibc.close(descriptor) == 0, isSynced else { throw failure() }
    }

    private func failure() -> AirbossError {
        AirbossError(.unavailable, "\(path) cannot be written: \(String(cString: strerror(errno)))")
    }

    /// Writes a whole file.
    static func write(_ data: Data, to path: String) throws(AirbossError) {
        let file = try NewFile(path)
        try file.write(data)
        try file.close()
    }
}
