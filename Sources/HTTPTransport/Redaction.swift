// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Removes credentials from everything that is shown: URLs, header fields, curl's error texts and traces.
///
/// It errs on the side of removing too much: a name that merely looks like a credential's is enough.
package enum Redaction {
    /// What stands where a credential stood.
    package static let mark = "***"

    /// A URL without userinfo, sensitive query parameters and the secret part of a webhook's path.
    package static func url(_ url: String) -> String {
        var rest = url[...]
        var rendered = ""
        if let separator = rest.firstRange(of: "://") {
            rendered += rest[..<separator.upperBound]
            rest = rest[separator.upperBound...]
        }
        let authorityEnd = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        let authority = rest[..<authorityEnd]
        rest = rest[authorityEnd...]
        var host = authority
        if let at = authority.lastIndex(of: "@") {
            rendered += mark + "@"
            host = authority[authority.index(after: at)...]
        }
        rendered += host
        let pathEnd = rest.firstIndex { $0 == "?" || $0 == "#" } ?? rest.endIndex
        rendered += path(rest[..<pathEnd], host: host)
        return rendered + parameters(rest[pathEnd...])
    }

    /// The scheme and host of a URL alone, for URLs which are credentials as a whole.
    package static func origin(_ url: String) -> String {
        guard let separator = url.firstRange(of: "://") else { return mark }
        let rest = url[separator.upperBound...]
        var host = rest[..<(rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex)]
        if let at = host.lastIndex(of: "@") { host = host[host.index(after: at)...] }
        return url[..<separator.upperBound] + host + "/" + mark
    }

    /// The value of a header field as it may be shown.
    package static func headerValue(_ value: String, of name: String) -> String {
        isSensitiveHeader(name) ? mark : text(value)
    }

    /// Running text (an error message, a line of a trace) without the credentials found in it.
    package static func text(_ text: String) -> String {
        text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
            .map { line($0) }
            .joined(separator: "\n")
    }

    /// Whether a header field carries a credential.
    package static func isSensitiveHeader(_ name: String) -> Bool {
        let name = name.lowercased()
        return sensitiveHeaders.contains(name) || sensitiveParts.contains { name.contains($0) }
    }

    /// Whether a query parameter, or a `name=value` pair in a text, carries a credential.
    package static func isSensitiveParameter(_ name: some StringProtocol) -> Bool {
        let name = percentDecoded(name).lowercased()
        if sensitiveParameters.contains(name) { return true }
        let plain = name.filter { $0 != "-" && $0 != "_" && $0 != "." }
        return plain.hasSuffix("key") || sensitiveParts.contains { plain.contains($0) }
    }
}

extension Redaction {
    private static let sensitiveHeaders: Set<String> = [
        "authorization", "proxy-authorization", "authentication-info", "cookie", "set-cookie", "set-cookie2",
        "fly-machine-lease-nonce", "x-api-key", "api-key", "apikey", "x-auth", "x-amz-credential",
    ]

    private static let sensitiveParts = [
        "token", "secret", "password", "passwd", "passphrase", "signature", "credential", "apikey", "nonce", "session",
    ]

    private static let sensitiveParameters: Set<String> = [
        "pwd", "pass", "sig", "auth", "authorization", "code", "sas", "jwt", "bearer", "cookie", "_state",
    ]

    /// The first characters of tokens that can be recognised wherever they stand.
    private static let tokenPrefixes = [
        "fm1_", "fm1r_", "fm1a_", "fm2_", "fo1_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-",
        "xoxb-", "xoxp-", "xoxa-", "xapp-", "AKIA",
    ]

    private static let schemes: Set<String> = ["bearer", "basic", "flyv1", "negotiate", "digest", "token"]

    /// A base64 word of this length is taken for a credential after an authentication scheme.
    private static let longestPlainWord = 20

    private static func path(_ path: Substring, host: Substring) -> String {
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        let isHookHost = host.hasPrefix("hooks.")
        let hook = segments.firstIndex {
            ["hook", "hooks", "webhook", "webhooks"].contains($0) || (isHookHost && $0 == "services")
        }
        guard let hook, hook + 1 < segments.count else { return token(in: path) }
        return segments[...hook].joined(separator: "/") + "/" + mark
    }

    /// `?a=b&token=c#d=e` with the sensitive values replaced.
    private static func parameters(_ query: Substring) -> String {
        var rendered = ""
        var rest = query
        while let first = rest.first {
            // Each turn takes one separator and the pair behind it.
            rendered.append(first)
            rest.removeFirst()
            let end = rest.firstIndex { "?&;#".contains($0) } ?? rest.endIndex
            let pair = rest[..<end]
            if let equals = pair.firstIndex(of: "="), isSensitiveParameter(pair[..<equals]) {
                rendered += pair[...equals] + mark
            } else {
                rendered += token(in: pair)
            }
            rest = rest[end...]
        }
        return rendered
    }

    private static func line(_ line: Substring) -> String {
        if let colon = colonAfterSensitiveName(in: line) {
            return words(line[..<colon]) + ": " + mark
        }
        return words(quotedPairs(cookieNote(quotedUser(line)))[...])
    }

    /// The colon of `Authorization: …`, `[cookie: …]`, `"password": …`, wherever it stands in the line.
    private static func colonAfterSensitiveName(in line: Substring) -> Substring.Index? {
        var index = line.startIndex
        while let colon = line[index...].firstIndex(of: ":") {
            var before = line[..<colon]
            if before.last == "\"" || before.last == "'" { before.removeLast() }
            let name = before.suffix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
            // A path's last segment before a colon (`GET https://host/v1/secrets: refused`) is no label.
            let isLabel = before[..<name.startIndex].last.map { !"/?&=.".contains($0) } ?? true
            if isLabel, isSensitiveLabel(name) { return colon }
            index = line.index(after: colon)
        }
        return nil
    }

