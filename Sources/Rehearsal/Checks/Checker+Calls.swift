// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model

/// What is sent to the platform, what comes of it there, and what a process hears of it.
extension Checker {
    /// A call leaves a process.
    ///
    /// - Parameter knownAt: the instant that the run's last list showed when it decided on the call.
    mutating func sends(_ call: PlatformCall, _ action: ActionID, knownAt: Timestamp, _ who: Who, _ world: World) {
        switch call {
        case .app, .machines, .observe, .machine, .refreshLease, .secretNames, .createRelease, .releases, .versions,
            .lease, .metadata:
            break
        case .setMetadata(let id, _, _):
            touches(id, "marks", who, world)
            if facts[who.ordinal]?.queuedAt == nil { facts[who.ordinal]?.queuedAt = now }
        case .removeMetadata(let id, _): touches(id, "marks", who, world)
        case .acquireLease(let id, let seconds):
            touches(id, "leases", who, world)
            if seconds > Checker.longestLeaseSeconds {
                complain(.leasesEnd, "\(who.name) leases \(name(id, world)) for \(seconds) s")
            }
        case .releaseLease(let id, let nonce):
            if let lease = leases[nonce], lease.run == who.run {
                leases[nonce]?.isReleaseSent = true
            } else {
                complain(.ownLease, "\(who.name) releases a lease of \(name(id, world)) that it does not hold")
            }
        case .update(let id, let config, _, let nonce, _):
            touches(id, "changes", who, world)
            carries(nonce, id, "an update", who, world)
            repeats(config, name(id, world), action, who)
            goesBack(config, name(id, world), who)
        case .create(let name, _, let config, _, _):
            repeats(config, name, action, who)
            adds(name, config.processGroup, who, asOf: knownAt)
            goesBack(config, name, who)
        case .destroy(let id, let nonce):
            touches(id, "destroys", who, world)
            carries(nonce, id, "a destroy", who, world)
        case .cordon(let id, let nonce), .uncordon(let id, let nonce):
            touches(id, "cordons", who, world)
            carries(nonce, id, "a cordon", who, world)
        case .wait(let id, let version, _, _):
            waits(id, version, who, world)
        case .finishRelease(let id, _):
            if releases[id] == nil { closersOfTwins.insert(who.run) }
            releases[id]?.isCloseSent = true
        }
    }

    private mutating func touches(_ id: MachineID, _ what: String, _ who: Who, _ world: World) {
        guard let standing = standings[id.rawValue], !standing.isManaged else { return }
        complain(.unmanagedUntouched, "\(who.name) \(what) \(name(id, world)), which is unmanaged")
    }

    private mutating func carries(_ nonce: LeaseNonce, _ id: MachineID, _ what: String, _ who: Who, _ world: World) {
        if leases[nonce]?.run != who.run {
            complain(.liveLease, "\(who.name) sends \(what) of \(name(id, world)) without a lease of its own")
        }
    }

    private mutating func repeats(_ config: MachineConfig, _ name: String, _ action: ActionID, _ who: Who) {
        guard let operation = config.json["metadata"]?[Bookkeeping.operation]?.string else { return }
        let looks = facts[who.ordinal]?.looks ?? 0
        if let earlier = facts[who.ordinal]?.sent[operation] {
            if earlier.name != name {
                complain(.noBlindRepeat, "\(who.name) sends \(operation) again as \(name), it was \(earlier.name)")
            } else if !earlier.isRefused, earlier.looks == looks {
                complain(.noBlindRepeat, "\(who.name) sends \(operation) of \(name) again without a look")
            }
        }
        facts[who.ordinal]?.sent[operation] = SentChange(looks: looks, name: name)
        facts[who.ordinal]?.open[action] = operation
    }

    /// - Parameter time: machines that came later don't count: a run that slept after its decision did not know of
    ///   them, and the platform refuses the name. A creation that is done all the same is held against all machines.
    private mutating func adds(_ name: String, _ group: ProcessGroup, _ who: Who, asOf time: Timestamp) {
        guard who.kind == .deploy, !isRollingBack(who) else { return }
        let hasMachines = standings.contains { id, standing in
            // What a rival makes at the same time is the rival's concern.
            standing.exists && standing.isManaged && standing.group == group && standing.firstSeen <= time
                && makers[id].map { $0 != who.run && isOver($0) } ?? true
        }
        if hasMachines {
            complain(.emptyListIsNoFirstDeploy, "\(who.name) creates \(name), and group \(group) has machines")
        }
    }

    private func isOver(_ run: RunID) -> Bool {
        everyone.contains { $0.who.run == run && $0.hasEnded }
    }

    private mutating func waits(_ id: MachineID, _ version: InstanceID, _ who: Who, _ world: World) {
        guard !version.rawValue.isEmpty else {
            complain(.waitNamesVersion, "\(who.name) waits for \(name(id, world)) without a version")
            return
        }
        // Versions sort by their birth.
        guard let last = installed[who.run]?[id.rawValue], version.rawValue < last else { return }
        complain(.waitNamesVersion, "\(who.name) waits for a version of \(name(id, world)) from before its change")
    }

    // MARK: - At the platform

