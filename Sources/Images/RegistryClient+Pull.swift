// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTransport
package import Model

/// An image as a registry describes it now.
package struct ResolvedImage: Hashable, Sendable {
    /// The image by its digest alone.
    package var reference: ImageReference
    /// What the tag stood for: an index's digest where the image is for several platforms.
    package var digest: ImageDigest
    /// The manifest for the platform that was asked for.
    package var manifest: ImageManifest
    package var config: ImageConfig

    /// Bytes of all layers and the config.
    package var size: Int64 {
        manifest.layers.reduce(manifest.config.size) { $0 + $1.size }
    }
}

extension RegistryClient {
    /// What a tag or digest stands for. Asks by HEAD, and by GET where the registry's HEAD says too little.
    package func resolve(_ reference: ImageReference) async throws -> Descriptor {
        let endpoint = try RegistryEndpoint(reference)
        let request = manifestRequest("HEAD", reference, endpoint)
        let response = try await send(request, to: endpoint, .pull, isRepeatable: true)
        switch response.status {
        case 200:
            if let digest = response.headers["Docker-Content-Digest"], ImageReference.isDigest(digest),
                let size = response.headers["Content-Length"].flatMap({ Int64($0) }), size > 0,
                let mediaType = RegistryClient.mediaType(response)
            {
                guard reference.digest == nil || reference.digest?.rawValue == digest else {
                    throw mismatch("the manifest of \(reference)")
                }
                guard mediaType.isManifest || mediaType.isIndex else { break }
                return Descriptor(mediaType: mediaType, digest: ImageDigest(digest), size: size)
            }
        case 400, 405, 501: break
        default: throw failure(response, endpoint, "the image \(reference)")
        }
        return try await manifest(reference).descriptor
    }

    /// The manifest or index a reference stands for, its digest proven.
    package func manifest(_ reference: ImageReference) async throws -> FetchedManifest {
        let endpoint = try RegistryEndpoint(reference)
        var request = manifestRequest("GET", reference, endpoint)
        request.maxBodyBytes = RegistryClient.maxManifestBytes
        let response = try await send(request, to: endpoint, .pull, isRepeatable: true)
        let name = "\(reference)"
        guard response.status == 200 else { throw failure(response, endpoint, "the image \(name)") }
        let digest = ImageDigest(of: response.body)
        // Only sha256 digests can be compared; a registry may announce another kind.
        let announced = response.headers["Docker-Content-Digest"].flatMap { ImageReference.isDigest($0) ? $0 : nil }
        guard reference.digest == nil || reference.digest == digest,
            announced == nil || announced == digest.rawValue
        else { throw mismatch("the manifest of \(name)") }
        let json: JSONValue
        do {
            json = try JSONValue(parsing: response.body)
        } catch {
            throw FetchedManifest.malformed(name, "it is not JSON")
        }
        guard json.object != nil else { throw FetchedManifest.malformed(name, "it is no JSON object") }
        let said = json["mediaType"]?.string.map(MediaType.init(rawValue:))
        guard let mediaType = said ?? RegistryClient.mediaType(response) else {
            throw FetchedManifest.malformed(name, "it does not say of what kind it is")
        }
        guard mediaType.isManifest || mediaType.isIndex else {
            throw ImageError(
                .unsupportedManifest, "\(name) is of the kind “\(mediaType.rawValue.prefix(120))”, not an image",
                hint: "Airboss runs OCI images and Docker images of schema 2.")
        }
        let descriptor = Descriptor(mediaType: mediaType, digest: digest, size: Int64(response.body.count))
        return FetchedManifest(descriptor: descriptor, json: json)
    }

    /// The manifest for one platform, through an index where there is one.
    package func platformManifest(
        _ reference: ImageReference, for platform: ImageLayers.Platform = .linuxAMD64
    ) async throws -> (resolved: Descriptor, manifest: ImageManifest) {
        let top = try await manifest(reference)
        guard top.descriptor.mediaType.isIndex else {
            return (top.descriptor, try ImageManifest(parsing: top, name: "\(reference)"))
        }
        guard let entry = top.entry(for: platform) else {
            let known = Set(top.platforms).sorted().joined(separator: ", ")
            throw ImageError(
                .platformMismatch, "\(reference) has no image for \(platform)",
                hint: known.isEmpty ? "Its index names no platform." : "It has one for \(known).")
        }
        let pinned = reference.pinned(to: entry.digest)
        let document = try await manifest(pinned)
        guard document.descriptor.size == entry.size else { throw mismatch("the manifest of \(pinned)") }
        return (top.descriptor, try ImageManifest(parsing: document, name: "\(pinned)"))
    }

    /// The config a manifest names, its digest proven.
    package func config(of manifest: ImageManifest, in reference: ImageReference) async throws -> ImageConfig {
        let endpoint = try RegistryEndpoint(reference)
        let name = "the config of \(reference)"
        guard manifest.config.size <= Int64(RegistryClient.maxConfigBytes) else {
            throw ImageError(.tooLarge, "\(name) has \(manifest.config.size) bytes")
        }
        let request = HTTPRequest(
            "GET", endpoint.url("blobs/\(manifest.config.digest)"), maxBodyBytes: RegistryClient.maxConfigBytes,
            maxRedirects: RegistryClient.maxRedirects)
        let response = try await send(request, to: endpoint, .pull, isRepeatable: true)
        guard response.status == 200 else { throw failure(response, endpoint, name) }
        guard ImageDigest(of: response.body) == manifest.config.digest else { throw mismatch(name) }
        // Whatever the decoder says, the bytes are what was pushed: the image itself is at fault.
        guard let json = try? JSONValue(parsing: response.body), json.object != nil else {
            throw FetchedManifest.malformed("\(reference)", "its config is no JSON object")
        }
        let config = ImageConfig(json)
        guard config.diffIDs.count == manifest.layers.count, config.diffIDs.allSatisfy(ImageReference.isDigest) else {
            throw FetchedManifest.malformed("\(reference)", "its config names other layers than its manifest")
        }
        return config
    }

