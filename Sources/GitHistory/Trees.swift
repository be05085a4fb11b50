// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2
package import FoundationEssentials
package import Model

/// A file, link or submodule of a commit's tree.
package struct TreeEntry: Hashable, Sendable {
    package enum Kind: String, Codable, Sendable, CaseIterable {
        case file, executable, symlink
        /// Another repository's commit; its files are not in this one.
        case submodule
    }

    package var path: TreePath
    package var kind: Kind
    /// Bytes of content; of a link, of its target; 0 for a submodule.
    package var size: Int
    /// The id of the blob, or of the submodule's commit.
    package var object: String

    package init(path: TreePath, kind: Kind, size: Int, object: String) {
        self.path = path
        self.kind = kind
        self.size = size
        self.object = object
    }

    /// Permission bits as git checks files out: 0644, 0755, 0777 for links.
    package var permissions: UInt16 {
        switch kind {
        case .file: 0o644
        case .executable, .submodule: 0o755
        case .symlink: 0o777
        }
    }
}

/// A file that stands for one kept elsewhere by Git LFS. Source: git-lfs, docs/spec.md.
package struct LFSPointer: Hashable, Sendable {
    package var path: TreePath
    /// `sha256:` and the digest of the content that is missing.
    package var object: String
    /// Bytes of the content that is missing.
    package var size: Int

    package init(path: TreePath, object: String, size: Int) {
        self.path = path
        self.object = object
        self.size = size
    }

    /// Pointer files are shorter than this, in bytes.
    static let maxPointerBytes = 1024

    /// Reads a pointer file; nil where the content is something else.
    init?(path: TreePath, content: UnsafeRawBufferPointer) {
        guard content.count < LFSPointer.maxPointerBytes,
            content.starts(with: "version https://git-lfs.github.com/spec/".utf8)
                || content.starts(with: "version https://hawser.github.com/spec/".utf8)
        else { return nil }
        var object = ""
        var size: Int?
        for line in String(decoding: content, as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("oid ") { object = String(line.dropFirst(4)) }
            if line.hasPrefix("size ") { size = Int(line.dropFirst(5)) }
        }
        guard !object.isEmpty, let size else { return nil }
        self.path = path
        self.object = object
        self.size = size
    }
}

extension GitRepository {
    /// More than this many files are refused.
    private static let maxTreeEntries = 2_000_000
    /// Paths are refused from this many folders down: no file system takes them.
    private static let maxTreeDepth = 1000
    /// Larger files are refused, in bytes: libgit2 holds a whole file in memory.
    package static let maxBlobBytes = 2 << 30

    /// Every file, link and submodule of a commit, in the order of their paths, or those at and below `paths`. Throws
    /// `unsafePath` where a name could lead out of a folder it is written to, `notFound` where one of `paths` is not in
    /// the commit.
    package func treeEntries(_ commit: CommitID, paths: [TreePath] = []) throws(GitError) -> [TreeEntry] {
        let wanted = paths.map { TreePath(bytes: Array($0.bytes.trimmingSlashes)) }
        let root = try tree(of: object(commit))
        var walk = TreeWalk(wanted: wanted)
        try visit(root, below: [], depth: 0, &walk)
        for path in wanted where !path.bytes.isEmpty && !walk.entries.contains(where: { $0.path.isInside(path) }) {
            let names = Set(walk.names.map { TreePath(bytes: $0).description })
            let near = Nearest.names(to: path.description, among: names)
            throw GitError(
                .notFound, "Commit \(commit.short) has no “\(shown(path.description))”",
                hint: near.isEmpty
                    ? "name a file or folder that is committed" : "did you mean \(near.joined(separator: " or "))?")
        }
        try refuseDoubles(walk.entries)
        return walk.entries.sorted { $0.path < $1.path }
    }

    /// A blob's content. Throws `missingObject`, `limit` or `invalidRevision`.
    package func blob(_ object: String) throws(GitError) -> Data {
        try withBlob(object) { Data($0) }
    }

