// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Glibc
import HTTPTransport
import Model
import Testing

@testable import Images

/// Images against programs of other makers: skopeo, and Debian's docker-registry over real sockets.
@Suite struct RegistryPeerTests {
    @Test func `skopeo reads the layout`() async throws {
        guard isInstalled("skopeo") else {
            print("skipped: skopeo is not installed")
            return
        }
        try await withFolder { folder in
            let image = try await offlineBuilder().assemble(
                source: MemoryTree.service, layers: .service, created: committedAt)
            try await image.writeLayout(to: folder + "/oci", tag: "v1")
            let inspected = try await run("skopeo inspect oci:\(folder)/oci:v1")
            #expect(inspected.status == 0, "\(inspected.output)")
            let json = try JSONValue(parsing: inspected.output)
            #expect(json["Digest"]?.string == image.digest.rawValue)
            #expect(json["Created"]?.string == "2026-09-21T14:13:20Z")
            #expect(json["Architecture"]?.string == "amd64")
            #expect(json["Env"] == ["MODE=a \"quoted\" value", "PORT=8080"])
            let copied = try await run("skopeo --insecure-policy copy oci:\(folder)/oci:v1 dir:\(folder)/out")
            #expect(copied.status == 0, "\(copied.output)")
        }
    }

    @Test func `docker-registry takes pushes, resumes and mounts, and skopeo pulls`() async throws {
        guard isInstalled("docker-registry") else {
            print("skipped: docker-registry is not installed")
            return
        }
        try await withFolder { folder in
            let registry = try await RegistryProcess(folder: folder)
            defer { registry.stop() }
            let http = HTTPClient()
            var limits = RegistryClient.Limits()
            limits.uploadChunkBytes = 1024 * 1024
            let client = RegistryClient(http: http, limits: limits)
            var tree = MemoryTree.service
            tree.pieceBytes = 1024 * 1024
            // More than an answer in memory may have, and many pieces.
            tree.add("dist/large.bin", [UInt8](repeating: 7, count: 12_345_678))
            let base = ImageReference(parsing: registry.host + "/team/base:v1")!
            let builder = ImageBuilder(registry: client)
            let first = try await builder.buildAndPush(
                source: tree, layers: .service, created: committedAt, target: base)
            #expect(first.uploadedBytes > 12_345_678)
            #expect(try await client.resolve(base).digest == first.digest)
            #expect(try await client.provePullable(base).config.command == ["/app/server", "--port", "8080"])

            let again = try await builder.buildAndPush(
                source: tree, layers: .service, created: committedAt, target: base)
            #expect(again.uploadedBytes == 0)

            // A second image on the first, with an answer lost in the middle of the upload.
            let layers = ImageLayers(
                base: .image(reference: base), copies: [.init(from: "dist/large.bin", to: "/data/large.bin")])
            let network = FlakyNetwork(http: http)
            let flaky = RegistryClient(http: network, limits: limits, sleep: { _ in })
            let target = ImageReference(parsing: registry.host + "/team/app:v2")!
            let second = try await ImageBuilder(registry: flaky).buildAndPush(
                source: tree, layers: layers, created: committedAt, target: target)
            #expect(second.skippedBytes > 12_345_678)
            // A mount, a layer and a config; the piece that never arrived is sent again where the upload stands. Only
            // the lost answer costs a fourth: this registry forgets an upload whose newest state it could not tell.
            #expect(network.starts.next() == 4)
            #expect(second.layerDigests.first == first.layerDigests.first)
            #expect(try await client.provePullable(second.reference).manifest.layers.count == 2)

            #expect(
                try await code {
                    _ = try await client.resolve(base.pinned(to: ImageDigest(RegistryPullTests.zeros)))
                } == .notFound)
            guard isInstalled("skopeo") else { return }
            let pulled = try await run(
                "skopeo --insecure-policy copy --src-tls-verify=false docker://\(target) dir:\(folder)/pulled")
            #expect(pulled.status == 0, "\(pulled.output)")
            // What another tool pushes, gzip and Docker's own format, resolves too.
            let foreign = ImageReference(parsing: registry.host + "/team/foreign:v1")!
            let pushed = try await run(
                "skopeo --insecure-policy copy --format v2s2 --dest-compress dir:\(folder)/pulled "
                    + "dir:\(folder)/gzip && "
                    + "skopeo --insecure-policy copy --dest-tls-verify=false --preserve-digests "
                    + "dir:\(folder)/gzip docker://\(foreign)")
            #expect(pushed.status == 0, "\(pushed.output)")
            let onForeign = ImageLayers(
                base: .image(reference: foreign), copies: [.init(from: "README.md", to: "/README.md")])
            let third = try await builder.buildAndPush(
                source: tree, layers: onForeign, created: committedAt,
                target: ImageReference(parsing: registry.host + "/team/third:v1")!)
            let proven = try await client.provePullable(third.reference)
            #expect(proven.manifest.layers.map(\.mediaType.rawValue.last) == ["p", "p", "r"])
            #expect(proven.config.command == ["/app/server", "--port", "8080"])
        }
    }
}

/// Debian's docker-registry on a free port of this machine.
final class RegistryProcess {
    let host: String
    private let process: pid_t

    init(folder: String) async throws {
        let port = try RegistryProcess.freePort()
        host = "127.0.0.1:\(port)"
        let configuration = """
            version: 0.1
            log: { level: error }
            storage: { filesystem: { rootdirectory: \(folder)/registry }, delete: { enabled: true } }
            http: { addr: 127.0.0.1:\(port) }
            """
        try Data(configuration.utf8).write(to: URL(filePath: folder + "/registry.yml"))
        let words = ["docker-registry", "serve", folder + "/registry.yml"]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { arguments.forEach { free($0) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, folder + "/registry.log", O_WRONLY | O_CREAT, 0o600)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var process: pid_t = 0
        try #require(posix_spawnp(&process, "docker-registry", &actions, nil, arguments, environ) == 0)
        self.process = process
        let http = HTTPClient()
        for _ in 0..<500 {
            // Refused until it listens: that is what is waited for.
            if let answer = try? await http.send(HTTPRequest("GET", "http://\(host)/v2/")), answer.status == 200 {
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        let log = try String(contentsOfFile: folder + "/registry.log", encoding: .utf8)
        Issue.record("docker-registry does not start: \(log)")
    }

    func stop() {
        kill(process, SIGKILL)
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    private static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) == 0 && getsockname(descriptor, generic, &length) == 0
            }
        }
        try #require(bound)
        return UInt16(bigEndian: address.sin_port)
    }
}

/// Loses one piece of an upload on its way, and later one answer on its way back.
struct FlakyNetwork: HTTPSending {
    let http: HTTPClient
    let pieces = Counter()
    let starts = Counter()

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let piece = request.method == "PATCH" ? pieces.next() : -1
        if request.method == "POST" { _ = starts.next() }
        if piece == 2 { throw RegistryPushTests.lost }
        let response = try await http.send(request)
        if piece == 6 { throw RegistryPushTests.lost }
        return response
    }
}
