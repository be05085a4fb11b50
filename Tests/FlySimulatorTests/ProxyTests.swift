// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import HTTPTypes
import Hummingbird
import Model
import Synchronization
import Testing

@testable import FlySimulator

/// Routes a test sets by hand.
final class ChosenRoutes: RouteFinding {
    private let chosen = Mutex<[String: Route]>([:])

    func set(_ machine: String, _ path: String?, hardLimit: Int? = nil) {
        let route = Route(
            app: "lab", machine: machine, internalPort: 8080, socketPath: path, softLimit: nil, hardLimit: hardLimit)
        chosen.withLock { $0[machine] = route }
    }

    func remove(_ machine: String) {
        chosen.withLock { $0[machine] = nil }
    }

    func routes(forHost host: String) -> [Route] {
        chosen.withLock { $0.values.sorted { $0.machine < $1.machine } }
    }

    func knowsHost(_ host: String) -> Bool { !host.hasPrefix("unknown") }
    func start(forHost host: String) -> Bool { false }
    func note(machine: String, isBeginning: Bool) {}
}

private final class Flag: Sendable {
    private let value = Mutex(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
}

@Suite(
    "The app proxy before real guests", .enabled(if: GuestLab.canRun && Command.has("curl"), "cc and curl are needed"))
struct ProxyTests {
    private static func with(
        machines: Int, _ body: (GuestLab, ChosenRoutes, AppProxy, Int) async throws -> Void
    ) async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let routes = ChosenRoutes()
        for index in 0..<machines {
            _ = try await lab.startListening(lab.spec("m\(index)", environment: ["ID": "m\(index)"]))
            routes.set("m\(index)", lab.guests.socketPath(machine: "m\(index)", port: 8080))
        }
        let proxy = AppProxy(routing: routes)
        let router = Router()
        let methods: [HTTPRequest.Method] = [.get, .head, .post]
        for method in methods {
            router.on("/**", method: method) { request, _ in
                await proxy.respond(to: request, clientAddress: "192.0.2.1")
            }
        }
        try await HTTPServerUnderTest.run(router) { port in
            try await body(lab, routes, proxy, port)
        }
        await lab.close()
    }

    @Test func `Requests are spread, and headers and bodies pass both ways`() async throws {
        try await Self.with(machines: 2) { _, _, _, port in
            var served: [String: Int] = [:]
            for _ in 0..<8 {
                let answer = try await Answer.of("GET", port, "/env/ID")
                #expect(answer.status == 200)
                #expect(answer.headers["fly-instance-id"] == String(decoding: answer.body, as: UTF8.self))
                served[answer.headers["fly-instance-id"] ?? "", default: 0] += 1
            }
            #expect(served == ["m0": 4, "m1": 4])
            let headers = try await Answer.of(
                "GET", port, "/headers", headers: ["X-Mine": "1", "Connection": "X-Hop", "X-Hop": "no"])
            let seen = String(decoding: headers.body, as: UTF8.self).lowercased()
            #expect(seen.contains("x-mine: 1"))
            #expect(seen.contains("fly-client-ip: 192.0.2.1"))
            #expect(seen.contains("x-forwarded-for: 192.0.2.1"))
            #expect(seen.contains("host: 127.0.0.1:\(port)"))
            #expect(!seen.contains("x-hop"))
            let big = try await Answer.of("GET", port, "/big/20000000")
            #expect(big.body.count == 20_000_000)
            #expect(big.headers["content-length"] == "20000000")
            let body = [UInt8](repeating: 7, count: 8_000_000)
            #expect(
                String(decoding: try await Answer.of("POST", port, "/count", body: body).body, as: UTF8.self)
                    == "8000000")
            #expect(try await Answer.of("HEAD", port, "/health").status == 200)
        }
    }

    @Test func `A machine that refuses is passed over; none at all is 503`() async throws {
        try await Self.with(machines: 1) { _, routes, _, port in
            routes.set("gone", "/nonexistent/socket")
            routes.set("modelled", nil)
            for _ in 0..<6 { #expect(try await Answer.of("GET", port, "/env/ID").headers["fly-instance-id"] == "m0") }
            for machine in ["m0", "gone", "modelled"] { routes.remove(machine) }
            let nobody = try await Answer.of("GET", port, "/x")
            #expect(nobody.status == 503)
            #expect(String(decoding: nobody.body, as: UTF8.self).contains("no known healthy instances"))
            let stranger = try await Answer.of("GET", port, "/x", headers: ["Host": "unknown"])
            #expect(stranger.status == 404)
            #expect(String(decoding: stranger.body, as: UTF8.self).contains("no app answers"))
        }
    }

    @Test func `A guest that dies before its answer is 502, one that dies within cuts it`() async throws {
        try await Self.with(machines: 2) { _, _, _, port in
            #expect(try await Answer.of("GET", port, "/exit/3").status == 502)
            let cut = try await Command.run(["curl", "-sS", "--max-time", "120", "http://127.0.0.1:\(port)/half"])
            #expect(cut.status == 18)  // curl: partial file
        }
    }

    @Test func `A drain waits for the requests in flight, and no longer than asked`() async throws {
        try await Self.with(machines: 1) { _, routes, proxy, port in
            async let slow = Answer.of("GET", port, "/slow/600")
            while proxy.inFlight(machine: "m0") == 0 { try await Task.sleep(for: .milliseconds(5)) }
            await proxy.drain(machine: "m0", upTo: .milliseconds(20))
            #expect(proxy.inFlight(machine: "m0") == 1)
            await proxy.drain(machine: "m0", upTo: .seconds(30))
            #expect(proxy.inFlight(machine: "m0") == 0)
            #expect(try await slow.status == 200)
            #expect(try await Answer.of("GET", port, "/health").status == 200)
        }
    }

    @Test func `Machines are swapped under load and no request is lost`() async throws {
        try await Self.with(machines: 3) { lab, routes, proxy, port in
            let isDone = Flag()
            let counts = try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        var good = 0
                        var bad = 0
                        while !isDone.isSet {
                            // Ten requests a process, some slow, so that requests are always under way.
                            let base = "http://127.0.0.1:\(port)"
                            let urls = (0..<10).map { $0 % 3 == 0 ? base + "/slow/20" : base + "/env/ID" }
                            let result = try await Command.run(
                                ["curl", "-sS", "--max-time", "120", "-w", "<%{http_code}>"] + urls)
                            let text = String(decoding: result.output, as: UTF8.self)
                            let fine = text.components(separatedBy: "<200>").count - 1
                            good += fine
                            bad += 10 - fine
                        }
                        return (good, bad)
                    }
                }
                for round in 0..<3 {
                    for machine in ["m0", "m1", "m2"] {
                        routes.remove(machine)
                        await proxy.drain(machine: machine, upTo: .seconds(30))
                        lab.guests.stop(machine: machine, signal: "SIGTERM", timeout: .seconds(5))
                        _ = try await lab.startListening(lab.spec(machine, environment: ["ID": "r\(round)"]))
                        routes.set(machine, lab.guests.socketPath(machine: machine, port: 8080))
                    }
                }
                isDone.set()
                return try await group.reduce((0, 0)) { ($0.0 + $1.0, $0.1 + $1.1) }
            }
            #expect(counts.0 >= 40)
            #expect(counts.1 == 0)
        }
    }
}

