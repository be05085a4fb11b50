// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import Stages

/// What must be so once all is over.
extension Checker {
    mutating func end(_ engine: Engine) {
        serving.count(until: now)
        checkTerminalRecords(engine)
        checkNotices()
        checkActiveRuns()
        checkLine(engine)
        checkReleases(engine)
        checkLeases(engine.world)
        guard isFleetChanged else { return }
        checkFleet(engine.world)
        checkLeftovers(engine.world)
    }

    /// Whether everybody who began has ended, or left it to somebody who did.
    private func isLeft(_ run: RunID) -> Bool {
        !everyone.contains { $0.who.run == run && $0.hasEnded }
    }

    /// Whether a recovery came to its end; what is open after any other is the sign that something is to be recovered.
    private func hasActed(_ facts: Facts) -> Bool {
        switch facts.report?.outcome {
        case .verified, .rolledBack: true
        case .needsHuman: facts.changes != nil
        case .interrupted, .refused, .unavailable, nil: false
        }
    }

    /// The end that says how the fleet stands: that of the run which changed it last, or of one that looked at it
    /// later and found something to say.
    private var lastWord: Facts? {
        var lastChange: [RunID: Timestamp] = [:]
        for facts in everyone {
            guard let changes = facts.changes else { continue }
            lastChange[facts.who.run] = max(lastChange[facts.who.run] ?? changes.upperBound, changes.upperBound)
        }
        var best: (at: Timestamp, facts: Facts)?
        for facts in everyone {
            guard let report = facts.report, let endedAt = facts.endedAt else { continue }
            let time: Timestamp
            switch report.outcome {
            case .refused, .unavailable: continue
            // Interrupted before it did anything, it has nothing to tell of.
            case .interrupted:
                guard let change = lastChange[facts.who.run] else { continue }
                time = change
            case .verified, .rolledBack, .needsHuman: time = lastChange[facts.who.run] ?? endedAt
            }
            if let known = best, known.at > time { continue }
            best = (time, facts)
        }
        return best?.facts
    }

    private mutating func checkTerminalRecords(_ engine: Engine) {
        for run in Set(everyone.map(\.who.run)).sorted() {
            let count = engine.stores.reduce(0) { $0 + ($1.ends[run] ?? 0) }
            let isEnded = everyone.contains { $0.who.run == run && $0.report != nil }
            if count > 1 || (isEnded && count == 0) {
                complain(.oneTerminalRecord, "the run \(run) has \(count) ends")
            }
        }
    }

    private mutating func checkNotices() {
        for facts in everyone.sorted(by: { $0.who.ordinal < $1.who.ordinal }) where facts.report != nil {
            for channel in prepared.scenario.settings.channels {
                let sent = everyone.filter { $0.who.run == facts.who.run }
                    .reduce(0) { $0 + ($1.notices[channel] ?? 0) }
                if sent == 0 {
                    complain(.noticeAfterRecord, "\(facts.who.name) ended and told nobody by \(channel.rawValue)")
                }
            }
        }
    }

    private mutating func checkActiveRuns() {
        let active = everyone.filter { $0.changes != nil }.sorted { $0.who.ordinal < $1.who.ordinal }
        for (index, first) in active.enumerated() {
            for second in active.dropFirst(index + 1) {
                guard let left = first.changes, let right = second.changes, left.overlaps(right) else { continue }
                complain(.oneActiveRun, "\(first.who.name) and \(second.who.name) both changed the fleet at one time")
            }
        }
    }

