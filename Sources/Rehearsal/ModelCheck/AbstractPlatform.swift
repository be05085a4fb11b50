// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// The least of a platform that rollouts can go wrong on: machines with versions and leases, and starts that succeed
/// or do not. It knows whose every version is, which no participant is told.
struct AbstractPlatform: Sendable {
    struct Machine: Sendable {
        enum Boot: Int, Sendable {
            case healthy, starting, checking, broken
        }

        /// As the platform shows it.
        var shown: FleetMachine
        /// As a list that is behind would show it.
        var earlier: FleetMachine?
        /// The participant that made each version, oldest first; nil for what was there before.
        var makers: [Int?]
        var configs: [MachineConfig]
        var lease: HeldLease?
        var boot = Boot.healthy
        /// Takes any time to start (a fault).
        var isSlow = false
        /// A call changed it that nobody waited for any more, and nobody has looked at the fleet since.
        var isUnseen = false

        var isHealthy: Bool { boot == .healthy }
        var maker: Int? { makers.last ?? nil }
    }

    struct HeldLease: Sendable {
        var lease: Lease
        var holder: Int
    }

    private(set) var machines: [Machine]
    /// Counts what polls and tries for a lease would notice.
    private(set) var changes = 0
    /// The fewest healthy machines an update may leave; nil where the check does not count them.
    let floor: Int?
    private var leases = 0
    /// Newest first.
    private(set) var releases: [PlatformReleaseEntry]

    init(_ fleet: [FleetMachine], floor: Int?, releases: [PlatformReleaseEntry] = []) {
        self.releases = releases
        machines = fleet.map { Machine(shown: $0, makers: [nil], configs: [$0.config]) }
        self.floor = floor
    }

    func index(of id: MachineID) -> Int? { machines.firstIndex { $0.shown.id == id } }

    var fleet: [FleetMachine] { machines.map(\.shown) }

    /// The fleet as a list that is one change behind shows it.
    var earlierFleet: [FleetMachine] { machines.map { $0.earlier ?? $0.shown } }

    var hasEarlierFleet: Bool { machines.contains { $0.earlier != nil } }

    // MARK: - Starting

    /// The next step of a start: from the update to a running process, and from there to passing checks.
    mutating func bootOn(_ index: Int) {
        changes += 1
        switch machines[index].boot {
        case .starting:
            machines[index].boot = .checking
            machines[index].shown.state = "started"
            machines[index].shown.checks = AbstractPlatform.checks(
                of: machines[index].shown.config, passing: false)
            if machines[index].shown.config.checkCount == 0 { machines[index].boot = .healthy }
        case .checking:
            machines[index].boot = .healthy
            machines[index].shown.checks = AbstractPlatform.checks(of: machines[index].shown.config, passing: true)
        case .healthy, .broken: break
        }
    }

    mutating func slowDown(_ index: Int) { machines[index].isSlow = true }

    /// The new process exits.
    mutating func breakDown(_ index: Int, at now: Timestamp) {
        changes += 1
        machines[index].boot = .broken
        machines[index].shown.state = "stopped"
        machines[index].shown.checks = []
        machines[index].shown.events = [
            .init(type: "exit", status: "stopped", at: now, exitCode: 1, isOutOfMemory: false, wasRequested: false)
        ]
    }

    private static func checks(of config: MachineConfig, passing: Bool) -> [FleetMachine.Check] {
        (0..<config.checkCount).map {
            .init(name: "check-\($0)", status: passing ? "passing" : "critical", output: "", updatedAt: nil)
        }
    }

    // MARK: - Calls

