// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension Rehearsal {
    /// What comes of a seed, with those of its faults named that hit no single call: a release that does not work, slow
    /// starts, an absent registry, a second run, a lost journal.
    package func runNamingFaults(_ seed: UInt64) -> RehearsedRun {
        var run = run(seed)
        run.name(faultsOf: plan(seed).plan)
        return run
    }

    /// A seed once more, with all that happened in it and its faults named.
    package func replayNamingFaults(_ seed: UInt64) -> RehearsedStory {
        var story = replay(seed)
        for fault in story.run.name(faultsOf: plan(seed).plan) {
            let place = story.trace.firstIndex { $0.at > fault.at } ?? story.trace.endIndex
            story.trace.insert(TraceLine(at: fault.at, kind: .fault, text: fault.detail), at: place)
        }
        return story
    }
}

extension RehearsedRun {
    /// Adds the faults of a plan that hold for a time or for the whole run, where the run does not name them itself;
    /// returns those that no line of its story tells of.
    @discardableResult
    mutating func name(faultsOf plan: RehearsalPlan) -> [InjectedFault] {
        var added: [InjectedFault] = []
        func add(_ kind: FaultKind, at milliseconds: Int = 0, _ detail: String) {
            guard .milliseconds(milliseconds) <= duration, !faults.contains(where: { $0.kind == kind }) else { return }
            added.append(InjectedFault(kind, at: .milliseconds(milliseconds), detail: detail))
        }
        if let image = plan.newImage, hasTriedRelease { add(.badRelease, "the new release \(image.health.story)") }
        if let rival = plan.rival {
            add(.secondRun, at: rival.afterMilliseconds, "a second \(rival.kind.rawValue) is started")
        }
        for disturbance in plan.disturbances {
            switch disturbance {
            case .registryAway(let from, let time):
                add(.registry, at: from, "the registry is away for \(Words.time(.milliseconds(time)))")
            case .slowBoots(let from, let time, let extra):
                add(
                    .slowBoot, at: from,
                    "for \(Words.time(.milliseconds(time))) starts take \(Words.time(.milliseconds(extra))) longer")
                longestStart = max(longestStart, .milliseconds(GuestBehaviour().bootMilliseconds + extra))
            default: break
            }
        }
        faults += added
        nameLostJournals(plan)
        faults.sort { $0.at < $1.at }
        return added
    }

    /// Whether the new release was put on machines, or may have been.
    private var hasTriedRelease: Bool {
        switch outcome {
        case .refused, .unavailable: false
        // A recovery that found nothing to do has verified the old release.
        case .verified: headline.contains("deployed")
        case .rolledBack, .needsHuman, .interrupted: true
        }
    }

    /// A death is named by what it took along: where a plan has deaths of both kinds, both are named.
    private mutating func nameLostJournals(_ plan: RehearsalPlan) {
        let kinds = Set(
            plan.disturbances.compactMap { disturbance -> Recovery.Kind? in
                guard case .kill(_, _, _, let recovery) = disturbance else { return nil }
                return recovery.kind
            })
        guard kinds.contains(.cold), !faults.contains(where: { $0.kind == .lostJournal }) else { return }
        let deaths = faults.filter { $0.kind == .crash }
        if !kinds.contains(.warm) { faults.removeAll { $0.kind == .crash } }
        faults += deaths.map { InjectedFault(.lostJournal, at: $0.at, detail: $0.detail) }
    }
}

extension GuestBehaviour.Health {
    /// What is wrong with the release, as a story tells it.
    fileprivate var story: String {
        switch self {
        case .good: "works"
        case .neverPasses: "never passes its checks"
        case .exits(let after): "exits \(Words.time(.milliseconds(after))) after each start"
        case .failsProbes: "passes its checks and answers 503 to everybody else"
        case .failsToBoot: "can't be started"
        case .flaps(let every): "passes and fails its checks in turn, every \(Words.time(.milliseconds(every)))"
        }
    }
}
