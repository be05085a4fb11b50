// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import HTTPTypes

/// An answer other than success. Codes: OCI distribution specification 1.1, "Error Codes".
struct RegistryError: Error, Hashable, Sendable {
    enum Code: String, Sendable {
        case blobUnknown = "BLOB_UNKNOWN"
        case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
        case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
        case digestInvalid = "DIGEST_INVALID"
        case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
        case manifestInvalid = "MANIFEST_INVALID"
        case manifestUnknown = "MANIFEST_UNKNOWN"
        case nameInvalid = "NAME_INVALID"
        case nameUnknown = "NAME_UNKNOWN"
        case sizeInvalid = "SIZE_INVALID"
        case tooManyRequests = "TOOMANYREQUESTS"
        case unauthorized = "UNAUTHORIZED"
        case unsupported = "UNSUPPORTED"
    }

    var code: Code
    var status: Int
    var message: String

    init(_ code: Code, _ status: Int, _ message: String) {
        self.code = code
        self.status = status
        self.message = message
    }
}

/// What a registry request is about. Source: OCI distribution specification 1.1, "API" table.
enum RegistryTarget: Hashable, Sendable {
    case base
    case blob(repository: String, digest: String)
    case uploads(repository: String)
    case upload(repository: String, id: String)
    case manifest(repository: String, reference: String)
    case tags(repository: String)

    /// Reads the path of a request below `/v2`; throws `nameInvalid` or `digestInvalid`, and gives nil for a path that
    /// the specification does not know.
    static func parse(_ path: String) throws(RegistryError) -> RegistryTarget? {
        var parts = path.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
        guard parts.first == "v2" else { return nil }
        parts.removeFirst()
        if parts.isEmpty { return .base }
        let count = parts.count
        func repository(_ length: Int) throws(RegistryError) -> String {
            let name = parts.prefix(count - length).joined(separator: "/")
            guard RegistryName.isRepository(name) else {
                throw RegistryError(.nameInvalid, 400, "“\(name)” is not a repository name")
            }
            return name
        }
        if count >= 3, parts[count - 2] == "blobs", parts[count - 1] == "uploads" {
            return .uploads(repository: try repository(2))
        }
        if count >= 4, parts[count - 3] == "blobs", parts[count - 2] == "uploads" {
            return .upload(repository: try repository(3), id: parts[count - 1])
        }
        if count >= 3, parts[count - 2] == "blobs" {
            guard RegistryName.isDigest(parts[count - 1]) else {
                throw RegistryError(.digestInvalid, 400, "“\(parts[count - 1])” is not a sha256 digest")
            }
            return .blob(repository: try repository(2), digest: parts[count - 1])
        }
        if count >= 3, parts[count - 2] == "manifests" {
            let reference = parts[count - 1]
            guard RegistryName.isDigest(reference) || RegistryName.isTag(reference) else {
                throw RegistryError(.manifestUnknown, 404, "“\(reference)” is neither a tag nor a sha256 digest")
            }
            return .manifest(repository: try repository(2), reference: reference)
        }
        if count >= 3, parts[count - 2] == "tags", parts[count - 1] == "list" {
            return .tags(repository: try repository(2))
        }
        return nil
    }
}

/// The grammar of names in a registry. It also keeps every name safe as a path below the store's folder.
enum RegistryName {
    static let maxRepositoryBytes = 255
    static let maxTagBytes = 128

    static func isDigest(_ text: String) -> Bool {
        guard text.hasPrefix("sha256:"), text.utf8.count == 71 else { return false }
        return text.utf8.dropFirst(7).allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) }
    }

    static func isTag(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= maxTagBytes else { return false }
        func isWord(_ byte: UInt8) -> Bool { isLowerOrDigit(byte) || (byte >= 0x41 && byte <= 0x5A) || byte == 0x5F }
        return isWord(first) && text.utf8.allSatisfy { isWord($0) || $0 == 0x2E || $0 == 0x2D }
    }

    static func isRepository(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= maxRepositoryBytes else { return false }
        return text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.utf8.first, let last = part.utf8.last else { return false }
            return isLowerOrDigit(first) && isLowerOrDigit(last) && !part.contains("..")
                && part.utf8.allSatisfy { isLowerOrDigit($0) || $0 == 0x2E || $0 == 0x2D || $0 == 0x5F }
        }
    }

    private static func isLowerOrDigit(_ byte: UInt8) -> Bool {
        (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x7A)
    }
}

/// A `Content-Range` of a chunked upload: `first-last`, both inclusive, in bytes.
struct UploadRange: Hashable, Sendable {
    var first: Int64
    var last: Int64

    var count: Int64 { last - first + 1 }

    init?(_ text: String) {
        var value = Substring(text)
        for prefix in ["bytes=", "bytes "] where value.hasPrefix(prefix) { value = value.dropFirst(prefix.count) }
        let parts = value.prefix { $0 != "/" }.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = Int64(parts[0]), let last = Int64(parts[1]), first >= 0, last >= first - 1
        else { return nil }
        self.first = first
        self.last = last
    }
}
