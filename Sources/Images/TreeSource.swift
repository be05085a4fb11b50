// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials

/// One file of a commit's tree.
package struct TreeEntry: Sendable {
    package enum Kind: Hashable, Sendable {
        case file, executable, symlink, submodule
    }

    /// From the tree's root, separated by `/`, without a slash at either end.
    package var path: String
    package var kind: Kind
    /// Bytes of the content; of a symlink, of its target; 0 for a submodule.
    package var size: Int64
    /// What the source finds the content by, for instance the blob's object id.
    package var object: String

    package init(path: String, kind: Kind, size: Int64, object: String = "") {
        self.path = path
        self.kind = kind
        self.size = size
        self.object = object
    }
}

/// The files of one commit.
package protocol TreeSource: Sendable {
    /// Every file, in any order; folders are implied by the paths.
    func entries() async throws -> [TreeEntry]

    /// Hands the content of an entry to `sink`, piece by piece and in order, from any one thread at a time. A symlink's
    /// content is its target. What `sink` throws ends the reading and is thrown on.
    func read(_ entry: TreeEntry, to sink: @escaping @Sendable (Data) throws -> Void) async throws
}
