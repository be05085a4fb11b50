// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import PipelineFiles
import Testing

/// Machine configs of real-looking fly.toml files, against what flyctl makes of them.
@Suite struct MachineConfigTests {
    @Test(arguments: [
        ("fly.production.toml", "app"), ("fly.staging.toml", "app"), ("fly.chatwoot.toml", "web"),
        ("fly.chatwoot.toml", "worker"),
    ])
    func `a new machine's config`(_ file: String, _ group: String) throws {
        let config = try Fixtures.flyToml(file).machineConfig(for: ProcessGroup(group))
        let name = file.dropFirst(4).dropLast(5) + "." + group
        try Fixtures.expect(
            config.json.text(pretty: true) + "\n", equalsFileAt: Fixtures.folder + "/machines/\(name).json")
    }

    /// A config with something in every place that fly.toml describes, and in places it cannot describe.
    static let existing: JSONValue = [
        "image": "registry.fly.io/x@sha256:1", "env": ["REMOVED": "1"],
        "guest": ["cpu_kind": "shared", "cpus": 3, "memory_mb": 768, "made_up": true],
        "init": ["cmd": ["old"], "entrypoint": ["old"], "exec": ["old"], "tty": true, "swap_size_mb": 1],
        "metadata": ["kept": "yes", "fly_process_group": "other", "fly_release_version": "7"],
        "services": [["internal_port": 1]], "checks": ["old": ["type": "tcp"]], "metrics": ["port": 1],
        "statics": [["guest_path": "/old"]], "files": [["guest_path": "/old"]], "restart": ["policy": "always"],
        "stop_config": ["signal": "SIGHUP"], "schedule": "daily", "auto_destroy": true,
        "dns": ["skip_registration": true], "rootfs": ["size_gb": 3],
        "made_up_by_the_platform": ["deep": [1, 2.5, nil]],
    ]

    @Test func `what fly.toml cannot describe survives, what it can is rebuilt`() throws {
        let file = try Self.parse("app = \"x\"\n")
        let config = file.machineConfig(for: "app", onto: MachineConfig(Self.existing))
        let expected: JSONValue = [
            "image": "registry.fly.io/x@sha256:1", "env": ["FLY_PROCESS_GROUP": "app"],
            "guest": ["cpu_kind": "shared", "cpus": 3, "memory_mb": 768, "made_up": true], "init": ["tty": true],
            "metadata": [
                "kept": "yes", "fly_process_group": "app", "fly_release_version": "7", "fly_platform_version": "v2",
            ], "schedule": "daily", "auto_destroy": true, "dns": ["skip_registration": true],
            "rootfs": ["size_gb": 3], "made_up_by_the_platform": ["deep": [1, 2.5, nil]],
        ]
        #expect(config.json == expected, "\(config.json.text(pretty: true))")
    }

    @Test func `the same file laid on twice changes nothing`() throws {
        let file = try Fixtures.flyToml("fly.chatwoot.toml")
        for group in file.groups {
            let once = file.machineConfig(for: group, onto: MachineConfig(Self.existing))
            #expect(file.machineConfig(for: group, onto: once) == once)
        }
    }

    @Test func `the guest is set only by [[vm]]`() throws {
        let file = try Self.parse("app = \"x\"\n[[vm]]\nsize = \"performance-2x\"\n")
        let config = file.machineConfig(for: "app", onto: MachineConfig(Self.existing))
        #expect(config.json["guest"] == ["cpu_kind": "performance", "cpus": 2, "memory_mb": 4096])
    }

