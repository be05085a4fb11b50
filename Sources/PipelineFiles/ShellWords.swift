// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Splits a command as a shell would, without running one: quotes, backslashes, comments. Nil where a quote is open.
enum ShellWords {
    static func split(_ text: String) -> [String]? {
        var words: [String] = []
        var word = ""
        var isWord = false
        var quote: Character?
        var rest = Substring(text)
        while let next = rest.popFirst() {
            if let open = quote {
                if next == open {
                    quote = nil
                } else if next == "\\", open == "\"" {
                    guard let escaped = rest.popFirst() else { return nil }
                    word.append(escaped)
                } else {
                    word.append(next)
                }
            } else if next == "'" || next == "\"" {
                quote = next
                isWord = true
            } else if next == "\\" {
                guard let escaped = rest.popFirst() else { return nil }
                word.append(escaped)
                isWord = true
            } else if next == "#", !isWord {
                rest = rest.drop { !$0.isNewline }
            } else if next.isWhitespace {
                if isWord { words.append(word) }
                word = ""
                isWord = false
            } else {
                word.append(next)
                isWord = true
            }
        }
        guard quote == nil else { return nil }
        if isWord { words.append(word) }
        return words
    }
}
