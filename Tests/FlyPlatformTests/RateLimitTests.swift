// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@testable import FlyPlatform

@Suite struct RateLimitTests {
    /// Runs one bucket against callers that arrive at the given milliseconds, and tells when each goes.
    private func schedule(_ action: APIAction, arrivals: [Int]) -> [Int] {
        var limits = RateLimits()
        let key = RateLimitKey(action, "x")
        var waiting: [(ticket: RateLimits.Ticket, at: Duration)] = []
        var gone: [RateLimits.Ticket: Int] = [:]
        var order: [RateLimits.Ticket] = []
        func settle(until limit: Duration) {
            while let next = waiting.indices.min(by: { waiting[$0].at < waiting[$1].at }), waiting[next].at <= limit {
                let (ticket, at) = waiting.remove(at: next)
                switch limits.turn(of: ticket, now: at) {
                case .go: gone[ticket] = Int(at.wholeMilliseconds)
                case .wait(let instant): waiting.append((ticket, instant))
                }
            }
        }
        for arrival in arrivals {
            let now = Duration.milliseconds(arrival)
            settle(until: now)
            let ticket = limits.join(key, now: now)!
            order.append(ticket)
            waiting.append((ticket, now))
        }
        settle(until: .seconds(1_000_000))
        return order.map { gone[$0]! }
    }

    @Test(arguments: [
        // A burst of three is free; then one a second, a jitter allowance after its refill.
        ([0, 0, 0, 0, 0, 0], [0, 0, 0, 1100, 2100, 3100]),
        ([0, 1000, 2000, 3000, 4000], [0, 1000, 2000, 3000, 4000]),
        ([0, 500, 500, 500, 500], [0, 500, 500, 1100, 2100]),
        ([0, 0, 0, 10_000, 10_000, 10_000, 10_000], [0, 0, 0, 10_000, 10_000, 10_000, 11_100]),
        // A caller that comes when a token has just been refilled still allows for jitter.
        ([0, 0, 0, 1000, 1050], [0, 0, 0, 1100, 2100]),
        ([5000], [5000]),
    ])
    func `an action on a thing goes once a second after a burst of three`(_ arrivals: [Int], _ expected: [Int]) {
        #expect(schedule(.listMachines, arrivals: arrivals) == expected)
        #expect(schedule(.updateMachine, arrivals: arrivals) == expected)
    }

    @Test func `reading a machine goes five times a second after a burst of ten`() {
        let times = schedule(.getMachine, arrivals: Array(repeating: 0, count: 13))
        #expect(times == Array(repeating: 0, count: 10) + [300, 500, 700])
    }

    @Test func `apps are deleted at most a hundred times a minute`() {
        let times = schedule(.deleteApp, arrivals: Array(repeating: 0, count: 300))
        for start in times.indices {
            #expect(times[start...].prefix { $0 < times[start] + 60_000 }.count <= 103)
        }
        #expect(times.last! > 2 * 60_000)
    }

    /// The platform's own bucket, which sees the calls a little later than they left.
    @Test(arguments: [1 as UInt64, 2, 3, 4, 5, 6, 7, 8])
    func `jitter up to the allowance provokes no 429`(_ seed: UInt64) {
        var random = seed
        func draw(_ bound: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % bound
        }
        var arrival = 0
        let arrivals = (0..<400).map { _ in
            arrival += draw(4) == 0 ? draw(6000) : draw(500)
            return arrival
        }
        var tokens = 3000  // thousandths
        var last = 0
        // A bucket at the platform's door; calls overtake each other at most as far as the allowance.
        for time in schedule(.waitMachine, arrivals: arrivals).map({ $0 + draw(100) }).sorted() {
            tokens = min(3000, tokens + (time - last))
            last = time
            #expect(tokens >= 1000, "seed \(seed), at \(time)")
            tokens -= 1000
        }
    }

    @Test func `a 429 empties the bucket for everyone who waits, and its own call goes first`() {
        var limits = RateLimits()
        let key = RateLimitKey(.listMachines, "a")
        func at(_ ms: Int) -> Duration { .milliseconds(ms) }
        let refused = limits.join(key, now: at(0))!
        #expect(limits.turn(of: refused, now: at(0)) == .go)
        let waiting = limits.join(key, now: at(0))!
        limits.drain(key, until: at(5000), now: at(0))
        #expect(limits.turn(of: waiting, now: at(0)) == .wait(until: at(5100)))
        let again = limits.join(key, now: at(0), atFront: true)!
        #expect(limits.turn(of: again, now: at(0)) == .wait(until: at(5100)))
        #expect(limits.turn(of: waiting, now: at(0)) == .wait(until: at(6100)))
        #expect(limits.turn(of: again, now: at(5100)) == .go)
        #expect(limits.turn(of: waiting, now: at(5100)) == .wait(until: at(6100)))
        #expect(limits.turn(of: waiting, now: at(6100)) == .go)
    }

    @Test func `a caller that leaves gives its turn to the next`() {
        var limits = RateLimits()
        let key = RateLimitKey(.updateMachine, "m")
        for _ in 0..<3 { #expect(limits.turn(of: limits.join(key, now: .zero)!, now: .zero) == .go) }
        let first = limits.join(key, now: .zero)!
        let second = limits.join(key, now: .zero)!
        #expect(limits.turn(of: second, now: .zero) == .wait(until: .milliseconds(2100)))
        limits.leave(first)
        #expect(limits.turn(of: second, now: .zero) == .wait(until: .milliseconds(1100)))
    }

    @Test func `limits are per action and per thing`() {
        var limits = RateLimits()
        for key in [
            RateLimitKey(.updateMachine, "m1"), RateLimitKey(.updateMachine, "m2"), RateLimitKey(.waitMachine, "m1"),
        ] {
            for _ in 0..<3 { #expect(limits.turn(of: limits.join(key, now: .zero)!, now: .zero) == .go) }
        }
        let fourth = limits.join(RateLimitKey(.updateMachine, "m1"), now: .zero)!
        #expect(limits.turn(of: fourth, now: .zero) == .wait(until: .milliseconds(1100)))
    }

    @Test func `a queue has a limit`() {
        var limits = RateLimits()
        let key = RateLimitKey(.listMachines, "a")
        for _ in 0..<RateLimits.maxQueuedCalls { #expect(limits.join(key, now: .zero) != nil) }
        #expect(limits.join(key, now: .zero) == nil)
    }
}
