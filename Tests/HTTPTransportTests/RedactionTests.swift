// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import HTTPTransport
import Testing

@Suite struct RedactionTests {
    @Test(arguments: [
        ("https://api.machines.dev/v1/apps", "https://api.machines.dev/v1/apps"),
        ("https://alice:hunter2@host:8443/p", "https://***@host:8443/p"),
        ("https://ghp_abc@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("https://a@b:c@host/p", "https://***@host/p"),
        ("https://host/p?token=abc&x=1&API_KEY=k", "https://host/p?token=***&x=1&API_KEY=***"),
        ("https://host/?x-amz-signature=abc&X-Amz-Date=1", "https://host/?x-amz-signature=***&X-Amz-Date=1"),
        ("https://host/?X-Amz-Credential=abc;secret=d", "https://host/?X-Amz-Credential=***;secret=***"),
        ("https://host/?p%61ssword=abc", "https://host/?p%61ssword=***"),
        ("https://host/#access_token=abc", "https://host/#access_token=***"),
        ("https://host?sig=abc", "https://host?sig=***"),
        ("https://r/v2/a/blobs/uploads/u?_state=abc", "https://r/v2/a/blobs/uploads/u?_state=***"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/services/***"),
        ("https://discord.com/api/webhooks/1/abc", "https://discord.com/api/webhooks/***"),
        ("https://host/v1/apps/x/secrets", "https://host/v1/apps/x/secrets"),
        ("https://host/fm2_abcdef/x", "https://host/***/x"),
        ("smtp://user:pass@mail.example.com:587", "smtp://***@mail.example.com:587"),
        ("", ""),
    ])
    func `a URL keeps all but its credentials`(url: String, shown: String) {
        #expect(Redaction.url(url) == shown)
    }

    @Test(arguments: [
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("> authorization: FlyV1 fm2_abc,fm2_def", "> authorization: ***"),
        ("[cookie: a=b]", "[cookie: ***"),
        (#"{"password": "x y"}"#, #"{"password": ***"#),
        ("X-Fly-Token: abc", "X-Fly-Token: ***"),
        ("sent Bearer abc123 along", "sent Bearer *** along"),
        ("sent FlyV1 fm2_lJPECA,fm2_xyz along", "sent FlyV1 *** along"),
        ("got fm2_lJPECA= from env", "got *** from env"),
        ("token=abc, url=x", "token=***, url=x"),
        (#"password="a b" rest"#, #"password=*** rest"#),
        ("see https://u:p@h/x?key=1 (refused)", "see https://***@h/x?key=*** (refused)"),
        (#"at "https://h/?token=abc", then"#, #"at "https://h/?token=***", then"#),
        (
            "GET https://h/v1/apps/x/secrets: no connection (Failed to connect).",
            "GET https://h/v1/apps/x/secrets: no connection (Failed to connect)."
        ),
        ("could not list secrets: refused", "could not list secrets: refused"),
        ("Server auth using Basic with user 'alice'", "Server auth using Basic with user '***'"),
        (
            #"Added cookie sid="abc" for domain h, path /, expire 0"#,
            #"Added cookie sid=*** for domain h, path /, expire 0"#
        ),
        ("one\npassword: two\r\nthree", "one\npassword: ***\nthree"),
        ("Basic authentication is needed", "Basic authentication is needed"),
        ("nothing to hide: 12:30", "nothing to hide: 12:30"),
        ("", ""),
    ])
    func `a text keeps all but its credentials`(text: String, shown: String) {
        #expect(Redaction.text(text) == shown)
    }

    @Test(arguments: [
        ("Authorization", true), ("proxy-authorization", true), ("Cookie", true), ("SET-COOKIE", true),
        ("fly-machine-lease-nonce", true), ("X-Registry-Token", true), ("X-Api-Key", true),
        ("Content-Type", false), ("fly-request-id", false), ("WWW-Authenticate", false), ("Retry-After", false),
    ])
    func `header fields with credentials are known`(name: String, isSensitive: Bool) {
        #expect(Redaction.isSensitiveHeader(name) == isSensitive)
    }

    @Test func `printing shows no credential, in whatever way`() {
        struct Holder {
            var request: HTTPRequest?
            var response: HTTPResponse
        }
        let request = HTTPRequest(
            "POST", "https://u:hunter2@h/p?token=hunter2", headers: ["Authorization": "hunter2", "X-Kept": "kept"],
            body: .bytes(Data("hunter2".utf8)))
        let response = HTTPResponse(
            status: 200, headers: ["Set-Cookie": "a=hunter2"], body: Data("hunter2".utf8), url: request.url)
        let holder = Holder(request: request, response: response)
        var dumped = ""
        dump(holder, to: &dumped)
        let error = HTTPError(.connectionLost, "https://u:hunter2@h/", mayHaveBeenProcessed: true)
        for text in [
            "\(request)", "\(response)", "\(holder)", String(reflecting: holder), dumped, "\([request.headers])",
            "\(request.headers.fields)", "\(request.body)", String(reflecting: error), "\(error)",
        ] {
            #expect(!text.contains("hunter2"), "\(text)")
        }
        #expect("\(request)".contains("X-Kept: kept"))
    }

    @Test func `a secret URL is shown by its host alone`() {
        var request = HTTPRequest("POST", "https://u:p@chat.example.com:8443/room/abc?x=1")
        request.urlIsSecret = true
        #expect(request.shownURL == "https://chat.example.com:8443/***")
    }
}
