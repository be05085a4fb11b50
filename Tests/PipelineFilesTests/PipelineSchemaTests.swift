// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import PipelineFiles

/// The JSON Schema beside the decoder: generated, committed, and of one mind with it.
@Suite struct PipelineSchemaTests {
    @Test func `the committed schema is the generated one`() throws {
        try Fixtures.expect(
            PipelineSchema.text(), equalsFileAt: Fixtures.repository + "/docs/pipeline.schema.json")
    }

    @Test func `every key says what it is`() {
        func visit(_ section: Section) {
            for key in section.keys {
                #expect(key.description.count > 8, "\(section.name).\(key.name) has no description")
                visit(key.shape)
            }
        }
        func visit(_ shape: Shape) {
            switch shape {
            case .section(let section): visit(section)
            case .list(let element, _): visit(element)
            case .map(let value): visit(value)
            case .either(let shapes): for shape in shapes { visit(shape) }
            case .text, .boolean, .integer, .fraction, .number, .duration, .choice, .octalMode, .scalar, .scalarText,
                .flyDuration, .anything:
                break
            }
        }
        visit(PipelineKeys.root)
    }

    /// Asks a validator that is not ours. Where Python has no jsonschema, there is nothing to ask, and it is said.
    @Test func `a foreign validator accepts the good and rejects the bad`() throws {
        let scratch = try Scratch()
        let schema = try scratch.write(PipelineSchema.text(), to: "schema.json")
        let good = try ["full.yml", "minimal.yml", "groups.yml"].map { try document(Fixtures.text($0)) }
        let bad =
            try PipelineErrorTests.Bad.types.map { try document($0.text) }
            + PipelineErrorTests.Bad.keys.filter { !$0.name.hasPrefix("a list as") }.map { try document($0.text) }
        let cases = try scratch.write(
            (["good": .array(good), "bad": .array(bad)] as JSONValue).text(), to: "cases.json")
        let script = """
            import json, sys
            try:
                import jsonschema
            except ImportError:
                print("skipped"); sys.exit(0)
            schema, cases = (json.load(open(name)) for name in sys.argv[1:3])
            jsonschema.Draft202012Validator.check_schema(schema)
            validator = jsonschema.Draft202012Validator(schema)
            for kind in ("good", "bad"):
                for index, case in enumerate(cases[kind]):
                    if validator.is_valid(case) != (kind == "good"):
                        print(kind, index, json.dumps(case), [e.message for e in validator.iter_errors(case)])
            """
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", script, schema, cases]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        if text.hasPrefix("skipped") || process.terminationStatus == 127 {
            return print("skipped: python3 has no jsonschema, so the schema was not checked by a foreign validator")
        }
        #expect(text == "", "the validator and the decoder disagree")
        #expect(process.terminationStatus == 0)
    }

    private func document(_ text: String) throws -> JSONValue {
        try YAMLReading.document(text, path: "p.yml").json
    }
}
