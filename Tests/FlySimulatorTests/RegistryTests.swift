// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Crypto
import Foundation
import Model
import Testing

@testable import FlySimulator

@Suite("The registry over HTTP", .enabled(if: Command.has("curl"), "curl is needed"))
struct RegistryTests {
    private static func digest(_ bytes: [UInt8]) -> String { "sha256:" + hexadecimal(SHA256.hash(data: bytes)) }

    private static let manifestType = "application/vnd.oci.image.manifest.v1+json"

    @Test func `A blob goes up whole, in chunks and by mounting, and comes down as it was`() async throws {
        try await RegistryServer.with { _, port in
            let blob = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            let digest = Self.digest(blob)
            #expect(try await Answer.of("GET", port, "/v2/").status == 200)
            #expect(try await Answer.of("HEAD", port, "/v2/a/b/blobs/\(digest)").status == 404)
            let whole = try await Answer.of("POST", port, "/v2/a/b/blobs/uploads/?digest=\(digest)", body: blob)
            #expect(whole.status == 201)
            #expect(whole.headers["docker-content-digest"] == digest)
            let head = try await Answer.of("HEAD", port, "/v2/a/b/blobs/\(digest)")
            #expect(head.status == 200)
            #expect(head.headers["content-length"] == "3000000")
            #expect(try await Answer.of("GET", port, "/v2/a/b/blobs/\(digest)").body == Data(blob))

            #expect(try await Answer.of("GET", port, "/v2/c/blobs/\(digest)").error == "BLOB_UNKNOWN")
            let mounted = try await Answer.of("POST", port, "/v2/c/blobs/uploads/?mount=\(digest)&from=a/b")
            #expect(mounted.status == 201)
            #expect(try await Answer.of("HEAD", port, "/v2/c/blobs/\(digest)").status == 200)
            let unmounted = try await Answer.of(
                "POST", port, "/v2/c/blobs/uploads/?mount=\(Self.digest([1]))&from=a/b")
            #expect(unmounted.status == 202)

            let begun = try await Answer.of("POST", port, "/v2/d/blobs/uploads/")
            let place = try #require(begun.headers["location"])
            let first = try await Answer.of(
                "PATCH", port, place, headers: ["Content-Range": "0-999999"], body: Array(blob[..<1_000_000]))
            #expect(first.status == 202)
            #expect(first.headers["range"] == "0-999999")
            let again = try await Answer.of(
                "PATCH", port, place, headers: ["Content-Range": "0-999999"], body: Array(blob[..<1_000_000]))
            #expect(again.status == 416)
            let short = try await Answer.of(
                "PATCH", port, place, headers: ["Content-Range": "1000000-1999999"], body: [1, 2, 3])
            #expect(short.error == "SIZE_INVALID")
            #expect(try await Answer.of("GET", port, place).headers["range"] == "0-999999")
            let last = try await Answer.of(
                "PUT", port, place + "?digest=\(digest)", headers: ["Content-Range": "1000000-2999999"],
                body: Array(blob[1_000_000...]))
            #expect(last.status == 201)
            #expect(try await Answer.of("GET", port, "/v2/d/blobs/\(digest)").body == Data(blob))
            #expect(try await Answer.of("GET", port, place).error == "BLOB_UPLOAD_UNKNOWN")
        }
    }

    @Test func `Content with another digest is refused, and a cancelled upload is gone`() async throws {
        try await RegistryServer.with { server, port in
            let wrong = Self.digest([9])
            let answer = try await Answer.of("POST", port, "/v2/a/blobs/uploads/?digest=\(wrong)", body: [1])
            #expect(answer.status == 400)
            #expect(answer.error == "DIGEST_INVALID")
            #expect(try await Answer.of("HEAD", port, "/v2/a/blobs/\(wrong)").status == 404)
            let place = try #require(try await Answer.of("POST", port, "/v2/a/blobs/uploads/").headers["location"])
            #expect(try await Answer.of("PUT", port, place).error == "DIGEST_INVALID")
            #expect(try await Answer.of("DELETE", port, place).status == 204)
            #expect(try await Answer.of("PATCH", port, place, body: [1]).error == "BLOB_UPLOAD_UNKNOWN")
            #expect(try FileManager.default.contentsOfDirectory(atPath: server.directory + "/uploads") == [])
        }
    }

