// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2
package import Model

/// A path that differs between two commits.
package struct ChangedPath: Hashable, Sendable {
    package enum Status: String, Codable, Sendable, CaseIterable {
        case added, modified, deleted, renamed
        /// A file became a link, a submodule or the like.
        case typeChanged
    }

    package var path: TreePath
    package var status: Status
    /// Where a renamed file was before.
    package var oldPath: TreePath?

    package init(path: TreePath, status: Status, oldPath: TreePath? = nil) {
        self.path = path
        self.status = status
        self.oldPath = oldPath
    }
}

/// What differs in a work tree from its HEAD commit.
package struct WorkTreeState: Hashable, Sendable {
    package struct DirtyPath: Hashable, Sendable {
        package enum State: String, Codable, Sendable, CaseIterable {
            case untracked, added, modified, deleted, renamed, typeChanged, conflicted, unreadable
        }

        package var path: TreePath
        package var state: State

        package init(path: TreePath, state: State) {
            self.path = path
            self.state = state
        }
    }

    /// In the order of their paths, at most the limit asked for; an untracked folder is one path that ends in `/`.
    package var dirty: [DirtyPath]
    /// How many there are in all.
    package var count: Int
    /// What git is in the middle of: `merge`, `rebase`, …; nil where it is in nothing.
    package var operation: String?

    package init(dirty: [DirtyPath], count: Int, operation: String? = nil) {
        self.dirty = dirty
        self.count = count
        self.operation = operation
    }
    /// Whether ``dirty`` leaves some out.
    package var isTruncated: Bool { dirty.count < count }
    /// Whether the files are those of HEAD, ignored ones aside.
    package var isClean: Bool { count == 0 }
}

extension GitRepository {
    /// The paths that differ between two commits, in order; a renamed file is one path. Throws as ``commit(_:)``.
    package func changedPaths(from: CommitID, to: CommitID) throws(GitError) -> [ChangedPath] {
        let diff = try treeDifference(from, to)
        try findRenames(in: diff)
        var changes: [ChangedPath] = []
        for index in 0..<git_diff_num_deltas(diff.pointer) {
            guard let delta = git_diff_get_delta(diff.pointer, index)?.pointee else { continue }
            let status: ChangedPath.Status
            switch delta.status {
            case GIT_DELTA_ADDED, GIT_DELTA_COPIED: status = .added
            case GIT_DELTA_DELETED: status = .deleted
            case GIT_DELTA_MODIFIED: status = .modified
            case GIT_DELTA_RENAMED: status = .renamed
            case GIT_DELTA_TYPECHANGE: status = .typeChanged
            default: continue
            }
            let path = status == .deleted ? delta.old_file.path : delta.new_file.path
            changes.append(
                ChangedPath(
                    path: TreePath(cString: path), status: status,
                    oldPath: status == .renamed ? TreePath(cString: delta.old_file.path) : nil))
        }
        return changes.sorted { $0.path < $1.path }
    }

    private func treeDifference(_ from: CommitID, _ to: CommitID) throws(GitError) -> GitHandle<DiffKind> {
        let old = try tree(of: object(from))
        let new = try tree(of: object(to))
        var options = git_diff_options()
        try check(
            git_diff_options_init(&options, UInt32(GIT_DIFF_OPTIONS_VERSION)), "The comparison can't be prepared")
        options.flags = GIT_DIFF_INCLUDE_TYPECHANGE.rawValue
        let repository = handle.pointer
        return try GitHandle<DiffKind>("The commits can't be compared") {
            git_diff_tree_to_tree(&$0, repository, old.pointer, new.pointer, &options)
        }
    }

    private func findRenames(in diff: borrowing GitHandle<DiffKind>) throws(GitError) {
        var options = git_diff_find_options()
        try check(
            git_diff_find_options_init(&options, UInt32(GIT_DIFF_FIND_OPTIONS_VERSION)), "Renames can't be looked for")
        options.flags = GIT_DIFF_FIND_RENAMES.rawValue
        let result = git_diff_find_similar(diff.pointer, &options)
        guard result < 0 else { return }
        let error = GitError.last(result) { "Renames can't be looked for" }
        // In a clone made with --filter contents are missing; what moved unchanged is found by its id.
        guard error.code == .missingObject else { throw error }
        options.flags = GIT_DIFF_FIND_RENAMES.rawValue | GIT_DIFF_FIND_EXACT_MATCH_ONLY.rawValue
        try check(git_diff_find_similar(diff.pointer, &options), "Renames can't be looked for")
    }

