// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Notifications

@Suite struct MIMEMessageTests {
    private func message(
        subject: String = "✅ Production Deployment Successful", text: String = "text", html: String = "<p>html</p>"
    ) throws -> MIMEMessage {
        MIMEMessage(
            from: try #require(MailAddress("airboss@example.org")),
            to: [try #require(MailAddress("team@example.org")), try #require(MailAddress("o'hara+x@example.org"))],
            subject: subject, date: start, messageID: "01KAH7Q3ZV5M8N2P4R6T8W0Y1B.email@example.org", text: text,
            html: html)
    }

    /// What Python's own mail package reads from a message, as JSON.
    private func parsed(_ message: MIMEMessage) throws -> JSONValue {
        let script = """
            import email, email.policy, json, sys
            raw = sys.stdin.buffer.read()
            assert raw.replace(b'\\r\\n', b'').count(b'\\n') == 0 and raw.replace(b'\\r\\n', b'').count(b'\\r') == 0
            assert all(len(line) <= 78 for line in raw.split(b'\\r\\n')), max(raw.split(b'\\r\\n'), key=len)
            assert all(byte < 128 for byte in raw)
            mail = email.message_from_bytes(raw, policy=email.policy.strict)
            parts = list(mail.iter_parts())
            everything = [mail] + parts
            assert not [defect for part in everything for defect in part.defects]
            assert not [d for part in everything for value in part.values() for d in getattr(value, 'defects', [])]
            print(json.dumps({
                'headers': mail.keys(), 'subject': mail['subject'], 'from': mail['from'],
                'to': [address.addr_spec for address in mail['to'].addresses], 'id': mail['message-id'],
                'date': mail['date'].datetime.isoformat(), 'type': mail.get_content_type(),
                'types': [part.get_content_type() for part in parts],
                'charsets': [part.get_content_charset() for part in parts],
                'bodies': [part.get_content() for part in parts]}))
            """
        let result = try python(script, input: message.data)
        try #require(result.status == 0, "\(result.errors)")
        return try JSONValue(parsing: result.output)
    }

    @Test func `another program reads what was meant`() throws {
        let mail = try parsed(message())
        #expect(mail["subject"] == "✅ Production Deployment Successful")
        #expect(mail["from"] == "airboss@example.org")
        #expect(mail["to"] == ["team@example.org", "o'hara+x@example.org"])
        #expect(mail["id"] == "<01KAH7Q3ZV5M8N2P4R6T8W0Y1B.email@example.org>")
        #expect(mail["date"] == "2026-11-20T17:04:05+00:00")
        #expect(mail["type"] == "multipart/alternative")
        #expect(mail["types"] == ["text/plain", "text/html"])
        #expect(mail["charsets"] == ["utf-8", "utf-8"])
        #expect(mail["bodies"]?[0]?.string?.hasPrefix("text") == true)
        #expect(mail["bodies"]?[1]?.string?.hasPrefix("<p>html</p>") == true)
        #expect(
            mail["headers"] == [
                "From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted", "Content-Type",
            ])
    }

    @Test(
        arguments: [
            "plain", "🚨 Production Deployment Failed", "⚠️ Production Rollback Executed", "", "=?utf-8?Q?trick?=",
            String(repeating: "ü", count: 150), String(repeating: "👩‍👩‍👧‍👦", count: 20),
            "a" + String(repeating: "\u{301}", count: 90),
            String(repeating: "long words ", count: 15), "日本語の件名がここにあります、とても長いので折り返されます、はい",
        ])
    func `subjects of every kind survive`(subject: String) throws {
        let expected = NoticeText.line(subject, maxCharacters: 200)
        #expect(try parsed(message(subject: subject))["subject"] == .string(expected))
    }

    @Test(
        arguments: [
            "x\r\nBcc: victim@example.org", "x\nBcc: victim@example.org\n\nbody", "x\rBcc: v@example.org",
            "x\u{2028}Bcc: v@example.org", "x\u{85}Bcc: v@example.org", "x\u{0}\r\n.\r\nMAIL FROM:<a@b>",
        ])
    func `a subject adds no header`(subject: String) throws {
        let mail = try parsed(message(subject: subject))
        #expect(mail["headers"]?.array?.count == 8)
        #expect(mail["subject"]?.string?.hasPrefix("x") == true)
        let bodies = mail["bodies"]?.array?.count
        #expect(bodies == 2)
    }

    @Test(
        arguments: [
            "", "\n", "one\ntwo\r\nthree", ".\n..\n.x\n", "trailing space \ntab\t\n", "=3D = equals ==",
            String(repeating: "x", count: 200), String(repeating: "ü🚀", count: 60), "From here\n--=_airboss_01\n--\n",
            String(repeating: " ", count: 100), "\u{0}\u{7}\u{1B}[0m",
        ])
    func `bodies of every kind survive`(body: String) throws {
        let mail = try parsed(message(text: body, html: body))
        let expected = body.replacing("\r\n", with: "\n")
        for index in 0...1 {
            let read = try #require(mail["bodies"]?[index]?.string).replacing("\r\n", with: "\n")
            // Whether the line end before a boundary is the body's or the boundary's, readers see differently.
            #expect(read == expected || read == expected + "\n")
        }
    }

    @Test(arguments: Samples.all)
    func `whole notices survive`(report: RunReport) throws {
        let content = NoticeContent(report)
        let text = NoticeRenderer.emailText(content)
        let html = NoticeRenderer.emailHTML(content)
        let mail = try parsed(message(subject: content.subject, text: text, html: html))
        #expect(mail["subject"]?.string == content.subject)
        #expect(mail["bodies"]?[0]?.string?.contains(content.headline) == true)
        #expect(mail["bodies"]?[1]?.string?.replacing("\r\n", with: "\n").contains("</html>") == true)
        #expect(mail["bodies"]?[0]?.string?.contains("<html") == false)
    }

    @Test(
        arguments: [
            ("a@b.example", true), ("first.last+tag@sub.example.org", true), ("o'hara@example.org", true),
            ("a@localhost", true),
            ("", false), ("a", false), ("@b", false), ("a@", false), ("a@b@c", false), ("a b@c.de", false),
            ("a@b.de\r\nBcc: x@y.z", false),
            ("a@b.de\n", false), ("<a@b.de>", false), ("A <a@b.de>", false), ("a@b.de, c@d.ef", false),
            (".a@b.de", false),
            ("a..b@c.de", false), ("a@-b.de", false), ("a@b..de", false), ("ü@b.de", false), ("a@b.de> SIZE=1", false),
            ("\"x y\"@b.de", false),
        ])
    func `only plain addresses are addresses`(text: String, isAddress: Bool) {
        #expect((MailAddress(text) != nil) == isAddress)
    }

    @Test(
        arguments: [
            ("smtp://dana%40example.org:pw@smtp.example.org:587", "dana@example.org"),
            ("smtp://apikey:pw@smtp.sendgrid.net:587", "airboss@sendgrid.net"),
            ("smtps://mail.example.org", "airboss@example.org"),
            ("smtp://localhost:2525", "airboss@localhost"),
        ])
    func `the sender follows from the server`(server: String, sender: String) {
        #expect(NoticeSender.sender(of: server) == sender)
    }
}
