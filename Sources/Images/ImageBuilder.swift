// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// An image assembled from a commit, in local files.
package struct AssembledImage: Sendable {
    /// The manifest's digest: the image's own.
    package var digest: ImageDigest
    package var manifest: ImageManifest
    package var config: ImageConfig
    /// The layers made from the commit; those of the base stay where they are.
    package var layers: [Blob]

    let manifestData: Data
    let configData: Data
    let base: ResolvedImage?
    /// Keeps the layers' files until the image is done with.
    let folder: WorkFolder
}

/// An image in its registry.
package struct PushedImage: Hashable, Sendable {
    /// By digest.
    package var reference: ImageReference
    package var digest: ImageDigest
    /// The base's first.
    package var layerDigests: [ImageDigest]
    package var config: ImageConfig
    package var uploadedBytes: Int64
    /// Bytes that were in the registry already, or were mounted there.
    package var skippedBytes: Int64
}

/// Assembles images from commits, without a Docker daemon, and pushes them.
///
/// The same commit and description give the same digest on any machine. Throws ``ImageError``, what the source throws,
/// or `CancellationError`.
package struct ImageBuilder: Sendable {
    package let registry: RegistryClient
    let temporaryDirectory: String

    /// Uncompressed layers need as much room in `temporaryDirectory` as the copied files.
    package init(registry: RegistryClient, temporaryDirectory: String = FileManager.default.temporaryDirectory.path) {
        self.registry = registry
        self.temporaryDirectory = temporaryDirectory
    }

    /// The image a pipeline's `image` names, with its digest; refuses one that starts nothing.
    package func resolveImage(
        _ reference: ImageReference, for platform: ImageLayers.Platform = .linuxAMD64
    ) async throws -> ResolvedImage {
        try await registry.resolveImage(reference, for: platform)
    }

    /// Assembles the image and pushes it to `target`'s registry and repository, under `target`'s tag where it has one.
    package func buildAndPush(
        source: any TreeSource, layers: ImageLayers, created: Timestamp, target: ImageReference,
        progress: @escaping ImageProgress.Observer = { _ in }
    ) async throws -> PushedImage {
        _ = try RegistryEndpoint(target)
        let image = try await assemble(source: source, layers: layers, created: created, progress: progress)
        return try await push(image, to: target, progress: progress)
    }

    /// Assembles the image in temporary files; `created` is the commit's time, in whole seconds.
    package func assemble(
        source: any TreeSource, layers: ImageLayers, created: Timestamp,
        progress: @escaping ImageProgress.Observer = { _ in }
    ) async throws -> AssembledImage {
        try layers.validate()
        var base: ResolvedImage?
        if case .image(let reference) = layers.base {
            base = try await registry.describe(reference, for: layers.platform)
        }
        let plan = try LayerPlan(layers: layers, entries: try await source.entries(), baseWorkdir: base?.config.workdir)
        let name = "the image"
        let draft = ImageConfig(layers, base: base?.config, created: created, layers: [])
        try draft.requireCommand(name: name)
        try await EntrypointCheck(plan: plan, config: draft, isScratch: base == nil, source: source).run()

        let folder = try WorkFolder(inside: temporaryDirectory)
        let writer = LayerWriter(source: source, modified: created)
        let total = plan.layers.reduce(Int64(0)) { $0 + $1.contentBytes }
        var done: Int64 = 0
        var blobs: [Blob] = []
        for (index, layer) in plan.layers.enumerated() {
            progress(
                ImageProgress(phase: .assembling, subject: layer.title, completedBytes: done, totalBytes: total))
            blobs.append(try await writer.write(layer, to: folder.file("layer-\(index).tar")))
            done += layer.contentBytes
        }
        progress(ImageProgress(phase: .assembling, subject: "done", completedBytes: done, totalBytes: total))

        let titled = zip(plan.layers, blobs).map { (title: $0.title, diffID: $1.descriptor.digest) }
        let config = ImageConfig(layers, base: base?.config, created: created, layers: titled)
        let configData = CanonicalJSON.data(config.json)
        let document = try ImageBuilder.manifest(
            config: Descriptor(
                mediaType: .config, digest: ImageDigest(of: configData), size: Int64(configData.count)),
            layers: blobs.map(\.descriptor), base: base)
        let manifestData = CanonicalJSON.data(document)
        let descriptor = Descriptor(
            mediaType: .manifest, digest: ImageDigest(of: manifestData), size: Int64(manifestData.count))
        return AssembledImage(
            digest: descriptor.digest,
            manifest: try ImageManifest(parsing: FetchedManifest(descriptor: descriptor, json: document), name: name),
            config: config, layers: blobs, manifestData: manifestData, configData: configData, base: base,
            folder: folder)
    }

    private static func manifest(
        config: Descriptor, layers: [Descriptor], base: ResolvedImage?
    ) throws(ImageError) -> JSONValue {
        var all: [JSONValue] = []
        for layer in base?.manifest.layers ?? [] {
            guard let mediaType = layer.mediaType.asOCILayer else {
                throw ImageError(
                    .unsupportedManifest,
                    "the base image has a layer of the kind “\(layer.mediaType.rawValue.prefix(120))”, which can't be "
                        + "passed on",
                    hint: "Choose another base image.")
            }
            all.append(Descriptor(mediaType: mediaType, digest: layer.digest, size: layer.size).json)
        }
        all += layers.map(\.json)
        var document: JSONValue = [
            "schemaVersion": 2, "mediaType": .string(MediaType.manifest.rawValue), "config": config.json,
            "layers": .array(all),
        ]
        if let base {
            document["annotations"] = ["org.opencontainers.image.base.digest": .string(base.digest.rawValue)]
        }
        return document
    }

    // MARK: Push

    /// Pushes what the registry lacks, blobs first, so that the manifest never names what is not there.
    package func push(
        _ image: AssembledImage, to target: ImageReference, progress: @escaping ImageProgress.Observer = { _ in }
    ) async throws -> PushedImage {
        let endpoint = try RegistryEndpoint(target)
        var uploaded: Int64 = 0
        var skipped: Int64 = 0
        func count(_ outcome: BlobPushOutcome, _ size: Int64) {
            switch outcome {
            case .uploaded: uploaded += size
            case .existed, .mounted: skipped += size
            }
        }
        if let base = image.base {
            for layer in base.manifest.layers {
                let outcome = try await pushBaseLayer(layer, of: base.reference, to: endpoint, image.folder, progress)
                count(outcome, layer.size)
            }
        }
        let config = Blob(path: image.folder.file("config.json"), descriptor: image.manifest.config)
        let configData = image.configData
        try await FileWork.run { try ImageBuilder.write(configData, to: config.path) }
        for blob in image.layers + [config] {
            count(try await registry.push(blob, to: endpoint, progress: progress), blob.descriptor.size)
        }
        try await registry.pushManifest(image.manifestData, mediaType: .manifest, to: target)
        return PushedImage(
            reference: target.pinned(to: image.digest), digest: image.digest,
            layerDigests: image.manifest.layers.map(\.digest), config: image.config, uploadedBytes: uploaded,
            skippedBytes: skipped)
    }

    /// A layer of the base: there already, mounted within the registry, or carried over in a file, one at a time.
    private func pushBaseLayer(
        _ layer: Descriptor, of base: ImageReference, to endpoint: RegistryEndpoint, _ folder: WorkFolder,
        _ progress: @escaping ImageProgress.Observer
    ) async throws -> BlobPushOutcome {
        if try await registry.blobSize(layer.digest, endpoint, .push) != nil { return .existed }
        let source = try RegistryEndpoint(base)
        if source.host == endpoint.host, source.repository != endpoint.repository,
            try await registry.mount(layer.digest, to: endpoint, from: source.repository)
        {
            return .mounted
        }
        let subject = layer.digest.short
        progress(ImageProgress(phase: .downloading, subject: subject, completedBytes: 0, totalBytes: layer.size))
        let path = folder.file("base-\(subject)")
        try await registry.download(layer, from: base, to: path)
        progress(
            ImageProgress(phase: .downloading, subject: subject, completedBytes: layer.size, totalBytes: layer.size))
        let outcome = try await registry.push(Blob(path: path, descriptor: layer), to: endpoint, progress: progress)
        // The folder goes with the image; removing the file early only saves room.
        try? FileManager.default.removeItem(atPath: path)
        return outcome
    }

    /// Blocks. Throws ``ImageError`` (`fileFailed`).
    static func write(_ data: Data, to path: String) throws {
        do {
            try data.write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw ImageError(.fileFailed, "\(path) can't be written: \(error)")
        }
    }
}

extension LayerPlan.Layer {
    /// Bytes of the files in it, without what the archive adds.
    var contentBytes: Int64 {
        entries.reduce(0) { sum, entry in
            guard case .file(let content, _) = entry.kind else { return sum }
            return sum + content.size
        }
    }
}
