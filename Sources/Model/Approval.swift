// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials

/// That a person approves one commit for one pipeline, until a time, to be used once.
package struct Approval: Hashable, Codable, Sendable {
    package var pipeline: String
    package var app: AppName
    /// The full id.
    package var commit: CommitID
    /// Who approves, as `allowed_signers` names the key.
    package var approver: String
    package var createdAt: Timestamp
    package var expiresAt: Timestamp
    /// Drawn at random; whatever is done with it is done once.
    package var nonce: String
    package var reason: String

    package init(
        pipeline: String, app: AppName, commit: CommitID, approver: String, createdAt: Timestamp,
        expiresAt: Timestamp, nonce: String, reason: String
    ) {
        self.pipeline = pipeline
        self.app = app
        self.commit = commit
        self.approver = approver
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.nonce = nonce
        self.reason = reason
    }

    /// The version of ``json``.
    package static let schema = 1
    /// What a signature is for (`ssh-keygen -n`), so that one made for something else does not count.
    package static let namespace = "airboss-approval"
    /// No approval counts for longer.
    package static let longestLife = Duration.seconds(7 * 24 * 3600)

    package var json: JSONValue {
        [
            "schema": .integer(Int64(Approval.schema)), "purpose": .string(Approval.namespace),
            "pipeline": .string(pipeline), "app": .string(app.rawValue), "commit": .string(commit.rawValue),
            "approver": .string(approver), "created_at": .string(createdAt.description),
            "expires_at": .string(expiresAt.description), "nonce": .string(nonce), "reason": .string(reason),
        ]
    }

    /// Reads ``json``; nil where anything is missing, or of a version that this one does not know.
    package init?(_ json: JSONValue) {
        guard json["schema"]?.integer == Approval.schema, json["purpose"]?.string == Approval.namespace,
            let pipeline = json["pipeline"]?.string, let app = json["app"]?.string,
            let commit = json["commit"]?.string, let approver = json["approver"]?.string,
            let createdAt = json["created_at"]?.string.flatMap(Timestamp.init),
            let expiresAt = json["expires_at"]?.string.flatMap(Timestamp.init), let nonce = json["nonce"]?.string,
            let reason = json["reason"]?.string, nonce.count >= 32,
            !approver.isEmpty, !approver.contains(where: { $0.isWhitespace || $0 == "*" || $0 == "?" || $0 == "!" })
        else { return nil }
        self.init(
            pipeline: pipeline, app: AppName(app), commit: CommitID(commit), approver: approver, createdAt: createdAt,
            expiresAt: expiresAt, nonce: nonce, reason: reason)
    }

    /// What is signed: the approval's canonical JSON.
    package static func signedText(of json: JSONValue) -> Data { Data(json.text().utf8) }
}

/// Whose approvals a run needs.
package struct ApprovalRule: Hashable, Codable, Sendable {
    /// How many different people.
    package var needed: Int
    /// Whether the commit's author counts.
    package var authorMayApprove: Bool

    package init(needed: Int, authorMayApprove: Bool = false) {
        self.needed = needed
        self.authorMayApprove = authorMayApprove
    }
}

/// What is asked of whoever keeps approvals.
package enum ApprovalQuery: Hashable, Codable, Sendable {
    /// Every approval of a commit that can be found, with its signature verified.
    case find(commit: CommitID)
    /// Use these up: whatever run comes later does not get them.
    case spend(approvals: [Approval])
}

/// An approval that was found, and what became of verifying it.
package struct FoundApproval: Hashable, Codable, Sendable {
    /// Nil where it can't be read.
    package var approval: Approval?
    /// Where it was found, for people.
    package var source: String
    /// The fingerprint of the key that signed it; empty where the signature is not good.
    package var key: String
    /// Why the signature does not count; empty where it does.
    package var problem: String
    /// The run that has used it up.
    package var spentBy: RunID?

    package init(
        approval: Approval?, source: String, key: String = "", problem: String = "", spentBy: RunID? = nil
    ) {
        self.approval = approval
        self.source = source
        self.key = key
        self.problem = problem
        self.spentBy = spentBy
    }
}