struct ProxyLedgerTests {
    private func route(_ machine: String, soft: Int? = nil, hard: Int? = nil) -> Route {
        Route(app: "a", machine: machine, internalPort: 1, socketPath: "/s", softLimit: soft, hardLimit: hard)
    }

    private func machine(_ choice: TrafficLedger.Choice) -> String? {
        if case .place(let place) = choice { place.route.machine } else { nil }
    }

    @Test func `The least loaded machine is chosen, and the hard limit holds`() {
        let ledger = TrafficLedger()
        let routes = [route("a", hard: 2), route("b", hard: 1)]
        var places = [TrafficLedger.Choice]()
        for _ in 0..<3 { places.append(ledger.choose(routes, excluding: [])) }
        #expect(places.compactMap(machine).sorted() == ["a", "a", "b"])
        guard case .full = ledger.choose(routes, excluding: []) else {
            Issue.record("a place above the limit")
            return
        }
        guard case .none = ledger.choose(routes, excluding: ["a", "b"]) else {
            Issue.record("a place on an excluded machine")
            return
        }
        places = []
        #expect(ledger.inFlight("a") == 0)
    }

    @Test func `Machines above their soft limit come last`() {
        let ledger = TrafficLedger()
        let routes = [route("a", soft: 1), route("b")]
        let first = ledger.choose([routes[0]], excluding: [])
        let others = (0..<3).map { _ in ledger.choose(routes, excluding: []) }
        #expect(others.compactMap(machine) == ["b", "b", "b"])
        #expect(machine(first) == "a")
    }

    @Test func `A drain waits for a request that is still choosing`() async {
        let ledger = TrafficLedger()
        let ticket = ledger.beginChoice()
        let isDrained = Flag()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await ledger.drain("a", upTo: .seconds(30))
                isDrained.set()
            }
            // The draining machine is refused as soon as the drain has begun.
            while machine(ledger.choose([route("a")], excluding: [])) != nil { await Task.yield() }
            #expect(!isDrained.isSet)
            ledger.endChoice(ticket)
        }
        #expect(isDrained.isSet)
        #expect(machine(ledger.choose([route("a")], excluding: [])) == "a")
    }

    @Test func `Headers of one connection do not pass`() {
        let fields: HTTPFields = [
            .connection: "close, X-Hop", .te: "trailers", .accept: "*/*", HTTPField.Name("X-Hop")!: "1",
        ]
        #expect(AppProxy.endToEnd(fields) == [.accept: "*/*"])
    }
}
