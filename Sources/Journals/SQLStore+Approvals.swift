// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

/// An approval as the store keeps it: whoever uses it verifies it anew.
package struct KeptApproval: Hashable, Sendable {
    package var nonce: String
    package var app: AppName
    package var commit: CommitID
    /// What was signed, as JSON; nil for one that was brought in a file and only used up here.
    package var document: Data?
    package var signature: String?
    package var expiresAt: Timestamp
    package var spentBy: RunID?
    package var spentAt: Timestamp?

    package init(
        nonce: String, app: AppName, commit: CommitID, document: Data?, signature: String?, expiresAt: Timestamp,
        spentBy: RunID? = nil, spentAt: Timestamp? = nil
    ) {
        self.nonce = nonce
        self.app = app
        self.commit = commit
        self.document = document
        self.signature = signature
        self.expiresAt = expiresAt
        self.spentBy = spentBy
        self.spentAt = spentAt
    }
}

extension SQLStore {
    package func keepApproval(_ approval: KeptApproval) async throws(StateError) {
        try await store(approval)
    }

    /// Writes an approval as it is; one with the same nonce that is used up stays so.
    func store(_ approval: KeptApproval) async throws(StateError) {
        try await write([.app(approval.app)]) { [self] session in
            try insert(session, approval)
        }
    }

    private func insert(_ session: any SQLSession, _ approval: KeptApproval) throws {
        try session.execute(
            """
            INSERT INTO approval (nonce, app, commit_id, document, signature, expires_at, spent_by, spent_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, CAST(? AS BIGINT)) ON CONFLICT (nonce) DO NOTHING
            """,
            [
                approval.nonce, approval.app.rawValue, approval.commit.rawValue, approval.document,
                approval.signature, approval.expiresAt.milliseconds, approval.spentBy?.rawValue,
                approval.spentAt?.milliseconds,
            ])
        // Used up in either store is used up.
        guard let run = approval.spentBy, let time = approval.spentAt else { return }
        try session.execute(
            "UPDATE approval SET spent_by = ?, spent_at = ? WHERE nonce = ? AND spent_by IS NULL",
            [run.rawValue, time.milliseconds, approval.nonce])
    }

    package func approvals(_ app: AppName, _ commit: CommitID) async throws(StateError) -> [KeptApproval] {
        try await read { [self] session in
            try session.rows(
                "SELECT * FROM approval WHERE app = ? AND commit_id = ? ORDER BY nonce",
                [app.rawValue, commit.rawValue]
            ).map(keptApproval)
        }
    }

    func allApprovals() async throws(StateError) -> [KeptApproval] {
        try await read { [self] session in
            try session.rows("SELECT * FROM approval ORDER BY nonce").map(keptApproval)
        }
    }

    package func approvalsSpent(_ nonces: [String]) async throws(StateError) -> [String: RunID] {
        try await read { session in
            var found: [String: RunID] = [:]
            for nonce in nonces {
                let row = try session.row("SELECT spent_by FROM approval WHERE nonce = ?", [nonce])
                found[nonce] = try row?.optional("spent_by", as: String.self).map { RunID($0) }
            }
            return found
        }
    }

    package func spendApprovals(
        _ approvals: [Approval], for run: RunID, at time: Timestamp, fence: Fence?
    ) async throws(StateError) {
        // A nonce that two apps use at once is settled by the database: it is a key.
        let subjects = Set(approvals.map { SQLSubject.app($0.app) }).union(fence.map { [.app($0.app)] } ?? [])
        try await write(Array(subjects)) { [self] session in
            try check(session, fence)
            for approval in approvals {
                try insert(
                    session,
                    KeptApproval(
                        nonce: approval.nonce, app: approval.app, commit: approval.commit, document: nil,
                        signature: nil, expiresAt: approval.expiresAt))
                let changed = try session.execute(
                    """
                    UPDATE approval SET spent_by = ?, spent_at = coalesce(spent_at, ?)
                    WHERE nonce = ? AND (spent_by IS NULL OR spent_by = ?)
                    """, [run.rawValue, time.milliseconds, approval.nonce, run.rawValue])
                guard changed == 1 else {
                    throw error(.conflict, "another run has used the approval by \(approval.approver)")
                }
            }
        }
    }

    /// A run that changed nothing has used nothing up.
    func giveBackApprovals(_ session: any SQLSession, _ run: RunID) throws {
        try session.execute(
            "UPDATE approval SET spent_by = NULL, spent_at = NULL WHERE spent_by = ?", [run.rawValue])
    }

    private func keptApproval(_ row: SQLRow) throws -> KeptApproval {
        KeptApproval(
            nonce: try row.required("nonce"), app: try row.name("app"), commit: try row.name("commit_id"),
            document: try row.optional("document"), signature: try row.optional("signature"),
            expiresAt: try row.time("expires_at"),
            spentBy: try row.optional("spent_by", as: String.self).map { RunID($0) },
            spentAt: try row.optionalTime("spent_at"))
    }
}
