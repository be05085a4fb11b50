// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import PipelineFiles

/// Where things stand in a fly.toml, found by their words: what is decoded of the file no longer knows its lines.
package struct FlyTomlPlaces: Hashable, Sendable {
    private let path: String
    private let lines: [String]

    /// - Parameter text: the file's text; empty where it is not at hand, which places everything at its start.
    package init(path: String, text: String) {
        self.path = path
        // Any end of line: a file written elsewhere may have \r\n, which is one Character.
        lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map(String.init)
    }

    package var start: SourceLocation { SourceLocation(path: path, line: 1, column: 1) }

    /// The first place where the key is set to a value that the test takes, or that of a section's header with that
    /// name (`http_service`, `http_service.checks`); the file's start where there is none.
    package func place(of key: String, where test: (String) -> Bool = { _ in true }) -> SourceLocation {
        for (index, line) in lines.enumerated() {
            let code = FlyTomlPlaces.code(of: line)
            if let header = FlyTomlPlaces.header(in: code), header == key {
                return location(index, code.prefix { $0 == " " || $0 == "\t" }.count)
            }
            for (column, value) in FlyTomlPlaces.values(of: key, in: code) where test(value) {
                return location(index, column)
            }
        }
        return start
    }

    /// The first of several keys or sections that stands in the file; its start where none does.
    package func place(ofFirst keys: [String]) -> SourceLocation {
        for key in keys {
            let found = place(of: key)
            if found != start { return found }
        }
        return start
    }

    private func location(_ index: Int, _ column: Int) -> SourceLocation {
        SourceLocation(path: path, line: index + 1, column: column + 1)
    }

    /// A line without its comment; a `#` between quotes begins none.
    private static func code(of line: String) -> Substring {
        var quote: Character?
        for index in line.indices {
            switch (line[index], quote) {
            case ("\"", nil), ("'", nil): quote = line[index]
            case (let character, let open?) where character == open: quote = nil
            case ("#", nil): return line[..<index]
            default: break
            }
        }
        return line[...]
    }

    /// `http_service.checks` of `[[http_service.checks]]`.
    private static func header(in code: Substring) -> String? {
        let text = code.filter { $0 != " " && $0 != "\t" }
        guard text.hasPrefix("["), text.hasSuffix("]"), !text.contains("=") else { return nil }
        return text.filter { $0 != "[" && $0 != "]" && $0 != "\"" }
    }

    /// The values that a line gives a key, with the columns the key stands at; in inline tables too.
    private static func values(of key: String, in code: Substring) -> [(column: Int, value: String)] {
        var found: [(Int, String)] = []
        var rest = code
        while let range = rest.firstRange(of: key) {
            let before = range.lowerBound > code.startIndex ? code[code.index(before: range.lowerBound)] : " "
            let after = code[range.upperBound...].drop { $0 == " " || $0 == "\"" }
            if !(before.isLetter || before.isNumber || before == "_" || before == "-"), after.first == "=" {
                let value = after.dropFirst().drop { $0 == " " || $0 == "\t" }
                found.append((code.distance(from: code.startIndex, to: range.lowerBound), word(at: value)))
            }
            rest = code[range.upperBound...]
        }
        return found
    }

    /// A value without its quotes, up to where the next one may begin.
    private static func word(at text: Substring) -> String {
        if let quote = text.first, quote == "\"" || quote == "'" {
            return String(text.dropFirst().prefix { $0 != quote })
        }
        return String(text.prefix { $0 != "," && $0 != "}" && $0 != " " && $0 != "\t" })
    }
}
