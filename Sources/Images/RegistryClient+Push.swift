// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTransport
internal import Model

/// How far the making or pushing of an image is.
package struct ImageProgress: Hashable, Sendable {
    package enum Phase: Hashable, Sendable {
        case assembling, downloading, uploading
    }

    package var phase: Phase
    /// What it is about, for people: a copy's title, a blob's short digest.
    package var subject: String
    /// Bytes done of `totalBytes`.
    package var completedBytes: Int64
    package var totalBytes: Int64

    package typealias Observer = @Sendable (ImageProgress) -> Void
}

/// How a blob came to be in a repository.
enum BlobPushOutcome: Hashable, Sendable {
    case existed, mounted, uploaded
}

extension RegistryClient {
    /// Puts a blob of a local file into a repository, unless it is there or can be mounted from another one.
    func push(
        _ blob: Blob, to endpoint: RegistryEndpoint, mountedFrom source: String? = nil,
        progress: @escaping ImageProgress.Observer
    ) async throws -> BlobPushOutcome {
        if try await blobSize(blob.descriptor.digest, endpoint, .push) != nil { return .existed }
        switch try await startUpload(blob.descriptor.digest, endpoint, mountedFrom: source) {
        case .mounted: return .mounted
        case .session(let session):
            try await upload(blob, session, endpoint, progress)
            return .uploaded
        }
    }

    /// Asks for a blob of another repository of the same registry; false where the registry can't.
    func mount(_ digest: ImageDigest, to endpoint: RegistryEndpoint, from source: String) async throws -> Bool {
        switch try await startUpload(digest, endpoint, mountedFrom: source) {
        case .mounted: return true
        case .session(let session):
            // Not needed any more; a registry drops abandoned uploads by itself, so its answer does not matter.
            _ = try? await send(HTTPRequest("DELETE", session.url), to: endpoint, .push, isRepeatable: false)
            return false
        }
    }

    private struct Session {
        var url: String
        /// The least a piece may have, where the registry says so (`OCI-Chunk-Min-Length`).
        var minChunkBytes: Int64 = 0
    }

    private enum Start {
        case mounted
        case session(Session)
    }

    private func startUpload(
        _ digest: ImageDigest, _ endpoint: RegistryEndpoint, mountedFrom source: String?
    ) async throws -> Start {
        var url = endpoint.url("blobs/uploads/")
        var access = RegistryAccess.push
        if let source {
            url += "?mount=\(percentEncoded(digest.rawValue))&from=\(percentEncoded(source))"
            access.mountedRepository = source
        }
        // Repeating it leaves at worst an empty upload, which the registry forgets.
        let request = HTTPRequest("POST", url, body: .bytes(Data()))
        let response = try await send(request, to: endpoint, access, isRepeatable: true)
        switch response.status {
        case 201 where source != nil:
            return .mounted
        case 202:
            let minimum = response.headers["OCI-Chunk-Min-Length"].flatMap { Int64($0) } ?? 0
            return .session(Session(url: try location(response, endpoint, url), minChunkBytes: minimum))
        case 401, 403,
            404 where source != nil:
            // The other repository can't be read with these credentials: push as if there were none.
            return try await startUpload(digest, endpoint, mountedFrom: nil)
        default:
            throw failure(
                response, endpoint, "the start of an upload to \(endpoint.repository)", otherwise: .pushRefused)
        }
    }

    private func location(
        _ response: HTTPResponse, _ endpoint: RegistryEndpoint, _ url: String
    ) throws(ImageError) -> String {
        guard let location = response.headers["Location"], !location.isEmpty else {
            throw ImageError(
                .registryUnavailable,
                "the registry \(endpoint.host) does not say where an upload to "
                    + "\(endpoint.repository) goes on",
                hint: "Check that \(endpoint.host) is a registry.")
        }
        return try endpoint.resolve(location: location, from: url)
    }

    // MARK: Pieces

    /// How far an upload is, and where it goes on.
    private struct Upload {
        var session: Session
        var offset: Int64 = 0
        /// The most bytes the registry ever had: only more than that counts as progress.
        var furthest: Int64 = 0
        var failures = 0
    }

    /// Sends the pieces, and after a failure goes on where the registry says it is.
    private func upload(
        _ blob: Blob, _ session: Session, _ endpoint: RegistryEndpoint, _ progress: @escaping ImageProgress.Observer
    ) async throws {
        var upload = Upload(session: session)
        let digest = blob.descriptor.digest
        let total = blob.descriptor.size
        func report() {
            progress(
                ImageProgress(
                    phase: .uploading, subject: digest.short, completedBytes: upload.offset, totalBytes: total))
        }
        report()
        while true {
            do {
                while upload.offset < total {
                    try await sendPiece(of: blob, &upload, endpoint)
                    report()
                }
                try await finish(blob, upload.session, endpoint)
                return
            } catch let fault as UploadFault {
                upload.failures += 1
                guard fault.isPassing, upload.failures < limits.maxUploadFailures else { throw fault.error }
                try await sleep(min(limits.firstRetryDelay * (1 << min(upload.failures - 1, 10)), limits.maxRetryDelay))
                // The last request may have done its work although its answer was lost.
                if try await blobSize(digest, endpoint, .push) != nil { return }
                try await recover(&upload, total, endpoint, digest)
                report()
            }
        }
    }

    /// A failure that another attempt may get over.
    private struct UploadFault: Error {
        var error: ImageError
        var isPassing: Bool
    }

