// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Journals

@Suite struct ApprovalStoreTests {
    private func approval(_ nonce: String) -> Approval {
        Approval(
            pipeline: "production", app: app, commit: "c0ffee", approver: "grace@example.com", createdAt: start,
            expiresAt: start + .seconds(60), nonce: nonce, reason: "")
    }

    @Test(arguments: StoreKind.available)
    func `an approval is used once, unless its run was refused`(kind: StoreKind) async throws {
        let store = try await Place(kind).open()
        let kept = KeptApproval(
            nonce: "n1", app: app, commit: "c0ffee", document: payload("d"), signature: "s",
            expiresAt: start + .seconds(60))
        try await store.keepApproval(kept)
        try await store.keepApproval(kept)
        #expect(try await store.approvals(app, "c0ffee") == [kept])
        #expect(try await store.approvals(app, "other").isEmpty)
        for run in ["01A", "01B", "01C"] as [RunID] { try await store.openRun(header(run)) }

        // One is in the store, the other came in a file.
        let both = [approval("n1"), approval("n2")]
        try await store.spendApprovals(both, for: "01A", at: start, fence: nil)
        try await store.spendApprovals(both, for: "01A", at: start + .seconds(1), fence: nil)
        #expect(try await store.approvalsSpent(["n1", "n2", "n3"]) == ["n1": "01A", "n2": "01A"])
        let replayed = await failure { () throws(StateError) in
            try await store.spendApprovals([approval("n3"), approval("n2")], for: "01B", at: start, fence: nil)
        }
        #expect(replayed?.code == .conflict)
        #expect(try await store.approvalsSpent(["n3"]).isEmpty)  // all or none

        try await store.closeRun("01A", outcome: "refused", exitCode: 12, finishedAt: start, summary: payload("e"))
        try await store.spendApprovals(both, for: "01B", at: start, fence: nil)
        try await store.closeRun("01B", outcome: "rolled_back", exitCode: 10, finishedAt: start, summary: payload("e"))
        let again = await failure { () throws(StateError) in
            try await store.spendApprovals(both, for: "01C", at: start, fence: nil)
        }
        #expect(again?.code == .conflict)
    }

    @Test(arguments: StoreKind.available)
    func `of many runs that want one approval at once, one gets it`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        let winners = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<6 {
                group.addTask {
                    let store = try await place.open()
                    do throws(StateError) {
                        try await store.spendApprovals(
                            [self.approval("n1")], for: RunID("01R\(number)"), at: start, fence: nil)
                        return true
                    } catch {
                        #expect(error.code == .conflict)
                        return false
                    }
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(winners == 1)
    }
}
