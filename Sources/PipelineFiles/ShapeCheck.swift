// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Compares a document with its table of keys and collects everything that does not fit.
struct ShapeCheck {
    /// What the file is called in messages about unknown keys: `pipeline` or `fly.toml`.
    let document: String
    private(set) var diagnostics: [Diagnostic] = []
    /// Where each value stands, by its path: `deploy.serving_floor`, `verify.smoke[0].path`.
    private(set) var locations: [String: SourceLocation] = [:]

    init(document: String) {
        self.document = document
    }

    mutating func report(_ diagnostic: Diagnostic) {
        diagnostics.append(diagnostic)
    }

    mutating func check(_ node: DocumentNode, against section: Section, path: String = "") {
        guard let entries = node.entries else {
            return mismatch(node, .section(section), name: section.name)
        }
        let allowed = section.keys.filter { if case .unsupported = $0.standing { false } else { true } }.map(\.name)
        var present: [DocumentNode.Entry] = []
        for entry in entries {
            guard let key = section[entry.key] else {
                unknown(entry, in: section, allowed: allowed)
                continue
            }
            let inner = path.isEmpty ? entry.key : path + "." + entry.key
            locations[inner] = entry.value.location
            switch key.standing {
            case .irrelevant: continue
            case .unsupported(let advice):
                report(
                    Diagnostic(
                        .error, at: entry.keyLocation,
                        "“\(inner)” is not supported, and leaving it out would change what is deployed",
                        suggestion: advice))
            case .used:
                present.append(entry)
                check(entry.value, against: key.shape, path: inner, name: entry.key, place: entry.keyLocation)
            }
        }
        for key in section.keys where key.isRequired && node[key.name] == nil {
            report(
                Diagnostic(
                    .error, at: node.location,
                    "“\(key.name)” is missing" + (path.isEmpty ? "" : " in \(section.name)"),
                    suggestion: key.description.isEmpty ? "" : "\(key.name): \(key.description)"))
        }
        if section.isChoice { checkChoice(node, present, section) }
        if !section.alternatives.isEmpty { checkAlternatives(node, present, section) }
    }

    private mutating func checkAlternatives(
        _ node: DocumentNode, _ present: [DocumentNode.Entry], _ section: Section
    ) {
        let ways = section.alternatives.map { $0.joined(separator: " and ") }.joined(separator: ", or ")
        func way(of key: String) -> [String]? { section.alternatives.first { $0.contains(key) } }
        guard let first = present.first(where: { way(of: $0.key) != nil }), let chosen = way(of: first.key) else {
            report(Diagnostic(.error, at: node.location, "\(section.name) needs \(ways)"))
            return
        }
        if let other = present.first(where: { way(of: $0.key).map { $0 != chosen } ?? false }) {
            report(
                Diagnostic(
                    .error, at: other.keyLocation, "\(section.name) has both “\(first.key)” and “\(other.key)”",
                    suggestion: "keep \(ways)"))
        }
        for key in chosen where node[key] == nil {
            report(
                Diagnostic(
                    .error, at: node.location, "“\(key)” is missing in \(section.name)",
                    suggestion: section[key].map { "\(key): \($0.description)" } ?? ""))
        }
    }

    private mutating func checkChoice(_ node: DocumentNode, _ present: [DocumentNode.Entry], _ section: Section) {
        let names = section.keys.map(\.name).joined(separator: ", ")
        if present.isEmpty {
            report(Diagnostic(.error, at: node.location, "\(section.name) needs exactly one of \(names)"))
        }
        for extra in present.dropFirst() {
            report(
                Diagnostic(
                    .error, at: extra.keyLocation,
                    "\(section.name) has two kinds, “\(present[0].key)” and “\(extra.key)”",
                    suggestion: "keep exactly one of \(names)"))
        }
    }

    private mutating func unknown(_ entry: DocumentNode.Entry, in section: Section, allowed: [String]) {
        let place = section.name.isEmpty ? "a \(document)" : section.name
        if entry.key == "<<" {
            return report(
                Diagnostic(
                    .error, at: entry.keyLocation, "merge keys (“<<”) are not supported",
                    suggestion: "write the keys out"))
        }
        let nearest = Nearest.name(to: entry.key, among: allowed)
        report(
            Diagnostic(
                .error, at: entry.keyLocation, "“\(entry.key.prefix(60))” is not a key of \(place)",
                suggestion: (nearest.map { "did you mean “\($0)”? " } ?? "")
                    + "allowed here: \(allowed.joined(separator: ", "))"))
    }

    private mutating func mismatch(
        _ node: DocumentNode, _ shape: Shape, name: String, place: SourceLocation? = nil, suggestion: String = ""
    ) {
        let location = node.isNull ? (place ?? node.location) : node.location
        guard !node.isNull else {
            return report(
                Diagnostic(
                    .error, at: location, "“\(name)” has no value; expected \(shape.expectation)",
                    suggestion: "give it one, or remove the key"))
        }
        report(
            Diagnostic(
                .error, at: location, "“\(name)” is \(node.kind); expected \(shape.expectation)",
                suggestion: suggestion))
    }