    @Test func `A manifest needs its blobs, and answers by tag and by digest`() async throws {
        try await RegistryServer.with { server, port in
            let config = Self.digest(Array("{}".utf8))
            let descriptor: JSONValue = ["mediaType": "application/json", "digest": .string(config), "size": 2]
            let json = JSONValue.object(
                ["schemaVersion": 2, "config": descriptor, "layers": .array([]), "annotations": ["a": "b"]])
            let bytes = Array(json.text(pretty: true).utf8)
            let type = ["Content-Type": Self.manifestType]
            let early = try await Answer.of("PUT", port, "/v2/a/manifests/one", headers: type, body: bytes)
            #expect(early.error == "MANIFEST_BLOB_UNKNOWN")
            _ = try await Answer.of("POST", port, "/v2/a/blobs/uploads/?digest=\(config)", body: Array("{}".utf8))
            let put = try await Answer.of("PUT", port, "/v2/a/manifests/one", headers: type, body: bytes)
            #expect(put.status == 201)
            let digest = Self.digest(bytes)
            #expect(put.headers["docker-content-digest"] == digest)
            for reference in ["one", digest] {
                let got = try await Answer.of("GET", port, "/v2/a/manifests/\(reference)")
                #expect(got.body == Data(bytes))
                #expect(got.headers["content-type"] == Self.manifestType)
                let head = try await Answer.of("HEAD", port, "/v2/a/manifests/\(reference)")
                #expect(head.headers["content-length"] == String(bytes.count))
            }
            #expect(try await Answer.of("GET", port, "/v2/b/manifests/\(digest)").error == "MANIFEST_UNKNOWN")
            let other = try await Answer.of(
                "PUT", port, "/v2/a/manifests/\(config)", headers: type, body: bytes)
            #expect(other.error == "DIGEST_INVALID")
            _ = try await Answer.of("PUT", port, "/v2/a/manifests/two", headers: type, body: bytes)
            let tags = try await Answer.of("GET", port, "/v2/a/tags/list?n=1")
            #expect(try JSONValue(parsing: tags.body) == ["name": "a", "tags": ["one"]])
            #expect(tags.headers["link"] == "</v2/a/tags/list?n=1&last=one>; rel=\"next\"")
            #expect(try await Answer.of("GET", port, "/v2/zzz/tags/list").error == "NAME_UNKNOWN")
            let reference = "registry.fly.io/a"
            #expect(await server.store.digest(of: "\(reference):one") == digest)
            #expect(await server.store.digest(of: "127.0.0.1:5000/a@\(digest)") == digest)
            #expect(await server.store.digest(of: "\(reference):three") == nil)
        }
    }

