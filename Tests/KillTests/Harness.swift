// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model

@testable import FlySimulator

/// The programs of `Benchmarks/RealKills`, with the airboss that lies beside the tests.
enum Harness {
    struct Trouble: Error, CustomStringConvertible {
        var description: String
    }

    struct Report: Sendable {
        /// 0: all is well; 1: violations; 2: the harness itself failed.
        var status: Int32
        /// What it printed.
        var output: String
        var json: JSONValue
    }

    static let airboss: String = {
        let bundle = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let candidates = [bundle] + CommandLine.arguments.map { URL(filePath: $0).deletingLastPathComponent() }
        let paths = candidates.map { $0.appending(path: "airboss").path }
        return paths.first { FileManager.default.isExecutableFile(atPath: $0) } ?? paths[0]
    }()

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Benchmarks/RealKills").path

    /// Whether this machine has what the harness needs; prints why not.
    static let canRun: Bool = {
        do {
            for tool in ["python3", "git", "cc"] {
                if let problem = try Launch.run(["sh", "-c", "command -v \(tool) >/dev/null"]) {
                    throw Trouble(description: "\(tool) is not installed \(problem)")
                }
            }
            _ = try Sandbox.probe(in: NSTemporaryDirectory())
            return true
        } catch {
            print("skipped: kills of the real program: \(error)")
            return false
        }
    }()

    /// Runs one of them to its end, which no thread of the cooperative pool waits for.
    static func run(_ program: String, _ arguments: [String]) async throws -> Report {
        let place = NSTemporaryDirectory() + "airboss-kill-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        // A leftover costs only room.
        defer { try? FileManager.default.removeItem(atPath: place) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["python3", "\(folder)/\(program)", "--airboss", airboss, "--json", "\(place)/report.json"] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(["PYTHONDONTWRITEBYTECODE": "1"]) { $1 }
        guard FileManager.default.createFile(atPath: "\(place)/output", contents: nil) else {
            throw Trouble(description: "\(place) is not writable")
        }
        let output = try FileHandle(forWritingTo: URL(filePath: "\(place)/output"))
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        let status = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do {
                try process.run()
            } catch {
                continuation.resume(throwing: error)
            }
        }
        let text = String(decoding: FileManager.default.contents(atPath: "\(place)/output") ?? Data(), as: UTF8.self)
        guard let report = FileManager.default.contents(atPath: "\(place)/report.json") else {
            throw Trouble(description: "\(program) ended with \(status) and wrote no report:\n\(text)")
        }
        return Report(status: status, output: text, json: try JSONValue(parsing: report))
    }
}
