// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Glibc
package import Model

/// What an export wrote, and what it could not write truthfully.
package struct ExportReport: Hashable, Sendable {
    package var commit: CommitID
    package var files: Int
    package var symlinks: Int
    /// Bytes of all files together.
    package var bytes: Int
    /// Empty folders now: their files are another repository's.
    package var submodules: [TreeEntry]
    /// Written as they are in the commit; the content they stand for is missing.
    package var lfsPointers: [LFSPointer]

    package init(
        commit: CommitID, files: Int, symlinks: Int, bytes: Int, submodules: [TreeEntry], lfsPointers: [LFSPointer]
    ) {
        self.commit = commit
        self.files = files
        self.symlinks = symlinks
        self.bytes = bytes
        self.submodules = submodules
        self.lfsPointers = lfsPointers
    }

    /// Whether the folder holds everything the commit means.
    package var isComplete: Bool { submodules.isEmpty && lfsPointers.isEmpty }
}

extension GitRepository {
    /// Writes a commit's files, or those at and below `paths`, to a folder that is new or empty, as they are in the
    /// commit (no line-end conversion, no attributes). Nothing is written through a link or outside of the folder;
    /// after an error the folder is as empty as before. Throws `destination`, `unsafePath`, and as
    /// ``treeEntries(_:paths:)``.
    package func export(
        _ commit: CommitID, to folder: String, paths: [TreePath] = []
    ) throws(GitError) -> ExportReport {
        let entries = try treeEntries(commit, paths: paths)
        let isNew = try prepare(folder)
        do throws(GitError) {
            return try write(entries, of: commit, to: folder)
        } catch {
            // The first error is the one to report; what can't be removed stays.
            if isNew {
                try? FileManager.default.removeItem(atPath: folder)
            } else {
                for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
                    try? FileManager.default.removeItem(atPath: folder + "/" + name)
                }
            }
            throw error
        }
    }

    private func prepare(_ folder: String) throws(GitError) -> Bool {
        let files = FileManager.default
        var isDirectory = false
        if files.fileExists(atPath: folder, isDirectory: &isDirectory) {
            // A folder that can't be listed is not known to be empty.
            guard isDirectory, let content = try? files.contentsOfDirectory(atPath: folder), content.isEmpty else {
                throw GitError(
                    .destination, "\(shown(folder)) is \(isDirectory ? "not an empty folder" : "not a folder")",
                    hint: "export to a folder that is new or empty")
            }
            return false
        }
        do {
            try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw GitError(.destination, "The folder \(shown(folder)) can't be made", hint: "check its permissions")
        }
        return true
    }

    private func write(
        _ entries: [TreeEntry], of commit: CommitID, to folder: String
    ) throws(GitError) -> ExportReport {
        var report = ExportReport(commit: commit, files: 0, symlinks: 0, bytes: 0, submodules: [], lfsPointers: [])
        var writer = try FolderWriter(root: folder)
        for entry in entries {
            try checkCancellation()
            switch entry.kind {
            case .submodule:
                try writer.makeFolder(entry.path)
                report.submodules.append(entry)
            case .symlink:
                let target = try withBlob(entry.object) { Array($0) }
                try writer.makeLink(entry.path, to: target)
                report.symlinks += 1
            case .file, .executable:
                let written = try withBlob(entry.object) { content -> Result<LFSPointer?, GitError> in
                    do throws(GitError) {
                        try writer.makeFile(entry.path, content, permissions: mode_t(entry.permissions))
                        return .success(LFSPointer(path: entry.path, content: content))
                    } catch {
                        return .failure(error)
                    }
                }
                if let pointer = try written.get() { report.lfsPointers.append(pointer) }
                report.files += 1
                report.bytes += entry.size
            }
        }
        return report
    }
}

/// Writes below one folder, by descriptors, and never follows a link: the paths are somebody else's.
private struct FolderWriter: ~Copyable {
    private let root: Int32
    /// The folder last written to, from the root down.
    private var open: [(name: [UInt8], descriptor: Int32)] = []

    init(root: String) throws(GitError) {
        self.root = Glibc.open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard self.root >= 0 else {
            throw FolderWriter.failure("The folder \(shown(root)) can't be opened")
        }
    }

    deinit {
        for folder in open { close(folder.descriptor) }
        close(root)
    }

    mutating func makeFolder(_ path: TreePath) throws(GitError) {
        try descend(path.components.map(Array.init), path)
    }

    mutating func makeLink(_ path: TreePath, to target: [UInt8]) throws(GitError) {
        guard !target.contains(0), !target.isEmpty else {
            throw GitError(.unsafePath, "The link \(path) leads nowhere")
        }
        let (parent, name) = try parent(of: path)
        guard symlinkat(cString(target), parent, cString(name)) == 0 else {
            throw FolderWriter.failure("The link \(path) can't be written")
        }
    }

    mutating func makeFile(
        _ path: TreePath, _ content: UnsafeRawBufferPointer, permissions: mode_t
    ) throws(GitError) {
        let (parent, name) = try parent(of: path)
        let file = openat(parent, cString(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, permissions)
        guard file >= 0 else { throw FolderWriter.failure("The file \(path) can't be written") }
        defer { close(file) }
        var rest = content[...]
        while !rest.isEmpty {
            let count = Glibc.write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw FolderWriter.failure("The file \(path) can't be written") }
            rest = rest.dropFirst(count)
        }
        // Whatever the process's umask is: the same commit gives the same folder.
        guard fchmod(file, permissions) == 0 else { throw FolderWriter.failure("The file \(path) can't be written") }
    }

    private mutating func parent(of path: TreePath) throws(GitError) -> (Int32, [UInt8]) {
        let components = path.components.map(Array.init)
        try descend(Array(components.dropLast()), path)
        return (open.last?.descriptor ?? root, components.last ?? [])
    }

    private mutating func descend(_ folders: [[UInt8]], _ path: TreePath) throws(GitError) {
        var shared = 0
        while shared < min(open.count, folders.count), open[shared].name == folders[shared] { shared += 1 }
        while open.count > shared { close(open.removeLast().descriptor) }
        for name in folders[shared...] {
            let parent = open.last?.descriptor ?? root
            if mkdirat(parent, cString(name), 0o755) == 0 {
                _ = fchmodat(parent, cString(name), 0o755, 0)
            } else if errno != EEXIST {
                throw FolderWriter.failure("The folder of \(path) can't be made")
            }
            let descriptor = openat(parent, cString(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { throw FolderWriter.failure("The folder of \(path) can't be opened") }
            open.append((name, descriptor))
        }
    }

    private func cString(_ bytes: [UInt8]) -> [CChar] {
        bytes.map { CChar(bitPattern: $0) } + [0]
    }

    private static func failure(_ what: String) -> GitError {
        let code = errno
        return GitError(
            .destination, "\(what): \(String(cString: strerror(code)))",
            hint: code == ENOSPC ? "free some disk space" : "check the folder's permissions and file system")
    }
}
