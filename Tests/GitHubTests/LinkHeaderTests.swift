// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Testing

@testable import GitHub

@Suite struct LinkHeaderTests {
    @Test(arguments: [
        (#"<https://a/x?page=2>; rel="next", <https://a/x?page=9>; rel="last""#, "https://a/x?page=2"),
        (
            #"<https://a/x?page=1>; rel="prev", <https://a/x?labels=a,b&page=3>; rel="next""#,
            "https://a/x?labels=a,b&page=3"
        ),
        (#"<https://a/x?page=2>;rel=next"#, "https://a/x?page=2"),
        (#"<https://a/x?page=2>; title="n"; REL="last next""#, "https://a/x?page=2"),
    ]) func `the next page is found wherever it stands`(_ field: String, _ wanted: String) {
        #expect(LinkHeader.next(in: [field]) == wanted)
    }

    @Test(arguments: [
        "", "<", "<>", #"<https://a>; rel="prev""#, #"https://a; rel="next""#, #"<https://a; rel="next""#,
        #"<https://a>; rev="next""#, #"<https://a>; rel="nextish""#,
    ]) func `what names no next page has none`(_ field: String) {
        #expect(LinkHeader.next(in: [field]) == nil)
    }

    @Test func `the field may come in several lines`() {
        #expect(LinkHeader.next(in: [#"<https://a/1>; rel="last""#, #"<https://a/2>; rel="next""#]) == "https://a/2")
    }
}
