// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import TestSupport
import Testing

@Suite struct HTTPStreamingTests {
    static let large = Data.noise(20_000_000)

    @Test func `a part of a file is sent as it is`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/upload"
            try Self.large.write(to: URL(filePath: path))
            let server = try LoopbackServer { _ in .status(201) }
            let client = HTTPClient()
            let offset = 12_345
            let response = try await client.send(
                HTTPRequest(
                    "PATCH", server.url,
                    body: .file(path: path, offset: Int64(offset), length: Int64(Self.large.count - offset))))
            #expect(response.status == 201)
            #expect(server.requests.first?.body == Self.large.dropFirst(offset))
            let empty = try await client.send(
                HTTPRequest("PUT", server.url, body: .file(path: path, offset: 0, length: 0)))
            #expect(empty.status == 201)
            #expect(server.requests.last?.body == Data())
            await client.shutdown()
        }
    }

    @Test func `a file that is shorter than announced ends the transfer`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/upload"
            try Data("short".utf8).write(to: URL(filePath: path))
            let server = try LoopbackServer { _ in .status(201) }
            let error = await #expect(throws: HTTPError.self) {
                try await HTTPClient().send(
                    HTTPRequest("PUT", server.url, body: .file(path: path, offset: 0, length: 1000)))
            }
            #expect(error?.code == .fileFailed)
            #expect(error?.mayHaveBeenProcessed == true)
        }
    }

    @Test func `a large body is received into a file`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/download"
            let server = try LoopbackServer { _ in .bytes(200, Self.large) }
            let client = HTTPClient()
            let response = try await client.send(
                HTTPRequest("GET", server.url, maxBodyBytes: Self.large.count, downloadPath: path))
            #expect(response.body.isEmpty)
            #expect(try Data(contentsOf: URL(filePath: path)) == Self.large)

            // One byte too many: the file of before stays.
            let error = await #expect(throws: HTTPError.self) {
                try await client.send(
                    HTTPRequest("GET", server.url, maxBodyBytes: Self.large.count - 1, downloadPath: path))
            }
            #expect(error?.code == .bodyTooLarge)
            #expect(try Data(contentsOf: URL(filePath: path)) == Self.large)
            await client.shutdown()
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["download"])
        }
    }

    @Test(arguments: [(200, "", true), (206, "part", true), (404, "no such blob", false), (500, "", false)])
    func `only a successful answer makes a file`(status: Int, body: String, makesFile: Bool) async throws {
        try await withTemporaryFolder { folder in
            let server = try LoopbackServer { _ in .status(status, body) }
            let response = try await HTTPClient().send(
                HTTPRequest("GET", server.url, downloadPath: folder + "/download"))
            #expect(response.body == (makesFile ? Data() : Data(body.utf8)))
            let written = FileManager.default.contents(atPath: folder + "/download")
            #expect(written == (makesFile ? Data(body.utf8) : nil))
        }
    }

    @Test func `a folder that does not exist is an error, not a crash`() async throws {
        let server = try LoopbackServer { _ in .status(200, "x") }
        let error = await #expect(throws: HTTPError.self) {
            try await HTTPClient().send(HTTPRequest("GET", server.url, downloadPath: "/does/not/exist/file"))
        }
        #expect(error?.code == .fileFailed)
    }

    @Test func `a body may have exactly the size allowed`() async throws {
        let server = try LoopbackServer { _ in .noise(bytes: 1000) }
        let client = HTTPClient()
        #expect(try await client.send(HTTPRequest("GET", server.url, maxBodyBytes: 1000)).body == Data.noise(1000))
        let error = await #expect(throws: HTTPError.self) {
            try await client.send(HTTPRequest("GET", server.url, maxBodyBytes: 999))
        }
        #expect(error?.code == .bodyTooLarge)
        let head = try await client.send(HTTPRequest("HEAD", server.url, maxBodyBytes: 10))
        #expect(head.headers["content-length"] == "1000")
    }
}

/// A folder that is gone afterwards.
func withTemporaryFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "airboss-http-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer {
        // Leaving a temporary folder behind is no reason to fail a test.
        try? FileManager.default.removeItem(at: folder)
    }
    return try await body(folder.path)
}