    @Test(arguments: [
        ("", #"{"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}"#),
        ("size = \"shared-cpu-8x\"", #"{"cpu_kind": "shared", "cpus": 8, "memory_mb": 2048}"#),
        ("size = \"performance-16x\"", #"{"cpu_kind": "performance", "cpus": 16, "memory_mb": 32768}"#),
        ("memory = \"512mb\"", #"{"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}"#),
        ("memory = \"1gb\"", #"{"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024}"#),
        ("memory = \"1 GiB\"", #"{"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024}"#),
        ("memory = 768", #"{"cpu_kind": "shared", "cpus": 1, "memory_mb": 768}"#),
        ("memory = \"1gb\"\nmemory_mb = 2048\ncpus = 4", #"{"cpu_kind": "shared", "cpus": 4, "memory_mb": 2048}"#),
    ])
    func `machine sizes`(_ lines: String, _ guest: String) throws {
        let file = try Self.parse("app = \"x\"\n[[vm]]\n\(lines)\n")
        #expect(try file.machineConfig(for: "app").json["guest"] == JSONValue(parsing: guest))
    }

    @Test func `a volume stays attached as it is`() throws {
        let file = try Self.parse("[mounts]\nsource = \"data\"\ndestination = \"/data\"\n")
        let attached: JSONValue = [
            "volume": "vol_1", "name": "data", "path": "/data", "size_gb": 10, "encrypted": true,
        ]
        let kept = file.machineConfig(for: "app", onto: MachineConfig(["mounts": [attached]]))
        #expect(kept.json["mounts"] == [attached])
        let moved: JSONValue = ["volume": "vol_1", "name": "data", "path": "/old"]
        let config = file.machineConfig(for: "app", onto: MachineConfig(["mounts": [moved]]))
        #expect(config.json["mounts"] == [["volume": "vol_1", "name": "data", "path": "/data"]])
    }

    @Test(arguments: [
        ("", "{}", false), ("data", #"{"mounts": [{"name": "data", "volume": "v"}]}"#, false),
        ("data", #"{"mounts": [{"volume": "v"}]}"#, false), ("data", "{}", true),
        ("", #"{"mounts": [{"name": "data", "volume": "v"}]}"#, true),
        ("data", #"{"mounts": [{"name": "other", "volume": "v"}]}"#, true),
    ])
    func `a volume is never exchanged in place`(_ wanted: String, _ existing: String, _ conflicts: Bool) throws {
        let text = wanted.isEmpty ? "app = \"x\"\n" : "[mounts]\nsource = \"\(wanted)\"\ndestination = \"/d\"\n"
        let conflict = try Self.parse(text).mountConflict(for: "app", with: MachineConfig(JSONValue(parsing: existing)))
        #expect((conflict != nil) == conflicts)
    }

    @Test func `a standby keeps what tells it apart until it takes traffic`() throws {
        let existing = MachineConfig(["standbys": ["m1", "m2"]])
        let worker = try Self.parse("app = \"x\"\n").machineConfig(for: "app", onto: existing)
        #expect(worker.json["standbys"] == ["m1", "m2"])
        #expect(worker.json["env"]?["FLY_STANDBY_FOR"] == "m1,m2")
        let web = try Self.parse("[http_service]\ninternal_port = 1\n").machineConfig(for: "app", onto: existing)
        #expect(web.json["standbys"] == nil)
        #expect(web.json["env"]?["FLY_STANDBY_FOR"] == nil)
    }

    @Test(arguments: [
        ("3", "3s"), ("\"90s\"", "1m30s"), ("\"1h\"", "1h0m0s"), ("\"1.5s\"", "1.5s"), ("\"250ms\"", "250ms"),
        ("\"0\"", "0s"),
    ])
    func `durations are written as Go writes them`(_ text: String, _ expected: String) throws {
        let file = try Self.parse("kill_timeout = \(text)\n")
        #expect(file.machineConfig(for: "app").json["stop_config"] == ["timeout": .string(expected)])
    }

    @Test(arguments: [
        ("true", true as JSONValue), ("false", false), ("\"off\"", false), ("\"stop\"", true),
        ("\"suspend\"", "suspend"),
    ])
    func `stopping idle machines`(_ text: String, _ expected: JSONValue) throws {
        let file = try Self.parse("[http_service]\ninternal_port = 1\nauto_stop_machines = \(text)\n")
        #expect(file.machineConfig(for: "app").json["services"]?[0]?["autostop"] == expected)
    }

    @Test(arguments: [
        ("a b", ["a", "b"]), ("a 'b c' \\\"d", ["a", "b c", "\"d"]), ("a \"b \\\" c\" # d", ["a", "b \" c"]),
        ("a#b", ["a#b"]), ("  ", []), ("a ''", ["a", ""]),
    ])
    func `commands are split as a shell would`(_ text: String, _ words: [String]) throws {
        let literal = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        let file = try Self.parse("[processes]\napp = \"\(literal)\"\n")
        #expect(file.processes["app"] == words)
    }

    @Test func `groups, counts and the public address`() throws {
        let chatwoot = try Fixtures.flyToml("fly.chatwoot.toml")
        #expect(chatwoot.groups == ["web", "worker"])
        #expect(chatwoot.defaultGroup == "web")
        #expect(chatwoot.hasServices("web"))
        #expect(!chatwoot.hasServices("worker"))
        #expect(chatwoot.volumeName(of: "web") == "uploads")
        #expect(chatwoot.defaultMachineCount(for: "web") == 1, "it needs a volume each")
        #expect(chatwoot.publicURL == "https://hotdash-chatwoot.fly.dev")
        let staging = try Fixtures.flyToml("fly.staging.toml")
        #expect(staging.groups == ["app"])
        #expect(staging.defaultMachineCount(for: "app") == 2)
        #expect(staging.publicURL == "https://hotdash-staging.fly.dev")
        #expect(try Self.parse("app = \"x\"\n").publicURL == nil)
        #expect(try JSONValue.coding(chatwoot) == chatwoot)
    }

    static func parse(_ text: String) throws -> FlyToml {
        try FlyToml(parsing: text, path: "fly.toml") { _ in .failure(FlyToml.FileProblem("there is no such file")) }
    }
}
