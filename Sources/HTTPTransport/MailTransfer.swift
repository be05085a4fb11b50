// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl
internal import FoundationEssentials
internal import Glibc

/// One message on its way through the loop.
///
/// `@unchecked Sendable` for the same reason as ``HTTPTransfer``: once submitted, only the loop's thread uses it.
final class MailTransfer: LoopTransfer, @unchecked Sendable {
    /// How long a server may take to answer the goodbye, which nothing depends on.
    private static let maxGoodbyeSeconds = 1

    let ticket: TransferTicket
    let deadline: ContinuousClock.Instant
    private let plan: MailPlan
    private let timeouts: HTTPTimeouts
    private let authorities: CertificateAuthorities?
    private var continuation: CheckedContinuation<Result<MailReceipt, MailError>, Never>?
    private var easy: EasyHandle?
    private var source: UploadSource
    private var dialogue = SMTPDialogue()
    /// Descriptors of our own for curl's sockets, so that they are still these sockets when ``interrupt()`` needs them.
    private var sockets: [Int32] = []

    init(
        _ plan: MailPlan, ticket: TransferTicket, timeouts: HTTPTimeouts, authorities: CertificateAuthorities?,
        continuation: CheckedContinuation<Result<MailReceipt, MailError>, Never>
    ) {
        self.plan = plan
        self.ticket = ticket
        self.timeouts = timeouts
        self.authorities = authorities
        self.continuation = continuation
        deadline = ContinuousClock.now + timeouts.total
        source = UploadSource(plan.message)
    }

    func begin(share: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        do throws(CurlRefusal) {
            var easy = try EasyHandle(context: self)
            try setOptions(of: &easy)
            let pointer = easy.pointer
            self.easy = consume easy
            return pointer
        } catch {
            let said = String(cString: curl_easy_strerror(error.code))
            answer(.failure(failure(.invalidServer, "curl does not take it", said, isRetryable: false)))
            return nil
        }
    }

    /// Taken out of curl, an unfinished mail would be *ended*: curl (7.88) then sends the dot that says it is complete,
    /// and waits for the reply. So its connection goes first.
    func interrupt() {
        for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) }
    }

    func end(_ ending: TransferEnding) {
        switch ending {
        case .finished(CURLE_OK):
            answer(
                .success(
                    MailReceipt(
                        accepted: dialogue.accepted, refused: dialogue.refused, reply: dialogue.messageReply ?? "")))
        case .finished(let code): answer(.failure(failure(after: code)))
        case .cancelled: answer(.failure(failure(.cancelled, "cancelled", isRetryable: true)))
        case .deadlinePassed: answer(.failure(timeout()))
        case .shutDown: answer(.failure(failure(.shutDown, "the mail transport was shut down", isRetryable: true)))
        case .refused: answer(.failure(failure(.serverRefused, "too many mails wait already", isRetryable: true)))
        }
    }

    private func answer(_ result: Result<MailReceipt, MailError>) {
        // Gives up the handle, and with it curl's hold on this object.
        easy = nil
        for socket in sockets { close(socket) }
        sockets = []
        continuation?.resume(returning: result)
        continuation = nil
    }
}

