// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The JSON Schema of pipeline files, for editors.
package enum PipelineSchema {
    /// The schema's text, as `docs/pipeline.schema.json` holds it.
    package static func text() -> String { value().text(pretty: true) + "\n" }

    /// The schema (draft 2020-12), generated from the table of keys that the decoder reads.
    package static func value() -> JSONValue {
        var schema = object(PipelineKeys.root)
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["title"] = "Airboss pipeline"
        schema["description"] = "How one app in one environment is deployed."
        return schema
    }

    private static func object(_ section: Section) -> JSONValue {
        var properties: [String: JSONValue] = [:]
        for key in section.keys {
            var value = schema(of: key.shape)
            value["description"] = .string(key.description)
            properties[key.name] = value
        }
        var result: JSONValue = ["type": "object", "additionalProperties": false]
        result["properties"] = .object(properties)
        let required = section.keys.filter(\.isRequired).map { JSONValue.string($0.name) }
        if !required.isEmpty { result["required"] = .array(required) }
        if !section.alternatives.isEmpty {
            result["oneOf"] = .array(
                section.alternatives.map { chosen in
                    let others = section.alternatives.filter { $0 != chosen }.flatMap(\.self)
                    return [
                        "required": .array(chosen.map(JSONValue.string)),
                        "properties": .object(Dictionary(others.map { ($0, false) }) { first, _ in first }),
                    ]
                })
        }
        if section.isChoice {
            result["minProperties"] = 1
            result["maxProperties"] = 1
        }
        return result
    }

    private static func schema(of shape: Shape) -> JSONValue {
        switch shape {
        case .text(let rule): text(rule)
        case .boolean: ["type": "boolean"]
        case .integer(let range): integer(range)
        case .fraction: ["type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1]
        case .number: ["type": "number"]
        case .duration: ["type": "string", "pattern": "^(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"]
        case .choice(let words): ["type": "string", "enum": .array(words.map(JSONValue.string))]
        case .octalMode:
            ["anyOf": [["type": "string", "pattern": "^0?[0-7]{3}$"], ["type": "integer", "minimum": 0]]]
        case .list(let element, let minimum):
            minimum == 0
                ? ["type": "array", "items": schema(of: element)]
                : ["type": "array", "items": schema(of: element), "minItems": .integer(Int64(minimum))]
        case .map(let value): ["type": "object", "additionalProperties": schema(of: value)]
        case .section(let section): object(section)
        case .either(let shapes): ["anyOf": .array(shapes.map(schema(of:)))]
        case .scalar, .scalarText: ["type": ["string", "number", "boolean"]]
        case .flyDuration: ["type": ["string", "integer"]]
        case .anything: [:]
        }
    }

    private static func integer(_ range: ClosedRange<Int>) -> JSONValue {
        if range.lowerBound == range.upperBound { return ["const": .integer(Int64(range.lowerBound))] }
        return [
            "type": "integer", "minimum": .integer(Int64(range.lowerBound)),
            "maximum": .integer(Int64(range.upperBound)),
        ]
    }

    private static func text(_ rule: TextRule) -> JSONValue {
        switch rule.form {
        case .any: ["type": "string", "minLength": 1]
        case .possiblyEmpty: ["type": "string"]
        case .environmentName: ["type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"]
        case .httpPath, .absolutePath: ["type": "string", "pattern": "^/"]
        }
    }
}
