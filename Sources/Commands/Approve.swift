// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import GitHistory
internal import Journals
internal import Model
internal import PipelineFiles

struct ApproveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve",
        abstract: "Approve a commit for a pipeline, signed with your SSH key.",
        discussion: """
            The approval counts for this pipeline and commit alone, until it expires, and for one run. It is kept in \
            the state store, where a deploy that shares the store finds it; with --to it is also written to a file, \
            for airboss deploy --approval FILE. Your key must be in the file allowed_signers beside the pipeline, one \
            line each: NAME KEY.

            Examples:
              airboss approve production --commit v1.8.0 --reason "Reviewed, #512"
              airboss approve production --commit 3a8c383 --key ~/.ssh/id_ed25519 --expires 2h --to approval.json
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: ArgumentHelp("The commit: any revision git understands.", valueName: "rev"))
    var commit: String

    @Option(
        name: .long, help: ArgumentHelp("Your private key, or the public one of a key in ssh-agent.", valueName: "file")
    )
    var key: String?

    @Option(name: .long, help: ArgumentHelp("How long it counts: 24h, at most 7 days.", valueName: "duration"))
    var expires = "24h"

    @Option(name: .long, help: "Why you approve it.")
    var reason = ""

    @Option(
        name: .customLong("as"),
        help: ArgumentHelp("Your name in allowed_signers, where the key has several.", valueName: "name"))
    var signer: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Also write the approval to this file, which must not be there yet.", valueName: "file"))
    var to: String?

    @OptionGroup var options: GlobalOptions

    /// Keys that are tried where none is named, in `~/.ssh`.
    private static let usualKeys = ["id_ed25519", "id_ecdsa", "id_ed25519_sk", "id_ecdsa_sk", "id_rsa"]

    func validate() throws {
        guard let life = DurationText.parse(expires), life > .zero, life <= Approval.longestLife else {
            throw ValidationError("“\(expires)” is no time for an approval: write 30m, 24h or 48h, 7 days at most.")
        }
    }

    func run() async throws {
        let now = Timestamp.fromSystemClock()
        if let problem = PlausibleClock.problem(now) { throw problem }
        let context = try options.load(pipeline)
        let life = DurationText.parse(expires) ?? .zero
        let signatures = SSHSignatures(allowedSigners: context.allowedSigners)
        let key = try keyFile()
        do {
            let repository = try await GitRepository.open(at: try context.repositoryPath())
            let commit = try await repository.commit(try await repository.resolve(commit))
            let approval = Approval(
                pipeline: context.pipeline.name, app: context.pipeline.app, commit: commit.id,
                approver: try await approver(key, signatures), createdAt: now, expiresAt: now + life,
                nonce: ApproveCommand.makeNonce(), reason: reason)
            guard Approval(approval.json) == approval else {
                throw AirbossError(.usage, "“\(approval.approver)” can't be the name of an approver", hint: "see --as")
            }
            let data = Approval.signedText(of: approval.json)
            let signed = SignedApproval(
                json: approval.json, signature: try await SSHSignatures.sign(data, key: key))
            // What a deploy would not count is better said now.
            let fingerprint = try await signatures.verify(
                data, signature: signed.signature, signer: approval.approver)
            let store = try await options.openStore(for: context)
            try await store.keepApproval(
                KeptApproval(
                    nonce: approval.nonce, app: approval.app, commit: approval.commit, document: data,
                    signature: signed.signature, expiresAt: approval.expiresAt))
            if let to { try NewFile.write(Data(signed.text.utf8), to: to) }
            try await options.record(
                AuditEntry(
                    .approvalGranted, of: approval.approver, "approval of \(commit.id.short)",
                    after: [
                        "commit": .string(commit.id.rawValue), "key": .string(fingerprint),
                        "expires_at": .string(approval.expiresAt.description), "nonce": .string(approval.nonce),
                    ], at: now),
                in: store, pipeline: approval.pipeline, app: approval.app, reason: reason)
            show(approval, commit, fingerprint, context)
        } catch let problem as SSHSignatures.Problem {
            throw AirbossError(
                .refused, "the approval could not be signed: \(problem.text)",
                hint: "check --key, and that \(context.allowedSigners) names the key")
        } catch let error as GitError {
            throw AirbossError(.refused, error.message, hint: error.hint)
        }
    }

    private func show(_ approval: Approval, _ commit: Commit, _ fingerprint: String, _ context: PipelineContext) {
        switch options.output {
        case .json:
            var document = approval.json
            document["key"] = .string(fingerprint)
            document["file"] = RunFinished.optional(to)
            StandardStreams.output(document.text(pretty: true) + "\n")
        case .text:
            let file = to.map { " --approval \($0)" } ?? ""
            StandardStreams.output(
                """
                \(approval.approver) approves \(commit.id.short) for \(approval.pipeline) until \(approval.expiresAt)
                  commit  \(TerminalText.line(commit.subject))
                  key     \(fingerprint)
                Deploy it with: airboss deploy \(approval.pipeline) --commit \(commit.id.short)\(file) --reason TEXT

                """)
            let needed = context.pipeline.gates.approvals
            if needed == 0 {
                StandardStreams.error("airboss: \(approval.pipeline) asks for no approvals (gates.approvals is 0)\n")
            }
        }
    }

    // MARK: - Whose key

    private func keyFile() throws(AirbossError) -> String {
        let home = options.environment["HOME"] ?? ""
        if let key { return key.hasPrefix("~/") ? home + key.dropFirst(1) : key }
        let usual = ApproveCommand.usualKeys.map { "\(home)/.ssh/\($0)" }
        guard let found = usual.first(where: { FileManager.default.fileExists(atPath: $0) }) else {
            throw AirbossError(
                .usage, "there is no SSH key in \(home)/.ssh", hint: "name your key with --key FILE")
        }
        return found
    }

    private func approver(_ key: String, _ signatures: SSHSignatures) async throws -> String {
        if let signer { return signer }
        guard let publicKey = try await SSHSignatures.publicKey(of: key) else {
            throw AirbossError(
                .usage, "the public half of \(key) can't be read",
                hint: "put it beside the key as \(key).pub, or say who you are with --as NAME")
        }
        guard let found = signatures.signer(of: publicKey) else {
            throw AirbossError(
                .refused, "\(signatures.allowedSigners) has no line with the key \(key)",
                hint: "have this line added and merged: YOUR-EMAIL \(publicKey)")
        }
        return found
    }

    private static func makeNonce() -> String {
        AuditChain.hexadecimal(Data((0..<16).map { _ in UInt8.random(in: .min ... .max) }))
    }
}

extension PipelineContext {
    /// The file that says whose SSH key is whose, beside the pipeline.
    var allowedSigners: String { folder + "/allowed_signers" }
}
