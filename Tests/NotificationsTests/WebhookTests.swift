// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import HTTPTransport
import Model
import TestSupport
import Testing

@testable import Notifications

/// Notices as signed JSON, posted to real servers.
@Suite struct WebhookTests {
    private static let secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

    private func order(_ subject: NoticeOrder.Subject) -> NoticeOrder {
        switch subject {
        case .run(let report): NoticeOrder(channel: .webhook, attempt: 1, report: report)
        case .maintenance(let notice): NoticeOrder(channel: .webhook, maintenance: notice)
        }
    }

    private func send(
        _ order: NoticeOrder, to url: String, outbox: (any NoticeOutbox)? = nil
    ) async -> Answer {
        let http = HTTPClient()
        let sender = NoticeSender(
            channels: NoticeChannels(webhook: .init(url: url, secret: WebhookTests.secret)), http: http,
            mail: MailTransport(), outbox: outbox)
        let answer = await sender.answer(order, at: start)
        await http.shutdown()
        return answer
    }

    @Test(arguments: Samples.subjects.map(\.name))
    func `every notice arrives whole, with what its kind has to tell`(name: String) async throws {
        let subject = try #require(Samples.subjects.first { $0.name == name }).subject
        let server = try LoopbackServer { _ in .status(204) }
        defer { server.stop() }
        #expect(await send(order(subject), to: server.url + "/hook") == .done)
        let request = try #require(server.requests.first)
        #expect(server.requests.count == 1 && request.method == "POST" && request.path == "/hook")
        #expect(request.header("content-type") == "application/json; charset=utf-8")
        let json = try JSONValue(parsing: request.body)
        #expect(json["schema"]?.integer == 1 && json["type"]?.string == "notice")
        #expect(json["key"]?.string == request.header("x-airboss-notice"))
        #expect(json["pipeline"]?.string == "production" && json["app"]?.string == "hotdash-production")
        #expect(NoticeContent.Kind(rawValue: json["kind"]?.string ?? "") != nil)
        for field in ["subject", "title", "headline", "environment", "tone", "reason", "actor"] {
            #expect(json[field]?.string?.isEmpty == false, "\(field)")
        }
        switch subject {
        case .run(let report):
            #expect(json["run"]?.string == report.run.rawValue)
            #expect(json["outcome"]?.string == (report.isUnderWay ? nil : report.outcome.rawValue))
            #expect(json["stages"]?.array?.count == report.stages.count)
            #expect(json["overrides"]?.array?.count == report.overrides.count)
            #expect((json["approval"] != nil) == (report.approval != nil))
            #expect((json["window"] != nil) == (report.opening != nil))
        case .maintenance(let notice):
            #expect(json["run"] == nil && json["outcome"] == nil)
            #expect(json["maintenance"]?["state"]?.string == notice.deed.rawValue)
            #expect(json["maintenance"]?["from"]?.string == notice.from.description)
        }
        // One line each: what was written by others neither breaks a log nor hides in it.
        #expect(!request.body.contains { $0 < 0x20 })
        let text = String(decoding: request.body, as: UTF8.self)
        #expect(!text.contains("hunter2") && !text.contains("\u{202E}"))
    }

