// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import PipelineFiles
internal import Rollouts
internal import Verification

/// What the fleet as it stands allows: whether it can be changed, and what can be gone back to.
extension PreValidation {
    /// The fleet is judged once the machines, the ledger and the platform's releases are all known.
    mutating func judgeFleetIfKnown(_ agenda: inout Agenda) {
        let open = routes.values
        guard !open.contains(.machines), !open.contains(.releases), !open.contains(.history), gates[.fleet] == nil,
            facts.history != nil, !isAskingPast
        else { return }
        let managed = facts.fleet.filter(\.isManaged)
        let unreachable = managed.filter { !$0.isConfigComplete || $0.hostStatus != "ok" }
        if !unreachable.isEmpty {
            refuseAsItIs(
                .fleet,
                "not reachable by the platform: \(unreachable.map(\.id.rawValue).joined(separator: ", "))",
                hint: "wait until their hosts are back, or destroy them: fly machine destroy ID -a \(request.app)",
                &agenda)
            return
        }
        if askForPast(of: managed, &agenda) { return }
        if managed.isEmpty, request.kind != .rollback {
            judgeEmptyFleet(&agenda)
        } else {
            judgeGroups(managed, &agenda)
            judgeFloor(managed, &agenda)
            if hasAskedPast {
                chooseTargetFromPast(managed, &agenda)
            } else if request.kind == .rollback, let history = facts.history {
                chooseTarget(history, &agenda)
            }
            if request.kind != .rollback, isHolding, let current = facts.history?.current {
                if isNewer(managed, than: current) {
                    adopt(managed, &agenda)
                } else {
                    keepWayBack(to: current, &agenda)
                }
            } else if request.kind != .rollback, facts.wayBack == nil, gates[.wayBack] == nil {
                adopt(managed, &agenda)
            }
        }
    }

    /// An empty list is a first deploy only where nothing says that there were machines.
    private mutating func judgeEmptyFleet(_ agenda: inout Agenda) {
        let known = facts.platformReleases.first?.number ?? facts.history?.states.first?.number
        if let known {
            set(
                .fleet, .refused, "the app has releases (\(known)) but the platform lists no machines",
                hint: "if they were destroyed on purpose, go on with --skip fleet --approved-by WHO", &agenda)
        } else {
            set(.fleet, .passed, "no machines yet: this is the first deploy", &agenda)
        }
        if isHolding, let current = facts.history?.current {
            keepWayBack(to: current, &agenda)
        } else if facts.wayBack == nil {
            set(.wayBack, .passed, "first deploy: there is nothing to go back to", &agenda)
        }
    }

    private mutating func judgeGroups(_ managed: [FleetMachine], _ agenda: inout Agenda) {
        let wanted = Set(request.settings.flyToml.groups)
        let gone = Set(managed.map(\.config.processGroup)).subtracting(wanted).filter {
            !$0.rawValue.hasPrefix("fly_app_")
        }
        // A volume outlives no machine that people forget about.
        let keeping = managed.filter {
            gone.contains($0.config.processGroup) && !($0.config.json["mounts"]?.array ?? []).isEmpty
        }
        guard request.kind == .rollback || keeping.isEmpty else {
            refuseAsItIs(
                .fleet,
                "machines with volumes belong to process groups that fly.toml no longer has: "
                    + keeping.map { "\($0.id) (\($0.config.processGroup))" }.joined(separator: ", "),
                hint: "put the group back into fly.toml, or destroy those machines first", &agenda)
            return
        }
        if request.kind != .rollback, !gone.isEmpty {
            warn(
                "fly.toml no longer has \(gone.map(\.rawValue).sorted().joined(separator: ", ")): "
                    + "once the new release is verified, the machines of it are destroyed", &agenda)
        }
        for machine in managed where request.kind != .rollback && !gone.contains(machine.config.processGroup) {
            let group = machine.config.processGroup
            if let conflict = request.settings.flyToml.mountConflict(for: group, with: machine.config) {
                refuseAsItIs(.fleet, "\(machine.id): \(conflict)", &agenda)
                return
            }
        }
        set(.fleet, .passed, "\(managed.count) machines", &agenda)
    }

