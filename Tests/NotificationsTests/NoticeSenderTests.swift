// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import HTTPTransport
import Model
import Synchronization
import Testing

@testable import Notifications

/// Answers every request alike, and remembers the requests.
private final class Webhook: HTTPSending {
    let requests = Mutex<[HTTPRequest]>([])
    let answer: Result<(status: Int, body: String), HTTPError>

    init(_ answer: Result<(status: Int, body: String), HTTPError> = .success((200, "ok"))) { self.answer = answer }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        requests.withLock { $0.append(request) }
        let (status, body) = try answer.get()
        return HTTPResponse(
            status: status, headers: [:], body: Data(body.utf8), version: "1.1", url: request.url,
            timing: .init(connect: .zero, firstByte: .zero, total: .zero, openedConnection: true))
    }
}

private final class Postbox: MailSending {
    let envelopes = Mutex<[MailEnvelope]>([])
    let error: MailError?

    init(_ error: MailError? = nil) { self.error = error }

    func send(_ envelope: MailEnvelope) async throws(MailError) -> MailReceipt {
        envelopes.withLock { $0.append(envelope) }
        if let error { throw error }
        return MailReceipt(accepted: envelope.recipients)
    }
}

private final class Outbox: NoticeOutbox {
    struct Broken: Error {}
    let log = Mutex<[String]>([])
    let isBroken: Bool

    init(isBroken: Bool = false) { self.isBroken = isBroken }

    private func note(_ text: String) throws {
        log.withLock { $0.append(text) }
        if isBroken { throw Broken() }
    }

    func keep(_ order: NoticeOrder, key: String, at now: Timestamp) async throws {
        try note("keep \(key) \(order.report?.reason ?? "")")
    }
    func markSent(key: String, at now: Timestamp) async throws { try note("sent \(key)") }
    func markFailed(key: String, error: String, mayRetry: Bool, at now: Timestamp) async throws {
        try note("failed \(key) \(mayRetry): \(error)")
    }
}

@Suite struct NoticeSenderTests {
    private static let webhook = "https://hooks.slack.com/services/T000/B000/" + "sEcReTtAiL"
    private static let key = Samples.deployed.run.rawValue

    private func channels(summary: String? = nil) -> NoticeChannels {
        NoticeChannels(
            email: .init(server: "smtp://user:hunter2@smtp.example.org", to: ["team@example.org"]),
            slackWebhook: NoticeSenderTests.webhook, summaryPath: summary)
    }

    private func order(_ channel: NoticeOrder.Channel, _ report: RunReport = Samples.deployed) -> NoticeOrder {
        NoticeOrder(channel: channel, attempt: 1, report: report)
    }

    private func failure(_ answer: Answer) -> Failure? {
        if case .failed(let failure) = answer { failure } else { nil }
    }

    @Test func `a deferred notice is kept and not sent`() async throws {
        let (webhook, outbox) = (Webhook(), Outbox())
        let sender = NoticeSender(channels: channels(), http: webhook, mail: Postbox(), outbox: outbox)
        let order = NoticeOrder(channel: .slack, attempt: 1, isDeferred: true, report: Samples.deployed)
        #expect(await sender.answer(order, at: start) == .done)
        #expect(webhook.requests.withLock { $0.isEmpty })
        #expect(outbox.log.withLock { $0.count } == 1)
    }

    @Test func `a webhook gets the message as JSON, once, with a key to drop doubles by`() async throws {
        let webhook = Webhook()
        let sender = NoticeSender(channels: channels(), http: webhook, mail: Postbox())
        #expect(await sender.answer(order(.slack), at: start) == .done)
        let requests = webhook.requests.withLock { $0 }
        #expect(requests.count == 1)
        let request = try #require(requests.first)
        #expect(request.method == "POST" && request.url == NoticeSenderTests.webhook)
        #expect(request.headers["content-type"]?.hasPrefix("application/json") == true)
        #expect(request.headers["x-airboss-notice"] == NoticeSenderTests.key + "/slack")
        guard case .bytes(let body) = request.body else { throw CancellationError() }
        #expect(try JSONValue(parsing: body)["text"]?.string?.hasPrefix("✅ Production Deployment Successful") == true)
    }

    @Test(
        arguments: [
            (429, "rate_limited", .rateLimited, true), (500, "", .unavailable, true),
            (503, "<html>", .unavailable, true),
            (400, "invalid_payload", .refused, false), (403, "invalid_token", .refused, false),
            (404, "no_service", .refused, false), (410, "channel_is_archived", .refused, false),
        ] as [(Int, String, Failure.Code, Bool)])
    func `a webhook's refusal is a value that says whether to retry`(
        status: Int, body: String, code: Failure.Code, mayRetry: Bool
    ) async throws {
        let sender = NoticeSender(channels: channels(), http: Webhook(.success((status, body))), mail: Postbox())
        let failure = try #require(failure(await sender.answer(order(.slack), at: start)))
        #expect(failure.code == code && NoticeSender.mayRetry(failure) == mayRetry)
        #expect(failure.message.contains("answered \(status)") && failure.message.hasSuffix(body))
    }

