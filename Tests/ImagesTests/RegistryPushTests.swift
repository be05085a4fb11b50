// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Model
import Synchronization
import Testing

@testable import Images

@Suite struct RegistryPushTests {
    static let lost = HTTPError(.connectionLost, "The connection was lost.", mayHaveBeenProcessed: true)

    static func push(
        _ registry: FakeRegistry, _ client: RegistryClient, _ target: String = "team/app:v1",
        layers: ImageLayers = .service, source: MemoryTree = .service
    ) async throws -> PushedImage {
        try await ImageBuilder(registry: client).buildAndPush(
            source: source, layers: layers, created: committedAt, target: registry.reference(target))
    }

    @Test func `An image is pushed in pieces, once, and can be proven pullable`() async throws {
        let registry = FakeRegistry()
        let seen = Mutex<[ImageProgress]>([])
        let builder = ImageBuilder(registry: registry.client())
        let target = registry.reference("team/app:v1")
        let first = try await builder.buildAndPush(
            source: MemoryTree.service, layers: .service, created: committedAt, target: target
        ) { progress in seen.withLock { $0.append(progress) } }
        #expect(registry.log.filter { $0.hasPrefix("PATCH") }.count > 10)
        #expect(first.skippedBytes == 0)
        #expect(first.uploadedBytes > 10_000)
        #expect(first.reference.description == "127.0.0.1:5999/team/app@\(first.digest)")
        #expect(first.layerDigests.count == 1)
        #expect(seen.withLock { $0.last.map { $0.completedBytes == $0.totalBytes } } == true)

        let second = try await builder.buildAndPush(
            source: MemoryTree.service, layers: .service, created: committedAt, target: target)
        #expect(second.digest == first.digest)
        #expect(second.uploadedBytes == 0)
        #expect(second.skippedBytes == first.uploadedBytes)

        let proven = try await registry.client().provePullable(target)
        #expect(proven.digest == first.digest)
        #expect(proven.config.command == ["/app/server", "--port", "8080"])
        #expect(proven.config.env == ["MODE=a \"quoted\" value", "PORT=8080"])
        #expect(try await registry.client().resolve(first.reference).digest == first.digest)
    }

    @Test(arguments: [true, false])
    func `Locations may be relative or absolute`(relative: Bool) async throws {
        let registry = FakeRegistry()
        registry.state.withLock { $0.relativeLocations = relative }
        _ = try await Self.push(registry, registry.client())
    }

    /// Every request of a push in turn fails once, in each way; the image arrives all the same.
    @Test(arguments: ["lost before", "lost after", "503", "partly stored"])
    func `A push survives one failure at any of its requests`(kind: String) async throws {
        let calm = FakeRegistry()
        let expected = try await Self.push(calm, calm.client()).digest
        for failing in calm.log.indices {
            let registry = FakeRegistry()
            let counter = Counter()
            registry.state.withLock { state in
                state.fault = { state, request throws(HTTPError) in
                    guard counter.next() == failing else { return nil }
                    switch kind {
                    case "lost before": throw Self.lost
                    case "503": return FakeRegistry.failure(503, "UNAVAILABLE")
                    case "partly stored":
                        // The registry kept half of a piece before the connection went.
                        if request.method == "PATCH", let id = state.uploads.keys.first {
                            let body = FakeRegistry.body(request)
                            state.uploads[id]! += body.prefix(body.count / 2)
                        }
                        throw Self.lost
                    default:
                        state.fault = nil
                        return nil
                    }
                }
            }
            let http: any HTTPSending = kind == "lost after" ? LossyAnswers(registry, losing: failing) : registry
            var limits = RegistryClient.Limits()
            limits.uploadChunkBytes = 1000
            let client = RegistryClient(http: http, limits: limits, sleep: { _ in })
            let image = try await Self.push(registry, client)
            #expect(image.digest == expected, "request \(failing): \(calm.log[failing])")
            let proven = try await registry.client().provePullable(image.reference)
            #expect(proven.digest == expected)
        }
    }