    private mutating func check(
        _ node: DocumentNode, against shape: Shape, path: String, name: String, place: SourceLocation
    ) {
        guard shape.fits(node) else {
            return mismatch(node, shape, name: name, place: place, suggestion: advice(node, shape))
        }
        func fail(_ message: String, _ suggestion: String = "") -> Diagnostic {
            Diagnostic(.error, at: node.location, message, suggestion: suggestion)
        }
        switch shape {
        case .boolean, .number, .scalar, .anything:
            break
        case .text(let rule), .scalarText(let rule):
            check(node, against: rule, name: name)
        case .integer(let range):
            guard let value = node.integer, !range.contains(value) else { break }
            report(fail("“\(name)” is \(node.raw); it must be \(words(range))"))
        case .fraction:
            guard case .number(let value) = node.content, value <= 0 || value >= 1 else { break }
            report(fail("“\(name)” is \(node.raw); a fraction must be above 0 and below 1", "write a whole number"))
        case .duration(let range):
            guard let text = node.text else { break }
            guard let value = DurationText.parse(text) else {
                report(fail("“\(name)” is not a duration: “\(text.prefix(40))”", "write it like 500ms, 10s, 5m, 1h30m"))
                break
            }
            if !range.contains(value) {
                let low = DurationText.words(range.lowerBound)
                report(fail("“\(name)” is \(text); it must be from \(low) to \(DurationText.words(range.upperBound))"))
            }
        case .choice(let words):
            guard let text = node.text, !words.contains(text) else { break }
            let nearest = Nearest.name(to: text, among: words).map { "did you mean “\($0)”? " } ?? ""
            report(
                fail(
                    "“\(name)” is “\(text.prefix(40))”; expected one of \(words.joined(separator: ", "))",
                    nearest.trimmed))
        case .octalMode:
            if OctalMode.parse(node) == nil {
                report(fail("“\(name)” is not a file mode; expected \(shape.expectation)", "write three octal digits"))
            }
        case .list(let element, let minimum):
            let elements = node.list ?? []
            if elements.count < minimum {
                report(fail("“\(name)” is empty", "give it at least \(minimum == 1 ? "one" : "\(minimum)")"))
            }
            for (index, value) in elements.enumerated() {
                let inner = "\(path)[\(index)]"
                locations[inner] = value.location
                check(value, against: element, path: inner, name: name, place: value.location)
            }
        case .map(let value):
            for entry in node.entries ?? [] {
                let inner = path + "." + entry.key
                locations[inner] = entry.value.location
                check(entry.value, against: value, path: inner, name: entry.key, place: entry.keyLocation)
            }
        case .section(let section):
            check(node, against: section, path: path)
        case .either(let shapes):
            guard let shape = shapes.first(where: { $0.fits(node) }) else { break }
            check(node, against: shape, path: path, name: name, place: place)
        case .flyDuration:
            guard let text = node.text, DurationText.parseGo(text) == nil else { break }
            report(fail("“\(name)” is not a duration: “\(text.prefix(40))”", "write it like \"10s\" or \"1m30s\""))
        }
    }

    private mutating func check(_ node: DocumentNode, against rule: TextRule, name: String) {
        guard let text = node.scalarText else { return }
        func fail(_ message: String, _ suggestion: String = "") {
            report(Diagnostic(.error, at: node.location, message, suggestion: suggestion))
        }
        if rule.readsEnvironment {
            if case .failure(let malformed) = EnvironmentText.parts(of: text) {
                return fail("“\(name)”: \(malformed.reason)", "write ${NAME}, ${NAME:-default}, or $$ for a dollar")
            }
        } else if document == PipelineKeys.document, text.contains("${") {
            return fail("“\(name)” cannot be read from the environment", "write the value itself")
        }
        switch rule.form {
        case .possiblyEmpty:
            break
        case .any:
            if text.isEmpty { fail("“\(name)” is empty") }
        case .environmentName:
            if !EnvironmentText.isName(text) { fail("“\(name)” is not a variable's name: letters, digits and _ only") }
        case .httpPath:
            if !text.hasPrefix("/") { fail("“\(name)” must start with “/”") }
        case .absolutePath:
            if !text.hasPrefix("/") { fail("“\(name)” must be an absolute path", "start it with “/”") }
        }
    }

    private func advice(_ node: DocumentNode, _ shape: Shape) -> String {
        switch (shape, node.content) {
        case (.boolean, .text(let text)) where ["yes", "on", "y"].contains(text.lowercased()): "write true"
        case (.boolean, .text(let text)) where ["no", "off", "n"].contains(text.lowercased()): "write false"
        case (.duration, .integer): "add a unit: \(node.raw)s or \(node.raw)m"
        case (.text, .integer), (.text, .number), (.text, .boolean): "put it in quotes"
        case (.list, .text), (.list, .integer):
            "put it in brackets: [\(shape.expectation.hasSuffix("texts") ? "…" : node.raw)]"
        case (.either, .text(let text)) where text.hasSuffix("%"):
            text.dropLast().isEmpty ? "" : "write a fraction: 50% is 0.5"
        default: ""
        }
    }

    private func words(_ range: ClosedRange<Int>) -> String {
        range.upperBound == .max ? "at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
    }
}

/// File permissions as people write them: three octal digits, with or without a zero before them.
enum OctalMode {
    static func parse(_ node: DocumentNode) -> Int? {
        let text = node.text ?? node.raw
        guard text.utf8.count == 3 || (text.utf8.count == 4 && text.hasPrefix("0")) else { return nil }
        return Int(text, radix: 8)
    }
}

extension String {
    /// The text without blanks at its end.
    fileprivate var trimmed: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