    @Test(arguments: HTTPError.Code.allCases)
    func `a webhook that cannot be reached is a value without its address`(code: HTTPError.Code) async throws {
        let error = HTTPError(code, "could not reach \(NoticeSenderTests.webhook)", mayHaveBeenProcessed: false)
        let sender = NoticeSender(channels: channels(), http: Webhook(.failure(error)), mail: Postbox())
        let failure = try #require(failure(await sender.answer(order(.slack), at: start)))
        #expect(!failure.text.contains("sEcReT") && !failure.text.contains("T000"))
        #expect(
            NoticeSender.mayRetry(failure)
                != [.invalidRequest, .tlsFailed, .tooManyRedirects, .cancelled, .shutDown].contains(code))
    }

    @Test func `a mail goes to every recipient with the subject of its outcome`() async throws {
        let postbox = Postbox()
        let sender = NoticeSender(channels: channels(), http: Webhook(), mail: postbox)
        #expect(await sender.answer(order(.email, Samples.rolledBack), at: start) == .done)
        let envelope = try #require(postbox.envelopes.withLock { $0.first })
        #expect(envelope.from == "airboss@example.org" && envelope.recipients == ["team@example.org"])
        let text = String(decoding: envelope.message, as: UTF8.self)
        #expect(text.contains("Message-ID: <\(Samples.rolledBack.run).email@example.org>"))
        #expect(!text.contains("hunter2"))
    }

    @Test(arguments: MailError.Code.allCases, [true, false])
    func `a mail that is not taken is a value`(code: MailError.Code, isRetryable: Bool) async throws {
        let error = MailError(code, "refused by smtp://user:hunter2@smtp.example.org", isRetryable: isRetryable)
        let sender = NoticeSender(channels: channels(), http: Webhook(), mail: Postbox(error))
        let failure = try #require(failure(await sender.answer(order(.email), at: start)))
        #expect(!failure.text.contains("hunter2"))
        if isRetryable { #expect(NoticeSender.mayRetry(failure)) }
        if code == .loginRefused, !isRetryable { #expect(failure.code == .unauthorized) }
    }

    @Test(arguments: [[], ["not an address"], ["a@b.example", "x\r\nRCPT TO:<y@z>"]])
    func `wrong recipients are refused before anything is sent`(to: [String]) async throws {
        let postbox = Postbox()
        let channels = NoticeChannels(email: .init(server: "smtp://localhost", to: to))
        let sender = NoticeSender(channels: channels, http: Webhook(), mail: postbox)
        #expect(failure(await sender.answer(order(.email), at: start))?.code == .invalid)
        #expect(postbox.envelopes.withLock { $0.isEmpty })
    }

    @Test(arguments: NoticeOrder.Channel.allCases)
    func `a channel that is not set up says so`(channel: NoticeOrder.Channel) async {
        let sender = NoticeSender(channels: NoticeChannels(), http: Webhook(), mail: Postbox())
        #expect(failure(await sender.answer(order(channel), at: start))?.code == .invalid)
    }

    @Test func `the step summary is appended to, from several sides at once`() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "airboss-summary-\(UUID().uuidString)").path
        defer { unlink(path) }
        try Data("what stood there".utf8).write(to: URL(filePath: path))
        let sender = NoticeSender(channels: channels(summary: path), http: Webhook(), mail: Postbox())
        await withTaskGroup(of: Void.self) { group in
            for report in [Samples.deployed, Samples.rolledBack, Samples.needsHuman] {
                group.addTask {
                    #expect(
                        await sender.answer(NoticeOrder(channel: .summary, attempt: 1, report: report), at: start)
                            == .done)
                }
            }
        }
        let text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
        #expect(text.hasPrefix("what stood there\n\n## "))
        for report in [Samples.deployed, Samples.rolledBack, Samples.needsHuman] {
            #expect(text.contains(NoticeRenderer.markdown(NoticeContent(report))))
        }
    }

    @Test(arguments: ["/proc/airboss/none", "/dev/full", "/tmp"])
    func `a summary that cannot be written is a value`(path: String) async {
        let sender = NoticeSender(channels: channels(summary: path), http: Webhook(), mail: Postbox())
        #expect(failure(await sender.answer(order(.summary), at: start))?.code == .refused)
    }

    @Test func `a full summary is not cut`() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "airboss-summary-\(UUID().uuidString)").path
        defer { unlink(path) }
        try Data(count: 1024 * 1024).write(to: URL(filePath: path))
        let sender = NoticeSender(channels: channels(summary: path), http: Webhook(), mail: Postbox())
        #expect(failure(await sender.answer(order(.summary), at: start))?.code == .refused)
        #expect(try Data(contentsOf: URL(filePath: path)).count == 1024 * 1024)
    }

    @Test func `notices are kept before they are sent, without secrets, and their fate is recorded`() async {
        var report = Samples.deployed
        report.reason = "PASSWORD=hunter2"
        let outbox = Outbox()
        let good = NoticeSender(channels: channels(), http: Webhook(), mail: Postbox(), outbox: outbox)
        #expect(await good.answer(order(.slack, report), at: start) == .done)
        let bad = NoticeSender(
            channels: channels(), http: Webhook(.success((503, "later"))), mail: Postbox(), outbox: outbox)
        _ = await bad.answer(order(.slack, report), at: start)
        let key = NoticeSenderTests.key + "/slack"
        #expect(
            outbox.log.withLock { $0 } == [
                "keep \(key) PASSWORD=[redacted]", "sent \(key)", "keep \(key) PASSWORD=[redacted]",
                "failed \(key) true: The webhook answered 503: later",
            ])
    }

    @Test func `an outbox that fails stops no notice`() async {
        let webhook = Webhook()
        let sender = NoticeSender(
            channels: channels(), http: webhook, mail: Postbox(), outbox: Outbox(isBroken: true))
        #expect(await sender.answer(order(.slack), at: start) == .done)
        #expect(webhook.requests.withLock { $0.count } == 1)
    }
}
