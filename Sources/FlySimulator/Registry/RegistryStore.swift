// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
internal import FoundationEssentials
internal import Glibc
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The registry's content: blobs by digest, and per repository which blobs, manifests and tags it has.
///
///     blobs/sha256/HEX                        content, also of manifests
///     repositories/NAME/_blobs/HEX            empty: the repository has the blob
///     repositories/NAME/_manifests/HEX        the manifest's media type
///     repositories/NAME/_tags/TAG             the digest the tag points at
///     uploads/ID                              unfinished; dropped when the simulator starts
///
/// A file appears whole or not at all (written beside, synced, renamed). Blocking work runs on threads of its own.
final class RegistryStore: ImageResolving, Sendable {
    static let maxManifestBytes = 4 * 1024 * 1024
    static let maxOpenUploads = 512

    /// A manifest as it was pushed.
    struct Manifest: Hashable, Sendable {
        var digest: String
        var mediaType: String
        var bytes: [UInt8]
    }

    /// An upload in progress; whoever works on it has taken it out of the store.
    struct Upload: Sendable {
        let id: String
        let repository: String
        fileprivate let handle: Int32
        fileprivate var hash = SHA256()
        fileprivate(set) var size: Int64 = 0
    }

    let directory: String
    private let uploads = Mutex<[String: Upload]>([:])

    /// Opens or makes the store in `directory`.
    init(directory: String) throws {
        self.directory = directory
        let manager = FileManager.default
        // What an earlier simulator left unfinished nobody can continue: its hash is gone.
        if manager.fileExists(atPath: directory + "/uploads") {
            try manager.removeItem(atPath: directory + "/uploads")
        }
        for folder in ["blobs/sha256", "repositories", "uploads"] {
            try manager.createDirectory(atPath: directory + "/" + folder, withIntermediateDirectories: true)
        }
    }

    deinit {
        uploads.withLock { for upload in $0.values { close(upload.handle) } }
    }

