// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What was said between curl and a mail server, as far as it is needed to tell what was refused and why.
///
/// curl reports only the last failure; the replies to each recipient are in its trace alone.
struct SMTPDialogue {
    enum Step: Hashable {
        case greeting, hello, startTLS, login, sender, recipient(String), data, message, quit, other
    }

    private(set) var step = Step.greeting
    /// The last complete reply, `status` 0 before there was one.
    private(set) var status = 0
    private(set) var reply = ""
    /// What the last reply was about.
    private(set) var answered = Step.greeting
    private(set) var accepted: [String] = []
    private(set) var refused: [MailReceipt.Refusal] = []
    private(set) var messageReply: String?
    /// Whether the server may have all of the message.
    private(set) var isMessageSent = false

    /// A line from the client; what it carries besides a recipient is not kept.
    mutating func sent(_ line: some StringProtocol) {
        switch line.prefix(4).uppercased() {
        case "EHLO", "HELO": step = .hello
        case "STAR": step = .startTLS
        case "AUTH": step = .login
        case "MAIL": step = .sender
        case "RCPT":
            let address = line.drop { $0 != "<" }.dropFirst().prefix { $0 != ">" }
            step = .recipient(String(address))
        case "DATA": step = .data
        case "QUIT": step = .quit
        // What follows AUTH is more of the login, in base64.
        default: step = step == .login ? .login : .other
        }
    }

    /// A line from the server; only the last one of a reply has a space behind its status.
    mutating func received(_ line: some StringProtocol) {
        guard let status = Int(line.prefix(3)), line.dropFirst(3).first != "-" else { return }
        // The goodbye says nothing about the message.
        guard step != .quit else { return }
        self.status = status
        reply = Redaction.text(String(line.trimmingLineEnd))
        answered = step
        switch step {
        case .recipient(let address):
            if (200..<300).contains(status) {
                accepted.append(address)
            } else {
                refused.append(MailReceipt.Refusal(recipient: address, status: status, reply: reply))
            }
        case .data where status == 354:
            step = .message
            isMessageSent = true
        case .message: messageReply = reply
        case .greeting, .hello, .startTLS, .login, .sender, .data, .quit, .other: break
        }
    }
}

extension StringProtocol {
    fileprivate var trimmingLineEnd: SubSequence {
        guard let last = lastIndex(where: { !$0.isWhitespace }) else { return self[startIndex..<startIndex] }
        return self[...last]
    }
}
