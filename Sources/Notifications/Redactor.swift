// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Removes secrets from text that came from git, GitHub or a machine before people are shown it.
///
/// Nets from the certain to the likely: secrets that this process knows, what the users' own patterns find, private
/// keys, credentials in URLs, values of names that mean a secret, tokens known by how they begin, and words too random
/// to be anything else. What merely looks random (commit ids, digests, UUIDs, ULIDs) stays, and so does what the users
/// allow. Redacting twice changes nothing.
package enum Redactor {
    /// What stands where a secret stood.
    package static let mark = "[redacted]"

    package static func redact(_ text: String) -> String {
        RedactionRules.apply(to: text, nets)
    }

    private static func nets(_ text: String) -> String {
        var text = privateKeys(text)
        text = mapWords(text, urls)
        text = Assignments.redact(text)
        text = mapWords(text, KnownTokens.redact)
        return Randomness.redact(text)
    }

    package static func redact(_ order: NoticeOrder) -> NoticeOrder {
        var order = order
        switch order.subject {
        case .run(let report): order.subject = .run(report: redact(report))
        case .maintenance(let notice): order.subject = .maintenance(notice: redact(notice))
        }
        return order
    }

    package static func redact(_ notice: MaintenanceNotice) -> MaintenanceNotice {
        var notice = notice
        notice.reason = redact(notice.reason)
        notice.actor = redact(notice.actor)
        notice.url = redact(notice.url)
        notice.runURL = redact(notice.runURL)
        return notice
    }

    /// Every text of a report that somebody or something outside wrote.
    package static func redact(_ report: RunReport) -> RunReport {
        var report = report
        report.headline = redact(report.headline)
        report.actor = redact(report.actor)
        report.reason = redact(report.reason)
        report.subject = redact(report.subject)
        report.image = redact(report.image)
        report.healthStatus = redact(report.healthStatus)
        report.divergence = report.divergence.map(redact)
        report.nextSteps = report.nextSteps.map(redact)
        report.warnings = report.warnings.map(redact)
        report.url = redact(report.url)
        report.runURL = redact(report.runURL)
        if var wanted = report.approval {
            wanted.found = redact(wanted.found)
            wanted.how = wanted.how.map(redact)
            report.approval = wanted
        }
        if var opening = report.opening {
            opening.rule = redact(opening.rule)
            report.opening = opening
        }
        for index in report.stages.indices {
            report.stages[index].detail = redact(report.stages[index].detail)
        }
        for index in report.overrides.indices {
            report.overrides[index].who = redact(report.overrides[index].who)
            report.overrides[index].reason = redact(report.overrides[index].reason)
            report.overrides[index].wouldHaveSaid = redact(report.overrides[index].wouldHaveSaid)
        }
        return report
    }

    // MARK: Private keys

    /// PEM blocks whose label ends in `PRIVATE KEY` (RFC 7468), also where the end is missing.
    private static func privateKeys(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while let begin = rest.firstRange(of: "-----BEGIN ") {
            let label = rest[begin.upperBound...].prefix { $0 != "-" && !$0.isNewline }
            guard label.hasSuffix("PRIVATE KEY") || label.hasSuffix("PRIVATE KEY BLOCK") else {
                result += rest[..<begin.upperBound]
                rest = rest[begin.upperBound...]
                continue
            }
            result += rest[..<begin.lowerBound] + mark
            let end = "-----END \(label)-----"
            rest = rest.firstRange(of: end).map { rest[$0.upperBound...] } ?? rest[rest.endIndex...]
        }
        return result + rest
    }

    // MARK: URLs

    /// Addresses that are secrets from some point on: whoever has one may post.
    private static let webhooks = [
        "hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/",
        "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "webhook.office.com/",
        "outlook.office.com/webhook/",
        "api.telegram.org/bot",
    ]

    /// The password in `scheme://user:password@host`, whatever it contains, and the tail of webhook addresses.
    private static func urls(_ word: Substring) -> String {
        // Each of them has one, and most words have none.
        guard word.utf8.contains(UInt8(ascii: "/")) else { return String(word) }
        var text = String(word)
        for webhook in webhooks {
            guard let range = text.firstRange(of: webhook) else { continue }
            let tail = text[range.upperBound...].prefix { !"\"'<>),;`".contains($0) }
            guard !tail.isEmpty, !tail.hasPrefix(mark) else { continue }
            text.replaceSubrange(tail.startIndex..<tail.endIndex, with: mark)
        }
        guard let separator = text.firstRange(of: "://") else { return text }
        let head = text[..<separator.upperBound]
        let rest = text[separator.upperBound...].prefix { !"\"'<>`".contains($0) }
        let after = text[rest.endIndex...]
        let tail = urls(after)
        let authority = rest.prefix { !"/?#".contains($0) }
        let isWeb = text[..<separator.lowerBound].hasSuffix("http") || text[..<separator.lowerBound].hasSuffix("https")
        let at: Substring.Index
        if !isWeb, authority.contains(":"), let found = rest.lastIndex(of: "@") {
            at = found  // a database's password may hold an @ and a slash; the rest of its address holds no @
        } else if let found = authority.lastIndex(of: "@") {
            at = found
        } else if let found = rest.firstIndex(of: "@"), let colon = authority.firstIndex(of: ":"),
            !rest[rest.index(after: colon)..<authority.endIndex].allSatisfy(\.isNumber)
        {
            at = found  // a password with a slash in it: behind the colon stands no port
        } else {
            return "\(head)\(rest)\(tail)"
        }
        let user = rest[..<at]
        let host = rest[at...]
        if let colon = user.firstIndex(of: ":") {
            let password = user[user.index(after: colon)...]
            return "\(head)\(user[...colon])\(password.isEmpty ? "" : mark)\(host)\(tail)"
        }
        // A name alone is a user (`git@`), unless it is too long for one: then it is a token.
        return "\(head)\(user.count >= 16 ? mark : String(user))\(host)\(tail)"
    }

    /// Applies a transformation to every stretch of text between white space.
    static func mapWords(_ text: String, _ transform: (Substring) -> String) -> String {
        var result = ""
        var rest = text[...]
        while !rest.isEmpty {
            let space = rest.prefix { $0.isWhitespace }
            result += space
            rest = rest[space.endIndex...]
            let word = rest.prefix { !$0.isWhitespace }
            if !word.isEmpty { result += transform(word) }
            rest = rest[word.endIndex...]
        }
        return result
    }
}
