// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2
package import Model

extension GitRepository {
    /// A commit with the tags that point at it. Throws `notFound`, `invalidRevision`, or `shallow` where the clone may
    /// have left it out.
    package func commit(_ id: CommitID) throws(GitError) -> Commit {
        try commit(object(id), tags: tagsByCommit())
    }

    func object(_ id: CommitID) throws(GitError) -> ObjectID {
        guard let object = ObjectID(hex: id.rawValue) else {
            throw GitError(
                .invalidRevision, "“\(shown(id.rawValue))” is not a full commit id", hint: "resolve the revision first")
        }
        return object
    }

    func commit(_ id: ObjectID, tags: [ObjectID: [String]]) throws(GitError) -> Commit {
        let handle = try commitHandle(id)
        let commit = handle.pointer
        let encoding = git_commit_message_encoding(commit).map { String(cString: $0).lowercased() }
        let (author, authoredAt) = person(git_commit_author(commit), encoding)
        let (committer, committedAt) = person(git_commit_committer(commit), encoding)
        let parents = (0..<git_commit_parentcount(commit)).compactMap { index in
            git_commit_parent_id(commit, index).map { CommitID(ObjectID($0.pointee).hex) }
        }
        return Commit(
            id: CommitID(id.hex), tree: ObjectID(git_commit_tree_id(commit).pointee).hex, parents: parents,
            author: author, committer: committer, authoredAt: authoredAt, committedAt: committedAt,
            message: CommitMessage.withoutSignature(decoded(git_commit_message(commit), encoding)),
            tags: (tags[id] ?? []).sorted())
    }

    func commitHandle(_ id: ObjectID) throws(GitError) -> GitHandle<CommitKind> {
        var oid = id.oid
        var pointer: OpaquePointer?
        let result = git_commit_lookup(&pointer, handle.pointer, &oid)
        guard result >= 0, let pointer else {
            let error = GitError.last(result) { "Commit \(id.hex.prefix(10)) can't be read" }
            guard error.code == .missingObject else { throw error }
            var object: OpaquePointer?
            if git_object_lookup(&object, handle.pointer, &oid, GIT_OBJECT_ANY) >= 0, let object {
                git_object_free(object)
                throw GitError(.notACommit, "Object \(id.hex.prefix(10)) is not a commit")
            }
            guard isShallow else {
                throw GitError(.notFound, "There is no commit \(id.hex.prefix(10))", hint: "fetch it first: git fetch")
            }
            throw GitError(
                .shallow, "Commit \(id.hex.prefix(10)) is not in this shallow clone", hint: GitError.fetchAll)
        }
        return GitHandle(owning: pointer)
    }

    /// The names of the tags, without `refs/tags/`, by the commits they lead to; annotated ones are followed.
    func tagsByCommit() -> [ObjectID: [String]] {
        var tags: [ObjectID: [String]] = [:]
        for name in referenceNames() where name.hasPrefix("refs/tags/") {
            if let commit = target(of: name) { tags[commit, default: []].append(String(name.dropFirst(10))) }
        }
        return tags
    }

    private func person(
        _ signature: UnsafePointer<git_signature>?, _ encoding: String?
    ) -> (Commit.Person, Timestamp) {
        guard let signature = signature?.pointee else {
            return (Commit.Person(name: "", email: ""), Timestamp(milliseconds: 0))
        }
        let person = Commit.Person(
            name: decoded(signature.name, encoding), email: decoded(signature.email, encoding))
        // A made-up commit can claim any number of seconds; in milliseconds it has to fit.
        let range = Int64.min / 2000...Int64.max / 2000
        let seconds = min(max(signature.when.time, range.lowerBound), range.upperBound)
        return (person, Timestamp(secondsSinceEpoch: seconds))
    }

    private func decoded(_ text: UnsafePointer<CChar>?, _ encoding: String?) -> String {
        guard let text else { return "" }
        let isLatin = ["iso-8859-1", "iso8859-1", "latin1", "latin-1", "iso-8859-15", "windows-1252", "cp1252"]
            .contains(encoding ?? "")
        guard isLatin else { return String(cString: text) }
        var result = String.UnicodeScalarView()
        var next = text
        while next.pointee != 0 {
            result.append(UnicodeScalar(UInt8(bitPattern: next.pointee)))
            next += 1
        }
        return String(result)
    }
}

/// What is kept of a commit's message.
enum CommitMessage {
    private static let markers = ["PGP SIGNATURE", "SSH SIGNATURE", "SIGNED MESSAGE", "PGP MESSAGE"]

    /// The message without signatures pasted into it (those of `git commit -S` are in a header and never part of it)
    /// and without blank lines at its end.
    static func withoutSignature(_ message: String) -> String {
        var kept: [Substring] = []
        var ending: String?
        // Only line feeds end lines here: other control characters are data.
        for line in message.split(separator: "\n" as Unicode.Scalar, omittingEmptySubsequences: false) {
            if let marker = ending {
                if line.hasPrefix(marker) { ending = nil }
                continue
            }
            let marker = markers.first { line.hasPrefix("-----BEGIN \($0)-----") }
            if let marker {
                ending = "-----END \(marker)-----"
            } else {
                kept.append(line)
            }
        }
        while let last = kept.last, last.unicodeScalars.allSatisfy({ " \t\r".unicodeScalars.contains($0) }) {
            kept.removeLast()
        }
        return kept.joined(separator: "\n")
    }
}

extension String {
    /// Splits at one scalar, where splitting at a character would miss those that combine with a neighbour (`\r\n`).
    fileprivate func split(separator: Unicode.Scalar, omittingEmptySubsequences: Bool) -> [Substring] {
        unicodeScalars.split(separator: separator, omittingEmptySubsequences: omittingEmptySubsequences)
            .map { Substring($0) }
    }
}
