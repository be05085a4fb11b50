// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Finds where keys and values of a TOML file stand, as far as the file is valid.
///
/// It goes before the parser, because there are mistakes (a header that names nothing, a value that cannot be one) at
/// which the parser aborts the process instead of reporting them. Up to a file's first mistake the two see the same.
struct TOMLKeyScanner {
    enum Part: Hashable {
        case key(String)
        case index(Int)
    }

    private struct Place {
        var line: Int
        var column: Int
    }

    private let scalars: [Unicode.Scalar]
    private var position = 0
    private var line = 1
    private var column = 1
    private var keys: [[Part]: Place] = [:]
    private var values: [[Part]: Place] = [:]
    /// The index of the newest element of each array of tables.
    private var newest: [[Part]: Int] = [:]

    /// The first mistake that the parser would not survive.
    private(set) var mistake: (line: Int, column: Int, message: String)?

    init(_ text: String) {
        scalars = Array(text.unicodeScalars)
    }

    /// The place of a key; of the nearest enclosing key where the scanner knows none.
    func keyLocation(of parts: [Part], path: String) -> SourceLocation { find(parts, first: keys, path) }

    /// The place of a value; that of its key for tables that are written as a header.
    func valueLocation(of parts: [Part], path: String) -> SourceLocation { find(parts, first: values, path) }

    private func find(_ parts: [Part], first: [[Part]: Place], _ path: String) -> SourceLocation {
        var rest = parts
        if let place = first[rest] { return SourceLocation(path: path, line: place.line, column: place.column) }
        while !rest.isEmpty {
            if let place = keys[rest] { return SourceLocation(path: path, line: place.line, column: place.column) }
            rest.removeLast()
        }
        return SourceLocation(path: path, line: 1, column: 1)
    }

    mutating func scan() {
        var table: [Part] = []
        while true {
            skip { $0 == " " || $0 == "\t" || $0 == "\r" || $0 == "\n" }
            guard let next = peek() else { return }
            switch next {
            case "#": skip { $0 != "\n" }
            case "[": table = header()
            default:
                let before = position
                entry(in: table)
                if position == before { advance() }  // never stand still, whatever the parser let through
            }
        }
    }

    private mutating func header() -> [Part] {
        advance()
        blanks()
        let isArray = peek() == "["
        if isArray { advance() }
        blanks()
        expect("a table's header must name a key") { TOMLKeyScanner.isBare($0) || "\"']".unicodeScalars.contains($0) }
        var path: [Part] = []
        let names = dottedKey()
        for (offset, name) in names.enumerated() {
            path.append(.key(name.text))
            if keys[path] == nil { keys[path] = name.place }
            if isArray, offset == names.count - 1 {
                let index = (newest[path] ?? -1) + 1
                newest[path] = index
                path.append(.index(index))
                keys[path] = name.place
            } else if let index = newest[path] {
                path.append(.index(index))
            } else if offset == names.count - 1 {
                // The header itself, not one that merely passed through, is where the table stands.
                keys[path] = name.place
            }
        }
        skip { $0 != "\n" }
        return path
    }

    private mutating func entry(in table: [Part]) {
        var path = table
        for name in dottedKey() {
            path.append(.key(name.text))
            if keys[path] == nil { keys[path] = name.place }
        }
        blanks()
        if peek() == "=" { advance() }
        blanks()
        value(at: path)
    }

    private mutating func dottedKey() -> [(text: String, place: Place)] {
        var names: [(String, Place)] = []
        while let next = peek() {
            blanks()
            let place = Place(line: line, column: column)
            if next == "\"" || next == "'" || peek() == "\"" || peek() == "'" {
                names.append((quoted(), place))
            } else {
                var text = ""
                while let scalar = peek(), TOMLKeyScanner.isBare(scalar) {
                    text.unicodeScalars.append(scalar)
                    advance()
                }
                guard !text.isEmpty else { break }
                names.append((text, place))
            }
            blanks()
            guard peek() == "." else { break }
            advance()
        }
        return names
    }

    private mutating func value(at path: [Part]) {
        values[path] = Place(line: line, column: column)
        expect("a value is missing") { TOMLKeyScanner.isDigit($0) || "\"'[{+-.tfinTFIN".unicodeScalars.contains($0) }
        switch peek() {
        case "\"", "'":
            _ = quoted()
        case "[":
            advance()
            var index = 0
            while true {
                gap()
                guard let next = peek() else { return }
                if next == "]" {
                    advance()
                    return
                }
                if next == "," {
                    advance()
                    continue
                }
                let before = position
                value(at: path + [.index(index)])
                index += 1
                if position == before { advance() }
            }
        case "{":
            advance()
            while true {
                gap()
                guard let next = peek() else { return }
                if next == "}" {
                    advance()
                    return
                }
                if next == "," {
                    advance()
                    continue
                }
                let before = position
                entry(in: path)
                if position == before { advance() }
            }
        default:
            skip { !",]}#\n".unicodeScalars.contains($0) }
        }
    }

    /// A quoted text of one or several lines; its content, without escapes being resolved.
    private mutating func quoted() -> String {
        guard let quote = peek() else { return "" }
        let isLong =
            position + 2 < scalars.count && scalars[position + 1] == quote && scalars[position + 2] == quote
        for _ in 0..<(isLong ? 3 : 1) { advance() }
        var text = ""
        while let scalar = peek() {
            if scalar == "\\", quote == "\"" {
                advance()
                if let escaped = peek() { text.unicodeScalars.append(escaped) }
                advance()
                continue
            }
            if scalar == quote {
                if !isLong {
                    advance()
                    break
                }
                var run = 0
                while peek() == quote {
                    run += 1
                    advance()
                }
                if run >= 3 { break }
                continue
            }
            text.unicodeScalars.append(scalar)
            advance()
        }
        return text
    }

    private mutating func expect(_ message: String, _ condition: (Unicode.Scalar) -> Bool) {
        guard mistake == nil, let next = peek(), !condition(next) else { return }
        mistake = (line, column, message)
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func isBare(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar == "-" || ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
            || isDigit(scalar)
    }

    /// Blanks, line ends and comments between the elements of an array.
    private mutating func gap() {
        while let next = peek() {
            if next == "#" {
                skip { $0 != "\n" }
            } else if next == " " || next == "\t" || next == "\r" || next == "\n" {
                advance()
            } else {
                return
            }
        }
    }

    private mutating func blanks() { skip { $0 == " " || $0 == "\t" } }

    private func peek() -> Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    private mutating func advance() {
        guard position < scalars.count else { return }
        if scalars[position] == "\n" {
            line += 1
            column = 1
        } else {
            column += 1
        }
        position += 1
    }

    private mutating func skip(while condition: (Unicode.Scalar) -> Bool) {
        while let next = peek(), condition(next) { advance() }
    }
}
