// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc
internal import HTTPTypes
internal import Hummingbird
internal import Model
internal import NIOCore

/// The HTTP face of the registry: OCI distribution specification 1.1, push and pull.
struct RegistryRoutes: Sendable {
    static let readChunkBytes = 256 * 1024
    static let maxTagsPerPage = 1000

    let store: RegistryStore
    /// Says whether a token may use the registry, an empty one standing for no credentials; nil lets everybody in.
    let isAuthorized: (@Sendable (_ token: String) -> Bool)?

    /// Adds the routes below `/v2`. With `isAuthorized`, Basic credentials `x:TOKEN` are required, as at Fly.
    static func add(
        to router: some RouterMethods<some RequestContext>, store: RegistryStore,
        isAuthorized: (@Sendable (_ token: String) -> Bool)? = nil
    ) {
        let routes = RegistryRoutes(store: store, isAuthorized: isAuthorized)
        let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete]
        for method in methods {
            for path: RouterPath in ["/v2", "/v2/**"] {
                router.on(path, method: method) { request, _ in await routes.respond(to: request) }
            }
        }
    }

    /// Answers any request below `/v2`.
    func respond(to request: Request) async -> Response {
        do {
            try authorize(request)
            guard let target = try RegistryTarget.parse(request.uri.path) else {
                throw RegistryError(.unsupported, 404, "this registry has no \(request.uri.path)")
            }
            return try await answer(target, request)
        } catch let error as RegistryError {
            return failure(error)
        } catch {
            return failure(RegistryError(.blobUploadInvalid, 500, "\(error)"))
        }
    }

    private func authorize(_ request: Request) throws(RegistryError) {
        guard let isAuthorized, !isAuthorized(RegistryRoutes.token(request)) else { return }
        throw RegistryError(.unauthorized, 401, "authentication required")
    }

    /// The password of Basic credentials of the user `x`; empty where there are none.
    private static func token(_ request: Request) -> String {
        let words = (request.headers[.authorization] ?? "").split(separator: " ")
        guard words.count == 2, words[0].lowercased() == "basic", let data = Data(base64Encoded: String(words[1]))
        else { return "" }
        let credentials = String(decoding: data, as: UTF8.self)
        guard let colon = credentials.firstIndex(of: ":"), credentials[..<colon] == "x" else { return "" }
        return String(credentials[credentials.index(after: colon)...])
    }

    private func answer(_ target: RegistryTarget, _ request: Request) async throws -> Response {
        switch (request.method, target) {
        case (.get, .base), (.head, .base):
            return json("{}")
        case (.get, .blob(let repository, let digest)), (.head, .blob(let repository, let digest)):
            return try await blob(repository, digest, isHead: request.method == .head)
        case (.post, .uploads(let repository)):
            return try await begin(repository, request)
        case (.get, .upload(let repository, let id)):
            guard let size = store.size(ofUpload: id, repository: repository) else {
                throw RegistryError(.blobUploadUnknown, 404, "there is no such upload here")
            }
            return progress(repository, id, size, .noContent)
        case (.patch, .upload(let repository, let id)):
            var upload = try store.take(id, repository: repository)
            try await receive(request, into: &upload)
            try store.keep(upload)
            return progress(repository, id, upload.size, .accepted)
        case (.put, .upload(let repository, let id)):
            return try await finish(repository, id, request)
        case (.delete, .upload(let repository, let id)):
            store.drop(try store.take(id, repository: repository))
            return Response(status: .noContent)
        case (.get, .manifest(let repository, let reference)), (.head, .manifest(let repository, let reference)):
            return try await manifest(repository, reference, isHead: request.method == .head)
        case (.put, .manifest(let repository, let reference)):
            return try await putManifest(repository, reference, request)
        case (.get, .tags(let repository)):
            return try await tags(repository, request)
        default:
            throw RegistryError(.unsupported, 405, "\(request.method.rawValue) is not supported here")
        }
    }

    // MARK: Pull

    private func blob(_ repository: String, _ digest: String, isHead: Bool) async throws -> Response {
        let store = store
        guard let size = try await store.perform({ store.blobSize(repository: repository, digest: digest) }) else {
            throw RegistryError(.blobUnknown, 404, "the repository does not have \(digest)")
        }
        let headers: HTTPFields = [
            .contentType: "application/octet-stream", .contentLength: String(size), .contentDigest: digest,
        ]
        guard !isHead else { return Response(status: .ok, headers: headers) }
        let path = store.blobPath(digest)
        let body = ResponseBody(contentLength: Int(size)) { writer in
            var offset: Int64 = 0
            while offset < size {
                let start = offset
                let chunk = try await store.perform { try RegistryRoutes.read(path, at: start) }
                guard chunk.readableBytes > 0 else { throw SystemError("\(digest) ended early", EIO) }
                offset += Int64(chunk.readableBytes)
                try await writer.write(chunk)
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    private static func read(_ path: String, at offset: Int64) throws -> ByteBuffer {
        let handle = open(path, O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { throw SystemError("the blob cannot be read", errno) }
        defer { close(handle) }
        var buffer = ByteBufferAllocator().buffer(capacity: readChunkBytes)
        var problem: Int32 = 0
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: readChunkBytes) { pointer in
            let count = pread(handle, pointer.baseAddress, readChunkBytes, off_t(offset))
            if count < 0 { problem = errno }
            return max(0, count)
        }
        if problem != 0 { throw SystemError("the blob cannot be read", problem) }
        return buffer
    }

    private func manifest(_ repository: String, _ reference: String, isHead: Bool) async throws -> Response {
        let store = store
        guard
            let manifest = try await store.perform({ try store.manifest(repository: repository, reference: reference) })
        else { throw RegistryError(.manifestUnknown, 404, "the repository has no manifest \(reference)") }
        let headers: HTTPFields = [
            .contentType: manifest.mediaType, .contentLength: String(manifest.bytes.count),
            .contentDigest: manifest.digest,
        ]
        let body = isHead ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: manifest.bytes))
        return Response(status: .ok, headers: headers, body: body)
    }

    private func tags(_ repository: String, _ request: Request) async throws -> Response {
        let store = store
        guard var tags = try await store.perform({ try store.tags(repository: repository) }) else {
            throw RegistryError(.nameUnknown, 404, "there is no repository \(repository)")
        }
        let query = request.uri.queryParameters
        if let last = query["last"] { tags.removeAll { $0 <= last } }
        let limit = min(query["n"].flatMap { Int($0) } ?? RegistryRoutes.maxTagsPerPage, RegistryRoutes.maxTagsPerPage)
        let page = Array(tags.prefix(max(0, limit)))
        var response = json(
            JSONValue.object(["name": .string(repository), "tags": .array(page.map(JSONValue.string))]).text())
        if page.count < tags.count, let last = page.last {
            response.headers[.link] = "</v2/\(repository)/tags/list?n=\(limit)&last=\(last)>; rel=\"next\""
        }
        return response
    }

    // MARK: Push

    private func begin(_ repository: String, _ request: Request) async throws -> Response {
        let store = store
        let query = request.uri.queryParameters
        if let digest = query["mount"].map({ String($0) }), let source = query["from"].map({ String($0) }) {
            guard RegistryName.isDigest(digest) else {
                throw RegistryError(.digestInvalid, 400, "“\(digest)” is not a sha256 digest")
            }
            if RegistryName.isRepository(source),
                try await store.perform({ try store.mount(digest, from: source, to: repository) })
            {
                return created(repository, digest)
            }
        }
        var upload = try await store.perform { try store.beginUpload(repository: repository) }
        if let digest = query["digest"].map({ String($0) }) {
            return try await finish(&upload, digest, request)
        }
        try store.keep(upload)
        return progress(repository, upload.id, 0, .accepted)
    }

    private func finish(_ repository: String, _ id: String, _ request: Request) async throws -> Response {
        guard let digest = request.uri.queryParameters["digest"].map({ String($0) }) else {
            throw RegistryError(.digestInvalid, 400, "the digest parameter is missing")
        }
        var upload = try store.take(id, repository: repository)
        return try await finish(&upload, digest, request)
    }

    private func finish(_ upload: inout RegistryStore.Upload, _ digest: String, _ request: Request) async throws
        -> Response
    {
        guard RegistryName.isDigest(digest) else {
            store.drop(upload)
            throw RegistryError(.digestInvalid, 400, "“\(digest)” is not a sha256 digest")
        }
        try await receive(request, into: &upload)
        let store = store
        let whole = upload
        try await store.perform { try store.finish(whole, digest: digest) }
        return created(upload.repository, digest)
    }

    /// Appends the body. Where that fails the upload goes back to the store as it was, and the error is thrown.
    private func receive(_ request: Request, into upload: inout RegistryStore.Upload) async throws {
        let store = store
        let before = upload
        do {
            var announced: Int64?
            if let text = request.headers[.contentRange] {
                guard let range = UploadRange(text) else {
                    throw RegistryError(.blobUploadInvalid, 400, "“\(text)” is not a range")
                }
                guard range.first == upload.size else {
                    throw RegistryError(
                        .blobUploadInvalid, 416, "the chunk starts at \(range.first), the upload ends at \(upload.size)"
                    )
                }
                announced = range.count
            }
            for try await buffer in request.body {
                let current = upload
                upload = try await store.perform {
                    var next = current
                    try store.append(buffer, to: &next)
                    return next
                }
                if let announced, upload.size - before.size > announced { break }
            }
            if let announced, upload.size - before.size != announced {
                throw RegistryError(.sizeInvalid, 400, "the chunk is not as long as its range says")
            }
        } catch {
            // Bytes of the refused chunk lie behind `before.size` and are overwritten by the next.
            upload = before
            try store.keep(before)
            throw error
        }
    }

    private func putManifest(_ repository: String, _ reference: String, _ request: Request) async throws -> Response {
        let store = store
        let body: ByteBuffer
        do {
            body = try await request.body.collect(upTo: RegistryStore.maxManifestBytes)
        } catch is NIOTooManyBytesError {
            throw RegistryError(.sizeInvalid, 413, "a manifest may have \(RegistryStore.maxManifestBytes) bytes")
        }
        let type = String((request.headers[.contentType] ?? "").prefix { $0 != ";" })
        let bytes = Array(body.readableBytesView)
        let digest = try await store.perform {
            try store.putManifest(bytes, mediaType: type, repository: repository, reference: reference)
        }
        let headers: HTTPFields = [.location: "/v2/\(repository)/manifests/\(digest)", .contentDigest: digest]
        return Response(status: .created, headers: headers)
    }

    // MARK: Answers

    private func progress(_ repository: String, _ id: String, _ size: Int64, _ status: HTTPResponse.Status) -> Response
    {
        Response(
            status: status,
            headers: [
                .location: "/v2/\(repository)/blobs/uploads/\(id)", .range: "0-\(max(0, size - 1))", .uploadID: id,
            ])
    }

    private func created(_ repository: String, _ digest: String) -> Response {
        Response(
            status: .created, headers: [.location: "/v2/\(repository)/blobs/\(digest)", .contentDigest: digest])
    }

    private func json(_ text: String, _ status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json", .apiVersion: "registry/2.0"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    private func failure(_ error: RegistryError) -> Response {
        let entry: JSONValue = ["code": .string(error.code.rawValue), "message": .string(error.message)]
        var response = json(JSONValue.object(["errors": [entry]]).text(), .init(code: error.status))
        if error.code == .unauthorized {
            response.headers[.wwwAuthenticate] = "Basic realm=\"registry\""
        }
        return response
    }
}

extension HTTPField.Name {
    // Constant names of valid characters: the initializer gives nil for others only.
    fileprivate static let contentDigest = HTTPField.Name("Docker-Content-Digest")!
    fileprivate static let uploadID = HTTPField.Name("Docker-Upload-UUID")!
    fileprivate static let apiVersion = HTTPField.Name("Docker-Distribution-API-Version")!
    fileprivate static let link = HTTPField.Name("Link")!
}
