// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import PipelineFiles
internal import Stages
internal import Verification

extension Scenario {
    /// Every built-in scenario; one that is listed here is rehearsed, killed at every point, and drawn by seeds.
    package static let all = alone + inLine

    /// Runs that wait for each other, with nothing shared but the platform. What is added here changes what seeds draw
    /// from all; not what it draws from those that wait for nobody.
    package static let inLine: [Scenario] = [waitingLine, waitingRollback]

    /// Runs that wait for nobody.
    package static let alone: [Scenario] = [
        rolling, firstDeploy, failingVerify, crashingRelease, failingChecks, failingRollback, rollbackOnly,
        removedGroup, addedGroup, autostopped, unreachableHost, mixedFleet, foundFleet, sharedStore, platformOnly,
        interrupted, worker, workerBeside,
    ]

    /// The scenario of a name; nil where there is none.
    package static func named(_ name: String) -> Scenario? { all.first { $0.name == name } }

    /// The user's own pipeline on a fleet like their own, with images that behave.
    package init(_ subject: RehearsalSubject) {
        let settings = subject.request.settings
        let seats = subject.fleet.sorted { $0.key < $1.key }.flatMap { group, count in
            Array(repeating: Seat(group), count: count)
        }
        self.init(
            "pipeline", "the pipeline's own deploy", kind: subject.request.kind, settings: settings,
            app: subject.request.app, seats: seats, past: seats.isEmpty ? .none : .recorded)
    }

    // MARK: - Files

    private static func toml(_ text: String) -> FlyToml {
        do {
            return try FlyToml(parsing: text, path: "fly.toml", readFile: { _ in .failure(.init("there is none")) })
        } catch {
            preconditionFailure("a scenario's fly.toml is wrong: \(error)")
        }
    }

    private static let service = """
        [http_service]
        internal_port = 8080
        [[http_service.checks]]
        method = "GET"
        path = "/health"
        interval = "1s"
        timeout = "500ms"

        """
    private static let web = toml("app = \"demo\"\nprimary_region = \"ord\"\n" + service)
    private static let idle = toml(
        "app = \"demo\"\nprimary_region = \"ord\"\n"
            + service.replacing(
                "internal_port = 8080",
                with: "internal_port = 8080\nauto_stop_machines = \"stop\"\nauto_start_machines = true"))
    private static let onlyWorker = toml("app = \"demo\"\nprimary_region = \"ord\"\n")
    private static let webAndWorker = toml(
        """
        app = "demo"
        primary_region = "ord"
        [processes]
        app = "serve"
        worker = "work"
        """ + "\n" + service.replacing("internal_port = 8080", with: "internal_port = 8080\nprocesses = [\"app\"]"))

    private static func settings(
        _ toml: FlyToml = web, _ change: (inout RunRequest.Settings) -> Void = { _ in }
    ) -> RunRequest.Settings {
        let health = HealthProbe(
            name: "/health", url: "https://demo.fly.dev/health", timeout: .seconds(5), criteria: HealthCriteria())
        var settings = RunRequest.Settings(
            build: .image(reference: "registry.fly.io/demo:next"), flyToml: toml, waitTimeout: .seconds(60),
            verify: VerifyPlan(health: health, attempts: 4, interval: .seconds(1), consecutive: 2),
            channels: [.summary, .email])
        change(&settings)
        return settings
    }

    private static func seats(_ count: Int, _ group: ProcessGroup = "app") -> [Seat] {
        Array(repeating: Seat(group), count: count)
    }

    // MARK: - The scenarios

    package static let rolling = Scenario(
        "rolling", "three machines get a new release", settings: settings(), seats: seats(3))

    package static let firstDeploy = Scenario(
        "first-deploy", "an app that was never deployed", settings: settings(), seats: [], past: .none)

    package static let failingVerify = Scenario(
        "failing-verify", "the new release answers 503, and the old one comes back", settings: settings(),
        seats: seats(2), newImage: GuestBehaviour(health: .failsProbes), expected: [.rolledBack])

    package static let crashingRelease = Scenario(
        "crashing-release", "the new release exits soon after its start", settings: settings(), seats: seats(3),
        newImage: GuestBehaviour(health: .exits(afterMilliseconds: 50)), expected: [.rolledBack])

    package static let failingChecks = Scenario(
        "failing-checks", "the checks of the new release never pass",
        settings: settings { $0.waitTimeout = .seconds(10) }, seats: seats(3),
        newImage: GuestBehaviour(health: .neverPasses), expected: [.rolledBack])

