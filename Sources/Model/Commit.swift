// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A commit as people and notices need it.
package struct Commit: Hashable, Codable, Sendable {
    package var id: CommitID
    /// The object id of the commit's tree: two commits with the same tree hold the same files.
    package var tree: String
    package var parents: [CommitID]
    package var author: Person
    package var committer: Person
    package var authoredAt: Timestamp
    package var committedAt: Timestamp
    /// The message without a signature, with its trailing blank lines removed. Untrusted text.
    package var message: String
    /// Tags that point at this commit, without `refs/tags/`.
    package var tags: [String]

    package struct Person: Hashable, Codable, Sendable {
        package var name: String
        package var email: String
        package init(name: String, email: String) {
            self.name = name
            self.email = email
        }
    }

    package init(
        id: CommitID, tree: String, parents: [CommitID], author: Person, committer: Person, authoredAt: Timestamp,
        committedAt: Timestamp, message: String, tags: [String]
    ) {
        self.id = id
        self.tree = tree
        self.parents = parents
        self.author = author
        self.committer = committer
        self.authoredAt = authoredAt
        self.committedAt = committedAt
        self.message = message
        self.tags = tags
    }

    /// The first line of the message.
    package var subject: String {
        message.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
    }
}
