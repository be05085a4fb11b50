// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import HTTPTransport
package import Model
internal import Ports

/// What sends mail; ``MailTransport`` does it over SMTP.
package protocol MailSending: Sendable {
    /// Throws where no recipient was taken.
    func send(_ envelope: MailEnvelope) async throws(MailError) -> MailReceipt
}

extension MailTransport: MailSending {}

/// What GitHub is told of finished runs. A failure's code says whether trying again may help, as for every notice.
package protocol GitHubNotices: Sendable {
    func recordDeployment(of report: RunReport) async -> Failure?
    /// The run waits for its turn, or is about to change the app.
    func openDeployment(of report: RunReport, isQueued: Bool) async -> Failure?
    /// `title` and `body` (Markdown) are for the issue.
    func keepIncident(of report: RunReport, title: String, body: String) async -> Failure?
}

/// Keeps notices until they are sent, across runs.
package protocol NoticeOutbox: Sendable {
    /// Keeps a notice under its key, unless the key is already there.
    func keep(_ order: NoticeOrder, key: String, at now: Timestamp) async throws
    func markSent(key: String, at now: Timestamp) async throws
    /// `mayRetry` is whether the same notice may be taken later.
    func markFailed(key: String, error: String, mayRetry: Bool, at now: Timestamp) async throws
}

/// Where the notices of a pipeline go; a channel that is nil is not set up.
package struct NoticeChannels: Sendable {
    package struct Email: Sendable {
        /// `smtp://` or `smtps://`, with user and password where the server wants them.
        package var server: String
        package var from: String?
        package var to: [String]

        package init(server: String, from: String? = nil, to: [String]) {
            self.server = server
            self.from = from
            self.to = to
        }
    }

    /// A receiver of signed JSON.
    package struct Webhook: Sendable {
        package var url: String
        /// What the signature is made with; the receiver has the same.
        package var secret: String

        package init(url: String, secret: String) {
            self.url = url
            self.secret = secret
        }
    }

    package var email: Email?
    package var webhook: Webhook?
    /// The webhook's address: a secret, since whoever has it may post.
    package var slackWebhook: String?
    /// The file that `GITHUB_STEP_SUMMARY` names.
    package var summaryPath: String?
    /// Whether runs are recorded on GitHub as deployments.
    package var recordsDeployments = false
    /// Whether failures are kept on GitHub as an incident issue.
    package var keepsIncidents = false

    package init(
        email: Email? = nil, slackWebhook: String? = nil, webhook: Webhook? = nil, summaryPath: String? = nil
    ) {
        self.email = email
        self.webhook = webhook
        self.slackWebhook = slackWebhook
        self.summaryPath = summaryPath
    }
}

