// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2
package import Model

extension GitRepository {
    /// The longest revision that is looked up, in bytes.
    private static let maxRevisionBytes = 1024

    /// The commit that a revision names: a branch, a tag (also an annotated one), HEAD, the beginning of an id, or an
    /// expression such as `HEAD~2`. Throws `notFound`, `ambiguous`, `unbornBranch`, `invalidRevision`, `notACommit` or
    /// `shallow`.
    package func resolve(_ revision: String) throws(GitError) -> CommitID {
        CommitID(try resolveObject(revision).hex)
    }

    func resolveObject(_ revision: String) throws(GitError) -> ObjectID {
        let text = shown(revision)
        guard !revision.isEmpty, revision.utf8.count <= Self.maxRevisionBytes,
            revision.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }), !revision.hasPrefix("-")
        else {
            throw GitError(.invalidRevision, "“\(text)” is not a revision", hint: "name a branch, a tag or a commit id")
        }
        guard !revision.contains("..") else {
            throw GitError(.invalidRevision, "“\(text)” is a range of commits", hint: "name one commit")
        }
        try refuseAmbiguousName(revision)
        var pointer: OpaquePointer?
        let result = git_revparse_single(&pointer, handle.pointer, revision)
        guard result >= 0, let pointer else { throw unresolved(revision, .last(result) { text }) }
        let object = GitHandle<ObjectKind>(owning: pointer)
        return try commitID(of: object, named: text)
    }

    private func commitID(of object: borrowing GitHandle<ObjectKind>, named text: String) throws(GitError) -> ObjectID {
        var peeled: OpaquePointer?
        let result = git_object_peel(&peeled, object.pointer, GIT_OBJECT_COMMIT)
        guard result >= 0, let peeled else {
            let error = GitError.last(result) { "“\(text)” can't be followed to a commit" }
            if error.code == .missingObject { throw missing(error.message) }
            let type = git_object_type2string(git_object_type(object.pointer)).map { String(cString: $0) } ?? "object"
            throw GitError(
                .notACommit, "“\(text)” names a \(type), not a commit", hint: "name a branch, a tag or a commit id")
        }
        let commit = GitHandle<ObjectKind>(owning: peeled)
        return ObjectID(git_object_id(commit.pointer).pointee)
    }

    /// git would take the tag and only warn; what is deployed must not hang on that.
    private func refuseAmbiguousName(_ name: String) throws(GitError) {
        guard let branch = target(of: "refs/heads/" + name), let tag = target(of: "refs/tags/" + name), branch != tag
        else { return }
        throw GitError(
            .ambiguous, "“\(shown(name))” is both a branch and a tag, of different commits",
            hint: "write refs/heads/\(shown(name)) or refs/tags/\(shown(name))")
    }

    /// The commit a reference's full name leads to; nil where there is none.
    func target(of name: String) -> ObjectID? {
        var pointer: OpaquePointer?
        guard git_reference_lookup(&pointer, handle.pointer, name) >= 0, let pointer else { return nil }
        let reference = GitHandle<ReferenceKind>(owning: pointer)
        var peeled: OpaquePointer?
        guard git_reference_peel(&peeled, reference.pointer, GIT_OBJECT_COMMIT) >= 0, let peeled else { return nil }
        let commit = GitHandle<ObjectKind>(owning: peeled)
        return ObjectID(git_object_id(commit.pointer).pointee)
    }

    private func unresolved(_ revision: String, _ error: GitError) -> GitError {
        let text = shown(revision)
        switch error.code {
        case .ambiguous:
            return GitError(
                .ambiguous, "“\(text)” is the beginning of more than one object id", hint: "write more of its digits")
        case .invalidRevision:
            return GitError(
                .invalidRevision, "“\(text)” is not a revision", hint: "name a branch, a tag or a commit id")
        case .missingObject:
            break
        default:
            return unbornBranch(revision)
                ?? GitError(error.code, "“\(text)” can't be resolved: \(error.message)", hint: error.hint)
        }
        if let unborn = unbornBranch(revision) { return unborn }
        let base = revision.prefix { !"~^:@".contains($0) }
        if base.count < revision.count, !base.isEmpty, hasReference(String(base)) {
            let isAncestry = revision.dropFirst(base.count).allSatisfy { "~^0123456789".contains($0) }
            if isAncestry, isShallow {
                return GitError(
                    .shallow, "“\(text)” is beyond the history that this shallow clone has", hint: GitError.fetchAll)
            }
            return GitError(
                .notFound, "“\(shown(String(base)))” is there, but nothing is at “\(text)”",
                hint: "look with git log \(shown(String(base)))")
        }
        let isHex =
            revision.utf8.count >= 7
            && revision.utf8.allSatisfy { byte in
                (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x66)
            }
        if isHex, isShallow {
            return GitError(
                .shallow, "Commit \(text) is not in this shallow clone; whether it exists can't be seen from here",
                hint: GitError.fetchAll)
        }
        return GitError(.notFound, "No branch, tag or commit is named “\(text)”", hint: suggestion(for: revision))
    }

    private func hasReference(_ name: String) -> Bool {
        var pointer: OpaquePointer?
        guard git_revparse_single(&pointer, handle.pointer, name) >= 0, let pointer else { return false }
        git_object_free(pointer)
        return true
    }

    private func unbornBranch(_ revision: String) -> GitError? {
        guard git_repository_head_unborn(handle.pointer) == 1 else { return nil }
        // HEAD was read a moment ago to see that it is unborn; if it can't be read now, its name is left out.
        let branch = (try? currentBranch) ?? "HEAD"
        let base = revision.prefix { !"~^@".contains($0) }
        guard base == "HEAD" || base.isEmpty || base == branch else { return nil }
        return GitError(.unbornBranch, "The branch \(shown(branch)) has no commit yet", hint: "commit something first")
    }

    func suggestion(for name: String) -> String {
        let names = referenceNames()
        if let remote = names.first(where: { $0.hasPrefix("refs/remotes/") && $0.hasSuffix("/" + name) }) {
            return "there is \(shown(String(remote.dropFirst(13)))); write that"
        }
        let short = names.map { name in
            ["refs/heads/", "refs/tags/", "refs/remotes/"].first(where: name.hasPrefix).map {
                String(name.dropFirst($0.utf8.count))
            } ?? name
        }
        let near = Nearest.names(to: name, among: Set(short))
        if !near.isEmpty { return "did you mean \(near.map(shown).joined(separator: " or "))?" }
        return isShallow ? GitError.fetchAll : "look with git branch --all and git tag, or fetch first"
    }

    /// Every reference by its full name; empty where they can't be listed.
    func referenceNames() -> [String] {
        var list = git_strarray()
        guard git_reference_list(&list, handle.pointer) >= 0 else { return [] }
        defer { git_strarray_dispose(&list) }
        return (0..<list.count).compactMap { index in list.strings[index].map { String(cString: $0) } }
    }

    /// The error for an object that should be there, with the reason the kind of clone gives.
    func missing(_ message: String) -> GitError {
        if isShallow { return GitError(.shallow, message, hint: GitError.fetchAll) }
        return GitError(
            .missingObject, message,
            hint: isPartial
                ? "this clone was made with --filter; run git fetch --refetch --no-filter, or clone without a filter"
                : "look for damage with git fsck, or clone again")
    }

    /// Whether objects were left out when cloning (`git clone --filter`).
    private var isPartial: Bool {
        var pointer: OpaquePointer?
        guard git_repository_config_snapshot(&pointer, handle.pointer) >= 0, let pointer else { return false }
        let config = GitHandle<ConfigurationKind>(owning: pointer)
        var value: UnsafePointer<CChar>?
        return git_config_get_string(&value, config.pointer, "extensions.partialclone") == 0
            || git_config_get_string(&value, config.pointer, "remote.origin.partialclonefilter") == 0
    }
}
