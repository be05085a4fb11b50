// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import TestSupport
import Testing

@Suite struct HTTPFailureTests {
    /// One way to fail, and what must be said about it.
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var answer: LoopbackAnswer
        var code: HTTPError.Code
        var timeouts = HTTPTimeouts(connect: .seconds(5), total: .seconds(10), stall: .seconds(10))
        var limit = 1024 * 1024
    }

    static let answered: [Case] = [
        Case(
            testDescription: "no answer in time", answer: .stall, code: .timedOut,
            timeouts: HTTPTimeouts(total: .milliseconds(300))),
        Case(
            testDescription: "body not in time",
            answer: .slow(String(repeating: "x", count: 500), every: .milliseconds(20)),
            code: .timedOut, timeouts: HTTPTimeouts(total: .milliseconds(300))),
        Case(
            testDescription: "stall within the body", answer: .truncated("abc", announcing: 10, ending: .stall),
            code: .stalled,
            timeouts: HTTPTimeouts(total: .seconds(30), stall: .seconds(1))),
        Case(
            testDescription: "stall before the answer", answer: .stall, code: .stalled,
            timeouts: HTTPTimeouts(total: .seconds(30), stall: .seconds(1))),
        Case(testDescription: "reset", answer: .reset, code: .connectionLost),
        Case(testDescription: "closed without an answer", answer: .closeWithoutAnswer, code: .connectionLost),
        Case(testDescription: "truncated body", answer: .truncated("abc", announcing: 10), code: .connectionLost),
        Case(
            testDescription: "reset within the body", answer: .truncated("abc", announcing: 10, ending: .reset),
            code: .connectionLost),
        Case(
            testDescription: "truncated chunks",
            answer: .raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), code: .connectionLost),
        Case(testDescription: "10 MB of noise", answer: .noise(bytes: 10_000_000), code: .bodyTooLarge),
        Case(testDescription: "not HTTP", answer: .raw("SSH-2.0-OpenSSH_9.2\r\n"), code: .malformedAnswer),
        Case(testDescription: "status that is no number", answer: .raw("HTTP/1.1 abc\r\n\r\n"), code: .malformedAnswer),
        Case(
            testDescription: "length that is no number", answer: .raw("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n"),
            code: .malformedAnswer),
        Case(
            testDescription: "endless header fields",
            answer: .raw(
                "HTTP/1.1 200 OK\r\n"
                    + String(repeating: "X-Fill: \(String(repeating: "y", count: 1000))\r\n", count: 400)),
            code: .malformedAnswer),
    ]

    @Test(arguments: answered)
    func `a request that reached the server may have been processed`(_ the: Case) async throws {
        let server = try LoopbackServer { _ in the.answer }
        let client = HTTPClient()
        let error = await #expect(throws: HTTPError.self) {
            try await client.send(
                HTTPRequest("POST", server.url + "/p?token=t0ken", timeouts: the.timeouts, maxBodyBytes: the.limit))
        }
        #expect(error?.code == the.code, "\(error?.message ?? "")")
        #expect(error?.mayHaveBeenProcessed == true)
        #expect(error?.message.hasPrefix("POST \(server.url)/p?token=***: ") == true, "\(error?.message ?? "")")
        // The client is none the worse for it.
        let healthy = try LoopbackServer { _ in .status(200) }
        #expect(try await client.send(HTTPRequest("GET", healthy.url)).status == 200)
        await client.shutdown()
    }

    @Test func `a request that never left cannot have been processed`() async throws {
        let closed = try LoopbackServer.unusedPort()
        let server = try LoopbackServer { _ in .status(200) }
        // Its greeting comes where TLS has to.
        let notTLS = try LoopbackMailServer()
        let cases: [(HTTPRequest, HTTPError.Code)] = [
            (HTTPRequest("POST", "http://127.0.0.1:\(closed)/"), .couldNotConnect),
            (HTTPRequest("POST", "https://127.0.0.1:\(notTLS.port)/"), .tlsFailed),
            (HTTPRequest("POST", "http://does-not-exist.invalid/"), .couldNotResolve),
            (HTTPRequest("POST", "ftp://127.0.0.1/"), .invalidRequest),
            (HTTPRequest("POST", "file:///etc/passwd"), .invalidRequest),
            (HTTPRequest("POST", "no url"), .invalidRequest),
            (HTTPRequest("PO ST", server.url), .invalidRequest),
            (HTTPRequest("POST", server.url, headers: ["A": "b\r\nC: d"]), .invalidRequest),
            (HTTPRequest("POST", server.url, headers: ["A:": "b"]), .invalidRequest),
            (HTTPRequest("POST", server.url, body: .file(path: "/does/not/exist", offset: 0, length: 1)), .fileFailed),
        ]
        let client = HTTPClient()
        for (request, code) in cases {
            let error = await #expect(throws: HTTPError.self) { try await client.send(request) }
            #expect(error?.code == code, "\(error?.message ?? "")")
            #expect(error?.mayHaveBeenProcessed == false, "\(error?.message ?? "")")
        }
        #expect(server.requests.isEmpty)
        await client.shutdown()
    }

    @Test func `the connection, too, has a limit in time`() async throws {
        // It reads a ClientHello and waits for more: TLS never gets beyond the client's first words.
        let silent = try LoopbackServer { _ in .status(200) }
        let error = await #expect(throws: HTTPError.self) {
            try await HTTPClient().send(
                HTTPRequest(
                    "POST", "https://127.0.0.1:\(silent.port)/",
                    timeouts: HTTPTimeouts(connect: .milliseconds(200), total: .seconds(30))))
        }
        #expect(error?.code == .timedOut)
        #expect(error?.mayHaveBeenProcessed == false)
    }

    @Test func `a request with effects is not repeated on a kept connection that died`() async throws {
        let server = try LoopbackServer { request in
            request.path == "/first" ? .status(200) : .closeWithoutAnswer
        }
        for (method, attempts) in [("POST", 1), ("DELETE", 1), ("GET", 2)] {
            let client = HTTPClient()
            let before = server.requests.count
            _ = try await client.send(HTTPRequest("GET", server.url + "/first"))
            let error = await #expect(throws: HTTPError.self) {
                try await client.send(HTTPRequest(method, server.url + "/second"))
            }
            #expect(error?.code == .connectionLost)
            #expect(error?.mayHaveBeenProcessed == true)
            #expect(server.requests.count - before == 1 + attempts, "\(method)")
            await client.shutdown()
        }
    }

    @Test func `cancelling the task ends the transfer`() async throws {
        let server = try LoopbackServer { _ in .stall }
        let client = HTTPClient()
        let task = Task { try await client.send(HTTPRequest("POST", server.url)) }
        while server.requests.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
        task.cancel()
        let error = await #expect(throws: HTTPError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        #expect(error?.mayHaveBeenProcessed == true)

        let early = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await client.send(HTTPRequest("POST", server.url))
        }
        early.cancel()
        let earlyError = await #expect(throws: HTTPError.self) { try await early.value }
        #expect(earlyError?.code == .cancelled)
        #expect(earlyError?.mayHaveBeenProcessed == false)
        #expect(server.requests.count == 1)
        await client.shutdown()
    }

    @Test func `a hundred cancelled transfers leave nothing behind`() async throws {
        let server = try LoopbackServer { $0.path == "/stall" ? .stall : .status(200) }
        let client = HTTPClient()
        let tasks = (0..<100).map { _ in Task { try await client.send(HTTPRequest("GET", server.url + "/stall")) } }
        while server.requests.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
        tasks.forEach { $0.cancel() }
        for task in tasks {
            let error = await #expect(throws: HTTPError.self) { try await task.value }
            #expect(error?.code == .cancelled)
        }
        #expect(try await client.send(HTTPRequest("GET", server.url + "/fine")).status == 200)
        for _ in 0..<400 where server.openConnections > 1 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(server.openConnections <= 1)
        await client.shutdown()
    }

    @Test func `what waits for a connection ends on time as well`() async throws {
        let server = try LoopbackServer { _ in .stall }
        let client = HTTPClient()
        let codes = await withTaskGroup(of: HTTPError.Code?.self) { group in
            for number in 0..<40 {
                group.addTask {
                    let total: Duration = number < 20 ? .seconds(20) : .milliseconds(400)
                    do throws(HTTPError) {
                        _ = try await client.send(
                            HTTPRequest("GET", server.url, timeouts: HTTPTimeouts(total: total, stall: .seconds(20))))
                        return nil
                    } catch {
                        return error.code
                    }
                }
            }
            var codes: [HTTPError.Code?] = []
            for await code in group {
                codes.append(code)
                if codes.count == 20 { group.cancelAll() }
            }
            return codes
        }
        #expect(codes.prefix(20).allSatisfy { $0 == .timedOut })
        #expect(codes.suffix(20).allSatisfy { $0 == .cancelled })
        await client.shutdown()
    }
}
