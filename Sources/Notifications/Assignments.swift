// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Values of names that mean a secret: `PASSWORD=…`, `"api_key": "…"`, `--token …`, `Authorization: Bearer …`.
enum Assignments {
    static func redact(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while let next = nextName(in: rest) {
            result += rest[..<next.value.lowerBound]
            if shouldRedact(String(rest[next.name]), rest[next.value], next.separator, isQuoted: next.isQuoted) {
                result += Redactor.mark
            } else {
                result += rest[next.value]
            }
            rest = rest[next.value.upperBound...]
        }
        return result + rest
    }

    private struct Found {
        var name: Range<Substring.Index>
        var separator: Character
        var value: Range<Substring.Index>
        var isQuoted: Bool
    }

    /// The next `name=value`, `name: value` or `--name value` whose name is of interest.
    private static func nextName(in text: Substring) -> Found? {
        var index = text.startIndex
        while index < text.endIndex {
            guard isNameCharacter(text[index]) else {
                index = text.index(after: index)
                continue
            }
            let name = text[index...].prefix(while: isNameCharacter)
            if isOfInterest(name), let found = value(after: name, in: text) { return found }
            index = name.endIndex
        }
        return nil
    }

    private static func value(after name: Substring, in text: Substring) -> Found? {
        var rest = text[name.endIndex...]
        if let quote = rest.first, quote == "\"" || quote == "'" { rest = rest.dropFirst() }
        let gap = rest.prefix { $0 == " " || $0 == "\t" }
        var separator: Character = " "
        rest = rest[gap.endIndex...]
        if let first = rest.first, first == "=" || first == ":" {
            separator = first
            // `:=` and `=>` assign too; `://` begins a URL.
            rest = rest.dropFirst()
            if separator == ":", rest.hasPrefix("//") { return nil }
            if let second = rest.first, second == "=" || second == ">" { rest = rest.dropFirst() }
            rest = rest.drop { $0 == " " || $0 == "\t" }
        } else {
            guard !gap.isEmpty, name.hasPrefix("--") else { return nil }
        }
        var isQuoted = false
        for scheme in ["Bearer ", "bearer ", "Basic ", "basic ", "FlyV1 ", "token ", "Token "]
        where rest.hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count)
            // What follows a scheme is a credential however it looks, unless it is too short for one.
            isQuoted = rest.prefix { !$0.isWhitespace }.count >= 8
        }
        let value: Substring
        if let quote = rest.first, quote == "\"" || quote == "'" || quote == "`" {
            isQuoted = true
            value = rest.dropFirst().prefix { $0 != quote && !$0.isNewline }
        } else {
            value = rest.prefix { !$0.isWhitespace && !"\"'`,;&<>)]}".contains($0) }
        }
        guard !value.isEmpty else { return nil }
        return Found(
            name: name.startIndex..<name.endIndex, separator: separator, value: value.startIndex..<value.endIndex,
            isQuoted: isQuoted)
    }

    private static func isNameCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || character == "_" || character == "-")
    }

    // MARK: Names

    private static let certain = [
        "password", "passwd", "passphrase", "secret", "apikey", "accesskey", "privatekey", "servicekey", "signingkey",
        "encryptionkey", "masterkey", "authkey", "deploykey", "sharedkey", "credential", "authorization", "accesstoken",
        "authtoken", "refreshtoken", "apitoken", "bottoken", "bearer", "clientsecret", "connectionstring", "cookie",
        "anonkey", "rolekey", "sessionid",
    ]
    private static let likely = ["token", "pwd", "pass", "key", "auth", "dsn", "salt", "otp", "nonce", "signature"]

    private static func plain(_ name: some StringProtocol) -> String {
        name.lowercased().filter { $0 != "_" && $0 != "-" }
    }

    private static func isOfInterest(_ name: Substring) -> Bool {
        let plain = plain(name)
        return certain.contains { plain.contains($0) } || likely.contains { plain.hasSuffix($0) }
    }

    /// How much it takes depends on how sure the name and the way of writing are.
    private static func shouldRedact(
        _ name: String, _ value: Substring, _ separator: Character, isQuoted: Bool
    ) -> Bool {
        let bare = value.lowercased()
        if bare.hasPrefix("$") || bare.hasPrefix("<") || bare.hasPrefix("{{") || bare.hasPrefix("%") { return false }
        if bare.hasPrefix("[redacted") || bare.allSatisfy({ $0 == "*" || $0 == "." || $0 == "x" }) { return false }
        if ["true", "false", "null", "nil", "none", "yes", "no", "undefined"].contains(bare) { return false }
        // The URL net has been over it; what is left of a URL tells where, not how to get in.
        if value.contains("://") { return false }
        let isCertain = certain.contains { plain(name).contains($0) }
        if isCertain, separator == "=" || isQuoted { return true }
        if separator == "=", !isCertain { return looksSecret(value, atLeast: 6) }
        // In prose a colon, or a space after an option, is often just that: "rotate secret: see the wiki".
        return looksSecret(value, atLeast: 8)
    }

    /// Long enough and not a plain word or number.
    private static func looksSecret(_ value: Substring, atLeast length: Int) -> Bool {
        guard value.count >= length else { return false }
        if value.allSatisfy(\.isNumber) { return false }
        let hasDigit = value.contains(where: \.isNumber)
        let hasUpper = value.contains(where: \.isUppercase)
        let hasLower = value.contains(where: \.isLowercase)
        let hasSymbol = value.contains { !$0.isLetter && !$0.isNumber && !"_-./:".contains($0) }
        return hasSymbol || (hasDigit && (hasUpper || hasLower)) || Randomness.isRandom(value)
    }
}
