// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2
import Dispatch
import FoundationEssentials
package import Model

/// A git repository, read through libgit2 on a queue of its own.
///
/// An actor, so that libgit2 sees one thread at a time; nothing read from the repository leaves it but values.
package actor GitRepository {
    private nonisolated let executor: GitExecutor
    let handle: GitHandle<RepositoryKind>
    /// The path that was asked for.
    package nonisolated let requestedPath: String
    /// Where git keeps the data: the repository itself where it is bare, otherwise the `.git` folder.
    package nonisolated let gitFolder: String
    /// The work tree's folder; nil where the repository is bare.
    package nonisolated let workTree: String?

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Opens the repository at `path` or in the nearest folder above it. Throws `noRepository`, `notOwner`,
    /// `unsupported` or `failed`.
    package static func open(at path: String) async throws(GitError) -> GitRepository {
        let executor = GitExecutor()
        let result: Result<GitRepository, GitError> = await withCheckedContinuation { continuation in
            executor.queue.async {
                do throws(GitError) {
                    continuation.resume(returning: .success(try GitRepository(opening: path, on: executor)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// libgit2 counts its users; this one never leaves.
    private static let library: Int32 = {
        let count = git_libgit2_init()
        return count < 0 ? count : airboss_git_accept_extensions()
    }()

    private init(opening path: String, on executor: GitExecutor) throws(GitError) {
        try check(GitRepository.library, "libgit2 can't be started")
        guard !path.utf8.contains(0) else {
            throw GitError(.noRepository, "The repository's path has a NUL in it")
        }
        var pointer: OpaquePointer?
        let result = git_repository_open_ext(&pointer, path, 0, nil)
        guard result >= 0, let pointer else { throw GitRepository.explain(.last(result) { path }, result, path) }
        handle = GitHandle(owning: pointer)
        self.executor = executor
        requestedPath = path
        gitFolder = GitRepository.string(git_repository_path(pointer))
        workTree = git_repository_workdir(pointer).map { String(cString: $0) }
    }

    private static func explain(_ error: GitError, _ result: Int32, _ path: String) -> GitError {
        let place = shown(path)
        // Where no safe.directory is configured at all, libgit2 1.5 complains about that and not about the owner.
        if error.code == .notOwner || error.message.contains("safe.directory") {
            let folder = topFolder(of: path)
            return GitError(
                .notOwner, "The repository at \(shown(folder)) belongs to another user, so git refuses to read it",
                hint:
                    "if you trust it: git config --global --add safe.directory \(quoted(folder)) (a * is not enough)"
            )
        }
        if error.code == .missingObject {
            return GitError(
                .noRepository, "There is no git repository at \(place) or in a folder above it",
                hint: "name the repository's folder in the pipeline's source, or clone it first")
        }
        if error.message.contains("unsupported extension") || error.message.contains("unsupported repository version") {
            return GitError(
                .unsupported, "The repository at \(error.message)",
                hint: "libgit2 \(LIBGIT2_VERSION) can't read this kind; use a plain clone with SHA-1 object names")
        }
        return GitError(.failed, "The repository can't be opened: \(error.message)")
    }

    /// The folder that `safe.directory` must name: the nearest one that holds a `.git`, with its links resolved.
    private static func topFolder(of path: String) -> String {
        var folder = URL(filePath: path).standardizedFileURL.resolvingSymlinksInPath().path
        if folder.hasSuffix("/"), folder.count > 1 { folder.removeLast() }
        var candidate = folder
        while !candidate.isEmpty {
            if FileManager.default.fileExists(atPath: candidate + "/.git") { return candidate }
            candidate = candidate.lastIndex(of: "/").map { String(candidate[..<$0]) } ?? ""
        }
        return folder
    }

    private static func quoted(_ path: String) -> String {
        let plain = path.utf8.allSatisfy { byte in
            (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || (byte >= 0x2D && byte <= 0x39) || byte == 0x5F
        }
        return plain ? path : "'" + shown(path).replacing("'", with: "'\\''") + "'"
    }

    static func string(_ pointer: UnsafePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? ""
    }

    /// Whether the clone lacks a part of its history on purpose.
    package var isShallow: Bool {
        // libgit2 1.5 looks for the list beside the work tree's own data; in linked work trees it is in the common one.
        let path = GitRepository.string(git_repository_commondir(handle.pointer)) + "/shallow"
        // An unreadable list is as good as none: git itself reads it so.
        let data = try? Data(contentsOf: URL(filePath: path))
        return !(data ?? Data()).isEmpty
    }

    package var isBare: Bool {
        git_repository_is_bare(handle.pointer) == 1
    }

    /// The branch that HEAD names, also when it has no commit yet; nil where HEAD is detached.
    package var currentBranch: String? {
        get throws(GitError) {
            if git_repository_head_detached(handle.pointer) == 1 { return nil }
            let head = try reference("HEAD")
            guard let target = git_reference_symbolic_target(head.pointer) else { return nil }
            let name = String(cString: target)
            return name.hasPrefix("refs/heads/") ? String(name.dropFirst(11)) : name
        }
    }

    /// A remote's address without user, password and query; nil where there is no such remote.
    package func remoteURL(of remote: String = "origin") throws(GitError) -> String? {
        var pointer: OpaquePointer?
        let result = git_remote_lookup(&pointer, handle.pointer, remote)
        if result == GIT_ENOTFOUND.rawValue { return nil }
        guard result >= 0, let pointer else { throw .last(result) { "The remote \(shown(remote)) can't be read" } }
        let handle = GitHandle<RemoteKind>(owning: pointer)
        return git_remote_url(handle.pointer).map { RemoteAddress.redacted(String(cString: $0)) }
    }

    /// The name and e-mail address git would write into a commit; nil where they are not configured.
    package var user: Commit.Person? {
        get throws(GitError) {
            let repository = handle.pointer
            let config = try GitHandle<ConfigurationKind>("The configuration can't be read") {
                git_repository_config_snapshot(&$0, repository)
            }
            var name: UnsafePointer<CChar>?
            var email: UnsafePointer<CChar>?
            guard git_config_get_string(&name, config.pointer, "user.name") == 0,
                git_config_get_string(&email, config.pointer, "user.email") == 0
            else { return nil }
            return Commit.Person(name: GitRepository.string(name), email: GitRepository.string(email))
        }
    }

    func reference(_ name: String) throws(GitError) -> GitHandle<ReferenceKind> {
        let repository = handle.pointer
        return try GitHandle<ReferenceKind>("\(shown(name)) can't be read") {
            git_reference_lookup(&$0, repository, name)
        }
    }
}

/// How a remote's address is shown: without anything that could be a secret.
enum RemoteAddress {
    static func redacted(_ address: String) -> String {
        guard let scheme = address.firstRange(of: "://") else { return redactedPath(address) }
        let rest = address[scheme.upperBound...].prefix { $0 != "?" && $0 != "#" }
        var authority = rest.prefix { $0 != "/" }
        let path = rest[authority.endIndex...]
        if let at = authority.lastIndex(of: "@") {
            authority = authority[authority.index(after: at)...]
        } else if path.contains("@"), authority.contains(":") {
            // A password with a bare slash in it: what looks like a host is not one.
            return String(address[..<scheme.upperBound]) + "[redacted]"
        }
        return String(address[..<scheme.upperBound] + authority + path)
    }

    /// `user@host:path`, or a plain folder.
    private static func redactedPath(_ address: String) -> String {
        guard let colon = address.firstIndex(of: ":"), let at = address[..<colon].lastIndex(of: "@"),
            !address[..<colon].contains("/")
        else {
            // `user:password@host:path` is no address git knows, but people write it.
            guard let at = address.lastIndex(of: "@"), address[..<at].contains(":") else { return address }
            return String(address[address.index(after: at)...])
        }
        return String(address[address.index(after: at)...])
    }
}