    @Test(
        arguments: [
            ("/v2/A/manifests/x", 400, "NAME_INVALID"), ("/v2/a/../b/manifests/x", 404, nil),
            ("/v2/a/blobs/sha256:12", 400, "DIGEST_INVALID"), ("/v2/a/manifests/-x", 404, "MANIFEST_UNKNOWN"),
            ("/v2/_blobs/manifests/x", 400, "NAME_INVALID"), ("/v2/a/nonsense", 404, "UNSUPPORTED"),
        ] as [(String, Int, String?)])
    func `What is no name is refused`(_ path: String, _ status: Int, _ code: String?) async throws {
        try await RegistryServer.with { _, port in
            let answer = try await Answer.of("GET", port, path)
            #expect(answer.status == status)
            if let code { #expect(answer.error == code) }
        }
    }

    @Test(arguments: [("{", "JSON"), (#"{"schemaVersion":1}"#, "version"), (#"{"schemaVersion":2}"#, "digest")])
    func `A manifest that is none is refused`(_ text: String, _ reason: String) throws {
        let error = #expect(throws: RegistryError.self) {
            try ImageDocument(Array(text.utf8), mediaType: Self.manifestType)
        }
        #expect(error?.code == .manifestInvalid)
        #expect(error?.message.contains(reason) == true)
    }

    @Test func `A token is asked for where one is set`() async throws {
        try await RegistryServer.with(token: "fm2_secret") { _, port in
            let refused = try await Answer.of("GET", port, "/v2/")
            #expect(refused.status == 401)
            #expect(refused.error == "UNAUTHORIZED")
            #expect(refused.headers["www-authenticate"]?.hasPrefix("Basic") == true)
            for (credentials, status) in [("x:fm2_secret", 200), ("y:fm2_secret", 401), ("x:other", 401)] {
                let encoded = Data(credentials.utf8).base64EncodedString()
                let answer = try await Answer.of("GET", port, "/v2/", headers: ["Authorization": "Basic \(encoded)"])
                #expect(answer.status == status)
            }
        }
    }

    @Test(arguments: [("0-0", 1), ("bytes=5-9", 5), ("bytes 5-9/10", 5), ("0--1", nil), ("9-5", nil), ("x", nil)])
    func `Ranges are read`(_ text: String, _ count: Int64?) {
        #expect(UploadRange(text)?.count == count)
    }
}

@Suite("The registry with skopeo", .enabled(if: GuestLab.canRun && Command.has("skopeo"), "skopeo and cc are needed"))
struct RegistrySkopeoTests {
    @Test(arguments: [Optional<String>.none, "fm2_token"])
    func `What skopeo pushes it gets back, and it runs`(_ token: String?) async throws {
        let lab = try GuestLab()
        let digest = try lab.image("one", layers: [["etc/motd": "from skopeo"]])
        try await RegistryServer.with(token: token) { server, port in
            let credentials = token.map { ["--dest-creds", "x:\($0)"] } ?? []
            // From the lab's own store by an OCI layout, so that the pushed image is skopeo's work.
            let layout = lab.directory + "/layout"
            try Self.writeLayout(lab, digest, to: layout)
            let push = ["skopeo", "copy", "--dest-tls-verify=false"] + credentials
            for format in ["oci", "v2s2"] {
                let pushed = try await Command.run(
                    push + ["--format", format, "oci:\(layout)", "docker://127.0.0.1:\(port)/app:\(format)"])
                #expect(pushed.status == 0, "\(String(decoding: pushed.output, as: UTF8.self))")
                let source = token.map { ["--src-creds", "x:\($0)"] } ?? []
                let back = lab.directory + "/back-" + format
                let pulled = try await Command.run(
                    ["skopeo", "copy", "--src-tls-verify=false"] + source
                        + ["docker://127.0.0.1:\(port)/app:\(format)", "dir:\(back)"])
                #expect(pulled.status == 0, "\(String(decoding: pulled.output, as: UTF8.self))")
                let manifest = Array(try Data(contentsOf: URL(filePath: back + "/manifest.json")))
                let expected = "sha256:" + hexadecimal(SHA256.hash(data: manifest))
                #expect(await server.store.digest(of: "registry.fly.io/app:\(format)") == expected)
                if format == "oci" { #expect(expected == digest) }

                let guests = ProcessGuests(
                    registry: server.store, guestExecutable: GuestLab.fixture, directory: lab.directory + "/g-" + format
                )
                let diary = GuestDiary()
                var spec = lab.spec("m1")
                spec.image = "registry.fly.io/app:\(format)"
                guests.start(spec) { diary.add($0) }
                try await diary.wait { $0 == .log(line: "listening", isError: false) }
                await guests.shutdown()
            }
        }
        await lab.close()
    }

    private static func writeLayout(_ lab: GuestLab, _ digest: String, to layout: String) throws {
        let manager = FileManager.default
        try manager.createDirectory(atPath: layout, withIntermediateDirectories: true)
        try manager.copyItem(atPath: lab.store.directory + "/blobs", toPath: layout + "/blobs")
        let size = try manager.attributesOfItem(atPath: lab.store.blobPath(digest))[.size] as? Int ?? 0
        let index: JSONValue = [
            "schemaVersion": 2,
            "manifests": [
                [
                    "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": .string(digest),
                    "size": .integer(Int64(size)),
                ]
            ],
        ]
        try Data(index.text().utf8).write(to: URL(filePath: layout + "/index.json"))
        try Data(#"{"imageLayoutVersion":"1.0.0"}"#.utf8).write(to: URL(filePath: layout + "/oci-layout"))
    }
}
