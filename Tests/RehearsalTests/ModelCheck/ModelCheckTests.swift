// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Rehearsal
import Testing

/// Everything that can happen to the real machines within a bound, and proof that a bug in them would be found.
@Suite(.serialized) struct ModelCheckTests {
    private static let everything = Set(ModelCheck.Fault.allCases)

    private static let small: [ModelCheck.Configuration] = [
        .init("a change", .change, faults: everything, maxFaults: 1, splitsReads: true),
        .init("a change leased ahead", .changeAhead, faults: everything, maxFaults: 1),
        .init("a creation", .creation, faults: everything, maxFaults: 2),
        .init("two changes of one machine", .change, actors: 2, faults: [], maxFaults: 0, startsApart: true),
        .init(
            "two changes of one machine, one of them crashing", .change, actors: 2, faults: [.crash, .duplicate],
            maxFaults: 1, hasLongSteps: true, isOrdered: true),
        .init(
            "a rollout over two machines", .rollout, machines: 2,
            faults: [.crash, .duplicate, .staleList, .failedStart, .interrupt, .unreachable], maxFaults: 1, floor: 1,
            hasLongSteps: true, isOrdered: true),
        .init(
            "two rollouts over one machine", .rollout, actors: 2, faults: [], maxFaults: 0, hasLongSteps: true,
            isOrdered: true),
        .init(
            "a run over one machine, resumed", .run,
            faults: [.crash, .staleList, .failedStart, .interrupt], maxFaults: 1, hasLongSteps: true, isOrdered: true,
            resumes: true),
        .init(
            "two runs over one machine", .run, actors: 2, faults: [], maxFaults: 0, hasLongSteps: true,
            isOrdered: true),
        .init(
            "a crash and its cold recovery", .recovery, faults: [.crash], maxFaults: 1, hasLongSteps: true,
            isOrdered: true),
    ]

    @Test(arguments: small)
    func `every law holds whatever happens`(_ configuration: ModelCheck.Configuration) async {
        let result = await search(configuration)
        print("model check: \(result.name): \(result.states) states")
        #expect(result.violation == nil, "\(result.violation?.text ?? "")")
        #expect(result.isExhausted)
        #expect(result.longestPath != nil)
        #expect(result.states > 100)
    }

    /// Where each seeded bug is looked for, and the law that it breaks.
    private static let flaws: [(SeededFlaw, ModelCheck.Configuration, ModelCheck.Law)] = [
        (.skipsTheLook, change(.skipsTheLook, faults: [.slowAnswer]), .honestEnd),
        (.ignoresTheLease, change(.ignoresTheLease, actors: 2), .fencing),
        (.ignoresTheVersion, change(.ignoresTheVersion, actors: 2), .noLostUpdate),
        (
            .proceedsAfterLostRefresh,
            change(.proceedsAfterLostRefresh, subject: .changeAhead, faults: [.sleep]), .lostMeansLost
        ),
        (.keepsTheLease, change(.keepsTheLease), .finishedHoldsNothing),
        (
            .repeatsTheCreate, change(.repeatsTheCreate, subject: .creation, faults: [.slowAnswer]),
            .oneMachinePerIntent
        ),
    ]

    /// Where a seeded bug is looked for.
    static func configuration(with flaw: SeededFlaw) -> ModelCheck.Configuration {
        flaws.first { $0.0 == flaw }?.1 ?? change(flaw)
    }

    private static func change(
        _ flaw: SeededFlaw, subject: ModelCheck.Subject = .change, actors: Int = 1, faults: Set<ModelCheck.Fault> = []
    ) -> ModelCheck.Configuration {
        .init(flaw.text, subject, actors: actors, faults: faults, maxFaults: faults.isEmpty ? 0 : 1, flaw: flaw)
    }