    /// A call arrived and was done, or refused; nil where its answer has to wait.
    mutating func applied(
        _ call: PlatformCall, sentAt: Timestamp, knownAt: Timestamp, _ who: Who, _ answer: WorldAnswer?, _ world: World
    ) {
        guard call.isMutation, let answer else { return }
        if case .failure = answer { return }
        switch (call, answer) {
        case (.acquireLease(let id, _), .lease(let lease, _)):
            leases[LeaseNonce(lease.nonce)] = LeaseFact(run: who.run, process: who.ordinal, machine: id)
        case (.createRelease, .release(let release, _)):
            releases[release.id] = OpenRelease(run: who.run, process: who.ordinal, openedAt: now)
        case (.create, .machine(let machine, let nonce)):
            if let nonce {
                leases[LeaseNonce(nonce)] = LeaseFact(
                    run: who.run, process: who.ordinal, machine: MachineID(machine.id))
            }
            created(machine, who, sentAt, world)
        case (.update(let id, _, _, let nonce, _), .machine(let machine, _)):
            underLease(nonce, id, who, world)
            installed[who.run, default: [:]][machine.id] = machine.instance
            takes(id, knownAt, who, "the update of \(machine.name)", world)
            changesFleet(who, sentAt)
        case (.finishRelease(let id, "complete"), _):
            // Who can't read the run's ledger reads this.
            let release = world.apps[prepared.scenario.app.rawValue]?.releases.first { $0.id == id }
            if let digest = release.flatMap({ prepared.images[$0.image] }) { verifiedDigests.insert(digest) }
        case (.destroy(let id, let nonce), _):
            underLease(nonce, id, who, world)
            destroyed(id, knownAt, who, world)
            changesFleet(who, sentAt)
        case (.cordon(let id, let nonce), _), (.uncordon(let id, let nonce), _):
            underLease(nonce, id, who, world)
            let what = "the cordon of " + name(id, world)
            takes(id, knownAt, who, what, world)
            changesFleet(who, sentAt)
        default: break
        }
    }

    private mutating func underLease(_ nonce: LeaseNonce, _ id: MachineID, _ who: Who, _ world: World) {
        guard leases[nonce]?.run != who.run else { return }
        complain(.liveLease, "\(who.name) changed \(name(id, world)) without a live lease of its own")
    }

    private mutating func changesFleet(_ who: Who, _ sentAt: Timestamp) {
        isFleetChanged = true
        let known = facts[who.ordinal]?.changes
        let first = min(known?.lowerBound ?? sentAt, sentAt)
        facts[who.ordinal]?.changes = first...max(known?.upperBound ?? sentAt, sentAt)
    }

    private mutating func created(
        _ machine: WorldMachine, _ who: Who, _ sentAt: Timestamp, _ world: World
    ) {
        adds(machine.name, machine.config.processGroup, who, asOf: now)
        makers[machine.id] = who.run
        installed[who.run, default: [:]][machine.id] = machine.instance
        changed(machine.id, world)
        changesFleet(who, sentAt)
    }

    /// On the way back only the target is put on machines.
    private mutating func goesBack(_ config: MachineConfig, _ name: String, _ who: Who) {
        guard let target = facts[who.ordinal]?.target, let digest = config.image.flatMap({ prepared.images[$0] }),
            digest != target.digest
        else { return }
        complain(
            .rollbackTarget, "\(who.name) goes back to \(target.number) and puts another image on \(name)")
    }

    private mutating func takes(
        _ id: MachineID, _ knownAt: Timestamp, _ who: Who, _ what: String, _ world: World
    ) {
        let before = standings[id.rawValue]
        changed(id.rawValue, world, byRun: true)
        if let before { checkFloor(id.rawValue, before: before, knownAt: knownAt, who, what) }
    }

    private mutating func destroyed(_ id: MachineID, _ knownAt: Timestamp, _ who: Who, _ world: World) {
        guard let standing = standings[id.rawValue] else { return }
        let isRemovedGroup = !wantedGroups.contains(standing.group)
        let isOwnMaking = makers[id.rawValue] != nil
        let name = name(id, world)
        if !isOwnMaking, !isRemovedGroup {
            complain(.nothingForeignDestroyed, "\(who.name) destroys \(name), which no run of these made")
        } else if !isOwnMaking, isRollingBack(who) {
            complain(.nothingForeignDestroyed, "\(who.name) destroys \(name) on its way back")
        }
        if isRemovedGroup {
            changed(id.rawValue, world, byRun: true)
        } else {
            takes(id, knownAt, who, "the end of \(name)", world)
        }
    }

    // MARK: - At the process

    /// A process is told something.
    mutating func heard(_ kind: RunEvent.Kind, _ who: Who) {
        guard case .answered(let action, let answer) = kind else { return }
        switch answer {
        case .machines, .observations, .machine:
            facts[who.ordinal]?.looks += 1
        case .lease(let lease), .created(_, let lease?):
            leases[lease.nonce]?.isKnown = true
        case .failed(let failure):
            guard !failure.isAmbiguous, let operation = facts[who.ordinal]?.open[action] else { return }
            facts[who.ordinal]?.sent[operation]?.isRefused = true
        case .platformRelease(let id, _):
            releases[id]?.isKnown = true
        case .done, .app, .created, .waitTimedOut, .names, .platformReleases, .versions, .leaseHolder, .metadata,
            .commit, .onBranch, .dirtyPaths, .changes, .checks, .pullRequests, .image, .probe, .window, .history,
            .approvals,
            .elsewhere, .approvalCheck, .reviews, .workflowRun, .migrations, .woke:
            break
        }
    }
}
