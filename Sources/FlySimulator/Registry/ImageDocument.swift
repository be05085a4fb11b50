// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model

/// A manifest or an index, of Docker's kind or of OCI's, as far as a registry and a machine must understand it.
struct ImageDocument: Hashable, Sendable {
    struct Descriptor: Hashable, Sendable {
        var digest: String
        var mediaType: String
    }

    struct Child: Hashable, Sendable {
        var digest: String
        var os: String
        var architecture: String
    }

    /// The config of a manifest; nil for an index.
    var config: Descriptor?
    /// Bottom first.
    var layers: [Descriptor] = []
    /// The manifests of an index.
    var children: [Child] = []

    static let manifestTypes: Set<String> = [
        "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
    ]
    static let indexTypes: Set<String> = [
        "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
    ]

    /// Reads a document; throws `manifestInvalid` with the reason.
    init(_ bytes: [UInt8], mediaType: String) throws(RegistryError) {
        func invalid(_ reason: String) -> RegistryError { RegistryError(.manifestInvalid, 400, reason) }
        let json: JSONValue
        do {
            json = try JSONValue(parsing: Data(bytes))
        } catch {
            throw invalid("the manifest is not JSON")
        }
        guard json["schemaVersion"]?.integer == 2 else { throw invalid("only schema version 2 is accepted") }
        if let own = json["mediaType"]?.string, own != mediaType {
            throw invalid("the manifest says it is \(own), the request says \(mediaType)")
        }
        func descriptor(_ value: JSONValue?) throws(RegistryError) -> Descriptor {
            guard let digest = value?["digest"]?.string, RegistryName.isDigest(digest) else {
                throw invalid("a descriptor has no sha256 digest")
            }
            return Descriptor(digest: digest, mediaType: value?["mediaType"]?.string ?? "")
        }
        if ImageDocument.manifestTypes.contains(mediaType) {
            config = try descriptor(json["config"])
            guard let entries = json["layers"]?.array else { throw invalid("the manifest has no layers") }
            for entry in entries { layers.append(try descriptor(entry)) }
        } else if ImageDocument.indexTypes.contains(mediaType) {
            guard let entries = json["manifests"]?.array else { throw invalid("the index has no manifests") }
            for entry in entries {
                let platform = entry["platform"]
                children.append(
                    Child(
                        digest: try descriptor(entry).digest, os: platform?["os"]?.string ?? "",
                        architecture: platform?["architecture"]?.string ?? ""))
            }
        } else {
            throw invalid("the media type \(mediaType) is not supported")
        }
    }

    /// What must be in the repository before the document is accepted.
    var references: [String] {
        (config.map { [$0.digest] } ?? []) + layers.map(\.digest) + children.map(\.digest)
    }
}
