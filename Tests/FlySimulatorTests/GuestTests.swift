// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import FlySimulator

@Suite("Guests as real processes", .enabled(if: GuestLab.canRun, "a static C compiler and namespaces are needed"))
struct GuestTests {
    @Test func `Two machines listen on the same port side by side`() async throws {
        let lab = try GuestLab()
        let digest = try lab.image("one", environment: ["COLOUR=green"])
        let first = try await lab.startListening(lab.spec("m1", environment: ["NAME": "first"]))
        let second = try await lab.startListening(lab.spec("m2", environment: ["NAME": "second"]))
        #expect(first.events.first == .started(imageDigest: digest))
        #expect(try await lab.get("m1", "/env/NAME").body == "first")
        #expect(try await lab.get("m2", "/env/NAME").body == "second")
        #expect(try await lab.get("m1", "/env/COLOUR").body == "green")
        await lab.close()
        #expect(try await first.end() == .exited(code: 137, signal: 9, isOutOfMemory: false))
        #expect(try await second.end() == .exited(code: 137, signal: 9, isOutOfMemory: false))
        #expect(lab.guests.socketPath(machine: "m1", port: 8080) == nil)
    }

    @Test func `A guest that listens on IPv6 only is reached`() async throws {
        let lab = try GuestLab()
        try lab.image("one")
        _ = try await lab.startListening(lab.spec("m1", environment: ["IPV6": "1"]))
        #expect(try await lab.get("m1", "/health").status == 200)
        await lab.close()
    }

    struct Ending: Sendable, CustomTestStringConvertible {
        var name: String
        var arguments: [String]
        var expected: GuestEvent
        var testDescription: String { name }
    }

    @Test(arguments: [
        Ending(
            name: "success", arguments: ["exit", "0"], expected: .exited(code: 0, signal: nil, isOutOfMemory: false)),
        Ending(
            name: "a code", arguments: ["exit", "42"], expected: .exited(code: 42, signal: nil, isOutOfMemory: false)),
        Ending(
            name: "137 without a signal", arguments: ["exit", "137"],
            expected: .exited(code: 137, signal: nil, isOutOfMemory: false)),
    ])
    func `The exit code of the program is told`(_ ending: Ending) async throws {
        let lab = try GuestLab()
        try lab.image("one", command: ending.arguments)
        let diary = lab.start(lab.spec("m1"))
        #expect(try await diary.end() == ending.expected)
        #expect(diary.events.count == 2)
        await lab.close()
    }

