// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Synchronization
import TestSupport
import Testing

@Suite struct HTTPClientTests {
    @Test func `a request arrives as it was written`() async throws {
        let server = try LoopbackServer { _ in .json(201, #"{"ok":true}"#, headers: [("Fly-Request-Id", "01ABC")]) }
        let client = HTTPClient(HTTPClient.Configuration(userAgent: "airboss/9.9"))
        let response = try await client.send(
            HTTPRequest(
                "POST", server.url + "/v1/apps?a=b%20c", headers: ["X-Empty": "", "Content-Type": "application/json"],
                body: .bytes(Data("{}".utf8))))
        #expect(response.status == 201)
        #expect(response.headers["fly-request-id"] == "01ABC")
        #expect(response.body == Data(#"{"ok":true}"#.utf8))
        #expect(response.version == "1.1")
        #expect(response.timing.total >= response.timing.firstByte)
        let request = try #require(server.requests.first)
        #expect(request.method == "POST")
        #expect(request.target == "/v1/apps?a=b%20c")
        #expect(request.body == Data("{}".utf8))
        #expect(request.header("user-agent") == "airboss/9.9")
        #expect(request.header("x-empty") == "")
        #expect(request.header("expect") == nil)
        await client.shutdown()
    }

    @Test(arguments: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    func `every method works without a body`(method: String) async throws {
        let server = try LoopbackServer { _ in .status(200, "body") }
        let client = HTTPClient()
        let response = try await client.send(HTTPRequest(method, server.url + "/"))
        #expect(response.body == (method == "HEAD" ? Data() : Data("body".utf8)))
        let request = try #require(server.requests.first)
        #expect(request.method == method)
        #expect(request.header("content-length") == (["POST", "PUT"].contains(method) ? "0" : nil))
        #expect(request.header("content-type") == nil)
    }

    @Test func `a connection is used again`() async throws {
        let server = try LoopbackServer { _ in .status(200, "x") }
        let client = HTTPClient()
        var opened: [Bool] = []
        for _ in 0..<5 {
            opened.append(try await client.send(HTTPRequest("GET", server.url)).timing.openedConnection)
        }
        #expect(opened == [true, false, false, false, false])
        #expect(server.acceptedConnections == 1)
        await client.shutdown()
    }

    @Test func `200 requests at once share the allowed connections`() async throws {
        let server = try LoopbackServer { request in .status(200, request.target) }
        let client = HTTPClient()
        let answers = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<200 {
                group.addTask {
                    let response = try await client.send(HTTPRequest("GET", server.url + "/\(number)"))
                    return String(decoding: response.body, as: UTF8.self)
                }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(answers == Set((0..<200).map { "/\($0)" }))
        #expect(server.acceptedConnections <= 16)
        await client.shutdown()
    }

    @Test func `cookies return on later transfers of the same client, within their path`() async throws {
        let server = try LoopbackServer { request in
            request.path == "/upload/start"
                ? .status(
                    202, headers: [("Set-Cookie", "session=s3cr3t; Path=/upload"), ("Set-Cookie", "plain=1; Path=/")])
                : .status(200)
        }
        let client = HTTPClient()
        let first = try await client.send(HTTPRequest("POST", server.url + "/upload/start"))
        #expect(first.headers.values(of: "set-cookie").count == 2)
        for path in ["/upload/next", "/other"] { _ = try await client.send(HTTPRequest("GET", server.url + path)) }
        _ = try await HTTPClient().send(HTTPRequest("GET", server.url + "/upload/next"))
        let cookies = server.requests.map { ($0.header("cookie") ?? "").split(separator: "; ").sorted() }
        #expect(cookies == [[], ["plain=1", "session=s3cr3t"], ["plain=1"], []])
    }

    @Test func `redirects are followed as often as allowed`() async throws {
        let server = try LoopbackServer { request in
            let left = Int(request.path.dropFirst()) ?? 0
            return left == 0 ? .status(200, "end") : .redirect(to: "/\(left - 1)")
        }
        let client = HTTPClient()
        let answer = try await client.send(HTTPRequest("GET", server.url + "/3", maxRedirects: 3))
        #expect(answer.status == 200)
        #expect(answer.url == server.url + "/0")
        let unfollowed = try await client.send(HTTPRequest("GET", server.url + "/3"))
        #expect(unfollowed.status == 302)
        let error = await #expect(throws: HTTPError.self) {
            try await client.send(HTTPRequest("GET", server.url + "/3", maxRedirects: 2))
        }
        #expect(error?.code == .tooManyRedirects)
        #expect(error?.mayHaveBeenProcessed == true)
    }

    @Test func `credentials stay with the host they were meant for`() async throws {
        let other = try LoopbackServer { _ in .status(200) }
        let server = try LoopbackServer { request in
            request.path == "/here" ? .redirect(307, to: "/there") : .redirect(307, to: other.url + "/elsewhere")
        }
        let headers: HTTPHeaders = [
            "Authorization": "Bearer abc", "Cookie": "a=b", "fly-machine-lease-nonce": "n", "X-Fly-Token": "t",
            "X-Kept": "k",
        ]
        _ = try await HTTPClient().send(
            HTTPRequest("PUT", server.url + "/here", headers: headers, body: .bytes(Data("b".utf8)), maxRedirects: 5))
        let sameHost = try #require(server.requests.last)
        #expect(sameHost.header("authorization") == "Bearer abc")
        let elsewhere = try #require(other.requests.last)
        #expect(elsewhere.body == Data("b".utf8))
        #expect(elsewhere.header("x-kept") == "k")
        for name in ["authorization", "cookie", "fly-machine-lease-nonce", "x-fly-token"] {
            #expect(elsewhere.header(name) == nil, "\(name)")
        }
    }

    @Test(arguments: [
        (303, "POST", "GET"), (302, "POST", "GET"), (301, "PUT", "PUT"), (308, "POST", "POST"), (303, "HEAD", "HEAD"),
    ])
    func `a redirect changes the method as HTTP says`(status: Int, method: String, then: String) async throws {
        let server = try LoopbackServer { $0.path == "/a" ? .redirect(status, to: "/b") : .status(200) }
        _ = try await HTTPClient().send(
            HTTPRequest(
                method, server.url + "/a", body: method == "HEAD" ? .none : .bytes(Data("x".utf8)), maxRedirects: 1))
        #expect(server.requests.map(\.method) == [method, then])
        #expect(server.requests.last?.body.isEmpty == (then != method || method == "HEAD"))
    }

    @Test func `an informational response and trailers don't disturb`() async throws {
        let server = try LoopbackServer { _ in
            .raw(
                "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "3\r\nabc\r\n0\r\nX-After: yes\r\n\r\n")
        }
        let response = try await HTTPClient().send(HTTPRequest("GET", server.url))
        #expect(response.headers["link"] == nil)
        #expect(response.headers["x-after"] == "yes")
        #expect(response.body == Data("abc".utf8))
    }

    @Test func `a client can be shut down, used or not, and then refuses`() async throws {
        let unused = HTTPClient()
        await unused.shutdown()
        let server = try LoopbackServer { _ in .stall }
        let client = HTTPClient()
        let stalled = Task { try await client.send(HTTPRequest("GET", server.url)) }
        while server.requests.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        await client.shutdown()
        await client.shutdown()
        let inFlight = await #expect(throws: HTTPError.self) { try await stalled.value }
        #expect(inFlight?.code == .shutDown)
        #expect(inFlight?.mayHaveBeenProcessed == true)
        for client in [unused, client] {
            let error = await #expect(throws: HTTPError.self) { try await client.send(HTTPRequest("GET", server.url)) }
            #expect(error?.code == .shutDown)
            #expect(error?.mayHaveBeenProcessed == false)
        }
    }

    @Test func `clients that just go away leave no thread and no descriptor`() async throws {
        let server = try LoopbackServer { _ in .status(200) }
        func clientThreads() -> Int {
            let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
            return tasks.filter { task in
                // A thread may end between the listing and the look at it.
                let name = try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)
                return name?.hasPrefix("airboss-gone") == true
            }.count
        }
        weak var last: HTTPClient?
        for _ in 0..<20 {
            let client = HTTPClient(HTTPClient.Configuration(threadName: "airboss-gone"))
            _ = try await client.send(HTTPRequest("GET", server.url))
            last = client
        }
        for _ in 0..<400 where clientThreads() > 0 || server.openConnections > 0 {
            try await Task.sleep(for: .milliseconds(5))
        }
        #expect(last == nil)
        #expect(clientThreads() == 0)
        #expect(server.openConnections == 0)
    }

    @Test func `the trace shows the transfer without its credentials`() async throws {
        let server = try LoopbackServer { _ in .status(200, "body-text", headers: [("Set-Cookie", "sid=c00kie")]) }
        let lines = Lines()
        let client = HTTPClient(HTTPClient.Configuration(trace: { lines.append($0) }))
        for _ in 0..<2 {
            _ = try await client.send(
                HTTPRequest(
                    "POST", server.url.replacing("//", with: "//alice:hunter2@") + "/p?token=t0ken",
                    headers: ["X-Api-Token": "s3cr3t"], body: .bytes(Data("body-text".utf8))))
        }
        var secret = HTTPRequest("GET", server.url + "/services/T0/B0/h00k?x=1")
        secret.urlIsSecret = true
        _ = try await client.send(secret)
        await client.shutdown()
        let trace = lines.all.joined(separator: "\n")
        #expect(trace.contains("POST /p?token=***"))
        #expect(trace.contains("200 Scripted"))
        for word in ["hunter2", "alice", "t0ken", "s3cr3t", "c00kie", "body-text", "YWxpY2U", "h00k"] {
            #expect(!trace.contains(word), "\(word) in \(trace)")
        }
    }
}

/// Lines from another thread.
final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    func append(_ line: String) { lines.withLock { $0.append(line) } }
}
