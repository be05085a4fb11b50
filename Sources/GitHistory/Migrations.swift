// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2
package import Model

extension GitRepository {
    /// What lies between two commits, whichever is the older one, under some paths, and the commits that changed it.
    ///
    /// A merge counts as a change where it holds a file as neither of its parents has it. Throws as
    /// ``commitsBetween(_:_:limit:)``, also `shallow` where the clone hides a part of the way.
    ///
    /// - Parameters:
    ///   - paths: files and folders of the commits; those inside of them count.
    ///   - maxPaths: paths told at most.
    ///   - maxCommits: commits told at most.
    package func migrations(
        from: CommitID, to: CommitID, paths: [String], maxPaths: Int = 200, maxCommits: Int = 50
    ) throws(GitError) -> MigrationChanges {
        let folders = paths.map { TreePath(Self.trimmed($0)) }
        let (old, new) = (try object(from), try object(to))
        for side in [new, old] { _ = try commitHandle(side) }
        let changed = try changedFiles(tree(of: old), tree(of: new), inside: folders).sorted()
        var commits: [MigrationChanges.Change] = []
        var isTruncated = changed.count > maxPaths
        let (added, undone) = try differences(new, old)
        for id in added + undone where try changes(id, folders) {
            guard commits.count < maxCommits else {
                isTruncated = true
                break
            }
            let commit = try commit(id, tags: [:])
            commits.append(
                .init(
                    commit: commit.id, subject: commit.subject,
                    isReversible: CommitMessage.declaresReversibleMigration(commit.message)))
            try checkCancellation()
        }
        return MigrationChanges(
            paths: changed.prefix(maxPaths).map(\.description), commits: commits, isTruncated: isTruncated)
    }

    private static func trimmed(_ path: String) -> String {
        var text = path[...]
        if text.hasPrefix("./") { text = text.dropFirst(2) }
        while text.hasSuffix("/") { text = text.dropLast() }
        return String(text)
    }

    /// Whether a commit holds a file inside of the folders as none of its parents does.
    private func changes(_ id: ObjectID, _ folders: [TreePath]) throws(GitError) -> Bool {
        let parents = try parents(of: id)
        let own = try tree(of: id)
        guard let first = parents.first else { return try !changedFiles(nil, own, inside: folders).isEmpty }
        var files = try changedFiles(tree(of: first), own, inside: folders)
        for parent in parents.dropFirst() where !files.isEmpty {
            files.formIntersection(try changedFiles(tree(of: parent), own, inside: folders))
        }
        return !files.isEmpty
    }

    private func parents(of id: ObjectID) throws(GitError) -> [ObjectID] {
        let commit = try commitHandle(id)
        return (0..<git_commit_parentcount(commit.pointer)).compactMap { index in
            git_commit_parent_id(commit.pointer, index).map { ObjectID($0.pointee) }
        }
    }

    private func changedFiles(
        _ old: consuming GitHandle<TreeKind>?, _ new: borrowing GitHandle<TreeKind>, inside folders: [TreePath]
    ) throws(GitError) -> Set<TreePath> {
        var options = git_diff_options()
        try check(
            git_diff_options_init(&options, UInt32(GIT_DIFF_OPTIONS_VERSION)), "The comparison can't be prepared")
        options.flags = GIT_DIFF_INCLUDE_TYPECHANGE.rawValue
        let repository = handle.pointer
        let newTree = new.pointer
        let diff: GitHandle<DiffKind>
        switch consume old {
        case .some(let tree):
            diff = try GitHandle<DiffKind>("The commits can't be compared") {
                git_diff_tree_to_tree(&$0, repository, tree.pointer, newTree, &options)
            }
        case .none:
            diff = try GitHandle<DiffKind>("The commits can't be compared") {
                git_diff_tree_to_tree(&$0, repository, nil, newTree, &options)
            }
        }
        var found: Set<TreePath> = []
        for index in 0..<git_diff_num_deltas(diff.pointer) {
            guard let delta = git_diff_get_delta(diff.pointer, index)?.pointee else { continue }
            for file in [delta.old_file, delta.new_file] {
                let path = TreePath(cString: file.path)
                if folders.contains(where: path.isInside) { found.insert(path) }
            }
        }
        return found
    }
}

extension CommitMessage {
    /// The trailer by which a commit says that the old code can run on what its migrations make of the database.
    static let migrationTrailer = "migration"
    private static let reversible = "reversible"

    /// Whether the last paragraph, read as git reads trailers, declares the commit's migrations reversible and nothing
    /// else.
    static func declaresReversibleMigration(_ message: String) -> Bool {
        let values = trailers(of: message).filter { $0.key.lowercased() == migrationTrailer }.map {
            $0.value.lowercased()
        }
        return !values.isEmpty && values.allSatisfy { $0 == reversible }
    }

    /// The message's trailers, by git's own rules (git-interpret-trailers(1)).
    static func trailers(of message: String) -> [(key: String, value: String)] {
        var array = git_message_trailer_array()
        // A message that libgit2 can't read declares nothing.
        guard git_message_trailers(&array, message) >= 0 else { return [] }
        defer { git_message_trailer_array_free(&array) }
        return (0..<array.count).compactMap { index in
            guard let trailer = array.trailers?[index], let key = trailer.key, let value = trailer.value else {
                return nil
            }
            return (String(cString: key), String(cString: value).trimmingBlanks)
        }
    }
}

extension String {
    fileprivate var trimmingBlanks: String {
        var text = self[...]
        while let last = text.last, last.isWhitespace { text.removeLast() }
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        return String(text)
    }
}
