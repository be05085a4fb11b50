// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2

/// A kind of libgit2 object and how it is freed.
protocol GitHandleKind {
    static func free(_ pointer: OpaquePointer)
}

/// Owns one libgit2 object, and frees it at the end of its scope. What is read from a repository lives in local
/// variables of the repository's own methods only, so that it never outlives the repository.
struct GitHandle<Kind: GitHandleKind>: ~Copyable {
    let pointer: OpaquePointer

    /// Takes what `make` hands out; throws libgit2's last error where it hands out nothing.
    init(_ doing: @autoclosure () -> String, _ make: (inout OpaquePointer?) -> Int32) throws(GitError) {
        var made: OpaquePointer?
        let result = make(&made)
        guard result >= 0, let made else { throw .last(result, doing) }
        pointer = made
    }

    init(owning pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit { Kind.free(pointer) }
}

enum RepositoryKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_repository_free(pointer) }
}
enum ObjectKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_object_free(pointer) }
}
enum CommitKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_commit_free(pointer) }
}
enum TreeKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_tree_free(pointer) }
}
enum BlobKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_blob_free(pointer) }
}
enum ReferenceKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_reference_free(pointer) }
}
enum ReferenceIteratorKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_reference_iterator_free(pointer) }
}
enum ObjectDatabaseKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_odb_free(pointer) }
}
enum ConfigurationKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_config_free(pointer) }
}
enum RemoteKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_remote_free(pointer) }
}
enum DiffKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_diff_free(pointer) }
}
enum IndexKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_index_free(pointer) }
}
enum StatusListKind: GitHandleKind {
    static func free(_ pointer: OpaquePointer) { git_status_list_free(pointer) }
}

/// A SHA-1 object id as three numbers, which hash and compare fast.
struct ObjectID: Hashable, Sendable {
    private var first: UInt64
    private var second: UInt64
    private var third: UInt32

    init(_ oid: git_oid) {
        (first, second, third) = withUnsafeBytes(of: oid.id) { bytes in
            (
                bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self)
            )
        }
    }

    /// Reads forty hexadecimal digits; nil where the text is something else.
    init?(hex: String) {
        var oid = git_oid()
        guard hex.utf8.count == 40, git_oid_fromstr(&oid, hex) == 0 else { return nil }
        self.init(oid)
    }

    var oid: git_oid {
        var oid = git_oid()
        withUnsafeMutableBytes(of: &oid.id) { bytes in
            bytes.storeBytes(of: first, toByteOffset: 0, as: UInt64.self)
            bytes.storeBytes(of: second, toByteOffset: 8, as: UInt64.self)
            bytes.storeBytes(of: third, toByteOffset: 16, as: UInt32.self)
        }
        return oid
    }

    /// Forty hexadecimal digits.
    var hex: String {
        withUnsafeBytes(of: oid.id) { bytes in
            String(decoding: bytes.flatMap { [digit($0 >> 4), digit($0 & 15)] }, as: UTF8.self)
        }
    }

    private func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 + value - 10 }
}