/// Sends notices over the channels of a pipeline. A notice that cannot be sent is an answer, never an error thrown into
/// the run.
package struct NoticeSender: NoticePort {
    private let channels: NoticeChannels
    private let http: any HTTPSending
    private let mail: any MailSending
    private let outbox: (any NoticeOutbox)?
    private let github: (any GitHubNotices)?

    package init(
        channels: NoticeChannels, http: any HTTPSending, mail: any MailSending, outbox: (any NoticeOutbox)? = nil,
        github: (any GitHubNotices)? = nil
    ) {
        self.github = github
        self.channels = channels
        self.http = http
        self.mail = mail
        self.outbox = outbox
    }

    /// Sends one notice, having kept it first; `.done`, or `.failed` with whether trying again may help in its code
    /// (`unavailable`, `timedOut` and `rateLimited` may).
    package func answer(_ order: NoticeOrder, at now: Timestamp) async -> Answer {
        if order.isOpening == true { return await open(order) }
        let key = order.key
        let kept = Redactor.redact(order)
        // The outbox is a second chance: without it the notice still goes out now.
        try? await outbox?.keep(kept, key: key, at: now)
        if order.isDeferred { return .done }
        guard let failure = await send(kept, at: now) else {
            // Lost here, the notice may be sent twice, which its key lets receivers see.
            try? await outbox?.markSent(key: key, at: now)
            return .done
        }
        // As for keeping: the answer below carries the failure in any case.
        try? await outbox?.markFailed(
            key: key, error: failure.text, mayRetry: NoticeSender.mayRetry(failure), at: now)
        return .failed(failure: failure)
    }

    /// Whether the same notice may be taken later.
    package static func mayRetry(_ failure: Failure) -> Bool {
        failure.code == .unavailable || failure.code == .timedOut || failure.code == .rateLimited
    }

    private func open(_ order: NoticeOrder) async -> Answer {
        guard order.channel == .deployment, let github, let report = order.report else { return .done }
        let failure = await github.openDeployment(
            of: Redactor.redact(report), isQueued: order.isQueued == true)
        return failure.map { .failed(failure: $0) } ?? .done
    }

    private func send(_ order: NoticeOrder, at now: Timestamp) async -> Failure? {
        let content = NoticeContent(order.subject)
        switch order.channel {
        case .summary:
            guard let path = channels.summaryPath else { return notSetUp("GITHUB_STEP_SUMMARY") }
            return await StepSummary.append(NoticeRenderer.markdown(content), to: path)
        case .email:
            guard let email = channels.email else { return notSetUp("notify.email") }
            return await sendMail(content, key: order.key, over: email, at: now)
        case .slack:
            guard let webhook = channels.slackWebhook else { return notSetUp("notify.slack") }
            return await post(SlackMessage.json(content), headers: ["x-airboss-notice": order.key], to: webhook)
        case .webhook:
            guard let webhook = channels.webhook else { return notSetUp("notify.webhook") }
            let message = WebhookMessage.json(order, content)
            return await post(
                message,
                headers: WebhookMessage.headers(
                    for: Data(message.text().utf8), key: order.key, secret: webhook.secret, at: now), to: webhook.url)
        case .deployment:
            guard let github else { return notSetUp("notify.github.deployment") }
            guard let report = order.report else { return nothingToRecord }
            return await github.recordDeployment(of: report)
        case .issue:
            guard let github else { return notSetUp("notify.github.issue_on_failure") }
            guard let report = order.report else { return nothingToRecord }
            return await github.keepIncident(
                of: report, title: "\(content.subject): \(content.app)", body: NoticeRenderer.markdown(content))
        }
    }

    private var nothingToRecord: Failure {
        Failure(.invalid, "GitHub keeps a record of runs only")
    }

    private func notSetUp(_ name: String) -> Failure {
        Failure(.invalid, "\(name) is not set, so there is nowhere to send the notice")
    }

    // MARK: E-mail

    private func sendMail(
        _ content: NoticeContent, key: String, over email: NoticeChannels.Email, at now: Timestamp
    ) async -> Failure? {
        let wrong = email.to.filter { MailAddress($0) == nil }
        guard wrong.isEmpty, !email.to.isEmpty else {
            return Failure(
                .invalid, "\(wrong.count) of \(email.to.count) recipients are not plain mail addresses",
                hint: "Write each as name@example.org in notify.email.to.")
        }
        guard let from = MailAddress(email.from ?? NoticeSender.sender(of: email.server)) else {
            return Failure(.invalid, "The sender is not a plain mail address", hint: "Set notify.email.from.")
        }
        let message = MIMEMessage(
            from: from, to: email.to.compactMap { MailAddress($0) }, subject: content.subject, date: now,
            messageID: key.replacing("/", with: ".") + "@" + from.domain,
            text: NoticeRenderer.emailText(content), html: NoticeRenderer.emailHTML(content))
        do throws(MailError) {
            // A recipient refused while others were served is not tried again: the others would get the notice twice.
            _ = try await mail.send(
                MailEnvelope(server: email.server, from: from.text, recipients: email.to, message: message.data))
            return nil
        } catch {
            let code: Failure.Code =
                switch error.code {
                case .timedOut: .timedOut
                case _ where error.isRetryable: .unavailable
                case .loginRefused: .unauthorized
                case .invalidServer, .invalidAddress, .invalidMessage: .invalid
                case .cancelled, .shutDown: .cancelled
                case .couldNotResolve, .couldNotConnect, .connectionLost, .malformedAnswer: .unavailable
                case .tlsFailed, .senderRefused, .recipientsRefused, .messageRefused, .serverRefused: .refused
                }
            return Failure(code, Redactor.redact(error.message))
        }
    }

    /// The server's user where it is an address, `airboss@` the server's domain where not.
    static func sender(of server: String) -> String {
        let rest = server.drop { $0 != ":" }.dropFirst(3)
        let authority = rest.prefix { !"/?#".contains($0) }
        var host = authority
        if let at = authority.lastIndex(of: "@") {
            host = authority[authority.index(after: at)...]
            let user = authority[..<at].prefix { $0 != ":" }.replacing("%40", with: "@")
            if MailAddress(String(user)) != nil { return String(user) }
        }
        host = host.prefix { $0 != ":" }
        for label in ["smtp.", "mail."] where host.hasPrefix(label) { host = host.dropFirst(label.count) }
        return "airboss@" + host
    }

    // MARK: Webhooks

    /// How much of a refusal is read and shown.
    private static let maxRefusalBytes = 4096
    private static let maxShownCharacters = 120

    /// Posts without following redirects: what is told, and its signature, is for the one that was named.
    private func post(_ message: JSONValue, headers: HTTPHeaders, to webhook: String) async -> Failure? {
        var headers = headers
        headers["content-type"] = "application/json; charset=utf-8"
        var request = HTTPRequest(
            "POST", webhook, headers: headers, body: .bytes(Data(message.text().utf8)),
            timeouts: HTTPTimeouts(total: .seconds(30)), maxBodyBytes: NoticeSender.maxRefusalBytes)
        request.urlIsSecret = true
        do throws(HTTPError) {
            let response = try await http.send(request)
            if (200..<300).contains(response.status) { return nil }
            let code: Failure.Code =
                response.status == 429 ? .rateLimited : response.status >= 500 ? .unavailable : .refused
            let says = String(decoding: response.body, as: UTF8.self)
            let shown = NoticeText.line(Redactor.redact(says), maxCharacters: NoticeSender.maxShownCharacters)
            return Failure(code, "The webhook answered \(response.status)" + (shown.isEmpty ? "" : ": " + shown))
        } catch {
            let code: Failure.Code =
                switch error.code {
                case .timedOut, .stalled: .timedOut
                case .invalidRequest: .invalid
                case .tlsFailed, .tooManyRedirects: .refused
                case .cancelled, .shutDown: .cancelled
                // A longer answer than is read: the message was taken or not, and is better sent twice than lost.
                case .couldNotResolve, .couldNotConnect, .connectionLost, .malformedAnswer, .bodyTooLarge, .fileFailed:
                    .unavailable
                }
            // The address itself is the secret, so that nothing the transport says of it is repeated.
            return Failure(code, "The webhook could not be reached (\(error.code.rawValue))")
        }
    }
}
