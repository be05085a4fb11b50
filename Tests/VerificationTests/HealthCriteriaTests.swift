// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing
import Verification

@Suite struct HealthCriteriaTests {
    struct Row: Sendable, CustomStringConvertible {
        var description: String
        var criteria = HealthCriteria()
        var status: Int? = 200
        var milliseconds = 20
        var fields: [String: String] = [:]
        var failure = ""
        /// Nil where the answer is healthy.
        var fault: String?
    }

    private static let either = HealthCriteria(statuses: [200, 204])
    private static let body = HealthCriteria(body: ["status": ["ok", "healthy"], "checks.database": ["true"]])
    private static let quick = HealthCriteria(within: .seconds(2))

    static let rows = [
        Row(description: "the expected status"),
        Row(description: "another status", status: 503, fault: "answered 503, expected 200"),
        Row(description: "a redirect is not followed", status: 302, fault: "answered 302, expected 200"),
        Row(description: "one of several", criteria: either, status: 204),
        Row(description: "none of several", criteria: either, status: 201, fault: "answered 201, expected 200 or 204"),
        Row(description: "no answer", status: nil, fault: "no answer"),
        Row(
            description: "no answer, and why", status: nil, failure: "could not connect: refused",
            fault: "could not connect: refused"),
        Row(
            description: "no answer that was quick and had the right fields", criteria: body, status: nil,
            fields: ["status": "ok", "checks.database": "true"], fault: "no answer"),
        Row(description: "the right body", criteria: body, fields: ["status": "healthy", "checks.database": "true"]),
        Row(
            description: "a field is missing", criteria: body, fields: ["status": "ok"],
            fault: "the body has no “checks.database”, expected true"),
        Row(
            description: "a field is wrong", criteria: body, fields: ["status": "degraded", "checks.database": "true"],
            fault: "“status” is “degraded”, expected ok or healthy"),
        Row(
            description: "the status goes before the body", criteria: body, status: 500,
            fault: "answered 500, expected 200"),
        Row(description: "just in time", criteria: quick, milliseconds: 2000),
        Row(
            description: "too late", criteria: quick, milliseconds: 2001,
            fault: "answered in 2001 ms, allowed are 2000 ms"),
        Row(description: "slow where nobody minds", milliseconds: 60_000),
    ]

    @Test(arguments: rows)
    func `what counts as healthy`(_ row: Row) {
        let result = ProbeResult(
            status: row.status, elapsed: .milliseconds(row.milliseconds), fields: row.fields, failure: row.failure)
        #expect(row.criteria.fault(in: result) == row.fault)
    }

    @Test func `a probe asks for the fields that its criteria need`() {
        let probe = HealthProbe(name: "/h", url: "https://x/h", timeout: .seconds(3), criteria: Self.body).probe
        #expect(probe == Probe(url: "https://x/h", timeout: .seconds(3), bodyFields: ["checks.database", "status"]))
    }
}