    @Test func `the signature is HMAC-SHA-256 over time and body, as openssl and the document say`() async throws {
        let server = try LoopbackServer { _ in .status(200, "ok") }
        defer { server.stop() }
        #expect(await send(order(.run(report: Samples.deployed)), to: server.url) == .done)
        let request = try #require(server.requests.first)
        let time = try #require(request.header("x-airboss-timestamp"))
        let signature = try #require(request.header("x-airboss-signature-256"))
        #expect(time == String(start.secondsSinceEpoch))
        let folder = FileManager.default.temporaryDirectory.appending(path: "airboss-webhook-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }  // the system clears its temporary folder anyway
        try request.body.write(to: folder.appending(path: "body"))
        let document = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/notices.md")
        // The very lines that docs/notices.md tells people to use.
        let lines = try String(contentsOf: document, encoding: .utf8).split(separator: "\n")
            .drop { !$0.hasPrefix("expected=") }.prefix(2)
        #expect(lines.count == 2)
        let script =
            "body='\(folder.path)/body' timestamp='\(time)' signature='\(signature)' secret='\(WebhookTests.secret)'\n"
            + lines.joined(separator: "\n").replacing("date +%s", with: "echo $((timestamp + 10))") + "\n"
        #expect(try shell(script) == 0, "\(script)")
        #expect(try shell(script.replacing("timestamp='\(time)'", with: "timestamp='\(time)1'")) != 0)
        try (request.body + Data(" ".utf8)).write(to: folder.appending(path: "body"))
        #expect(try shell(script) != 0)
    }

    @Test func `a signature that openssl has made once is made again`() {
        let body = Data("{}".utf8)
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac Jefe
        #expect(
            WebhookMessage.signature(of: body, time: "1700000000", secret: "Jefe")
                == "d3793e2b4103edfbd98cc19591832f5fad701d413db9fcae0ae7dab8184ed207")
    }

    @Test func `a redirect is not followed, and nothing of the notice reaches where it leads`() async throws {
        let elsewhere = try LoopbackServer { _ in .status(200, "thanks") }
        let server = try LoopbackServer { _ in .redirect(307, to: elsewhere.url + "/stolen") }
        defer {
            server.stop()
            elsewhere.stop()
        }
        let answer = await send(order(.run(report: Samples.deployed)), to: server.url + "/s3cr3t-path")
        guard case .failed(let failure) = answer else {
            Issue.record("it counts as sent")
            return
        }
        #expect(failure.code == .refused && failure.message.contains("307"))
        #expect(!failure.text.contains("s3cr3t-path"))
        #expect(elsewhere.requests.isEmpty && server.requests.count == 1)
    }

    @Test(arguments: [(429, true), (500, true), (503, true), (400, false), (401, false), (410, false)])
    func `what is refused for now is tried again, with the same key`(status: Int, mayRetry: Bool) async throws {
        let server = try LoopbackServer { _ in .status(status, "no") }
        defer { server.stop() }
        for _ in 1...2 {
            guard case .failed(let failure) = await send(order(.run(report: Samples.deployed)), to: server.url) else {
                Issue.record("it counts as sent")
                return
            }
            #expect(NoticeSender.mayRetry(failure) == mayRetry)
        }
        #expect(Set(server.requests.map { $0.header("x-airboss-notice") }).count == 1)
    }

    @Test func `a thousand lines are sent as a hundred and their number`() throws {
        var report = Samples.needsHuman
        report.divergence = (1...1000).map { "machine \($0) differs" }
        let order = order(.run(report: report))
        let json = WebhookMessage.json(order, NoticeContent(order.subject))
        #expect(json["divergence"]?.array?.count == 101)
        #expect(json["divergence"]?.array?.last?.string == "and 900 more")
    }

    @Test func `orders survive the outbox, and those of older versions are read`() throws {
        for (name, subject) in Samples.subjects {
            let order = order(subject)
            let again = try JSONDecoder().decode(NoticeOrder.self, from: JSONEncoder().encode(order))
            #expect(again == order, "\(name)")
        }
        // The hostile one is of the same run as another.
        let keys = Samples.subjects.filter { $0.name != "hostile" }.map { order($0.subject).key }
        #expect(Set(keys).count == keys.count)
        // As version 0.1 wrote it: without what was added since.
        var old = try JSONValue(parsing: JSONEncoder().encode(order(.run(report: Samples.deployed))))
        var report = old["report"] ?? .null
        report["approval"] = nil
        report["opening"] = nil
        old["report"] = report
        old["channel"] = "slack"
        let read = try JSONDecoder().decode(NoticeOrder.self, from: Data(old.text().utf8))
        #expect(read.report == Samples.deployed && read.key == Samples.deployed.run.rawValue + "/slack")
    }

    private func shell(_ script: String) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["bash", "-c", script]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}