    /// Manifest and config for a platform. Throws also where there is nothing to start, or the platform is another.
    package func resolveImage(
        _ reference: ImageReference, for platform: ImageLayers.Platform = .linuxAMD64
    ) async throws -> ResolvedImage {
        let image = try await describe(reference, for: platform)
        try image.config.requireCommand(name: "\(reference)")
        return image
    }

    /// As ``resolveImage(_:for:)``, for an image that may start nothing by itself.
    func describe(_ reference: ImageReference, for platform: ImageLayers.Platform) async throws -> ResolvedImage {
        let (resolved, manifest) = try await platformManifest(reference, for: platform)
        let config = try await config(of: manifest, in: reference)
        let actual = config.platform
        guard actual.os == platform.os, actual.architecture == platform.architecture else {
            throw ImageError(
                .platformMismatch, "\(reference) is for \(actual), not for \(platform)",
                hint: "Build the image for \(platform).")
        }
        return ResolvedImage(
            reference: reference.pinned(to: resolved.digest), digest: resolved.digest, manifest: manifest,
            config: config)
    }

    /// Proves that a machine could pull and start the image now: manifest and config are read and checked, and every
    /// layer is looked for. The error says which part is not there, or who refuses to tell.
    package func provePullable(
        _ reference: ImageReference, for platform: ImageLayers.Platform = .linuxAMD64
    ) async throws -> ResolvedImage {
        let image = try await resolveImage(reference, for: platform)
        let endpoint = try RegistryEndpoint(reference)
        let layers = Set(image.manifest.layers.filter { !$0.mediaType.isForeignLayer })
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, layer) in layers.enumerated() {
                if index >= RegistryClient.maxParallelChecks { try await group.next() }
                group.addTask {
                    guard let size = try await blobSize(layer.digest, endpoint, .pull) else {
                        throw ImageError(
                            .notFound,
                            "the layer \(layer.digest.short) of \(reference) is not in the registry any more",
                            hint: "The image can't be pulled: build and push it again.")
                    }
                    guard size == layer.size || size < 0 else {
                        throw mismatch("the layer \(layer.digest.short) of \(reference)")
                    }
                }
            }
            try await group.waitForAll()
        }
        return image
    }

    /// Whether the image, or a part of it, is certainly gone (false), or all there (true); throws where neither can be
    /// told: refused, unreachable, malformed, nothing to start.
    package func isPullable(_ reference: ImageReference) async throws -> Bool {
        do {
            _ = try await provePullable(reference)
            return true
        } catch let error as ImageError where error.code == .notFound {
            return false
        }
    }

    /// The size of a blob, -1 where the registry does not tell it, nil where it has none.
    func blobSize(
        _ digest: ImageDigest, _ endpoint: RegistryEndpoint, _ access: RegistryAccess
    ) async throws -> Int64? {
        let request = HTTPRequest("HEAD", endpoint.url("blobs/\(digest)"), maxRedirects: RegistryClient.maxRedirects)
        let response = try await send(request, to: endpoint, access, isRepeatable: true)
        switch response.status {
        case 200: return response.headers["Content-Length"].flatMap { Int64($0) } ?? -1
        case 404: return nil
        default: throw failure(response, endpoint, "the blob \(digest.short) of \(endpoint.repository)")
        }
    }

    /// Streams a blob into a file and proves its size and digest.
    func download(_ descriptor: Descriptor, from reference: ImageReference, to path: String) async throws {
        let endpoint = try RegistryEndpoint(reference)
        let name = "the blob \(descriptor.digest.short) of \(reference)"
        guard descriptor.size <= limits.maxLayerBytes else {
            throw ImageError(.tooLarge, "\(name) has \(descriptor.size) bytes, more than \(limits.maxLayerBytes)")
        }
        let request = HTTPRequest(
            "GET", endpoint.url("blobs/\(descriptor.digest)"),
            timeouts: HTTPTimeouts(total: limits.transferTimeout), maxBodyBytes: Int(descriptor.size),
            downloadPath: path, maxRedirects: RegistryClient.maxRedirects)
        let response = try await send(request, to: endpoint, .pull, isRepeatable: true)
        guard response.status == 200 else { throw failure(response, endpoint, name) }
        let (digest, size) = try await FileWork.run { try ImageDigest.ofFile(path) }
        guard digest == descriptor.digest, size == descriptor.size else { throw mismatch(name) }
    }

    func manifestRequest(
        _ method: String, _ reference: ImageReference, _ endpoint: RegistryEndpoint
    ) -> HTTPRequest {
        let name = reference.digest?.rawValue ?? reference.tag ?? "latest"
        return HTTPRequest(
            method, endpoint.url("manifests/\(name)"), headers: ["Accept": MediaType.acceptedManifests],
            maxRedirects: RegistryClient.maxRedirects)
    }

    /// Without parameters such as a character set.
    private static func mediaType(_ response: HTTPResponse) -> MediaType? {
        guard let text = response.headers["Content-Type"]?.split(separator: ";").first else { return nil }
        return MediaType(rawValue: String(text.filter { $0 != " " }))
    }

    func mismatch(_ what: String) -> ImageError {
        ImageError(
            .digestMismatch, "\(what) is not what its digest promises",
            hint: "The registry, or something between it and here, changes what it sends: don't deploy from it.")
    }
}