    /// Answers a call that arrives now; nil for a wait that goes on. `broken` names the law that the call broke.
    mutating func answer(
        _ call: PlatformCall, from sender: Int, isLate: Bool = false, at now: Timestamp, broken: inout BrokenLaw?
    ) -> Answer? {
        switch call {
        case .machines:
            for index in machines.indices { machines[index].isUnseen = false }
            return .machines(list: fleet)
        case .observe:
            for index in machines.indices { machines[index].isUnseen = false }
            return .observations(list: fleet.map(Observation.init(of:)))
        case .machine(let id):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            return .machine(machine: machines[index].shown)
        case .acquireLease(let id, let seconds):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            if let held = live(index, at: now) {
                return .failed(
                    failure: Failure(.leaseHeld, "the lease is held", leaseExpiresAt: held.lease.expiresAt))
            }
            leases += 1
            let lease = Lease(nonce: LeaseNonce("nonce-\(leases)"), expiresAt: now + .seconds(seconds))
            machines[index].lease = HeldLease(lease: lease, holder: sender)
            return .lease(lease: lease)
        case .refreshLease(let id, let nonce, let seconds):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            guard var held = live(index, at: now), held.lease.nonce == nonce else { return AbstractPlatform.notYours }
            held.lease.expiresAt = now + .seconds(seconds)
            machines[index].lease = held
            return .lease(lease: held.lease)
        case .releaseLease(let id, let nonce):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            guard let held = live(index, at: now) else { return .done }
            guard held.lease.nonce == nonce else { return AbstractPlatform.notYours }
            machines[index].lease = nil
            changes += 1
            return .done
        case .lease(let id):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            return .leaseHolder(
                holder: live(index, at: now).map {
                    LeaseHolder(owner: "token", description: "\($0.holder)", expiresAt: $0.lease.expiresAt)
                })
        case .metadata(let id, let prefix):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            return .metadata(values: (machines[index].shown.tickets ?? [:]).filter { $0.key.hasPrefix(prefix) })
        case .setMetadata(let id, let key, let value):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            changes += 1
            machines[index].shown.tickets = (machines[index].shown.tickets ?? [:]).merging([key: value]) { $1 }
            return .done
        case .removeMetadata(let id, let key):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            changes += 1
            machines[index].shown.tickets?[key] = nil
            return .done
        case .update(let id, let config, let version, let nonce, _):
            return update(
                id, config, expecting: version, under: nonce, from: sender, isLate: isLate, at: now, broken: &broken)
        case .create(let name, let region, let config, _, let seconds):
            return create(name, region, config, seconds, from: sender, at: now, broken: &broken)
        case .destroy(let id, let nonce):
            return destroy(id, under: nonce, from: sender, at: now, broken: &broken)
        case .wait(let id, let version, let state, _):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            guard machines[index].shown.instance == version else {
                return .failed(failure: Failure(.conflict, "another version took its place"))
            }
            return machines[index].shown.state == state ? .done : nil
        case .versions(let id):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            return .versions(
                list: machines[index].configs.enumerated().reversed().map {
                    MachineVersionEntry(
                        instance: AbstractPlatform.instance(of: id, $0.offset + 1), config: $0.element)
                })
        case .cordon(let id, _), .uncordon(let id, _):
            guard let index = index(of: id) else { return AbstractPlatform.missing }
            if case .cordon = call {
                machines[index].shown.isCordoned = true
            } else {
                machines[index].shown.isCordoned = false
            }
            return .done
        case .app: return .app(organization: "acme")
        case .secretNames: return .names(list: [])
        case .createRelease(let image, _):
            let number = (releases.first?.number.value ?? 0) + 1
            let entry = PlatformReleaseEntry(
                id: "rel-\(number)", number: ReleaseNumber(number), status: "running", image: image)
            releases.insert(entry, at: 0)
            return .platformRelease(id: entry.id, number: entry.number)
        case .finishRelease(let id, let status):
            for index in releases.indices where releases[index].id == id { releases[index].status = status }
            return .done
        case .releases(let limit): return .platformReleases(list: Array(releases.prefix(limit)))
        }
    }

    private static let missing = Answer.failed(failure: Failure(.notFound, "machine not found"))
    private static let notYours = Answer.failed(failure: Failure(.leaseHeld, "the lease is not yours"))

    private static func instance(of id: MachineID, _ version: Int) -> InstanceID { InstanceID("\(id)/\(version)") }

    /// The machine's lease while it lives.
    func live(_ index: Int, at now: Timestamp) -> HeldLease? {
        machines[index].lease.flatMap { $0.lease.expiresAt > now ? $0 : nil }
    }

    /// A nonce proves a live lease; without one the call goes through wherever nobody holds a lease.
    private func isRefused(_ index: Int, under nonce: LeaseNonce, at now: Timestamp) -> Bool {
        if let held = live(index, at: now) { return held.lease.nonce != nonce }
        return !nonce.rawValue.isEmpty
    }

