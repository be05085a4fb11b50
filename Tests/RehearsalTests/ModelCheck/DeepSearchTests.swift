// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@testable import Rehearsal

/// The search that keeps only fingerprints sees what the one that keeps everything sees.
@Suite(.serialized) struct DeepSearchTests {
    private static let alike: [ModelCheck.Configuration] = [
        .init("a change, two faults", .change, faults: Set(ModelCheck.Fault.allCases), maxFaults: 1),
        .init(
            "two changes of one machine, one fault", .change, actors: 2, faults: [.crash, .sleep, .duplicate],
            maxFaults: 1, hasLongSteps: true, isOrdered: true, isReduced: true),
        .init(
            "two rollouts over one machine", .rollout, actors: 2, faults: [.staleList], maxFaults: 1,
            hasLongSteps: true, isOrdered: true, isReduced: true),
        .init(
            "a run over one machine, resumed", .run, faults: [.crash], maxFaults: 1, hasLongSteps: true,
            isOrdered: true, resumes: true),
    ]

    private func end<D>(of search: DeepExploration<D>) async -> ModelCheckResult {
        var search = search
        while true {
            if let result = search.advance(by: 50) { return result }
            await Task.yield()
        }
    }

    private func end<D>(of search: Exploration<D>) async -> ModelCheckResult {
        var search = search
        while true {
            if let result = search.advance(by: 50) { return result }
            await Task.yield()
        }
    }

    @Test(arguments: alike)
    func `going deep sees every situation and every step that going broad sees`(
        _ configuration: ModelCheck.Configuration
    ) async {
        let broad = await search(configuration)
        var other = configuration
        other.isDeep = true
        let deep = await search(other)
        #expect(broad.holds && deep.holds)
        #expect(deep.states == broad.states)
        #expect(deep.transitions == broad.transitions)
        #expect(deep.longestPath == broad.longestPath)
    }

    @Test(arguments: SeededFlaw.allCases)
    func `a seeded bug is found by going deep, and told by the shortest story`(_ flaw: SeededFlaw) async throws {
        var configuration = ModelCheckTests.configuration(with: flaw)
        let broad = try #require(await search(configuration).violation)
        configuration.isDeep = true
        let deep = try #require(await search(configuration).violation, "nothing was found: \(flaw.text)")
        #expect(deep == broad)
    }

    @Test func `a deep search that is cut off does not claim to have seen everything`() async {
        var configuration = Self.alike[0]
        configuration.isDeep = true
        configuration.maxStates = 50
        let result = await search(configuration)
        #expect(result.states == 50)
        #expect(!result.isExhausted)
        #expect(result.longestPath == nil)
    }

    // MARK: - Machines that go wrong by themselves

    /// Asks to be woken again and again, or for nothing at all.
    private struct Idler: Decider {
        var sleeps: Bool
        var waitsFor: [ActionID] = []
        private var next = 1

        init(sleeps: Bool) { self.sleeps = sleeps }

        mutating func begin(at now: Timestamp) throws(IllegalEvent) -> [Action] {
            guard sleeps else { return [] }
            next += 1
            return [Action(id: ActionID(next), effect: .wake(at: now + .seconds(10)))]
        }
        mutating func hear(
            _ answer: Answer, to action: ActionID, at now: Timestamp
        ) throws(IllegalEvent) -> [Action] { try begin(at: now) }
        mutating func interrupt(at now: Timestamp) throws(IllegalEvent) -> [Action] { [] }
        mutating func resume(at now: Timestamp) throws(IllegalEvent) -> [Action] { [] }
        var claim: Claim? { nil }
        var doing: String { "" }

        private enum CodingKeys: CodingKey { case sleeps, waitsFor }
    }

    private func idling(_ sleeps: Bool) -> Situation<Idler> {
        Beginnings.situation(
            [], [Participant(Idler(sleeps: sleeps))], .init("", .change, faults: [], maxFaults: 0, isOrdered: true))
    }

    @Test func `calls that stand in a queue in another order are another situation`() {
        func print(_ calls: [PlatformCall], isOrdered: Bool) -> SituationFingerprint {
            var situation = Beginnings.situation(
                [], [Participant(Idler(sleeps: true))],
                .init("", .change, faults: [], maxFaults: 0, isOrdered: isOrdered))
            for (index, call) in calls.enumerated() {
                situation.messages.append(NetworkMessage(sender: 0, action: ActionID(index + 1), call: call))
            }
            return situation.fingerprint(CanonicalForm())
        }
        let calls: [PlatformCall] = [.observe, .machine(id: "m1")]
        #expect(print(calls, isOrdered: true) != print(calls.reversed(), isOrdered: true))
        #expect(print(calls, isOrdered: false) == print(calls.reversed(), isOrdered: false))
    }

