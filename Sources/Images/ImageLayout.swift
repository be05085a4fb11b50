// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model

extension AssembledImage {
    /// Writes the image as an OCI layout, a folder that skopeo and others read. `path` must not exist, or be empty.
    ///
    /// Source: OCI image specification, image layout. Layers of a base image are downloaded.
    /// Throws ``ImageError``, or `CancellationError`.
    package func writeLayout(to path: String, tag: String? = nil, registry: RegistryClient? = nil) async throws {
        let blobs = path + "/blobs/sha256"
        try await FileWork.run {
            do {
                try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
            } catch {
                throw ImageError(.fileFailed, "the folder \(blobs) can't be made: \(error)")
            }
        }
        func file(_ digest: ImageDigest) -> String { blobs + "/" + digest.rawValue.dropFirst("sha256:".count) }
        if let base {
            guard let registry else {
                throw ImageError(.fileFailed, "the layers of \(base.reference) need a registry to come from")
            }
            for layer in base.manifest.layers {
                try await registry.download(layer, from: base.reference, to: file(layer.digest))
            }
        }
        for layer in layers {
            let target = file(layer.descriptor.digest)
            try await FileWork.run {
                do {
                    // Two copies may have given one layer twice.
                    if FileManager.default.fileExists(atPath: target) { return }
                    try FileManager.default.copyItem(atPath: layer.path, toPath: target)
                } catch {
                    throw ImageError(.fileFailed, "\(target) can't be written: \(error)")
                }
            }
        }
        var descriptor = manifest.descriptor.json
        if let tag { descriptor["annotations"] = ["org.opencontainers.image.ref.name": .string(tag)] }
        let index: JSONValue = [
            "schemaVersion": 2, "mediaType": .string(MediaType.index.rawValue), "manifests": [descriptor],
        ]
        let files = [
            (file(manifest.config.digest), configData), (file(digest), manifestData),
            (path + "/index.json", CanonicalJSON.data(index)),
            (path + "/oci-layout", CanonicalJSON.data(["imageLayoutVersion": "1.0.0"])),
        ]
        try await FileWork.run {
            for (path, data) in files { try ImageBuilder.write(data, to: path) }
        }
    }
}