extension MailTransfer {
    private func setOptions(of easy: inout EasyHandle) throws(CurlRefusal) {
        try easy.setCommonOptions(
            timeouts: timeouts, remaining: ContinuousClock.now.duration(to: deadline), authorities: authorities)
        try easy.accept(airboss_easy_allow_mail(easy.pointer))
        try easy.set(CURLOPT_URL, plan.url)
        if let user = plan.user { try easy.set(CURLOPT_USERNAME, user) }
        if let password = plan.password { try easy.set(CURLOPT_PASSWORD, password) }
        let level =
            switch plan.security {
            case .implicit, .required: CURLUSESSL_ALL
            case .opportunistic: CURLUSESSL_TRY
            case .none: CURLUSESSL_NONE
            }
        try easy.set(CURLOPT_USE_SSL, Int(level.rawValue))
        // Messages are few and far between: each has a connection of its own, with a proper goodbye.
        try easy.set(CURLOPT_FORBID_REUSE, true)
        try easy.set(CURLOPT_SERVER_RESPONSE_TIMEOUT, timeouts.stall.secondsForCurl)
        try easy.set(CURLOPT_MAIL_FROM, plan.from)
        try easy.set(CURLOPT_MAIL_RCPT, list: plan.recipients)
        try easy.accept(airboss_easy_allow_recipient_failures(easy.pointer))
        try easy.set(CURLOPT_UPLOAD, true)
        try easy.set(CURLOPT_INFILESIZE_LARGE, offset: source.length)
        try easy.setContext(CURLOPT_READDATA)
        try easy.accept(
            airboss_easy_set_data_callback(easy.pointer, CURLOPT_READFUNCTION) { data, size, count, context in
                MailTransfer.from(context).supply(UnsafeMutableRawBufferPointer(start: data, count: size * count))
            })
        try easy.setContext(CURLOPT_SOCKOPTDATA)
        try easy.accept(
            airboss_easy_set_socket_callback(easy.pointer) { context, socket, _ in
                let duplicate = fcntl(socket, F_DUPFD_CLOEXEC, 0)
                if duplicate >= 0 { MailTransfer.from(context).sockets.append(duplicate) }
                return CURL_SOCKOPT_OK
            })
        // Without a function of ours curl would print the server's replies.
        try easy.accept(
            airboss_easy_set_data_callback(easy.pointer, CURLOPT_WRITEFUNCTION) { _, size, count, _ in size * count })
        try easy.set(CURLOPT_VERBOSE, true)
        try easy.setContext(CURLOPT_DEBUGDATA)
        try easy.accept(
            airboss_easy_set_debug_callback(easy.pointer) { handle, kind, data, size, context in
                let transfer = MailTransfer.from(context)
                transfer.note(kind, UnsafeRawBufferPointer(start: data, count: size))
                // curl blocks until the goodbye is answered, also after a transfer that failed.
                if transfer.dialogue.step == .quit {
                    airboss_easy_set_long(handle, CURLOPT_SERVER_RESPONSE_TIMEOUT, MailTransfer.maxGoodbyeSeconds)
                }
                return 0
            })
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> MailTransfer {
        guard let context else { preconditionFailure("curl lost a callback's context") }
        return Unmanaged<MailTransfer>.fromOpaque(context).takeUnretainedValue()
    }

    private func supply(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        do throws(FileFailure) {
            return try source.read(into: buffer)
        } catch {
            return Int(CURL_READFUNC_ABORT)
        }
    }

    private func note(_ kind: curl_infotype, _ buffer: UnsafeRawBufferPointer) {
        guard kind == CURLINFO_HEADER_IN || kind == CURLINFO_HEADER_OUT else { return }
        for line in String(decoding: buffer, as: UTF8.self).split(whereSeparator: \.isNewline) {
            if kind == CURLINFO_HEADER_IN { dialogue.received(line) } else { dialogue.sent(line) }
        }
    }
}

extension MailTransfer {
    private func failure(after code: CURLcode) -> MailError {
        let text = easy?.errorText ?? ""
        let said = text.isEmpty ? String(cString: curl_easy_strerror(code)) : text
        switch code {
        case CURLE_OPERATION_TIMEDOUT:
            return timeout()
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            return failure(.couldNotResolve, "the host name could not be resolved", said, isRetryable: true)
        case CURLE_COULDNT_CONNECT, CURLE_PROXY:
            return failure(.couldNotConnect, "no connection could be made", said, isRetryable: true)
        case CURLE_USE_SSL_FAILED:
            return failure(
                .tlsFailed, "the server offers no TLS, and nothing is sent without it", said, isRetryable: false)
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS:
            return failure(
                .tlsFailed, "the server's certificate could not be verified", said, isRetryable: false)
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_CACERT_BADFILE:
            return failure(.tlsFailed, "no secure connection could be made", said, isRetryable: true)
        case CURLE_LOGIN_DENIED where dialogue.status < 400:
            return failure(.loginRefused, "no way to log in that both sides know", said, isRetryable: false)
        default:
            return dialogue.status >= 400 ? refusal() : broken(said)
        }
    }

    /// The server said no, in its last reply.
    private func refusal() -> MailError {
        let isRetryable = dialogue.status < 500
        let reply = dialogue.reply
        switch dialogue.answered {
        case .login:
            return failure(.loginRefused, "the server refused the login", reply, isRetryable: isRetryable)
        case .sender:
            return failure(.senderRefused, "the server refused the sender", reply, isRetryable: isRetryable)
        case .recipient:
            return failure(
                .recipientsRefused, "the server refused every recipient", reply,
                isRetryable: dialogue.refused.contains(where: \.isRetryable))
        case .data, .message:
            return failure(.messageRefused, "the server refused the message", reply, isRetryable: isRetryable)
        case .startTLS:
            return failure(.tlsFailed, "the server refused STARTTLS", reply, isRetryable: isRetryable)
        case .greeting, .hello, .quit, .other:
            return failure(.serverRefused, "the server refused to talk", reply, isRetryable: isRetryable)
        }
    }

    private func broken(_ said: String) -> MailError {
        if dialogue.status == 0, !said.isEmpty, dialogue.reply.isEmpty, said.contains("reply") {
            return failure(.malformedAnswer, "the server does not speak SMTP", said, isRetryable: false)
        }
        let doubt = dialogue.isMessageSent ? "; the server may have taken the message" : ""
        return failure(.connectionLost, "the connection was lost\(doubt)", said, isRetryable: true)
    }

    private func timeout() -> MailError {
        let doubt = dialogue.isMessageSent ? "; the server may have taken the message" : ""
        return failure(.timedOut, "the server did not answer in time\(doubt)", isRetryable: true)
    }

    private func failure(
        _ code: MailError.Code, _ reason: String, _ said: String = "", isRetryable: Bool
    ) -> MailError {
        let detail = said.isEmpty ? "" : " (\(said))"
        return MailError(
            code, "Mail over \(plan.url): \(reason)\(detail).", isRetryable: isRetryable, refused: dialogue.refused)
    }
}
