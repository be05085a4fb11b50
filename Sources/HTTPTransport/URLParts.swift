// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl

/// A URL taken apart by curl's own parser, so that what is checked is what curl will use.
struct URLParts {
    var scheme = ""
    var user: String?
    var password: String?
    var host = ""
    var port = ""
    var path = ""
    var query: String?

    /// Nil where curl would not take the URL either.
    init?(_ text: String) {
        guard let handle = curl_url() else { return nil }
        defer { curl_url_cleanup(handle) }
        guard !text.utf8.contains(0), curl_url_set(handle, CURLUPART_URL, text, 0) == CURLUE_OK else { return nil }
        scheme = Self.part(CURLUPART_SCHEME, of: handle) ?? ""
        user = Self.part(CURLUPART_USER, of: handle, flags: CURLU_URLDECODE)
        password = Self.part(CURLUPART_PASSWORD, of: handle, flags: CURLU_URLDECODE)
        host = Self.part(CURLUPART_HOST, of: handle) ?? ""
        port = Self.part(CURLUPART_PORT, of: handle, flags: CURLU_DEFAULT_PORT) ?? ""
        path = Self.part(CURLUPART_PATH, of: handle) ?? ""
        query = Self.part(CURLUPART_QUERY, of: handle)
    }

    /// `reference` as seen from `base` (RFC 3986 section 5); nil where either is no URL.
    static func resolve(_ reference: String, from base: String) -> String? {
        guard let handle = curl_url() else { return nil }
        defer { curl_url_cleanup(handle) }
        guard !reference.utf8.contains(0), curl_url_set(handle, CURLUPART_URL, base, 0) == CURLUE_OK,
            curl_url_set(handle, CURLUPART_URL, reference, UInt32(CURLU_URLENCODE)) == CURLUE_OK
        else { return nil }
        return part(CURLUPART_URL, of: handle)
    }

    /// Scheme, host and port: where credentials may go together.
    var origin: String { "\(scheme)://\(host.lowercased()):\(port)" }

    /// Whether the host can only be this machine, so that nothing is sent over a network.
    var isLoopback: Bool {
        let host = host.lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") || host == "[::1]" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers[0] == "127" && numbers.allSatisfy { UInt8($0) != nil }
    }

    private static func part(_ part: CURLUPart, of handle: OpaquePointer, flags: Int32 = 0) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        guard curl_url_get(handle, part, &text, UInt32(flags)) == CURLUE_OK, let text else { return nil }
        defer { curl_free(text) }
        return String(cString: text)
    }
}
