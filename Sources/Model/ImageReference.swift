// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// An image's name as `host/repository[:tag][@digest]`.
package struct ImageReference: Hashable, Sendable {
    package var registry: String
    package var repository: String
    package var tag: String?
    package var digest: ImageDigest?

    package init(registry: String, repository: String, tag: String? = nil, digest: ImageDigest? = nil) {
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest
    }

    /// Reads a reference; a name without a registry belongs to Docker Hub, as every client reads it. Nil where the
    /// text is no image name. Source: the grammar in distribution/reference.
    package init?(parsing text: String) {
        var rest = Substring(text)
        var digest: ImageDigest?
        if let at = rest.firstIndex(of: "@") {
            let value = String(rest[rest.index(after: at)...])
            guard ImageReference.isDigest(value) else { return nil }
            digest = ImageDigest(value)
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            let value = String(rest[rest.index(after: colon)...])
            guard !value.isEmpty, value.utf8.count <= 128, value.utf8.allSatisfy(ImageReference.isTagByte) else {
                return nil
            }
            tag = value
            rest = rest[..<colon]
        }
        let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        let named = parts.count > 1 && (first.contains(".") || first.contains(":") || first == "localhost")
        let path = named ? parts.dropFirst().joined(separator: "/") : rest.split(separator: "/").joined(separator: "/")
        guard path.utf8.allSatisfy(ImageReference.isPathByte) else { return nil }
        registry = named ? String(first) : "registry-1.docker.io"
        repository = named || parts.count > 1 ? path : "library/" + path
        self.tag = tag
        self.digest = digest
    }

    /// The same image by its digest alone, which can't be moved.
    package func pinned(to digest: ImageDigest) -> ImageReference {
        ImageReference(registry: registry, repository: repository, tag: nil, digest: digest)
    }

    package static func isDigest(_ text: String) -> Bool {
        guard text.hasPrefix("sha256:") else { return false }
        let hex = text.utf8.dropFirst(7)
        return hex.count == 64 && hex.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) }
    }

    private static func isTagByte(_ byte: UInt8) -> Bool {
        isPathByte(byte) && byte != UInt8(ascii: "/") || (byte >= 0x41 && byte <= 0x5A)
    }

    private static func isPathByte(_ byte: UInt8) -> Bool {
        (byte >= 0x61 && byte <= 0x7A) || (byte >= 0x30 && byte <= 0x39) || "._-/".utf8.contains(byte)
    }
}

extension ImageReference: CustomStringConvertible, Codable {
    package var description: String {
        registry + "/" + repository + (tag.map { ":" + $0 } ?? "") + (digest.map { "@" + $0.rawValue } ?? "")
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = ImageReference(parsing: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "“\(text)” is not an image name")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
