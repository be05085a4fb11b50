// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import TOMLKit

/// Turns TOML text into a document. TOMLKit reads the values; ``TOMLKeyScanner`` finds where they stand.
enum TOMLReading {
    /// Throws the one error after which nothing more can be read.
    static func document(_ text: String, path: String) throws(PipelineFileErrors) -> DocumentNode {
        try checkCharacters(text, path: path)
        var scanner = TOMLKeyScanner(text)
        scanner.scan()
        if let mistake = scanner.mistake {
            let place = SourceLocation(path: path, line: mistake.line, column: mistake.column)
            throw PipelineFileErrors([Diagnostic(.error, at: place, "TOML syntax: \(mistake.message)")])
        }
        let table: TOMLTable
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            let begin = error.source.begin
            let place = SourceLocation(path: path, line: max(1, begin.line), column: max(1, begin.column))
            throw PipelineFileErrors([Diagnostic(.error, at: place, "TOML syntax: \(oneLine(error.description))")])
        } catch {
            let place = SourceLocation(path: path, line: 1, column: 1)
            throw PipelineFileErrors([Diagnostic(.error, at: place, "the file is not TOML")])
        }
        return convert(table, at: [], scanner: scanner, path: path)
    }

    /// TOMLKit hands texts over as C strings, which a NUL would cut short without a word.
    private static func checkCharacters(_ text: String, path: String) throws(PipelineFileErrors) {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard line.utf8.contains(0) || line.contains("\\u0000") || line.contains("\\U00000000") else { continue }
            let place = SourceLocation(path: path, line: index + 1, column: 1)
            throw PipelineFileErrors([Diagnostic(.error, at: place, "the line holds a NUL character")])
        }
    }

    private static func oneLine(_ text: String) -> String {
        text.split(separator: "\n").joined(separator: " ")
    }

    private static func convert(
        _ table: TOMLTable, at parts: [TOMLKeyScanner.Part], scanner: TOMLKeyScanner, path: String
    ) -> DocumentNode {
        var entries: [DocumentNode.Entry] = []
        for key in table.keys {
            guard let value = table[key] else { continue }
            let inner = parts + [.key(key)]
            entries.append(
                .init(
                    key: key, keyLocation: scanner.keyLocation(of: inner, path: path),
                    value: convert(value, at: inner, scanner: scanner, path: path)))
        }
        // TOMLKit gives keys in the order of the alphabet; people read files from the top.
        entries.sort {
            ($0.keyLocation.line, $0.keyLocation.column, $0.key) < ($1.keyLocation.line, $1.keyLocation.column, $1.key)
        }
        return DocumentNode(content: .mapping(entries), location: scanner.keyLocation(of: parts, path: path))
    }

    private static func convert(
        _ value: any TOMLValueConvertible, at parts: [TOMLKeyScanner.Part], scanner: TOMLKeyScanner, path: String
    ) -> DocumentNode {
        let location = scanner.valueLocation(of: parts, path: path)
        func scalar(_ content: DocumentNode.Content, raw: String = "") -> DocumentNode {
            DocumentNode(content: content, location: location, raw: raw)
        }
        switch value.type {
        case .table:
            guard let table = value.table else { return scalar(.null) }
            return convert(table, at: parts, scanner: scanner, path: path)
        case .array:
            guard let array = value.array else { return scalar(.null) }
            let elements = (0..<array.count).map { index in
                convert(array[index], at: parts + [.index(index)], scanner: scanner, path: path)
            }
            return scalar(.list(elements))
        case .string: return scalar(.text(value.string ?? ""))
        case .int: return scalar(.integer(value.int ?? 0), raw: "\(value.int ?? 0)")
        case .double: return scalar(.number(value.double ?? 0), raw: "\(value.double ?? 0)")
        case .bool: return scalar(.boolean(value.bool ?? false))
        case .date: return scalar(.other("a date"))
        case .time: return scalar(.other("a time of day"))
        case .dateTime: return scalar(.other("a date with a time"))
        }
    }
}
