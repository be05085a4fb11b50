// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Reads the values of one section. A key that the table does not have traps: the table and the decoder are one.
struct SectionReader {
    let node: DocumentNode?
    let section: Section

    init(_ node: DocumentNode?, _ section: Section) {
        self.node = node
        self.section = section
    }

    /// The value of a key, if it is there and of the right kind.
    func value(_ key: String) -> DocumentNode? {
        guard let known = section[key] else { preconditionFailure("\(section.name) has no key \(key)") }
        guard let value = node?[key], known.shape.fits(value) else { return nil }
        return value
    }

    func reader(_ key: String, _ inner: Section) -> SectionReader {
        SectionReader(value(key), inner)
    }

    func readers(_ key: String, _ inner: Section) -> [SectionReader] {
        guard let value = value(key) else { return [] }
        return (value.list ?? [value]).map { SectionReader($0, inner) }
    }

    func string(_ key: String) -> String? { value(key)?.scalarText }
    func integer(_ key: String) -> Int? { value(key)?.integer }
    func boolean(_ key: String) -> Bool? { value(key)?.boolean }
    func duration(_ key: String) -> Duration? { value(key)?.text.flatMap(DurationText.parse) }
    func strings(_ key: String) -> [String] { (value(key)?.list ?? []).compactMap(\.scalarText) }

    func located(_ key: String) -> Located<String>? {
        value(key).flatMap { node in node.scalarText.map { Located($0, at: node.location) } }
    }

    func locatedList(_ key: String) -> [Located<String>] {
        (value(key)?.list ?? []).compactMap { node in node.scalarText.map { Located($0, at: node.location) } }
    }

    func text(_ key: String) -> EnvironmentText? { value(key).flatMap(SectionReader.text) }
    func texts(_ key: String) -> [EnvironmentText] { (value(key)?.list ?? []).compactMap(SectionReader.text) }

    func textMap(_ key: String) -> [String: EnvironmentText] {
        let pairs = (value(key)?.entries ?? []).compactMap { entry in
            SectionReader.text(entry.value).map { (entry.key, $0) }
        }
        return Dictionary(pairs) { first, _ in first }
    }

    func integers(_ key: String) -> [Int]? {
        value(key).map { node in (node.list ?? [node]).compactMap(\.integer) }
    }

    private static func text(_ node: DocumentNode) -> EnvironmentText? {
        node.scalarText.map { EnvironmentText($0, at: node.location) }
    }
}
