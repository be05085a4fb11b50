// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Journals
internal import Model
internal import Ports

/// An approval and its signature as a file carries them.
struct SignedApproval {
    var json: JSONValue
    var signature: String

    static let schema = 1

    var text: String {
        (["schema": .integer(Int64(SignedApproval.schema)), "approval": json, "signature": .string(signature)]
            as JSONValue).text(pretty: true) + "\n"
    }

    init(json: JSONValue, signature: String) {
        self.json = json
        self.signature = signature
    }

    /// Nil where it is no file of ours.
    init?(_ text: String) {
        guard let document = try? JSONValue(parsing: text), document["schema"]?.integer == SignedApproval.schema,
            let approval = document["approval"], let signature = document["signature"]?.string
        else { return nil }
        self.init(json: approval, signature: signature)
    }
}

/// Approvals of a run's commit: those in the state store, and those that were brought as files.
struct LiveApprovals: ApprovalPort {
    let store: any StateStore
    let signatures: SSHSignatures
    let files: [String]
    let app: AppName
    let fence: Fence

    func answer(_ query: ApprovalQuery, at now: Timestamp) async -> Answer {
        do throws(StateError) {
            switch query {
            case .find(let commit): return .approvals(list: try await find(commit))
            case .check(let nonces, let names):
                let groups = signatures.people()
                var known: [String: [String]] = [:]
                for name in names { known[name] = SSHSignatures.names(of: name, in: groups) }
                return .approvalCheck(spentBy: try await store.approvalsSpent(nonces), names: known)
            case .spend(let approvals):
                try await store.spendApprovals(approvals, for: fence.run, at: now, fence: fence)
                return .done
            }
        } catch {
            if error.code == .conflict { return .failed(failure: Failure(.refused, error.detail)) }
            return .failed(failure: Failure(.unavailable, error.message, hint: error.hint))
        }
    }

    private func find(_ commit: CommitID) async throws(StateError) -> [FoundApproval] {
        var found: [FoundApproval] = []
        var seen: Set<String> = []
        for path in files {
            let source = "the file \(path)"
            let text: String
            do throws(AirbossError) {
                text = try TextFile.read(path)
            } catch {
                found.append(FoundApproval(approval: nil, source: source, problem: error.message))
                continue
            }
            guard let signed = SignedApproval(text) else {
                found.append(FoundApproval(approval: nil, source: source, problem: "it is no approval"))
                continue
            }
            let verified = await verify(signed, source)
            // One that is not signed must not hide one that is.
            if let nonce = verified.approval?.nonce, verified.problem.isEmpty, !seen.insert(nonce).inserted { continue }
            found.append(verified)
        }
        for kept in try await store.approvals(app, commit) {
            guard let document = kept.document, let signature = kept.signature, !seen.contains(kept.nonce) else {
                continue
            }
            let source = "the approval \(kept.nonce.prefix(8)) in the state store"
            guard let json = try? JSONValue(parsing: document) else {
                found.append(FoundApproval(approval: nil, source: source, problem: "it is no approval"))
                continue
            }
            found.append(await verify(SignedApproval(json: json, signature: signature), source))
        }
        let spent = try await store.approvalsSpent(found.compactMap { $0.approval?.nonce })
        for index in found.indices {
            guard let nonce = found[index].approval?.nonce else { continue }
            found[index].spentBy = spent[nonce]
        }
        return found
    }

    private func verify(_ signed: SignedApproval, _ source: String) async -> FoundApproval {
        guard let approval = Approval(signed.json) else {
            return FoundApproval(approval: nil, source: source, problem: "it is no approval of this version")
        }
        do throws(SSHSignatures.Problem) {
            let key = try await signatures.verify(
                Approval.signedText(of: signed.json), signature: signed.signature, signer: approval.approver)
            return FoundApproval(
                approval: approval, source: source, key: key,
                names: SSHSignatures.names(of: approval.approver, in: signatures.people()))
        } catch {
            return FoundApproval(approval: approval, source: source, problem: error.text)
        }
    }
}
