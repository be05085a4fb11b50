// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import GitHistory
internal import Images
internal import Model
internal import Ports

/// The repository of one pipeline.
struct LiveSource: SourcePort {
    let repository: GitRepository

    /// Commits shown and journaled of what lies between two releases.
    static let maxCommits = 50
    /// Changed paths kept.
    static let maxPaths = 2_000
    /// Paths of a dirty work tree shown.
    static let maxDirtyPaths = 20

    func answer(_ query: GitQuery) async -> Answer {
        do {
            return try await ask(query)
        } catch {
            return .failed(failure: Failure(.refused, error.message, hint: error.hint))
        }
    }

    private func ask(_ query: GitQuery) async throws(GitError) -> Answer {
        switch query {
        case .commit(let revision):
            let id = try await repository.resolve(revision)
            return .commit(commit: try await repository.commit(id))
        case .isOnBranch(let commit, let branch):
            let membership = try await repository.branchContains(commit, branch: branch)
            return .onBranch(isOn: membership.isContained, reference: membership.reference)
        case .isClean:
            let state = try await repository.workTreeState(limit: LiveSource.maxDirtyPaths)
            // What Airboss itself keeps beside the pipelines is not part of what is deployed.
            return .dirtyPaths(paths: state.dirty.map { "\($0.path)" }.filter { !$0.hasPrefix(".airboss/") })
        case .changes(let from, let to):
            let range = try await repository.commitsBetween(from, to, limit: LiveSource.maxCommits)
            let paths = try await repository.changedPaths(from: from, to: to)
            return .changes(
                changes: ChangeSet(
                    commits: range.commits, paths: paths.prefix(LiveSource.maxPaths).map { "\($0.path)" },
                    isTruncated: range.isTruncated || paths.count > LiveSource.maxPaths,
                    goesBack: range.relation == .backward))
        case .migrations(let from, let to, let paths):
            return .migrations(found: try await repository.migrations(from: from, to: to, paths: paths))
        }
    }
}

/// The files of one commit, for an image's layers.
struct CommitTree: TreeSource {
    let repository: GitRepository
    let commit: CommitID

    func entries() async throws -> [Images.TreeEntry] {
        try await repository.treeEntries(commit).map { entry in
            guard let path = entry.path.text else {
                throw ImageError(
                    .unsafePath, "the path “\(entry.path)” is not UTF-8",
                    hint: "Rename the file: an image's paths are UTF-8.")
            }
            let kind: Images.TreeEntry.Kind =
                switch entry.kind {
                case .file: .file
                case .executable: .executable
                case .symlink: .symlink
                case .submodule: .submodule
                }
            return Images.TreeEntry(path: path, kind: kind, size: Int64(entry.size), object: entry.object)
        }
    }

    /// Content goes on in pieces of this size.
    private static let pieceBytes = 1 << 20

    func read(_ entry: Images.TreeEntry, to sink: @escaping @Sendable (Data) throws -> Void) async throws {
        let content = try await repository.blob(entry.object)
        var start = content.startIndex
        while start < content.endIndex {
            let end = min(start + CommitTree.pieceBytes, content.endIndex)
            try sink(content[start..<end])
            start = end
        }
    }
}
