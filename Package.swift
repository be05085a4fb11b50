// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import PackageDescription

/// The language mode and the warnings every target of the house lives with.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

func room(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource]? = nil) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

func tests(of name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource]? = nil) -> Target {
    .testTarget(
        name: "\(name)Tests",
        dependencies: [.byName(name: name)] + dependencies,
        resources: resources,
        swiftSettings: strict
    )
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let mustache = Target.Dependency.product(name: "Mustache", package: "swift-mustache")
let nio: [Target.Dependency] = [
    .product(name: "HTTPTypes", package: "swift-http-types"),
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
    .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
    .product(name: "NIOPosix", package: "swift-nio"),
]
let decisions: [Target.Dependency] = [
    "CoreTestSupport", "FlyWorld", "Model", "PipelineFiles", "Rollouts", "Stages", "Verification",
]
let journals: [Target.Dependency] = ["CoreTestSupport", "Model", "Ports", "Stages"]
let records: [Target.Dependency] = ["Journals", "PipelineFiles", "Windows"]
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")
let yaml = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "airboss",
    products: [.executable(name: "airboss", targets: ["airboss"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", exact: "2.1.1"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", exact: "1.0.2"),
    ],
    targets: [
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CGit2", pkgConfig: "libgit2", providers: [.apt(["libgit2-dev"])]),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        // Pure: no clock, no socket, no thread.
        room("Model"),
        room("PipelineFiles", ["Model", toml, yaml]),
        room("Windows", ["Model"]),
        room("Verification", ["Model"]),
        room("Rollouts", ["Model"]),
        room("Stages", ["Model", "PipelineFiles", "Rollouts", "Verification"]),
        room("FlyWorld", ["Model"]),
        room("Rehearsal", ["FlyWorld", "Model", "PipelineFiles", "Rollouts", "Stages", "Verification"]),
        // What the orchestration needs of the world.
        room("Ports", ["Model"]),
        // One adapter each.
        room("HTTPTransport", ["CCurl"]),
        room("FlyPlatform", ["HTTPTransport", "Model"]),
        room("GitHistory", ["CGit2", "Model"]),
        room("GitHub", ["HTTPTransport", "Model", "Ports"]),
        room("Images", ["HTTPTransport", "Model", crypto]),
        room("Journals", ["CPostgres", "Model", grdb, crypto]),
        room("Notifications", ["HTTPTransport", "Model", "Ports", mustache, crypto]),
        // The local Fly: FlyWorld behind HTTP, with real processes.
        .target(name: "CIsolation"),
        room("FlySimulator", ["CIsolation", "FlyWorld", "Model", crypto, hummingbird] + nio),
        // Drivers.
        room("Orchestration", ["Model", "Ports", "Stages"]),
        // The command line: the only composition root.
        room(
            "Commands",
            [
                "FlyPlatform", "FlySimulator", "GitHistory", "GitHub", "HTTPTransport", "Images", "Journals", "Model",
                "Notifications", "Orchestration", "PipelineFiles", "Ports", "Rehearsal", "Rollouts", "Stages",
                "Verification", "Windows", argumentParser, subprocess,
            ]),
        .executableTarget(name: "airboss", dependencies: ["Commands"], swiftSettings: strict),
        .executableTarget(
            name: "journal-benchmark", dependencies: ["Commands", "CoreTestSupport", "Journals", "Model", "Stages"],
            path: "Benchmarks/JournalBenchmark",
            swiftSettings: strict),
        .executableTarget(
            name: "rehearsal-benchmark", dependencies: ["Model", "Rehearsal"], path: "Benchmarks/RehearsalBenchmark",
            swiftSettings: strict),
        .executableTarget(
            name: "window-benchmark", dependencies: ["Model", "Windows"], path: "Benchmarks/WindowBenchmark",
            swiftSettings: strict),
        // What tests share.
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        .executableTarget(
            name: "simulator-guest-fixture", dependencies: ["FlySimulator", "Model"],
            path: "Tests/SimulatorGuestFixture", swiftSettings: strict),
        .target(
            name: "CoreTestSupport", dependencies: ["Model", "PipelineFiles", "Rollouts", "Stages", "Verification"],
            path: "Tests/CoreTestSupport", swiftSettings: strict),
        tests(of: "Commands", ["FlySimulator", "TestSupport", "airboss"] + journals + records),
        tests(of: "Model"),
        tests(of: "Orchestration", ["CoreTestSupport", "Model", "Ports", "Stages"]),
        tests(of: "Rollouts", ["CoreTestSupport", "Model"]),
        tests(of: "Stages", ["CoreTestSupport", "Model", "PipelineFiles", "Rollouts", "Verification"]),
        tests(of: "Verification", ["Model"]),
        .testTarget(name: "TidyTests", swiftSettings: strict),
        tests(of: "FlyPlatform", ["HTTPTransport", "Model"]),
        tests(of: "FlySimulator", ["FlyWorld", "Model", "simulator-guest-fixture", crypto, hummingbird] + nio),
        tests(of: "FlyWorld", ["Model"]),
        tests(of: "GitHistory", ["Model"]),
        tests(of: "GitHub", ["HTTPTransport", "Model", "Ports", "TestSupport"]),
        tests(of: "HTTPTransport", ["TestSupport"]),
        tests(of: "Images", ["HTTPTransport", "Model"]),
        tests(of: "Journals", ["Model", grdb]),
        tests(of: "Notifications", ["HTTPTransport", "Model", "TestSupport"]),
        tests(of: "PipelineFiles", ["Model"], resources: [.copy("Fixtures")]),
        tests(of: "Rehearsal", decisions),
        .testTarget(name: "KillTests", dependencies: ["FlySimulator", "Model", "airboss"], swiftSettings: strict),
        tests(of: "Windows", ["Model"]),
    ]
)