    @Test func `clocks that a sleeper missed ring in their order, whatever their numbers`() {
        func print(_ seconds: [Int]) -> SituationFingerprint {
            var idler = Idler(sleeps: true)
            idler.waitsFor = [1, 2].map { ActionID($0) }
            var situation = Beginnings.situation(
                [], [Participant(idler)], .init("", .change, faults: [], maxFaults: 0, isOrdered: true))
            situation.participants[0].wakes = seconds.enumerated().map { index, late in
                .init(action: ActionID(index + 1), at: situation.now - .seconds(late), isShort: false)
            }
            return situation.fingerprint(CanonicalForm())
        }
        #expect(print([5, 9]) != print([9, 5]))
        #expect(print([5, 9]) == print([6, 7]))
    }

    @Test func `who goes round in a circle is found out, deep and broad`() async throws {
        let deep = try #require(await end(of: DeepExploration(from: idling(true), maxStates: 100)).violation)
        let broad = try #require(await end(of: Exploration(from: idling(true), maxStates: 100)).violation)
        #expect(deep.law == .everyWayEnds)
        #expect(broad.law == .everyWayEnds)
        #expect(deep.end.contains("the last 2 steps"), "\(deep.text)")
        #expect(broad.end.contains("the last 2 steps"), "\(broad.text)")
    }

    @Test func `who has nothing left to happen and has not finished is found out, deep and broad`() async throws {
        let deep = try #require(await end(of: DeepExploration(from: idling(false), maxStates: 100)).violation)
        let broad = try #require(await end(of: Exploration(from: idling(false), maxStates: 100)).violation)
        #expect(deep.law == .noDeadlock)
        #expect(deep == broad)
    }

    // MARK: - What is kept

    @Test func `every fingerprint is known again after the table has grown, with its mark`() {
        var table = VisitedTable()
        // Many that want the same place, in all parts.
        let prints = (0..<20_000).map { number in
            SituationFingerprint(low: UInt64(number % 100), high: UInt64(number) << 48 | UInt64(number))
        }
        let isNew = prints.map { table.meet($0) == nil }
        #expect(!isNew.contains(false))
        #expect(table.count == prints.count)
        for (number, print) in prints.enumerated() where number % 3 == 0 { table.close(print, height: number) }
        let unknown = prints.enumerated().filter { number, print in
            table.meet(print) != (number % 3 == 0 ? .closed(height: number) : .open)
        }
        #expect(unknown.isEmpty)
        #expect(table.count == prints.count)
    }

    /// A dictionary with the same entries and, as a rule, another order.
    private func shuffled<Key, Value>(_ dictionary: [Key: Value], _ capacity: Int) -> [Key: Value] {
        var other: [Key: Value] = [:]
        other.reserveCapacity(capacity)
        for (key, value) in dictionary.reversed() { other[key] = value }
        return other
    }

    private struct Routes: Encodable {
        var routes: [ActionID: String]
        var leases: [MachineID: LeaseNonce]
        var lost: Set<LeaseNonce>
    }

    @Test func `the canonical form hangs on no dictionary's order, which is another one in every process`() {
        let form = CanonicalForm()
        func bytes(_ routes: Routes) -> [UInt8] {
            form.begin(at: Timestamp(milliseconds: 0))
            form.actions = [ActionID(3): 0]
            form.write(routes)
            return form.bytes
        }
        // None of the actions but the third is open, so that all others have the same form.
        let routes = Routes(
            routes: Dictionary(uniqueKeysWithValues: (1...40).map { (ActionID($0), "\($0 % 7)") }),
            leases: Dictionary(uniqueKeysWithValues: (1...40).map { (MachineID("m\($0)"), LeaseNonce("n\($0 % 5)")) }),
            lost: Set((1...40).map { LeaseNonce("n\($0)") }))
        var orders: Set<[ActionID]> = []
        for capacity in [41, 100, 300, 1000, 3000] {
            let other = Routes(
                routes: shuffled(routes.routes, capacity), leases: shuffled(routes.leases, capacity),
                lost: Set(routes.lost.sorted { $0.rawValue < $1.rawValue }))
            orders.insert(Array(other.routes.keys))
            #expect(bytes(other) == bytes(routes))
        }
        #expect(orders.count > 1, "the dictionaries had one order: the test tests nothing")
    }

    @Test func `ages that machines measure are part of the form, up to where they make a difference`() {
        struct Aged: Encodable {
            var firstTrouble: Timestamp?
            var deadline: Timestamp
        }
        let form = CanonicalForm()
        func bytes(_ age: Int, deadline: Int = 0) -> [UInt8] {
            let now = Timestamp(secondsSinceEpoch: 1000)
            form.begin(at: now)
            form.write(Aged(firstTrouble: now - .seconds(age), deadline: now - .seconds(deadline)))
            return form.bytes
        }
        #expect(bytes(5) != bytes(6))
        #expect(bytes(90) == bytes(200))
        #expect(bytes(5, deadline: 1) == bytes(5, deadline: 7))
    }
}
