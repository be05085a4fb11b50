// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import PipelineFiles
internal import Stages

/// A scenario with its world set up once, from which any number of rehearsals start.
package struct PreparedScenario: Sendable {
    package let scenario: Scenario
    let world: World
    let records: [ReleaseRecord]
    /// The machines in the order of their seats.
    let machines: [String]
    /// What image references mean.
    let images: [String: ImageDigest]
    let commit: Commit

    package init(_ scenario: Scenario) {
        self.scenario = scenario
        var images: [String: ImageDigest] = [:]
        for digest in [Scenario.oldDigest, Scenario.newDigest, Scenario.strayDigest] {
            images[scenario.reference(digest)] = digest
        }
        self.images = images
        let person = Commit.Person(name: "Ada", email: "ada@example.com")
        commit = Commit(
            id: CommitID(String(repeating: "c", count: 40)), tree: "tree", parents: [], author: person,
            committer: person, authoredAt: Scenario.start, committedAt: Scenario.start, message: "Better greeting",
            tags: [])
        var builder = Builder(scenario: scenario)
        builder.build()
        world = builder.world
        records = builder.records
        machines = builder.machines
    }

    /// Sets up the fleet through the platform's own API, an hour before the start.
    private struct Builder {
        let scenario: Scenario
        var world = World(seed: 1)
        var records: [ReleaseRecord] = []
        var machines: [String] = []
        private var calls: UInt64 = 1 << 40
        private var now = Scenario.start - .seconds(3600)

        init(scenario: Scenario) { self.scenario = scenario }

        private mutating func ask(_ call: WorldCall, machine: String? = nil) -> WorldAnswer {
            calls += 1
            now = now + .seconds(1)
            let outcome = world.handle(
                WorldRequest(id: calls, app: scenario.app.rawValue, machine: machine, call: call), at: now)
            guard let response = outcome.response else { preconditionFailure("a set-up call that waits: \(call)") }
            if case .failure(let failure) = response.answer {
                preconditionFailure("the scenario \(scenario.name) can't be set up: \(failure.message)")
            }
            return response.answer
        }

        mutating func build() {
            world.settings.isRateLimited = false
            _ = ask(.createApp(organization: "acme"))
            let released: [Scenario.Seat.Image] = scenario.kind == .rollback ? [.old, .new] : [.old]
            var releases: [(image: Scenario.Seat.Image, release: WorldRelease)] = []
            if scenario.past != .none {
                for image in released {
                    let reference = scenario.reference(scenario.digest(image))
                    guard
                        case .release(let release, _) = ask(
                            .createRelease(image: reference, strategy: "rolling", definition: nil))
                    else { continue }
                    _ = ask(.updateRelease(id: release.id, status: "complete", metadata: nil))
                    releases.append((image, release))
                }
            }
            for (index, seat) in scenario.seats.enumerated() {
                place(seat, index, releases.last { $0.image == seat.image }?.release)
            }
            if scenario.past == .recorded {
                for (image, release) in releases { records.append(record(image, release)) }
            }
            world.settings.isRateLimited = true
            world.settings.autostopsAfter = scenario.autostopsAfter
            world.resetStatistics()
        }

        private func config(_ seat: Scenario.Seat, _ image: Scenario.Seat.Image, _ release: WorldRelease?)
            -> MachineConfig
        {
            let toml = scenario.earlierFlyToml ?? scenario.settings.flyToml
            var config = toml.machineConfig(for: seat.group)
            config.image = scenario.reference(scenario.digest(image))
            if let release {
                config.metadata["fly_release_id"] = release.id
                config.metadata["fly_release_version"] = String(release.version)
                if scenario.past == .recorded {
                    config.metadata[Bookkeeping.run] = "01EARLIERRUN\(release.version)"
                    config.metadata[Bookkeeping.release] = "v\(release.version)"
                    config.metadata[Bookkeeping.operation] = "01EARLIERRUN\(release.version)/1"
                }
            }
            if !seat.isManaged { config.metadata["fly_platform_version"] = nil }
            return config
        }

        private mutating func place(_ seat: Scenario.Seat, _ index: Int, _ release: WorldRelease?) {
            let input = MachineInput(
                name: "\(seat.group)-\(index + 1)", region: "ord", config: config(seat, seat.image, release),
                imageDigest: scenario.digest(seat.image).rawValue)
            guard case .machine(let machine, _) = ask(.createMachine(input)) else { return }
            machines.append(machine.id)
            now = now + .seconds(1)
            let boot = world.machines[machine.id]?.boot ?? 1
            _ = world.apply(.guestStarted(machine: machine.id, boot: boot, imageDigest: nil), at: now)
            for check in machine.config.checkDefinitions {
                _ = world.apply(
                    .checkReported(
                        machine: machine.id, boot: boot, name: check.name, standing: .passing, output: "ok"), at: now)
            }
            guard !seat.isRunning else { return }
            _ = ask(.stopMachine(signal: nil, timeout: nil), machine: machine.id)
            _ = world.apply(
                .guestExited(machine: machine.id, boot: boot, code: 0, signal: nil, isOutOfMemory: false), at: now)
        }

        private func record(_ image: Scenario.Seat.Image, _ release: WorldRelease) -> ReleaseRecord {
            let digest = scenario.digest(image)
            let seats = zip(scenario.seats, machines).filter(\.0.isManaged)
            return ReleaseRecord(
                app: scenario.app, number: ReleaseNumber(release.version), platformID: release.id,
                commit: CommitID(String(repeating: image == .old ? "a" : "b", count: 40)),
                subject: "Release \(release.version)", image: scenario.reference(digest), digest: digest,
                machines: seats.map { seat, id in
                    RecordedMachine(
                        id: MachineID(id), name: world.machines[id]?.name ?? "", region: "ord",
                        config: config(seat, image, release), isCordoned: false)
                }, state: .verified, run: RunID("01EARLIERRUN\(release.version)"), createdAt: now, verifiedAt: now,
                reason: "earlier")
        }
    }
}