    @Test(arguments: SeededFlaw.allCases)
    func `a seeded bug is found, with a short story`(_ flaw: SeededFlaw) async throws {
        let (_, configuration, law) = try #require(Self.flaws.first { $0.0 == flaw })
        let result = await search(configuration)
        let story = try #require(result.violation, "nothing was found: \(flaw.text)")
        print("model check: \(result.name): found after \(result.states) states, \(story.steps.count) steps")
        #expect(story.law == law, "\(story.text)")
        #expect(story.steps.count <= 25, "\(story.text)")
        #expect(story.text.contains("1. run "))

        // The same search without the bug finds nothing: it is the bug that was found.
        var sound = configuration
        sound.flaw = nil
        #expect(await search(sound).holds)
    }

    /// Small searches with two participants, in which the orders of their steps matter.
    private static let pairs: [ModelCheck.Configuration] = [
        .init(
            "two changes of one machine, one double delivery or slow start", .change, actors: 2,
            faults: [.duplicate, .slowStart], maxFaults: 1, hasLongSteps: true, isOrdered: true),
        .init(
            "two creations, one crash or sleep", .creation, actors: 2, faults: [.crash, .sleep, .duplicate],
            maxFaults: 1, hasLongSteps: true, isOrdered: true),
        .init(
            "two rollouts over two machines", .rollout, machines: 2, actors: 2, faults: [], maxFaults: 0,
            hasLongSteps: true, isOrdered: true),
        .init(
            "two rollouts over one machine, one crash or stale list", .rollout, actors: 2,
            faults: [.crash, .staleList], maxFaults: 1, hasLongSteps: true, isOrdered: true),
        .init(
            "two changes of one machine, one sleep or signal", .change, actors: 2, faults: [.sleep, .interrupt],
            maxFaults: 1, hasLongSteps: true, isOrdered: true),
        .init(
            "two rollouts that together break the floor", .rollout, machines: 2, actors: 2, faults: [.unreachable],
            maxFaults: 1, floor: 1, hasLongSteps: true, isOrdered: true),
        .init(
            "two runs over one machine", .run, actors: 2, faults: [], maxFaults: 0, hasLongSteps: true,
            isOrdered: true),
    ]

    @Test(arguments: pairs)
    func `a search with fewer orders comes to the same end as one with all of them`(
        _ configuration: ModelCheck.Configuration
    ) async {
        let whole = await search(configuration)
        var reduced = configuration
        reduced.isReduced = true
        let result = await search(reduced)
        print("model check: \(whole.name): \(result.states) of \(whole.states) states")
        #expect(result.violation?.law == whole.violation?.law)
        #expect(result.isExhausted == whole.isExhausted)
        #expect(result.longestPath == whole.longestPath)
        #expect(result.states <= whole.states)
    }

    // Where calls keep their order, the update of the one left out leaves before the refusal is heard.
    @Test(arguments: SeededFlaw.allCases.filter { $0 != .proceedsAfterLostRefresh })
    func `a seeded bug is found with fewer orders, too`(_ flaw: SeededFlaw) async throws {
        var (_, configuration, _) = try #require(Self.flaws.first { $0.0 == flaw })
        configuration.actors = 2
        configuration.hasLongSteps = true
        configuration.isOrdered = true
        let whole = await search(configuration)
        configuration.isReduced = true
        let result = await search(configuration)
        let story = try #require(result.violation, "nothing was found: \(flaw.text)")
        #expect(story.law == whole.violation?.law, "\(story.text)")
        #expect(result.states <= whole.states)
    }

    @Test func `a search that is cut off does not claim to have seen everything`() async {
        var configuration = Self.small[0]
        configuration.maxStates = 50
        let result = await search(configuration)
        #expect(!result.isExhausted)
        #expect(!result.holds)
        #expect(result.longestPath == nil)
    }

    @Test func `the names of the release proof's searches differ`() {
        let all = ModelCheck.all + ModelCheck.large
        #expect(Set(all.map(\.name)).count == all.count)
    }
}