    private mutating func checkReleases(_ engine: Engine) {
        for release in engine.world.apps[prepared.scenario.app.rawValue]?.releases ?? [] {
            guard release.status == "running" || release.status == "pending", let open = releases[release.id],
                !open.isCloseSent
            else { continue }
            // The answer was lost and the platform could not be asked, and the run says so.
            if !open.isKnown, saysUnseen(open.run) { continue }
            // The call arrived when its run was over.
            if let end = facts[open.process]?.endedAt, end <= open.openedAt { continue }
            // Its run died, and nobody came after it, or was stopped before they could do anything.
            let isTakenUp = everyone.contains {
                $0.who.isRecovery && ($0.who.kind == .recover || $0.who.run == open.run) && hasActed($0)
                    && ($0.endedAt ?? open.openedAt) > open.openedAt
            }
            // Whoever was fenced out had left it to the one who fenced it out.
            let isLeft = !everyone.contains {
                $0.who.run == open.run && $0.hasEnded && !engine.processes[$0.who.ordinal].isFenced
            }
            guard !isLeft || isTakenUp else { continue }
            // A call that arrived twice opened two: whoever closed one of them knew of no other.
            if !open.isKnown, closersOfTwins.contains(open.run) { continue }
            complain(.releaseClosed, "the release v\(release.version) is open and nobody will close it")
        }
    }

    private func saysUnseen(_ run: RunID) -> Bool {
        everyone.contains { facts in
            facts.who.run == run
                && facts.report?.warnings.contains { $0.hasPrefix(RunMachine.unseenRelease) } == true
        }
    }

    /// Everybody's leases have ended by themselves at the latest.
    private mutating func checkLeases(_ world: World) {
        for (nonce, lease) in leases.sorted(by: { $0.key < $1.key }) {
            guard let held = world.machines[lease.machine.rawValue]?.liveLease(at: now),
                held.nonce == nonce.rawValue, let ended = facts[lease.process]?.endedAt,
                now - ended > .seconds(Checker.longestLeaseSeconds)
            else { continue }
            complain(.leasesEnd, "\(name(lease.machine, world)) is still leased, \(now - ended) after the end")
        }
    }

    /// What every machine must agree in.
    private func substance(of machine: WorldMachine) -> JSONValue {
        var substance = machine.config.substance
        substance["mounts"] = nil
        return substance
    }

    private mutating func checkFleet(_ world: World) {
        let fleet = managed(world)
        var differences: [String] = []
        if Set(fleet.map(\.imageDigest)).count > 1 { differences.append("several images") }
        for group in Set(fleet.map(\.config.processGroup)).sorted() {
            let members = fleet.filter { $0.config.processGroup == group }
            guard let first = members.first.map(substance), members.count > 1 else { continue }
            if members.contains(where: { substance(of: $0) != first }) {
                differences.append("several configs of \(group)")
            }
        }
        guard !differences.isEmpty else { return }
        // Whoever did it is dead, and whoever came after it was stopped before it could do anything.
        guard let last = lastWord, let report = last.report else { return }
        switch report.outcome {
        case .needsHuman where !report.divergence.isEmpty: return
        case .interrupted where !report.nextSteps.isEmpty: return
        case .needsHuman, .interrupted, .verified, .rolledBack, .refused, .unavailable:
            complain(
                .homogeneousFleet,
                "the fleet has \(differences.joined(separator: ", ")), and \(last.who.name) says: "
                    + "\(report.outcome.rawValue), \(report.headline)")
        }
    }

    private mutating func checkLeftovers(_ world: World) {
        let fleet = managed(world)
        var seen: [String: String] = [:]
        for machine in fleet {
            guard let operation = machine.config.metadata(Bookkeeping.operation), !operation.isEmpty else { continue }
            if let other = seen[operation], makers[machine.id] != nil {
                complain(.noLeftovers, "\(machine.name) and \(other) come from one operation, \(operation)")
            }
            seen[operation] = machine.name
        }
        guard let last = lastWord, last.report?.outcome == .rolledBack else { return }
        let recorded = Set((last.target?.machines ?? []).map(\.name))
        for machine in fleet where makers[machine.id] != nil && !recorded.contains(machine.name) {
            // What a deploy found when it began, it goes back to, whoever has made it.
            if last.who.kind == .deploy, makers[machine.id] != last.who.run,
                let seen = standings[machine.id]?.firstSeen, last.changes.map({ seen < $0.lowerBound }) ?? true
            {
                continue
            }
            complain(.noLeftovers, "\(machine.name) was created by a run that was rolled back")
        }
    }
}
