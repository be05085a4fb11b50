// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Text of a pipeline file in which `${NAME}` and `${NAME:-default}` stand for the environment; `$$` is one dollar.
///
/// It is kept as it was written and resolved only when used, so that a decoded pipeline holds no secret.
package struct EnvironmentText: Hashable, Codable, Sendable {
    /// The text as it stands in the file.
    package let source: String
    package let location: SourceLocation

    enum Part: Hashable {
        case literal(String)
        case variable(name: String, fallback: String?)
    }

    /// Why a text is not well formed, and where in it (in Unicode scalars from its start).
    struct Malformed: Error, Hashable {
        var reason: String
        var offset: Int
    }

    package init(_ source: String, at location: SourceLocation) {
        self.source = source
        self.location = location
    }

    /// The names of the variables the text reads, in their order.
    package var variables: [String] {
        guard case .success(let parts) = EnvironmentText.parts(of: source) else { return [] }
        return parts.compactMap { if case .variable(let name, _) = $0 { name } else { nil } }
    }

    /// The text with its variables replaced; an unset or empty variable without a default throws
    /// ``PipelineFileErrors`` that names file, line, column and variable, and no value.
    package func resolve(in environment: [String: String]) throws(PipelineFileErrors) -> String {
        var result = ""
        switch EnvironmentText.parts(of: source) {
        case .failure(let malformed):
            throw PipelineFileErrors([Diagnostic(.error, at: location, malformed.reason)])
        case .success(let parts):
            for part in parts {
                switch part {
                case .literal(let text):
                    result += text
                case .variable(let name, let fallback):
                    if let value = environment[name], !value.isEmpty {
                        result += value
                    } else if let fallback {
                        result += fallback
                    } else {
                        throw unset(name, isEmpty: environment[name] != nil)
                    }
                }
            }
        }
        return result
    }

    private func unset(_ name: String, isEmpty: Bool) -> PipelineFileErrors {
        PipelineFileErrors([
            Diagnostic(
                .error, at: location, "the environment variable \(name) is \(isEmpty ? "empty" : "not set")",
                suggestion: "set \(name), or write ${\(name):-DEFAULT} if it may be missing")
        ])
    }

    /// Splits a text at its variables.
    static func parts(of source: String) -> Result<[Part], Malformed> {
        var parts: [Part] = []
        var literal = ""
        let scalars = Array(source.unicodeScalars)
        var index = 0
        while index < scalars.count {
            guard scalars[index] == "$", index + 1 < scalars.count else {
                literal.unicodeScalars.append(scalars[index])
                index += 1
                continue
            }
            if scalars[index + 1] == "$" {
                literal += "$"
                index += 2
            } else if scalars[index + 1] == "{" {
                guard let end = scalars[index...].firstIndex(of: "}") else {
                    return .failure(Malformed(reason: "“${” has no closing “}”", offset: index))
                }
                let inner = text(scalars[(index + 2)..<end])
                switch variable(inner) {
                case .success(let part):
                    if !literal.isEmpty { parts.append(.literal(literal)) }
                    literal = ""
                    parts.append(part)
                case .failure(let malformed):
                    return .failure(Malformed(reason: malformed.reason, offset: index))
                }
                index = end + 1
            } else {
                literal += "$"
                index += 1
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        return .success(parts)
    }

    private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    private static func variable(_ inner: String) -> Result<Part, Malformed> {
        var name = Substring(inner)
        var fallback: String?
        if let colon = inner.firstIndex(of: ":") {
            name = inner[..<colon]
            let rest = inner[inner.index(after: colon)...]
            guard rest.hasPrefix("-") else {
                return .failure(Malformed(reason: "after the name, only “:-” and a default may follow", offset: 0))
            }
            fallback = String(rest.dropFirst())
        }
        guard isName(String(name)) else {
            return .failure(
                Malformed(
                    reason: name.isEmpty
                        ? "“${” names no variable"
                        : "“${” must be followed by a variable's name: letters, digits and _", offset: 0))
        }
        if fallback?.contains("${") == true {
            return .failure(Malformed(reason: "a default cannot hold another “${”", offset: 0))
        }
        return .success(.variable(name: String(name), fallback: fallback))
    }

    /// Whether a text can name an environment variable.
    static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, !(first >= 0x30 && first <= 0x39) else { return false }
        return text.utf8.allSatisfy {
            ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x5F
        }
    }
}

extension EnvironmentText: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Where the text is and what it reads; never the text, which may hold a secret.
    package var description: String {
        "text at \(location)" + (variables.isEmpty ? "" : " of " + variables.joined(separator: ", "))
    }

    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