    /// Hands the content of each file and link to `body`, in the order given, without copying it; submodules have none
    /// and are left out. `body` runs on the repository's own queue. Throws as ``blob(_:)``, and what `body` throws.
    package func readBlobs(
        _ entries: [TreeEntry], _ body: @Sendable (TreeEntry, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        for entry in entries where entry.kind != .submodule {
            try checkCancellation()
            var failure: (any Error)?
            try withBlob(entry.object) { content in
                do { try body(entry, content) } catch { failure = error }
            }
            if let failure { throw failure }
        }
    }

    func withBlob<Value>(_ object: String, _ body: (UnsafeRawBufferPointer) -> Value) throws(GitError) -> Value {
        guard let id = ObjectID(hex: object) else {
            throw GitError(.invalidRevision, "“\(shown(object))” is not an object id")
        }
        var oid = id.oid
        var pointer: OpaquePointer?
        let result = git_blob_lookup(&pointer, handle.pointer, &oid)
        guard result >= 0, let pointer else {
            let error = GitError.last(result) { "Blob \(object.prefix(10)) can't be read" }
            throw error.code == .missingObject ? missing(error.message) : error
        }
        let blob = GitHandle<BlobKind>(owning: pointer)
        let size = Int(git_blob_rawsize(blob.pointer))
        return body(UnsafeRawBufferPointer(start: git_blob_rawcontent(blob.pointer), count: size))
    }

    func tree(of commit: ObjectID) throws(GitError) -> GitHandle<TreeKind> {
        let handle = try commitHandle(commit)
        var pointer: OpaquePointer?
        let result = git_commit_tree(&pointer, handle.pointer)
        guard result >= 0, let pointer else {
            let error = GitError.last(result) { "The tree of commit \(commit.hex.prefix(10)) can't be read" }
            throw error.code == .missingObject ? missing(error.message) : error
        }
        return GitHandle(owning: pointer)
    }

    private struct TreeWalk {
        var wanted: [TreePath]
        var entries: [TreeEntry] = []
        /// Paths seen on the way, for suggestions.
        var names: [[UInt8]] = []

        /// Whether a folder is wanted, is inside of one that is, or has one inside.
        func leads(_ path: TreePath) -> Bool {
            wanted.isEmpty || wanted.contains { path.isInside($0) || $0.isInside(path) }
        }
    }

    private func visit(
        _ tree: borrowing GitHandle<TreeKind>, below folder: [UInt8], depth: Int, _ walk: inout TreeWalk
    ) throws(GitError) {
        guard depth < Self.maxTreeDepth else {
            throw GitError(.limit, "The commit has folders more than \(Self.maxTreeDepth) deep")
        }
        try checkCancellation()
        let repository = handle.pointer
        let database = try GitHandle<ObjectDatabaseKind>("The objects can't be read") {
            git_repository_odb(&$0, repository)
        }
        for index in 0..<git_tree_entrycount(tree.pointer) {
            guard let entry = git_tree_entry_byindex(tree.pointer, index),
                let id = git_tree_entry_id(entry)
            else { continue }
            let name = TreePath(cString: git_tree_entry_name(entry)).bytes
            let path = TreePath(bytes: folder.isEmpty ? name : folder + [UInt8(ascii: "/")] + name)
            if !walk.wanted.isEmpty { walk.names.append(path.bytes) }
            guard walk.leads(path) else { continue }
            try refuseUnsafe(name, in: path)
            if git_tree_entry_type(entry) == GIT_OBJECT_TREE {
                var pointer: OpaquePointer?
                let result = git_tree_lookup(&pointer, repository, id)
                guard result >= 0, let pointer else {
                    let error = GitError.last(result) { "The folder \(path) can't be read" }
                    throw error.code == .missingObject ? missing(error.message) : error
                }
                try visit(GitHandle<TreeKind>(owning: pointer), below: path.bytes, depth: depth + 1, &walk)
            } else if walk.wanted.isEmpty || walk.wanted.contains(where: path.isInside) {
                walk.entries.append(try leaf(entry, id, path, database))
            }
        }
        guard walk.entries.count <= Self.maxTreeEntries else {
            throw GitError(.limit, "The commit has more than \(Self.maxTreeEntries) files")
        }
    }

    private func leaf(
        _ entry: OpaquePointer, _ id: UnsafePointer<git_oid>, _ path: TreePath,
        _ database: borrowing GitHandle<ObjectDatabaseKind>
    ) throws(GitError) -> TreeEntry {
        let kind: TreeEntry.Kind
        switch git_tree_entry_filemode(entry) {
        case GIT_FILEMODE_COMMIT: kind = .submodule
        case GIT_FILEMODE_LINK: kind = .symlink
        case GIT_FILEMODE_BLOB_EXECUTABLE: kind = .executable
        default: kind = .file
        }
        let object = ObjectID(id.pointee).hex
        guard kind != .submodule else { return TreeEntry(path: path, kind: kind, size: 0, object: object) }
        var size = 0
        var type = GIT_OBJECT_ANY
        let result = git_odb_read_header(&size, &type, database.pointer, id)
        if result < 0 {
            let error = GitError.last(result) { "The file \(path) can't be read" }
            throw error.code == .missingObject ? missing(error.message) : error
        }
        guard size <= Self.maxBlobBytes else {
            throw GitError(.limit, "The file \(path) has \(size) bytes; at most \(Self.maxBlobBytes) can be read")
        }
        return TreeEntry(path: path, kind: kind, size: size, object: object)
    }

    /// Names that lead out of a folder or into git's own data; only a tree made on purpose has them.
    private func refuseUnsafe(_ name: [UInt8], in path: TreePath) throws(GitError) {
        let lower = name.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 }
        guard
            name.isEmpty || name == Array(".".utf8) || name == Array("..".utf8) || lower == Array(".git".utf8)
                || name.contains(UInt8(ascii: "/"))
        else { return }
        throw GitError(
            .unsafePath,
            "The commit holds the path “\(shown(path.description))”, which must not be written to a folder",
            hint: "the tree was not made by git; find out who made this commit before you deploy it")
    }

    private func refuseDoubles(_ entries: [TreeEntry]) throws(GitError) {
        var paths: Set<TreePath> = []
        for entry in entries where !paths.insert(entry.path).inserted {
            throw GitError(.unsafePath, "The commit holds the path “\(shown(entry.path.description))” twice")
        }
        for entry in entries {
            let components = entry.path.components
            guard components.count > 1 else { continue }
            let parent = TreePath(bytes: Array(components.dropLast().joined(separator: [UInt8(ascii: "/")])))
            if paths.contains(parent) {
                throw GitError(
                    .unsafePath, "The commit holds “\(shown(parent.description))” both as a file and as a folder")
            }
        }
    }
}

extension [UInt8] {
    /// Without the slashes, and `./`, around a path that people write.
    fileprivate var trimmingSlashes: ArraySlice<UInt8> {
        var rest = self[...]
        while rest.starts(with: "./".utf8) { rest = rest.dropFirst(2) }
        while rest.last == UInt8(ascii: "/") { rest = rest.dropLast() }
        return rest.elementsEqual(".".utf8) ? [] : rest
    }
}
