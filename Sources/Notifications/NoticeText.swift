// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model

/// Prepares untrusted text (commit messages, check outputs, what a person typed) to be shown on one line.
enum NoticeText {
    /// Long enough for every honest subject line and error message.
    static let maxTextCharacters = 500

    /// The text on one line: white space of every kind becomes one space, what has no business in a line goes
    /// (control characters and the escape sequences they begin, marks that reorder or hide text), and what is too long
    /// ends in an ellipsis.
    static func line(_ text: String, maxCharacters: Int = maxTextCharacters) -> String {
        var scalars = String.UnicodeScalarView()
        var pending = false
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            if scalar == "\u{1B}" {
                dropEscapeSequence(&rest)
            } else if scalar.properties.isWhitespace {
                pending = !scalars.isEmpty
            } else if !isHidden(scalar) {
                if pending { scalars.append(" ") }
                pending = false
                scalars.append(scalar)
            }
        }
        let line = String(scalars)
        guard line.count > maxCharacters else { return line }
        return line.prefix(maxCharacters - 1) + "…"
    }

    /// Nil where nothing is left of the text.
    static func optionalLine(_ text: String, maxCharacters: Int = maxTextCharacters) -> String? {
        let line = line(text, maxCharacters: maxCharacters)
        return line.isEmpty ? nil : line
    }

    /// What follows an escape character as far as a terminal would swallow it. Source: ECMA-48, 5.4 (control sequences)
    /// and 5.6 (control strings).
    private static func dropEscapeSequence(_ rest: inout Substring.UnicodeScalarView) {
        switch rest.first {
        case "[":
            rest.removeFirst()
            while let next = rest.first, (0x20...0x3F).contains(next.value) { rest.removeFirst() }
            if let final = rest.first, (0x40...0x7E).contains(final.value) { rest.removeFirst() }
        case "]", "P", "X", "^", "_":
            let end = rest.firstIndex { $0 == "\u{07}" || $0 == "\u{1B}" || $0 == "\u{9C}" || $0 == "\n" }
            rest = end.map { rest[$0...] } ?? rest[rest.endIndex...]
            if rest.first == "\u{07}" || rest.first == "\u{9C}" { rest.removeFirst() }
        default:
            break
        }
    }

    private static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: true
        // The joiner makes one picture of several; all other format characters hide or reorder.
        case .format: scalar != "\u{200D}"
        default: false
        }
    }

    /// `4 min 12 s`; below a second in milliseconds.
    static func duration(_ duration: Duration) -> String {
        let milliseconds = max(0, duration.wholeMilliseconds)
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        let seconds = milliseconds / 1000
        if seconds < 10, milliseconds % 1000 >= 100 { return "\(seconds).\(milliseconds % 1000 / 100) s" }
        if seconds < 60 { return "\(seconds) s" }
        let (minutes, rest) = (seconds / 60, seconds % 60)
        if minutes < 60 { return rest == 0 ? "\(minutes) min" : "\(minutes) min \(rest) s" }
        return minutes % 60 == 0 ? "\(minutes / 60) h" : "\(minutes / 60) h \(minutes % 60) min"
    }

    /// `2026-11-21 09:00:00 UTC`.
    static func time(_ time: Timestamp) -> String {
        let text = Timestamp(secondsSinceEpoch: time.secondsSinceEpoch).description
        return text.prefix(10) + " " + text.dropFirst(11).dropLast() + " UTC"
    }

    /// A link that may be put behind a word: http or https, of printable ASCII, without user information; nil
    /// otherwise.
    static func link(_ url: String) -> String? {
        guard url.hasPrefix("https://") || url.hasPrefix("http://"), url.utf8.count <= 2000,
            url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"\"'<>`\\^{}|()[]".utf8.contains($0) })
        else { return nil }
        let authority = url.drop { $0 != ":" }.dropFirst(3).prefix { !"/?#".contains($0) }
        return authority.isEmpty || authority.contains("@") ? nil : url
    }
}
