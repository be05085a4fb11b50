// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Testing

/// What comes from a commit is text, whatever a runner or a terminal would make of it.
@Suite("Text from outside")
struct OutsideTextTests {
    @Test(
        "is no command of a runner's and moves no cursor",
        arguments: ["::set-output name=a::b", "  ::error::forged", "fix ##[add-mask]x", "\u{1b}[2Jgone"])
    func harmless(_ subject: String) async throws {
        try await Workshop.open(.model, ["--no-rate-limits"]) { workshop in
            try await workshop.commit(subject, ["message=hello"])
            let outcome = try await workshop.airboss(
                "deploy", "production", "--reason", subject, with: ["GITHUB_ACTIONS": "true"])
            #expect(outcome.status == 0, "\(outcome.everything)")
            for line in outcome.everything.split(whereSeparator: \.isNewline) {
                #expect(!line.drop { $0 == " " }.hasPrefix("::") && !line.contains("##["), "\(line)")
                #expect(!line.contains("\u{1b}[2J"), "\(line)")
            }
        }
    }
}