    private mutating func update(
        _ id: MachineID, _ config: MachineConfig, expecting version: InstanceID, under nonce: LeaseNonce,
        from sender: Int, isLate: Bool, at now: Timestamp, broken: inout BrokenLaw?
    ) -> Answer {
        guard let index = index(of: id) else { return AbstractPlatform.missing }
        if isRefused(index, under: nonce, at: now) { return AbstractPlatform.notYours }
        let before = machines[index]
        guard version.rawValue.isEmpty || before.shown.instance == version else {
            return .failed(failure: Failure(.conflict, "the version is another one"))
        }
        if live(index, at: now)?.holder != sender {
            broken = BrokenLaw(
                .fencing, "\(id) is changed by somebody who does not hold its lease")
        }
        // Only a call that names no version comes as far as this with another one than the machine has.
        if version != before.shown.instance, let maker = before.maker, maker != sender {
            broken = BrokenLaw(
                .noLostUpdate,
                "\(id) is changed by somebody who never saw the version that was there: the other's change is lost")
        }
        if let floor, before.isHealthy {
            let left = machines.count { $0.isHealthy } - 1
            // What a late call took away a moment ago, nobody could know.
            if left < floor, !isLate, !machines.contains(where: \.isUnseen) {
                broken = BrokenLaw(
                    .servingFloor,
                    "changing \(id) leaves \(left) healthy \(left == 1 ? "machine" : "machines"), the floor is \(floor)"
                )
            }
        }
        install(config, on: index, from: sender)
        machines[index].isUnseen = isLate
        return .machine(machine: machines[index].shown)
    }

    /// Leases whose time is over are nobody's.
    mutating func endLeases(at now: Timestamp) {
        for index in machines.indices where machines[index].lease != nil && live(index, at: now) == nil {
            machines[index].lease = nil
            changes += 1
        }
    }

    private mutating func install(_ config: MachineConfig, on index: Int, from sender: Int) {
        changes += 1
        machines[index].earlier = machines[index].shown
        machines[index].makers.append(sender)
        machines[index].configs.append(config)
        machines[index].boot = .starting
        machines[index].isSlow = false
        let id = machines[index].shown.id
        machines[index].shown.instance = AbstractPlatform.instance(of: id, machines[index].makers.count)
        machines[index].shown.config = config
        machines[index].shown.tickets = nil
        machines[index].shown.imageDigest = config.image.flatMap(ImageReference.init(parsing:))?.digest
        machines[index].shown.state = "replacing"
        machines[index].shown.checks = []
        machines[index].shown.events = []
    }

    private mutating func create(
        _ name: String, _ region: String, _ config: MachineConfig, _ seconds: Int?, from sender: Int, at now: Timestamp,
        broken: inout BrokenLaw?
    ) -> Answer {
        guard !machines.contains(where: { $0.shown.name == name }) else {
            return .failed(failure: Failure(.conflict, "the name is taken"))
        }
        let operation = config.metadata(Bookkeeping.operation)
        if operation != nil, machines.contains(where: { $0.shown.config.metadata(Bookkeeping.operation) == operation })
        {
            broken = BrokenLaw(.oneMachinePerIntent, "a second machine is created for one intent")
        }
        changes += 1
        let id = MachineID("id-of-\(name)")
        var shown = FleetMachine(
            id: id, name: name, state: "created", region: region, instance: AbstractPlatform.instance(of: id, 1),
            config: config, imageDigest: config.image.flatMap(ImageReference.init(parsing:))?.digest)
        shown.state = "starting"
        var machine = Machine(shown: shown, makers: [sender], configs: [config], boot: .starting)
        if let seconds {
            leases += 1
            machine.lease = HeldLease(
                lease: Lease(nonce: LeaseNonce("nonce-\(leases)"), expiresAt: now + .seconds(seconds)), holder: sender)
        }
        machines.append(machine)
        return .created(machine: shown, lease: machine.lease?.lease)
    }

    private mutating func destroy(
        _ id: MachineID, under nonce: LeaseNonce, from sender: Int, at now: Timestamp, broken: inout BrokenLaw?
    ) -> Answer {
        guard let index = index(of: id) else { return .done }
        if isRefused(index, under: nonce, at: now) { return AbstractPlatform.notYours }
        if machines[index].makers[0] == nil {
            broken = BrokenLaw(.destroysOnlyItsOwn, "\(id) is destroyed, and no run created it")
        }
        changes += 1
        machines.remove(at: index)
        return .done
    }

    // MARK: - Canonical form

    func write(to form: CanonicalForm) {
        form.write(machines.count)
        for machine in machines {
            form.write(machine.shown)
            form.write(machine.earlier != nil)
            if let earlier = machine.earlier { form.write(earlier) }
            form.write(machine.makers.count)
            for maker in machine.makers { form.write(maker ?? -1) }
            for config in machine.configs { form.write(config) }
            form.write(machine.boot.rawValue)
            form.write(machine.isUnseen)
            form.write(machine.isSlow)
            form.write(machine.shown.isCordoned)
            let isLeased = machine.lease.map { $0.lease.expiresAt > form.now } ?? false
            form.write(isLeased)
            if isLeased, let held = machine.lease {
                form.write(held.lease.nonce)
                form.write(held.lease.expiresAt)
                form.write(held.holder)
            }
        }
        form.write(releases.count)
        for release in releases { form.write(release.status) }
    }
}
