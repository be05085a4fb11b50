// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl
internal import FoundationEssentials

/// Sends mail over SMTP, with a thread of its own: saying goodbye to a slow mail server blocks curl, and must not hold
/// up the HTTP transfers.
package struct MailTransport: Sendable {
    /// The largest message taken: what common servers allow.
    package static let maxMessageBytes = 25 * 1024 * 1024
    /// Recipients of one message (RFC 5321 section 4.5.3.1.8 lets servers refuse more).
    package static let maxRecipients = 100

    private let timeouts: HTTPTimeouts
    private let additionalCABundlePath: String?
    private let loop: TransferLoop

    /// `stall` also bounds the wait for each of the server's replies.
    package init(
        timeouts: HTTPTimeouts = HTTPTimeouts(connect: .seconds(15), total: .seconds(120), stall: .seconds(30)),
        additionalCABundlePath: String? = nil
    ) {
        self.timeouts = timeouts
        self.additionalCABundlePath = additionalCABundlePath
        loop = TransferLoop(threadName: "airboss-mail")
    }

    /// Sends to every recipient that the server takes; throws where it takes none, and when the task is cancelled.
    package func send(_ envelope: MailEnvelope) async throws(MailError) -> MailReceipt {
        let plan = try MailPlan(envelope)
        let authorities: CertificateAuthorities?
        do throws(HTTPError) {
            authorities = try additionalCABundlePath.map { path throws(HTTPError) in
                try CertificateAuthorities(adding: path)
            }
        } catch {
            throw MailError(.tlsFailed, error.message, isRetryable: false)
        }
        let ticket = TransferTicket()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.submit(
                    MailTransfer(
                        plan, ticket: ticket, timeouts: timeouts, authorities: authorities, continuation: continuation))
            }
        } onCancel: {
            loop.cancel(ticket)
        }
        return try result.get()
    }

    /// Ends what is being sent, with `shutDown`, and returns once the thread is gone.
    package func shutdown() async {
        await loop.shutDown()
    }
}

/// An envelope that was checked, in curl's terms.
struct MailPlan: Sendable {
    enum Security: Hashable, Sendable {
        /// TLS from the first byte.
        case implicit
        /// STARTTLS or nothing is sent.
        case required
        /// STARTTLS where the server offers it: only where nothing leaves the machine.
        case opportunistic
        case none
    }

    /// Without credentials and query.
    var url: String
    var user: String?
    var password: String?
    var security: Security
    var from: String
    var recipients: [String]
    var message: Data

    init(_ envelope: MailEnvelope) throws(MailError) {
        guard let parts = URLParts(envelope.server), ["smtp", "smtps"].contains(parts.scheme), !parts.host.isEmpty
        else {
            throw MailError(.invalidServer, "The mail server is not an smtp:// or smtps:// URL.", isRetryable: false)
        }
        security = try Self.security(of: parts)
        url = "\(parts.scheme)://\(parts.host):\(parts.port)\(parts.path == "/" ? "" : parts.path)"
        user = parts.user
        password = parts.password
        guard !envelope.recipients.isEmpty, envelope.recipients.count <= MailTransport.maxRecipients else {
            throw MailError(
                .invalidAddress,
                "A mail has 1 to \(MailTransport.maxRecipients) recipients, this one has \(envelope.recipients.count).",
                isRetryable: false)
        }
        for address in [envelope.from] + envelope.recipients where !Self.isAddress(address) {
            throw MailError(.invalidAddress, "\"\(address)\" is not a bare mail address.", isRetryable: false)
        }
        from = envelope.from
        recipients = envelope.recipients
        message = Self.withNetworkLineEnds(envelope.message)
        guard message.count <= MailTransport.maxMessageBytes else {
            throw MailError(
                .invalidMessage, "The mail is longer than \(MailTransport.maxMessageBytes) bytes.", isRetryable: false)
        }
    }

    private static func security(of parts: URLParts) throws(MailError) -> Security {
        switch parts.query {
        case nil: break
        case "tls=none" where parts.scheme == "smtp" && parts.isLoopback: return .none
        case "tls=none":
            throw MailError(
                .invalidServer, "Mail without TLS is only for smtp:// servers on this machine, not \(parts.host).",
                isRetryable: false)
        default:
            throw MailError(
                .invalidServer, "The mail server's URL takes no query but tls=none.", isRetryable: false)
        }
        if parts.scheme == "smtps" { return .implicit }
        return parts.isLoopback ? .opportunistic : .required
    }

    /// One @, and nothing that could end the SMTP command or its brackets.
    private static func isAddress(_ address: String) -> Bool {
        let halves = address.split(separator: "@", omittingEmptySubsequences: false)
        return halves.count == 2 && halves.allSatisfy { !$0.isEmpty }
            && address.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F && $0 != "<" && $0 != ">" }
    }

    /// Bare LFs and CRs become CRLF: servers refuse them, since they can be used to smuggle in commands.
    private static func withNetworkLineEnds(_ message: Data) -> Data {
        var normal = Data(capacity: message.count + message.count / 32)
        var previous: UInt8 = 0
        for byte in message {
            switch byte {
            case UInt8(ascii: "\r"): normal.append(contentsOf: [0x0D, 0x0A])
            case UInt8(ascii: "\n") where previous == UInt8(ascii: "\r"): break
            case UInt8(ascii: "\n"): normal.append(contentsOf: [0x0D, 0x0A])
            default: normal.append(byte)
            }
            previous = byte
        }
        return normal
    }
}