    package static let failingRollback: Scenario = {
        var scenario = Scenario(
            "failing-rollback", "the new release fails, and the old one does not come back either",
            settings: settings { $0.waitTimeout = .seconds(10) }, seats: seats(2),
            newImage: GuestBehaviour(health: .failsProbes), expected: [.needsHuman])
        scenario.oldImage = GuestBehaviour(health: .failsToBoot)
        return scenario
    }()

    package static let rollbackOnly = Scenario(
        "rollback-only", "a person goes back to the release before", kind: .rollback, settings: settings(),
        seats: Array(repeating: Seat(image: .new), count: 3))

    package static let removedGroup: Scenario = {
        var scenario = Scenario(
            "removed-group", "fly.toml no longer has the process group of a machine", settings: settings(),
            seats: seats(2) + seats(1, "worker"), expected: [.verified])
        scenario.earlierFlyToml = webAndWorker
        return scenario
    }()

    package static let addedGroup: Scenario = {
        var scenario = Scenario(
            "added-group", "fly.toml has a process group that has no machines yet", settings: settings(webAndWorker),
            seats: seats(2))
        scenario.earlierFlyToml = web
        return scenario
    }()

    package static let autostopped: Scenario = {
        var scenario = Scenario(
            "autostopped", "machines that rest for want of traffic", settings: settings(idle),
            seats: [Seat(), Seat(isRunning: false), Seat(isRunning: false)])
        scenario.autostopsAfter = .seconds(20)
        return scenario
    }()

    package static let unreachableHost = Scenario(
        "unreachable-host", "a host goes away in the middle of it", settings: settings(), seats: seats(3),
        disturbances: [.hostAway(machine: 2, fromMilliseconds: 2_000, forMilliseconds: 25_000)],
        expected: [.verified, .rolledBack, .needsHuman])

    package static let mixedFleet = Scenario(
        "mixed-fleet", "machines run what nobody has a record of", settings: settings(),
        seats: [Seat(), Seat(image: .stray), Seat(isManaged: false), Seat()])

    package static let foundFleet = Scenario(
        "found-fleet", "a fleet that Airboss never deployed, and its release is bad", settings: settings(),
        seats: seats(2), past: .found, newImage: GuestBehaviour(health: .failsProbes), expected: [.rolledBack])

    package static let sharedStore: Scenario = {
        var scenario = Scenario(
            "shared-store", "two runs at once, with one state store", settings: settings(), seats: seats(2))
        scenario.rival = Rival(.deploy, afterMilliseconds: 1_500, sharesStore: true)
        return scenario
    }()

    package static let platformOnly: Scenario = {
        var scenario = Scenario(
            "platform-only", "two runs at once that share nothing but the platform", settings: settings(),
            seats: seats(2), expected: [.verified, .refused])
        scenario.rival = Rival(.deploy, afterMilliseconds: 300, sharesStore: false)
        return scenario
    }()

    package static let waitingLine: Scenario = {
        var scenario = Scenario(
            "waiting-line", "two runs wait for a third, with nothing shared but the platform",
            settings: settings { $0.waitForApp = .seconds(900) }, seats: seats(2),
            newImage: GuestBehaviour(bootMilliseconds: 6_000))
        scenario.rival = Rival(.deploy, afterMilliseconds: 1_500, sharesStore: false)
        scenario.others = [Rival(.deploy, afterMilliseconds: 10_500, sharesStore: false)]
        return scenario
    }()

    package static let waitingRollback: Scenario = {
        var scenario = Scenario(
            "waiting-rollback", "a rollback waits for a deploy, with nothing shared but the platform",
            settings: settings { $0.waitForApp = .seconds(900) }, seats: seats(2))
        scenario.rival = Rival(.rollback, afterMilliseconds: 5_000, sharesStore: false)
        return scenario
    }()

    package static let interrupted: Scenario = {
        var scenario = Scenario(
            "interrupted", "a person interrupts the deploy, and recovers it later", settings: settings(),
            seats: seats(3), disturbances: [.signal(process: 0, effect: 24, number: 2)], expected: [.interrupted])
        scenario.followUps = [.recover]
        return scenario
    }()

    package static let worker = Scenario(
        "worker", "a worker without services and checks", settings: settings(onlyWorker) { $0.verify.health = nil },
        seats: seats(2))

    package static let workerBeside = Scenario(
        "worker-beside", "one worker beside two machines that serve", settings: settings(webAndWorker),
        seats: seats(2) + seats(1, "worker"))
}
