// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Yams

/// Turns YAML text into a document, with limits on what can be hidden in it.
enum YAMLReading {
    /// Throws the one error after which nothing more can be read.
    static func document(_ text: String, path: String) throws(PipelineFileErrors) -> DocumentNode {
        let start = SourceLocation(path: path, line: 1, column: 1)
        try checkBounds(text, path: path)
        let root: Node?
        do {
            // No implicit types: the decoder knows what it wants, and Yams's resolver speaks YAML 1.1, where `no` is
            // false and `1:30` is ninety.
            root = try Yams.compose(yaml: text, .basic, .default, .utf8)
        } catch let error as YamlError {
            throw PipelineFileErrors([diagnostic(error, text: text, path: path)])
        } catch {
            throw PipelineFileErrors([Diagnostic(.error, at: start, "the file is not YAML: \(error)")])
        }
        guard let root else {
            throw PipelineFileErrors([
                Diagnostic(
                    .error, at: start, "the file is empty",
                    suggestion: "a pipeline needs at least version, app, fly_toml and build")
            ])
        }
        var errors: [Diagnostic] = []
        let document = convert(root, path: path, errors: &errors)
        guard errors.isEmpty else { throw PipelineFileErrors(errors) }
        return document
    }

    private static func convert(_ node: Node, path: String, errors: inout [Diagnostic]) -> DocumentNode {
        let location = SourceLocation(path: path, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
        switch node {
        case .scalar(let scalar):
            return DocumentNode(
                content: content(of: scalar, location: location, errors: &errors), location: location,
                raw: scalar.style == .plain ? scalar.string : "")
        case .sequence(let sequence):
            checkTag(sequence.tag, default: "tag:yaml.org,2002:seq", location, &errors)
            let elements = sequence.map { convert($0, path: path, errors: &errors) }
            return DocumentNode(content: .list(elements), location: location)
        case .mapping(let mapping):
            checkTag(mapping.tag, default: "tag:yaml.org,2002:map", location, &errors)
            var entries: [DocumentNode.Entry] = []
            for (key, value) in mapping {
                let place = SourceLocation(path: path, line: key.mark?.line ?? 1, column: key.mark?.column ?? 1)
                guard case .scalar(let name) = key else {
                    errors.append(Diagnostic(.error, at: place, "a key must be a plain word, not a list or keys"))
                    continue
                }
                let converted = convert(value, path: path, errors: &errors)
                entries.append(.init(key: name.string, keyLocation: place, value: converted))
            }
            return DocumentNode(content: .mapping(entries), location: location)
        case .alias:
            // Composing replaces aliases by what they stand for; nothing produces this case.
            return DocumentNode(content: .other("an alias"), location: location)
        }
    }

    private static func checkTag(
        _ tag: Tag, default name: String, _ location: SourceLocation, _ errors: inout [Diagnostic]
    ) {
        guard !tag.description.isEmpty, tag.description != name else { return }
        errors.append(
            Diagnostic(.error, at: location, "YAML tags are not supported", suggestion: "remove the “!” tag"))
    }

    /// The core schema of YAML 1.2, so that only `true`, `false`, numbers and nothing are not text.
    private static func content(
        of scalar: Node.Scalar, location: SourceLocation, errors: inout [Diagnostic]
    ) -> DocumentNode.Content {
        let tag = scalar.tag.description
        if tag == "tag:yaml.org,2002:str" || scalar.style != .plain && tag.isEmpty { return .text(scalar.string) }
        guard tag.isEmpty else {
            errors.append(
                Diagnostic(.error, at: location, "YAML tags are not supported", suggestion: "remove the “!” tag"))
            return .text(scalar.string)
        }
        switch scalar.string {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .boolean(true)
        case "false", "False", "FALSE": return .boolean(false)
        default: break
        }
        let body =
            scalar.string.utf8.first == UInt8(ascii: "-") ? scalar.string.utf8.dropFirst() : scalar.string.utf8[...]
        guard let first = body.first, first >= 0x30, first <= 0x39 else { return .text(scalar.string) }
        if body.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let value = Int(scalar.string) { return .integer(value) }
        if body.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || "eE.+-".utf8.contains($0) }),
            let value = Double(scalar.string), value.isFinite
        {
            return .number(value)
        }
        return .text(scalar.string)
    }

    // MARK: Limits

    /// Looks over the text before the parser does: recursion and aliases are bounded by what they need to be written.
    private static func checkBounds(_ text: String, path: String) throws(PipelineFileErrors) {
        var aliases = 0
        var flow = 0
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            func fail(_ column: Int, _ message: String, _ suggestion: String) throws(PipelineFileErrors) {
                let place = SourceLocation(path: path, line: number + 1, column: column)
                throw PipelineFileErrors([Diagnostic(.error, at: place, message, suggestion: suggestion)])
            }
            var previous: Unicode.Scalar = " "
            var quote: Unicode.Scalar?
            var dashes = 0
            var indent = 0
            var inIndent = true
            var column = 0
            for scalar in line.unicodeScalars {
                column += 1
                if scalar.value == 0 {
                    try fail(column, "the file holds a NUL character", "save it as UTF-8 text")
                }
                if inIndent {
                    if scalar == " " || scalar == "-" || scalar == "?" {
                        indent += scalar == " " ? 1 : 0
                        dashes += scalar == " " ? 0 : 1
                    } else {
                        inIndent = false
                    }
                    if indent + dashes > FileLimits.maxNesting * 4 {
                        try fail(column, "the line is indented too far", "nest at most \(FileLimits.maxNesting) deep")
                    }
                }
                if let open = quote {
                    if scalar == open { quote = nil }
                } else if scalar == "#", previous == " " || previous == "\t" {
                    break
                } else if scalar == "\"" || scalar == "'", " \t,[{:-".unicodeScalars.contains(previous) {
                    quote = scalar
                } else if scalar == "[" || scalar == "{" {
                    flow += 1
                    if flow > FileLimits.maxNesting {
                        try fail(
                            column, "lists and keys are nested too deep",
                            "nest at most \(FileLimits.maxNesting) deep")
                    }
                } else if scalar == "]" || scalar == "}" {
                    flow = max(0, flow - 1)
                } else if scalar == "*" || scalar == "&", " \t,[{:-?".unicodeScalars.contains(previous) {
                    aliases += 1
                    if aliases > FileLimits.maxAliases {
                        try fail(
                            column, "the file has too many anchors and aliases (“&” and “*”)",
                            "use at most \(FileLimits.maxAliases), or write the values out")
                    }
                }
                previous = scalar
            }
        }
    }

    // MARK: Syntax errors

    private static func diagnostic(_ error: YamlError, text: String, path: String) -> Diagnostic {
        let start = SourceLocation(path: path, line: 1, column: 1)
        func place(_ mark: Mark) -> SourceLocation {
            SourceLocation(path: path, line: max(1, mark.line), column: max(1, mark.column))
        }
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            if let tab = tabInIndent(text, upTo: mark.line) {
                return Diagnostic(
                    .error, at: SourceLocation(path: path, line: tab.line, column: tab.column),
                    "a tab character indents the line", suggestion: "YAML is indented with spaces only")
            }
            // The parser's context is a phrase of its own such as “while parsing a block mapping”.
            let whence = context.map { ", \($0.text) that starts in line \($0.mark.line)" } ?? ""
            return Diagnostic(.error, at: place(mark), "YAML syntax: \(problem)\(whence)")
        case .composer(_, let problem, let mark, _):
            return Diagnostic(.error, at: place(mark), "YAML syntax: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let key = duplicates.first ?? ""
            let second = secondOccurrence(of: key, after: context.mark, in: text) ?? context.mark.place
            return Diagnostic(
                .error, at: SourceLocation(path: path, line: second.line, column: second.column),
                "the key “\(key.prefix(40))” is there twice; first in line \(context.mark.line)",
                suggestion: "keep one of the two")
        case .reader(let problem, let offset, _, _):
            let before = text.prefix(offset ?? 0).split(separator: "\n", omittingEmptySubsequences: false)
            let spot = SourceLocation(
                path: path, line: max(1, before.count), column: (before.last?.unicodeScalars.count ?? 0) + 1)
            return Diagnostic(.error, at: spot, "the file is not readable as UTF-8 text: \(problem)")
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
            return Diagnostic(.error, at: start, "the file cannot be read as YAML")
        }
    }

    private static func tabInIndent(_ text: String, upTo last: Int) -> (line: Int, column: Int)? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).prefix(last)
        for (index, line) in lines.enumerated() {
            let indent = line.prefix { $0 == " " || $0 == "\t" }
            guard let tab = indent.firstIndex(of: "\t"), indent.count < line.count else { continue }
            return (index + 1, line.distance(from: line.startIndex, to: tab) + 1)
        }
        return nil
    }

    /// Yams names only the first of two equal keys; the second is the one to remove.
    private static func secondOccurrence(
        of key: String, after first: Mark, in text: String
    ) -> (line: Int, column: Int)? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.indices.contains(first.line - 1) else { return nil }
        let spellings = [key, "\"\(key)\"", "'\(key)'"]
        // In the block style the second stands in the same column of a later line; else it is in the same line.
        for (index, line) in lines.enumerated().dropFirst(first.line) {
            let scalars = line.unicodeScalars
            let indent = scalars.prefix { $0 == " " || $0 == "-" }.count
            guard indent + 1 == first.column else { continue }
            let rest = String(scalars.dropFirst(indent))
            if spellings.contains(where: { rest.hasPrefix($0 + ":") }) { return (index + 1, first.column) }
        }
        let line = Array(lines[first.line - 1].unicodeScalars)
        for spelling in spellings {
            let wanted = Array((spelling + ":").unicodeScalars)
            guard line.count > wanted.count, first.column < line.count - wanted.count + 1 else { continue }
            for start in first.column...(line.count - wanted.count)
            where Array(line[start..<(start + wanted.count)]) == wanted
                && " {,".unicodeScalars.contains(line[start - 1])
            {
                return (first.line, start + 1)
            }
        }
        return nil
    }
}

extension Mark {
    fileprivate var place: (line: Int, column: Int) { (line, column) }
}
