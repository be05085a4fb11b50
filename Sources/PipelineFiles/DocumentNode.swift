// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// A parsed YAML or TOML document in which every key and value knows its place.
struct DocumentNode: Sendable {
    enum Content: Sendable {
        case null
        case boolean(Bool)
        case integer(Int)
        case number(Double)
        case text(String)
        case list([DocumentNode])
        case mapping([Entry])
        /// What no key of ours takes, such as a date of TOML; with its name.
        case other(String)
    }

    struct Entry: Sendable {
        var key: String
        var keyLocation: SourceLocation
        var value: DocumentNode
    }

    var content: Content
    var location: SourceLocation
    /// The value as it was written, where it was written plainly: `0755` and `1.0` keep their zeros.
    var raw: String = ""

    /// What the value is, for a message that says what was found.
    var kind: String {
        switch content {
        case .null: "nothing"
        case .boolean(let value): "\(value)"
        case .integer, .number: "the number \(raw)"
        case .text: "text"
        case .list: "a list"
        case .mapping: "a set of keys"
        case .other(let name): name
        }
    }

    var text: String? { if case .text(let value) = content { value } else { nil } }
    var integer: Int? { if case .integer(let value) = content { value } else { nil } }
    var boolean: Bool? { if case .boolean(let value) = content { value } else { nil } }
    var list: [DocumentNode]? { if case .list(let value) = content { value } else { nil } }
    var entries: [Entry]? { if case .mapping(let value) = content { value } else { nil } }
    var isNull: Bool { if case .null = content { true } else { false } }

    /// A scalar as text, the way it was written; nil for lists, sets of keys and nothing.
    var scalarText: String? {
        switch content {
        case .text(let value): value
        case .boolean(let value): raw.isEmpty ? "\(value)" : raw
        case .integer(let value): raw.isEmpty ? "\(value)" : raw
        case .number(let value): raw.isEmpty ? "\(value)" : raw
        case .null, .list, .mapping, .other: nil
        }
    }

    subscript(key: String) -> DocumentNode? {
        entries?.first { $0.key == key }?.value
    }

    func keyLocation(of key: String) -> SourceLocation {
        entries?.first { $0.key == key }?.keyLocation ?? location
    }

    /// The same value without its places.
    var json: JSONValue {
        switch content {
        case .null: .null
        case .boolean(let value): .bool(value)
        case .integer(let value): .integer(Int64(value))
        case .number(let value): .number(value)
        case .text(let value): .string(value)
        case .list(let values): .array(values.map(\.json))
        case .mapping(let entries):
            .object(Dictionary(entries.map { ($0.key, $0.value.json) }) { first, _ in first })
        case .other(let name): .string(name)
        }
    }
}

/// Limits of the files people write by hand; beyond them a file is a mistake or an attack.
package enum FileLimits {
    package static let maxFileBytes = 256 * 1024
    /// How deep lists and keys may be nested.
    package static let maxNesting = 64
    /// How many anchors and aliases a YAML file may hold; few enough that they can't multiply into a bomb.
    package static let maxAliases = 16
    /// How many diagnostics are kept of one file.
    package static let maxDiagnostics = 100
}
