// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Testing

/// A state store as somebody else's program sees it: Python's SQLite.
enum SQLiteFile {
    static let canBeUsed = Surroundings.has("python3", for: "tests that change a state store from outside")

    /// Runs statements; returns the rows of the last, one a line, values separated by `|`.
    @discardableResult
    static func run(_ path: String, _ statements: String...) async throws -> String {
        let script = """
            import sqlite3, sys
            base = sqlite3.connect(sys.argv[1], isolation_level=None)
            rows = []
            for statement in sys.argv[2:]:
                rows = base.execute(statement).fetchall()
            for row in rows:
                print("|".join(str(value) for value in row))
            """
        let outcome = try await RunningProgram.run(["python3", "-c", script, path] + statements)
        guard outcome.status == 0 else { throw Trouble("SQLite: \(outcome.errors)") }
        return outcome.output.trimmingCharacters(in: .newlines)
    }

    /// A process that keeps the file's write lock until it is ended.
    static func lock(_ path: String) async throws -> RunningProgram {
        let script = """
            import sqlite3, sys, time
            base = sqlite3.connect(sys.argv[1], isolation_level=None)
            base.execute("BEGIN EXCLUSIVE")
            print("locked", flush=True)
            time.sleep(300)
            """
        let program = try RunningProgram(
            ["python3", "-c", script, path], environment: Surroundings.environment, in: "/")
        try await program.wait(until: "the lock") { $0.outputSoFar.contains("locked") }
        return program
    }
}
