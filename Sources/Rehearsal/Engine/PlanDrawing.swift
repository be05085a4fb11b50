// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension RehearsalPlan {
    /// Calls of one process that a fault may hit.
    private static let maxCallOrdinal = 60
    /// Effects of one process at which something may happen.
    private static let maxEffectOrdinal = 110
    /// Milliseconds in which most runs are at their busiest.
    private static let busyTime = 40_000

    /// A plan drawn from a seed, with no other kinds of fault than those given.
    static func drawn(_ seed: UInt64, for scenario: Scenario, faults: Set<FaultKind>) -> RehearsalPlan {
        var draws = SeededDraws(seed: seed &* 0x9E37_79B9 &+ 0x5EED)
        var plan = RehearsalPlan(seed: seed)
        plan.fastestCall = draws.number(5...20)
        plan.slowestCall = draws.pick([30, 100, 400, 1500])
        // A run without any trouble is rare in a rehearsal, and must be possible.
        for kind in FaultKind.allCases where faults.contains(kind) && draws.oneIn(3) {
            plan.add(kind, scenario, &draws)
        }
        return plan
    }

    private mutating func add(_ kind: FaultKind, _ scenario: Scenario, _ draws: inout SeededDraws) {
        switch kind {
        case .capacity: addCalls(1...2, &draws) { _ in .capacity }
        case .registry: add(away: { .registryAway(fromMilliseconds: $0, forMilliseconds: $1) }, &draws)
        case .slowBoot:
            let extra = draws.number(1_000...90_000)
            add(away: { .slowBoots(fromMilliseconds: $0, forMilliseconds: $1, extraMilliseconds: extra) }, &draws)
        case .apiErrors:
            addCalls(1...6, &draws) { draws in
                switch draws.number(0...3) {
                case 0: .serverError(isGivenUp: draws.oneIn(2))
                case 1: .serverErrorAfter(isGivenUp: draws.oneIn(2))
                case 2: .malformed
                default: .serverError(isGivenUp: false)
                }
            }
            if draws.oneIn(4) { add(away: { .outage(fromMilliseconds: $0, forMilliseconds: $1) }, &draws) }
            if draws.oneIn(12) {
                disturbances.append(.tokenRevoked(process: 0, effect: draws.number(0...RehearsalPlan.maxEffectOrdinal)))
            }
        case .rateLimits: addCalls(1...4, &draws) { .rateLimited(seconds: $0.number(1...5)) }
        case .lostAnswers:
            addCalls(1...8, &draws) { draws in
                let noticed = draws.number(200...12_000)
                switch draws.number(0...4) {
                case 0: return .lostBefore(noticedMilliseconds: noticed, isGivenUp: draws.oneIn(2))
                case 1: return .lostAfter(noticedMilliseconds: noticed, isGivenUp: draws.oneIn(2))
                case 2: return .late(noticedMilliseconds: noticed, arrivesMilliseconds: draws.number(100...40_000))
                case 3:
                    return .duplicated(
                        afterMilliseconds: draws.number(1...3_000), isSecondAnswered: draws.oneIn(2))
                default: return .slow(milliseconds: draws.number(500...20_000))
                }
            }
        case .staleLists: addCalls(1...6, &draws) { .stale(milliseconds: $0.number(200...3_000)) }
        case .crash: addKills(.warm, &draws)
        case .lostJournal: addKills(.cold, &draws)
        case .signal:
            for process in 0..<(draws.oneIn(4) ? 2 : 1) {
                disturbances.append(
                    .signal(
                        process: process, effect: draws.number(0...RehearsalPlan.maxEffectOrdinal),
                        number: draws.pick([2, 15])))
            }
        case .leaseExpiry:
            let isLong = draws.oneIn(3)
            disturbances.append(
                .sleep(
                    process: 0, effect: draws.number(0...RehearsalPlan.maxEffectOrdinal),
                    milliseconds: isLong ? draws.number(150_000...600_000) : draws.number(1_000...90_000),
                    recovery: isLong && draws.oneIn(2)
                        ? Recovery(draws.pick(Recovery.Kind.allCases), pauseMilliseconds: 125_000) : nil))
        case .secondRun:
            rival = Scenario.Rival(
                draws.oneIn(4) ? .rollback : .deploy, afterMilliseconds: draws.number(0...RehearsalPlan.busyTime),
                sharesStore: draws.oneIn(2))
        case .hostDown:
            disturbances.append(
                .hostAway(
                    machine: draws.number(0...max(0, scenario.seats.count - 1)),
                    fromMilliseconds: draws.number(0...RehearsalPlan.busyTime),
                    forMilliseconds: draws.number(1_000...120_000)))
        case .badRelease:
            newImage = GuestBehaviour(
                bootMilliseconds: draws.number(200...15_000), checkMilliseconds: draws.number(100...3_000),
                health: draws.pick([
                    .neverPasses, .exits(afterMilliseconds: draws.number(10...20_000)), .failsProbes, .failsToBoot,
                    .flaps(everyMilliseconds: draws.number(300...5_000)),
                ]))
        case .flakyProbes:
            disturbances.append(
                .badProbes(
                    fromMilliseconds: draws.number(0...RehearsalPlan.busyTime),
                    forMilliseconds: draws.number(100...3_000)))
        }
    }

    private mutating func addCalls(
        _ count: ClosedRange<Int>, _ draws: inout SeededDraws, _ fault: (inout SeededDraws) -> CallFault
    ) {
        for _ in 0..<draws.number(count) {
            let process = draws.oneIn(4) ? draws.number(1...2) : 0
            let call = draws.number(0...RehearsalPlan.maxCallOrdinal)
            disturbances.append(.call(process: process, call: call, fault: fault(&draws)))
        }
    }

    private mutating func add(away: (Int, Int) -> Disturbance, _ draws: inout SeededDraws) {
        disturbances.append(away(draws.number(0...RehearsalPlan.busyTime), draws.number(500...60_000)))
    }

    /// The process dies, and perhaps the ones that come after it.
    private mutating func addKills(_ kind: Recovery.Kind, _ draws: inout SeededDraws) {
        var process = 0
        repeat {
            disturbances.append(
                .kill(
                    process: process, effect: draws.number(0...RehearsalPlan.maxEffectOrdinal),
                    point: draws.pick(KillPoint.allCases),
                    recovery: Recovery(kind, pauseMilliseconds: draws.number(100...90_000))))
            process += 1
        } while process < 4 && draws.oneIn(3)
    }
}
