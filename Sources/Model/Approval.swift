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

/// By what a person shows that they approve.
package enum ApprovalKind: String, Hashable, Codable, Sendable, CaseIterable {
    /// A signature with an SSH key that `allowed_signers` names.
    case ssh
    /// An approving review of the pull request that brought the commit.
    case review
    /// An environment of the very workflow run that a reviewer has let through.
    case environment
}

/// Whose approvals a run needs.
package struct ApprovalRule: Hashable, Codable, Sendable {
    /// How many different people.
    package var needed: Int
    /// Whether the commit's author counts.
    package var authorMayApprove: Bool
    /// The kinds of evidence that count.
    package var kinds: [ApprovalKind]
    /// GitHub environments whose reviewers count; GitHub does not tell their names apart by case.
    package var environments: [String]
    /// The workflow run that this process is part of; nil elsewhere.
    package var workflowRun: String?
    /// How long approvals that are not there yet are waited for.
    package var patience: Duration
    /// How long after it was given an approval counts at most.
    package var lifetime: Duration

    package init(
        needed: Int, authorMayApprove: Bool = false, kinds: [ApprovalKind] = [.ssh], environments: [String] = [],
        workflowRun: String? = nil, patience: Duration = .zero, lifetime: Duration = Approval.longestLife
    ) {
        self.needed = needed
        self.authorMayApprove = authorMayApprove
        self.kinds = kinds
        self.environments = environments
        self.workflowRun = workflowRun
        self.patience = patience
        self.lifetime = lifetime
    }

    /// Journals of earlier versions know signatures only.
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            needed: try keys.decode(Int.self, forKey: .needed),
            authorMayApprove: try keys.decode(Bool.self, forKey: .authorMayApprove),
            kinds: try keys.decodeIfPresent([ApprovalKind].self, forKey: .kinds) ?? [.ssh],
            environments: try keys.decodeIfPresent([String].self, forKey: .environments) ?? [],
            workflowRun: try keys.decodeIfPresent(String.self, forKey: .workflowRun),
            patience: try keys.decodeIfPresent(Duration.self, forKey: .patience) ?? .zero,
            lifetime: try keys.decodeIfPresent(Duration.self, forKey: .lifetime) ?? Approval.longestLife)
    }
}

/// What is asked of whoever keeps approvals.
package enum ApprovalQuery: Hashable, Codable, Sendable {
    /// Every signed approval of a commit that can be found, with its signature verified.
    case find(commit: CommitID)
    /// Which runs have used up what these nonces stand for, and the names by which `allowed_signers` knows these
    /// people.
    case check(nonces: [String], names: [String])
    /// Use these up: whatever run comes later does not get them.
    case spend(approvals: [Approval])
}

/// An approval that was found, and what became of verifying it.
package struct FoundApproval: Hashable, Codable, Sendable {
    /// Nil where it can't be read.
    package var approval: Approval?
    package var kind: ApprovalKind
    /// Where it was found, for people.
    package var source: String
    /// The fingerprint of the key that signed it; empty where the signature is not good. Of what GitHub says, GitHub's
    /// name for whoever said it.
    package var key: String
    /// Why it does not count; empty where it does.
    package var problem: String
    /// The run that has used it up.
    package var spentBy: RunID?
    /// Every name by which `allowed_signers` knows the approver; empty where it does not.
    package var names: [String]

    package init(
        approval: Approval?, kind: ApprovalKind = .ssh, source: String, key: String = "", problem: String = "",
        spentBy: RunID? = nil, names: [String] = []
    ) {
        self.approval = approval
        self.kind = kind
        self.source = source
        self.key = key
        self.problem = problem
        self.spentBy = spentBy
        self.names = names
    }

    /// Journals of earlier versions know signatures only.
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            approval: try keys.decodeIfPresent(Approval.self, forKey: .approval),
            kind: try keys.decodeIfPresent(ApprovalKind.self, forKey: .kind) ?? .ssh,
            source: try keys.decode(String.self, forKey: .source), key: try keys.decode(String.self, forKey: .key),
            problem: try keys.decode(String.self, forKey: .problem),
            spentBy: try keys.decodeIfPresent(RunID.self, forKey: .spentBy),
            names: try keys.decodeIfPresent([String].self, forKey: .names) ?? [])
    }
}

/// An approval that a run has counted, as its report tells it.
package struct CountedApproval: Hashable, Codable, Sendable {
    package var approver: String
    package var kind: ApprovalKind
    /// Where it was found, for people.
    package var source: String
    /// The key's fingerprint, or GitHub's name for the approver.
    package var key: String
    package var approvedAt: Timestamp
    package var expiresAt: Timestamp
    package var nonce: String

    /// Nil of one that can't be read.
    package init?(_ found: FoundApproval) {
        guard let approval = found.approval else { return nil }
        approver = approval.approver
        kind = found.kind
        source = found.source
        key = found.key
        approvedAt = approval.createdAt
        expiresAt = approval.expiresAt
        nonce = approval.nonce
    }

    /// For reports and records.
    package var json: JSONValue {
        [
            "approver": .string(approver), "kind": .string(kind.rawValue), "source": .string(source),
            "key": .string(key), "approved_at": .string(approvedAt.description),
            "expires_at": .string(expiresAt.description), "nonce": .string(nonce),
        ]
    }
}
