// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@testable import FlyPlatform

@Suite struct FlyTokenTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let text: String
        let machines: String
        let platform: String
        var testDescription: String { text }
    }

    @Test(arguments: [
        Row(text: "fm2_abcd", machines: "FlyV1 fm2_abcd", platform: "FlyV1 fm2_abcd"),
        Row(text: "fm1r_abcd", machines: "FlyV1 fm1r_abcd", platform: "FlyV1 fm1r_abcd"),
        Row(text: "fm1a_abcd", machines: "FlyV1 fm1a_abcd", platform: "FlyV1 fm1a_abcd"),
        Row(text: "fo1_abcd", machines: "Bearer fo1_abcd", platform: "Bearer fo1_abcd"),
        Row(text: "fm20_abcd", machines: "Bearer fm20_abcd", platform: "Bearer fm20_abcd"),
        Row(text: "plain-oauth", machines: "Bearer plain-oauth", platform: "Bearer plain-oauth"),
        Row(text: "FlyV1 fm2_abcd", machines: "FlyV1 fm2_abcd", platform: "FlyV1 fm2_abcd"),
        Row(text: "Bearer fm2_abcd", machines: "FlyV1 fm2_abcd", platform: "FlyV1 fm2_abcd"),
        Row(text: "bearer  FLYV1 fo1_abcd", machines: "Bearer fo1_abcd", platform: "Bearer fo1_abcd"),
        Row(text: "fm2_aaaa,fm2_bbbb", machines: "FlyV1 fm2_aaaa,fm2_bbbb", platform: "FlyV1 fm2_aaaa,fm2_bbbb"),
        Row(
            text: "FlyV1 fo1_uuuu,fm2_aaaa", machines: "FlyV1 fm2_aaaa", platform: "FlyV1 fm2_aaaa,fo1_uuuu"),
    ])
    func `a token goes under its scheme`(_ row: Row) throws {
        let token = try FlyToken(row.text)
        #expect(token.machinesAuthorization == row.machines)
        #expect(token.platformAuthorization == row.platform)
        #expect(token.registryPassword == row.machines.split(separator: " ").last.map(String.init))
    }

    @Test(arguments: [
        ("", "is empty"), ("FlyV1 ", "is empty"), ("Bearer  ", "is empty"), ("fm2_hush\n", "line break"),
        ("\nfm2_hush", "line break"), ("fm2_hush\r\n", "line break"), (" fm2_hush", "space"), ("fm2_hush ", "space"),
        ("fm2_hush fm2_hush", "space"), ("fm2_hush, fm2_hush", "space"), ("fm2_\thush", "space"),
        ("\"fm2_hush\"", "characters"), ("fm2_hush\u{7}", "characters"), ("fm2_hüsh", "characters"),
        ("fm2_hush,", "empty entry"), (",fm2_hush", "empty entry"), ("fm2_hush,,fm2_hush", "empty entry"),
        (String(repeating: "hush", count: 20_000), "too long"),
    ])
    func `a malformed token is refused without being shown`(_ text: String, _ why: String) throws {
        let error = try #require(throws: AirbossError.self) { _ = try FlyToken(text) }
        #expect(error.code == .configuration)
        #expect(error.message.contains(FlyToken.variable))
        #expect(error.message.contains(why), "\(error.message)")
        #expect(!error.hint.isEmpty)
        #expect(!error.description.contains("hush") && !error.description.contains("hüsh"))
    }

    @Test func `an unset variable is told from an empty one`() throws {
        let unset = try #require(throws: AirbossError.self) { _ = try FlyToken(environment: [:]) }
        #expect(unset.message.contains("not set"))
        let empty = try #require(throws: AirbossError.self) { _ = try FlyToken(environment: ["FLY_API_TOKEN": ""]) }
        #expect(empty.message.contains("empty"))
        #expect(try FlyToken(environment: ["FLY_API_TOKEN": "fo1_x"]).machinesAuthorization == "Bearer fo1_x")
    }

    @Test func `no rendering shows a token`() throws {
        let token = try FlyToken("fm2_hushhush,fo1_hushhush")
        var dumped = ""
        dump(token, to: &dumped)
        for text in ["\(token)", String(describing: token), String(reflecting: token), dumped] {
            #expect(!text.contains("hush"), "\(text)")
        }
        #expect(token.redacting("bad fm2_hushhush, and fo1_hushhush!") == "bad [token], and [token]!")
    }
}