    /// Whether what stands behind `name:` is a credential; unlike in a header block, a plain `secrets:` is prose.
    private static func isSensitiveLabel(_ name: Substring) -> Bool {
        let name = name.lowercased()
        if sensitiveHeaders.contains(name) || sensitiveParts.contains(name) { return true }
        return name.contains { $0 == "-" || $0 == "_" } && sensitiveParts.contains { name.contains($0) }
    }

    /// curl's `Added cookie name="value" for domain …`.
    private static func cookieNote(_ line: Substring) -> Substring {
        guard let note = line.firstRange(of: "cookie "), let equals = line[note.upperBound...].firstIndex(of: "=")
        else { return line }
        let tail = line[equals...].firstRange(of: "\" for domain").map { String(line[$0.lowerBound...].dropFirst()) }
        return (line[...equals] + mark + (tail ?? ""))[...]
    }

    /// curl's `Server auth using Basic with user 'name'`: the user may be the token itself.
    private static func quotedUser(_ line: Substring) -> Substring {
        guard let user = line.firstRange(of: "user '"), let quote = line[user.upperBound...].lastIndex(of: "'")
        else { return line }
        return (line[..<user.upperBound] + mark + line[quote...])[...]
    }

    /// `name="value"`, whose value may have spaces in it.
    private static func quotedPairs(_ line: Substring) -> String {
        var rendered = ""
        var rest = line
        while let equals = rest.firstIndex(of: "=") {
            let value = rest[rest.index(after: equals)...]
            let name = rest[..<equals].suffix { $0.isLetter || $0.isNumber || "-_.%".contains($0) }
            rendered += rest[...equals]
            rest = value
            if let quote = value.first, quote == "\"" || quote == "'", isSensitiveParameter(name) {
                let quoted = value.dropFirst()
                rest = quoted[(quoted.firstIndex(of: quote) ?? quoted.endIndex)...].dropFirst()
                rendered += mark
            }
        }
        return rendered + rest
    }

    /// Every word by itself, where a word ends at white space.
    private static func words(_ line: Substring) -> String {
        var rendered = ""
        var previous = ""
        var rest = line
        while !rest.isEmpty {
            let end = rest.firstIndex { $0 == " " || $0 == "\t" } ?? rest.endIndex
            let word = rest[..<end]
            if schemes.contains(previous), looksLikeCredential(word) {
                rendered += mark
            } else {
                rendered += self.word(word)
            }
            if !word.isEmpty { previous = word.lowercased().filter { $0.isLetter || $0.isNumber } }
            rest = rest[end...]
            if let space = rest.popFirst() { rendered.append(space) }
        }
        return rendered
    }

    private static func looksLikeCredential(_ word: Substring) -> Bool {
        word.count > longestPlainWord
            || word.contains { $0.isNumber || $0 == "=" || $0 == "_" }
            || word.dropFirst().contains { $0.isUppercase } && word.contains { $0.isLowercase }
    }

    private static func word(_ word: Substring) -> String {
        if let separator = word.firstRange(of: "://") {
            let scheme = word[..<separator.lowerBound].suffix { $0.isLetter || $0.isNumber || "+-.".contains($0) }
            let start = scheme.startIndex
            var end = word[separator.upperBound...].firstIndex { "\"'<>`".contains($0) } ?? word.endIndex
            // What ends a sentence or a bracket is not the URL's.
            while end > separator.upperBound, ".,:;!?)]}".contains(word[word.index(before: end)]) {
                end = word.index(before: end)
            }
            return pairs(word[..<start]) + url(String(word[start..<end])) + self.word(word[end...])
        }
        return pairs(word)
    }

    /// `name=value` within a word; the value reaches to the next separator.
    private static func pairs(_ word: Substring) -> String {
        var rendered = ""
        var rest = word
        while let equals = rest.firstIndex(of: "=") {
            let name = rest[..<equals].suffix { $0.isLetter || $0.isNumber || "-_.%".contains($0) }
            let valueStart = rest.index(after: equals)
            guard !name.isEmpty, isSensitiveParameter(name) else {
                rendered += token(in: rest[...equals])
                rest = rest[valueStart...]
                continue
            }
            let value = rest[valueStart...]
            rendered += rest[...equals] + mark
            rest = value[(value.firstIndex { "&;,\"')]}".contains($0) } ?? value.endIndex)...]
        }
        return rendered + token(in: rest)
    }

    /// Replaces tokens that are known by their first characters.
    private static func token(in word: Substring) -> String {
        for prefix in tokenPrefixes {
            guard let range = word.firstRange(of: prefix) else { continue }
            let end = word[range.upperBound...].firstIndex { "&;\"'<>/?#)]} ".contains($0) } ?? word.endIndex
            return token(in: word[..<range.lowerBound]) + mark + token(in: word[end...])
        }
        return String(word)
    }

    /// A name may be written with escapes to slip past a look at its letters.
    private static func percentDecoded(_ name: some StringProtocol) -> String {
        guard name.utf8.contains(UInt8(ascii: "%")) else { return String(name) }
        var bytes: [UInt8] = []
        var rest = Array(name.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension StringProtocol {
    fileprivate func suffix(while belongs: (Character) -> Bool) -> SubSequence {
        var start = endIndex
        while start > startIndex, belongs(self[index(before: start)]) { start = index(before: start) }
        return self[start...]
    }
}
