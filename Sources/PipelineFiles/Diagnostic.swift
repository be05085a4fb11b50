// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// A place in a file that a person can open.
package struct SourceLocation: Hashable, Codable, Sendable {
    package var path: String
    /// Counted from 1.
    package var line: Int
    /// Counted from 1, in Unicode scalars.
    package var column: Int

    package init(path: String, line: Int, column: Int) {
        self.path = path
        self.line = line
        self.column = column
    }
}

extension SourceLocation: CustomStringConvertible {
    package var description: String { "\(path):\(line):\(column)" }
}

/// One thing a person should know about a file, with its place and what to do about it.
package struct Diagnostic: Hashable, Codable, Sendable {
    package enum Severity: String, Codable, Sendable {
        case warning
        case error
    }

    package var path: String
    /// Counted from 1.
    package var line: Int
    /// Counted from 1, in Unicode scalars.
    package var column: Int
    package var severity: Severity
    /// What is wrong, in one sentence without a full stop at its end; never a secret.
    package var message: String
    /// What to do about it; empty where nothing sensible can be said.
    package var suggestion: String

    package init(_ severity: Severity, at location: SourceLocation, _ message: String, suggestion: String = "") {
        path = location.path
        line = location.line
        column = location.column
        self.severity = severity
        self.message = message
        self.suggestion = suggestion
    }

    package var location: SourceLocation { SourceLocation(path: path, line: line, column: column) }
}

extension Diagnostic: CustomStringConvertible {
    /// `path:line:column: error: message`, and the suggestion on a line of its own.
    package var description: String {
        "\(location): \(severity.rawValue): \(message)" + (suggestion.isEmpty ? "" : "\n  " + suggestion)
    }
}

/// Everything that is wrong with a pipeline and the files it names, in the order of the files' lines.
package struct PipelineFileErrors: Error, Hashable, Sendable {
    package var diagnostics: [Diagnostic]

    package init(_ diagnostics: [Diagnostic]) {
        self.diagnostics = diagnostics
    }

    /// The same as an error of the exit code 78.
    package var airbossError: AirbossError {
        let errors = diagnostics.filter { $0.severity == .error }
        guard let first = errors.first else { return AirbossError(.configuration, "the pipeline is not valid") }
        guard errors.count > 1 else {
            return AirbossError(
                .configuration, first.message, hint: first.suggestion, location: first.location.description)
        }
        return AirbossError(
            .configuration, "the pipeline is not valid; \(errors.count) errors",
            hint: errors.map(\.description).joined(separator: "\n  "), location: first.path)
    }
}

extension PipelineFileErrors: CustomStringConvertible {
    package var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

/// A value and the place it was read from, for whoever has to say what is wrong with it.
package struct Located<Value: Hashable & Codable & Sendable>: Hashable, Codable, Sendable {
    package var value: Value
    package var location: SourceLocation

    package init(_ value: Value, at location: SourceLocation) {
        self.value = value
        self.location = location
    }
}
