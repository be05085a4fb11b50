// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

/// One thing that is wrong, and what becomes of a deploy then.
struct BadInput: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var status: Int32
    /// What the message must name.
    var names: [String]
    var environment: [String: String?]
    var arguments: [String]
    /// Makes it wrong, in a copy of everything that a test may spoil: pipeline `bad.yml`, `bad.toml`.
    var spoil: @Sendable (Workshop) async throws -> Void
    var mend: @Sendable (Workshop) async throws -> Void

    init(
        _ description: String, _ status: Int32, names: [String], environment: [String: String?] = [:],
        arguments: [String] = ["deploy", "bad", "--reason", "Try"],
        spoil: @escaping @Sendable (Workshop) async throws -> Void = { _ in },
        mend: @escaping @Sendable (Workshop) async throws -> Void = { _ in }
    ) {
        testDescription = description
        self.status = status
        self.names = names
        self.environment = environment
        self.arguments = arguments
        self.spoil = spoil
        self.mend = mend
    }

    /// A pipeline in which `old` is replaced by `new`, or, without `old`, to which `new` is added.
    static func pipeline(
        _ description: String, _ status: Int32 = 78, replacing old: String = "", by new: String, names: [String],
        environment: [String: String?] = [:]
    ) -> BadInput {
        BadInput(
            description, status, names: names, environment: environment,
            spoil: { workshop in
                let text = workshop.pipeline()
                #expect(old.isEmpty || text.contains(old))
                try workshop.write(
                    "pipelines/bad.yml", old.isEmpty ? text + new + "\n" : text.replacing(old, with: new))
            })
    }

    /// A fly.toml in which `old` is replaced by `new`.
    static func flyToml(
        _ description: String, replacing old: String, by new: String, names: [String]
    ) -> BadInput {
        BadInput(
            description, 78, names: names,
            spoil: { workshop in
                #expect(Workshop.flyToml.contains(old))
                try workshop.write("bad.toml", Workshop.flyToml.replacing(old, with: new))
                try workshop.write(
                    "pipelines/bad.yml", workshop.pipeline().replacing("../fly.toml", with: "../bad.toml"))
            })
    }

    /// Runs it against the suite's workshop: the exit code, what is named, and that nothing has changed.
    func check(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let workshop = try #require(Workshop.current)
        let before = try await workshop.standing()
        try workshop.write("pipelines/bad.yml", workshop.pipeline())
        try await spoil(workshop)
        let outcome = try await workshop.start(arguments + ["--output", "json"], environment).end()
        try await mend(workshop)
        let run = try JSONRun(outcome, sourceLocation: sourceLocation)
        #expect(run.status == status, "\(outcome.everything)", sourceLocation: sourceLocation)
        #expect(outcome.signal == 0, sourceLocation: sourceLocation)
        for name in names {
            #expect(
                (run.last.text() + outcome.errors).contains(name), "\(name): \(run.last)",
                sourceLocation: sourceLocation)
        }
        #expect(!outcome.everything.contains("\u{1B}"), sourceLocation: sourceLocation)
        #expect(!outcome.everything.contains("never ended"), "a run before this one left the app held")
        #expect(try await workshop.standing() == before, sourceLocation: sourceLocation)
        #expect(try await workshop.fly.leased(Workshop.app) == [], sourceLocation: sourceLocation)
        #expect(try await workshop.unfinishedRuns() == [], sourceLocation: sourceLocation)
    }
}
