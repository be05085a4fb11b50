// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Model
import Testing

@testable import PipelineFiles

/// Where the test files are, and how expected texts are compared.
enum Fixtures {
    /// The real folder of this file: a checkout may be looked at through symbolic links.
    static let folder = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "Fixtures").path

    static let repository = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    static func text(_ name: String) throws -> String {
        try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
    }

    static func flyToml(_ name: String) throws -> FlyToml {
        try FlyToml(parsing: text(name), path: name) { path in
            // A missing file is what the tests of the error give; anything else is a broken fixture.
            guard let data = FileManager.default.contents(atPath: folder + "/" + path) else {
                return .failure(FlyToml.FileProblem("there is no such file"))
            }
            return .success(Array(data))
        }
    }

    /// Compares a text with the file that holds what is expected. With RECORD_GOLDENS=1 a missing file is written.
    static func expect(_ actual: String, equalsFileAt path: String, location: Testing.SourceLocation = #_sourceLocation)
        throws
    {
        if ProcessInfo.processInfo.environment["RECORD_GOLDENS"] == "1", !FileManager.default.fileExists(atPath: path) {
            try Data(actual.utf8).write(to: URL(filePath: path))
        }
        let expected = try String(contentsOfFile: path, encoding: .utf8)
        #expect(actual == expected, sourceLocation: location)
    }
}

/// A folder that is removed when the test is done with it.
struct Scratch: ~Copyable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "pipeline-files-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // What is left in the temporary folder is the system's to clean.
        try? FileManager.default.removeItem(atPath: path)
    }

    func write(_ text: String, to name: String) throws -> String {
        try write(Array(text.utf8), to: name)
    }

    func write(_ bytes: [UInt8], to name: String) throws -> String {
        let file = path + "/" + name
        try Data(bytes).write(to: URL(filePath: file))
        return file
    }
}

extension JSONValue {
    /// A value after a trip through JSON text.
    static func coding<Value: Codable>(_ value: Value) throws -> Value {
        try JSONDecoder().decode(Value.self, from: JSONEncoder().encode(value))
    }
}
