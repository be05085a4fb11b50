// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc

/// A file operation that failed, with the system's words for it.
struct FileFailure: Error {
    var message: String

    init(_ action: String) {
        message = "\(action): \(String(cString: strerror(errno)))"
    }

    init(message: String) {
        self.message = message
    }
}

/// An open file descriptor, closed when it goes away.
struct OpenFile: ~Copyable {
    private let descriptor: Int32

    init(reading path: String) throws(FileFailure) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileFailure("the file to send cannot be opened") }
    }

    init(creating path: String) throws(FileFailure) {
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileFailure("the file to receive into cannot be created") }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// The bytes read, 0 at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileFailure) -> Int {
        while true {
            let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else { throw FileFailure("the file to send cannot be read") }
        }
    }

    func append(_ buffer: UnsafeRawBufferPointer) throws(FileFailure) {
        var rest = buffer
        while !rest.isEmpty {
            let count = write(descriptor, rest.baseAddress, rest.count)
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno != EINTR {
                throw FileFailure("the file to receive into cannot be written")
            }
        }
    }
}

/// A request's body as curl reads it, from memory or from a part of a file.
struct UploadSource: ~Copyable {
    private let bytes: Data
    private let file: OpenFile?
    private let start: Int64
    let length: Int64
    private var position: Int64 = 0

    init(_ bytes: Data) {
        self.bytes = bytes
        file = nil
        start = 0
        length = Int64(bytes.count)
    }

    init(path: String, offset: Int64, length: Int64) throws(FileFailure) {
        guard offset >= 0, length >= 0 else { throw FileFailure(message: "the part of the file to send is no range") }
        let opened = try OpenFile(reading: path)
        bytes = Data()
        file = consume opened
        start = offset
        self.length = length
    }

    /// Fills the buffer as far as there is something left; 0 at the end. Throws where the file is too short.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int {
        let count = min(buffer.count, Int(clamping: length - position))
        guard count > 0 else { return 0 }
        if file != nil {
            let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            let read = try file?.read(into: wanted, at: start + position) ?? 0
            guard read > 0 else { throw FileFailure(message: "the file to send is shorter than announced") }
            position += Int64(read)
            return read
        }
        let first = bytes.startIndex + Int(position)
        bytes.copyBytes(to: buffer, from: first..<(first + count))
        position += Int64(count)
        return count
    }

    /// Moves to a place counted from the start of the body; false where there is none.
    mutating func seek(to position: Int64) -> Bool {
        guard position >= 0, position <= length else { return false }
        self.position = position
        return true
    }
}

/// Where a response's body goes: into memory, or into a file that appears once it is complete.
struct DownloadSink: ~Copyable {
    private(set) var bytes = Data()
    private var count = 0
    private var file: OpenFile?
    private let path: String?
    private var hasPartialFile = false
    let limit: Int

    init(path: String?, limit: Int) {
        self.path = path
        self.limit = limit
    }

    deinit {
        if hasPartialFile, let partialPath { unlink(partialPath) }
    }

    private var partialPath: String? { path.map { $0 + ".partial" } }

    /// False where the bytes would pass the limit.
    mutating func append(_ buffer: UnsafeRawBufferPointer, isSuccess: Bool) throws(FileFailure) -> Bool {
        guard buffer.count <= limit - count else { return false }
        count += buffer.count
        if isSuccess, path != nil {
            try openFile()
            try file?.append(buffer)
        } else {
            bytes.append(contentsOf: buffer)
        }
        return true
    }

    /// Puts a complete file in its place; an empty body makes an empty file.
    mutating func complete(isSuccess: Bool) throws(FileFailure) {
        guard isSuccess, let path, let partialPath else { return }
        try openFile()
        file = nil
        guard rename(partialPath, path) == 0 else { throw FileFailure("the received file cannot be put in its place") }
        hasPartialFile = false
    }

    private mutating func openFile() throws(FileFailure) {
        guard let partialPath, !hasPartialFile else { return }
        file = try OpenFile(creating: partialPath)
        hasPartialFile = true
    }
}
