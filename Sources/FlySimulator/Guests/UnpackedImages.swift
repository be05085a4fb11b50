// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import FoundationEssentials
internal import Glibc
internal import Model

/// An image ready to be a guest's root.
struct UnpackedImage: Hashable, Sendable {
    /// The digest the reference stands for, of an index where it names one.
    var digest: String
    /// The digest of the manifest for this platform.
    var platformDigest: String
    /// The folder with the files; not to be written to.
    var root: String
    var entrypoint: [String]
    var command: [String]
    /// `NAME=value`.
    var environment: [String]
    var workingDirectory: String
    /// As the image names it: `name`, `1000`, `name:group`; empty for root.
    var user: String
}

/// Images from the registry, unpacked once each. One at a time: machines of a deploy ask for the same image together.
final class UnpackedImages: Sendable {
    static let maxKeptImages = 24
    static let maxConfigBytes = 4 * 1024 * 1024

    private let registry: RegistryStore
    private let directory: String
    private let queue = DispatchQueue(label: "simulator.images")
    private let usage: UsageCounts

    /// Touched only on the queue.
    private final class UsageCounts: @unchecked Sendable {
        var users: [String: Int] = [:]
        /// Least recently used first.
        var order: [String] = []
    }

    init(registry: RegistryStore, directory: String) {
        self.registry = registry
        self.directory = directory
        usage = UsageCounts()
    }

    /// Resolves, unpacks where needed, and keeps the image until ``release(_:)``. Blocks.
    func acquire(_ reference: String) throws -> UnpackedImage {
        try queue.sync {
            let image = try prepare(reference)
            usage.users[image.platformDigest, default: 0] += 1
            usage.order.removeAll { $0 == image.platformDigest }
            usage.order.append(image.platformDigest)
            evict()
            return image
        }
    }

    func release(_ image: UnpackedImage) {
        queue.async { self.usage.users[image.platformDigest, default: 1] -= 1 }
    }

    private func evict() {
        while usage.order.count > UnpackedImages.maxKeptImages,
            let index = usage.order.firstIndex(where: { usage.users[$0, default: 0] == 0 })
        {
            remove(folder(usage.order.remove(at: index)))
        }
    }

    private func folder(_ digest: String) -> String {
        directory + "/" + digest.dropFirst("sha256:".count)
    }

    private func prepare(_ reference: String) throws -> UnpackedImage {
        guard let (repository, named) = try registry.manifest(of: reference) else {
            throw GuestProblem("the registry has no image \(reference)")
        }
        var manifest = named
        var document = try read(manifest)
        if !document.children.isEmpty || document.config == nil {
            guard let child = UnpackedImages.choose(document.children),
                let chosen = try registry.manifest(repository: repository, reference: child.digest)
            else { throw GuestProblem("\(reference) has no image for linux/\(UnpackedImages.architecture)") }
            manifest = chosen
            document = try read(manifest)
        }
        guard let config = document.config else { throw GuestProblem("\(reference) is an index of indexes") }
        let settings = try readConfig(config.digest)["config"]
        let root = folder(manifest.digest)
        if access(root, F_OK) != 0 { try unpack(document.layers, to: root) }
        func list(_ key: String) -> [String] { (settings?[key]?.array ?? []).compactMap(\.string) }
        return UnpackedImage(
            digest: named.digest, platformDigest: manifest.digest, root: root, entrypoint: list("Entrypoint"),
            command: list("Cmd"), environment: list("Env"), workingDirectory: settings?["WorkingDir"]?.string ?? "",
            user: settings?["User"]?.string ?? "")
    }

    private func read(_ manifest: RegistryStore.Manifest) throws -> ImageDocument {
        do {
            return try ImageDocument(manifest.bytes, mediaType: manifest.mediaType)
        } catch {
            throw GuestProblem("the manifest \(manifest.digest) cannot be read: \(error.message)")
        }
    }

    private func readConfig(_ digest: String) throws -> JSONValue {
        let path = registry.blobPath(digest)
        var information = stat()
        guard stat(path, &information) == 0, information.st_size <= UnpackedImages.maxConfigBytes else {
            throw GuestProblem("the image's config \(digest) is missing or too large")
        }
        return try JSONValue(parsing: Data(contentsOf: URL(filePath: path)))
    }

    #if arch(arm64)
        static let architecture = "arm64"
    #else
        static let architecture = "amd64"
    #endif

    /// The manifest for this machine, or for Fly's where there is none.
    static func choose(_ children: [ImageDocument.Child]) -> ImageDocument.Child? {
        let linux = children.filter { $0.os == "linux" || $0.os.isEmpty }
        return linux.first { $0.architecture == architecture } ?? linux.first { $0.architecture == "amd64" }
            ?? (linux.count == 1 && linux[0].architecture.isEmpty ? linux[0] : nil)
    }

    private func unpack(_ layers: [ImageDocument.Descriptor], to root: String) throws {
        let work = directory + "/.unpacking-" + UUID().uuidString
        defer { remove(work) }
        let merged = work + "/root"
        try FileManager.default.createDirectory(atPath: merged, withIntermediateDirectories: true)
        for (index, layer) in layers.enumerated() {
            let folder = work + "/layer\(index)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try LayerMerge.extract(registry.blobPath(layer.digest), to: folder)
            try LayerMerge.apply(folder, to: merged)
            remove(folder)
        }
        guard rename(merged, root) == 0 else { throw GuestProblem("the image cannot be unpacked: \(describe(errno))") }
    }
}
