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

    private static let certain: [[UInt8]] = [
        "password", "passwd", "passphrase", "secret", "apikey", "accesskey", "privatekey", "servicekey", "signingkey",
        "encryptionkey", "masterkey", "authkey", "deploykey", "sharedkey", "credential", "authorization", "accesstoken",
        "authtoken", "refreshtoken", "apitoken", "bottoken", "bearer", "clientsecret", "connectionstring", "cookie",
        "anonkey", "rolekey", "sessionid",
    ].map { Array($0.utf8) }
    private static let likely: [[UInt8]] = [
        "token", "pwd", "pass", "key", "auth", "dsn", "salt", "otp", "nonce", "signature",
    ].map { Array($0.utf8) }

    /// A name's letters and digits, which are ASCII, in lower case. They are compared as bytes, for every word of every
    /// text is, and looking for characters takes far longer.
    private static func plain(_ name: some StringProtocol) -> [UInt8] {
        name.utf8.compactMap { byte in
            switch byte {
            case UInt8(ascii: "_"), UInt8(ascii: "-"): nil
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
            default: byte
            }
        }
    }

    private static func isCertain(_ plain: [UInt8]) -> Bool {
        certain.contains { word in
            guard plain.count >= word.count else { return false }
            return (0...plain.count - word.count).contains { start in
                plain[start] == word[0] && plain[start...].starts(with: word)
            }
        }
    }

    private static func isOfInterest(_ name: Substring) -> Bool {
        let plain = plain(name)
        return isCertain(plain) || likely.contains { plain.suffix($0.count).elementsEqual($0) }
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
        let isCertain = isCertain(plain(name))
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
