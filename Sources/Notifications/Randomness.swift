// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The last net: words too random for a name, a path or an id of a known form.
enum Randomness {
    /// Shorter words are left alone: too many are harmless, and too little is lost with them.
    static let minSecretCharacters = 24

    static func redact(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while !rest.isEmpty {
            let other = rest.prefix { !isBase64Character($0) }
            result += other
            rest = rest[other.endIndex...]
            let word = rest.prefix(while: isBase64Character)
            result += isSecret(word) ? Redactor.mark : String(word)
            rest = rest[word.endIndex...]
        }
        return result
    }

    private static func isSecret(_ word: Substring) -> Bool {
        guard word.count >= minSecretCharacters, !isHarmless(word) else { return false }
        if word.count >= 32, word.allSatisfy(\.isHexDigit) { return true }
        // Ids of known forms may be parts of a longer name: a path, `deployment-<ULID>`.
        let parts = word.split { "/-_+".contains($0) }.filter { !isHarmless($0) }
        if parts.contains(where: { $0.count >= 20 && isRandom($0) }) { return true }
        // base64 with its own separators in it; a path of words changes its kind of letter seldom.
        let separators = word.count { "/+-_".contains($0) }
        let joined = Substring(parts.joined())
        return joined.count >= 32 && separators * 8 <= word.count && hasThreeKinds(joined) && isRandom(joined)
    }

    /// Whether the characters follow each other as if drawn: letters of both cases and digits (or digits and one case)
    /// in constant change, and few of them often.
    static func isRandom(_ word: Substring) -> Bool {
        let kinds = word.map(kind)
        let changes = zip(kinds, kinds.dropFirst()).count { $0 != $1 }
        let rate = Double(changes) / Double(max(1, kinds.count - 1))
        let digits = kinds.count { $0 == .digit }
        if hasThreeKinds(word) { return rate >= 0.38 && distinct(word) >= 12 }
        return digits >= 4 && digits < word.count && rate >= 0.3 && distinct(word) >= 10
    }

    /// Forms that only look random: hexadecimal digests and ids, UUIDs, ULIDs, plain numbers.
    static func isHarmless(_ word: Substring) -> Bool {
        let isHex = word.allSatisfy { $0.isHexDigit && $0.isASCII }
        if isHex {
            // Abbreviated commit ids and Fly's machine ids; MD5 and trace ids; SHA-1, -224, -256, -384 and -512.
            return word.count <= 20 || [24, 32, 40, 56, 64, 96, 128].contains(word.count)
        }
        return isULID(word) || isUUID(word) || isIntegrity(word)
    }

    /// 26 characters of Crockford's base 32, the first at most 7. Source: github.com/ulid/spec.
    private static func isULID(_ word: Substring) -> Bool {
        guard word.count == 26, let first = word.first, ("0"..."7").contains(first) else { return false }
        let isUpper = word.allSatisfy { "0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains($0) }
        return isUpper || word.allSatisfy { "0123456789abcdefghjkmnpqrstvwxyz".contains($0) }
    }

    private static func isUUID(_ word: Substring) -> Bool {
        let parts = word.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map(\.count) == [8, 4, 4, 4, 12] && parts.joined().allSatisfy(\.isHexDigit)
    }

    /// A package manager's checksum: `sha512-` and base64.
    private static func isIntegrity(_ word: Substring) -> Bool {
        ["sha1-", "sha256-", "sha384-", "sha512-"].contains { word.hasPrefix($0) }
    }

    private enum Kind {
        case lower, upper, digit, other
    }

    private static func kind(_ character: Character) -> Kind {
        if character.isNumber { return .digit }
        if character.isUppercase { return .upper }
        return character.isLowercase ? .lower : .other
    }

    private static func hasThreeKinds(_ word: Substring) -> Bool {
        word.contains(where: \.isNumber) && word.contains(where: \.isUppercase) && word.contains(where: \.isLowercase)
    }

    private static func distinct(_ word: Substring) -> Int {
        Set(word).count
    }

    /// Without the padding `=`, which as often stands between a name and its value.
    private static func isBase64Character(_ character: Character) -> Bool {
        guard character.isASCII else { return false }
        return character.isLetter || character.isNumber || "+/_-".contains(character)
    }
}
