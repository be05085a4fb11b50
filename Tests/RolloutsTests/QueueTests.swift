// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts
import Testing

@Suite struct QueueTests {
    @Test func `a run that may not wait and finds no tickets asks for the lease, and for nothing else`() throws {
        var alone = QueueSimulation(seed: 1)
        alone.add(after: 0, keeps: .zero, wait: nil)
        try alone.play()
        #expect(alone.troubles.isEmpty && alone.holders == [0])
        #expect(alone.actors[0].calls.filter { $0 != "refreshLease" } == ["acquireLease", "releaseLease"])
    }

    @Test func `a run that may wait looks once who waits already`() throws {
        var alone = QueueSimulation(seed: 1)
        alone.add(after: 0, keeps: .zero)
        try alone.play()
        #expect(alone.actors[0].calls.filter { $0 != "refreshLease" } == ["metadata", "acquireLease", "releaseLease"])
        #expect(alone.actors[0].notes.isEmpty)
    }

    @Test(arguments: 0..<150)
    func `runs that live get the app in the order in which they came, past those that died`(_ seed: Int) throws {
        var play = QueueSimulation(seed: UInt64(seed))
        let count = play.pick(3...6)
        var (time, dead) = (0, Set<Int>())
        for index in 0..<count {
            play.add(after: time, keeps: .seconds(play.pick(0...60)))
            // The first one holds the app; of the others one in three is killed while it waits.
            if index > 0, play.pick(0...2) == 0 {
                dead.insert(index)
                play.kill(index, after: time + play.pick(1...19))
            }
            time += index == 0 ? play.pick(1...10) : play.pick(8...15)
        }
        play.forge("STALE", "1 4 60 nobody", after: play.pick(0...30))
        play.forge("GARBLED", "\u{1b}[31m", after: play.pick(0...30))
        play.forge("LATE", "999999 1 0 nobody", after: play.pick(0...30))
        try play.play()
        let living = (0..<count).filter { !dead.contains($0) }
        let story = "seed \(seed): \(play.holders), dead \(dead.sorted()), \(play.actors.map(\.calls.count)) calls"
        #expect(play.troubles.isEmpty, "\(story): \(play.troubles)")
        #expect(play.holders.filter { !dead.contains($0) } == living, "\(story)")
        #expect(play.fly.heldLeases.isEmpty || !dead.isEmpty, "\(story)")
    }

    @Test(arguments: 0..<150)
    func `whatever becomes of tickets, one run holds the app at a time and each gets it within a bound`(_ seed: Int)
        throws
    {
        var play = QueueSimulation(seed: UInt64(seed) + 10_000)
        play.oneLostIn = play.pick(2...6)
        let count = play.pick(2...5)
        var dead = Set<Int>()
        for index in 0..<count {
            let time = play.pick(0...40)
            play.add(after: time, keeps: .seconds(play.pick(0...60)))
            if play.pick(0...3) == 0 {
                dead.insert(index)
                play.kill(index, after: time + play.pick(1...90))
            }
        }
        for number in 0..<play.pick(0...40) {
            let (place, beat, waited) = (play.pick(0...9), play.pick(0...9), play.pick(0...900))
            let text = play.pick(0...4) == 0 ? "garbage" : "\(place) \(beat) \(waited) x"
            play.forge("RUN\(number % 3)", text, after: play.pick(0...200))
        }
        try play.play()
        let story = "seed \(seed): \(play.holders), dead \(dead.sorted())"
        #expect(play.troubles.isEmpty, "\(story): \(play.troubles)")
        for (index, actor) in play.actors.enumerated() where !dead.contains(index) {
            let waited = try #require(actor.held, "\(story): \(index) never got it") - (actor.began ?? play.now)
            // Each of the others holds it for 80 s or dies with a lease of 60 s; forged tickets stand still by 200 s.
            #expect(waited < .seconds(count * 160 + 300), "\(story): \(index) waited \(waited)")
        }
    }

    @Test func `somebody who forges a ticket for ever keeps a run waiting as long as it asked to, and no longer`()
        throws
    {
        var play = QueueSimulation(seed: 3)
        for beat in 0..<400 { play.forge("EVIL", "1 \(beat) 600000 evil", after: beat) }
        play.add(after: 5, keeps: .zero, wait: .seconds(60))
        play.add(after: 5, keeps: .zero, wait: nil)
        try play.play()
        for (index, limit) in [(0, 80), (1, 30)] {
            let actor = play.actors[index]
            #expect(actor.held == nil)
            let took = try #require(actor.ended) - #require(actor.began)
            #expect(took < .seconds(limit), "\(index): \(took)")
        }
        #expect(play.fly.fleet[0].tickets?.keys.sorted() == [Bookkeeping.ticketPrefix + "EVIL"])
    }

    @Test(arguments: [nil, 60]) func `a new forged ticket every second keeps nobody from the app for ever`(_ wait: Int?)
        throws
    {
        var play = QueueSimulation(seed: 4)
        for number in 0..<400 { play.forge("E\(number)", "1 1 0 evil", after: number) }
        play.add(after: 5, keeps: .zero, wait: wait.map { .seconds($0) })
        try play.play()
        #expect(play.holders == [0] && play.troubles.isEmpty, "\(play.troubles)")
        let took = try #require(play.actors[0].held) - #require(play.actors[0].began)
        #expect(took < .seconds((wait ?? 0) + 90), "\(took)")
    }

    @Test func `a run that may not wait does not overtake those who do, and is told so`() throws {
        var play = QueueSimulation(seed: 5)
        play.add(after: 0, keeps: .seconds(60))
        play.add(after: 3, keeps: .zero)
        play.add(after: 12, keeps: .zero)
        play.add(after: 30, keeps: .zero, wait: nil)
        try play.play()
        #expect(play.holders == [0, 1, 2])
        #expect(play.actors[3].held == nil && play.actors[3].ended != nil)
        #expect(!play.actors[3].calls.contains("setMetadata"))
    }

    @Test func `who waits is told who holds the app, its place, and who comes before`() throws {
        var play = QueueSimulation(seed: 6)
        play.add(after: 0, keeps: .seconds(60))
        play.add(after: 3, keeps: .zero)
        play.add(after: 12, keeps: .zero)
        try play.play()
        #expect(play.actors[1].notes.first?.contains("holds its lease; waiting in place 1 until ") == true)
        let second = play.actors[2].notes
        #expect(second.first?.contains("1 run before this one: run \(play.run(1)) by ada; waiting in place 2") == true)
        #expect(second.count <= 4, "told once for each change: \(second)")
        #expect(play.fly.fleet[0].tickets ?? [:] == [:], "nobody leaves a ticket behind")
    }

    @Test func `who gives up, or is interrupted, takes its ticket away`() throws {
        for wait in [30, 7200] {
            var play = QueueSimulation(seed: 7)
            play.fly.leaseForAnother(QueueSimulation.machine, until: Sample.start + .seconds(40_000))
            play.add(after: 0, keeps: .zero, wait: .seconds(wait))
            if wait == 7200 { play.interrupt(0, after: 22) }
            try play.play()
            #expect(play.actors[0].calls.contains("setMetadata"))
            #expect(play.fly.fleet[0].tickets ?? [:] == [:], "wait \(wait)")
            #expect(play.actors[0].claim.state == .released)
        }
    }
}
