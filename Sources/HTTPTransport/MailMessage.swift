// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials

/// A message and where it goes.
package struct MailEnvelope: Sendable {
    /// `smtp://` or `smtps://`, with user and password where the server wants them, percent-encoded.
    ///
    /// `smtps` is TLS from the start. With `smtp` the server must offer STARTTLS, except on loopback, where it may, and
    /// where `?tls=none` leaves it out altogether.
    package var server: String
    /// The bare address, without a name and angle brackets.
    package var from: String
    /// Bare addresses.
    package var recipients: [String]
    /// Header fields and body (RFC 5322); line ends become CRLF, and dots are doubled on the way.
    package var message: Data

    package init(server: String, from: String, recipients: [String], message: Data) {
        self.server = server
        self.from = from
        self.recipients = recipients
        self.message = message
    }
}

extension MailEnvelope: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String {
        "\(message.count) bytes to \(recipients.count) recipients over \(Redaction.url(server))"
    }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["envelope": description]) }
}

/// What the server said about a message it took for at least one recipient.
package struct MailReceipt: Hashable, Sendable {
    /// A recipient the server would not take.
    package struct Refusal: Hashable, Sendable {
        package var recipient: String
        /// The reply's three digits (RFC 5321 section 4.2).
        package var status: Int
        /// The reply, credentials removed.
        package var reply: String

        /// Whether the server said that it may take the recipient later (4xx, as with greylisting).
        package var isRetryable: Bool { (400..<500).contains(status) }
    }

    package var accepted: [String]
    package var refused: [Refusal]
    /// The reply to the message itself, which often holds the server's name for it.
    package var reply: String

    package init(accepted: [String], refused: [Refusal] = [], reply: String = "") {
        self.accepted = accepted
        self.refused = refused
        self.reply = reply
    }
}

/// Why a message was not taken.
package struct MailError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        case invalidServer, invalidAddress, invalidMessage, couldNotResolve, couldNotConnect, tlsFailed
        case loginRefused, senderRefused, recipientsRefused, messageRefused, serverRefused
        case timedOut, connectionLost, malformedAnswer, cancelled, shutDown
    }

    package var code: Code
    /// One sentence, with every credential removed.
    package var message: String
    /// Whether the same message may be taken later: after a 4xx reply, and where the connection failed.
    package var isRetryable: Bool
    /// The recipients refused one by one, where it came to that.
    package var refused: [MailReceipt.Refusal]

    package init(_ code: Code, _ message: String, isRetryable: Bool, refused: [MailReceipt.Refusal] = []) {
        self.code = code
        self.message = Redaction.text(message)
        self.isRetryable = isRetryable
        self.refused = refused
    }

    package var description: String { message }
}