    private func attempt(_ request: HTTPRequest, _ endpoint: RegistryEndpoint, _ what: String) async throws
        -> HTTPResponse
    {
        let response: HTTPResponse
        do {
            response = try await send(request, to: endpoint, .push, isRepeatable: false)
        } catch let error as ImageError where error.code == .registryUnavailable {
            throw UploadFault(error: error, isPassing: true)
        }
        if (200..<300).contains(response.status) { return response }
        let error = failure(response, endpoint, what, otherwise: .pushRefused)
        // 404: the upload is forgotten; 416: the piece does not start where the registry is. Both can be made good.
        let isPassing = RegistryClient.isPassing(response.status) || [404, 416].contains(response.status)
        throw UploadFault(error: error, isPassing: isPassing)
    }

    private func sendPiece(of blob: Blob, _ upload: inout Upload, _ endpoint: RegistryEndpoint) async throws {
        let total = blob.descriptor.size
        let length = min(max(limits.uploadChunkBytes, upload.session.minChunkBytes), total - upload.offset)
        let last = upload.offset + length - 1
        let request = HTTPRequest(
            "PATCH", upload.session.url,
            headers: [
                "Content-Type": "application/octet-stream",
                "Content-Range": "\(upload.offset)-\(last)",
            ],
            body: .file(path: blob.path, offset: upload.offset, length: length),
            timeouts: HTTPTimeouts(total: limits.transferTimeout))
        let response = try await attempt(request, endpoint, "the upload of \(blob.descriptor.digest.short)")
        upload.session.url = try location(response, endpoint, upload.session.url)
        // A registry that kept less than was sent says so, and the rest is sent again.
        let reached = RegistryClient.rangeEnd(response).map { $0 + 1 } ?? (last + 1)
        guard reached > upload.offset, reached <= last + 1 else {
            throw UploadFault(
                error: ImageError(
                    .pushRefused,
                    "the registry \(endpoint.host) reports \(reached) bytes of an upload that is at "
                        + "\(last + 1)"), isPassing: true)
        }
        upload.offset = reached
        if reached > upload.furthest {
            upload.furthest = reached
            upload.failures = 0
        }
    }

    /// Asks where the upload is; starts a new one where that can't be told.
    private func recover(
        _ upload: inout Upload, _ total: Int64, _ endpoint: RegistryEndpoint, _ digest: ImageDigest
    ) async throws {
        let status = try await send(
            HTTPRequest("GET", upload.session.url), to: endpoint, .push, isRepeatable: true)
        // “0-0” stands for one byte and, in widespread registries, also for none: only a new upload is certain.
        if status.status == 204 || status.status == 202, let end = RegistryClient.rangeEnd(status), end > 0, end < total
        {
            if status.headers["Location"] != nil {
                upload.session.url = try location(status, endpoint, upload.session.url)
            }
            upload.offset = end + 1
            return
        }
        switch try await startUpload(digest, endpoint, mountedFrom: nil) {
        case .session(let session):
            upload.session = session
            upload.offset = 0
        case .mounted:
            throw ImageError(.pushRefused, "the registry \(endpoint.host) mounts a blob nobody asked it to mount")
        }
    }

    private func finish(_ blob: Blob, _ session: Session, _ endpoint: RegistryEndpoint) async throws {
        let digest = blob.descriptor.digest
        let url = session.url + (session.url.contains("?") ? "&" : "?") + "digest=" + percentEncoded(digest.rawValue)
        let request = HTTPRequest(
            "PUT", url, headers: ["Content-Type": "application/octet-stream"],
            body: .bytes(Data()), timeouts: HTTPTimeouts(total: limits.transferTimeout, stall: .seconds(120)))
        let response = try await attempt(request, endpoint, "the end of the upload of \(digest.short)")
        if let returned = response.headers["Docker-Content-Digest"], returned != digest.rawValue {
            throw mismatch("what the registry \(endpoint.host) stored for \(digest.short)")
        }
    }

    /// The last byte of `Range: 0-N`, with or without its unit; nil where there is none.
    static func rangeEnd(_ response: HTTPResponse) -> Int64? {
        guard var text = response.headers["Range"].map({ Substring($0) }) else { return nil }
        if text.hasPrefix("bytes=") { text = text.dropFirst(6) }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "0", let end = Int64(parts[1]), end >= 0 else { return nil }
        return end
    }

    // MARK: Manifests

    /// Puts a manifest by its digest and by a tag, and proves that the registry holds these bytes under both.
    func pushManifest(_ data: Data, mediaType: MediaType, to reference: ImageReference) async throws {
        let endpoint = try RegistryEndpoint(reference)
        let digest = ImageDigest(of: data)
        for name in [digest.rawValue, reference.tag].compactMap(\.self) {
            let request = HTTPRequest(
                "PUT", endpoint.url("manifests/\(name)"),
                headers: ["Content-Type": mediaType.rawValue],
                body: .bytes(data))
            let response = try await send(request, to: endpoint, .push, isRepeatable: true)
            guard response.status == 201 || response.status == 200 || response.status == 202 else {
                throw failure(
                    response, endpoint, "the manifest of \(endpoint.repository)", otherwise: .pushRefused)
            }
            if let returned = response.headers["Docker-Content-Digest"], returned != digest.rawValue {
                throw mismatch("the manifest the registry \(endpoint.host) stored as \(name)")
            }
        }
        var stored = ImageReference(registry: reference.registry, repository: reference.repository)
        if let tag = reference.tag { stored.tag = tag } else { stored.digest = digest }
        guard try await resolve(stored).digest == digest else {
            throw mismatch("the manifest the registry \(endpoint.host) holds for \(stored)")
        }
    }
}
