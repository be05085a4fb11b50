// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

extension Pipeline.Notify.Redact {
    /// A shorter word would be allowed within too much.
    package static let minAllowedCharacters = 4
}

extension Pipeline.Notify.Webhook {
    /// A shorter secret could be guessed from one signature.
    package static let minSecretCharacters = 16

    /// What is wrong with an address that notices are posted to; nil where nothing is. What they tell is for the
    /// receiver alone, so only a receiver on this machine may do without TLS.
    package static func problem(withURL url: String) -> String? {
        if url.hasPrefix("https://"), url.count > 8 { return nil }
        guard url.hasPrefix("http://") else { return "it is not an https address" }
        let authority = url.dropFirst(7).prefix { !"/?#".contains($0) }
        let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" } + "]" : host.prefix { $0 != ":" }
        let isLoopback = name == "localhost" || name == "[::1]" || isLoopbackAddress(name)
        return isLoopback ? nil : "it is not https, and notices would cross the network for everyone to read"
    }

    /// 127.0.0.0/8.
    private static func isLoopbackAddress(_ name: Substring) -> Bool {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    package static func problem(withSecret secret: String) -> String? {
        secret.count < minSecretCharacters ? "it is shorter than \(minSecretCharacters) characters" : nil
    }
}
