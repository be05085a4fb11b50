// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The smallest platform a run can be tried against: machines with leases and versions, in virtual time. It notes down
/// whatever a run must never do.
package struct SimulatedFly: Sendable {
    /// How machines of one image behave.
    package struct Behaviour: Sendable {
        package enum Health: Sendable {
            case good
            /// Starts, and its checks never pass.
            case neverPasses
            /// Exits by itself, so long after its start.
            case exits(after: Duration)
            /// Its checks pass, and the app answers 503 all the same.
            case failsProbes
        }
        package var boot: Duration
        /// From started to its checks passing.
        package var checks: Duration
        package var health: Health

        package init(boot: Duration = .seconds(2), checks: Duration = .milliseconds(500), health: Health = .good) {
            self.boot = boot
            self.checks = checks
            self.health = health
        }
    }

    private struct Box: Sendable {
        var machine: FleetMachine
        var version = 1
        var versions: [MachineVersionEntry] = []
        var lease: Lease?
        var startsAt: Timestamp?
        var passesAt: Timestamp?
        var exitsAt: Timestamp?

        var nextChange: Timestamp? { [startsAt, passesAt, exitsAt].compactMap(\.self).min() }
    }

    package private(set) var now = Sample.start
    private var boxes: [MachineID: Box] = [:]
    private var behaviours: [ImageDigest: Behaviour] = [:]
    private var counter = 0
    /// When something next happens by itself.
    package private(set) var nextChange: Timestamp?
    private var releases = 71
    private let wasEmpty: Bool
    private var releaseEntries: [PlatformReleaseEntry] = []
    package private(set) var openReleases: Set<String> = []
    /// Machines that were destroyed.
    package private(set) var destroyed: [MachineID] = []
    package private(set) var finishedReleases: [String: String] = [:]
    /// What no run may do, with the time it happened.
    package private(set) var violations: [String] = []
    /// Leases whose holder never learned of them, or whose end was lost on the way: they end by their time to live.
    package var orphanedLeases: Set<LeaseNonce> = []
    /// The fewest available machines allowed; nil where nobody counts.
    package var floor: Int?

    package init(_ fleet: [FleetMachine], behaviours: [ImageDigest: Behaviour] = [:]) {
        for machine in fleet {
            boxes[machine.id] = Box(
                machine: machine, versions: [.init(instance: machine.instance, config: machine.config)])
        }
        self.behaviours = behaviours
        wasEmpty = fleet.isEmpty
    }

    /// Somebody else makes a machine.
    package mutating func add(_ machine: FleetMachine) {
        boxes[machine.id] = Box(
            machine: machine, versions: [.init(instance: machine.instance, config: machine.config)])
    }

    package var fleet: [FleetMachine] { boxes.values.map(\.machine).sorted { $0.id < $1.id } }
    package var available: Int { boxes.values.count { $0.machine.isManaged && $0.machine.isServing } }

    /// Leases that live now and that somebody knows of.
    package var heldLeases: [MachineID] {
        boxes.values.filter { box in box.lease.map { $0.expiresAt > now && !orphanedLeases.contains($0.nonce) } ?? false
        }.map(\.machine.id).sorted()
    }

    /// The nonces of all leases that live now.
    package var liveLeases: [LeaseNonce] { boxes.values.compactMap(\.lease).filter { $0.expiresAt > now }.map(\.nonce) }

    /// Takes or gives back a lease on behalf of somebody else.
    package mutating func leaseForAnother(_ id: MachineID, until end: Timestamp?) {
        let lease = end.map { Lease(nonce: "theirs", expiresAt: $0) }
        boxes[id]?.lease = lease
        if lease != nil { orphanedLeases.insert("theirs") }
    }

    package mutating func change(_ id: MachineID, _ body: (inout FleetMachine) -> Void) {
        if boxes[id] != nil { body(&boxes[id, default: Box(machine: Sample.machine(0))].machine) }
    }

    package mutating func remove(_ id: MachineID) { boxes[id] = nil }

    /// Lets time pass: machines start, pass their checks, or exit.
    package mutating func advance(to time: Timestamp) {
        now = max(now, time)
        guard let due = nextChange, due <= now else { return }
        defer { nextChange = boxes.values.compactMap(\.nextChange).min() }
        for (id, box) in boxes where box.nextChange != nil {
            var box = box
            if let at = box.startsAt, at <= now {
                box.startsAt = nil
                box.machine.state = "started"
                box.machine.checks = checks(of: box.machine, "critical", at)
            }
            if let at = box.exitsAt, at <= now {
                (box.exitsAt, box.passesAt) = (nil, nil)
                box.machine.state = "stopped"
                box.machine.checks = []
                let exit = FleetMachine.Event(
                    type: "exit", status: "stopped", at: at, exitCode: 1, isOutOfMemory: false, wasRequested: false)
                box.machine.events.insert(exit, at: 0)
            }
            if let at = box.passesAt, at <= now, box.machine.state == "started" {
                box.passesAt = nil
                box.machine.checks = checks(of: box.machine, "passing", at)
            }
            boxes[id] = box
        }
    }

    /// What the app answers to a probe of its address.
    package func probe() -> ProbeResult {
        let serving = boxes.values.filter { $0.machine.isManaged && $0.machine.isServing }
        guard !serving.isEmpty else { return ProbeResult(status: 503, elapsed: .milliseconds(10)) }
        let isBad = serving.contains { box in
            if case .failsProbes = behaviour(of: box.machine.imageDigest).health { true } else { false }
        }
        return ProbeResult(status: isBad ? 500 : 200, elapsed: .milliseconds(25))
    }

    /// Answers a call that arrives now; nil for a wait that goes on. A call that comes late was given up by its sender.
    package mutating func answer(_ call: PlatformCall, isLate: Bool = false) -> Answer? {
        switch call {
        case .app: return .app(organization: "acme")
        case .machines: return .machines(list: fleet)
        case .observe: return .observations(list: fleet.map(Observation.init(of:)))
        case .machine(let id):
            return boxes[id].map { .machine(machine: $0.machine) } ?? refused(.notFound, "machine not found")
        case .acquireLease(let id, let seconds): return acquire(id, seconds)
        case .refreshLease(let id, let nonce, let seconds): return refresh(id, nonce, seconds)
        case .releaseLease(let id, let nonce):
            if boxes[id]?.lease?.nonce == nonce { boxes[id]?.lease = nil }
            return .done
        case .update(let id, let config, let version, let nonce, let skipLaunch):
            return update(id, config, version, nonce, skipLaunch, isLate)
        case .create(let name, let region, let config, let skipLaunch, let seconds):
            return create(name, region, config, skipLaunch, seconds)
        case .wait(let id, let version, let state, _):
            guard let machine = boxes[id]?.machine else { return refused(.notFound, "machine not found") }
            guard machine.instance == version else { return refused(.conflict, "the version was replaced") }
            return machine.state == state ? .done : nil
        case .cordon, .uncordon:
            violations.append("\(now): \(call.name) was not expected")
            return .done
        case .secretNames: return .names(list: ["DATABASE_URL"])
        case .createRelease(let image, _):
            releases += 1
            releaseEntries.insert(
                .init(id: "rel_\(releases)", number: ReleaseNumber(releases), status: "running", image: image), at: 0)
            openReleases.insert("rel_\(releases)")
            return .platformRelease(id: "rel_\(releases)", number: ReleaseNumber(releases))
        case .finishRelease(let id, let status):
            openReleases.remove(id)
            for index in releaseEntries.indices where releaseEntries[index].id == id {
                releaseEntries[index].status = status
            }
            finishedReleases[id] = status
            return .done
        case .releases(let limit):
            let first =
                wasEmpty
                ? [] : [PlatformReleaseEntry(id: "rel_71", number: ReleaseNumber(71), status: "complete", image: "")]
            return .platformReleases(list: Array((releaseEntries + first).prefix(limit)))
        case .destroy(let id, let nonce): return destroy(id, nonce, isLate)
        case .metadata(let id, let prefix):
            guard let box = boxes[id] else { return refused(.notFound, "machine not found") }
            return .metadata(values: (box.machine.tickets ?? [:]).filter { $0.key.hasPrefix(prefix) })
        case .setMetadata(let id, let key, let value): return mark(id, key, value)
        case .removeMetadata(let id, let key): return mark(id, key, nil)
        case .versions(let id): return .versions(list: (boxes[id]?.versions ?? []).reversed())
        case .lease(let id):
            guard let lease = boxes[id]?.lease, lease.expiresAt > now else { return .leaseHolder(holder: nil) }
            return .leaseHolder(holder: .init(owner: "someone", description: "", expiresAt: lease.expiresAt))
        }
    }

    /// A write of metadata, which is lost while the machine is being replaced.
    private mutating func mark(_ id: MachineID, _ key: String, _ value: String?) -> Answer {
        guard var box = boxes[id] else { return refused(.notFound, "machine not found") }
        guard box.machine.state != "replacing" else { return .done }
        box.machine.tickets = (box.machine.tickets ?? [:]).filter { $0.key != key }
        if let value { box.machine.tickets?[key] = value }
        boxes[id] = box
        return .done
    }

    // MARK: - Leases

    private mutating func acquire(_ id: MachineID, _ seconds: Int) -> Answer {
        guard let box = boxes[id] else { return refused(.notFound, "machine not found") }
        if let lease = box.lease, lease.expiresAt > now {
            return .failed(failure: Failure(.leaseHeld, "lease currently held", leaseExpiresAt: lease.expiresAt))
        }
        counter += 1
        let lease = Lease(nonce: LeaseNonce("nonce-\(counter)"), expiresAt: now + .seconds(seconds))
        boxes[id]?.lease = lease
        return .lease(lease: lease)
    }

    private mutating func refresh(_ id: MachineID, _ nonce: LeaseNonce, _ seconds: Int) -> Answer {
        guard let lease = boxes[id]?.lease, lease.nonce == nonce, lease.expiresAt > now else {
            return refused(.leaseHeld, "the lease is not yours")
        }
        let renewed = Lease(nonce: nonce, expiresAt: now + .seconds(seconds))
        boxes[id]?.lease = renewed
        return .lease(lease: renewed)
    }

    // MARK: - Changes

    private mutating func update(
        _ id: MachineID, _ config: MachineConfig, _ version: InstanceID, _ nonce: LeaseNonce, _ skipLaunch: Bool,
        _ isLate: Bool
    ) -> Answer {
        guard var box = boxes[id] else { return refused(.notFound, "machine not found") }
        guard let lease = box.lease, lease.nonce == nonce, lease.expiresAt > now else {
            if !isLate { violations.append("\(now): \(id) was to be updated without a live lease") }
            return refused(.leaseHeld, "the lease is not yours")
        }
        if !box.machine.isManaged { violations.append("\(now): \(id) is unmanaged and was updated") }
        guard box.machine.instance == version else { return refused(.conflict, "current_version does not match") }
        if let floor, box.machine.isServing, !skipLaunch, available - 1 < floor {
            violations.append("\(now): updating \(id) leaves \(available - 1) available, the floor is \(floor)")
        }
        box.version += 1
        box.machine.instance = InstanceID("\(id)-\(box.version)")
        box.versions.append(.init(instance: box.machine.instance, config: config))
        install(config, on: &box, skipLaunch: skipLaunch)
        boxes[id] = box
        nextChange = boxes.values.compactMap(\.nextChange).min()
        return .machine(machine: box.machine)
    }

    private mutating func destroy(_ id: MachineID, _ nonce: LeaseNonce, _ isLate: Bool) -> Answer {
        guard let box = boxes[id] else { return refused(.notFound, "machine not found") }
        guard let lease = box.lease, lease.nonce == nonce, lease.expiresAt > now else {
            if !isLate { violations.append("\(now): \(id) was to be destroyed without a live lease") }
            return refused(.leaseHeld, "the lease is not yours")
        }
        if !box.machine.isManaged { violations.append("\(now): \(id) is unmanaged and was destroyed") }
        boxes[id] = nil
        destroyed.append(id)
        return .done
    }

    private mutating func create(
        _ name: String, _ region: String, _ config: MachineConfig, _ skipLaunch: Bool, _ seconds: Int?
    ) -> Answer {
        guard !boxes.values.contains(where: { $0.machine.name == name }) else {
            return refused(.conflict, "the name is taken")
        }
        counter += 1
        let id = MachineID("new\(counter)")
        var box = Box(
            machine: FleetMachine(
                id: id, name: name, state: "created", region: region, instance: InstanceID("\(id)-1"), config: config,
                imageDigest: nil))
        box.versions = [.init(instance: box.machine.instance, config: config)]
        install(config, on: &box, skipLaunch: skipLaunch)
        box.lease = seconds.map { Lease(nonce: LeaseNonce("born-\(counter)"), expiresAt: now + .seconds($0)) }
        boxes[id] = box
        nextChange = boxes.values.compactMap(\.nextChange).min()
        return .created(machine: box.machine, lease: box.lease)
    }

    private func install(_ config: MachineConfig, on box: inout Box, skipLaunch: Bool) {
        box.machine.config = config
        box.machine.tickets = nil
        box.machine.imageDigest = config.image.flatMap(ImageReference.init(parsing:))?.digest
        box.machine.events = []
        box.machine.checks = []
        (box.startsAt, box.passesAt, box.exitsAt) = (nil, nil, nil)
        guard !skipLaunch else { return }
        let behaviour = behaviour(of: box.machine.imageDigest)
        box.machine.state = "replacing"
        let start = now + behaviour.boot
        box.startsAt = start
        switch behaviour.health {
        case .good, .failsProbes: box.passesAt = start + behaviour.checks
        case .neverPasses: break
        case .exits(let after):
            box.passesAt = start + behaviour.checks
            box.exitsAt = start + after
        }
    }

    private func behaviour(of digest: ImageDigest?) -> Behaviour { digest.flatMap { behaviours[$0] } ?? Behaviour() }

    private func checks(of machine: FleetMachine, _ status: String, _ time: Timestamp) -> [FleetMachine.Check] {
        (0..<machine.config.checkCount).map {
            .init(
                name: "servicecheck-0\($0)-http-8080", status: status, output: status == "passing" ? "" : "503",
                updatedAt: time)
        }
    }

    private func refused(_ code: Failure.Code, _ message: String) -> Answer { .failed(failure: Failure(code, message)) }
}