    @Test func `An upload goes on at the offset the registry reports`() async throws {
        let registry = FakeRegistry()
        let counter = Counter()
        registry.state.withLock { state in
            state.fault = { state, request throws(HTTPError) in
                guard request.method == "PATCH", counter.next() == 3, let id = state.uploads.keys.first else {
                    return nil
                }
                state.uploads[id]! += FakeRegistry.body(request).prefix(10)
                throw Self.lost
            }
        }
        _ = try await Self.push(registry, registry.client())
        #expect(registry.state.withLock { $0.uploadCount } == 2)  // layer and config: no new start
    }

    @Test func `An upload that never gets on ends, and an upload the registry forgot starts anew`() async throws {
        let registry = FakeRegistry()
        registry.state.withLock {
            $0.fault = { _, request in request.method == "PATCH" ? FakeRegistry.failure(500, "UNKNOWN") : nil }
        }
        #expect(try await code { _ = try await Self.push(registry, registry.client()) } == .registryUnavailable)

        let forgetful = FakeRegistry()
        let counter = Counter()
        forgetful.state.withLock {
            $0.fault = { state, request in
                if request.method == "PATCH", counter.next() == 4 { state.uploads = [:] }
                return nil
            }
        }
        _ = try await Self.push(forgetful, forgetful.client())
        #expect(forgetful.state.withLock { $0.uploadCount } == 3)
    }

    @Test func `A registry that stores something else is found out`() async throws {
        for method in ["blobs", "manifests"] {
            let registry = FakeRegistry()
            registry.state.withLock {
                $0.fault = { _, request in
                    guard request.method == "PUT", request.url.contains(method) else { return nil }
                    return FakeRegistry.response(
                        201, ["Docker-Content-Digest": "sha256:" + String(repeating: "0", count: 64)])
                }
            }
            #expect(try await code { _ = try await Self.push(registry, registry.client()) } == .digestMismatch)
        }
        // Not even a header: the tag still points to what somebody else pushed.
        let stale = FakeRegistry()
        let other = try await Self.push(
            stale, stale.client(),
            layers: .init(
                copies: [.init(from: "README.md", to: "/x", mode: 0o755)], entrypoint: ["/x"]))
        stale.state.withLock {
            $0.fault = { _, request in
                request.method == "PUT" && request.url.contains("manifests") ? FakeRegistry.response(201) : nil
            }
        }
        #expect(try await code { _ = try await Self.push(stale, stale.client()) } == .digestMismatch)
        #expect(try await stale.client().resolve(stale.reference("team/app:v1")).digest == other.digest)
    }

    @Test func `A refusal is passed on in the registry's words, without the token`() async throws {
        let registry = FakeRegistry()
        registry.state.withLock {
            $0.fault = { _, request in
                guard request.method == "POST" else { return nil }
                return FakeRegistry.response(
                    400, [:], Data(#"{"errors":[{"code":"DENIED","message":"no s3cr3t-token here"}]}"#.utf8))
            }
        }
        do {
            _ = try await Self.push(registry, registry.client(.fly(token: "s3cr3t-token")))
            Issue.record("no error")
        } catch let error as ImageError {
            #expect(error.code == .pushRefused)
            #expect(error.message.contains("DENIED: no *** here"))
        }
    }
}

/// Counts from 0.
final class Counter: Sendable {
    private let count = Mutex(0)
    func next() -> Int {
        count.withLock { value in
            defer { value += 1 }
            return value
        }
    }
}

/// Loses one answer after the registry did its work.
struct LossyAnswers: HTTPSending {
    let registry: FakeRegistry
    let losing: Int
    let counter = Counter()

    init(_ registry: FakeRegistry, losing: Int) {
        self.registry = registry
        self.losing = losing
    }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let response = try await registry.send(request)
        if counter.next() == losing { throw RegistryPushTests.lost }
        return response
    }
}