    /// What differs in the work tree from HEAD, untracked files included and ignored ones not, with at most `limit`
    /// paths. Throws `bareRepository` where there is no work tree.
    package func workTreeState(limit: Int = 100) throws(GitError) -> WorkTreeState {
        guard !isBare else {
            throw GitError(
                .bareRepository, "The repository at \(shown(gitFolder)) is bare, so it has no work tree to be clean",
                hint: "set clean_worktree: false, or use a clone with a work tree")
        }
        var options = git_status_options()
        try check(
            git_status_options_init(&options, UInt32(GIT_STATUS_OPTIONS_VERSION)), "The status can't be prepared")
        options.show = GIT_STATUS_SHOW_INDEX_AND_WORKDIR
        options.flags =
            GIT_STATUS_OPT_INCLUDE_UNTRACKED.rawValue | GIT_STATUS_OPT_RENAMES_HEAD_TO_INDEX.rawValue
            | GIT_STATUS_OPT_INCLUDE_UNREADABLE.rawValue
        let repository = handle.pointer
        let list = try GitHandle<StatusListKind>("The work tree's status can't be read") {
            git_status_list_new(&$0, repository, &options)
        }
        let index = try GitHandle<IndexKind>("The index can't be read") { git_repository_index(&$0, repository) }
        var dirty: [WorkTreeState.DirtyPath] = []
        for number in 0..<git_status_list_entrycount(list.pointer) {
            guard let entry = git_status_byindex(list.pointer, number)?.pointee else { continue }
            guard
                let path = entry.index_to_workdir?.pointee.new_file.path ?? entry.head_to_index?.pointee.new_file.path,
                let state = dirtyState(entry.status)
            else { continue }
            if entry.status == GIT_STATUS_WT_DELETED, isLeftOut(path, index) { continue }
            dirty.append(WorkTreeState.DirtyPath(path: TreePath(cString: path), state: state))
        }
        dirty.sort { $0.path < $1.path }
        return WorkTreeState(dirty: Array(dirty.prefix(max(0, limit))), count: dirty.count, operation: operation)
    }

    /// Whether a sparse checkout leaves a path out on purpose, which libgit2 1.5 takes for deleted.
    private func isLeftOut(_ path: UnsafePointer<CChar>, _ index: borrowing GitHandle<IndexKind>) -> Bool {
        guard let entry = git_index_get_bypath(index.pointer, path, 0) else { return false }
        return UInt32(entry.pointee.flags_extended) & GIT_INDEX_ENTRY_SKIP_WORKTREE.rawValue != 0
    }

    private func dirtyState(_ status: git_status_t) -> WorkTreeState.DirtyPath.State? {
        func has(_ flags: git_status_t...) -> Bool { flags.contains { status.rawValue & $0.rawValue != 0 } }
        if has(GIT_STATUS_CONFLICTED) { return .conflicted }
        if has(GIT_STATUS_INDEX_DELETED, GIT_STATUS_WT_DELETED) { return .deleted }
        if has(GIT_STATUS_INDEX_TYPECHANGE, GIT_STATUS_WT_TYPECHANGE) { return .typeChanged }
        if has(GIT_STATUS_INDEX_RENAMED, GIT_STATUS_WT_RENAMED) { return .renamed }
        if has(GIT_STATUS_INDEX_NEW) { return .added }
        if has(GIT_STATUS_INDEX_MODIFIED, GIT_STATUS_WT_MODIFIED) { return .modified }
        if has(GIT_STATUS_WT_NEW) { return .untracked }
        return has(GIT_STATUS_WT_UNREADABLE) ? .unreadable : nil
    }

    private var operation: String? {
        switch git_repository_state_t(UInt32(max(0, git_repository_state(handle.pointer)))) {
        case GIT_REPOSITORY_STATE_NONE: nil
        case GIT_REPOSITORY_STATE_MERGE: "merge"
        case GIT_REPOSITORY_STATE_REVERT, GIT_REPOSITORY_STATE_REVERT_SEQUENCE: "revert"
        case GIT_REPOSITORY_STATE_CHERRYPICK, GIT_REPOSITORY_STATE_CHERRYPICK_SEQUENCE: "cherry-pick"
        case GIT_REPOSITORY_STATE_BISECT: "bisect"
        case GIT_REPOSITORY_STATE_REBASE, GIT_REPOSITORY_STATE_REBASE_INTERACTIVE, GIT_REPOSITORY_STATE_REBASE_MERGE:
            "rebase"
        default: "apply-mailbox"
        }
    }
}

extension TreePath {
    init(cString: UnsafePointer<CChar>?) {
        guard let cString else {
            self.init(bytes: [])
            return
        }
        var bytes: [UInt8] = []
        var next = cString
        while next.pointee != 0 {
            bytes.append(UInt8(bitPattern: next.pointee))
            next += 1
        }
        self.init(bytes: bytes)
    }
}
