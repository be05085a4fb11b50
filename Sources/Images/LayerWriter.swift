// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model
internal import Synchronization

/// Streams one planned layer into a tar file.
///
/// Not compressed on purpose: see docs/decisions/0003-uncompressed-layers.md.
struct LayerWriter: Sendable {
    /// Git LFS's own bound on a pointer file. Source: git-lfs/docs/spec.md.
    static let maxPointerBytes: Int64 = 1024
    /// Linux's PATH_MAX.
    static let maxLinkBytes: Int64 = 4096
    /// Pointers named in one refusal.
    static let maxNamedPointers = 3

    var source: any TreeSource
    /// The time of every entry.
    var modified: Timestamp

    /// Writes the layer to `path`. Throws ``ImageError``, or what the source throws.
    func write(_ layer: LayerPlan.Layer, to path: String) async throws -> Blob {
        let file = Output(try HashingFile(path: path))
        let seconds = modified.secondsSinceEpoch
        var pointers: [String] = []
        for entry in layer.entries {
            try Task.checkCancellation()
            switch entry.kind {
            case .directory:
                try file.write(
                    TarFormat.header(
                        name: entry.path.bytes, kind: .directory, mode: LayerPlan.directoryMode, modified: seconds))
            case .symlink(let link):
                try file.write(
                    TarFormat.header(
                        name: entry.path.bytes, kind: .symlink, mode: 0o777, modified: seconds,
                        link: try await LayerWriter.target(of: link, in: source)))
            case .file(let content, let mode):
                try file.write(
                    TarFormat.header(
                        name: entry.path.bytes, kind: .file, mode: mode, size: content.size, modified: seconds))
                if try await copy(content, to: file) { pointers.append(content.path) }
            }
        }
        try refuse(pointers)
        try file.write(TarFormat.end)
        let (digest, size) = try file.finish()
        return Blob(path: path, descriptor: Descriptor(mediaType: .layerTar, digest: digest, size: size))
    }

    static func target(of link: TreeEntry, in source: any TreeSource) async throws -> [UInt8] {
        guard link.size > 0, link.size <= LayerWriter.maxLinkBytes else {
            throw ImageError(.unsafePath, "the symlink “\(link.path)” has a target of \(link.size) bytes")
        }
        let gathered = Mutex<[UInt8]>([])
        let limit = Int(link.size)
        let box = Box(gathered: gathered)
        try await source.read(link) { data in
            try box.gathered.withLock { bytes in
                bytes += data
                if bytes.count > limit { throw LayerWriter.unexpectedSize(link) }
            }
        }
        let target = box.gathered.withLock { $0 }
        guard target.count == limit else { throw LayerWriter.unexpectedSize(link) }
        guard !target.contains(0) else {
            throw ImageError(.unsafePath, "the target of the symlink “\(link.path)” holds a zero byte")
        }
        return target
    }

    /// Whether the content is a Git LFS pointer.
    private func copy(_ content: TreeEntry, to file: Output) async throws -> Bool {
        try file.begin(content)
        try await source.read(content) { data in
            try file.append(data)
        }
        return try file.end()
    }

    private func refuse(_ pointers: [String]) throws(ImageError) {
        guard !pointers.isEmpty else { return }
        let named = pointers.prefix(LayerWriter.maxNamedPointers).map { "“\($0)”" }.joined(separator: ", ")
        let more = pointers.count - LayerWriter.maxNamedPointers
        throw ImageError(
            .lfsPointer,
            "\(named)\(more > 0 ? " and \(more) more" : "") in the commit: a Git LFS pointer, not the file itself",
            hint: "Keep what is deployed outside Git LFS (`git lfs migrate export`), or copy folders without it.")
    }

    static func unexpectedSize(_ entry: TreeEntry) -> ImageError {
        ImageError(
            .sourceFailed, "“\(entry.path)” is not the \(entry.size) bytes its tree promises",
            hint: "The repository may be damaged: run `git fsck`.")
    }
}

/// A lock where a closure that leaves the function can hold it.
private final class Box: Sendable {
    let gathered: Mutex<[UInt8]>
    init(gathered: consuming sending Mutex<[UInt8]>) { self.gathered = gathered }
}

/// The archive being written, shared with the thread the source reads on.
private final class Output: Sendable {
    private struct State: ~Copyable {
        var file: HashingFile
        var entry: TreeEntry?
        var written: Int64 = 0
        /// The first bytes of a content small enough to be a pointer.
        var head: [UInt8] = []
    }

    private let state: Mutex<State>

    init(_ file: consuming sending HashingFile) {
        state = Mutex(State(file: file))
    }

    func write(_ bytes: [UInt8]) throws {
        try state.withLock { try $0.file.write(bytes) }
    }

    func begin(_ entry: TreeEntry) throws {
        state.withLock {
            $0.entry = entry
            $0.written = 0
            $0.head = []
        }
    }

    func append(_ data: Data) throws {
        try state.withLock { state in
            guard let entry = state.entry else { return }
            state.written += Int64(data.count)
            guard state.written <= entry.size else { throw LayerWriter.unexpectedSize(entry) }
            if entry.size < LayerWriter.maxPointerBytes { state.head += data }
            try state.file.write(data)
        }
    }

    /// Ends the entry with its padding; tells whether its content is a Git LFS pointer.
    func end() throws -> Bool {
        try state.withLock { state in
            guard let entry = state.entry else { return false }
            guard state.written == entry.size else { throw LayerWriter.unexpectedSize(entry) }
            state.entry = nil
            try state.file.write([UInt8](repeating: 0, count: TarFormat.padding(after: entry.size)))
            return state.head.starts(with: "version https://git-lfs.github.com/spec/".utf8)
        }
    }

    func finish() throws -> (ImageDigest, Int64) {
        try state.withLock { state in
            let size = state.file.size
            return (try state.file.finish(), size)
        }
    }
}
