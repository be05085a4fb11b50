// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@Suite struct JSONValueTests {
    @Test(arguments: [
        #"{"a":1,"b":1.5,"c":"x","d":[true,false,null],"e":{"deep":{"deeper":[]}},"unknown_to_us":{"z":0}}"#,
        "9223372036854775807", "-9223372036854775808", "0", #""é ✓ \u0000 / \"quoted\"""#, "[]", "{}", "null",
        #"{"1":1}"#, "[1,0,true,\"1\",\"true\",\"null\"]",
    ])
    func `a document survives being read and written`(_ text: String) throws {
        let value = try JSONValue(parsing: text)
        let again = try JSONValue(parsing: value.text())
        #expect(again == value)
        #expect(try JSONValue(parsing: value.text(pretty: true)) == value)
    }

    @Test func `integers stay integers and truths stay truths`() throws {
        let value = try JSONValue(parsing: #"[1, 1.5, true, "1", 9007199254740993, 0, false]"#)
        #expect(value == [1, 1.5, true, "1", .integer(9_007_199_254_740_993), 0, false])
        #expect(value.text() == #"[1,1.5,true,"1",9007199254740993,0,false]"#)
    }

    @Test(arguments: ["", "{", "[1,]x", "nul", "{\"a\"}", "\u{FEFF}x"])
    func `what is not JSON is refused`(_ text: String) {
        #expect(throws: (any Error).self) { try JSONValue(parsing: text) }
    }

    @Test func `equal values give equal text`() throws {
        let one = try JSONValue(parsing: #"{"b":1,"a":{"d":2,"c":3}}"#)
        let two = try JSONValue(parsing: #"{"a":{"c":3,"d":2},"b":1}"#)
        #expect(one.text() == two.text())
        #expect(one.text() == #"{"a":{"c":3,"d":2},"b":1}"#)
    }

    @Test func `members are read and set by name`() {
        var value: JSONValue = ["a": ["b": 1]]
        #expect(value["a"]?["b"]?.integer == 1)
        #expect(value["b"] == nil)
        #expect(value["a"]?[0] == nil)
        value["c"] = "new"
        value["a"] = nil
        #expect(value == ["c": "new"])
        var scalar: JSONValue = 1
        scalar["x"] = nil
        #expect(scalar == 1)
        scalar["x"] = true
        #expect(scalar == ["x": true])
    }

    @Test func `values are read as what they are only`() {
        #expect(JSONValue.number(2).integer == 2)
        #expect(JSONValue.number(2.5).integer == nil)
        #expect(JSONValue.integer(2).double == 2)
        #expect(JSONValue.string("2").integer == nil)
        #expect(JSONValue.bool(true).integer == nil)
        #expect(JSONValue.integer(1).bool == nil)
        #expect(JSONValue.null.string == nil)
        #expect(JSONValue.array([1])[0] == 1)
        #expect(JSONValue.array([1])[1] == nil)
        #expect(JSONValue.array([1])[-1] == nil)
    }
}
