// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import PipelineFiles
package import Stages
package import Verification

/// The app, fleet and run that the core's tests speak of.
package enum Sample {
    /// Monday, 12:00 UTC.
    package static let start = Timestamp(secondsSinceEpoch: 1_795_435_200)
    package static let run = RunID("01TESTRUN0000000ABCDEFGH")
    package static let app = AppName("demo")
    package static let oldDigest = ImageDigest("sha256:" + String(repeating: "a", count: 64))
    package static let newDigest = ImageDigest("sha256:" + String(repeating: "b", count: 64))

    /// A web app with one service and one check.
    package static let flyToml = parse(
        """
        app = "demo"
        primary_region = "ord"
        [http_service]
        internal_port = 8080
        [[http_service.checks]]
        method = "GET"
        path = "/health"
        interval = "1s"
        timeout = "500ms"
        """)

    /// A worker without services and checks.
    package static let workerToml = parse("app = \"demo\"\nprimary_region = \"ord\"\n")

    package static func parse(_ text: String) -> FlyToml {
        do {
            return try FlyToml(parsing: text, path: "fly.toml", readFile: { _ in .failure(.init("there is none")) })
        } catch {
            preconditionFailure("the sample fly.toml is wrong: \(error)")
        }
    }

    package static func reference(_ digest: ImageDigest) -> String { "registry.fly.io/demo@\(digest)" }

    package static func image(_ digest: ImageDigest) -> BuiltImage {
        BuiltImage(reference: reference(digest), digest: digest)
    }

    package static func commit(_ letter: Character, message: String = "Better greeting") -> Commit {
        let person = Commit.Person(name: "Ada", email: "ada@example.com")
        return Commit(
            id: CommitID(String(repeating: letter, count: 40)), tree: "tree-\(letter)", parents: [], author: person,
            committer: person, authoredAt: start, committedAt: start, message: message, tags: [])
    }

    /// A managed machine's config for the image.
    package static func config(_ digest: ImageDigest, toml: FlyToml = flyToml, group: ProcessGroup = "app")
        -> MachineConfig
    {
        var config = toml.machineConfig(for: group)
        config.image = reference(digest)
        return config
    }

    /// `m1` and its like: started, its check passing.
    package static func machine(
        _ number: Int, digest: ImageDigest = oldDigest, state: String = "started", isManaged: Bool = true,
        isHealthy: Bool = true, toml: FlyToml = flyToml
    ) -> FleetMachine {
        var config = config(digest, toml: toml)
        if !isManaged { config.metadata["fly_platform_version"] = nil }
        let checks = (0..<config.checkCount).map { index in
            FleetMachine.Check(
                name: "servicecheck-0\(index)-http-8080", status: isHealthy ? "passing" : "critical",
                output: isHealthy ? "" : "503", updatedAt: start)
        }
        return FleetMachine(
            id: MachineID("m\(number)"), name: "name-\(number)", state: state, region: "ord",
            instance: InstanceID("m\(number)-1"), config: config, imageDigest: digest,
            checks: state == "started" ? checks : [])
    }

    package static func fleet(_ count: Int) -> [FleetMachine] { (1...count).map { machine($0) } }

    /// A release of the sample fleet with the digest on every machine.
    package static func release(
        _ number: Int, digest: ImageDigest = oldDigest, state: ReleaseRecord.State = .verified, machines: Int = 3,
        commit letter: Character = "a"
    ) -> ReleaseRecord {
        ReleaseRecord(
            app: app, number: ReleaseNumber(number), platformID: "rel_\(number)", commit: commit(letter).id,
            subject: "Release \(number)", image: reference(digest), digest: digest,
            machines: (1...machines).map { RecordedMachine(machine($0, digest: digest)) }, state: state,
            run: "01EARLIERRUN", createdAt: start, verifiedAt: start, reason: "test")
    }

    /// The release `number` serves; there is nothing older.
    package static func history(_ number: Int = 71, machines: Int = 3) -> ReleaseHistory {
        ReleaseHistory(
            current: release(number, machines: machines), verified: [],
            states: [.init(number: ReleaseNumber(number), state: .verified)])
    }

    package static let health = HealthProbe(
        name: "/health", url: "https://demo.fly.dev/health", timeout: .seconds(5), criteria: HealthCriteria())

    package static let verifyPlan = VerifyPlan(health: health, attempts: 10, interval: .seconds(2), consecutive: 3)

    package static func settings(_ change: (inout RunRequest.Settings) -> Void = { _ in }) -> RunRequest.Settings {
        var settings = RunRequest.Settings(
            build: .image(reference: "registry.fly.io/demo:next"), flyToml: flyToml, waitTimeout: .seconds(120),
            verify: verifyPlan)
        change(&settings)
        return settings
    }

    package static func request(
        _ kind: RunKind = .deploy, target: ReleaseNumber? = nil, overrides: RunRequest.Overrides = .init(),
        _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> RunRequest {
        RunRequest(
            run: run, kind: kind, pipeline: "production", app: app, actor: "ada", reason: "because", revision: "HEAD",
            target: target, overrides: overrides, settings: settings(change))
    }
}
