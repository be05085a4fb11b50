// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTransport
package import Model

extension ImageBuilder {
    /// Brings an image into another repository of its registry as it is, under the same digest; of an index every
    /// image. Blobs are mounted where the registry does that, and carried over where it does not.
    ///
    /// - Parameter reference: with its digest.
    /// - Throws: ``ImageError``, `CancellationError`.
    package func copy(_ reference: ImageReference, to repository: String) async throws -> PushedImage {
        let image = try await registry.describe(reference, for: .linuxAMD64)
        let target = ImageReference(registry: reference.registry, repository: repository)
        let folder = try WorkFolder(inside: temporaryDirectory)
        var count = (uploaded: Int64(0), skipped: Int64(0))
        try await copyManifest(image.reference, to: target, folder, &count)
        return PushedImage(
            reference: target.pinned(to: image.digest), digest: image.digest,
            layerDigests: image.manifest.layers.map(\.digest), config: image.config, uploadedBytes: count.uploaded,
            skippedBytes: count.skipped)
    }

    /// What a manifest names goes first, so that the registry never has one that names what is not there.
    private func copyManifest(
        _ reference: ImageReference, to target: ImageReference, _ folder: WorkFolder,
        _ count: inout (uploaded: Int64, skipped: Int64)
    ) async throws {
        let fetched = try await registry.manifest(reference)
        if fetched.descriptor.mediaType.isIndex {
            for entry in fetched.json["manifests"]?.array ?? [] {
                guard let digest = entry["digest"]?.string, ImageReference.isDigest(digest) else { continue }
                try await copyManifest(reference.pinned(to: ImageDigest(digest)), to: target, folder, &count)
            }
        } else {
            let manifest = try ImageManifest(parsing: fetched, name: "\(reference)")
            let (source, endpoint) = (try RegistryEndpoint(reference), try RegistryEndpoint(target))
            for blob in [manifest.config] + manifest.layers where !blob.mediaType.isForeignLayer {
                try await copyBlob(blob, of: reference, source, to: endpoint, folder, &count)
            }
        }
        let data = try await registry.manifestData(reference)
        guard ImageDigest(of: data) == fetched.descriptor.digest else {
            throw ImageError(.malformedManifest, "the manifest of \(reference) is not what it was a moment ago")
        }
        try await registry.pushManifest(
            data, mediaType: fetched.descriptor.mediaType, to: target.pinned(to: fetched.descriptor.digest))
    }

    private func copyBlob(
        _ blob: Descriptor, of reference: ImageReference, _ source: RegistryEndpoint, to endpoint: RegistryEndpoint,
        _ folder: WorkFolder, _ count: inout (uploaded: Int64, skipped: Int64)
    ) async throws {
        if try await registry.blobSize(blob.digest, endpoint, .push) != nil {
            count.skipped += blob.size
            return
        }
        if try await registry.mount(blob.digest, to: endpoint, from: source.repository) {
            count.skipped += blob.size
            return
        }
        let path = folder.file("copied-\(blob.digest.short)")
        try await registry.download(blob, from: reference, to: path)
        _ = try await registry.push(Blob(path: path, descriptor: blob), to: endpoint, progress: { _ in })
        count.uploaded += blob.size
        // The folder goes with the copy; removing the file early only saves room.
        try? FileManager.default.removeItem(atPath: path)
    }
}

extension RegistryClient {
    /// The bytes of a manifest, as they were pushed: only they have its digest.
    fileprivate func manifestData(_ reference: ImageReference) async throws -> Data {
        let endpoint = try RegistryEndpoint(reference)
        var request = manifestRequest("GET", reference, endpoint)
        request.maxBodyBytes = RegistryClient.maxManifestBytes
        let response = try await send(request, to: endpoint, .pull, isRepeatable: true)
        guard response.status == 200 else { throw failure(response, endpoint, "the image \(reference)") }
        return response.body
    }
}
