// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// JSON that is not what the API promises; the message names the member, never its value.
struct UnexpectedShape: Error {
    var message: String
}

extension JSONValue {
    func requiredString(_ key: String) throws(UnexpectedShape) -> String {
        guard let value = self[key]?.string, !value.isEmpty else {
            throw UnexpectedShape(message: "“\(key)” is missing in the answer, or no text")
        }
        return value
    }

    /// The elements of an array; also of null, which is how Go writes an array that was never filled.
    func elements(_ what: String) throws(UnexpectedShape) -> [JSONValue] {
        switch self {
        case .array(let elements): return elements
        case .null: return []
        case .bool, .integer, .number, .string, .object:
            throw UnexpectedShape(message: "\(what) came as something else than a list")
        }
    }

    /// The value where it is an object. Not written with a conditional: there `nil` would be JSON's null.
    var ifObject: JSONValue? {
        guard case .object = self else { return Optional.none }
        return self
    }

    /// Text, also where a number was sent: some of the platform's ids are either.
    var identifierText: String? {
        switch self {
        case .string(let text): text.isEmpty ? nil : text
        case .integer(let number): String(number)
        case .null, .bool, .number, .array, .object: nil
        }
    }
}
