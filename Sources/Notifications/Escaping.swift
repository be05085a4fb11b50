// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Mustache

/// Escapes what templates insert, one kind for each place text goes. Each works on Unicode scalars: a combining mark
/// makes another character of the `<` or `"` before it, but not for the program that reads the result.
enum Escaping {
    /// The names by which templates ask for an escaping (`{{% CONTENT_TYPE: … }}`).
    static let register: Void = {
        MustacheContentTypes.register(HTMLText(), named: "NOTICE_HTML")
        MustacheContentTypes.register(MarkdownText(), named: "NOTICE_MARKDOWN")
        MustacheContentTypes.register(TerminalText(), named: "NOTICE_TERMINAL")
    }()

    /// Puts an invisible space behind each `@` that begins a name, so that it notifies nobody. An `@` within a word (an
    /// address, an image's digest) begins none and stays fit to be copied.
    static func withoutMentions(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        var previous: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            result.append(scalar)
            let isWithin = previous.map { $0.properties.isAlphabetic || $0.properties.numericType != nil } ?? false
            if scalar == "@", !isWithin { result.append("\u{200B}") }
            previous = scalar
        }
        return String(result)
    }

    static func map(_ text: String, _ replacement: (Unicode.Scalar) -> String?) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if let replaced = replacement(scalar) {
                result.append(contentsOf: replaced.unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }
}

/// For element content and quoted attributes.
struct HTMLText: MustacheContentType {
    func escapeText(_ text: String) -> String {
        Escaping.map(text) { scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "\"": "&quot;"
            case "'": "&#39;"
            default: nil
            }
        }
    }
}

/// For GitHub's Markdown, also within table cells: every character that could begin markup is escaped, and names after
/// `@` and numbers after `#` notify and link nobody.
struct MarkdownText: MustacheContentType {
    private static let special = Set("\\`*_{}[]()#+-!|~$:^=".unicodeScalars)

    func escapeText(_ text: String) -> String {
        let escaped = Escaping.map(Escaping.withoutMentions(text)) { scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "#": "\\#\u{200B}"
            case _ where MarkdownText.special.contains(scalar): "\\" + String(scalar)
            default: nil
            }
        }
        // A bare `www.` becomes a link.
        return escaped.replacing("www.", with: "www\\.")
    }
}

/// For a terminal or the log of a job: GitHub's runner executes `::command::` at the beginning of a line and
/// `##[command]` anywhere. Source: actions/runner, ActionCommand.cs.
struct TerminalText: MustacheContentType {
    func escapeText(_ text: String) -> String {
        let quiet = text.replacing("##[", with: "# #[")
        return quiet.hasPrefix("::") ? ": :" + quiet.dropFirst(2) : quiet
    }
}

/// For Slack's texts: its three control characters, and no name after `@` calls anybody. Source: Slack API, "Formatting
/// text for app surfaces".
enum SlackText {
    static func escape(_ text: String) -> String {
        Escaping.map(Escaping.withoutMentions(text)) { scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            default: nil
            }
        }
    }
}
