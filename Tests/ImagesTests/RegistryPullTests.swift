// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Model
import Synchronization
import Testing

@testable import Images

@Suite struct RegistryPullTests {
    static let zeros = "sha256:" + String(repeating: "0", count: 64)

    /// A registry with a whole image as `team/app:v1`, and its manifest.
    static func filled() async throws -> (registry: FakeRegistry, image: PushedImage) {
        let registry = FakeRegistry()
        return (registry, try await RegistryPushTests.push(registry, registry.client()))
    }

    // MARK: Authorization

    @Test(arguments: [
        (
            #"Bearer realm="https://auth.example/token",service="a, b",scope="repository:x/y:pull,push""#,
            [
                RegistryChallenge(
                    scheme: "bearer",
                    parameters: [
                        "realm": "https://auth.example/token", "service": "a, b", "scope": "repository:x/y:pull,push",
                    ])
            ]
        ),
        (
            #"Basic realm = "a \"b\"" , BEARER Realm=c, Negotiate"#,
            [
                RegistryChallenge(scheme: "basic", parameters: ["realm": #"a "b""#]),
                RegistryChallenge(scheme: "bearer", parameters: ["realm": "c"]),
                RegistryChallenge(scheme: "negotiate", parameters: [:]),
            ]
        ),
        ("", []),
        (#"="", "", @@@"#, [RegistryChallenge]()),
        (#"Bearer realm="unended"#, [RegistryChallenge(scheme: "bearer", parameters: ["realm": "unended"])]),
    ])
    func `Challenges are read as they are written`(field: String, expected: [RegistryChallenge]) {
        #expect(RegistryChallenge.parse([field]) == expected)
    }

    @Test(arguments: [
        ("FlyV1 fm2_abc,fm2_def", "fm2_abc,fm2_def"), ("Bearer fm2_x", "fm2_x"), ("fm2_abc", "fm2_abc"), ("a b", "a b"),
    ])
    func `A Fly token is the password of x`(token: String, password: String) {
        let credential = RegistryCredential.fly(token: token)
        #expect(credential.user == "x")
        #expect(credential.password == password)
        #expect(!"\(credential)".contains(password))
        #expect(!String(reflecting: credential).contains(password))
    }

    @Test func `Basic and Bearer protection are answered, wrong credentials are refused`() async throws {
        let right = RegistryCredential.fly(token: "fm2_right")
        let wrong = RegistryCredential.fly(token: "fm2_wrong")
        for protection in [FakeRegistry.Protection.basic(right), .bearer(right)] {
            let registry = FakeRegistry()
            registry.state.withLock { $0.protection = protection }
            let image = try await RegistryPushTests.push(registry, registry.client(right))
            _ = try await registry.client(right).provePullable(image.reference)
            for client in [registry.client(wrong), registry.client()] {
                #expect(try await code { _ = try await client.provePullable(image.reference) } == .unauthorized)
            }
        }
        // Public images need a token too, but no credentials.
        let (registry, image) = try await Self.filled()
        registry.state.withLock { $0.protection = .bearer(nil) }
        _ = try await registry.client().provePullable(image.reference)
        // An expired token is replaced.
        let client = registry.client()
        _ = try await client.resolve(image.reference)
        registry.state.withLock { $0.tokens = [:] }
        _ = try await client.resolve(image.reference)
    }

    @Test(arguments: [
        "http://evil.example/token", "ftp://x/", "", "https://user:pw@evil.example/t", "http://127.0.0.1/t",
    ])
    func `Credentials never go to an unprotected realm`(realm: String) async throws {
        let registry = FakeRegistry(host: "registry.example")
        registry.state.withLock {
            $0.fault = { _, _ in FakeRegistry.response(401, ["WWW-Authenticate": "Bearer realm=\"\(realm)\""]) }
        }
        let client = registry.client(.fly(token: "fm2_secret"))
        do {
            _ = try await client.resolve(registry.reference("team/app:v1"))
            Issue.record("no error")
        } catch let error as ImageError {
            #expect(error.code == .unauthorized)
            #expect(!"\(error)".contains("pw@"))
        }
        #expect(registry.log.count == 1)
    }

    // MARK: Locations and names

    @Test(
        arguments: [
            ("/v2/r/blobs/uploads/1?_state=x", "https://r.example:5000/v2/r/blobs/uploads/1?_state=x"),
            ("http://r.example:5000/v2/u?s=1", "https://r.example:5000/v2/u?s=1"),
            ("https://store.example/u?s=1#f", "https://store.example/u?s=1"),
            ("//store.example/u", "https://store.example/u"),
            ("next?x=1", "https://r.example:5000/v2/r/blobs/uploads/next?x=1"),
            ("?x=1", "https://r.example:5000/v2/r/blobs/uploads/0?x=1"),
            ("http://store.example/u", nil), ("http://127.0.0.1/u", nil), ("https://a@store.example/u", nil),
            ("/a b", nil), ("/a\r\nX: y", nil),
        ] as [(String, String?)])
    func `Locations are resolved as URLs are`(location: String, expected: String?) throws {
        let reference = ImageReference(registry: "r.example:5000", repository: "r")
        let endpoint = try RegistryEndpoint(reference)
        let from = "https://r.example:5000/v2/r/blobs/uploads/0?_state=old"
        if let expected {
            #expect(try endpoint.resolve(location: location, from: from) == expected)
        } else {
            #expect(throws: ImageError.self) { try endpoint.resolve(location: location, from: from) }
        }
    }

    @Test(
        arguments: [
            ("127.0.0.1:5000", "http://127.0.0.1:5000"), ("localhost", "http://localhost"),
            ("[::1]:80", "http://[::1]:80"),
            ("localhost.example", "https://localhost.example"), ("127.0.0.1.example", "https://127.0.0.1.example"),
            ("registry.fly.io", "https://registry.fly.io"), ("docker.io", "https://registry-1.docker.io"),
            ("user@host", nil), ("a/b", nil), ("", nil), ("a b", nil),
        ] as [(String, String?)])
    func `Only this machine is spoken to without TLS`(host: String, root: String?) {
        #expect((try? RegistryEndpoint(ImageReference(registry: host, repository: "a/b")))?.root == root)
    }

    @Test(arguments: ["", "A", "a//b", "../a", "a/..", "a?b", "a/-b", String(repeating: "a", count: 256)])
    func `Repositories that would be another path are refused`(repository: String) {
        #expect(throws: ImageError.self) {
            try RegistryEndpoint(ImageReference(registry: "r.example", repository: repository))
        }
    }

    // MARK: What a registry may answer

    @Test func `HEAD that says too little is followed by GET`() async throws {
        let (registry, image) = try await Self.filled()
        for status in [200, 405] {
            registry.state.withLock {
                $0.fault = { _, request in
                    request.method == "HEAD" && request.url.contains("manifests") ? FakeRegistry.response(status) : nil
                }
            }
            #expect(try await registry.client().resolve(registry.reference("team/app:v1")).digest == image.digest)
        }
    }

    @Test func `What is missing is told apart from what can't be told`() async throws {
        let (registry, image) = try await Self.filled()
        let client = registry.client()
        #expect(try await client.isPullable(image.reference))
        #expect(try await !client.isPullable(registry.reference("team/app:v2")))
        #expect(try await !client.isPullable(registry.reference("team/other:v1")))
        #expect(try await !client.isPullable(registry.reference("team/app@" + Self.zeros)))
        let layer = image.layerDigests[0].rawValue
        let blob = registry.state.withLock { $0.blobs["team/app"]!.removeValue(forKey: layer)! }
        #expect(try await !client.isPullable(image.reference))
        registry.state.withLock { $0.blobs["team/app"]![layer] = Array(blob.dropLast()) }
        #expect(try await code { _ = try await client.isPullable(image.reference) } == .digestMismatch)
    }

    @Test(arguments: [
        (401, ImageError.Code.unauthorized), (403, .unauthorized), (404, .notFound), (500, .registryUnavailable),
        (503, .registryUnavailable), (429, .registryUnavailable), (418, .registryUnavailable),
    ])
    func `Refusals have their own errors`(status: Int, expected: ImageError.Code) async throws {
        let (registry, image) = try await Self.filled()
        registry.state.withLock { $0.fault = { _, _ in FakeRegistry.response(status, [:], Data("<html>".utf8)) } }
        let actual = try await code { _ = try await registry.client().provePullable(image.reference) }
        #expect(actual == expected)
    }

    @Test(arguments: [
        (HTTPError.Code.couldNotConnect, 4), (.couldNotResolve, 4), (.timedOut, 4), (.tlsFailed, 1), (.shutDown, 1),
    ])
    func `Reads are repeated a bounded number of times`(fault: HTTPError.Code, requests: Int) async throws {
        let registry = FakeRegistry()
        registry.state.withLock {
            $0.fault = { _, _ throws(HTTPError) in throw HTTPError(fault, "Broken.", mayHaveBeenProcessed: true) }
        }
        let actual = try await code { _ = try await registry.client().resolve(registry.reference("team/app:v1")) }
        #expect(actual == .registryUnavailable)
        #expect(registry.log.count == requests)
    }

    @Test func `Cancelling is no error of the registry's`() async throws {
        let registry = FakeRegistry()
        registry.state.withLock {
            $0.fault = { _, _ throws(HTTPError) in throw HTTPError(.cancelled, "Gone.", mayHaveBeenProcessed: true) }
        }
        await #expect(throws: CancellationError.self) {
            try await registry.client().resolve(registry.reference("team/app:v1"))
        }
    }

    static let manifestType = MediaType.manifest.rawValue

    @Test(arguments: [
        ("<html>hello</html>", manifestType, ImageError.Code.malformedManifest),
        ("[]", manifestType, .malformedManifest),
        (#"{"schemaVersion":2}"#, manifestType, .malformedManifest),
        (#"{"schemaVersion":2,"config":{"digest":"sha256:x"},"layers":[]}"#, manifestType, .malformedManifest),
        (#"{"schemaVersion":1}"#, manifestType, .unsupportedManifest),
        (#"{"schemaVersion":1}"#, "application/vnd.docker.distribution.manifest.v1+prettyjws", .unsupportedManifest),
        (#"{"manifests":[]}"#, MediaType.index.rawValue, .platformMismatch),
        (String(repeating: " ", count: 5_000_000), manifestType, .tooLarge),
    ])
    func `Noise is no manifest`(text: String, type: String, expected: ImageError.Code) async throws {
        let registry = FakeRegistry()
        registry.state.withLock {
            $0.fault = { _, request in
                guard request.url.contains("/manifests/"), request.method == "GET" else { return nil }
                let body = Data(text.utf8)
                // The fault stands before the fake's own bound on bodies.
                return body.count > request.maxBodyBytes
                    ? nil : FakeRegistry.response(200, ["Content-Type": type], body)
            }
            $0.manifests["team/app"] = ["v1": (type, Data(text.utf8))]
        }
        let actual = try await code { _ = try await registry.client().provePullable(registry.reference("team/app:v1")) }
        #expect(actual == expected)
    }

    @Test func `Bytes of another digest are refused`() async throws {
        let (registry, image) = try await Self.filled()
        registry.state.withLock { state in
            let manifest = state.manifests["team/app"]!["v1"]!
            state.manifests["team/app"]![image.digest.rawValue] = (manifest.type, manifest.data + Data(" ".utf8))
        }
        #expect(try await code { _ = try await registry.client().manifest(image.reference) } == .digestMismatch)
        #expect(try await code { _ = try await registry.client().resolve(image.reference) } == .digestMismatch)
        let config = try await registry.client().manifest(registry.reference("team/app:v1")).json["config"]?["digest"]?
            .string
        registry.state.withLock { $0.blobs["team/app"]![config!]! += [0x20] }
        let tagged = registry.reference("team/app:v1")
        #expect(try await code { _ = try await registry.client().resolveImage(tagged) } == .digestMismatch)
    }

    // MARK: Base images

    /// An index with two platforms over images of one layer each.
    static func fillBase(_ registry: FakeRegistry, command: Bool = true) async throws {
        var entries: [JSONValue] = []
        for architecture in ["arm64", "amd64"] {
            var tree = MemoryTree()
            tree.add("bin/sh", "shell of " + architecture, kind: .executable)
            let layers = ImageLayers(
                copies: [.init(from: "bin", to: "/bin")], entrypoint: ["/bin/sh"], cmd: ["-c", "x"],
                env: ["PATH": "/bin", "LANG": "C"], workdir: "/home", labels: ["base": "yes"],
                platform: .init(os: "linux", architecture: architecture))
            let image = try await RegistryPushTests.push(
                registry, registry.client(), "library/base:\(architecture)", layers: layers, source: tree)
            let descriptor = try await registry.client().resolve(image.reference)
            var entry = descriptor.json
            entry["platform"] = ["os": "linux", "architecture": .string(architecture)]
            entries.append(entry)
        }
        entries.insert(["platform": ["os": "unknown", "architecture": "unknown"]], at: 0)
        let index: JSONValue = [
            "schemaVersion": 2, "mediaType": .string(MediaType.index.rawValue), "manifests": .array(entries),
        ]
        let data = CanonicalJSON.data(index)
        registry.state.withLock {
            for name in ["1", ImageDigest(of: data).rawValue] {
                $0.manifests["library/base"]![name] = (MediaType.index.rawValue, data)
            }
        }
    }

    static func onBase(_ registry: FakeRegistry) -> ImageLayers {
        ImageLayers(
            base: .image(reference: registry.reference("library/base:1")),
            copies: [.init(from: "dist/server", to: "/app/"), .init(from: "dist/public", to: "public")],
            entrypoint: ["/app/server"], env: ["LANG": "en", "ZED": "1"], labels: ["own": "too"])
    }

    @Test(arguments: [true, false])
    func `A base's layers, settings and history are kept`(allowsMount: Bool) async throws {
        let registry = FakeRegistry()
        try await Self.fillBase(registry)
        registry.state.withLock { $0.allowsMount = allowsMount }
        let image = try await RegistryPushTests.push(registry, registry.client(), layers: Self.onBase(registry))
        let proven = try await registry.client().provePullable(image.reference)
        #expect(proven.manifest.layers.count == 3)
        #expect(proven.config.diffIDs == proven.manifest.layers.map(\.digest.rawValue))
        #expect(proven.config.entrypoint == ["/app/server"])
        #expect(proven.config.cmd == [])
        #expect(proven.config.env == ["LANG=en", "PATH=/bin", "ZED=1"])
        #expect(proven.config.workdir == "/home")
        #expect(proven.config.labels == ["base": "yes", "own": "too"])
        #expect(
            proven.config.json["history"]?.array?.compactMap { $0["created_by"]?.string } == [
                "airboss: copy bin to /bin", "airboss: copy dist/server to /app/",
                "airboss: copy dist/public to public",
            ])
        #expect(registry.log.contains { $0.contains("mount=") })
        let mounted = proven.manifest.layers[0].size
        #expect(image.skippedBytes == (allowsMount ? mounted : 0))
    }

    @Test func `A base of another registry is carried over`() async throws {
        let public_ = FakeRegistry(host: "127.0.0.1:5001")
        try await Self.fillBase(public_)
        let own = FakeRegistry()
        let client = RegistryClient(http: TwoRegistries(first: own, second: public_), sleep: { _ in })
        let image = try await RegistryPushTests.push(own, client, layers: Self.onBase(public_))
        #expect(image.skippedBytes == 0)
        _ = try await own.client().provePullable(image.reference)
        #expect(!own.log.contains { $0.contains("mount=") })
    }

    @Test func `A base for another platform is refused`() async throws {
        let registry = FakeRegistry()
        try await Self.fillBase(registry)
        var layers = Self.onBase(registry)
        layers.platform = .init(os: "linux", architecture: "s390x")
        let ofIndex = layers
        layers = Self.onBase(registry)
        layers.base = .image(reference: registry.reference("library/base:arm64"))
        for layers in [ofIndex, layers] {
            let actual = try await code {
                _ = try await RegistryPushTests.push(registry, registry.client(), layers: layers)
            }
            #expect(actual == .platformMismatch)
        }
    }
}

/// Two registries on one network.
struct TwoRegistries: HTTPSending {
    let first: FakeRegistry
    let second: FakeRegistry

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let host = RegistryEndpoint.host(of: request.url)
        return try await host == first.host ? first.send(request) : second.send(request)
    }
}
