// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A path in a tree or an image as bytes.
///
/// Swift compares strings by what they show, so `é` as one scalar and as two are equal; for git, tar and Linux they are
/// two names.
struct TreePath: Hashable, Comparable, Sendable {
    /// Without a slash at either end; empty for the root.
    var bytes: [UInt8]

    static let slash = UInt8(ascii: "/")

    init(bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes)
    }

    init(_ components: [[UInt8]]) {
        bytes = Array(components.joined(separator: [TreePath.slash]))
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    var components: [[UInt8]] {
        bytes.isEmpty ? [] : bytes.split(separator: TreePath.slash, omittingEmptySubsequences: false).map(Array.init)
    }

    /// nil for the root.
    var parent: TreePath? {
        guard !bytes.isEmpty else { return nil }
        guard let cut = bytes.lastIndex(of: TreePath.slash) else { return TreePath(bytes: []) }
        return TreePath(bytes: bytes[..<cut])
    }

    var name: [UInt8] {
        Array(bytes[((bytes.lastIndex(of: TreePath.slash) ?? -1) + 1)...])
    }

    func appending(_ other: TreePath) -> TreePath {
        if bytes.isEmpty { return other }
        if other.bytes.isEmpty { return self }
        return TreePath(bytes: bytes + [TreePath.slash] + other.bytes)
    }

    /// What follows `folder`, or nil where this is not beneath it; a path is not beneath itself.
    func relative(to folder: TreePath) -> TreePath? {
        if folder.bytes.isEmpty { return bytes.isEmpty ? nil : self }
        let count = folder.bytes.count
        guard bytes.count > count + 1, bytes[count] == TreePath.slash, bytes.starts(with: folder.bytes) else {
            return nil
        }
        return TreePath(bytes: bytes[(count + 1)...])
    }

    /// Byte order: the same on every machine, and a folder comes before what is in it.
    static func < (left: TreePath, right: TreePath) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    /// The path with `.`, `..` and doubled slashes resolved against `base`; nil where it leaves the root.
    static func resolving(_ text: some Sequence<UInt8>, in base: TreePath = TreePath(bytes: [])) -> TreePath? {
        let bytes = Array(text)
        var stack = bytes.first == slash ? [] : base.components
        for component in bytes.split(separator: slash) {
            if component.elementsEqual(".".utf8) { continue }
            if component.elementsEqual("..".utf8) {
                if stack.popLast() == nil { return nil }
            } else {
                stack.append(Array(component))
            }
        }
        return TreePath(stack)
    }
}
