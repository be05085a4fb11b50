// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

/// An e-mail with a text and an HTML part, as RFC 5322 and RFC 2045–2047 want it: ASCII, lines of at most 76 characters
/// that end in CRLF, nothing in a header that could begin another.
package struct MIMEMessage: Hashable, Sendable {
    package var from: MailAddress
    package var to: [MailAddress]
    package var subject: String
    package var date: Timestamp
    /// Stable for one run and channel, so that a message sent twice is recognised; without angle brackets.
    package var messageID: String
    package var text: String
    package var html: String

    package init(
        from: MailAddress, to: [MailAddress], subject: String, date: Timestamp, messageID: String, text: String,
        html: String
    ) {
        self.from = from
        self.to = to
        self.subject = subject
        self.date = date
        self.messageID = messageID
        self.text = text
        self.html = html
    }

    /// The message as it goes over the wire.
    package var data: Data {
        // Quoted-printable never contains "=_", so no text can contain the boundary (RFC 2045, 6.7).
        let boundary = "=_airboss_" + MIMEMessage.token(messageID).prefix(40)
        var lines = [
            "From: " + from.text,
            "To: " + to.map(\.text).joined(separator: ",\r\n "),
            MIMEMessage.unstructured("Subject", subject),
            "Date: " + MIMEMessage.date(date),
            "Message-ID: <" + MIMEMessage.token(messageID) + ">",
            "MIME-Version: 1.0",
            "Auto-Submitted: auto-generated",
            "Content-Type: multipart/alternative;\r\n boundary=\"\(boundary)\"",
            "",
            "This is a message in several parts.",
        ]
        for (type, body) in [("plain", text), ("html", html)] {
            lines += [
                "--" + boundary,
                "Content-Type: text/\(type); charset=utf-8",
                "Content-Transfer-Encoding: quoted-printable",
                "",
                MIMEMessage.quotedPrintable(body),
            ]
        }
        lines += ["--" + boundary + "--", ""]
        return Data(lines.joined(separator: "\r\n").utf8)
    }

    // MARK: Headers

    /// The characters of an id that may stand in a header as they are.
    private static func token(_ text: String) -> String {
        String(
            text.unicodeScalars.filter {
                $0.isASCII && ($0.properties.isAlphabetic || "0123456789.-_@+".unicodeScalars.contains($0))
            })
    }

    /// `Sat, 21 Nov 2026 09:00:00 +0000` (RFC 5322, 3.3).
    static func date(_ time: Timestamp) -> String {
        let civil = CivilTime(secondsAsUTC: time.secondsSinceEpoch)
        let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(days[civil.isoWeekday - 1]), \(two(civil.day)) \(months[civil.month - 1]) \(civil.year) "
            + "\(two(civil.hour)):\(two(civil.minute)):\(two(civil.second)) +0000"
    }

    /// A header of free text; what is not printable ASCII becomes encoded words, each at most 75 characters and of
    /// whole characters (RFC 2047).
    static func unstructured(_ name: String, _ value: String) -> String {
        let line = NoticeText.line(value, maxCharacters: 200)
        let isPlain = line.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F } && !line.contains("=?")
        if isPlain, name.utf8.count + 2 + line.utf8.count <= 76 { return name + ": " + line }
        var words: [String] = []
        var bytes: [UInt8] = []
        // 45 bytes are 60 characters of base64, and 12 more around them.
        for character in line {
            let next = Array(character.utf8)
            if !bytes.isEmpty, bytes.count + next.count > 42 {
                words.append(encodedWord(bytes))
                bytes = []
            }
            // A character longer than a word (many marks on one letter) is cut between scalars by its own loop.
            for scalar in character.unicodeScalars {
                let part = Array(String(scalar).utf8)
                if bytes.count + part.count > 42 {
                    words.append(encodedWord(bytes))
                    bytes = []
                }
                bytes += part
            }
        }
        if !bytes.isEmpty { words.append(encodedWord(bytes)) }
        return name + ": " + words.joined(separator: "\r\n ")
    }

    private static func encodedWord(_ bytes: [UInt8]) -> String {
        "=?utf-8?B?" + Data(bytes).base64EncodedString() + "?="
    }

    // MARK: Bodies

    /// RFC 2045, 6.7. Line feeds become CRLF; every other control character is encoded.
    static func quotedPrintable(_ text: String) -> String {
        var result = ""
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            let bytes = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            var column = 0
            var encoded = ""
            for (offset, byte) in bytes.enumerated() {
                let isLast = offset == bytes.count - 1
                let isBlank = byte == 0x20 || byte == 0x09
                let isPlain = (byte >= 0x21 && byte <= 0x7E && byte != UInt8(ascii: "=")) || (isBlank && !isLast)
                // A dot that is alone on its line would end the message for a careless server.
                let mustEncode = !isPlain || (column == 0 && byte == UInt8(ascii: "."))
                let piece = mustEncode ? "=" + hex(byte) : String(UnicodeScalar(byte))
                if column + piece.utf8.count > 75 {
                    encoded += "=\r\n"
                    column = 0
                }
                encoded += piece
                column += piece.utf8.count
            }
            result += encoded + "\r\n"
        }
        return String(result.dropLast())  // one character: CRLF
    }

    private static func hex(_ byte: UInt8) -> String {
        let text = String(byte, radix: 16, uppercase: true)
        return byte < 16 ? "0" + text : text
    }
}

/// A mailbox: an address that may stand in a header and an SMTP command as it is.
package struct MailAddress: Hashable, Sendable {
    package let text: String

    /// Nil where the text is no plain address (RFC 5321's dot-string and domain); so none can carry a line break, a
    /// second recipient or a command.
    package init?(_ text: String) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, text.utf8.count <= 254, !parts[0].isEmpty, parts[0].utf8.count <= 64 else { return nil }
        let atoms = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let labels = parts[1].split(separator: ".", omittingEmptySubsequences: false)
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5A) || (byte >= 0x61 && byte <= 0x7A)
        }
        let symbols = Array("!#$%&'*+-/=?^_`{|}~".utf8)
        guard
            atoms.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { isAlphanumeric($0) || symbols.contains($0) } }),
            labels.allSatisfy({
                !$0.isEmpty && !$0.hasPrefix("-") && !$0.hasSuffix("-")
                    && $0.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
            })
        else { return nil }
        self.text = text
    }

    package var domain: String { String(text.drop { $0 != "@" }.dropFirst()) }
}
