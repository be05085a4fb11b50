// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2

/// Why a question about a repository has no answer, and what to do about it.
package struct GitError: Error, Hashable, Sendable {
    package enum Code: String, Codable, Sendable, CaseIterable {
        /// There is no repository at the path or above it.
        case noRepository
        /// The repository belongs to another user, and is not in `safe.directory`.
        case notOwner
        /// The repository uses something libgit2 can't read.
        case unsupported
        /// The branch has no commit yet.
        case unbornBranch
        /// No branch, tag or commit has this name; or no path.
        case notFound
        /// More than one branch, tag or commit has this name.
        case ambiguous
        /// The text is not a revision.
        case invalidRevision
        /// The revision names a file, a folder or something else that is no commit.
        case notACommit
        /// The history needed is missing because the clone is shallow.
        case shallow
        /// The question needs a work tree, and the repository has none.
        case bareRepository
        /// An object that history refers to is missing or damaged.
        case missingObject
        /// The commit holds a path that must not be written.
        case unsafePath
        /// The folder to export to can't be used or written.
        case destination
        /// A named limit was reached.
        case limit
        /// The task that asked was cancelled.
        case cancelled
        /// Anything else libgit2 refuses.
        case failed
    }

    package var code: Code
    /// What happened, in one sentence without a full stop at its end.
    package var message: String
    /// What a person can do about it; empty where nothing sensible can be said.
    package var hint: String

    package init(_ code: Code, _ message: String, hint: String = "") {
        self.code = code
        self.message = message
        self.hint = hint
    }
}

extension GitError: CustomStringConvertible {
    package var description: String {
        message + (hint.isEmpty ? "" : "\n  " + hint)
    }
}

extension GitError {
    /// What to do where a shallow clone lacks history.
    static let fetchAll =
        "fetch the whole history: fetch-depth: 0 for actions/checkout, or run git fetch --unshallow"

    /// libgit2's last error as ours. Call it on the thread of the failed call and before any other call: libgit2 keeps
    /// one error per thread.
    static func last(_ result: Int32, _ doing: () -> String) -> GitError {
        let reason = git_error_last().flatMap { $0.pointee.message }.map { String(cString: $0) } ?? "no reason given"
        let code: Code =
            switch git_error_code(result) {
            case GIT_ENOTFOUND: .missingObject
            case GIT_EOWNER: .notOwner
            case GIT_EAMBIGUOUS: .ambiguous
            case GIT_EINVALIDSPEC: .invalidRevision
            case GIT_EBAREREPO: .bareRepository
            case GIT_EUNBORNBRANCH: .unbornBranch
            default: .failed
            }
        return GitError(code, "\(doing()): \(shown(reason))")
    }
}

/// Throws libgit2's last error where a call's result is one.
func check(_ result: Int32, _ doing: @autoclosure () -> String) throws(GitError) {
    if result < 0 { throw .last(result, doing) }
}

/// Text from outside on one line of an error: control characters replaced, and not longer than a line should be.
func shown(_ text: String) -> String {
    let maxShownCharacters = 200
    let scalars = text.unicodeScalars.map { scalar in
        scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
            || scalar.properties.generalCategory == .lineSeparator ? "?" : String(scalar)
    }
    return scalars.prefix(maxShownCharacters).joined() + (scalars.count > maxShownCharacters ? "…" : "")
}