    @Test(arguments: [("/exit/3", Int32(3), Int32?.none), ("/abort", 134, 6)])
    func `A crash under traffic is told`(_ path: String, _ code: Int32, _ signal: Int32?) async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let diary = try await lab.startListening(lab.spec("m1", environment: ["FORK": "1"]))
        await #expect(throws: GuestConnectionError.closedEarly) { _ = try await lab.get("m1", path) }
        #expect(try await diary.end() == .exited(code: code, signal: signal, isOutOfMemory: false))
        await lab.close()
    }

    struct Stop: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var onTerm: String
        var signal: String
        var timeout: Duration
        var code: Int32
        var number: Int32?
    }

    @Test(arguments: [
        Stop(
            testDescription: "SIGINT ends by default", onTerm: "", signal: "SIGINT", timeout: .seconds(30), code: 130,
            number: 2),
        Stop(
            testDescription: "SIGTERM handled", onTerm: "seven", signal: "SIGTERM", timeout: .seconds(30), code: 7,
            number: nil),
        Stop(
            testDescription: "SIGTERM ignored", onTerm: "ignore", signal: "SIGTERM", timeout: .milliseconds(200),
            code: 137, number: 9),
        Stop(
            testDescription: "no time at all", onTerm: "ignore", signal: "SIGTERM", timeout: .zero, code: 137, number: 9
        ),
        Stop(testDescription: "by number", onTerm: "", signal: "10", timeout: .seconds(30), code: 138, number: 10),
    ])
    func `A stop signals, then kills`(_ stop: Stop) async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let diary = try await lab.startListening(lab.spec("m1", environment: ["ON_TERM": stop.onTerm]))
        lab.guests.stop(machine: "m1", signal: stop.signal, timeout: stop.timeout)
        #expect(try await diary.end() == .exited(code: stop.code, signal: stop.number, isOutOfMemory: false))
        await lab.close()
    }

    @Test func `A kill before the program runs is an exit`() async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let diary = lab.start(lab.spec("m1"))
        lab.guests.kill(machine: "m1")
        #expect(try await diary.end() == .exited(code: 137, signal: 9, isOutOfMemory: false))
        await lab.close()
    }

    @Test func `A new start of a machine replaces the old one`() async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let old = try await lab.startListening(lab.spec("m1", environment: ["V": "1"]))
        _ = try await lab.startListening(lab.spec("m1", environment: ["V": "2"]))
        #expect(try await old.end() == .exited(code: 137, signal: 9, isOutOfMemory: false))
        #expect(try await lab.get("m1", "/env/V").body == "2")
        await lab.close()
    }

    @Test func `Layers hide, replace and delete what is below`() async throws {
        let lab = try GuestLab()
        try lab.image(
            "one",
            layers: [
                [
                    "etc/kept": "kept", "etc/gone": "gone", "etc/new": "old", "full/a": "a", "link": "-> /etc",
                    "d/x": "x",
                ],
                [
                    "etc/.wh.gone": "", "etc/new": "new", "full/.wh..wh..opq": "", "full/b": "b",
                    "link/passwd": "inside",
                ],
            ], isGzipped: false)
        _ = try await lab.startListening(lab.spec("m1"))
        #expect(try await lab.get("m1", "/file/etc/kept").body == "kept")
        #expect(try await lab.get("m1", "/file/etc/gone").status == 404)
        #expect(try await lab.get("m1", "/file/etc/new").body == "new")
        #expect(try await lab.get("m1", "/file/full/a").status == 404)
        #expect(try await lab.get("m1", "/file/full/b").body == "b")
        #expect(try await lab.get("m1", "/file/link/passwd").body == "inside")
        #expect(try await lab.get("m1", "/file/etc/passwd").status == 404)
        #expect(try await lab.get("m1", "/file/d/x").body == "x")
        #expect(try await lab.get("m1", "/file/proc/1/comm").status == 200)
        #expect(try await lab.get("m1", "/file/etc/hosts").body.contains("m1"))
        await lab.close()
    }

    @Test func `Files, volumes, entrypoint and user of the config are honoured`() async throws {
        let lab = try GuestLab()
        try lab.image(
            "one", entrypoint: ["/nothing"], user: "web",
            layers: [["etc/passwd": "root:x:0:0::/:\nweb:x:4711:4712::/:\n", "etc/group": "root:x:0:\n"]])
        var config = GuestLab.service
        config["init"] = ["entrypoint": ["/server"]]
        config["mounts"] = [["volume": "vol_1", "path": "/data"]]
        config["files"] = [
            ["guest_path": "/deep/er/file", "raw_value": .string(Data("hello".utf8).base64EncodedString())],
            ["guest_path": "/secret", "secret_name": "HUSH"],
        ]
        let volume = lab.directory + "/guests/volumes/vol_1"
        try FileManager.default.createDirectory(atPath: volume, withIntermediateDirectories: true)
        try Data("kept".utf8).write(to: URL(filePath: volume + "/file"))
        let hush = Data("psst".utf8).base64EncodedString()
        _ = try await lab.startListening(lab.spec("m1", config: config, environment: ["HUSH": hush]))
        #expect(try await lab.get("m1", "/file/deep/er/file").body == "hello")
        #expect(try await lab.get("m1", "/file/secret").body == "psst")
        #expect(try await lab.get("m1", "/file/data/file").body == "kept")
        let who = try await lab.get("m1", "/who").body
        #expect(who == (geteuid() == 0 ? "pid=2 uid=4711 gid=4712" : "pid=2 uid=0 gid=0"))
        await lab.close()
    }

    @Test func `What a guest prints comes line by line`() async throws {
        let lab = try GuestLab()
        let long = String(repeating: "x", count: GuestProcess.maxLogLineBytes + 5)
        try lab.image("one", command: ["say", long])
        let diary = lab.start(lab.spec("m1"))
        _ = try await diary.end()
        let output = diary.events.compactMap { if case .log(let line, false) = $0 { line.count } else { nil } }
        #expect(output == [GuestProcess.maxLogLineBytes, 5])
        #expect(diary.events.contains(.log(line: "oops", isError: true)))
        await lab.close()
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var tag = "one"
        var config: JSONValue = GuestLab.service
        var reason: String
    }

    @Test(arguments: [
        Refusal(testDescription: "no image", tag: "other", reason: "the registry has no image"),
        Refusal(
            testDescription: "no program", config: ["init": ["exec": ["/missing"]]],
            reason: "executing the entrypoint: No such file or directory"),
        Refusal(
            testDescription: "no entrypoint", tag: "empty",
            reason: "the image has neither an entrypoint nor a command"),
        Refusal(
            testDescription: "not base64", config: ["files": [["guest_path": "/a", "raw_value": "%"]]],
            reason: "the content of /a is not base64"),
        Refusal(
            testDescription: "unknown user", config: ["processes": [["user": "nobody-here"]]],
            reason: geteuid() == 0 ? "the image has no user “nobody-here”" : ""),
    ])
    func `A guest that cannot start says why`(_ refusal: Refusal) async throws {
        try #require(!refusal.reason.isEmpty || geteuid() != 0)
        guard !refusal.reason.isEmpty else { return }
        let lab = try GuestLab()
        try lab.image("one")
        try lab.image("empty", entrypoint: [])
        let end = try await lab.start(lab.spec("m1", tag: refusal.tag, config: refusal.config)).end()
        guard case .failedToStart(let reason) = end else {
            Issue.record("\(end)")
            return
        }
        #expect(reason.hasPrefix(refusal.reason))
        await lab.close()
    }

    @Test func `A simulator that is killed leaves no process behind`() async throws {
        let lab = try GuestLab()
        try lab.image("one")
        let marker = UUID().uuidString
        let directory = lab.directory
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [directory = directory as String, marker = marker as String] in
            let store = try RegistryStore(directory: directory + "/registry")
            let guests = ProcessGuests(
                registry: store, guestExecutable: GuestLab.fixture, directory: directory + "/doomed")
            let diary = GuestDiary()
            var config = GuestLab.service
            config["init"] = ["cmd": ["serve", .string(marker)]]
            guests.start(
                GuestSpec(
                    app: "lab", machine: "m1", instance: "01", image: "registry.fly.io/lab:one", config: config,
                    environment: ["FORK": "1"], directory: directory + "/doomed/m1")
            ) { diary.add($0) }
            try await diary.wait { $0 == .log(line: "listening", isError: false) }
            let running = processes(naming: marker)
            guard running.count == 2 else { exit(1) }
            kill(getpid(), SIGKILL)
        }
        // The supervisor sees the end of its socket; the kernel ends the rest with it.
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(20)
        while !processes(naming: marker).isEmpty || !processes(naming: directory).isEmpty, clock.now < deadline {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(processes(naming: marker) == [])
        await lab.close()
    }
}

/// The processes whose command line contains a text.
func processes(naming text: String) -> [Int32] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap(Int32.init).filter { pid in
        // A process that ends meanwhile has no command line any more.
        guard let handle = fopen("/proc/\(pid)/cmdline", "r") else { return false }
        defer { fclose(handle) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, handle)
        return String(decoding: bytes.prefix(count), as: UTF8.self).contains(text)
    }
}
