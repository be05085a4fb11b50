// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// What kind of bytes a descriptor points to. Sources: OCI image specification, media types; Docker image manifest
/// version 2, schema 2.
package struct MediaType: RawRepresentable, Hashable, Sendable {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    package static let manifest = MediaType(rawValue: "application/vnd.oci.image.manifest.v1+json")
    package static let index = MediaType(rawValue: "application/vnd.oci.image.index.v1+json")
    package static let config = MediaType(rawValue: "application/vnd.oci.image.config.v1+json")
    package static let layerTar = MediaType(rawValue: "application/vnd.oci.image.layer.v1.tar")
    package static let dockerManifest = MediaType(
        rawValue: "application/vnd.docker.distribution.manifest.v2+json")
    package static let dockerIndex = MediaType(
        rawValue: "application/vnd.docker.distribution.manifest.list.v2+json")

    /// What a client that runs images asks a registry for.
    static let acceptedManifests = [manifest, index, dockerManifest, dockerIndex].map(\.rawValue).joined(
        separator: ", ")

    package var isIndex: Bool { self == .index || self == .dockerIndex }
    package var isManifest: Bool { self == .manifest || self == .dockerManifest }

    /// The OCI name of a layer's kind; nil for a layer that must not be passed on or is of no known kind.
    var asOCILayer: MediaType? {
        switch rawValue {
        case "application/vnd.docker.image.rootfs.diff.tar": .layerTar
        case "application/vnd.docker.image.rootfs.diff.tar.gzip":
            MediaType(rawValue: MediaType.layerTar.rawValue + "+gzip")
        case "application/vnd.docker.image.rootfs.diff.tar.zstd":
            MediaType(rawValue: MediaType.layerTar.rawValue + "+zstd")
        case MediaType.layerTar.rawValue, MediaType.layerTar.rawValue + "+gzip", MediaType.layerTar.rawValue + "+zstd":
            self
        default: nil
        }
    }

    /// Layers a registry need not hold: they are fetched from their makers' own servers.
    var isForeignLayer: Bool {
        rawValue.hasPrefix("application/vnd.oci.image.layer.nondistributable.")
            || rawValue == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    }
}

/// Which bytes are meant: their kind, digest and size.
package struct Descriptor: Hashable, Sendable {
    package var mediaType: MediaType
    package var digest: ImageDigest
    /// Bytes.
    package var size: Int64

    init(mediaType: MediaType, digest: ImageDigest, size: Int64) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
    }

    /// nil where the document is no descriptor.
    init?(_ json: JSONValue) {
        guard let mediaType = json["mediaType"]?.string, let digest = json["digest"]?.string,
            ImageReference.isDigest(digest), let size = json["size"]?.integer, size >= 0
        else { return nil }
        self.init(mediaType: MediaType(rawValue: mediaType), digest: ImageDigest(digest), size: Int64(size))
    }

    var json: JSONValue {
        [
            "digest": .string(digest.rawValue), "mediaType": .string(mediaType.rawValue), "size": .integer(size),
        ]
    }
}

/// The manifest of an image for one platform.
package struct ImageManifest: Hashable, Sendable {
    package var descriptor: Descriptor
    package var config: Descriptor
    package var layers: [Descriptor]

    /// A manifest with more layers is noise: Docker stops at 127.
    package static let maxLayers = 512

    /// Throws `malformedManifest` or `unsupportedManifest`; `name` is for the message.
    init(parsing document: FetchedManifest, name: String) throws(ImageError) {
        let json = document.json
        guard document.descriptor.mediaType.isManifest, json["schemaVersion"]?.integer == 2 else {
            throw ImageError(
                .unsupportedManifest, "\(name) is of the kind \(document.descriptor.mediaType.rawValue), not an image",
                hint: "Airboss runs OCI images and Docker images of schema 2.")
        }
        guard let config = json["config"].flatMap(Descriptor.init), let layers = json["layers"]?.array,
            layers.count <= ImageManifest.maxLayers
        else { throw FetchedManifest.malformed(name, "it has no config, or no list of layers") }
        var descriptors: [Descriptor] = []
        for layer in layers {
            guard let descriptor = Descriptor(layer) else {
                throw FetchedManifest.malformed(name, "one of its layers has no digest or size")
            }
            descriptors.append(descriptor)
        }
        descriptor = document.descriptor
        self.config = config
        self.layers = descriptors
    }
}

/// A manifest or index as a registry sent it, its digest proven.
package struct FetchedManifest: Hashable, Sendable {
    package var descriptor: Descriptor
    package var json: JSONValue

    static func malformed(_ name: String, _ why: String) -> ImageError {
        ImageError(
            .malformedManifest, "the manifest of \(name) can't be read: \(why)",
            hint: "Push the image again, or check that the address is a registry's.")
    }

    /// The entry of an index for a platform, or nil; entries that are no images (attestations) never match.
    func entry(for platform: ImageLayers.Platform) -> Descriptor? {
        for entry in json["manifests"]?.array ?? [] {
            guard let of = entry["platform"], of["os"]?.string == platform.os,
                of["architecture"]?.string == platform.architecture,
                platform.variant == nil || of["variant"]?.string == platform.variant,
                let descriptor = Descriptor(entry), descriptor.mediaType.isManifest
            else { continue }
            return descriptor
        }
        return nil
    }

    /// The platforms an index names, for a message.
    var platforms: [String] {
        (json["manifests"]?.array ?? []).compactMap { entry in
            guard let os = entry["platform"]?["os"]?.string, os != "unknown",
                let architecture = entry["platform"]?["architecture"]?.string
            else { return nil }
            return os + "/" + architecture
        }
    }
}
