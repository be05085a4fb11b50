// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Which target may know which: the table of the design, "arrows point down only".
enum Architecture {
    /// Targets that decide and never do.
    static let pure: Set<String> = [
        "Model", "Verification", "Rollouts", "Windows", "PipelineFiles", "FlyWorld", "Stages",
        "Rehearsal",
    ]
    /// Pure targets whose decisions must be the same whenever they are replayed.
    static let replayed: Set<String> = ["Model", "Rollouts", "Verification", "Stages", "FlyWorld", "Rehearsal"]
    /// Pure targets with a small file loader beside their decoder.
    static let loaders: Set<String> = ["PipelineFiles", "Windows"]
    /// One target for each thing outside.
    static let adapters: Set<String> = ["FlyPlatform", "GitHub", "GitHistory", "Images", "Notifications", "Journals"]

    private static let decoders: Set<String> = ["Model", "Verification", "Rollouts", "Windows", "PipelineFiles"]

    /// The targets of this package that each target may import. What is not listed may import anything.
    static let mayImport: [String: Set<String>] = {
        var table: [String: Set<String>] = [
            "Model": [],
            "Verification": ["Model"],
            "Rollouts": ["Model"],
            "Windows": ["Model"],
            "PipelineFiles": ["Model"],
            "FlyWorld": ["Model"],
            "Stages": decoders,
            "Ports": decoders.union(["Stages"]),
            "HTTPTransport": ["Model", "Ports", "CCurl"],
            "FlySimulator": ["Model", "FlyWorld", "CIsolation"],
            "Orchestration": decoders.union(["Stages", "Ports"]),
            "Rehearsal": decoders.union(["Stages", "FlyWorld"]),
            "airboss": ["Commands"],
        ]
        for adapter in adapters { table[adapter] = decoders.union(["Stages", "Ports", "HTTPTransport"]) }
        table["GitHistory"]?.insert("CGit2")
        table["Journals"]?.insert("CPostgres")
        return table
    }()

    /// Modules that only the named targets may import, by the module's name or its beginning.
    static let reserved: [(module: String, targets: Set<String>)] = [
        ("CCurl", ["HTTPTransport"]),
        ("CGit2", ["GitHistory"]),
        ("CPostgres", ["Journals"]),
        ("CIsolation", ["FlySimulator"]),
        ("GRDB", ["Journals"]),
        ("Hummingbird", ["FlySimulator", "Dashboard"]),
        ("NIO", ["FlySimulator", "Dashboard"]),
        ("HTTPTypes", ["FlySimulator", "Dashboard"]),
        ("ArgumentParser", ["Commands"]),
        ("Yams", ["PipelineFiles"]),
        ("TOMLKit", ["PipelineFiles"]),
        ("Mustache", ["Notifications", "Reports", "Dashboard"]),
        ("Subprocess", ["FlySimulator", "Commands"]),
    ]

    /// Words by which a decision would depend on when or where it is made.
    static let impure: [(pattern: String, what: String)] = [
        (#"\bDate\("#, "reads the clock"),
        (#"\b[A-Z]\w*\.now\b"#, "reads the clock"),
        (#"(^|[\s(\[,:=])\.now\b"#, "reads the clock"),
        (#"\b(Continuous|Suspending)Clock\b"#, "names a clock"),
        (#"\.(random|randomElement|shuffled|shuffle)\("#, "draws randomness"),
        (#"\bSystemRandomNumberGenerator\b"#, "draws randomness"),
        (#"\bawait\b"#, "awaits"),
        (#"\bTask\s*[.{(]"#, "starts a task"),
    ]
}