    /// Runs blocking work on threads that are neither the cooperative pool's nor those of Dispatch it shares.
    func perform<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await NIOThreadPool.singleton.runIfActive(work)
    }

    // MARK: Reading; these block.

    func blobPath(_ digest: String) -> String {
        directory + "/blobs/sha256/" + digest.dropFirst("sha256:".count)
    }

    /// The size of a blob of the repository in bytes, or nil where it has no such blob.
    func blobSize(repository: String, digest: String) -> Int64? {
        guard exists(link(repository, "_blobs", digest)) || exists(link(repository, "_manifests", digest)) else {
            return nil
        }
        var information = stat()
        guard stat(blobPath(digest), &information) == 0 else { return nil }
        return Int64(information.st_size)
    }

    /// The manifest a tag or digest names, or nil.
    func manifest(repository: String, reference: String) throws -> Manifest? {
        var digest = reference
        if !RegistryName.isDigest(reference) {
            guard let pointed = try contents(folder(repository) + "/_tags/" + reference) else { return nil }
            digest = String(decoding: pointed, as: UTF8.self)
        }
        guard RegistryName.isDigest(digest), let type = try contents(link(repository, "_manifests", digest)),
            let bytes = try contents(blobPath(digest))
        else { return nil }
        return Manifest(digest: digest, mediaType: String(decoding: type, as: UTF8.self), bytes: Array(bytes))
    }

    /// The manifest an image reference names; the registry's host in it does not matter.
    func manifest(of reference: String) throws -> (repository: String, manifest: Manifest)? {
        guard let image = ImageReference(parsing: reference), RegistryName.isRepository(image.repository) else {
            return nil
        }
        let name = image.digest?.rawValue ?? image.tag ?? "latest"
        guard let manifest = try manifest(repository: image.repository, reference: name) else { return nil }
        return (image.repository, manifest)
    }

    func digest(of reference: String) async -> String? {
        do {
            return try await perform { try self.manifest(of: reference)?.manifest.digest }
        } catch {
            return nil  // A store that can't be read has no image to give.
        }
    }

    /// The tags of a repository in order, or nil where there is no such repository.
    func tags(repository: String) throws -> [String]? {
        guard exists(folder(repository) + "/_manifests") else { return nil }
        guard exists(folder(repository) + "/_tags") else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: folder(repository) + "/_tags")
            .filter(RegistryName.isTag).sorted()
    }

    // MARK: Uploading; these block.

    func beginUpload(repository: String) throws -> Upload {
        let id = UUID().uuidString.lowercased()
        let handle = open(directory + "/uploads/" + id, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard handle >= 0 else { throw SystemError("the upload cannot be stored", errno) }
        return Upload(id: id, repository: repository, handle: handle)
    }

    /// Puts an upload back for the next request.
    func keep(_ upload: Upload) throws {
        let isKept = uploads.withLock { open in
            guard open.count < RegistryStore.maxOpenUploads else { return false }
            open[upload.id] = upload
            return true
        }
        if !isKept {
            drop(upload)
            throw RegistryError(.tooManyRequests, 429, "too many uploads are open")
        }
    }

    func take(_ id: String, repository: String) throws(RegistryError) -> Upload {
        let upload = uploads.withLock { open -> Upload? in
            guard open[id]?.repository == repository else { return nil }
            return open.removeValue(forKey: id)
        }
        guard let upload else { throw RegistryError(.blobUploadUnknown, 404, "there is no such upload here") }
        return upload
    }

    /// The bytes an upload has so far, without taking it.
    func size(ofUpload id: String, repository: String) -> Int64? {
        uploads.withLock { $0[id]?.repository == repository ? $0[id]?.size : nil }
    }

    func append(_ buffer: ByteBuffer, to upload: inout Upload) throws {
        try buffer.withUnsafeReadableBytes { bytes in
            var start = 0
            while start < bytes.count {
                let count = pwrite(
                    upload.handle, bytes.baseAddress! + start, bytes.count - start, off_t(upload.size) + off_t(start))
                guard count >= 0 || errno == EINTR else { throw SystemError("the upload cannot be stored", errno) }
                start += max(0, count)
            }
            upload.hash.update(bufferPointer: bytes)
        }
        upload.size += Int64(buffer.readableBytes)
    }

    /// Turns an upload into a blob of its repository; throws `digestInvalid` where the content has another digest.
    func finish(_ upload: Upload, digest: String) throws {
        defer { drop(upload) }
        guard "sha256:" + hexadecimal(upload.hash.finalize()) == digest else {
            throw RegistryError(.digestInvalid, 400, "the uploaded content does not have the digest \(digest)")
        }
        // A chunk that was rolled back may lie behind the end.
        guard ftruncate(upload.handle, off_t(upload.size)) == 0, fsync(upload.handle) == 0,
            rename(directory + "/uploads/" + upload.id, blobPath(digest)) == 0
        else { throw SystemError("the blob cannot be stored", errno) }
        try write([], to: link(upload.repository, "_blobs", digest))
    }

    /// Forgets an upload that has been taken.
    func drop(_ upload: Upload) {
        close(upload.handle)
        unlink(directory + "/uploads/" + upload.id)
    }

    /// Gives `repository` a blob that `source` has; false where it has none.
    func mount(_ digest: String, from source: String, to repository: String) throws -> Bool {
        guard blobSize(repository: source, digest: digest) != nil else { return false }
        try write([], to: link(repository, "_blobs", digest))
        return true
    }

    /// Stores a manifest under its digest and, where `reference` is a tag, points the tag at it. Returns the digest.
    func putManifest(_ bytes: [UInt8], mediaType: String, repository: String, reference: String) throws -> String {
        let digest = "sha256:" + hexadecimal(SHA256.hash(data: bytes))
        if RegistryName.isDigest(reference), reference != digest {
            throw RegistryError(.digestInvalid, 400, "the manifest has the digest \(digest), not \(reference)")
        }
        let document = try ImageDocument(bytes, mediaType: mediaType)
        for needed in document.references where blobSize(repository: repository, digest: needed) == nil {
            throw RegistryError(.manifestBlobUnknown, 400, "the repository does not have \(needed)")
        }
        try write(bytes, to: blobPath(digest))
        try write(Array(mediaType.utf8), to: link(repository, "_manifests", digest))
        if !RegistryName.isDigest(reference) {
            try write(Array(digest.utf8), to: folder(repository) + "/_tags/" + reference)
        }
        return digest
    }

    // MARK: Files

    private func folder(_ repository: String) -> String {
        directory + "/repositories/" + repository
    }

    private func link(_ repository: String, _ kind: String, _ digest: String) -> String {
        folder(repository) + "/" + kind + "/" + digest.dropFirst("sha256:".count)
    }

    private func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

    private func contents(_ path: String) throws -> Data? {
        guard exists(path) else { return nil }
        return try Data(contentsOf: URL(filePath: path))
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        let parent = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        let temporary = directory + "/uploads/" + UUID().uuidString
        let handle = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard handle >= 0 else { throw SystemError("the registry cannot write", errno) }
        defer { close(handle) }
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(handle, $0.baseAddress! + start, $0.count - start) }
            guard count >= 0 || errno == EINTR else { throw SystemError("the registry cannot write", errno) }
            start += max(0, count)
        }
        guard fsync(handle) == 0, rename(temporary, path) == 0 else {
            throw SystemError("the registry cannot write", errno)
        }
    }
}

/// A system call that failed.
struct SystemError: Error, CustomStringConvertible {
    let description: String

    init(_ what: String, _ number: Int32) {
        description = "\(what): \(describe(number))"
    }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
