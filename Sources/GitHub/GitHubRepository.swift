// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A repository by its owner and name.
package struct GitHubRepository: Hashable, Sendable, CustomStringConvertible {
    package let owner: String
    package let name: String

    package static let variable = "GITHUB_REPOSITORY"
    private static let maxPartBytes = 100

    /// Reads `owner/name`; nil where it is nothing GitHub would call a repository.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy(GitHubRepository.isName) else { return nil }
        owner = String(parts[0])
        name = String(parts[1])
    }

    /// Reads a git remote's address: `https://HOST/owner/name.git`, `ssh://HOST:22/owner/name`, `HOST:owner/name.git`;
    /// nil where its host is not one of `hosts` or its path no repository.
    package init?(remote: String, hosts: Set<String>) {
        var rest = remote[...]
        let isURL = rest.firstRange(of: "://")
        if let isURL { rest = rest[isURL.upperBound...] }
        // Also where a user stands before it.
        guard let hostEnd = rest.firstIndex(where: { isURL != nil ? $0 == "/" : $0 == ":" }) else { return nil }
        var host = rest[..<hostEnd]
        if let at = host.lastIndex(of: "@") { host = host[host.index(after: at)...] }
        if isURL != nil { host = host.prefix { $0 != ":" } }
        guard hosts.contains(host.lowercased()) else { return nil }
        var path = rest[rest.index(after: hostEnd)...]
        while path.hasPrefix("/") { path.removeFirst() }
        while path.hasSuffix("/") { path.removeLast() }
        if path.hasSuffix(".git") { path.removeLast(4) }
        self.init(String(path))
    }

    package var description: String { "\(owner)/\(name)" }

    private static func isName(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.count <= maxPartBytes && text != "." && text != ".."
            && text.utf8.allSatisfy {
                switch $0 {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}

/// The credentials of `GITHUB_TOKEN`; nothing that describes them shows them.
package struct GitHubToken: Sendable {
    private let text: String

    package static let variable = "GITHUB_TOKEN"
    /// No token GitHub hands out comes near; more is a mistake (a file, a log) and not worth sending.
    package static let maxTokenBytes = 16 * 1024
    /// A shorter text is no token of GitHub's, and looking for it in messages would garble them.
    private static let minRedactedLength = 4

    /// Throws an ``AirbossError`` of code `configuration` that does not show the text.
    package init(_ text: String) throws(AirbossError) {
        guard !text.isEmpty, text.utf8.count <= GitHubToken.maxTokenBytes,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") })
        else {
            throw AirbossError(
                .configuration, "\(GitHubToken.variable) is not a token of GitHub's",
                hint: "Store it exactly as GitHub shows it: one word, without quotes and line breaks.")
        }
        self.text = text
    }

    /// Reads the variable out of an environment; throws as ``init(_:)`` does, also where it is unset or empty.
    package init(environment: [String: String]) throws(AirbossError) {
        guard let text = environment[GitHubToken.variable], !text.isEmpty else {
            throw AirbossError(
                .configuration, "\(GitHubToken.variable) is not set",
                hint: "In a workflow set it to ${{ github.token }}; at a shell, to a token that may read the "
                    + "repository's checks, commit statuses and pull requests.")
        }
        try self.init(text)
    }

    var authorization: String { "Bearer " + text }

    /// The text with the token replaced, for messages that others wrote.
    package func redacting(_ message: String) -> String {
        guard text.utf8.count >= GitHubToken.minRedactedLength else { return message }
        return message.replacing(text, with: "[token]")
    }
}

extension GitHubToken: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "GitHubToken(hidden)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
