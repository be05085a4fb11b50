// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@testable import FlySimulator

struct GuestRecipeTests {
    @Test(arguments: [
        ("SIGTERM", Int32(15)), ("TERM", 15), ("sigint", 2), ("9", 9), ("SIGNOT", nil), ("0", nil), ("", nil),
    ])
    func `Signals are read by name and number`(_ text: String, _ number: Int32?) {
        #expect(SignalName.number(text) == number)
    }

    @Test func `Ports come from services, their checks and top-level checks`() {
        #expect(
            GuestRecipe.ports(of: [
                "services": [["internal_port": 8080, "checks": [["port": 9090]]], ["internal_port": 8080]],
                "checks": ["alive": ["port": 7000, "type": "tcp"], "wrong": ["port": 70_000]],
            ]) == [7000, 8080, 9090])
    }

    private func recipe(_ config: JSONValue) -> GuestRecipe {
        let image = UnpackedImage(
            digest: "", platformDigest: "", root: "/nonexistent", entrypoint: ["/e"], command: ["c"],
            environment: ["A=image", "B=image", "odd"], workingDirectory: "", user: "")
        let spec = GuestSpec(
            app: "a", machine: "m", instance: "i", image: "x", config: config, environment: ["B": "machine"],
            directory: "")
        return GuestRecipe(image: image, spec: spec, canChangeUser: true)
    }

    @Test(
        arguments: [
            ([:], ["/e", "c"]),
            (["init": ["cmd": ["d"]]], ["/e", "d"]),
            (["init": ["entrypoint": ["/f"]]], ["/f"]),
            (["init": ["entrypoint": ["/f"], "cmd": ["d"]]], ["/f", "d"]),
            (["init": ["exec": ["/g", "h"], "cmd": ["d"]]], ["/g", "h"]),
            (["init": ["cmd": ["d"]], "processes": [["cmd": ["p"]]]], ["/e", "p"]),
        ] as [(JSONValue, [String])])
    func `The config's words go before the image's`(_ config: JSONValue, _ words: [String]) throws {
        #expect(try recipe(config).arguments() == words)
    }

    @Test func `Later environments win`() {
        let environment = recipe(["processes": [["env": ["C": "process"]]]]).environment()
        #expect(environment.contains("A=image"))
        #expect(environment.contains("B=machine"))
        #expect(environment.contains("C=process"))
        #expect(environment.contains { $0.hasPrefix("PATH=") })
    }

    @Test func `A volume's id cannot lead out of its folder`() {
        #expect(throws: GuestProblem.self) {
            try recipe(["mounts": [["volume": "../x", "path": "/data"]]]).volumes(in: "/v")
        }
    }

    @Test func `Lines are cut at their end and at the limit`() {
        var splitter = LineSplitter(maxLineBytes: 4)
        #expect(splitter.add(Array("ab\r\n\ncdefgh".utf8)) == ["ab", "", "cdef"])
        #expect(splitter.add(Array("\ni".utf8)) == ["gh"])
        #expect(splitter.finish() == "i")
        #expect(splitter.finish() == nil)
    }

    @Test(arguments: [SupervisorCommand.kill, .signal(15), .stop(2, milliseconds: 500)])
    func `Commands survive the way to the supervisor`(_ command: SupervisorCommand) {
        #expect(SupervisorCommand(String(command.line.dropLast())) == command)
    }

    @Test(arguments: [SupervisorReport.started, .failed("a b c"), .exited(code: 137, signal: 9)])
    func `Reports survive the way back`(_ report: SupervisorReport) {
        #expect(SupervisorReport(String(report.line.dropLast())) == report)
    }

    @Test func `Overlay options escape what the kernel reads as separators`() {
        let overlay = GuestPlan.Overlay(lower: "/a:b", upper: "/c,d", work: "/e\\f")
        #expect(overlay.options == #"lowerdir=/a\:b,upperdir=/c\,d,workdir=/e\\f"#)
    }
}