    private mutating func judgeFloor(_ managed: [FleetMachine], _ agenda: inout Agenda) {
        for group in Set(managed.map(\.config.processGroup)).sorted() {
            let members = managed.filter { $0.config.processGroup == group && $0.config.hasServices }
            let serving = members.filter(\.isServing)
            guard !serving.isEmpty else { continue }
            let floor = request.servingFloor(over: members.count)
            // A machine that does not serve takes nothing away: it is changed first, and the floor waited for.
            if request.kind != .rollback, members.count - 1 < floor {
                refuseAsItIs(
                    .servingFloor,
                    "group \(group) has \(members.count) machines and a serving floor of \(floor): "
                        + "none may be taken away", hint: "add a machine, or lower deploy.serving_floor", &agenda)
                return
            }
        }
        set(.servingFloor, .passed, "can be kept", &agenda)
    }

    /// A fleet that Airboss never deployed can be gone back to if it is whole and healthy now.
    private mutating func adopt(_ managed: [FleetMachine], _ agenda: inout Agenda) {
        // What a run put there that never ended was verified by nobody, however well it is. A ledger that knows the run
        // tells how it ended.
        guard facts.history?.states.isEmpty == false || brokenOff == nil else {
            notAdopted("a run has not ended", &agenda)
            return
        }
        let digests = Set(managed.compactMap(\.imageDigest))
        let started = managed.filter { !FleetPlan.restingStates.contains($0.state) }
        guard digests.count == 1, started.allSatisfy({ $0.state == "started" && $0.areChecksPassing }) else {
            notAdopted("the fleet is not whole and healthy now", &agenda)
            return
        }
        guard let health = request.settings.verify.health, !started.isEmpty else {
            adopted(managed, digests, &agenda)
            return
        }
        ask(.baseline, .probe(request: health.probe), &agenda)
    }

    mutating func judgeBaseline(_ result: ProbeResult, _ agenda: inout Agenda) {
        let managed = facts.fleet.filter(\.isManaged)
        let fault = request.settings.verify.health?.criteria.fault(in: result)
        if let fault, !(result.status == 404 && request.settings.verify.fallback != nil) {
            notAdopted("what runs now is not healthy: \(fault)", &agenda)
        } else {
            adopted(managed, Set(managed.compactMap(\.imageDigest)), &agenda)
        }
    }

    private mutating func adopted(_ managed: [FleetMachine], _ digests: Set<ImageDigest>, _ agenda: inout Agenda) {
        guard let digest = digests.first, let image = managed.first?.config.image else { return }
        let released = managed.map { ($0, $0.config.metadata("fly_release_version").flatMap(Int.init) ?? 0) }
        let newest = released.max { $0.1 < $1.1 }
        let number = newest?.1 ?? 0
        // The ledger may know the number from a run that failed; its record is that run's, and no other's to complete.
        let isKnown = facts.history?.states.contains { $0.number.value == number } == true
        let maker = isKnown ? newest?.0.config.metadata(Bookkeeping.run).map { RunID($0) } : nil
        let reference = ImageReference(parsing: image).map { "\($0.registry)/\($0.repository)@\(digest)" } ?? image
        facts.wayBack = ReleaseRecord(
            app: request.app, number: ReleaseNumber(number),
            platformID: managed.first?.config.metadata("fly_release_id") ?? "", commit: nil,
            subject: "as found before Airboss's first deploy", image: reference, digest: digest,
            machines: managed.map(RecordedMachine.init), state: .verified, run: maker ?? request.run,
            createdAt: agenda.now, verifiedAt: agenda.now, reason: "adopted")
        if let wayBack = facts.wayBack { migrationsUnknown(since: wayBack, &agenda) }
        ask(.pullable, .image(task: .provePullable(reference: reference)), &agenda)
    }
}
