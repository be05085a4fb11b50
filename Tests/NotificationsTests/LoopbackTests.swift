// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import HTTPTransport
import Model
import Testing

@testable import Notifications

/// A mail server and a webhook in another process; each writes what it gets into a folder.
private final class Receivers {
    let folder: URL
    let mailPort: String
    let webhookPort: String
    private let process = Process()

    private static let script = """
        import http.server, json, os, socketserver, sys, threading
        folder = sys.argv[1]
        class Mail(socketserver.StreamRequestHandler):
            def handle(self):
                def say(line): self.wfile.write(line.encode() + b'\\r\\n')
                commands = []
                say('220 receiver')
                while line := self.rfile.readline():
                    command = line.decode().strip()
                    commands.append(command)
                    verb = command.upper()
                    if verb.startswith('DATA'):
                        say('354 go on')
                        lines = []
                        while (line := self.rfile.readline()) != b'.\\r\\n':
                            lines.append(line[1:] if line.startswith(b'.') else line)
                        with open(folder + '/mail.eml', 'wb') as file: file.write(b''.join(lines))
                        with open(folder + '/commands', 'w') as file: file.write('\\n'.join(commands))
                        say('250 taken')
                    elif verb.startswith('RCPT') and 'GREY' in verb: say('451 come back later')
                    elif verb.startswith('RCPT') and 'NOBODY' in verb: say('550 no such mailbox')
                    elif verb.startswith('QUIT'): say('221 bye'); return
                    else: say('250 ok')
        class Webhook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers['content-length']))
                with open(folder + '/message.json', 'wb') as file: file.write(body)
                self.send_response(200 if self.path == '/good' else 429)
                self.send_header('content-length', '2')
                self.end_headers()
                self.wfile.write(b'ok')
            def log_message(self, *arguments): pass
        mail = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Mail)
        webhook = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Webhook)
        threading.Thread(target=webhook.serve_forever, daemon=True).start()
        with open(folder + '/new', 'w') as file: file.write(f'{mail.server_address[1]} {webhook.server_address[1]}')
        os.rename(folder + '/new', folder + '/ports')
        mail.serve_forever()
        """

    init() async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "airboss-receivers-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", Receivers.script, folder.path]
        try process.run()
        let ports = folder.appending(path: "ports")
        while !FileManager.default.fileExists(atPath: ports.path) {
            try #require(process.isRunning)
            try await Task.sleep(for: .milliseconds(20))
        }
        let numbers = try String(contentsOf: ports, encoding: .utf8).split(separator: " ")
        mailPort = String(numbers[0])
        webhookPort = String(numbers[1])
    }

    deinit {
        kill(process.processIdentifier, SIGKILL)
        // The system clears its temporary folder anyway.
        try? FileManager.default.removeItem(at: folder)
    }

    func text(_ name: String) throws -> String {
        try String(contentsOf: folder.appending(path: name), encoding: .utf8)
    }
}

@Suite(.serialized) struct LoopbackTests {
    @Test func `notices reach a real mail server and a real webhook`() async throws {
        let receivers = try await Receivers()
        let http = HTTPClient()
        let mail = MailTransport()
        func sender(_ to: String, _ path: String) -> NoticeSender {
            NoticeSender(
                channels: NoticeChannels(
                    email: .init(
                        server: "smtp://127.0.0.1:\(receivers.mailPort)?tls=none", from: "airboss@example.org", to: [to]
                    ),
                    slackWebhook: "http://127.0.0.1:\(receivers.webhookPort)/\(path)"),
                http: http, mail: mail)
        }
        func order(_ channel: NoticeOrder.Channel) -> NoticeOrder {
            NoticeOrder(channel: channel, attempt: 1, report: Samples.hostile)
        }
        func code(_ answer: Answer) -> Failure.Code? {
            if case .failed(let failure) = answer { failure.code } else { nil }
        }

        #expect(await sender("team@example.org", "good").answer(order(.email), at: start) == .done)
        #expect(try receivers.text("commands").contains("RCPT TO:<team@example.org>"))
        let subject = try python(
            """
            import email, email.policy
            file = open('\(receivers.folder.path)/mail.eml', newline='')
            mail = email.message_from_file(file, policy=email.policy.default)
            print(mail['subject'], mail['message-id'], len(list(mail.iter_parts())))
            """)
        #expect(
            subject.output == "🚨 Production Deployment Failed <\(Samples.hostile.run).email@example.org> 2\n",
            "\(subject.errors)")

        #expect(await sender("team@example.org", "good").answer(order(.slack), at: start) == .done)
        #expect(
            try JSONValue(parsing: receivers.text("message.json")) == SlackMessage.json(NoticeContent(Samples.hostile)))

        #expect(code(await sender("grey@example.org", "busy").answer(order(.email), at: start)) == .unavailable)
        #expect(code(await sender("nobody@example.org", "busy").answer(order(.email), at: start)) == .refused)
        #expect(code(await sender("team@example.org", "busy").answer(order(.slack), at: start)) == .rateLimited)
        await http.shutdown()
        await mail.shutdown()
    }
}
