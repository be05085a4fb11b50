// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Synchronization

/// What a process knows of its own secrets, and what the users say of theirs: added to the nets of ``Redactor``, for
/// every text from then on. It only grows.
package enum RedactionRules {
    /// A shorter known secret would take words with it that are none.
    package static let minValueCharacters = 8
    /// A shorter word would be allowed within too much.
    package static let minAllowedCharacters = 4

    private struct Rules {
        /// Longest first: one may be part of another.
        var values: [String] = []
        var patterns: [(source: String, regex: Regex<AnyRegexOutput>)] = []
        var allowed: [String] = []

        var isEmpty: Bool { values.isEmpty && patterns.isEmpty && allowed.isEmpty }
    }

    private static let rules = Mutex(Rules())

    /// Adds rules.
    ///
    /// - Parameters:
    ///   - values: secrets, whose every occurrence goes; short ones are left out.
    ///   - patterns: regular expressions, whose every match goes; what is none is left out, for the pipeline's reader
    ///     has refused it.
    ///   - allowed: words that stay, whatever they look like, unless they are one of `values`.
    package static func add(values: [String] = [], patterns: [String] = [], allowed: [String] = []) {
        rules.withLock { rules in
            for value in values where value.count >= minValueCharacters && !rules.values.contains(value) {
                rules.values.append(value)
            }
            rules.values.sort { ($1.count, $0) < ($0.count, $1) }
            for source in patterns where !rules.patterns.contains(where: { $0.source == source }) {
                guard let regex = try? Regex(source) else { continue }
                rules.patterns.append((source, regex))
            }
            for word in allowed where word.count >= minAllowedCharacters && !rules.allowed.contains(word) {
                rules.allowed.append(word)
            }
        }
    }

    static func apply(to text: String, _ nets: (String) -> String) -> String {
        var text = text
        var shielded: [Substring] = []
        rules.withLock { rules in
            guard !rules.isEmpty else { return }
            for value in rules.values { text = text.replacing(value, with: Redactor.mark) }
            if !rules.allowed.isEmpty { (text, shielded) = shield(text, rules.allowed) }
            for (_, regex) in rules.patterns { text = text.replacing(regex) { $0.range.isEmpty ? "" : Redactor.mark } }
        }
        let redacted = nets(text)
        return shielded.isEmpty ? redacted : unshield(redacted, shielded)
    }

    // MARK: - Words that stay

    /// What stands where an allowed word stood, which no honest text holds: a character for private use.
    private static let placeholder: Character = "\u{F8F0}"

    /// Takes out every allowed word that stands alone: within a longer word, which may be a secret, it means nothing.
    private static func shield(_ original: String, _ allowed: [String]) -> (String, [Substring]) {
        let text = original.filter { $0 != placeholder }
        var result = ""
        var words: [Substring] = []
        var rest = text[...]
        var isInside = false
        while let first = rest.first {
            if !isInside,
                let word = allowed.first(where: { word in
                    rest.hasPrefix(word) && !(rest.dropFirst(word.count).first.map(isWord) ?? false)
                })
            {
                words.append(rest.prefix(word.count))
                result.append(placeholder)
                rest = rest.dropFirst(word.count)
                isInside = true
            } else {
                result.append(first)
                isInside = isWord(first)
                rest = rest.dropFirst()
            }
        }
        return (result, words)
    }

    private static func unshield(_ text: String, _ words: [Substring]) -> String {
        // A net may have taken a word with what stood around it: then what is left over cannot be told apart.
        guard text.count(where: { $0 == placeholder }) == words.count else {
            return text.replacing(String(placeholder), with: Redactor.mark)
        }
        var words = words[...]
        var result = ""
        for character in text {
            if character == placeholder, let word = words.popFirst() {
                result += word
            } else {
                result.append(character)
            }
        }
        return result
    }

    private static func isWord(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || "_-+/.".contains(character)
    }
}
